"""What an arm costs: a call of it, what was spent once, and what comes back; from what was measured and from what `[money]` says. Pure.

The prompt's calls are priced as they were measured, and with what the app will do otherwise than this run did: ask again, or wait for a batch. A student's
call is its share of the machine that answers it; where the number of calls a day is known, that of whole machines.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from stillhouse.advice import breakeven
from stillhouse.evaluation.harness import RowResult
from stillhouse.experiment.arms import MeasuredArm
from stillhouse.experiment.material import Material
from stillhouse.llm.prices import known_price
from stillhouse.records import Usage


def prompt_usd_per_call(material: Material, arm: MeasuredArm) -> float | None:
    """A call of a prompt as the app will pay for it; None where a row's cost, or the price of batches that `[money] batch` asks for, is not known."""
    factor, paid = prompt_factor(material), [row_usd(material, arm, row) for row in arm.test]
    known = known_sum(paid)
    return None if known is None or factor is None else known / len(paid) * factor


def row_usd(material: Material, arm: MeasuredArm, row: RowResult) -> float | None:
    """What a prompt's answer to this row cost, or would have cost live where a batch gave some of the answers: those are priced again from their tokens."""
    if arm.kind == "few-shot" or not batched(material):
        return row.cost_usd
    assert material.teacher is not None and material.teacher.report is not None
    price, answer = material.teacher.report.price, material.teacher.by_id.get(row.id)
    return None if price is None or answer is None or answer.usage is None else price.cost_usd(answer.usage)


def batched(material: Material) -> bool:
    """Whether some of the prompt's answers are from batches, whose price the app's calls will not have."""
    return material.teacher is not None and material.teacher.report is not None and material.teacher.report.batched > 0


def prompt_factor(material: Material) -> float | None:
    """The app's price of a call over the measured one: retries, and the discount of batches."""
    money = material.task.money
    left = 1.0
    if money.batch_discount is not None:
        left = 1 - money.batch_discount
    elif money.batch:
        found = _batch_share(material)
        if found is None:
            return None
        left = found
    return (1 + money.retries) * left


def _batch_share(material: Material) -> float | None:
    """What the table asks for these calls in a batch, over what it asks for them live; None where it does not know the model or its batches."""
    used = usages(material)
    if material.teacher is None or used is None:
        return None
    now = datetime.now(UTC)
    live, batch = (known_price(material.teacher.name, now, batch=batch) for batch in (False, True))
    if live is None or batch is None:
        return None
    whole = [sum(cost for one in used if (cost := price.cost_usd(one)) is not None) for price in (live, batch)]
    return whole[1] / whole[0] if whole[0] else None


def usages(material: Material) -> list[Usage] | None:
    """The tokens of the prompt's calls on the test rows; None unless those of every row are known."""
    teacher = material.teacher
    answers = [] if teacher is None else [teacher.by_id.get(row.id) for row in material.splits.test]
    found = [answer.usage for answer in answers if answer is not None and answer.usage is not None]
    whole = (
        found
        and len(found) == len(answers)
        and all(one.input_tokens is not None and one.output_tokens is not None for one in found)
    )
    return found if whole else None


def student_usd_per_call(material: Material, arm: MeasuredArm) -> float | None:
    """A call's share of one's own machine: of whole machines where the number of calls a day is known, else of the seconds that it takes."""
    money, seconds = material.task.money, seconds_per_call(arm)
    if money.calls_per_day is None or seconds is None or money.machine_usd_per_hour is None:
        return breakeven.machine_usd_per_call(money.machine_usd_per_hour, seconds, money.utilisation)
    n = breakeven.machines(money.calls_per_day, seconds, money.utilisation)
    return 24 * n * money.machine_usd_per_hour / money.calls_per_day


def student_cost_note(material: Material, arm: MeasuredArm) -> str | None:
    """What that share is a share of; None where it is not known."""
    money, seconds = material.task.money, seconds_per_call(arm)
    if money.machine_usd_per_hour is None or seconds is None:
        return None
    price = f"at ${money.machine_usd_per_hour:.2f} an hour"
    if money.calls_per_day is None:
        return f"its seconds of a machine {price}, {money.utilisation:.0%} busy"
    n = breakeven.machines(money.calls_per_day, seconds, money.utilisation)
    return f"{n} machine{'s' if n > 1 else ''} {price} for {money.calls_per_day:,g} calls a day"


def seconds_per_call(arm: MeasuredArm) -> float | None:
    """The mean over the calls that were timed one by one: its inverse is the throughput of one machine that answers one call at a time."""
    times = (
        arm.latencies_s
        if arm.latencies_s is not None
        else [row.latency_s for row in arm.test if row.latency_s is not None]
    )
    return sum(times) / len(times) if times else None


def fixed_usd(material: Material, arm: MeasuredArm) -> float | None:
    """What it took to have this student from here on: the labels it learned and chose by, and the machine's time. Labels that were there are not counted."""
    labels = 0.0 if were_there(material, arm) else labels_usd(material, arm)
    return known_sum([labels, training_usd(material, arm)])


def were_there(material: Material, arm: MeasuredArm) -> bool:
    """Labels that nobody put a price on: they are spent money, whatever is decided now."""
    return (arm.learns_from != "teacher" or material.teacher is None) and material.task.money.label_usd is None


def labels_usd(material: Material, arm: MeasuredArm) -> float | None:
    """The labels alone, those that a student learns and is chosen by; None where no price is known."""
    if arm.learns_from != "teacher" or material.teacher is None:
        n_labels = (arm.n_train or 0) + len(material.splits.validation)
        return None if material.task.money.label_usd is None else material.task.money.label_usd * n_labels
    lesson = material.lesson(arm.learns_from, arm.facts.get("rows", ""))
    rows = [*lesson.train, *lesson.validation]
    return known_sum(
        [material.teacher.by_id[row.id].cost_usd if row.id in material.teacher.by_id else None for row in rows]
    )


def training_usd(material: Material, arm: MeasuredArm) -> float | None:
    """The machine's time alone, of every try with every seed; None where its price is not known."""
    money = material.task.money
    per_hour = money.machine_usd_per_hour if money.training_usd_per_hour is None else money.training_usd_per_hour
    return (
        None if per_hour is None else per_hour * float(arm.facts.get("wall_s", 0.0)) / 3600 * money.tries * money.seeds
    )


def renewal_usd(material: Material, arm: MeasuredArm) -> float | None:
    """Training it again: the seeds, with settings that are known by then, and the share of labels that is new. New gold labels without a price are unknown."""
    money, training = material.task.money, training_usd(material, arm)
    labels = labels_usd(material, arm)
    again = 0.0 if not money.retrain_labels else None if labels is None else labels * money.retrain_labels
    return known_sum([None if training is None else training / money.tries, again])


def known_sum(amounts: Sequence[float | None]) -> float | None:
    """The sum, or None where a part is not known."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None
