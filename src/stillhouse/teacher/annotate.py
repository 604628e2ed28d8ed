"""Labels (and rationales) for a set of rows by a teacher: data as Stanford Alpaca made it, reasons as Distilling Step-by-Step asks for them.

Each paid reply is committed to the store before the next step, so a killed command repeats at most the calls that were in flight. Rows stream in and answers
stream out, so a million rows need no more memory than a thousand. The files are whole or absent, in input order: the labelled rows in OUT, and what could not
be used in OUT's sibling `.rejected.jsonl` with its reason.
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from stillhouse.errors import UserError
from stillhouse.llm.batch import SHARE, under_way
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.models import Teacher, open_batches, open_teacher
from stillhouse.llm.prompted import Answered, PromptedPredictor, new_cost_usd
from stillhouse.llm.recorded import RecordedTeacher
from stillhouse.records import Example, Prediction, Progress
from stillhouse.runs import Lock, storage_errors
from stillhouse.store import open_store
from stillhouse.task import Task
from stillhouse.teacher.pilot import N_PILOT, Quote, ask_pilot, draw, pending
from stillhouse.teacher.spool import Spool

_AT_ONCE = 1000  # rows that recorded answers are looked up for in one go
class Consent(Protocol):
    """Who says whether a bulk of calls may be paid for. Both raise UserError for no."""

    def before(self, quote: Quote) -> None:
        """Before the pilot: all that is known is how many calls there will be, and whether their price is known."""
        ...

    def after(self, quote: Quote) -> None:
        """After the pilot, with the estimate."""
        ...


Take = Callable[[int, Example, Prediction], None]


class Examples(Protocol):
    """Rows whose number is known, that may come from a file one by one."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Example]: ...


@dataclass(frozen=True)
class LabelReport:
    """What labelling gave. `cost_usd` is what this command paid; None: a price was unknown. `lenient` answers were recovered from a near form."""

    teacher: str
    n: int
    labelled: int
    lenient: int
    from_store: int
    rejected: dict[str, int] = field(default_factory=dict)  # reason -> rows
    cost_usd: float | None = None
    price_snapshot: str | None = None
    stand_in: bool = False


class _Tally:
    """What has come so far, row by row; nothing of the rows is kept."""

    def __init__(self, n: int, take: Take, on_progress: Callable[[Progress], None] | None) -> None:
        self._n, self._take, self._on_progress = n, take, on_progress
        self.done = self.lenient = self.from_store = 0
        self.cost_usd = 0.0
        self.price_snapshot: str | None = None
        self.rejected: Counter[str] = Counter()

    def recorded(self, index: int, example: Example, prediction: Prediction) -> None:
        self.done += 1
        if prediction.output is None:
            self.rejected[prediction.error or "no answer"] += 1
        self._take(index, example, prediction)

    def answered(self, index: int, example: Example, answered: Answered) -> None:
        prediction, reply, completion = answered
        self.lenient += reply.how == "lenient"
        self.from_store += completion.from_store
        self.price_snapshot = self.price_snapshot or completion.price_snapshot
        self.cost_usd += new_cost_usd(completion)
        self.recorded(index, example, prediction)
        if self._on_progress is not None:
            self._on_progress(Progress(self.done, self._n, "asking the teacher", self.cost_usd))

    def waiting(self, done: int) -> None:
        """So many answers are in the batches that are under way or fetched."""
        if self._on_progress is not None:
            self._on_progress(Progress(done, self._n, "waiting for a batch"))

    def report(self, teacher: Teacher, ledger: Ledger) -> LabelReport:
        labelled, rejected = self.done - self.rejected.total(), dict(self.rejected.most_common())
        if not isinstance(teacher, PromptedPredictor):
            return LabelReport(teacher.name, self.done, labelled, 0, self.done, rejected)
        paid = ledger.spent_usd, self.price_snapshot, teacher.stand_in
        return LabelReport(teacher.name, self.done, labelled, self.lenient, self.from_store, rejected, *paid)


