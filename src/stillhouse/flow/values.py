"""Values that differ from run to run, journaled so that a resumed flow sees them again: the clock, randomness, uuids."""

import json
import random as _random
import time
import uuid as _uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from stillhouse.flow.call import active_run, current_call
from stillhouse.store.journal import StepRow


def _recorded(what: str, label: str, draw: Callable[[], Any]) -> Any:
    active = active_run.get()
    if active is None:
        return draw()
    outer = current_call.get()
    parent = None if outer is None else outer.id
    arguments = json.dumps({"label": label})
    key = active.key(f"flow.{what}", arguments, parent)
    found = active.finished.get(key)
    if found is not None:
        active.used.add(key)
        return json.loads(found[1])
    value = draw()
    active.journal.write(
        active.run,
        StepRow(
            key=key,
            kind="value",
            parent=parent,
            version="",
            arguments=arguments,
            output=json.dumps(value),
            error=None,
            started=time.time(),
            seconds=0.0,
            attempts=1,
        ),
    )
    return value


def now(label: str = "") -> datetime:
    """The time, UTC; on resume the time that it was. `label` tells calls in concurrent branches apart."""
    return datetime.fromtimestamp(_recorded("now", label, time.time), UTC)


def random(label: str = "") -> float:
    """A number in [0, 1); on resume the same one."""
    return float(_recorded("random", label, _random.random))


def uuid(label: str = "") -> str:
    """A random UUID; on resume the same one."""
    return str(_recorded("uuid", label, lambda: str(_uuid.uuid4())))
