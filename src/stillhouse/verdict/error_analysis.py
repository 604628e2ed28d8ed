"""What a report shows of one student alone: confusion, classes, reliability, disagreements, and its cascade's curve."""

from collections.abc import Sequence

from stillhouse.evaluation.metrics import ClassScore, per_class
from stillhouse.evaluation.reliability import expected_calibration_error, reliability_bins
from stillhouse.experiment.material import Material
from stillhouse.results.cascade import ThresholdCurve, ThresholdPoint
from stillhouse.results.error_analysis import (
    ClassRow,
    Confusion,
    Disagreement,
    Disagreements,
    PerClass,
    Reliability,
    ReliabilityBin,
)
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.results.row_result import RowResult
from stillhouse.verdict.cascade import cascade_rows
from stillhouse.verdict.judged_arm import JudgedArm

N_DISAGREEMENTS = 20
N_THRESHOLDS = 60


def confusion(name: str, rows: Sequence[RowResult], labels: Sequence[str]) -> Confusion:
    at = {label: number for number, label in enumerate(labels)}
    counts = [[0] * len(labels) for _ in labels]
    no_answer = [0] * len(labels)
    for row in rows:
        if row.output in at:
            counts[at[row.gold]][at[row.output]] += 1
        else:
            no_answer[at[row.gold]] += 1
    return Confusion(name, tuple(labels), tuple(map(tuple, counts)), tuple(no_answer))


def class_table(shown: JudgedArm, prompt: JudgedArm | None, labels: Sequence[str]) -> PerClass:
    gates = {gate.label: gate for gate in (shown.gate.per_class if shown.gate else ())}
    teacher = {}
    if prompt is not None and not (shown.gate is not None and shown.gate.yardstick):
        teacher = {score.label: score.recall for score in _class_scores(prompt.arm, labels)}
    rows = []
    for score in _class_scores(shown.arm, labels):
        gate = gates.get(score.label)
        rows.append(
            ClassRow(
                label=score.label,
                n=score.n,
                n_predicted=score.n_predicted,
                precision=score.precision,
                recall=score.recall,
                f1=score.f1,
                teacher_recall=teacher.get(score.label),
                difference=gate.difference if gate else None,
                gate=gate.answer if gate else None,
            )
        )
    return PerClass(shown.arm.name, tuple(rows))


def _class_scores(arm: MeasuredArm, labels: Sequence[str]) -> list[ClassScore]:
    return per_class([row.gold for row in arm.test], [row.output for row in arm.test], labels)


def reliability(name: str, rows: Sequence[RowResult]) -> Reliability | None:
    """Ten bins of equal width, after calibration and before it; for scores that are no proportions there is none."""
    known = [(row.confidence, row.score) for row in rows if row.confidence is not None]
    if not known or any(score not in (0.0, 1.0) for _, score in known):
        return None
    raw = [(row.raw_confidence, row.score) for row in rows if row.raw_confidence is not None]
    # With some raw confidences missing, these bins would hold other rows, and could not be compared.
    before = _bins(raw) if len(raw) == len(known) else ((), None)
    return Reliability(name, len(known), *_bins(known), *before)


def _bins(known: Sequence[tuple[float, float]]) -> tuple[tuple[ReliabilityBin, ...], float]:
    """(confidence, right) pairs in bins, and the expected calibration error over these."""
    bins = reliability_bins([confidence for confidence, _ in known], [score == 1.0 for _, score in known])
    return bins, expected_calibration_error(bins)


def disagreements(material: Material, shown: JudgedArm, prompt: JudgedArm) -> Disagreements:
    inputs = {row.id: row.text for row in material.splits.test}
    both = zip(shown.arm.test, prompt.arm.test, strict=True)
    differ = [(own, other) for own, other in both if own.output != other.output]
    surest = sorted(differ, key=lambda pair: -(pair[0].confidence or 0.0))[:N_DISAGREEMENTS]
    rows = tuple(
        Disagreement(own.id, inputs[own.id], own.gold, other.output, own.output, own.confidence)
        for own, other in surest
    )
    names, n = (shown.arm.name, prompt.arm.name), len(shown.arm.test)
    return Disagreements(*names, len(differ), n, rows, "the student's confidence, surest first")


def threshold_curve(student: JudgedArm, prompt: JudgedArm) -> ThresholdCurve:
    """Accuracy, share kept and cost on the test rows, at quantiles of the confidence."""
    confidences = sorted({row.confidence for row in student.arm.test if row.confidence is not None})
    stride = max(1, len(confidences) // N_THRESHOLDS)
    n, points = len(student.arm.test), []
    for threshold in sorted({*confidences[::stride], *confidences[-1:]}):
        rows = cascade_rows(student.arm.test, prompt.arm.test, threshold)
        share = sum(row.source == "student" for row in rows) / n
        cost = None
        if student.usd_per_call is not None and prompt.usd_per_call is not None:
            cost = 1000 * (student.usd_per_call + (1 - share) * prompt.usd_per_call)
        points.append(ThresholdPoint(threshold, share, sum(row.score for row in rows) / n, cost))
    return ThresholdCurve(
        student=student.arm.name,
        teacher=prompt.arm.name,
        n=n,
        points=tuple(points),
        student_accuracy=student.summary.score.value,
        teacher_accuracy=prompt.summary.score.value,
    )
