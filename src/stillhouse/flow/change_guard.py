"""`flow.version`: which code a run takes, where the flow was changed while runs were under way.

    if flow.version("charge in two steps"):
        ...  # the new way: runs that come here for the first time
    else:
        ...  # the old way: runs that had passed this place before the change

The answer is journaled, and is the same in the whole run.
"""

import hashlib
import json

from stillhouse.errors import UserError
from stillhouse.flow.branches import branch_here
from stillhouse.flow.call import active_run
from stillhouse.steady_clock import steady_time
from stillhouse.store.journal import StepRow

NAME = "flow.version"


def version(change: str, newest: int = 1) -> int:
    """The version of a change that this run takes: `newest`, or 0 where it had passed this place before the change.

    A run keeps the version with which it first came here, also where `newest` has grown since. Outside a run: `newest`.
    Raises UserError for a `newest` below 1.
    """
    if newest < 1:
        raise UserError(f"flow.version({change!r}, {newest}): the newest version is 1 or more; 0 is the code before")
    active = active_run.get()
    if active is None:
        return newest
    active.check_not_ended()
    taken = active.versions.get(change)
    if taken is None:
        key = (NAME, hashlib.sha256(change.encode()).hexdigest(), 0)
        journaled = active.replay.finished.get(key)
        if journaled is not None:
            active.replay.use(key)
            taken = int(json.loads(active.replay.text(journaled[1])))
        else:
            branch = branch_here()
            taken = 0 if active.replay.went_further(branch) else newest
            row = StepRow(
                key=key,
                kind="value",
                parent=None,
                version="",
                arguments=json.dumps({"change": change}),
                output=json.dumps(taken),
                error=None,
                started=steady_time(),
                seconds=0.0,
                attempts=1,
                place=-1,
                frame=None if branch.frame is None else branch.frame.id,
            )
            active.journal.write(active.run, row)
        active.versions[change] = taken
    return taken
