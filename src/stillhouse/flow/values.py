"""Values that differ from run to run: the clock, randomness, uuids. A resumed flow sees the same ones again."""

import json
import random as _random
import time
import uuid as _uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from stillhouse.flow.call import active_run
from stillhouse.steady_clock import steady_time
from stillhouse.store.journal import StepRow


def _recorded(what: str, label: str, draw: Callable[[], Any]) -> Any:
    active = active_run.get()
    if active is None:
        return draw()
    arguments = json.dumps({"label": label})
    call = active.pending(f"flow.{what}", arguments)
    answer = active.replay.answer_to(call, reported=False)
    if answer is not None:
        return json.loads(answer.output or "null")
    value = draw()
    row = StepRow(
        key=call.key,
        kind="value",
        parent=call.parent,
        version="",
        arguments=arguments,
        output=json.dumps(value),
        error=None,
        started=steady_time(),
        seconds=0.0,
        attempts=1,
        place=call.place,
        frame=call.frame,
    )
    active.journal.write(active.run, row)
    return value


def now(label: str = "") -> datetime:
    """The time, UTC; on resume the time that it was. `label` tells what one branch asks for apart."""
    return datetime.fromtimestamp(_recorded("now", label, time.time), UTC)


def random(label: str = "") -> float:
    """A number in [0, 1); on resume the same one."""
    return float(_recorded("random", label, _random.random))


def uuid(label: str = "") -> str:
    """A random UUID; on resume the same one."""
    return str(_recorded("uuid", label, lambda: str(_uuid.uuid4())))
