"""`metric = "win_rate"` in a run of `distill`: a student's answers to the test rows are judged against the prompt's.

The gate goes by the win rate. What people chose, kept in the file `[gate] judgements`, counts wherever the same two
answers to the same input are compared. The model `[gate] judge` is asked about every row whose answers differ.
"""

from collections.abc import Sequence
from dataclasses import replace

from stillhouse.comparison.answers import Answers
from stillhouse.comparison.judge import ask_judge, questions_to_come
from stillhouse.comparison.judgements import Judgements
from stillhouse.comparison.pairs import Pair, pairs_of
from stillhouse.comparison.rating_session import people_on
from stillhouse.comparison.win_rates import Judge, Terms, win_rates
from stillhouse.consent import Bulk
from stillhouse.errors import UserError
from stillhouse.evaluation.win_rate import JudgedRow
from stillhouse.event_loop import result_of
from stillhouse.experiment.material import Material
from stillhouse.records import Example
from stillhouse.results.measured_arm import AgainstPrompt, MeasuredArm
from stillhouse.results.row_result import RowResult
from stillhouse.session import Session
from stillhouse.store import open_store
from stillhouse.task import Task


def refuse_unjudged(task: Task, command: str) -> None:
    """Say before anything is paid or trained what a win rate needs. Raises UserError."""
    if task.metric != "win_rate":
        return
    where = task.path or task.name
    if command == "advise":
        raise UserError(
            f'{where}: metric = "win_rate" has no learning curve, since its judge would be asked twice about every '
            "test row for every size and seed, and what that costs is not told beforehand; "
            "run `stillhouse distill`, which judges each student once"
        )
    if task.data.also_test:
        raise UserError(
            f'{where}: with metric = "win_rate" also_test is not judged; '
            "take it out, and run `stillhouse compare` on those rows"
        )
    if task.data.copies == "traffic":
        raise UserError(
            f'{where}: with metric = "win_rate" each input is judged once, which copies = "traffic" does not allow; '
            'take it out, or set copies = "files"'
        )
    if task.gate.judge is None and not task.resolve(task.gate.judgements).is_file():
        raise UserError(
            f'{where}: metric = "win_rate" needs judgements; name a `judge` in [gate], or distill with '
            'metric = "rouge_l" (weak) first and judge its answers with `stillhouse compare RUN#STUDENT RUN#prompt`'
        )


def judge_calls(task: Task, test: Sequence[Example], n_students: int) -> Bulk | None:
    """What the task's judge will be asked about at most: each test row of each student, in both orders.

    None: there is no judge, or it bills nobody.
    """
    if task.metric != "win_rate" or task.gate.judge is None:
        return None
    return questions_to_come(task.gate.judge, task.instruction, task.teacher, test, n_students)


def judged(material: Material, prompt: MeasuredArm | None, arm: MeasuredArm, session: Session) -> MeasuredArm:
    """The arm with its rows scored against the prompt's, and its win rate; as it is where the metric is another.

    Raises UserError where nobody judged a row.
    """
    task = material.task
    if material.metric.name != "win_rate":
        return arm
    if prompt is None:
        raise UserError(f'{task.path or task.name}: metric = "win_rate" is against the teacher; name one in [teacher]')
    return result_of(_judged(material, prompt, arm, session))


async def _judged(material: Material, prompt: MeasuredArm, arm: MeasuredArm, session: Session) -> MeasuredArm:
    task, gate = material.task, material.task.gate
    pairs = pairs_of(material.splits.test, _answers(arm), _answers(prompt))
    kept_in = task.resolve(gate.judgements)
    rows = [JudgedRow(pair.example.id, pair.group, settled=pair.settled) for pair in pairs]
    if kept_in.is_file():
        with Judgements(kept_in) as kept:
            rows = people_on(pairs, kept)
    judge: Judge | None = None
    if gate.judge is not None:
        with open_store(session.store_in(task.folder)) as store, material.purse.paying_for("the judge"):
            rows, judge = await ask_judge(
                gate.judge, pairs, rows, task.instruction, task.teacher, store, material.purse.ledger, session
            )
        if judge.stand_in:
            material.purse.was_free("the judge")
    found = win_rates((arm.name, prompt.name), pairs, rows, judge=judge, gate=Terms(gate.margin, gate.level))
    if found is None or found[1] is None:
        raise UserError(
            f"{kept_in}: judges no row of {arm.name} against the {prompt.name}; "
            "name a `judge` in [gate], or judge them with `stillhouse compare`"
        )
    return replace(arm, test=_scored(arm.test, pairs, rows), against=AgainstPrompt(found[0], found[1]))


def _answers(arm: MeasuredArm) -> Answers:
    return Answers(arm.name, {row.id: row.output for row in arm.test})


def _scored(test: list[RowResult], pairs: list[Pair], rows: list[JudgedRow]) -> list[RowResult]:
    """Each row's score: the people's choice, or else the judge's over both orders.

    Where there is neither, the row counts as a tie, and its error says so.
    """
    by_id = {pair.example.id: row for pair, row in zip(pairs, rows, strict=True)}
    scored = []
    for result in test:
        row = by_id[result.id]
        score = row.people_score if row.people else row.judge_score
        if score is None:
            scored.append(replace(result, score=0.5, error="not judged"))
        else:
            scored.append(replace(result, score=score))
    return scored
