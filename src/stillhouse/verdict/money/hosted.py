"""A hosted finetune at its own prices. It was not measured: its cost alone stands beside the measured arms."""

from stillhouse.experiment.material import Material
from stillhouse.llm.prices import known_price
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.verdict.money.break_even import ArmMoney
from stillhouse.verdict.money.call_costs import usages
from stillhouse.verdict.money.known_sum import known_sum
from stillhouse.verdict.money.training_costs import labels_usd, were_there


def hosted_money(material: Material) -> ArmMoney | None:
    """The costs of the hosted finetune; None where `[money]` names no hosted model.

    Its calls and its training rows are taken to be as long as the prompt's calls, and it learns what the others learn.
    """
    money, used = material.task.money, usages(material)
    if money.hosted_model is None:
        return None
    price, name = known_price(money.hosted_model), f"hosted {money.hosted_model}"
    if price is None or used is None:
        return _money(material, name, None, None)
    of_tokens = sum(cost for usage in used if (cost := price.cost_usd(usage)) is not None) / len(used)
    per_call: list[float | None] = [of_tokens]
    if money.hosted_usd_per_hour is not None:
        per_call.append(None if money.calls_per_day is None else 24 * money.hosted_usd_per_hour / money.calls_per_day)
    n_train = len(material.splits.train)
    n_tokens = sum((usage.input_tokens or 0) + (usage.output_tokens or 0) for usage in used)
    trained_tokens = n_tokens / len(used) * n_train * money.hosted_epochs
    training = None
    if money.hosted_train_usd_per_m is not None:
        training = trained_tokens * money.hosted_train_usd_per_m / 1e6 * money.tries
    rows = material.own_lesson.rows
    arm = MeasuredArm(name=name, kind="student", test=[], learns_from=material.learn_from, rows=rows, n_train=n_train)
    labels = 0.0 if were_there(material, arm) else labels_usd(material, arm)
    return _money(material, name, known_sum([training, labels]), known_sum(per_call))


def _money(material: Material, name: str, fixed_usd: float | None, usd_per_call: float | None) -> ArmMoney:
    ends = material.task.money.hosted_retires
    return ArmMoney(name=name, fixed_usd=fixed_usd, usd_per_call=usd_per_call, ends=ends, begins_again=True)
