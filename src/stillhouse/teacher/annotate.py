"""A teacher labels rows, as Stanford Alpaca made its data, and gives reasons, as Distilling Step-by-Step asks for them.

Each paid reply is committed to the store before the next step, so a killed command repeats at most the calls that were
in flight. Rows stream in and answers stream out: memory does not grow with the rows. With a batch API it does grow: the
hashes of requests that are under way are kept.

The files are whole or absent, in input order: the labelled rows in OUT, and what could not be used in OUT's sibling
`.rejected.jsonl` with its reason.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stillhouse.data.generated import is_generated
from stillhouse.errors import UserError
from stillhouse.json_text import read_json
from stillhouse.llm.batch import SHARE, under_way
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.metered import MeteredModel, batch_answered
from stillhouse.llm.models import Teacher, open_batches, open_teacher
from stillhouse.llm.parsing import ParsedReply
from stillhouse.llm.pilot import Examples, agree, pending
from stillhouse.llm.prices import Price
from stillhouse.llm.prompted import Answered, PromptedPredictor, added_usd, new_cost_usd
from stillhouse.llm.purse import spent_since
from stillhouse.llm.request import Request
from stillhouse.records import Example, Prediction
from stillhouse.runs import Lock, atomic
from stillhouse.session import Session
from stillhouse.store import open_store
from stillhouse.task import Task
from stillhouse.teacher.provenance import NAMES, UNKNOWN, licence_class, prompt_hash, provenance
from stillhouse.teacher.spool import Spool

_encode = json.JSONEncoder(ensure_ascii=False).encode
NO_REASONS = "a rationale was asked for, and the reply gives none"
_MOST_REASONS = 100  # most reasons that are counted apart; an endpoint's own words may differ in every row
_ANOTHER = "another reason, which stands with the row"
Take = Callable[[int, Example, "Labelled"], None]


@dataclass(frozen=True, slots=True)
class Labelled:
    """One row's answer and where it comes from."""

    prediction: Prediction
    how: str | None  # how the reply was read: "strict", "lenient" or "repaired"; None: recorded as a label, or not read
    provenance: Mapping[str, Any]
    thinking: str | None = None  # what the teacher thought before it answered, where its reply holds that


@dataclass(frozen=True)
class GoldAgreement:
    """The teacher's labels against the gold labels of the same `n` rows: the sum of the scores, and by which metric."""

    metric: str
    score: float
    n: int
    by_row: bool  # whether a row is right or wrong, and `score` the number of those that are right
    low: float | None = None  # of the exact 95 % interval of the share; None: rows are not right or wrong
    high: float | None = None


Score = Callable[[str, str, Example], float]  # (the teacher's label, gold, row) -> score


@dataclass(frozen=True, kw_only=True)
class LabelReport:
    """What labelling gave."""

    teacher: str
    n: int
    labelled: int
    lenient: int  # number of answers that were recovered from a near form
    from_store: int
    rejected: dict[str, int] = field(default_factory=dict)  # reason for rejecting -> number of rows
    cost_usd: float | None = None  # dollars that this command paid; None: a price was unknown
    price_snapshot: str | None = None
    stand_in: bool = False
    sent_back: int = 0  # number of replies that were sent back for repair
    repaired: int = 0  # number of labels that came of repairs
    with_scores: int = 0  # number of labels with the teacher's probabilities
    # What the endpoint could not do ("schema", "temperature") -> number of rows asked without it.
    lacking: dict[str, int] = field(default_factory=dict)
    licences: dict[str, int] = field(default_factory=dict)  # licence class -> number of labelled rows
    dates: tuple[str, str] | None = None  # dates of the first and the last answer; None: not known
    notes: tuple[str, ...] = ()
    price: Price | None = None  # today's price for a prompt of usual length
    batched: int = 0  # number of answers that a batch gave, at its price
    n_live: int = 0  # number of calls that this command paid for one by one, at the full price
    live_usd: float | None = None  # dollars that the calls at the full price cost; None: a price was unknown
    # What is wrong with an answer's token counts -> number of answers. They are priced by their dearest reading.
    usage_doubts: dict[str, int] = field(default_factory=dict)
    n_cost_unknown: int = 0  # number of answers whose cost is not known though the price is: no usable counts came
    n_unanswered: int = 0  # number of rejected rows that no answer was paid for: the next run asks them again
    # Who generated inputs, and under which licence class -> number of labelled rows. All others are real ones.
    n_without_reasons: int = 0  # number of labels whose reply gives no rationale, though one was asked for
    generated: dict[tuple[str, str], int] = field(default_factory=dict)
    gold: GoldAgreement | None = None  # None: no labelled row has a gold label, or nothing compares them

    @property
    def n_real(self) -> int:
        """Labelled rows whose input no model generated."""
        return self.labelled - sum(self.generated.values())


