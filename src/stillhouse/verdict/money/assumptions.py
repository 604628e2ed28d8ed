"""What the money of a run stands on, in sentences.

Prices, volumes, and what the app will do otherwise than the run did.
"""

from collections.abc import Sequence

from stillhouse.experiment.material import Material
from stillhouse.numbers import usd
from stillhouse.verdict.judged_arm import JudgedArm
from stillhouse.verdict.money.call_costs import batched, prompt_factor, seconds_per_call
from stillhouse.verdict.money.machine import machine_pays_from


def assumptions(material: Material, prompt: JudgedArm, students: Sequence[JudgedArm]) -> tuple[str, ...]:
    """The section's small print, the machine first."""
    return (_machine(material), _volume(material), *_prompt(material), *_whole_machines(material, prompt, students))


def _machine(material: Material) -> str:
    money = material.task.money
    if money.machine_usd_per_hour is None:
        return "the price of the student's machine is not known; set machine_usd_per_hour in [money]"
    busy = f"answers calls in {money.utilisation:.0%} of its time, one at a time"
    price = f"a machine at {usd(money.machine_usd_per_hour)} per hour"
    return f"{price} that {busy}, at the mean time per call that was measured, waiting left out"


def _volume(material: Material) -> str:
    money = material.task.money
    if money.calls_per_day is not None:
        once = f"what was spent once spread over {money.horizon_days} days"
        return f"{money.calls_per_day:,g} calls a day, whole machines day and night, {once}"
    left_out = "what was spent once is left out of what an answer is worth, and there is no date"
    then = f"machines are paid by the second, {left_out}"
    return f"how many calls there are a day is not known: {then}; set calls_per_day in [money]"


def _prompt(material: Material) -> list[str]:
    """What the app's calls will cost, and how that differs from what these did."""
    money, teacher, sentences = material.task.money, material.teacher, []
    if teacher is not None and teacher.report is not None and (snapshot := teacher.report.price_snapshot):
        estimated = ", tokens estimated at four characters each" if teacher.stand_in else ""
        sentences.append(f"the prompt's calls are priced as {snapshot}{estimated}")
    if batched(material):
        sentences.append(
            "some of them came from batches: all are priced again from their tokens, as the app's own calls"
        )
    if money.batch_discount is not None:
        sentences.append(f"the app's calls wait for a batch, at a discount of {money.batch_discount:.0%}")
    elif money.batch and prompt_factor(material) is None:
        sentences.append("no table knows what a batch of the prompt's calls costs; set batch_discount in [money]")
    elif money.batch:
        sentences.append("the app's calls wait for a batch, at the table's price")
    if money.retries:
        sentences.append(f"{money.retries:g} more calls are paid for per call that is answered")
    if money.hosted_model is not None:
        tokens = "is priced at as many tokens as the prompt's calls have; a finetune may need fewer"
        sentences.append(f"{money.hosted_model} {tokens}")
    return sentences


def _whole_machines(material: Material, prompt: JudgedArm, students: Sequence[JudgedArm]) -> list[str]:
    """For each student the volume from which one whole machine is cheaper than the prompt's calls.

    A price per call hides that.
    """
    money, sentences = material.task.money, []
    for judged in students:
        seconds = seconds_per_call(judged.arm)
        if money.machine_usd_per_hour is None or seconds is None or prompt.usd_per_call is None:
            continue
        most = f"{86_400 * money.utilisation / seconds:,.0f}"
        a_day = f"a whole machine for {judged.arm.name} costs {usd(24 * money.machine_usd_per_hour)} a day"
        calls = machine_pays_from(money.machine_usd_per_hour, seconds, money.utilisation, prompt.usd_per_call)
        if calls is None:
            sentences.append(f"{a_day}, more than the prompt asks for the {most} calls a day that it can answer")
        else:
            sentences.append(
                f"{a_day}, less than the prompt from {calls:,.0f} calls a day on; it can answer {most} a day"
            )
    return sentences
