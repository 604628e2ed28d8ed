"""A person at work on a comparison: the next pair, the choice, the last choice taken back. Knows the sides left and right, and no names.

The page and the terminal are two faces of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stillhouse.comparison.judgements import Judgement, Judgements, Side
from stillhouse.comparison.pairs import Pair, digest
from stillhouse.evaluation.win_rate import Choice, JudgedRow, Voice
from stillhouse.records import Progress


@dataclass(frozen=True)
class Shown:
    """What a person sees. `item` None: everything is judged, and there is nothing to show."""

    item: int | None
    done: int
    total: int
    can_undo: bool
    instruction: str | None = None
    input: str = ""
    left: str = ""
    right: str = ""
    rater: str = ""  # who judges, where they gave a name


class Sitting:
    """The pairs that need a person, in their order, over the file that keeps the choices. Others' choices are neither shown nor touched."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        kept: Judgements,
        instruction: str | None,
        on_progress: Callable[[Progress], None] | None = None,
        rater: str = "",
    ) -> None:
        self._pairs, self._rater = [pair for pair in pairs if pair.settled is None], rater
        self._kept, self._instruction, self._on_progress = kept, instruction, on_progress

    def shown(self) -> Shown:
        """The first pair without a choice."""
        mine = self._kept.of(self._rater)
        judged = [pair.key in mine for pair in self._pairs]
        done, total = sum(judged), len(judged)
        if self._on_progress is not None:
            self._on_progress(Progress(done, total, f"judged by {self._rater or 'people'}"))
        if done == total:
            return Shown(None, done, total, self._last() is not None, self._instruction, rater=self._rater)
        item = judged.index(False)
        pair = self._pairs[item]
        sides = pair.left(self._rater), pair.right(self._rater)
        return Shown(
            item, done, total, self._last() is not None, self._instruction, pair.example.text, *sides, self._rater
        )

    def choose(self, item: int, choice: Side) -> bool:
        """Keep a choice for the pair that is shown. False: another pair is shown by now (a second window, a key pressed twice), and nothing is kept."""
        if item != self.shown().item:
            return False
        pair = self._pairs[item]
        self._kept.add(Judgement(pair.key, digest(pair.left(self._rater)), choice, self._rater), pair.example.id)
        return True

    def undo(self) -> bool:
        """Take the last choice back, also one of an earlier sitting. False: there is none."""
        last = self._last()
        if last is not None:
            self._kept.undo(last, self._rater)
        return last is not None

    def _last(self) -> str | None:
        ours = {pair.key for pair in self._pairs}
        return next((key for key in reversed(self._kept.of(self._rater)) if key in ours), None)


def people_on(pairs: Sequence[Pair], kept: Judgements) -> list[JudgedRow]:
    """The rows with what people chose. A settled pair counts as passed by where every pair before it in the queue is judged by somebody."""
    rows, passed = [], True
    for pair in pairs:
        said = tuple(_voice(judgement, pair) for judgement in kept.on(pair.key)) if pair.settled is None else ()
        passed = passed and (pair.settled is not None or bool(said))
        rows.append(
            JudgedRow(
                pair.example.id, pair.group, said, settled=pair.settled, reached=pair.settled is not None and passed
            )
        )
    return rows


def _voice(judgement: Judgement, pair: Pair) -> Voice:
    a_left = judgement.left == digest(pair.a)
    return Voice(_whose(judgement.choice, a_left), "A" if a_left else "B", judgement.rater)


def _whose(choice: Side, a_left: bool) -> Choice:
    if choice == "tie" or choice == "both bad":
        return choice
    return "A" if (choice == "left") == a_left else "B"
