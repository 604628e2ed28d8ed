"""What stands between a teacher's proposals and the data: the rules, the held-out rows, and all that was kept before.

Every drop keeps its reason.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from stillhouse.teacher.filters import FilterDecision, RowName
from stillhouse.teacher.held_out import HeldOut
from stillhouse.teacher.rules import OF_ANSWERS
from stillhouse.words import normalise


class Near(Protocol):
    """`RougeFilter` or `LshFilter`."""

    threshold: float

    def closest(self, text: str) -> FilterDecision | None: ...

    def insert(self, text: str, row: RowName | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """One proposal. `text` is compared with other rows, the rules read `judged`, and `row` goes into the data set."""

    id: str
    text: str
    judged: str
    row: Mapping[str, Any]
    whole: str  # the row's text with its input, as a held-out row would have it
    answer: str = ""  # an exercise's output, which some rules read


@dataclass(frozen=True, slots=True)
class Drop:
    """Why a proposal was not taken: `reason` is "rule: words", "rouge-l", "exact", "test: minhash" and so on.

    Where it resembled a row, `score` says how much and `resembled` names the row.
    """

    id: str
    text: str
    reason: str
    score: float | None = None
    resembled: RowName | None = None
    n: int = 1  # number of proposals: a reply that cannot be read stands for all that it was asked for


@dataclass(frozen=True, slots=True)
class Passing:
    """One filter's count: of the `judged` proposals that came to it, past the filters before it, `passed` went on."""

    name: str
    judged: int
    passed: int


@dataclass(kw_only=True)
class Screen:
    """The state of one generation: what was kept, what was dropped, in the order in which it came."""

    rules: Mapping[str, Callable[[str], bool]]
    near: Near
    near_name: str
    held_out: HeldOut
    kept: list[Candidate] = field(default_factory=list)
    dropped: list[Drop] = field(default_factory=list)
    _exact: dict[str, RowName] = field(default_factory=dict)
    _judged: Counter[str] = field(default_factory=Counter)
    _passed: Counter[str] = field(default_factory=Counter)

    def know(self, text: str, row: RowName) -> bool:
        """Take a text of the user's as kept, whatever it resembles.

        False where exactly these words were known already: then nothing changes.
        """
        if normalise(text) in self._exact:
            return False
        self._exact[normalise(text)] = row
        self.near.insert(text, row)
        return True

    def judge(self, candidate: Candidate) -> bool:
        """Keep the candidate, or note why not."""
        drop = self._objection(candidate)
        if drop is not None:
            self.dropped.append(drop)
            return False
        self.know(candidate.text, candidate.id)
        self.kept.append(candidate)
        return True

    def unreadable(self, id_: str, text: str, reason: str, n: int = 1) -> None:
        """A part of a reply that is no proposal, in the place of `n` that were asked for."""
        self.dropped.append(Drop(id_, text, reason, n=n))

    def _objection(self, candidate: Candidate) -> Drop | None:
        for name, look in self._filters():
            self._judged[name] += 1
            if (drop := look(candidate)) is not None:
                return drop
            self._passed[name] += 1
        return None

    def _filters(self) -> Iterator[tuple[str, Callable[[Candidate], Drop | None]]]:
        """The filters by name, in the order in which they judge: the cheap ones first."""
        for name in self.rules:
            yield f"rule: {name}", functools.partial(self._broken, name)
        if len(self.held_out):
            yield "held-out", self._held_out
        yield "exact", self._twin
        yield self.near_name, self._close

    def _broken(self, name: str, candidate: Candidate) -> Drop | None:
        text = candidate.answer if name in OF_ANSWERS else candidate.judged
        return Drop(candidate.id, candidate.text, f"rule: {name}") if self.rules[name](text) else None

    def _held_out(self, candidate: Candidate) -> Drop | None:
        near = self.held_out.resembles(candidate.text) or self.held_out.resembles(candidate.whole)
        if near is None:
            return None
        return Drop(candidate.id, candidate.text, f"{near.part}: {near.how}", near.score, near.row)

    def _twin(self, candidate: Candidate) -> Drop | None:
        twin = self._exact.get(normalise(candidate.text))
        return None if twin is None else Drop(candidate.id, candidate.text, "exact", 1.0, twin)

    def _close(self, candidate: Candidate) -> Drop | None:
        near = self.near.closest(candidate.text)
        return None if near is None else Drop(candidate.id, candidate.text, self.near_name, near.score, near.row)

    @property
    def passing(self) -> list[Passing]:
        """What each filter let through, in the order in which they judge."""
        return [Passing(name, self._judged[name], self._passed[name]) for name, _ in self._filters()]

    @property
    def reasons(self) -> dict[str, int]:
        """Drops by reason, most frequent first."""
        counts = Counter[str]()
        for drop in self.dropped:
            counts[drop.reason] += drop.n
        return dict(counts.most_common())
