"""The money of a run's arms, for the report and the verdict.

What was spent once, what a call costs, and from how many calls and which day on an arm is the cheaper one.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from stillhouse.experiment.material import Material
from stillhouse.results.money import BreakEven, CostLine, Money, OneOff, PriceBound
from stillhouse.verdict.cascade import MeasuredCascade
from stillhouse.verdict.evidence import MoneyEvidence
from stillhouse.verdict.judged_arm import JudgedArm
from stillhouse.verdict.money.assumptions import assumptions
from stillhouse.verdict.money.break_even import ArmMoney, break_even
from stillhouse.verdict.money.call_parts import call_parts, prompt_price
from stillhouse.verdict.money.hosted import hosted_money
from stillhouse.verdict.money.net_benefit import retirement
from stillhouse.verdict.money.price_bounds import price_bound
from stillhouse.verdict.money.training_costs import labels_usd, renewal_usd, training_s, training_usd, were_there
from stillhouse.verdict.money.worth_of_arms import net_of, whole_score, worth_of


def money_of(
    material: Material,
    prompt: JudgedArm | None,
    rivals: Sequence[JudgedArm],
    cascade: MeasuredCascade | None,
    start: date,
) -> Money | None:
    """The report's section on the prompt and its rivals: students, and prompts with examples.

    None where there is no prompt to save anything on. `start`: the day from which calls are counted.
    """
    if prompt is None:
        return None
    students = [judged for judged in rivals if judged.arm.kind == "student"]
    candidates = [*rivals, *([cascade.judged] if cascade and cascade.judged else [])]
    measured = [arm_money(material, judged) for judged in candidates]
    hosted = hosted_money(material)
    all_but_prompt = [*measured, *([hosted] if hosted else [])]
    against, per_day = arm_money(material, prompt), material.task.money.calls_per_day
    worths = [worth_of(material, judged, money, prompt) for judged, money in zip(candidates, measured, strict=True)]
    nets = [
        net_of(material, judged, of_arm, prompt, against, start)
        for judged, of_arm in zip(candidates, measured, strict=True)
    ]
    price = prompt_price(material)
    bounds = [bound for judged in candidates if (bound := price_bound(material, judged, prompt, start)) is not None]
    evens = [break_even(money, against, calls_per_day=per_day, start=start) for money in all_but_prompt]
    return Money(
        one_off=tuple(cost for judged in students for cost in _one_off(material, judged)),
        lines=tuple(_cost_line(material, money) for money in (against, *all_but_prompt)),
        break_even=tuple(_with_bound(even, bounds) for even in evens),
        assumptions=assumptions(material, prompt, students),
        call_parts=call_parts(material),
        rates=None if price is None else price.snapshot,
        n_calls=len(material.splits.test),
        calls_per_day=per_day,
        unit=whole_score(material),
        worth=tuple(worth for worth in worths if worth is not None),
        net=tuple(net for net in nets if net is not None),
        bounds=tuple(bounds),
        retirement=retirement(against, start),
    )


def _with_bound(even: BreakEven, bounds: Sequence[PriceBound]) -> BreakEven:
    """Where a price is not known, the sentence says up to which, or from which on, the arm pays off."""
    bound = next((bound for bound in bounds if bound.arm == even.arm), None)
    if bound is None or even.calls is not None or even.pays_off is not None:
        return even
    return replace(even, sentence=bound.sentence if bound.never else f"{even.sentence}; {bound.sentence}")


def pays_off(money: Money | None, arm: str) -> bool | None:
    """Whether the arm is shown to save money within the horizon; None: not known."""
    net = next((net for net in (money.net if money else ()) if net.arm == arm), None)
    return None if net is None else net.pays_off


def evidence(money: Money | None, arm: str) -> MoneyEvidence:
    """What the verdict says of an arm's money."""
    if money is None:
        return MoneyEvidence()
    line = next((line for line in money.lines if line.name == arm), None)
    even = next((even for even in money.break_even if even.arm == arm), None)
    worth = next((worth for worth in money.worth if worth.arm == arm), None)
    return MoneyEvidence(
        usd_per_call=line.usd_per_call if line else None,
        prompt_usd_per_call=money.lines[0].usd_per_call,
        fixed_usd=line.fixed_usd if line else None,
        break_even_calls=even.calls if even else None,
        break_even_day=even.day if even else None,
        never_breaks_even=even is not None and even.calls is None and even.pays_off is False,
        worth_usd=worth.flips_at if worth else None,
        worth_low=worth.low if worth else None,
        worth_high=worth.high if worth else None,
        net=next((net for net in money.net if net.arm == arm), None),
        pays_below=next((bound.sentence for bound in money.bounds if bound.arm == arm), None),
        unit=money.unit.replace("correct answer", "right answer"),
    )


def arm_money(material: Material, judged: JudgedArm) -> ArmMoney:
    """An arm's money, to be crossed with another arm's. A cascade goes when its prompt's model goes."""
    money, arm = material.task.money, judged.arm
    is_prompt = arm.kind in ("prompt", "few-shot")
    renewed = not is_prompt and money.retrain_days is not None
    return ArmMoney(
        name=arm.name,
        fixed_usd=judged.fixed_usd,
        usd_per_call=judged.usd_per_call,
        renewal_usd=renewal_usd(material, arm) if renewed else 0.0,
        renew_days=money.retrain_days if renewed else None,
        ends=money.prompt_retires if is_prompt or arm.kind == "cascade" else None,
    )


def _cost_line(material: Material, money: ArmMoney) -> CostLine:
    per_day, notes = material.task.money.calls_per_day, []
    if money.renew_days is not None:
        notes.append(f"trained again every {money.renew_days} days")
    if money.begins_again:
        notes.append("not measured: its cost alone")
    if money.ends is not None:
        notes.append(f"its {'base' if money.begins_again else 'model'} is switched off on {money.ends}")
    renewal_calls = None if money.renew_days is None or per_day is None else money.renew_days * per_day
    renewal = money.renewal_usd if money.renew_days is not None else None
    note = "; ".join(notes) or None
    return CostLine(money.name, money.fixed_usd, money.usd_per_call, note, renewal, renewal_calls)


def _one_off(material: Material, judged: JudgedArm) -> list[OneOff]:
    arm, money = judged.arm, material.task.money
    there = were_there(material, arm)
    note = "they were there already; set label_usd in [money] to count them" if there else None
    by = "to learn, to choose and to test by"
    labels = OneOff(
        f"{arm.learns_from} labels for {arm.name}, {by}", labels_usd(material, arm), note, counted=not there
    )
    seconds, several = training_s(arm), ""
    if money.tries * money.seeds != 1:
        several = f", {money.tries} x {money.seeds} times (tries x seeds)"
    took = f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.2g}"
    training = OneOff(f"training {arm.name}", training_usd(material, arm), f"{took} s on this machine{several}")
    return [labels, training]