class _Tally:
    """What has come so far, row by row; nothing of the rows is kept."""

    def __init__(self, n: int, teacher: Teacher, task: Task, take: Take, session: Session) -> None:
        self._n, self._teacher, self._take, self._session = n, teacher, take, session
        self.done = self.lenient = self.from_store = self.batched = self.sent_back = self.repaired = (
            self.with_scores
        ) = 0
        self.cost_usd: float | None = 0.0
        self.price_snapshot: str | None = None
        self.rejected: Counter[str] = Counter()
        self.lacking: Counter[str] = Counter()
        self.usage_doubts: Counter[str] = Counter()
        self.n_cost_unknown = self.n_unanswered = self.n_without_reasons = 0
        self._wants_reasons = task.teacher.rationales
        self.licences: Counter[str] = Counter()
        self.generated: Counter[tuple[str, str]] = Counter()
        self.dates: tuple[str, str] | None = None
        self._licence = licence_class(teacher.name, stand_in=teacher.stand_in, stated=task.teacher.licence)
        self._prompt_hash = prompt_hash(teacher.prompt) if isinstance(teacher, PromptedPredictor) else None
        self.notes = _notes(teacher)
        self._is_priced = isinstance(teacher, PromptedPredictor) and teacher.model.price_snapshot is not None

    def recorded(self, index: int, example: Example, answer: tuple[Prediction, ParsedReply, Mapping[str, Any]]) -> None:
        """A recorded row that tells where it comes from is believed; one that does not stays unknown."""
        prediction, reply, row = answer
        own = row.get("provenance") or {}
        known: dict[str, Any] = {
            "date": None,
            "prompt_hash": None,
            "parameters": {},
            "price_snapshot": None,
            "licence": self._licence,
            **own,
        }
        known["teacher"] = own.get("teacher") or row.get("teacher") or self._teacher.name
        self.from_store += 1
        self._count(
            index, example, prediction, reply, provenance(**{name: known[name] for name in NAMES}), reply.thinking
        )

    def answered(self, index: int, example: Example, answered: Answered) -> None:
        prediction, reply, completion = answered
        assert isinstance(self._teacher, PromptedPredictor)
        self.from_store += completion.from_store
        self.price_snapshot = self.price_snapshot or completion.price_snapshot
        self.cost_usd = added_usd(self.cost_usd, new_cost_usd(completion))
        self.batched += batch_answered(completion)
        origin = provenance(
            self._teacher.name,
            date=completion.created,
            prompt_hash=self._prompt_hash,
            parameters={**self._teacher.parameters, **({"without": list(reply.lacking)} if reply.lacking else {})},
            price_snapshot=completion.price_snapshot,
            licence=self._licence,
        )
        usage = completion.usage
        if usage is not None and usage.doubt is not None:
            self.usage_doubts[_known_or_other(usage.doubt, self.usage_doubts)] += 1
            origin["usage"] = usage.doubt
        self.n_cost_unknown += completion.cost_usd is None and self._is_priced and completion.was_paid
        self.n_unanswered += prediction.output is None and not completion.was_paid
        self._count(index, example, prediction, reply, origin, completion.thinking)
        self.tell("asking the teacher")

    def waiting(self, done: int) -> None:
        """Report that `done` answers are in the batches that are under way or fetched."""
        self._session.report(done, self._n, "waiting for a batch", unit="rows")

    def tell(self, what: str) -> None:
        """Report how many rows have an answer."""
        if self._session.on_progress is None:
            return
        n_rejected = self.rejected.total()
        note = f"{n_rejected:,} rejected" if n_rejected else ""
        self._session.report(self.done, self._n, what, self.cost_usd, unit="rows", note=note)

    def _count(
        self,
        index: int,
        example: Example,
        prediction: Prediction,
        reply: ParsedReply,
        origin: Mapping[str, Any],
        thinking: str | None,
    ) -> None:
        self.done += 1
        self.sent_back += reply.sent_back
        if reply.lacking:
            self.lacking.update(reply.lacking)
        if prediction.output is None:
            reason = reply.counted_as or prediction.error or "no answer"
            self.rejected[_known_or_other(reason, self.rejected)] += 1
        else:
            self.lenient += reply.how == "lenient"
            self.repaired += reply.how == "repaired"
            self.with_scores += prediction.scores is not None
            self.licences[origin["licence"]] += 1
            self.n_without_reasons += self._wants_reasons and not (prediction.rationale or "").strip()
            if is_generated(example):
                self.generated[_maker(example)] += 1
        if (date := origin["date"]) is not None:
            self.dates = (date, date) if self.dates is None else (min(date, self.dates[0]), max(date, self.dates[1]))
        self._take(index, example, Labelled(prediction, reply.how, origin, thinking))

    def report(self, spent_usd: float | None) -> LabelReport:
        teacher = self._teacher
        n_live, live_usd = _live(teacher, spent_usd)
        return LabelReport(
            teacher=teacher.name,
            n=self.done,
            labelled=self.done - self.rejected.total(),
            lenient=self.lenient,
            from_store=self.from_store,
            rejected=dict(self.rejected.most_common()),
            cost_usd=spent_usd if isinstance(teacher, PromptedPredictor) else 0.0,  # recorded: paid before
            price_snapshot=self.price_snapshot,
            stand_in=teacher.stand_in,
            sent_back=self.sent_back,
            repaired=self.repaired,
            with_scores=self.with_scores,
            lacking=dict(self.lacking.most_common()),
            licences=dict(self.licences.most_common()),
            dates=self.dates,
            notes=self.notes,
            price=_price_today(teacher),
            batched=self.batched,
            n_live=n_live,
            live_usd=live_usd,
            usage_doubts=dict(self.usage_doubts.most_common()),
            n_cost_unknown=self.n_cost_unknown,
            n_unanswered=self.n_unanswered,
            n_without_reasons=self.n_without_reasons,
            generated=dict(self.generated.most_common()),
        )


