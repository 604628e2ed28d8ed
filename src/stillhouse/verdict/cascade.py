"""The cascade of a run: the best student before the prompt, with the threshold that the calibration rows choose. Pure.

The rule for the threshold is in `evaluation.cascade_threshold`; which rows are calibration rows is in
`experiment.calibration_rows`.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stillhouse.evaluation.cascade_threshold import NoThreshold, Threshold, bound_on, choose_for_every_way
from stillhouse.evaluation.harness import summarise
from stillhouse.experiment.counted_rows import counted, whole_ways
from stillhouse.experiment.material import Material
from stillhouse.records import Estimate
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.results.row_result import RowResult
from stillhouse.verdict.judged_arm import JudgedArm, gate_of

# The confidence from which on test rows void a cascade's promise. The value is low on purpose: refusing a good cascade
# costs a saving, but passing a broken one costs answers.
ALERT = 0.8


@dataclass(frozen=True)
class MeasuredCascade:
    """The cascade on the test rows (`judged`), with the threshold of the calibration rows; or why there is none."""

    student: JudgedArm
    outcome: Threshold | NoThreshold
    judged: JudgedArm | None


def find_cascade(material: Material, prompt: JudgedArm | None, students: Sequence[JudgedArm]) -> MeasuredCascade | None:
    """The cascade of the student that was best on its validation rows: the test rows have no say in the choice."""
    # Only students validated on the same labels can be compared.
    alike = [judged for judged in students if judged.arm.learns_from == material.learn_from] or students
    able = [judged for judged in alike if judged.arm.calibration or _is_confident(judged.arm)]
    if prompt is None or not able or material.metric.name == "win_rate":
        return None  # with a win rate, no answer is right or wrong by itself, so there is no harm to bound
    student = max(able, key=lambda judged: judged.arm.training.best_validation if judged.arm.training else 0.0)
    terms = material.task.gate
    own_ways, other_ways = (
        whole_ways(material, "calibration", judged.whole.calibration) for judged in (student, prompt)
    )
    outcome = choose_for_every_way(
        {way: (rows, other_ways[way]) for way, rows in own_ways.items()},
        budget=terms.harm,
        level=material.cascade_level or terms.level,
        group_cap=material.splits.group_cap,
    )
    if isinstance(outcome, NoThreshold):
        return MeasuredCascade(student, outcome, None)
    cascade = _judged(material, student, prompt, outcome.threshold)
    gate = gate_of(material, cascade.whole.test, prompt.whole)
    return MeasuredCascade(student, outcome, replace(cascade, gate=gate))


def counted_once(
    material: Material, cascade: MeasuredCascade, prompt: JudgedArm, student: JudgedArm
) -> MeasuredCascade:
    """The cascade with each test input counted once, as `prompt` and `student` already are; it has no gate."""
    if isinstance(cascade.outcome, NoThreshold):
        return replace(cascade, student=student)
    judged = _judged(material, student, prompt, cascade.outcome.threshold, once=True)
    return MeasuredCascade(student, cascade.outcome, judged)


def _judged(
    material: Material, student: JudgedArm, prompt: JudgedArm, threshold: float, *, once: bool = False
) -> JudgedArm:
    whole = MeasuredArm(
        name="cascade",
        kind="cascade",
        test=cascade_rows(student.whole.test, prompt.whole.test, threshold, student.arm.latencies_s),
        learns_from=student.arm.learns_from,
        rows=student.arm.rows,
        n_train=student.arm.n_train,
        training=student.arm.training,  # training a cascade again means training its student again
        size_bytes=student.arm.size_bytes,
        stand_in=prompt.arm.stand_in,
    )
    arm = counted(material, whole, once=once)
    per_call = None
    if student.usd_per_call is not None and prompt.usd_per_call is not None:
        kept = sum(row.source == "student" for row in arm.test) / len(arm.test)
        per_call = student.usd_per_call + (1 - kept) * prompt.usd_per_call
    summary = summarise(arm.test, material.metric)
    if any(row.latency_s is None for row in arm.test):  # the rows whose latency is known would be the fast ones
        summary = replace(summary, latency_p50_s=None, latency_p99_s=None)
    return JudgedArm(arm, whole, summary, None, per_call, student.fixed_usd)


def _is_confident(arm: MeasuredArm) -> bool:
    return any(row.confidence is not None for row in arm.test)


def harm_in_every_way(material: Material, cascade: JudgedArm, prompt: JudgedArm) -> Estimate:
    """`harm_on` the test rows, counted in the way in which it is surest that there is harm."""
    own_ways, other_ways = (whole_ways(material, "test", judged.whole.test) for judged in (cascade, prompt))
    harms = [harm_on(rows, other_ways[way]) for way, rows in own_ways.items() if rows]
    return max(harms, key=lambda harm: harm.low or 0.0)


def harm_on(cascade: Sequence[RowResult], teacher: Sequence[RowResult], level: float = ALERT) -> Estimate:
    """The share of rows that the cascade's student kept and got wrong where the teacher was right.

    It has a one-sided lower bound at `level`.
    """
    n, bound = len(cascade), bound_on(cascade)
    both = enumerate(zip(cascade, teacher, strict=True))
    unharmed = {place for place, (row, other) in both if row.source != "student" or row.score >= other.score}
    low = 1 - bound.upper(unharmed, level)
    return Estimate(1 - len(unharmed) / n, n, low, None, level, f"{bound.method}, one-sided")


def cascade_rows(
    student: Sequence[RowResult],
    teacher: Sequence[RowResult],
    threshold: float,
    latencies_s: Sequence[float] | None = None,
) -> list[RowResult]:
    """What a cascade would have answered: both parts' answers to these rows are known.

    `latencies_s` are the student's, of single calls. A row takes one of them in turn and, where the teacher was asked,
    its time as well.
    """
    times = itertools.cycle(latencies_s or [None])
    rows = []
    for own, other, own_s in zip(student, teacher, times, strict=False):
        if own.output is not None and own.confidence is not None and own.confidence >= threshold:
            rows.append(replace(own, source="student", latency_s=own_s))
        else:
            both = None if own_s is None or other.latency_s is None else own_s + other.latency_s
            rows.append(replace(other, source="teacher", latency_s=both, confidence=None))
    return rows
