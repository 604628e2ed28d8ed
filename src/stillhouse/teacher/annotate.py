"""Labels (and rationales) for a set of rows by a teacher: data as Stanford Alpaca made it, reasons as Distilling Step-by-Step asks for them.

Each paid reply is committed to the store before the next step, so a killed command repeats at most the calls that were in flight. The files are written
whole at the end, in input order: the labelled rows to OUT, and what could not be used to OUT's sibling `.rejected.jsonl` with its reason.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stillhouse.llm.ledger import Ledger
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.models import open_teacher
from stillhouse.llm.prices import Price
from stillhouse.llm.prompted import PromptedPredictor
from stillhouse.records import Example, Prediction, Progress
from stillhouse.runs import Lock, storage_errors, write_atomic
from stillhouse.store import open_store
from stillhouse.task import Task


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
    price: Price | None = None  # today's, of a prompt of usual length


async def annotate(
    teacher_name: str,
    task: Task,
    examples: Sequence[Example],
    *,
    store_path: Path,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[list[Prediction], LabelReport]:
    """Ask the teacher for every example; predictions in input order. Raises TeacherError, BudgetError, StorageError: what was answered is stored."""
    with open_store(store_path) as store:
        ledger = Ledger(task.teacher.max_usd)
        teacher = open_teacher(teacher_name, task, store, ledger=ledger)
        try:
            if not isinstance(teacher, PromptedPredictor):
                predictions = await teacher.predict(examples)
                report = _report(teacher.name, predictions, from_store=len(examples))
                return predictions, replace(report, price=teacher.price, price_snapshot=None if teacher.price is None else teacher.price.snapshot)
            rows = await teacher.replies(examples, on_progress)
        finally:
            await teacher.close()
        predictions = [prediction for prediction, _, _ in rows]
        return predictions, replace(
            _report(teacher.name, predictions, from_store=sum(completion.from_store for _, _, completion in rows)),
            lenient=sum(reply.how == "lenient" for _, reply, _ in rows),
            cost_usd=ledger.spent_usd,
            price_snapshot=next((completion.price_snapshot for _, _, completion in rows if completion.price_snapshot), None),
            stand_in=teacher.stand_in,
            price=teacher.model.price if isinstance(teacher.model, MeteredModel) else None,
        )


def _report(name: str, predictions: Sequence[Prediction], *, from_store: int) -> LabelReport:
    rejected = Counter(prediction.error or "no answer" for prediction in predictions if prediction.output is None)
    return LabelReport(name, len(predictions), len(predictions) - rejected.total(), 0, from_store, dict(rejected.most_common()))


async def label(
    teacher_name: str,
    task: Task,
    examples: Sequence[Example],
    *,
    out: Path,
    store_path: Path,
    on_progress: Callable[[Progress], None] | None = None,
) -> LabelReport:
    """`annotate`, written to `out`. Raises RunBusyError while another command writes the same file."""
    with storage_errors(out):
        lock = Lock(out.with_name(f".{out.name}.lock"), str(out))
    with lock:
        predictions, report = await annotate(teacher_name, task, examples, store_path=store_path, on_progress=on_progress)
        labelled, rejected = [], []
        for example, prediction in zip(examples, predictions, strict=True):
            row: dict[str, object] = {"id": example.id, "input": example.input, "teacher": teacher_name}
            if prediction.output is None:
                rejected.append(row | {"reason": prediction.error})
                continue
            row |= {"teacher_label": prediction.output, "teacher_rationale": prediction.rationale, "cost_usd": prediction.cost_usd}
            labelled.append({name: value for name, value in row.items() if value is not None})
        write_atomic(out, _lines(labelled))
        write_atomic(out.with_suffix(".rejected.jsonl"), _lines(rejected))
        return report


def _lines(rows: Sequence[dict[str, object]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
