"""What one more correct answer must be worth for an arm and the prompt to change places, from the test rows that both answered."""

from dataclasses import asdict

from stillhouse.advice.breakeven import Line
from stillhouse.advice.worth import sentence, worth
from stillhouse.evaluation.harness import RowResult
from stillhouse.experiment.material import Material
from stillhouse.results.money import AnswerWorth
from stillhouse.verdict import costs
from stillhouse.verdict.gated import Judged


def worth_of(material: Material, judged: Judged, line: Line, prompt: Judged) -> AnswerWorth | None:
    """`line` is the arm's money. None where a price is not known, or where answers are judged against one another and none is right by itself."""
    if material.metric.name == "win_rate":
        return None
    own, asked = (_usd_per_row(material, one, prompt) for one in (judged, prompt))
    once = _once_per_call(material, line)
    if own is None or asked is None or once is None:
        return None
    rows = judged.arm.test
    scores = [row.score for row in rows], [row.score for row in prompt.arm.test]
    groups = [row.group or f"row {row.id}" for row in rows]
    paid = [usd + once for usd in own], asked
    found = worth(judged.arm.name, prompt.arm.name, scores, paid, groups, yours=material.task.money.right_answer_usd)
    if found is None:
        return None
    return AnswerWorth(**asdict(found), sentence=sentence(found, whole_score(material)))


def whole_score(material: Material) -> str:
    """What a score of 1 is, in words."""
    if not material.metric.proportion:
        return f"whole point of {material.metric.name.replace('_', ' ')}"
    return "correct answer" if material.scored_against == "gold" else "answer that agrees with the teacher"


def _usd_per_row(material: Material, judged: Judged, prompt: Judged) -> list[float] | None:
    """What each test row's call costs: the prompt's as measured, a student's its share of the machine, a cascade's both where the prompt was asked."""
    factor, rows = costs.prompt_factor(material), judged.arm.test

    def asked(row: RowResult) -> float | None:
        usd = costs.row_usd(material, judged.arm, row)
        return None if usd is None or factor is None else usd * factor

    if judged.arm.kind in ("prompt", "few-shot"):
        found = [asked(row) for row in rows]
    elif judged.arm.kind == "cascade":
        passed_on = sum(row.source == "teacher" for row in rows) / len(rows)
        own = (
            None
            if judged.usd_per_call is None or prompt.usd_per_call is None
            else judged.usd_per_call - prompt.usd_per_call * passed_on
        )
        found = [costs.known_sum([own, asked(row) if row.source == "teacher" else 0.0]) for row in rows]
    else:
        found = [judged.usd_per_call] * len(rows)
    known = [usd for usd in found if usd is not None]
    return known if len(known) == len(found) else None


def _once_per_call(material: Material, line: Line) -> float | None:
    """A call's share of what was spent once and again, over the horizon; 0 where the number of calls is not known, which the assumptions say."""
    money = material.task.money
    if money.calls_per_day is None:
        return 0.0
    again = 0 if line.renew_days is None else (money.horizon_days - 1) // line.renew_days
    if line.fixed_usd is None or (again and line.renewal_usd is None):
        return None
    return (line.fixed_usd + again * (line.renewal_usd or 0.0)) / (money.calls_per_day * money.horizon_days)
