"""The money of a run's arms: what was spent once, what a call costs, where the lines cross, and what all that assumes."""

from collections.abc import Sequence

from stillhouse.advice import breakeven
from stillhouse.jobs.judged import CascadeFound, Judged, labels_usd, training_usd
from stillhouse.jobs.material import Material
from stillhouse.report import result as report


def line_of(judged: Judged) -> breakeven.Line:
    """Fixed and per-call cost, to be crossed with another arm's."""
    return breakeven.Line(judged.arm.name, judged.fixed_usd, judged.usd_per_call)


def money_of(material: Material, prompt: Judged | None, students: Sequence[Judged], cascade: CascadeFound | None) -> report.Money | None:
    """The report's section; None where there is no prompt to save anything on."""
    if prompt is None:
        return None
    candidates = [*students, *([cascade.judged] if cascade and cascade.judged else [])]
    crossings = [breakeven.break_even(line_of(judged), line_of(prompt)) for judged in candidates]
    return report.Money(
        one_off=tuple(cost for judged in students for cost in _one_off(material, judged)),
        lines=tuple(report.CostLine(judged.arm.name, judged.fixed_usd, judged.usd_per_call) for judged in (prompt, *candidates)),
        break_even=tuple(report.BreakEven(found.arm, found.against, found.calls, found.sentence) for found in crossings),
        assumptions=_assumptions(material),
    )


def _one_off(material: Material, judged: Judged) -> list[report.OneOff]:
    arm = judged.arm
    whose = f"{arm.learns_from} labels for {arm.name}"
    note = None if arm.learns_from == "teacher" or material.task.money.label_usd is not None else "labels that were there already are not counted"
    training = report.OneOff(f"training {arm.name}", training_usd(material, arm), f"{arm.facts.get('wall_s', 0.0):.0f} s on this machine")
    return [report.OneOff(whose, labels_usd(material, arm), note), training]


def _assumptions(material: Material) -> tuple[str, ...]:
    money = material.task.money
    said = []
    if money.machine_usd_per_hour is None:
        said.append("the price of the student's machine is not known; set machine_usd_per_hour in [money]")
    else:
        busy = f"answers calls in {money.utilisation:.0%} of its time, one at a time, at the median latency measured"
        said.append(f"a machine at ${money.machine_usd_per_hour:g} per hour that {busy}")
    if material.teacher is not None and material.teacher.report is not None and (snapshot := material.teacher.report.price_snapshot):
        estimated = ", tokens estimated at four characters each" if material.teacher.stand_in else ""
        said.append(f"the prompt's calls are priced as {snapshot}{estimated}")
    return tuple(said)
