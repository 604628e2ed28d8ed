"""Where a price is not known: the price from which on, or up to which, an arm pays off. It blocks nothing.

What an arm saves over the horizon is linear in the two prices that may be missing, of a call of the prompt and of an
hour of the machine:

    saving = prompt_calls * prompt_price - machine_hours * machine_price - other_usd

so one missing price has a bound, and two have a line between them.
"""

from dataclasses import dataclass
from datetime import date

from stillhouse.experiment.material import Material
from stillhouse.numbers import count, usd_in_sentence
from stillhouse.results.money import PriceBound
from stillhouse.verdict.judged_arm import JudgedArm
from stillhouse.verdict.money.call_costs import seconds_per_call
from stillhouse.verdict.money.machine import machines
from stillhouse.verdict.money.training_costs import labels_usd, training_s, unpriced_labels, were_there


@dataclass(frozen=True)
class Account:
    """What an arm saves, by the prices that may not be known. See the module.

    `labels_as_calls`: labels whose price is not known either; each is counted as a call of the prompt, in
    `prompt_calls`.
    """

    prompt_calls: float
    machine_hours: float
    other_usd: float
    labels_as_calls: int = 0

    def machine_pays_below(self, prompt_usd: float) -> float:
        """US dollars an hour below which the arm saves enough."""
        return (self.prompt_calls * prompt_usd - self.other_usd) / self.machine_hours

    def prompt_pays_above(self, machine_usd: float) -> float | None:
        """US dollars a call of the prompt above which the arm saves enough; None: at no price."""
        if self.prompt_calls <= 0:
            return None
        return (self.machine_hours * machine_usd + self.other_usd) / self.prompt_calls


def price_bound(material: Material, judged: JudgedArm, prompt: JudgedArm, start: date) -> PriceBound | None:
    """The bound on the prices that are missing; None where none is, or where the bound hangs on something else."""
    if judged.arm.kind not in ("student", "cascade"):
        return None
    of_prompt, of_machine = prompt.usd_per_call, material.task.money.machine_usd_per_hour
    if of_prompt is not None and of_machine is not None:
        return None
    account = account_of(material, judged, start, prompt_is_priced=of_prompt is not None)
    if account is None or account.machine_hours <= 0:
        return None
    name, notes = judged.arm.name, _notes(judged, account)
    if of_prompt is not None:
        most = account.machine_pays_below(of_prompt)
        if most <= 0:
            return PriceBound(name, f"{name} does not pay off at any price of its machine{notes}", never=True)
        return PriceBound(name, f"{name} pays off if its machine costs under {usd_in_sentence(most)} an hour{notes}")
    if account.prompt_calls <= 0:
        return PriceBound(name, f"{name} does not pay off at any price of {prompt.arm.name}{notes}", never=True)
    if of_machine is not None:
        least = usd_in_sentence(account.prompt_pays_above(of_machine))
        return PriceBound(name, f"{name} pays off if a call of {prompt.arm.name} costs over {least}{notes}")
    calls = account.prompt_calls / account.machine_hours
    n = count(calls) if calls >= 10 else f"{calls:.2g}"
    hour = "an hour of its machine costs"
    if account.other_usd:
        hour = f"an hour of its machine and {usd_in_sentence(account.other_usd / account.machine_hours)} cost"
    sentence = f"{name} pays off if {hour} less than {n} calls of {prompt.arm.name}{notes}"
    return PriceBound(name, sentence)


def account_of(material: Material, judged: JudgedArm, start: date, *, prompt_is_priced: bool) -> Account | None:
    """The arm's account over the horizon, or until the prompt's model goes; None: time or labels are not known.

    Where no number of calls a day is known: of one call, without what is spent once.
    """
    money, seconds = material.task.money, seconds_per_call(judged.arm)
    if seconds is None or not seconds:
        return None
    kept = share_kept(judged)
    if money.calls_per_day is None:
        return Account(kept, seconds / 3600 / money.utilisation, 0.0)
    days = money.horizon_days
    if money.prompt_retires is not None:
        days = min(days, (money.prompt_retires - start).days)
    if days <= 0:
        return None
    again = 0 if money.retrain_days is None else (days - 1) // money.retrain_days
    new_labels, there = again * money.retrain_labels, were_there(material, judged.arm)
    labels, unpriced = labels_usd(material, judged.arm), 0
    if labels is None and not there and not prompt_is_priced:
        labels, unpriced = unpriced_labels(material, judged.arm)
    if there and not new_labels:
        labels = 0.0
    if labels is None:
        return None
    times = (0.0 if there else 1.0) + new_labels
    trained_hours = training_s(judged.arm) / 3600 * money.seeds * (money.tries + again)
    hours = 24.0 * machines(money.calls_per_day, seconds, money.utilisation) * days
    other = labels * times + money.least_saving_usd
    if money.training_usd_per_hour is None:  # the serving machine trains, too
        hours += trained_hours
    else:
        other += trained_hours * money.training_usd_per_hour
    return Account(money.calls_per_day * days * kept - unpriced * times, hours, other, unpriced)


def share_kept(judged: JudgedArm) -> float:
    """The share of the test rows that the prompt is not asked about: all of them, for a student alone."""
    if judged.arm.kind != "cascade":
        return 1.0
    return sum(row.source == "student" for row in judged.arm.test) / len(judged.arm.test)


def _notes(judged: JudgedArm, account: Account) -> str:
    """What the bound takes for granted."""
    notes = []
    if judged.arm.kind == "cascade":
        notes.append(f"at the {share_kept(judged):.1%} of calls that it keeps, n = {len(judged.arm.test):,}")
    if account.labels_as_calls:
        notes.append(f"each of its {account.labels_as_calls:,} labels of unknown price counted as a call")
    return f" ({'; '.join(notes)})" if notes else ""
