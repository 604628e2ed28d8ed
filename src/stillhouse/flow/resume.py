"""How a run is resumed: its flow runs again from the top, and calls that finished before are answered from the journal.

`Flow.execute` (in `engine`) reads the run's finished calls. Each call that the flow then makes is looked up among them
by its key: its name, the hash of its canonical arguments (and of the call in whose body it stands), and its number
among equal calls. The order of calls in time plays no part. Where the key is there, and the answer is of the same
version (the same code, prompt and model), that answer is returned and nothing runs. A failure that the flow lived with
is raised again (`unanswered`, `failures`), and a call that it gave up is given up again. Every other call runs and is
journaled by `call.executed`: one that never finished, one that the run ended by, one whose version changed. A finished
step of the user's own code is not run again for an edit alone (see `edits`).

A reply that was paid for and could not be read is in the store, where the same request would find it again, for ever.
So a call that failed by such a reply asks for another sample when its failed run is resumed. What it used before stays
in its row: the reasons, the hashes of the requests, and the cost.

`commands.run.resume` goes on with a run by its id alone: it finds the flow and the input in the run's own row.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from stillhouse.flow.branches import Branch, LiveBranches, calls_around
from stillhouse.flow.edits import check_rerun, is_kept, same_version
from stillhouse.flow.journaled_branches import EarlierVersion, MovedBranches, ReorderedBranches, Samples
from stillhouse.flow.replay_order import ReplayOrder
from stillhouse.store.journal import (
    FailedStep,
    FinishedStep,
    Journal,
    StepKey,
    args_and_branch,
    branch_key,
    key_id,
    last_end,
)


@dataclass
class RunReport:
    """What one sitting of a run did, counted by the calls' names."""

    ran: Counter[str] = field(default_factory=Counter)
    replayed: Counter[str] = field(default_factory=Counter)  # calls answered from the journal
    # Calls that ran again: their code was edited, or another model was named, since their answer was journaled.
    changed: Counter[str] = field(default_factory=Counter)
    # Replayed calls whose code was edited since, and that were not run again for it: see `edits`.
    kept: Counter[str] = field(default_factory=Counter)
    # Calls whose row was found in a branch of the code before it was edited, which this sitting does not have.
    moved: Counter[str] = field(default_factory=Counter)
    # Journaled answers that this sitting never used: the arguments are others now, or the flow was edited.
    unused: Counter[str] = field(default_factory=Counter)
    was_done: bool = False  # the run had finished in an earlier sitting, and this one ran nothing

    def add(self, before: "RunReport") -> None:
        """Add what the same sitting did before it began again from the top."""
        self.replayed -= before.ran  # drops what is not above 0
        for name in ("ran", "changed", "kept", "moved"):
            getattr(self, name).update(getattr(before, name))


class Pending(NamedTuple):
    """A call before it is answered or run."""

    key: StepKey
    parent: str | None  # the id of the call in whose body this call was made
    place: int  # the number of the call in its branch
    branch: Branch
    version: str = ""

    @property
    def frame(self) -> str | None:
        """The id of the innermost flow in the flow that this call belongs to."""
        return None if self.branch.frame is None else self.branch.frame.id


class Earlier(NamedTuple):
    """How a call ended in an earlier sitting. `end`: its number among ends; None: it does not count as an outcome."""

    output: str | None  # None: it failed
    facts: str | None
    end: int | None
    error: str | None = None

    @property
    def given_up(self) -> bool:
        """Whether the flow cancelled the call, and went on."""
        return self.end is not None and self.facts is not None and _GIVEN_UP in self.facts


_GIVEN_UP = '"given_up"'
# What counts as no step of a limit: the clock and its like, and questions to a person.
_NO_STEPS = ("flow.now", "flow.random", "flow.uuid", "flow.version", "flow.sleep_until", "ask_human")


# The facts of a failed call that stay in its row.
_USED = (
    "model",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "requests",
    "from_store",
    "stored_tokens",
    "stored_usd",
    "at_most_tokens",
    "at_most_usd",
    "replaced",
)


class Before(NamedTuple):
    """A call's earlier sittings.

    `n_asked`: how many tries had a reply that must not come back. `facts`: what it used, and why it failed.
    """

    n_asked: int = 0
    attempts: int = 0
    facts: Mapping[str, Any] = MappingProxyType({})


def _used(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in _USED if name in facts} if "model" in facts or "replaced" in facts else {}


def _is_later(
    key: StepKey, place: int, parent: str | None, branches: Sequence[Branch], live: Collection[tuple[str | None, str]]
) -> bool:
    """Whether a row is of a call that comes later in one of these branches, or of a branch that one makes later."""
    _, id_ = args_and_branch(key)
    return any(
        place >= branch.place if id_ == branch.id else id_.startswith(f"{branch.id}.") and (parent, id_) not in live
        for branch in branches
    )


