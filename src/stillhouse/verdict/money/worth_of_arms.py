"""What one more correct answer must be worth for an arm and the prompt to change places.

From the test rows that both answered.
"""

from datetime import date

from stillhouse.experiment.material import Material
from stillhouse.results.money import AnswerWorth, NetBenefit
from stillhouse.verdict.judged_arm import JudgedArm
from stillhouse.verdict.money.answer_worth import answer_worth
from stillhouse.verdict.money.break_even import ArmMoney
from stillhouse.verdict.money.call_costs import prompt_factor, row_usd
from stillhouse.verdict.money.known_sum import known_sum
from stillhouse.verdict.money.net_benefit import net_benefit


def worth_of(material: Material, judged: JudgedArm, money: ArmMoney, prompt: JudgedArm) -> AnswerWorth | None:
    """`money` is the arm's.

    None where a price is not known, or where answers are judged against one another and none is right by itself.
    """
    if material.metric.name == "win_rate":
        return None
    arm_usd, prompt_usd = _usd_per_row(material, judged, prompt), _usd_per_row(material, prompt, prompt)
    once = _once_per_call(material, money)
    if arm_usd is None or prompt_usd is None or once is None:
        return None
    rows = judged.arm.test
    return answer_worth(
        judged.arm.name,
        prompt.arm.name,
        ([row.score for row in rows], [row.score for row in prompt.arm.test]),
        ([usd + once for usd in arm_usd], prompt_usd),
        [row.group or f"row {row.id}" for row in rows],
        yours=material.task.money.right_answer_usd,
        unit=whole_score(material),
        agreement=material.scored_against == "teacher",
    )


def net_of(
    material: Material, judged: JudgedArm, money: ArmMoney, prompt: JudgedArm, against: ArmMoney, start: date
) -> NetBenefit | None:
    """What the arm saves and brings against the prompt over the horizon; None where a price is not known."""
    arm_usd, prompt_usd = _usd_per_row(material, judged, prompt), _usd_per_row(material, prompt, prompt)
    if arm_usd is None or prompt_usd is None:
        return None
    terms, rows = material.task.money, judged.arm.test
    if material.metric.name == "win_rate":  # no answer is right or wrong by itself
        terms = terms.model_copy(update={"right_answer_usd": None})
    return net_benefit(
        money,
        against,
        ([row.score for row in rows], [row.score for row in prompt.arm.test]),
        (arm_usd, prompt_usd),
        [row.group or f"row {row.id}" for row in rows],
        terms,
        level=material.task.gate.level,
        start=start,
        unit=whole_score(material).replace("correct answer", "right answer"),
    )


def whole_score(material: Material) -> str:
    """What a score of 1 is, in words."""
    if not material.metric.proportion:
        return f"whole point of {material.metric.name.replace('_', ' ')}"
    return "correct answer" if material.scored_against == "gold" else "answer that agrees with the teacher"


def _usd_per_row(material: Material, judged: JudgedArm, prompt: JudgedArm) -> list[float] | None:
    """What each test row's call costs; None where one is not known.

    A prompt's call as measured, a student's as its share of the machine, a cascade's as both where the prompt was
    asked.
    """
    factor, rows = prompt_factor(material), judged.arm.test
    of_prompt: list[float | None] = []
    for row in rows:
        usd = row_usd(material, judged.arm, row)
        of_prompt.append(None if usd is None or factor is None else usd * factor)
    if judged.arm.kind in ("prompt", "few-shot"):
        per_row = of_prompt
    elif judged.arm.kind == "cascade":
        passed_on = sum(row.source == "teacher" for row in rows) / len(rows)
        student = None
        if judged.usd_per_call is not None and prompt.usd_per_call is not None:
            student = judged.usd_per_call - prompt.usd_per_call * passed_on
        prompts = [usd if row.source == "teacher" else 0.0 for row, usd in zip(rows, of_prompt, strict=True)]
        per_row = [known_sum([student, usd]) for usd in prompts]
    else:
        per_row = [judged.usd_per_call] * len(rows)
    known = [usd for usd in per_row if usd is not None]
    return known if len(known) == len(per_row) else None


def _once_per_call(material: Material, arm: ArmMoney) -> float | None:
    """A call's share of what is spent once, and of what comes back, over the horizon.

    0 where the number of calls is not known, which the assumptions say.
    """
    money = material.task.money
    if money.calls_per_day is None:
        return 0.0
    again = 0 if arm.renew_days is None else (money.horizon_days - 1) // arm.renew_days
    if arm.fixed_usd is None or (again and arm.renewal_usd is None):
        return None
    return (arm.fixed_usd + again * (arm.renewal_usd or 0.0)) / (money.calls_per_day * money.horizon_days)