def _known_or_other(reason: str, counted: Counter[str]) -> str:
    """The name under which a reason is counted: its own, or that of all others where there are too many."""
    return reason if reason in counted or len(counted) < _MOST_REASONS else _ANOTHER


def _live(teacher: Teacher, spent_usd: float | None) -> tuple[int, float | None]:
    """The calls paid for one by one and their cost; with `--batch` these are the pilot's and the repairs'."""
    if not isinstance(teacher, PromptedPredictor) or not isinstance(teacher.model, MeteredModel):
        return 0, None
    return teacher.model.n_live, None if spent_usd is None else teacher.model.live_usd


def _price_today(teacher: Teacher) -> Price | None:
    """Today's price for a prompt of usual length; None: unknown."""
    if isinstance(teacher, PromptedPredictor):
        return teacher.model.price_of(1000) if isinstance(teacher.model, MeteredModel) else None
    return teacher.price


def _notes(teacher: Teacher) -> tuple[str, ...]:
    if not isinstance(teacher, PromptedPredictor) or not teacher.rationales or 3 <= len(teacher.shots) <= 10:
        return ()
    return (
        f"{len(teacher.shots)} worked examples show the teacher how to reason; "
        "3 to 10 are usual (`examples` in [teacher])",
    )


async def annotate(
    task: Task, examples: Sequence[Example], session: Session, ledger: Ledger | None = None
) -> tuple[list[Prediction], LabelReport]:
    """Ask the teacher for every example; predictions in input order. `task` has the session's settings already.

    `ledger`: the command's, where it pays for more than labels; None: one of its own with the task's cap.

    Raises TeacherError, BudgetError, StorageError: what was answered by then is stored.
    """
    predictions: dict[int, Prediction] = {}

    def take(index: int, _: Example, labelled: Labelled) -> None:
        predictions[index] = labelled.prediction

    report = await annotate_each(task, examples, take, session, ledger=ledger)
    return [predictions[index] for index in range(len(examples))], report


