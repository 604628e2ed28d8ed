"""What a call of an arm costs the app, from what was measured and from what `[money]` says. Pure.

A prompt's calls are priced as they were measured, and with what the app will do otherwise than this run did: ask again,
or wait for a batch. A student's call is its share of the machine that answers it; where the number of calls a day is
known, its share of whole machines. The price of a token, cached or not, is in `llm.prices`.
"""

from datetime import UTC, datetime

from stillhouse.experiment.material import Material
from stillhouse.llm.prices import known_price
from stillhouse.numbers import usd
from stillhouse.records import Usage
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.results.row_result import RowResult
from stillhouse.verdict.money.known_sum import known_sum
from stillhouse.verdict.money.machine import machine_usd_per_call, machines


def prompt_usd_per_call(material: Material, arm: MeasuredArm) -> float | None:
    """A call of a prompt as the app will pay for it.

    None where a row's cost, or the price of the batches that `[money] batch` asks for, is not known.
    """
    factor, paid = prompt_factor(material), [row_usd(material, arm, row) for row in arm.test]
    known = known_sum(paid)
    return None if known is None or factor is None else known / len(paid) * factor


def row_usd(material: Material, arm: MeasuredArm, row: RowResult) -> float | None:
    """What a prompt's answer to this row cost, or would have cost live.

    Where some of the answers came from a batch, all are priced again from their tokens.
    """
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
    share: float | None = 1.0
    if money.batch_discount is not None:
        share = 1 - money.batch_discount
    elif money.batch:
        share = _batch_share(material)
    return None if share is None else (1 + money.retries) * share


def _batch_share(material: Material) -> float | None:
    """What the table asks for these calls in a batch, over what it asks for them live.

    None where the table does not know the model or its batches.
    """
    used = usages(material)
    if material.teacher is None or used is None:
        return None
    now = datetime.now(UTC)
    live, batch = (known_price(material.teacher.name, now, batch=batch) for batch in (False, True))
    if live is None or batch is None:
        return None
    whole = [sum(cost for usage in used if (cost := price.cost_usd(usage)) is not None) for price in (live, batch)]
    return whole[1] / whole[0] if whole[0] else None


def usages(material: Material) -> list[Usage] | None:
    """The tokens of the prompt's calls on the test rows; None unless those of every row are known."""
    teacher, used = material.teacher, []
    for row in material.splits.test if teacher is not None else ():
        answer = teacher.by_id.get(row.id) if teacher is not None else None
        usage = None if answer is None else answer.usage
        if usage is None or usage.input_tokens is None or usage.output_tokens is None:
            return None
        used.append(usage)
    return used or None


def student_usd_per_call(material: Material, arm: MeasuredArm) -> float | None:
    """A call's share of one's own machine.

    Of whole machines where the number of calls a day is known, else of the seconds that it takes.
    """
    money, seconds = material.task.money, seconds_per_call(arm)
    if money.calls_per_day is None or seconds is None or money.machine_usd_per_hour is None:
        return machine_usd_per_call(money.machine_usd_per_hour, seconds, money.utilisation)
    n = machines(money.calls_per_day, seconds, money.utilisation)
    return 24 * n * money.machine_usd_per_hour / money.calls_per_day


def student_cost_note(material: Material, arm: MeasuredArm) -> str | None:
    """What that share is a share of; None where it is not known."""
    money, seconds = material.task.money, seconds_per_call(arm)
    if money.machine_usd_per_hour is None or seconds is None:
        return None
    price = f"at {usd(money.machine_usd_per_hour)} an hour"
    if money.calls_per_day is None:
        return f"its seconds of a machine {price}, {money.utilisation:.0%} busy"
    n = machines(money.calls_per_day, seconds, money.utilisation)
    return f"{n} machine{'s' if n > 1 else ''} {price} for {money.calls_per_day:,g} calls a day"


def seconds_per_call(arm: MeasuredArm) -> float | None:
    """The mean time that a call keeps a machine busy, of those timed one by one where there are any.

    By the clock, or by the processor where that is less: while this machine did other work, a call only waited. Its
    inverse is the throughput of one machine that answers one call at a time.
    """
    times = arm.latencies_s
    if times is not None and arm.busy_s is not None:
        times = [min(pair) for pair in zip(times, arm.busy_s, strict=True)]
    if times is None:
        times = [row.latency_s for row in arm.test if row.latency_s is not None]
    return sum(times) / len(times) if times else None
