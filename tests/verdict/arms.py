"""Measured arms by hand: rows in blocks, each with who is right on them. Every record that `find` reads is built here and nowhere else in these tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from stillhouse.data.copies import CopyRule
from stillhouse.data.measured_rows import MeasuredRows, measured_rows
from stillhouse.data.splits import Splits
from stillhouse.evaluation.metrics import by_name
from stillhouse.experiment.material import Material
from stillhouse.experiment.training_sets import Lesson
from stillhouse.records import Example
from stillhouse.results.learning_curves import Curve, CurvePoint, FewShot, LearningCurves
from stillhouse.results.measured_arm import MeasuredArm, ShownExamples, Training
from stillhouse.results.provenance import Provenance
from stillhouse.results.row_result import RowResult
from stillhouse.results.run_result import Result
from stillhouse.results.verdict import HalfStep
from stillhouse.task import Task
from stillhouse.verdict.findings import find
from stillhouse.words import normalise

LABELS = ("common", "rare")
PROVENANCE = Provenance(command="stillhouse advise", created="2026-10-01T12:00:00Z")


@dataclass(frozen=True)
class Rows:
    """So many rows of one kind: the arms that are right on them, and how sure every student is of its answer (None: it does not say).

    `input`: all these rows have this one input; None: each has its own. `seen`: the students learned from rows with these inputs.
    """

    n: int
    right: str  # names of arms, apart by spaces
    sure: float | None = None
    label: str = "common"
    input: str | None = None
    seen: bool = False


@dataclass(frozen=True)
class Arm:
    """A system. `seconds`: of a single call on one's own machine; `usd`: what a call of a prompt costs; `examples`: how many a prompt shows."""

    name: str
    kind: str = "student"
    learns_from: str = "teacher"
    validation: float = 0.8
    seconds: float | None = None
    usd: float | None = None
    examples: int | None = None
    training_s: float = 0.0


PROMPT = Arm("prompt", "prompt")
LINEAR, ENCODER = Arm("linear"), Arm("encoder")


def shown(k: int, usd: float | None = None) -> Arm:
    """The prompt with k examples in it; its name among the rows is `shown-K`."""
    return Arm(f"shown-{k}", "few-shot", examples=k, usd=usd)


@dataclass(frozen=True)
class Measured:
    """What was measured, and what the task asks for. Margin, level and harm are the defaults: 2 points, 95 %, 2 %."""

    arms: Sequence[Arm]
    test: Sequence[Rows]
    calibration: Sequence[Rows] = ()
    elsewhere: Sequence[Rows] = ()  # a test set of its own, called "elsewhere"
    trained_on: Sequence[Rows] = (Rows(1000, "", label="none of them"),)  # so that no label is the commonest
    ladder: Sequence[str] = ()  # students that there are to be; empty: those that are measured
    money: Mapping[str, float] = field(default_factory=dict)  # keys of [money]
    shown_means: Mapping[int, float] = field(default_factory=dict)  # of k examples, over their draws
    again: Mapping[str, float] = field(
        default_factory=dict
    )  # a student's score if its last doubling's gain comes again
    curve_end: float = 0.96  # where those curves end, at 1,000 training rows
    bought: Sequence[HalfStep] = ()  # training rows that earlier runs asked for
    labels: Sequence[str] | None = LABELS
    metric: str = "accuracy"
    copies: CopyRule = None
    scored_against: str = "gold"


def found(measured: Measured) -> Result:
    """The result of a run that measured this."""
    arms = [_arm(measured, arm) for arm in measured.arms]
    return find(_material(measured), arms, PROVENANCE, curves=_curves(measured), bought=measured.bought)


def calibration_rows(rows: Sequence[Example], scored_against: str = "gold") -> list[Example]:
    """Those of these rows that a run's material lets choose the threshold."""
    material = _material(Measured([PROMPT], [Rows(1, "prompt")], scored_against=scored_against))
    return replace(material, splits=replace(material.splits, calibration=list(rows))).calibration


