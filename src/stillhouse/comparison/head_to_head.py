"""Two systems answer the same rows, and a judge model, people or both say whose answer is better."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from stillhouse.comparison.answers import Answers, answers_of, answers_to_come, check_side
from stillhouse.comparison.judge import ask_judge, questions_to_come
from stillhouse.comparison.judgements import Judgements
from stillhouse.comparison.pairs import Pair, pairs_of
from stillhouse.comparison.rating_session import RatingSession, people_on
from stillhouse.comparison.win_rates import Judge
from stillhouse.data.dataset import Dataset
from stillhouse.errors import UserError
from stillhouse.evaluation.win_rate import JudgedRow
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.models import KEYED, endpoint
from stillhouse.session import Session
from stillhouse.settings import ModelSettings
from stillhouse.store import open_store
from stillhouse.task import Task

# A page or a terminal at which a person judges until no pair or no time is left.
People = Callable[[RatingSession], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class HeadToHead:
    """What is compared, on which rows, and who judges."""

    a: str
    b: str
    rows: Dataset
    task: Task | None  # the task for prompted models; its instruction is shown with every pair
    settings: ModelSettings  # prices, cap and limits of the models that are asked
    judge: str | None
    people: People | None
    rater: str
    judgements: Path
    session: Session  # a session with a store of its own

    @property
    def instruction(self) -> str | None:
        return None if self.task is None else self.task.instruction


@dataclass(frozen=True)
class JudgedPairs:
    """Both sides' answers, the rows that both answered, and every choice on them."""

    sides: tuple[Answers, Answers]
    pairs: list[Pair]
    rows: list[JudgedRow]
    judge: Judge | None

    @property
    def usage_doubts(self) -> dict[str, int]:
        """What is wrong with the token counts of both sides and of the judge, with the number of answers."""
        doubts = Counter[str]()
        for side in self.sides:
            doubts.update(side.usage_doubts)
        doubts.update({} if self.judge is None else self.judge.usage_doubts)
        return dict(doubts.most_common())


async def judged_pairs(job: HeadToHead, ledger: Ledger) -> JudgedPairs:
    """Ask both sides, then the judge, then the people. Answers, replies and choices are kept as they come.

    Raises UserError where the two have no row in common, and what models raise.
    """
    examples = job.rows.examples
    for name in (job.a, job.b):
        check_side(name, job.task)
    if job.judge is not None and job.judge.startswith(KEYED):
        endpoint(job.judge)
    judge = None if job.judge is None else questions_to_come(job.judge, job.instruction, job.settings, examples)
    other = await answers_to_come(job.b, examples, job.task, job.session)
    session = job.session.before(other, judge)
    a = await answers_of(job.a, examples, job.task, ledger, session)
    session.begins(other)
    b = await answers_of(job.b, examples, job.task, ledger, session)
    session.begins(judge)
    pairs = pairs_of(examples, a, b)
    if not pairs:
        raise UserError(
            f"{job.a} and {job.b} have no row of {job.rows.path} in common; give the data whose ids they answer"
        )
    with Judgements(job.judgements) as kept:
        by_judge, asked = await _ask_judge(job, pairs, ledger, session)
        if job.people is not None:
            await job.people(RatingSession(pairs, kept, job.instruction, job.session.on_progress, job.rater))
        by_people = people_on(pairs, kept)
    rows = [replace(row, judge=judged.judge) for row, judged in zip(by_people, by_judge, strict=True)]
    return JudgedPairs((a, b), pairs, rows, asked)


async def _ask_judge(
    job: HeadToHead, pairs: list[Pair], ledger: Ledger, session: Session
) -> tuple[list[JudgedRow], Judge | None]:
    blank = [JudgedRow(pair.example.id) for pair in pairs]
    if job.judge is None:
        return blank, None
    assert job.session.store is not None
    with open_store(job.session.store) as store:
        return await ask_judge(job.judge, pairs, blank, job.instruction, job.settings, store, ledger, session)
