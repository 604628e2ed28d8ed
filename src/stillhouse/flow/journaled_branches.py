"""What a run's journal tells of branches that are not here now: those of edited code, and those of earlier versions.

Neither is guessed. A row of another branch is handed out only where the code was edited and no branch of this sitting
is the one that the row belongs to. Version 1 counted equal calls over all branches of a run, in the order of time: its
rows go to the one branch that asks for them, and where a second one asks, the run is refused.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from stillhouse.errors import UserError
from stillhouse.flow.branches import Branch, Equal, LiveBranches
from stillhouse.store.journal import FailedStep, FinishedStep, StepKey, args_and_branch

Rows = Mapping[StepKey, FinishedStep] | Mapping[StepKey, FailedStep]


def _equal(key: StepKey) -> Equal:
    return key[0], args_and_branch(key)[0]


class EarlierVersion:
    """The rows of a run that version 1 of the journal began. `groups`: equal calls, with their numbers."""

    def __init__(self, run: str, finished: Mapping[StepKey, FinishedStep], failed: Mapping[StepKey, FailedStep]):
        self._run = run
        self.groups: dict[Equal, set[int]] = {}
        rows = [(key, row[2]) for key, row in finished.items() if row[4] is None]
        rows += [(key, row[4]) for key, row in failed.items() if row[5] is None]
        self._owners: dict[Equal, Branch | None] = {}
        self._counts: dict[Equal, int] = {}
        for key, parent in rows:
            self.groups.setdefault(_equal(key), set()).add(key[2])
            if parent is not None:  # the call around it may have been under way, and without a row, when it died
                step, args_hash, nth = parent.rsplit("/", 2)
                self.groups.setdefault((step, args_hash), set()).add(int(nth))

    def key(self, key: StepKey, equal: Equal, branch: Branch) -> StepKey:
        """The key that version 1 gave to this call; its own where version 1 has no such call.

        Raises UserError where calls of two branches may be meant.
        """
        numbers = self.groups.get(equal)
        if numbers is None:
            return key
        owner = branch.maker if branch.in_order else branch
        if self._owners.setdefault(equal, owner) is not owner:
            raise UserError(
                f"the run {self._run} was begun by an earlier version, which did not tell equal calls of {equal[0]} in "
                "concurrent branches apart, and two branches make one now; start it again under another id"
            )
        nth = self._counts.get(equal, 0)
        self._counts[equal] = nth + 1
        return (*equal, nth) if nth in numbers else key


class ReorderedBranches:
    """Branches that come in another order than before, told by their first calls.

    In a flow that goes the same way again every branch begins with the call that it began with. One that does not is
    another branch: the one that began with this call, if nobody else is that.
    """

    def __init__(self, finished: Mapping[StepKey, FinishedStep], failed: Mapping[StepKey, FailedStep]) -> None:
        self._firsts: dict[tuple[str | None, str], set[Equal]] = {}  # of each branch the calls that it began with
        self._begun_with: dict[Equal, list[tuple[str | None, str]]] = {}
        self._owners: dict[tuple[str | None, str], Branch] = {}
        self._provisional: dict[tuple[str | None, str], tuple[Branch, Equal]] = {}
        first = [(key, row[2]) for key, row in finished.items() if row[4] == 0]
        first += [(key, row[4]) for key, row in failed.items() if row[5] == 0]
        for key, parent in first:
            _, id_ = args_and_branch(key)
            if id_:
                self._firsts.setdefault((parent, id_), set()).add(_equal(key))
                self._begun_with.setdefault(_equal(key), []).append((parent, id_))

    def begin(self, branch: Branch, first: Equal) -> None:
        """Called at a branch's first call: the branch takes the id of the one that it was before."""
        own = (branch.body, branch.id)
        before = self._firsts.get(own)
        if own not in self._owners and before is not None and first in before:
            self._become(branch, own)
            return
        others = [old for old in self._begun_with.get(first, ()) if old not in self._owners]
        if before is None and own not in self._owners:  # it may have died before its first call was journaled
            others = [old for old in others if old in self._provisional]
        if others:
            self._become(branch, others[0])
        elif own in self._owners:
            branch.id = _refined(branch.id, first)
        elif before is not None:
            branch.provisional = True
            self._provisional[own] = (branch, first)

    def _become(self, branch: Branch, old: tuple[str | None, str]) -> None:
        other, first = self._provisional.pop(old, (branch, None))
        if other is not branch and first is not None:
            other.provisional = False
            other.id = _refined(other.id, first)
        self._owners[old] = branch
        # The tasks around it are those around the branch that it was, as far as nothing else was found of them.
        around, id_ = branch.maker, old[1].rpartition(".")[0]
        moved = branch.id != old[1]
        branch.id, branch.settled = old[1], True
        while moved and around is not None and around.id and id_ and not around.settled:
            around.id, around, id_ = id_, around.maker, id_.rpartition(".")[0]

    def keep(self, branch: Branch) -> None:
        """Called when a branch with another first call comes to a call of its own: it is the branch that it was."""
        branch.provisional = False
        self._become(branch, (branch.body, branch.id))


