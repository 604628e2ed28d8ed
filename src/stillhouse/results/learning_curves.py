"""Scores over training sizes: learning curves, where they meet the prompt, and the score over examples."""

from typing import Annotated, Literal

from pydantic import Field

from stillhouse.records import Source
from stillhouse.results.record import Measured, record

Size = Annotated[int, Field(ge=1)]  # a number of training rows, on a logarithmic axis
Censored = Literal["<=", ">"]  # a size that lies below the smallest, or beyond the largest, that was tried


@record
class CurvePoint:
    """A student at one training size: the mean over seeds, its band, and every seed's score."""

    n: Size
    mean: float
    low: float | None = None
    high: float | None = None
    scores: tuple[float, ...] = ()  # one score per seed


@record
class Ahead:
    """From no gain at one doubling to the last doubling's gain again: a band that the next point may well leave."""

    n: Size
    low: float
    high: float


@record
class Curve:
    """One student's learning curve, sizes ascending, on `n_rows` test rows."""

    name: str
    points: tuple[CurvePoint, ...]
    n_rows: int
    learns_from: Source | None = None
    ahead: Ahead | None = None


@record
class LevelLine:
    """An arm that needs no training rows, drawn level across the learning curves: a prompt, or the majority class."""

    name: str
    score: Measured


@record(kw_only=True)
class PromptCrossing:
    """The training size at which `curve` meets `prompt`.

    `n_star` None with "<=": at or below the smallest size tried; with ">": beyond the largest; with a `note`: there is
    no single size, and it says why. `low` None: the interval reaches below the smallest size; `high` None: beyond the
    largest.
    """

    curve: str
    prompt: str
    n_star: float | None
    low: float | None
    high: float | None
    censored: Censored | None
    level: float
    n_seeds: int
    n_rows: int
    note: str | None = None


@record
class FewShot:
    """The prompt with k training rows in it as examples. `notes` say what bounded k.

    `points` have k as their `n`, and one score per draw of examples.
    """

    points: tuple[CurvePoint, ...]
    n_rows: int
    notes: tuple[str, ...] = ()


@record
class PatternWorth:
    """How many training rows prompted finetuning is worth against a head on the same base.

    A sentence with interval and n; where that cannot be told, it says why.
    """

    better: str
    worse: str
    sentence: str


@record
class LearningCurves:
    """All curves of a run, the lines they are held against, and where they cross."""

    curves: tuple[Curve, ...]
    lines: tuple[LevelLine, ...] = ()
    crossovers: tuple[PromptCrossing, ...] = ()
    few_shot: FewShot | None = None
    worth: tuple[PatternWorth, ...] = ()
