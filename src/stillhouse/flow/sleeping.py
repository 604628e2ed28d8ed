"""`flow.sleep_until`: a flow that waits for a time, over as many sittings as it takes."""

import asyncio
import json
from datetime import UTC, datetime

from stillhouse.errors import UserError
from stillhouse.flow.call import Active, active_run
from stillhouse.steady_clock import steady_time
from stillhouse.store.journal import StepRow

# Seconds between two looks at the clock, which may be set, and at the run, which may have ended.
_LOOK_S = 1.0


async def sleep_until(when: datetime) -> None:
    """Wait until this time, with a time zone. A process that dies or is stopped may be resumed before it or after it.

    When it is over is journaled: a resumed run does not wait again, whatever the clock says then. It is no step: the
    run may stop at any time. A time of your own is taken with `flow.now`, so that it stays: `await
    flow.sleep_until(flow.now() + timedelta(days=3))`. Raises UserError for a time without a time zone.
    """
    if when.tzinfo is None:
        raise UserError(f"sleep_until({when!r}) has no time zone; give one, as in flow.now() + timedelta(hours=1)")
    active = active_run.get()
    if active is None:
        await _over(when, None)
        return
    arguments = json.dumps({"until": when.astimezone(UTC).isoformat()})
    call = active.pending("flow.sleep_until", arguments)
    answered = active.replay.answer_to(call, reported=False)
    if answered is not None:
        if answered.end is not None:
            await active.in_turn(answered.end, call.branch)
        return
    started = steady_time()
    active.check_open()
    await _over(when, active)
    row = StepRow(
        key=call.key,
        kind="value",
        parent=call.parent,
        version="",
        arguments=arguments,
        output="null",
        error=None,
        started=started,
        seconds=steady_time() - started,
        attempts=1,
        place=call.place,
        ended_nth=active.replay.next_end(),
        frame=call.frame,
    )
    await active.note_end(row, call.branch)


async def _over(when: datetime, active: Active | None) -> None:
    while (remaining := when.timestamp() - datetime.now(UTC).timestamp()) > 0:
        await asyncio.sleep(min(remaining, _LOOK_S))
        if active is not None:
            active.check_open()