async def annotate_each(
    task: Task,
    examples: Examples,
    take: Take,
    session: Session,
    *,
    batch: Path | None = None,
    ledger: Ledger | None = None,
) -> LabelReport:
    """As `annotate`, with each answer handed to `take` as it comes, in any order, with its row's number.

    With `batch`, a file, an endpoint's batch API is asked at half the price; what is under way in batches is written
    down there. Where the session has a `consent`, an endpoint that bills is first asked a pilot of twenty rows; the
    rest is asked where `consent` says yes to what it will cost.
    """
    name = session.teacher_for(task.teacher, task.path or task.name)
    with open_store(session.store_in(task.folder)) as store:
        ledger = ledger or Ledger(task.teacher.max_usd)
        before_usd = ledger.spent_usd
        teacher = open_teacher(name, task, store, ledger=ledger)
        tally, batches = _Tally(len(examples), teacher, task, take, session), None
        try:
            batches = None if batch is None else open_batches(name, teacher, ledger, batch, tally.waiting)
            if isinstance(teacher, PromptedPredictor):
                if batches is not None:
                    # Fetch the batches that an earlier command sent, as these are paid for.
                    await batches.run(lambda: ())
                if batches is not None and (first := next(iter(examples), None)) is not None:
                    # A request that batches cannot take is refused before the pilot is paid for.
                    batches.check(teacher.request(first))
                share = 1.0 if batches is None else SHARE
                n_new = await agree(teacher, examples, session.asks, session.on_progress, share)
                if batches is not None:
                    await batches.run(lambda: _unpaid(teacher, examples))
                    n_new += batches.n_new // task.teacher.samples
                tally.cost_usd = ledger.spent_usd
                tally.tell("asking the teacher")
                await teacher.each(examples, tally.answered)
                # Answers that this command just bought came by way of the store too: they are not earlier ones.
                tally.from_store = max(0, tally.from_store - n_new)
            else:
                missing = teacher.check(examples)
                tally.notes += () if missing is None else (missing,)
                for index, example in enumerate(examples):
                    tally.recorded(index, example, teacher.answer(example))
                    tally.tell("reading the recorded answers")
        finally:
            await teacher.close()
            if batches is not None:
                await batches.close()
        return tally.report(spent_since(before_usd, ledger))


def _unpaid(teacher: PromptedPredictor, examples: Examples) -> Iterator[Request]:
    """The requests, one per sample, that the store has no answer to."""
    for row in pending(teacher, examples, None, len(examples)):
        requests = teacher.as_taken(row)
        known = teacher.model.known([request.hash for request in requests]) if len(requests) > 1 else ()
        yield from (request for request in requests if request.hash not in known)


