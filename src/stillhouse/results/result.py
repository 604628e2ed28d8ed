"""What a run found, as values: the shape of `result.json`, written by `advise` and `distill` and read by the report.

Every section that a run did not measure is None or empty, and the report leaves it out or says why. Scores, shares and confidences run from
0 to 1, money is US dollars, time is seconds. A measured number is an `Estimate` and so carries its n. This room knows nothing of HTML.
"""

import json
from collections.abc import Mapping
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from stillhouse.errors import UserError
from stillhouse.records import Source
from stillhouse.results.comparison import WinRates
from stillhouse.results.money import Money
from stillhouse.results.record import Dollars, Measured, record
from stillhouse.runs import read_json
from stillhouse.task import WEAK_METRICS

ArmKind = Literal["prompt", "few-shot", "student", "baseline", "cascade"]
GateAnswer = Literal["pass", "fail", "cannot tell"]
VerdictKind = Literal["keep prompt", "few-shot", "finetune", "distil", "cascade", "collect more", "cannot tell"]

Size = Annotated[int, Field(ge=1)]  # a number of training rows on a logarithmic axis


@record
class Verdict:
    """The answer of the run. `because` are the facts that carry it, `would_change` what would turn it."""

    kind: VerdictKind
    sentence: str
    because: tuple[str, ...] = ()
    would_change: tuple[str, ...] = ()
    buy_next: str | None = None


@record
class Gate:
    """May this arm replace `against`? `difference` is arm minus `against` on the same rows; `lower_bound` is one-sided at `level`."""

    answer: GateAnswer
    against: str
    difference: Measured
    lower_bound: float
    margin: float
    level: float = 0.95
    rows_needed: int | None = None  # for an answer at the discordance seen; None: not computed or already decided
    sentence: str | None = None


@record
class Arm:
    """One system measured on the test rows."""

    name: str
    kind: ArmKind
    score: Measured
    model: str | None = None
    learns_from: Source | None = None  # None: learns from nothing
    n_train: int | None = None
    n_shots: int | None = None  # examples in the prompt
    macro_f1: float | None = None  # over the score's n rows
    n_failed: int = 0  # rows without a usable answer; each scored 0
    latency_p50_s: float | None = None
    latency_p99_s: float | None = None
    size_bytes: int | None = None
    cost_usd_per_1000: Dollars | None = None  # per 1,000 calls; None: no price known
    cost_note: str | None = None  # what the cost stands on, e.g. "priced as NAME of 2026-01-05, tokens estimated"
    gate: Gate | None = None
    stand_in: bool = False  # a scripted teacher, not a model


@record
class CurvePoint:
    """A student at one training size: the mean over seeds, its band, and every seed's score."""

    n: Size
    mean: float
    low: float | None = None
    high: float | None = None
    scores: tuple[float, ...] = ()  # one per seed


@record
class Ahead:
    """Where a curve may be at one doubling: a band, never a point, and only to say what to buy next."""

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
class Line:
    """An arm that needs no training rows, drawn level across the learning curves: a prompt, or the majority class."""

    name: str
    score: Measured


@record
class Crossover:
    """The training size at which `curve` meets `prompt`. Censored "<=" or ">": below the smallest or beyond the largest size tried."""

    curve: str
    prompt: str
    n_star: float | None
    low: float | None
    high: float | None
    censored: Literal["<=", ">"] | None
    level: float
    n_seeds: int
    n_rows: int


@record
class FewShot:
    """The prompt with k training rows in it as examples: `points` have k as their `n` and a score per draw of examples. `notes`: what bounded k."""

    points: tuple[CurvePoint, ...]
    n_rows: int
    notes: tuple[str, ...] = ()


@record
class Worth:
    """What prompted finetuning is worth against a head on the same base, in training rows: a sentence with interval and n, or why it cannot be told."""

    better: str
    worse: str
    sentence: str