def _refined(id_: str, first: Equal) -> str:
    """An id for a branch in whose place another one stands."""
    return f"{id_}+{hashlib.sha256('/'.join(first).encode()).hexdigest()[:16]}"


class MovedBranches:
    """The branches that the journal has and this sitting has not, because the code was edited."""

    def __init__(
        self,
        finished: Mapping[StepKey, FinishedStep],
        failed: Mapping[StepKey, FailedStep],
        live: LiveBranches,
    ) -> None:
        self._live = live
        self._owners: dict[tuple[str | None, str], Branch] = {}
        self._rows: dict[Equal, list[tuple[int, StepKey, tuple[str | None, str]]]] = {}
        self._before: dict[StepKey, Equal | None] = {}  # a row -> the call before it in its branch
        places: dict[tuple[str | None, str], list[tuple[int, StepKey]]] = {}
        rows: Iterable[tuple[StepKey, str | None, int | None]] = [
            *((key, row[2], row[4]) for key, row in finished.items()),
            *((key, row[4], row[5]) for key, row in failed.items()),
        ]
        for key, parent, place in rows:
            if place is None:  # a row of version 1, which knows no branch
                continue
            branch = (parent, args_and_branch(key)[1])
            self._rows.setdefault(_equal(key), []).append((place, key, branch))
            places.setdefault(branch, []).append((place, key))
        for calls in places.values():
            calls.sort()
            befores = [None, *(_equal(key) for _, key in calls)]
            self._before |= {key: before for (_, key), before in zip(calls, befores, strict=False)}
        for group in self._rows.values():
            group.sort()

    def key(self, equal: Equal, branch: Branch, before: Equal | None, used: set[StepKey]) -> StepKey | None:
        """The row of an equal call after the same call in a branch that nobody else is now; None: there is none."""
        for _, key, old in self._rows.get(equal, ()):
            if key in used or not old[1] or old in self._live or self._owners.get(old, branch) is not branch:
                continue
            if self._before[key] == before:
                self._owners[old] = branch
                return key
        return None


class Samples:
    """Numbers of the samples that equal calls of a run ask for, whatever branch they stand in.

    A journaled call keeps its own. A new one takes the least that is free, so that no two calls read one stored reply.
    """

    def __init__(self, finished: Mapping[StepKey, FinishedStep], failed: Mapping[StepKey, FailedStep]) -> None:
        self._of: dict[StepKey, int] = {}
        self._taken: dict[Equal, set[int]] = {}
        facts: list[tuple[StepKey, str | None]] = [(key, row[3]) for key, row in finished.items()]
        facts += [(key, row[3]) for key, row in failed.items()]
        for key, text in facts:
            if text is not None and ('"model"' in text or '"requests"' in text):
                known: dict[str, Any] = json.loads(text) if '"sample"' in text else {}
                self._take(key, known.get("sample", key[2]))

    def _take(self, key: StepKey, number: int) -> None:
        self._of[key] = number
        self._taken.setdefault(_equal(key), set()).add(number)

    def of(self, key: StepKey) -> int:
        """The call's number; it is taken from now on."""
        if key not in self._of:
            taken = self._taken.get(_equal(key), set())
            self._take(key, next(number for number in range(len(taken) + 1) if number not in taken))
        return self._of[key]
