"""A person at work on a comparison: the next pair, the choice, the last choice taken back.

It knows the sides left and right, and no system's name. The page and the terminal are two faces of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from stillhouse.comparison.judgements import Judgement, Judgements, Side
from stillhouse.comparison.pairs import Pair, digest
from stillhouse.evaluation.win_rate import Choice, JudgedRow, Voice
from stillhouse.records import Progress


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a person sees. `item`: the pair's number; None: everything is judged, and there is nothing to show."""

    item: int | None
    done: int
    total: int
    can_undo: bool
    instruction: str | None = None
    input: str = ""
    left: str = ""
    right: str = ""
    rater: str = ""  # name of the person who judges, if given


class RatingSession:
    """The pairs that need a person, in their order, over the file that keeps the choices.

    Other people's choices are neither shown nor touched.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        kept: Judgements,
        instruction: str | None,
        on_progress: Callable[[Progress], None] | None = None,
        rater: str = "",
    ) -> None:
        self._pairs = [pair for pair in pairs if pair.settled is None]
        self._kept, self._instruction, self._on_progress, self._rater = kept, instruction, on_progress, rater

    def shown(self) -> Shown:
        """The first pair without a choice."""
        mine = self._kept.of(self._rater)
        judged = [pair.key in mine for pair in self._pairs]
        done, total = sum(judged), len(judged)
        if self._on_progress is not None:
            self._on_progress(Progress(done, total, f"judged by {self._rater or 'people'}", unit="pairs"))
        nothing = Shown(
            item=None,
            done=done,
            total=total,
            can_undo=self._last() is not None,
            instruction=self._instruction,
            rater=self._rater,
        )
        if done == total:
            return nothing
        item = judged.index(False)
        pair = self._pairs[item]
        left, right = pair.left(self._rater), pair.right(self._rater)
        return replace(nothing, item=item, input=pair.example.text, left=left, right=right)

    def choose(self, item: int, choice: Side) -> bool:
        """Keep a choice for the pair that is shown.

        False: another pair is shown by now (a second window, a key pressed twice), and nothing is kept.
        """
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
    """The rows with what people chose.

    People have reached a settled pair where somebody has judged every pair before it in the queue.
    """
    rows, reached = [], True
    for pair in pairs:
        settled = pair.settled is not None
        voices = () if settled else tuple(_voice(judgement, pair) for judgement in kept.on(pair.key))
        reached = reached and (settled or bool(voices))
        row = JudgedRow(pair.example.id, pair.group, voices, settled=pair.settled, reached=settled and reached)
        rows.append(row)
    return rows


def _voice(judgement: Judgement, pair: Pair) -> Voice:
    a_left = judgement.left == digest(pair.a)
    return Voice(_whose(judgement.choice, a_left), "A" if a_left else "B", judgement.rater)


def _whose(choice: Side, a_left: bool) -> Choice:
    if choice == "tie" or choice == "both bad":
        return choice
    return "A" if (choice == "left") == a_left else "B"
