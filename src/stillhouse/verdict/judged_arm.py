"""An arm judged: its summary, its gate against the prompt, and what it costs. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stillhouse.evaluation.harness import ArmSummary, summarise
from stillhouse.evaluation.margin_gate import decide_gate
from stillhouse.experiment.material import Material
from stillhouse.results.gates import GateResult
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.results.row_result import RowResult
from stillhouse.verdict.money.call_costs import prompt_usd_per_call, student_usd_per_call
from stillhouse.verdict.money.training_costs import fixed_usd


@dataclass(frozen=True)
class JudgedArm:
    """One arm with its summary, and its gate against the prompt where there is one."""

    arm: MeasuredArm
    summary: ArmSummary
    gate: GateResult | None = None
    usd_per_call: float | None = None
    fixed_usd: float | None = None


def judge(material: Material, arm: MeasuredArm, prompt: JudgedArm | None) -> JudgedArm:
    """Summary, gate and costs of one arm; `prompt` None: the arm is the prompt itself, or there is none."""
    summary = summarise(arm.test, material.metric, latencies_s=arm.latencies_s)
    if arm.kind in ("prompt", "few-shot"):
        return JudgedArm(arm, summary, None, prompt_usd_per_call(material, arm), 0.0)
    gate = None
    if arm.against is not None:
        summary, gate = replace(summary, score=arm.against.win_rates.rate), arm.against.gate
    elif prompt is not None and arm.kind == "student":
        gate = gate_of(material, arm.test, prompt.arm)
    return JudgedArm(arm, summary, gate, student_usd_per_call(material, arm), fixed_usd(material, arm))


def gate_of(material: Material, rows: Sequence[RowResult], other: MeasuredArm) -> GateResult:
    """The gate of the task, of an arm's answers to the test rows against another arm."""
    terms = material.task.gate
    return decide_gate(
        rows,
        other.test,
        margin=terms.margin,
        level=terms.level,
        labels=material.labels,
        classes=terms.classes,
        class_margin=terms.class_margin,
        group_cap=material.splits.group_cap,
        against=other.name,
    )
