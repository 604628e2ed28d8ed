"""How a run is resumed: its flow runs again from the top, and calls that finished before are answered from the journal.

`Flow.execute` (in `engine`) reads the run's finished calls. Each call that the flow then makes is looked up among them
by its key: its name, the hash of its canonical arguments (and of the call in whose body it stands), and its number
among equal calls. The order of calls in time plays no part. Where the key is there, and the answer is of the same
version (the same code, prompt and model), that answer is returned and nothing runs. Every other call runs and is
journaled by `call.executed`: one that never finished, one that failed, one whose version changed.

A reply that was paid for and could not be read is in the store, where the same request would find it again, for ever.
So a call that failed by such a reply asks for another sample when its failed run is resumed. What it used before stays
in its row: the reasons, the hashes of the requests, and the cost.

`commands.run.resume` goes on with a run by its id alone: it finds the flow and the input in the run's own row.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from stillhouse.flow.branches import Branch, LiveBranches
from stillhouse.flow.journaled_branches import EarlierVersion, MovedBranches, ReorderedBranches, Samples
from stillhouse.flow.replay_order import ReplayOrder
from stillhouse.store.journal import FailedStep, FinishedStep, Journal, StepKey, branch_key, key_id


@dataclass
class RunReport:
    """What one sitting of a run did, counted by the calls' names."""

    ran: Counter[str] = field(default_factory=Counter)
    replayed: Counter[str] = field(default_factory=Counter)  # calls answered from the journal
    # Calls that ran again: their code was edited, or another model was named, since their answer was journaled.
    changed: Counter[str] = field(default_factory=Counter)
    # Calls whose row was found in a branch of the code before it was edited, which this sitting does not have.
    moved: Counter[str] = field(default_factory=Counter)
    # Journaled answers that this sitting never used: the arguments are others now, or the flow was edited.
    unused: Counter[str] = field(default_factory=Counter)


class Pending(NamedTuple):
    """A call before it is answered or run."""

    key: StepKey
    parent: str | None  # the id of the call in whose body this call was made
    place: int  # the number of the call in its branch
    branch: Branch


# The facts of a failed call that stay in its row.
_USED = ("model", "input_tokens", "output_tokens", "cost_usd", "requests", "from_store")


class Before(NamedTuple):
    """A call's earlier sittings.

    `n_asked`: how many tries had a reply that must not come back. `facts`: what it used, and why it failed.
    """

    n_asked: int = 0
    attempts: int = 0
    facts: Mapping[str, Any] = MappingProxyType({})


@dataclass
class Replay:
    """The journaled answers of one run, and which of them this sitting has used."""

    finished: dict[StepKey, FinishedStep]
    failed: dict[StepKey, FailedStep] = field(default_factory=dict, kw_only=True)
    anew: bool = field(default=False, kw_only=True)  # the run failed, so an unreadable reply is asked for again
    edited: bool = field(default=False, kw_only=True)  # the flow's file is not what it was in some earlier sitting
    run: str = field(default="", kw_only=True)
    text: Callable[[str], str]  # gives the text that a stored value, perhaps interned, stands for
    report: RunReport = field(default_factory=RunReport)
    live: LiveBranches = field(default_factory=LiveBranches, init=False)  # this sitting's branches
    _used: set[StepKey] = field(default_factory=set, init=False)

    @classmethod
    def of(cls, journal: Journal, run: str, *, anew: bool = False, edited: bool = False) -> Self:
        finished, failed = journal.finished(run), journal.failed(run)
        return cls(finished, journal.text, failed=failed, anew=anew, edited=edited, run=run)

    def __post_init__(self) -> None:
        self._n_ended = 1 + max((row[5] for row in self.finished.values() if row[5] is not None), default=-1)
        self.order = ReplayOrder(self._ends_in_order())
        self._earlier_version = EarlierVersion(self.run, self.finished, self.failed)
        self._samples: Samples | None = None
        self._moved: MovedBranches | None = None
        self._reordered: ReorderedBranches | None = None

    def _ends_in_order(self) -> list[int]:
        """The ends of the calls that will be asked for: those in the body of a finished call are not."""
        rows = self.finished.values()
        inner = any(row[2] is not None for row in rows)
        ids = {key_id(key) for key in self.finished} if inner else frozenset()
        return [row[5] for row in rows if row[5] is not None and (row[2] is None or row[2] not in ids)]

    def next_end(self) -> int:
        """The number of the call that ends now."""
        self._n_ended += 1
        return self._n_ended - 1

    def before(self, key: StepKey, version: str) -> "Before":
        """What became of this call in earlier sittings, where it failed."""
        row = self.failed.get(key)
        if row is None:
            return Before()
        failed_version, error, attempts, text, *_ = row
        facts = {} if text is None else json.loads(text)
        discarded = facts.get("discarded", 0)
        if "discarded" not in facts and facts.get("requests") and error.startswith("StepError:"):
            discarded = attempts  # a row of 0.1.0
        if failed_version != version:
            discarded = 0
        used = {name: facts[name] for name in _USED if name in facts} if "model" in facts else {}
        n_asked = discarded if self.anew else max(0, discarded - 1)
        return Before(n_asked, attempts, {**used, "failures": [*facts.get("failures", ()), error]})

    def pending(self, name: str, arguments: str, branch: Branch) -> Pending:
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
        return Pending(key, body, place, branch)

    def sample(self, key: StepKey) -> int:
        """The number of a call's sample among those of equal calls in all branches; it has its own on every resume."""
        if self._samples is None:
            self._samples = Samples(self.finished, self.failed)
        return self._samples.of(key)

    def answer_to(
        self, call: Pending, version: str = "", *, reported: bool = True
    ) -> tuple[str, str | None, int | None] | None:
        """The journaled answer to this call and its facts (what it used when it ran), as JSON; its number among ends.

        None where the call has to run.

        `reported`: count it in the sitting's report. The clock and its like are no calls of the user's, and are not.
        """
        row = self.finished.get(call.key)
        if row is None:
            return None
        self._used.add(call.key)
        answered_version, output, _, facts, _, end = row
        name = call.key[0]
        if answered_version != version:
            self.report.changed[name] += 1
            return None
        if reported:
            self.report.replayed[name] += 1
        return self.text(output), facts, end

    def unused(self) -> Counter[str]:
        """Journaled answers that this sitting never came to, by name.

        A replayed call's body does not run, so the answers to the calls inside it are left out.
        """
        used = {key_id(key) for key in self._used}
        parents = {key_id(key): row[2] for key, row in self.finished.items()}

        def inside_a_used_one(parent: str | None) -> bool:
            return parent is not None and (parent in used or inside_a_used_one(parents.get(parent)))

        return Counter(
            key[0] for key, row in self.finished.items() if key not in self._used and not inside_a_used_one(row[2])
        )