def _material(measured: Measured) -> Material:
    students = [arm.name for arm in measured.arms if arm.kind == "student"]
    ladder = tuple(measured.ladder or students or ["linear"])
    task = Task("cases", "Which?", "choice", LABELS, metric=measured.metric)
    task = replace(
        task,
        student=task.student.model_copy(update={"ladder": ladder}),
        money=task.money.model_copy(update=dict(measured.money)),
    )
    test, calibration = (_counted(measured, part) for part in ("test", "calibration"))
    splits = Splits(
        train=_examples("train", measured.trained_on),
        validation=_examples("validation", [Rows(100, "")]),
        calibration=calibration.rows,
        test=test.rows,
        unlabelled=[],
        also_test={"elsewhere": _examples("elsewhere", measured.elsewhere)} if measured.elsewhere else {},
        notes=[*test.notes, *calibration.notes],
        readings={part: of.readings for part, of in (("test", test), ("calibration", calibration)) if of.readings},
    )
    labels = None if measured.labels is None else tuple(measured.labels)
    lessons = (Lesson("teacher", splits.train, splits.validation),)
    return Material(
        task=task,
        splits=splits,
        metric=by_name(measured.metric),
        labels=labels,
        learn_from="teacher",
        scored_against=measured.scored_against,
        teacher=None,
        doubts=tuple(splits.doubts),
        notes=tuple(splits.notes),
        lessons=lessons,
    )


def _examples(part: str, blocks: Sequence[Rows]) -> list[Example]:
    of_rows = [block for block in blocks for _ in range(block.n)]
    return [
        Example(f"{part}-{number}", block.input or f"row {number}", block.label) for number, block in enumerate(of_rows)
    ]


def _counted(measured: Measured, part: str) -> MeasuredRows:
    """The rows as a task counts them; the arms answer those that are kept."""
    blocks = measured.test if part == "test" else measured.calibration
    rows, seen = _examples(part, blocks), [block.seen for block in blocks for _ in range(block.n)]
    trained = {normalise(row.text) for row, is_seen in zip(rows, seen, strict=True) if is_seen}
    return measured_rows(part, rows, rows, measured.copies, trained_texts=trained)


def _arm(measured: Measured, arm: Arm) -> MeasuredArm:
    training = Training(
        seed=0,
        wall_s=arm.training_s,
        best_validation=arm.validation,
        metric=measured.metric,
        n_validation=100,
        n_parameters=1,
    )
    shots = arm.examples or 0
    return MeasuredArm(
        name=arm.name,
        kind=arm.kind,
        test=_kept(measured, "test", _rows("test", measured.test, arm)),
        calibration=_kept(measured, "calibration", _rows("calibration", measured.calibration, arm)),
        others={"elsewhere": _rows("elsewhere", measured.elsewhere, arm)} if measured.elsewhere else {},
        latencies_s=None if arm.seconds is None else [arm.seconds] * 10,
        learns_from=arm.learns_from if arm.kind == "student" else None,
        n_train=1000 if arm.kind == "student" else None,
        training=training if arm.kind == "student" else None,
        examples=ShownExamples(shots, 0, shots, ()) if arm.examples is not None else None,
    )


def _kept(measured: Measured, part: str, rows: list[RowResult]) -> list[RowResult]:
    group_of = {row.id: row.group for row in _counted(measured, part).rows}
    return [replace(row, group=group_of[row.id]) for row in rows if row.id in group_of]


def _rows(part: str, blocks: Sequence[Rows], arm: Arm) -> list[RowResult]:
    rows = []
    for block in blocks:
        right = arm.name in block.right.split()
        output = block.label if right else next(label for label in LABELS if label != block.label)
        sure = block.sure if arm.kind == "student" else None
        for _ in range(block.n):
            id_ = f"{part}-{len(rows)}"
            rows.append(
                RowResult(
                    id=id_,
                    group=None,
                    gold=block.label,
                    output=output,
                    score=float(right),
                    confidence=sure,
                    cost_usd=arm.usd,
                )
            )
    return rows


def _curves(measured: Measured) -> LearningCurves | None:
    if not measured.shown_means and not measured.again:
        return None
    n, end = sum(block.n for block in measured.test), measured.curve_end
    points = tuple(CurvePoint(k, mean) for k, mean in measured.shown_means.items())
    curves = tuple(
        Curve(name, (CurvePoint(500, 2 * end - high), CurvePoint(1000, end)), n, "teacher")
        for name, high in measured.again.items()
    )
    return LearningCurves(curves, few_shot=FewShot(points, n) if points else None)
