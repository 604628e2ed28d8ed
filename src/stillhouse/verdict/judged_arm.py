"""An arm judged: its summary, its gate against the prompt, and what it costs. Pure.

Where rows of one input may be draws of traffic or copies of a file (`data.copies`), numbers are about the draws, and
the gate is about both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stillhouse.evaluation.class_gates import ClassRule
from stillhouse.evaluation.every_way import every_way
from stillhouse.evaluation.harness import ArmSummary, summarise
from stillhouse.evaluation.margin_gate import decide_gate
from stillhouse.experiment.counted_rows import counted, ways
from stillhouse.experiment.material import Material
from stillhouse.records import Estimate
from stillhouse.results.arms import PROMPT
from stillhouse.results.gates import GateResult
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.results.row_result import RowResult
from stillhouse.verdict.money.call_costs import prompt_usd_per_call, student_usd_per_call
from stillhouse.verdict.money.training_costs import fixed_usd


@dataclass(frozen=True)
class JudgedArm:
    """One arm with its summary, and its gate against the prompt where there is one.

    `arm` has the rows that numbers are about. `whole` has all rows, for what has to hold in every way to count them.
    """

    arm: MeasuredArm
    whole: MeasuredArm
    summary: ArmSummary
    gate: GateResult | None = None
    usd_per_call: float | None = None
    fixed_usd: float | None = None


def judge(material: Material, whole: MeasuredArm, prompt: JudgedArm | None, *, once: bool = False) -> JudgedArm:
    """Summary, gate and costs of one arm; `prompt` None: the arm is the prompt itself, or there is none.

    `once`: with each input counted once, and not as numbers are about the rows.
    """
    arm = counted(material, whole, once=once)
    summary = summarise(arm.test, material.metric, latencies_s=arm.latencies_s)
    if is_yardstick(material, arm):  # its agreement with itself is no measurement, and has no interval
        own = Estimate(summary.score.value, summary.score.n)
        summary = replace(summary, score=own, macro_f1=None)
    if arm.kind in ("prompt", "few-shot"):
        return JudgedArm(arm, whole, summary, None, prompt_usd_per_call(material, arm), 0.0)
    gate = None
    if arm.against is not None:
        summary, gate = replace(summary, score=arm.against.win_rates.rate), arm.against.gate
    elif prompt is not None and arm.kind == "student":
        gate = gate_of(material, whole.test, prompt.whole)
    return JudgedArm(arm, whole, summary, gate, student_usd_per_call(material, arm), fixed_usd(material, arm))


def gate_of(material: Material, rows: Sequence[RowResult], other: MeasuredArm) -> GateResult:
    """The gate of the task, of an arm's answers to all test rows against another arm."""
    yardstick = is_yardstick(material, other)
    return gate_in_every_way(material, "test", rows, other.test, against=other.name, by_class=True, yardstick=yardstick)


def is_yardstick(material: Material, arm: MeasuredArm) -> bool:
    """Whether scores are agreement with this very arm, as there is no gold: then its own says nothing."""
    return material.scored_against == "teacher" and arm.kind == "prompt" and material.metric.name != "win_rate"


def gate_in_every_way(
    material: Material,
    part: str,
    rows: Sequence[RowResult],
    other: Sequence[RowResult],
    *,
    against: str = PROMPT,
    by_class: bool = False,
    level: float | None = None,
    yardstick: bool = False,
) -> GateResult:
    """The gate of the task on the rows of a part, in every way in which they count. `level` None: the task's."""
    terms = material.task.gate
    classes: ClassRule = terms.classes if by_class else "none"
    own_ways, other_ways = ways(material, part, rows), ways(material, part, other)

    def decide(way: str) -> GateResult | None:
        if not own_ways[way]:
            return None
        return decide_gate(
            own_ways[way],
            other_ways[way],
            margin=terms.margin,
            level=terms.level if level is None else level,
            labels=material.labels,
            classes=classes,
            class_margin=terms.class_margin,
            group_cap=material.splits.group_cap,
            against=against,
            n_ways=len(own_ways),
            next_level=material.next_level,
            yardstick=yardstick,
        )

    gates = {way: decide(way) for way in own_ways}
    alone = gates.get("")
    return every_way(gates) if alone is None else alone
