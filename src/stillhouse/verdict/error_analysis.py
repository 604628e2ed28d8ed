"""What a report shows of one student alone: confusion, classes, reliability, the rows where it and the teacher differ, and its cascade's curve."""

from collections.abc import Sequence

from stillhouse.evaluation.harness import RowResult
from stillhouse.evaluation.metrics import per_class
from stillhouse.evaluation.reliability import expected_calibration_error, reliability_bins
from stillhouse.experiment.arms import MeasuredArm
from stillhouse.experiment.material import Material
from stillhouse.results import result as report
from stillhouse.verdict.gated import Judged, cascade_rows

N_DISAGREEMENTS = 20
N_THRESHOLDS = 60


def confusion(name: str, rows: Sequence[RowResult], labels: Sequence[str]) -> report.Confusion:
    at = {label: number for number, label in enumerate(labels)}
    counts = [[0] * len(labels) for _ in labels]
    no_answer = [0] * len(labels)
    for row in rows:
        if row.output in at:
            counts[at[row.gold]][at[row.output]] += 1
        else:
            no_answer[at[row.gold]] += 1
    return report.Confusion(name, tuple(labels), tuple(map(tuple, counts)), tuple(no_answer))


def class_table(shown: Judged, prompt: Judged | None, labels: Sequence[str]) -> report.PerClass:
    def scores(arm: MeasuredArm) -> dict[str, float | None]:
        return {
            score.label: score.recall
            for score in per_class([row.gold for row in arm.test], [row.output for row in arm.test], labels)
        }

    gates = {gate.label: gate for gate in (shown.gate.per_class if shown.gate else ())}
    teacher = scores(prompt.arm) if prompt else {}
    rows = tuple(
        report.ClassRow(
            score.label,
            score.n,
            score.n_predicted,
            score.precision,
            score.recall,
            score.f1,
            teacher.get(score.label),
            gates[score.label].difference if score.label in gates else None,
            gates[score.label].answer if score.label in gates else None,
        )
        for score in per_class([row.gold for row in shown.arm.test], [row.output for row in shown.arm.test], labels)
    )
    return report.PerClass(shown.arm.name, rows)


def reliability(name: str, rows: Sequence[RowResult]) -> report.Reliability | None:
    """Ten bins of equal width, after calibration and before it; for scores that are no proportions there is none."""
    known = [(row.confidence, row.score) for row in rows if row.confidence is not None]
    if not known or any(score not in (0.0, 1.0) for _, score in known):
        return None
    raw = [(row.raw_confidence, row.score) for row in rows if row.raw_confidence is not None]
    before = _bins(raw) if len(raw) == len(known) else ((), None)  # of other rows it would be no comparison
    return report.Reliability(name, len(known), *_bins(known), *before)


def _bins(known: Sequence[tuple[float, float]]) -> tuple[tuple[report.ReliabilityBin, ...], float]:
    """(confidence, right) pairs in bins, and the expected calibration error over these."""
    bins = reliability_bins([confidence for confidence, _ in known], [score == 1.0 for _, score in known])
    return tuple(
        report.ReliabilityBin(one.low, one.high, one.confidence, one.accuracy) for one in bins
    ), expected_calibration_error(bins)


def disagreements(material: Material, shown: Judged, prompt: Judged) -> report.Disagreements:
    inputs = {row.id: row.text for row in material.splits.test}
    differ = [
        (own, other) for own, other in zip(shown.arm.test, prompt.arm.test, strict=True) if own.output != other.output
    ]
    surest = sorted(differ, key=lambda pair: -(pair[0].confidence or 0.0))[:N_DISAGREEMENTS]
    return report.Disagreements(
        shown.arm.name,
        prompt.arm.name,
        len(differ),
        len(shown.arm.test),
        tuple(
            report.Disagreement(own.id, inputs[own.id], own.gold, other.output, own.output, own.confidence)
            for own, other in surest
        ),
        "the student's confidence, surest first",
    )


def threshold_curve(student: Judged, prompt: Judged) -> report.ThresholdCurve:
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
        points.append(report.ThresholdPoint(threshold, share, sum(row.score for row in rows) / n, cost))
    parts = (student.summary.score.value, prompt.summary.score.value)
    return report.ThresholdCurve(student.arm.name, prompt.arm.name, n, tuple(points), "cascade", *parts)
