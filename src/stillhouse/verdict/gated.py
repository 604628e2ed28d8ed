"""An arm judged: its summary, its gate against the prompt, and its costs; and the cascade of the best student before the prompt. Pure."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stillhouse.evaluation.deferral import NoThreshold, Threshold, choose_threshold
from stillhouse.evaluation.gate import GateResult, decide_gate
from stillhouse.evaluation.harness import ArmSummary, RowResult, summarise
from stillhouse.evaluation.proportions import clopper_pearson_upper
from stillhouse.experiment.arms import MeasuredArm
from stillhouse.experiment.material import Material
from stillhouse.records import Estimate
from stillhouse.verdict.costs import fixed_usd, prompt_usd_per_call, student_usd_per_call

ALERT = 0.8  # confidence from which test rows void a cascade's promise: to refuse a good one costs a saving, to pass a broken one costs answers


@dataclass(frozen=True)
class Judged:
    """One arm with its summary, and its gate against the prompt where there is one."""

    arm: MeasuredArm
    summary: ArmSummary
    gate: GateResult | None = None
    usd_per_call: float | None = None
    fixed_usd: float | None = None


@dataclass(frozen=True)
class CascadeFound:
    """The cascade on the test rows (`judged`), with the threshold that the calibration rows chose; or why there is none."""

    student: Judged
    outcome: Threshold | NoThreshold
    judged: Judged | None


def judge(material: Material, arm: MeasuredArm, prompt: Judged | None) -> Judged:
    """Summary, gate and costs of one arm; `prompt` None: the arm is the prompt itself, or there is none."""
    gate_of = material.task.gate
    summary = summarise(arm.test, material.metric, latencies_s=arm.latencies_s)
    if arm.kind in ("prompt", "few-shot"):
        return Judged(arm, summary, None, prompt_usd_per_call(material, arm), 0.0)
    gate = None
    if arm.against is not None:
        summary, gate = replace(summary, score=arm.against.found.rate), arm.against.gate
    elif prompt is not None and arm.kind == "student":
        gate = decide_gate(
            arm.test, prompt.arm.test, margin=gate_of.margin, level=gate_of.level, labels=material.labels
        )
    return Judged(arm, summary, gate, student_usd_per_call(material, arm), fixed_usd(material, arm))


def find_cascade(material: Material, prompt: Judged | None, students: Sequence[Judged]) -> CascadeFound | None:
    """Of the student that was best on its validation rows: the test rows have no say in the choice."""
    alike = [
        judged for judged in students if judged.arm.learns_from == material.learn_from
    ] or students  # validated by the same labels
    able = [
        judged
        for judged in alike
        if judged.arm.calibration or any(row.confidence is not None for row in judged.arm.test)
    ]
    if (
        prompt is None or not able or material.metric.name == "win_rate"
    ):  # right and wrong are not known: there is no harm to bound
        return None
    student = max(able, key=lambda judged: judged.arm.facts.get("best_validation", 0.0))
    gate = material.task.gate
    outcome = choose_threshold(student.arm.calibration, prompt.arm.calibration, budget=gate.harm, level=gate.level)
    if isinstance(outcome, NoThreshold):
        return CascadeFound(student, outcome, None)
    rows = cascade_rows(student.arm.test, prompt.arm.test, outcome.threshold, student.arm.latencies_s)
    kept = sum(row.source == "student" for row in rows) / len(rows)
    arm = MeasuredArm(
        "cascade",
        "cascade",
        rows,
        [],
        learns_from=student.arm.learns_from,
        n_train=student.arm.n_train,
        stand_in=prompt.arm.stand_in,
    )
    per_call = None
    if student.usd_per_call is not None and prompt.usd_per_call is not None:
        per_call = student.usd_per_call + (1 - kept) * prompt.usd_per_call
    summary = summarise(rows, material.metric)
    if any(row.latency_s is None for row in rows):  # those that are known would be the fast ones
        summary = replace(summary, latency_p50_s=None, latency_p99_s=None)
    decided = decide_gate(rows, prompt.arm.test, margin=gate.margin, level=gate.level, labels=material.labels)
    return CascadeFound(
        student,
        outcome,
        Judged(replace(arm, size_bytes=student.arm.size_bytes), summary, decided, per_call, student.fixed_usd),
    )


def harm_on(cascade: Sequence[RowResult], teacher: Sequence[RowResult], level: float = ALERT) -> Estimate:
    """The share of rows that the cascade's student kept and got wrong where the teacher was right, with a one-sided lower bound at `level`."""
    n = len(cascade)
    harmed = sum(
        row.source == "student" and row.score < other.score for row, other in zip(cascade, teacher, strict=True)
    )
    return Estimate(
        harmed / n, n, 1 - clopper_pearson_upper(n - harmed, n, level), None, level, "Clopper-Pearson, one-sided"
    )


def cascade_rows(
    student: Sequence[RowResult],
    teacher: Sequence[RowResult],
    threshold: float,
    latencies_s: Sequence[float] | None = None,
) -> list[RowResult]:
    """What a cascade would have answered: both parts' answers to these rows are known.

    `latencies_s` are the student's, of single calls: a row takes one of them in turn and, where the teacher was asked, its time as well.
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