async def annotate(
    teacher_name: str,
    task: Task,
    examples: Sequence[Example],
    *,
    store_path: Path,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[list[Prediction], LabelReport]:
    """Ask the teacher for every example; predictions in input order. Raises TeacherError, BudgetError, StorageError: what was answered is stored."""
    found: dict[int, Prediction] = {}

    def take(index: int, _: Example, prediction: Prediction) -> None:
        found[index] = prediction

    report = await annotate_each(teacher_name, task, examples, take, store_path=store_path, on_progress=on_progress)
    return [found[index] for index in range(len(examples))], report


async def annotate_each(
    teacher_name: str,
    task: Task,
    examples: Examples,
    take: Take,
    *,
    store_path: Path,
    on_progress: Callable[[Progress], None] | None = None,
    consent: Consent | None = None,
    batch: Path | None = None,
) -> LabelReport:
    """As `annotate`, with each prediction handed to `take` as it comes, in any order, with its row's number.

    With `batch`, a file, an endpoint's batch API is asked at half the price; what is under way in batches is written down there. With `consent`, an endpoint
    that bills is first asked a pilot of twenty rows; the rest is asked where `consent` says yes to what it will cost.
    """
    with open_store(store_path) as store:
        ledger = Ledger(task.teacher.max_usd)
        teacher = open_teacher(teacher_name, task, store, ledger=ledger)
        tally, batches = _Tally(len(examples), take, on_progress), None
        try:
            batches = None if batch is None else open_batches(teacher_name, teacher, ledger, batch, tally.waiting)
            if isinstance(teacher, PromptedPredictor):
                if batches is not None:
                    await batches.run(lambda: ())  # what an earlier command sent is paid for
                n_new = 0
                if consent is not None and teacher.model.bills:
                    n_new = await _agreed(teacher, examples, consent, on_progress, 1.0 if batches is None else SHARE)
                if batches is not None:
                    await batches.run(lambda: (teacher.request(row) for row in pending(teacher, examples, None, len(examples))))
                    n_new += batches.n_new
                await teacher.each(examples, tally.answered)
                tally.from_store = max(0, tally.from_store - n_new)  # they came by way of the store
            else:
                await _look_up(teacher, examples, tally)
        finally:
            await teacher.close()
            if batches is not None:
                await batches.close()
        return tally.report(teacher, ledger)


async def _agreed(
    teacher: PromptedPredictor, examples: Examples, consent: Consent, on_progress: Callable[[Progress], None] | None, share: float
) -> int:
    """Ask the pilot and then the user; how many rows the pilot paid for. What follows it costs this share of the list price. Raises what `consent` raises."""
    drawn, n = draw(pending(teacher, examples, on_progress, len(examples)))
    if n <= N_PILOT:
        return 0
    consent.before(Quote(n, teacher.name, price_snapshot=teacher.model.price_snapshot))
    consent.after(await ask_pilot(teacher, drawn, n, share))
    return len(teacher.model.known([teacher.request(row).hash for row in drawn]))


async def _look_up(teacher: RecordedTeacher, examples: Examples, tally: _Tally) -> None:
    rows = iter(examples)
    while part := list(itertools.islice(rows, _AT_ONCE)):
        for example, prediction in zip(part, await teacher.predict(part), strict=True):
            tally.recorded(tally.done, example, prediction)


async def label(
    teacher_name: str,
    task: Task,
    examples: Examples,
    *,
    out: Path,
    store_path: Path,
    on_progress: Callable[[Progress], None] | None = None,
    consent: Consent | None = None,
    batch: bool = False,
) -> LabelReport:
    """`annotate`, written to `out`. Raises RunBusyError while another command writes the same file."""
    waiting = out.with_name(f".{out.name}.batches.json")
    if not batch and (n := sum(sent.n for sent in under_way(waiting))):
        raise UserError(f"{n} rows are under way in batches; fetch them with --batch, or remove {waiting} to pay for them again")
    with storage_errors(out):
        lock = Lock(out.with_name(f".{out.name}.lock"), str(out))
    with lock, Spool(out) as spool:

        def take(index: int, example: Example, prediction: Prediction) -> None:
            spool.add(index, _row(teacher_name, example, prediction), kept=prediction.output is not None)

        to = waiting if batch else None
        report = await annotate_each(teacher_name, task, examples, take, store_path=store_path, on_progress=on_progress, consent=consent, batch=to)
        spool.write(out, out.with_suffix(".rejected.jsonl"))
        return report


def _row(teacher_name: str, example: Example, prediction: Prediction) -> bytes:
    row: dict[str, object] = {"id": example.id, "input": example.input, "teacher": teacher_name}
    if prediction.output is None:
        row["reason"] = prediction.error
    else:
        row |= {"teacher_label": prediction.output, "teacher_rationale": prediction.rationale, "cost_usd": prediction.cost_usd}
        row = {name: value for name, value in row.items() if value is not None}
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"
