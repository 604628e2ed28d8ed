"""Where a price is not known: the price from which on, or up to which, an arm pays off. It blocks nothing."""

from stillhouse.experiment.material import Material
from stillhouse.numbers import usd_in_sentence
from stillhouse.results.money import PriceBound
from stillhouse.verdict.judged_arm import JudgedArm
from stillhouse.verdict.money.call_costs import seconds_per_call
from stillhouse.verdict.money.machine import machines
from stillhouse.verdict.money.training_costs import labels_usd, training_s, were_there


def price_bound(material: Material, judged: JudgedArm, prompt: JudgedArm) -> PriceBound | None:
    """The bound on the one price that is missing; None where none is, or more than one."""
    if judged.arm.kind != "student":
        return None
    name = judged.arm.name
    if judged.usd_per_call is None and prompt.usd_per_call is not None:
        most = machine_pays_below(material, judged, prompt.usd_per_call)
        if most is None:
            return None
        if most <= 0:
            return PriceBound(name, f"{name} does not pay off at any price of its machine")
        return PriceBound(name, f"{name} pays off if its machine costs under {usd_in_sentence(most)} an hour")
    if judged.usd_per_call is not None and prompt.usd_per_call is None:
        once = _once_per_call(material, judged)
        if once is None:
            return None
        least = judged.usd_per_call + once
        return PriceBound(name, f"{name} pays off if a call of {prompt.arm.name} costs over {usd_in_sentence(least)}")
    return None


def machine_pays_below(material: Material, judged: JudgedArm, prompt_usd: float) -> float | None:
    """US dollars an hour below which the student saves money over the horizon; None: not known.

    Where no number of calls a day is known: per call, without what is spent once.
    """
    money, seconds = material.task.money, seconds_per_call(judged.arm)
    if seconds is None or not seconds:
        return None
    if money.calls_per_day is None:
        return prompt_usd / seconds * 3600 * money.utilisation
    labels = 0.0 if were_there(material, judged.arm) else labels_usd(material, judged.arm)
    if labels is None:
        return None
    hours = 24.0 * machines(money.calls_per_day, seconds, money.utilisation) * money.horizon_days
    if money.training_usd_per_hour is None:  # the serving machine trains, too
        hours += training_s(judged.arm) / 3600 * money.tries * money.seeds
    else:
        labels += training_s(judged.arm) / 3600 * money.tries * money.seeds * money.training_usd_per_hour
    return (money.calls_per_day * money.horizon_days * prompt_usd - labels) / hours


def _once_per_call(material: Material, judged: JudgedArm) -> float | None:
    """What is spent once on the arm, per call of the horizon; 0 where no number of calls is known."""
    money = material.task.money
    if money.calls_per_day is None:
        return 0.0
    return None if judged.fixed_usd is None else judged.fixed_usd / (money.calls_per_day * money.horizon_days)
