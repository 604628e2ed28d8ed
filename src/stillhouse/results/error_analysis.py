"""Where one arm is wrong: confusion, classes, rows where it and the teacher differ, and how far it can be believed."""

from stillhouse.results.gates import GateAnswer
from stillhouse.results.record import Measured, record


@record
class Confusion:
    """Test rows counted by gold label and answer.

    `counts[i][j]`: rows with gold label i that the arm called j. `no_answer[i]`: rows of label i that it did not
    answer.
    """

    arm: str
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    no_answer: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        size = len(self.labels)
        square = len(self.counts) == size and all(len(row) == size for row in self.counts)
        if not square or len(self.no_answer) not in (0, size):
            raise ValueError(f"a confusion matrix of {size} labels has {size} rows of {size} counts")

    @property
    def n(self) -> int:
        return sum(map(sum, self.counts)) + sum(self.no_answer)


@record(kw_only=True)
class ClassRow:
    """One class: `n` gold rows, what the arm makes of them, and the gate's answer for it (Holm over the classes)."""

    label: str
    n: int
    n_predicted: int
    precision: float | None  # None: the class was never predicted
    recall: float | None  # None: the class has no gold rows
    f1: float | None
    teacher_recall: float | None = None
    difference: Measured | None = None  # the arm's score minus the teacher's, on the class's rows
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
    """The rows shown, of `n_differ` that differ among `n` test rows. `chosen_by` says how they were picked."""

    student: str
    teacher: str
    n_differ: int
    n: int
    rows: tuple[Disagreement, ...]
    chosen_by: str | None = None


@record
class ReliabilityBin:
    """The rows whose confidence is from `low` up to `high`: their mean confidence, and how many of them are right.

    The last bin holds a confidence of 1 as well.
    """

    low: float
    high: float
    confidence: float
    accuracy: Measured


@record
class Reliability:
    """How far a student's confidence can be believed. `before`: the same rows before calibration.

    `ece`: the expected calibration error over these bins.
    """

    arm: str
    n: int
    bins: tuple[ReliabilityBin, ...]
    ece: float | None = None
    before: tuple[ReliabilityBin, ...] = ()  # the bins before calibration; empty: not calibrated, or not known
    ece_before: float | None = None
