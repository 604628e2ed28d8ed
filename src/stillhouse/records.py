"""The records that every stage shares: an example, a prediction, a completion's usage, an estimate with its interval.

They are frozen values, and compute nothing but other readings of themselves. Unknown is `None`, never 0 and never NaN.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from stillhouse.json_text import exact_json

Source = Literal["gold", "teacher", "mixed"]  # mixed: gold where there is gold, the teacher's elsewhere


@dataclass(frozen=True, slots=True)
class Example:
    """One dataset row. `label` is gold; the teacher's answer never overwrites it."""

    id: str
    input: str | Mapping[str, Any]
    label: str | None = None
    _: KW_ONLY
    teacher_label: str | None = None
    teacher_rationale: str | None = None
    choices: tuple[str, ...] | None = None  # answers allowed for this row alone (multiple choice)
    group: str | None = None  # name of the row's group; rows of one group never straddle a split
    extra: Mapping[str, Any] = field(default_factory=dict)  # all other fields of the row, kept as they were
    # The teacher's probability per label, 0 to 1; a label that is absent was not listed.
    teacher_scores: Mapping[str, float] | None = None

    @property
    def text(self) -> str:
        """The input as one string: itself, or `field: value` lines in the row's own order."""
        if isinstance(self.input, str):
            return self.input
        return "\n".join(f"{name}: {_as_text(value)}" for name, value in self.input.items())

    @property
    def fields(self) -> tuple[str, ...]:
        """The input's parts as strings, for models that encode them as segments; a plain string is one part."""
        if isinstance(self.input, str):
            return (self.input,)
        return tuple(_as_text(value) for value in self.input.values())

    def target(self, source: Source) -> str | None:
        """The label to learn or to score against: the gold one, the teacher's, or the one that there is, gold first."""
        if source == "mixed" and self.label is not None:
            return self.label
        return self.label if source == "gold" else self.teacher_label


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else exact_json(value)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call as the provider counts them.

    The totals are `input_tokens` and `output_tokens`. Cached, written and reasoning tokens are parts of them.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    estimated: bool = False  # True where the counts come from text length and not from the provider
    # Input tokens put into the provider's cache, which some providers charge extra for.
    written_input_tokens: int | None = None
    doubt: str | None = None  # why the provider's counts do not add up; None: they do
    # Output tokens that the provider's total alone tells. They may have been input: they are priced as what costs more.
    unplaced_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a predictor says of one example. `output` None: there is no usable answer, and `error` says why."""

    output: str | None
    _: KW_ONLY
    confidence: float | None = None  # the predictor's own probability, 0 to 1, of being right; None where it has none
    raw_confidence: float | None = None  # the confidence before calibration; None where nothing was calibrated
    usage: Usage | None = None
    cost_usd: float | None = None
    latency_s: float | None = None
    scores: Mapping[str, float] | None = None  # probability per class or choice, where the predictor has them
    source: str | None = None  # which part of a cascade answered: "student" or "teacher"
    rationale: str | None = None
    error: str | None = None
    is_input_cut: bool = False  # the input has more tokens than the student reads, so that it read a part of it
    is_stored: bool = False  # it was in the store: `cost_usd` is what it cost when it was paid for, and is not paid now
    is_unstored: bool = False  # it was paid for, and the store could not keep it: asked again, it is paid again


@runtime_checkable
class Predictor(Protocol):
    """A prompted model, a student or a cascade: one harness measures them, one server serves them."""

    name: str

    async def predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        """One prediction per input, in input order."""
        ...


@runtime_checkable
class WatchedPredictor(Predictor, Protocol):
    """A predictor that tells how far one call is, as its rows are answered one by one."""

    async def predict_watched(
        self, inputs: Sequence[Example], on_progress: Callable[["Progress"], None]
    ) -> list[Prediction]:
        """As `predict`. A tick's `done` counts the rows of this call."""
        ...


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that never travels without its n. `low` and `high` are None where no interval can be computed."""

    value: float
    n: int
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    method: str = ""  # how the interval was made, e.g. "clopper-pearson"


@dataclass(frozen=True, slots=True)
class Progress:
    """One tick of long work: `done` of `total` units, and the cost so far. None: unknown.

    `what` names the phase and stays the same while it lasts; `note` says what changes in it. `unit`: what is counted.
    """

    done: int
    total: int | None
    what: str
    cost_usd: float | None = None
    unit: str = ""
    note: str = ""