@record
class LearningCurves:
    """All curves of a run, the lines they are held against, and where they cross."""

    curves: tuple[Curve, ...]
    lines: tuple[Line, ...] = ()
    crossovers: tuple[Crossover, ...] = ()
    few_shot: FewShot | None = None
    worth: tuple[Worth, ...] = ()


@record
class Confusion:
    """Counts of test rows: `counts[i][j]` rows with gold label i that the arm called j; `no_answer[i]` rows it did not answer."""

    arm: str
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    no_answer: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        size = len(self.labels)
        if (
            len(self.counts) != size
            or any(len(row) != size for row in self.counts)
            or len(self.no_answer) not in (0, size)
        ):
            raise ValueError(f"a confusion matrix of {size} labels has {size} rows of {size} counts")

    @property
    def n(self) -> int:
        return sum(map(sum, self.counts)) + sum(self.no_answer)


@record
class ClassRow:
    """One class: `n` gold rows, what the arm makes of them, and the gate's answer for the class (Holm over the classes)."""

    label: str
    n: int
    n_predicted: int
    precision: float | None  # None: never predicted
    recall: float | None  # None: no gold rows
    f1: float | None
    teacher_recall: float | None = None
    difference: Measured | None = None  # arm minus teacher on the class's rows
    gate: GateAnswer | None = None


@record
class PerClass:
    """The per-class table of one arm."""

    arm: str
    rows: tuple[ClassRow, ...]


@record
class Disagreement:
    """A test row where teacher and student answer differently. An answer of None: none that could be used."""

    id: str
    input: str
    gold: str | None
    teacher: str | None
    student: str | None
    confidence: float | None = None


@record
class Disagreements:
    """The rows shown, out of `n_differ` that differ among `n` test rows. `chosen_by` says how the shown ones were picked."""

    student: str
    teacher: str
    n_differ: int
    n: int
    rows: tuple[Disagreement, ...]
    chosen_by: str | None = None


@record
class ReliabilityBin:
    """Rows whose confidence lies in [low, high): their mean confidence and how often they are right."""

    low: float
    high: float
    confidence: float
    accuracy: Measured


@record
class Reliability:
    """How far a student's confidence can be believed. `ece`: expected calibration error over these bins. `before`: the same rows before calibration."""

    arm: str
    n: int
    bins: tuple[ReliabilityBin, ...]
    ece: float | None = None
    before: tuple[ReliabilityBin, ...] = ()  # empty: the confidence was not calibrated, or what it was is not known
    ece_before: float | None = None


@record
class ThresholdPoint:
    """The cascade at one confidence threshold, on the same n rows as its curve."""

    threshold: float
    share_kept: float
    accuracy: float
    cost_usd_per_1000: Dollars | None = None


@record
class ThresholdCurve:
    """Accuracy, share kept and cost against the threshold. The two parts alone are the dashed lines of the plot."""

    student: str
    teacher: str
    n: int
    points: tuple[ThresholdPoint, ...]
    arm: str = "cascade"  # its name among the arms
    student_accuracy: float | None = None
    teacher_accuracy: float | None = None

    @property
    def best_of_both(self) -> ThresholdPoint | None:
        """The point of highest accuracy where that is above both parts'; None where no point is. Found by looking at these very rows, so it flatters."""
        if self.student_accuracy is None or self.teacher_accuracy is None:
            return None
        parts = max(self.student_accuracy, self.teacher_accuracy)
        above = [point for point in self.points if point.accuracy > parts and 0 < point.share_kept < 1]
        return max(above, key=lambda point: point.accuracy, default=None)


@record
class Cascade:
    """The threshold with its promise, P(kept and wrong where the teacher is right) <= budget at `level`; or why there is none."""

    student: str
    teacher: str
    budget: float
    level: float
    n: int  # calibration rows, which nothing else used
    threshold: float | None = None
    share_kept: Measured | None = None
    harm: Measured | None = None  # `high` is the one-sided Clopper-Pearson bound
    refused: str | None = None
    rows_missing: int | None = None