async def label(
    task: Task,
    examples: Examples,
    session: Session,
    *,
    out: Path,
    batch: bool = False,
    score: tuple[str, bool, Score] | None = None,
) -> LabelReport:
    """`annotate`, written to `out`. Raises RunBusyError while another command writes the same file.

    `score`: the metric's name, whether it is right or wrong, and the metric: the teacher's labels are held against the
    gold ones that are there, and the rows that differ go to OUT's sibling `.differs.jsonl`.
    """
    waiting = out.with_name(f".{out.name}.batches.json")
    if not batch and (n := sum(sent.n for sent in under_way(waiting))):
        raise UserError(
            f"{n} rows are under way in batches; fetch them with --batch, or remove {waiting} to pay for them again"
        )
    lock = Lock(out.with_name(f".{out.name}.lock"), str(out))
    name = session.teacher_for(task.teacher, task.path or task.name)
    with lock, Spool(out) as spool:
        scores: list[float] = []

        def take(index: int, example: Example, labelled: Labelled) -> None:
            output, against_gold = labelled.prediction.output, None
            if score is not None and output is not None and example.label is not None:
                against_gold = score[2](output, example.label, example)
                scores.append(against_gold)
            row = _row(name, example, labelled, against_gold, task.teacher.rationales)
            spool.add(index, row, kept=output is not None)

        report = await annotate_each(task, examples, take, session, batch=waiting if batch else None)
        spool.write(out, out.with_suffix(".rejected.jsonl"))
        if score is None or not scores:
            return report
        _write_differing(out)
        return replace(report, gold=GoldAgreement(score[0], math.fsum(scores), len(scores), score[1]))


def _write_differing(out: Path) -> None:
    """The labelled rows whose label is not the gold one, each as it stands in `out`."""
    with out.open("rb") as rows, atomic(out.with_suffix(".differs.jsonl")) as differing:
        for line in rows:
            if b'"against_gold"' in line and (read_json(line).get("against_gold") or 0.0) < 1.0:
                differing.write(line)


def _own_fields(example: Example) -> dict[str, object]:
    """What the row held before the teacher was asked, its gold label among it."""
    row: dict[str, object] = {"id": example.id, "input": example.input}
    if example.label is not None:
        row["label"] = example.label
    if example.choices is not None:
        row["choices"] = example.choices
    if example.group is not None:
        row["group"] = example.group
    extra = dict(example.extra)
    if is_generated(example) and "provenance" in extra:  # the label's own takes its place
        extra.setdefault("input_provenance", extra["provenance"])
    return {**extra, **row} if extra else row


def _maker(example: Example) -> tuple[str, str]:
    """Who made a generated input, and under which licence class."""
    origin: Any = example.extra.get("input_provenance") or example.extra.get("provenance") or {}
    known = origin if isinstance(origin, Mapping) else {}
    return str(known.get("teacher") or "a model that is not named"), str(known.get("licence") or UNKNOWN)


def _row(
    teacher_name: str, example: Example, labelled: Labelled, against_gold: float | None, wants_reasons: bool
) -> bytes:
    prediction = labelled.prediction
    row: dict[str, object] = {**_own_fields(example), "teacher": teacher_name}
    if prediction.output is None:
        row["reason"] = prediction.error
    else:
        row |= {
            "teacher_label": prediction.output,
            "teacher_rationale": prediction.rationale,
            "teacher_scores": prediction.scores,
            "teacher_confidence": prediction.confidence,
            "parsed": labelled.how,
            "cost_usd": prediction.cost_usd,
            "against_gold": against_gold,
        }
        row = {name: value for name, value in row.items() if value is not None}
        if wants_reasons and not (prediction.rationale or "").strip():
            row |= {"teacher_rationale": None, "no_rationale": NO_REASONS}
    if labelled.thinking is not None:
        row["teacher_thinking"] = labelled.thinking
    row["provenance"] = labelled.provenance
    return _encode(row).encode() + b"\n"