@dataclass
class Replay:
    """The journaled answers of one run, and which of them this sitting has used."""

    finished: dict[StepKey, FinishedStep]
    failed: dict[StepKey, FailedStep] = field(default_factory=dict, kw_only=True)
    anew: bool = field(default=False, kw_only=True)  # the run failed, so an unreadable reply is asked for again
    edited: bool = field(default=False, kw_only=True)  # the flow's file is not what it was in some earlier sitting
    run: str = field(default="", kw_only=True)
    rerun: frozenset[str] = field(default=frozenset(), kw_only=True)  # edited steps that are to run again
    text: Callable[[str], str]  # gives the text that a stored value, perhaps interned, stands for
    report: RunReport = field(default_factory=RunReport)
    live: LiveBranches = field(default_factory=LiveBranches, init=False)  # this sitting's branches
    _used: set[StepKey] = field(default_factory=set, init=False)

    @classmethod
    def of(
        cls, journal: Journal, run: str, *, anew: bool = False, edited: bool = False, rerun: Collection[str] = ()
    ) -> Self:
        """Raises UserError where `rerun` names a step that the run has no call of."""
        finished, failed = journal.finished(run), journal.failed(run)
        check_rerun(rerun, run, (key[0] for key in (*finished, *failed)))
        return cls(finished, journal.text, failed=failed, anew=anew, edited=edited, run=run, rerun=frozenset(rerun))

    def __post_init__(self) -> None:
        ends = [row[5] for row in self.finished.values()] + [row[6] for row in self.failed.values()]
        self._last_end = last_end(ends)
        self.order = ReplayOrder(self._ends_in_order())
        self._earlier_version = EarlierVersion(self.run, self.finished, self.failed)
        self._samples: Samples | None = None
        self._moved: MovedBranches | None = None
        self._reordered: ReorderedBranches | None = None
        self._inside: dict[str, list[tuple[StepKey, str | None]]] | None = None

    def _ends_in_order(self) -> list[int]:
        """The ends of the calls that will be asked for: those in the body of a finished call are not."""
        rows = [(row[2], row[5]) for row in self.finished.values()]
        rows += [(row[4], row[6]) for row in self.failed.values()]
        inner = any(parent is not None for parent, _ in rows)
        ids = {key_id(key) for key in self.finished} if inner else frozenset()
        return [end for parent, end in rows if end is not None and (parent is None or parent not in ids)]

    def next_end(self, *, at_once: bool = False) -> int:
        """The number of the call that ends now. `at_once`: its answer is given to the flow at once (see `place_of`)."""
        self._last_end += 1
        return ~self._last_end if at_once else self._last_end

    def before(self, key: StepKey, version: str) -> "Before":
        """What became of this call in earlier sittings, where it has to run again."""
        row = self.failed.get(key)
        if row is None:
            finished = self.finished.get(key)
            replaced = {} if finished is None or finished[3] is None else _used(json.loads(finished[3]))
            return Before(facts={"replaced": replaced}) if replaced else Before()
        failed_version, error, attempts, text, _, place, end = row
        facts = {} if text is None else json.loads(text)
        if "refused" in facts:
            return Before()
        same = same_version(failed_version, version, is_of_0_1_0=place is None)
        if end is not None and same and key[0] not in self.rerun:  # an agent comes to its end again
            return Before(0, attempts - 1, {name: facts[name] for name in ("failures",) if name in facts})
        discarded = facts.get("discarded", 0)
        if "discarded" not in facts and facts.get("requests") and error.startswith("StepError:"):
            discarded = attempts  # a row of 0.1.0
        if not same:
            discarded = 0
        # A row of 0.1.0 does not tell whether the run ended by it, or died later.
        n_asked = discarded if self.anew or place is not None else max(0, discarded - 1)
        failures = [*facts.get("failures", ()), *(() if "given_up" in facts else (error,))]
        return Before(n_asked, attempts, {**_used(facts), **({"failures": failures} if failures else {})})

    def pending(self, name: str, arguments: str, branch: Branch, version: str = "") -> Pending:
        """The next call of this name with these arguments in this branch, under its key.

        The call in whose body the branch is is part of the hash. Where it is replayed, the calls in its body are not
        made and not counted; equal calls in other bodies must keep their numbers all the same.
        """
        body = branch.body
        digest = hashlib.sha256((arguments if body is None else f"{body}\n{arguments}").encode()).hexdigest()
        equal, place, before = (name, digest), branch.place, branch.last
        nth = branch.counts.get(equal, 0)
        branch.counts[equal], branch.place, branch.last = nth + 1, place + 1, equal
        if branch.id and not place:
            self._reordered = self._reordered or ReorderedBranches(self.finished, self.failed)
            self._reordered.begin(branch, equal)
        key = (name, branch_key(digest, branch.id), nth)
        if branch.provisional and self._reordered is not None and place and key in self.finished:
            self._reordered.keep(branch)
        if self._earlier_version.groups:
            key = self._earlier_version.key(key, equal, branch)
        if self.edited and key not in self.finished and key not in self.failed:
            if self._moved is None:
                self._moved = MovedBranches(self.finished, self.failed, self.live)
            found = self._moved.key(equal, branch, before, self._used)
            if found is not None:
                self._used.add(found)
                self.report.moved[name] += 1
                key = found
        return Pending(key, body, place, branch, version)

    def sample(self, key: StepKey) -> int:
        """The number of a call's sample among those of equal calls in all branches; it has its own on every resume."""
        if self._samples is None:
            self._samples = Samples(self.finished, self.failed)
        return self._samples.of(key)

    def answer_to(self, call: Pending, *, reported: bool = True) -> Earlier | None:
        """The journaled answer to this call, and its facts (what it used when it ran); None where there is none.

        `reported`: count it in the sitting's report. The clock and its like are no calls of the user's, and are not.
        """
        row = self.finished.get(call.key)
        if row is None:
            return None
        self._used.add(call.key)
        answered_version, output, _, facts, place, end = row
        name = call.key[0]
        if answered_version != call.version and not self._stands(call, answered_version, place):
            return None
        if reported:
            self.report.replayed[name] += 1
        return Earlier(self.text(output), facts, end)

    def failure_of(self, call: Pending) -> Earlier | None:
        """How this call failed in an earlier sitting that the flow lived with; None where it has to run.

        So has one that the user names in `rerun`: what was wrong may be well by now.
        """
        row = self.failed.get(call.key)
        if row is None:
            return None
        failed_version, error, _, facts, _, place, end = row
        if end is None or self._named_again(call):
            return None
        if failed_version != call.version and not self._stands(call, failed_version, place):
            return None
        self._used.add(call.key)
        return Earlier(None, facts, end, error)

    def _named_again(self, call: Pending) -> bool:
        return bool(self.rerun) and any(name in self.rerun for name in (call.key[0], *calls_around(call.branch)))

    def _stands(self, call: Pending, stored: str, place: int | None) -> bool:
        """Whether how a call ended stands, although its version is not the one that it has now."""
        name = call.key[0]
        if same_version(stored, call.version, is_of_0_1_0=place is None):
            return True
        kept = is_kept(call.version, (name, *calls_around(call.branch)), self.rerun)
        (self.report.kept if kept else self.report.changed)[name] += 1
        return kept

    def used_inside(self, key: StepKey) -> list[str | None]:
        """The facts of the steps in the body of this call, and in theirs, as far as earlier sittings made them."""
        if self._inside is None:
            self._inside = {}
            rows = [(key, row[2], row[3]) for key, row in self.finished.items()]
            rows += [(key, row[4], row[3]) for key, row in self.failed.items()]
            for inner, parent, facts in rows:
                if parent is not None and inner[0] not in _NO_STEPS:
                    self._inside.setdefault(parent, []).append((inner, facts))
        inside = self._inside.get(key_id(key), ())
        return [used for inner, facts in inside for used in (facts, *self.used_inside(inner))]

    def use(self, key: StepKey) -> None:
        """Note that a row was asked for."""
        self._used.add(key)

    def went_further(self, branch: Branch) -> bool:
        """Whether an earlier sitting made a call in this branch, or in one made in it, that this one has not come to.

        So does a call of the branches around, where they wait for this one. Rows of version 1 do not say in which
        branch they are: each of them counts.
        """
        waiting = [branch]
        while (around := waiting[-1].maker) is not None and around.task is branch.task and around.body == branch.body:
            waiting.append(around)
        return any(
            place is None
            or (parent == branch.body and place >= 0 and _is_later(key, place, parent, waiting, self.live))
            for key, parent, place in self._rows_to_come()
        )

    def _rows_to_come(self) -> Iterator[tuple[StepKey, str | None, int | None]]:
        for key, row in self.finished.items():
            if key not in self._used:
                yield key, row[2], row[4]
        for key, failed in self.failed.items():
            yield key, failed[4], failed[5]

    def unused(self) -> Counter[str]:
        """Journaled answers that this sitting never came to, by name.

        A replayed call's body does not run, so the answers to the calls inside it are left out.
        """
        used = {key_id(key) for key in self._used}
        parents = {key_id(key): row[2] for key, row in self.finished.items()}
        parents |= {key_id(key): row[4] for key, row in self.failed.items()}

        def inside_a_used_one(parent: str | None) -> bool:
            return parent is not None and (parent in used or inside_a_used_one(parents.get(parent)))

        return Counter(
            key[0] for key, row in self.finished.items() if key not in self._used and not inside_a_used_one(row[2])
        )