@record
class LabelQuality:
    """The teacher's labels: how many, how right against gold where there is any, and what was rejected why."""

    teacher: str
    n: int
    labelled: int
    accuracy: Measured | None = None
    rejected: Mapping[str, int] = field(default_factory=dict)  # reason -> rows
    cost_usd: Dollars | None = None
    labelled_on: str | None = None
    stand_in: bool = False


@record
class OtherTest:
    """An arm on a test set of its own, e.g. the hand-written questions."""

    name: str
    arm: str
    score: Measured
    note: str | None = None


@record
class Control:
    """A control of a step-by-step student. `difference` is the student minus its control on the same rows."""

    what: str
    arm: str
    score: Measured
    difference: Measured
    steps: int | None = None
    wall_s: float | None = None


@record
class StepByStep:
    """Whether the reasons helped a student that learned step by step: what it gains over its controls."""

    arm: str
    score: Measured
    steps: int | None
    wall_s: float | None
    controls: tuple[Control, ...]
    sentence: str


@record
class Provenance:
    """What it takes to run this again."""

    command: str
    created: str  # ISO 8601, UTC
    run: str | None = None
    wall_s: float | None = None
    seeds: tuple[int, ...] = ()
    fingerprints: Mapping[str, str] = field(default_factory=dict)  # data set -> sha256
    versions: Mapping[str, str] = field(default_factory=dict)
    prices: tuple[str, ...] = ()  # one sentence per price, each with its date


@record
class Result:
    """All that a run found. `chosen` is the arm that the verdict recommends; `scored_against` "teacher" means there is no gold."""

    task: str
    instruction: str
    metric: str
    n_train: int
    n_test: int
    verdict: Verdict
    arms: tuple[Arm, ...]
    provenance: Provenance
    scored_against: Source = "gold"
    chosen: str | None = None
    n_validation: int | None = None
    n_calibration: int | None = None
    curves: LearningCurves | None = None
    money: Money | None = None
    confusion: Confusion | None = None  # None for open outputs
    per_class: PerClass | None = None
    disagreements: Disagreements | None = None
    reliability: Reliability | None = None
    threshold_curve: ThresholdCurve | None = None
    cascade: Cascade | None = None
    label_quality: LabelQuality | None = None
    other_tests: tuple[OtherTest, ...] = ()
    step_by_step: tuple[StepByStep, ...] = ()
    win_rates: tuple[WinRates, ...] = ()  # of the students against the prompt, where the metric is a win rate
    warnings: tuple[str, ...] = ()
    format: Literal[1] = 1

    @property
    def heading(self) -> str:
        """What the scores are called: the metric, or "agreement with the teacher" where nothing better than the teacher is known."""
        if self.win_rates:  # judged answer against answer: labels have no part in it
            return self.win_rates[0].heading
        return "agreement with the teacher" if self.scored_against == "teacher" else self.metric.replace("_", " ")

    @property
    def weak(self) -> str | None:
        """What has to be said of a metric that rewards shared words; None where there is nothing to say."""
        return WEAK_METRICS.get(self.metric)


@cache
def _adapter() -> TypeAdapter[Result]:
    return TypeAdapter(Result)  # built on first use: it takes tens of milliseconds that `--help` need not wait for


def to_dict(result: Result) -> dict[str, Any]:
    """The result in JSON's own types, as `result.json` holds it."""
    raw: dict[str, Any] = _adapter().dump_python(result, mode="json")
    return raw


def from_dict(raw: Mapping[str, Any], where: str = "result.json") -> Result:
    """Read what `to_dict` wrote. Raises UserError naming `where` and the first key that is unknown, missing or of another type."""
    try:
        return _adapter().validate_json(json.dumps(raw, allow_nan=True), strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"] if part != "function-before") or "the file"
        raise UserError(
            f"{where}: {key}: {problem['msg'].removeprefix('Value error, ')}; was it written by another version? run the command again"
        ) from None


def load_result(path: Path) -> Result:
    """The result in a file, or in the run directory that holds `result.json`."""
    path = path / "result.json" if path.is_dir() else path
    return from_dict(read_json(path), where=str(path))
