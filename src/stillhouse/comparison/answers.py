"""One side of a comparison: its answers to the rows, by id.

They come from any predictor, from an arm of a run, or from a file of answers.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stillhouse.consent import Bulk
from stillhouse.errors import DatasetError, ModelNameError, UserError
from stillhouse.evaluation.harness import predicted
from stillhouse.jsonl import read_jsonl
from stillhouse.llm.ledger import Ledger, worst_case_input_tokens
from stillhouse.llm.models import KEYED, endpoint, later_calls
from stillhouse.llm.prompted import PromptedPredictor
from stillhouse.llm.usage import usage_doubts
from stillhouse.records import Example
from stillhouse.serving.predictors import agree_to, asked_of, open_predictor
from stillhouse.session import Session
from stillhouse.task import Task

FORMS = (
    "a model's name (student:DIR, openai:NAME, http://host/v1#NAME, recorded:FILE, ...), "
    "an arm as RUN#ARM, or a .jsonl of id and answer"
)
_MODELS = ("student:", "cascade:", "openai:", "http://", "https://", "recorded:", "scripted:")
BATCH = 256  # rows asked between two ticks of the progress


@dataclass(frozen=True)
class Answers:
    """One system's answers. `by_id`: None where it gave no usable answer; an id that is absent was not asked."""

    name: str
    by_id: Mapping[str, str | None]
    stand_in: bool = False
    usage_doubts: Mapping[str, int] = field(default_factory=dict)  # as a label report has them


async def answers_of(
    name: str,
    examples: Sequence[Example],
    task: Task | None,
    ledger: Ledger,
    session: Session,
) -> Answers:
    """The answers of whatever `name` stands for. Models are asked through the session's store.

    Raises UserError for a name of no known form, and what models raise.
    """
    if (on_disk := _on_disk(name)) is not None:
        return Answers(name, on_disk)
    name = name if name.startswith(_MODELS) else f"student:{name}"
    by_id: dict[str, str | None] = {}

    def tick(done: int, _: float | None = None) -> None:
        session.report(done, len(examples), f"asking {name}", ledger.spent_usd, unit="rows")

    doubts: Counter[str] = Counter()
    async with open_predictor(name, task, store=session.store, ledger=ledger, over=session.open_task) as predictor:
        await agree_to(predictor, examples, session)
        for start in range(0, len(examples), BATCH):
            batch = examples[start : start + BATCH]
            predictions = await predicted(predictor, batch, tick, len(by_id))
            by_id |= {row.id: prediction.output for row, prediction in zip(batch, predictions, strict=True)}
            doubts.update(usage_doubts(predictions))
            tick(len(by_id))
        return Answers(name, by_id, bool(getattr(predictor, "stand_in", False)), doubts)


async def answers_to_come(name: str, examples: Sequence[Example], task: Task | None, session: Session) -> Bulk | None:
    """The calls that `answers_of` will pay for; None: none, or the side bills nobody."""
    if _on_disk(name) is not None or not name.startswith((*KEYED, "cascade:")):
        return None
    async with open_predictor(name, task, store=session.store, over=session.open_task) as predictor:
        teacher, rows = await asked_of(predictor, examples)
        if not isinstance(teacher, PromptedPredictor):
            return None
        rows = [row for row, known in zip(rows, teacher.stored(rows), strict=True) if not known]
        requests = [request for row in rows for request in teacher.requests(row)]
        prompts = sum(worst_case_input_tokens(request) for request in requests) / max(1, len(requests))
        return later_calls(teacher.name, teacher.task.teacher, len(requests), lambda _: prompts)


def check_side(name: str, task: Task | None) -> None:
    """What is wrong with a side, said before anything is paid for: its form, its files, its key. Raises UserError."""
    if _on_disk(name) is not None:
        return
    kind, _, place = name.partition(":")
    if name.startswith(KEYED):
        endpoint(name)
    if not name.startswith(_MODELS):
        kind, place = "student", name
    if kind in ("student", "cascade"):
        if not Path(place).is_dir():
            raise UserError(f"{name}: no such folder; give the folder of a student or of a run")
    elif task is None:
        raise ModelNameError(f"{name}: a prompted model needs the task whose prompt it gets; give --task")


def _on_disk(name: str) -> dict[str, str | None] | None:
    """The answers that are in files already; None where a predictor has to be asked."""
    folder, mark, arm = name.partition("#")
    if name.startswith(_MODELS):
        return None
    if mark and Path(folder).is_dir():
        return arm_answers(Path(folder), arm)
    if name.endswith((".jsonl", ".jsonl.gz")):
        return file_answers(Path(name))
    if not Path(name).is_dir():
        raise UserError(f"{name!r} answers nothing; give {FORMS}")
    return None


def arm_answers(folder: Path, arm: str) -> dict[str, str | None]:
    """The answers of one arm of a run, from its `predictions.jsonl`.

    An arm of several seeds or sizes has several answers to a row, and is refused.
    """
    path = folder / "predictions.jsonl"
    if not path.is_file():
        raise UserError(f"{folder}: holds no predictions.jsonl; give a finished run of distill or advise")
    by_id: dict[str, str | None] = {}
    names: dict[str, None] = {}
    for line, row in _rows(path):
        if not isinstance(row.get("arm"), str):
            raise DatasetError(f"{path}:{line}: names no arm; the file was changed or torn")
        _answer(path, line, row)  # a line of another arm that is none is a torn file, too
        names[row["arm"]] = None
        if row["arm"] == arm:
            _add(by_id, path, line, row, f"the arm {arm!r}")
    if not by_id:
        raise UserError(f"{folder}: has no arm {arm!r}; it has {', '.join(names)}")
    return by_id


def file_answers(path: Path) -> dict[str, str | None]:
    """The answers in a file: one JSON object a line, with `id`, and `answer` or (from `evaluate --out`) `output`."""
    if not path.is_file():
        raise UserError(f"{path}: no such file of answers; give {FORMS}")
    by_id: dict[str, str | None] = {}
    for line, row in _rows(path):
        _add(by_id, path, line, row, "the file")
    if not by_id:
        raise DatasetError(f"{path}: holds no answer; give one JSON object a line, with id and answer")
    return by_id


def _rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file with their lines. Raises DatasetError for the first line that holds none."""
    rows = list(read_jsonl(path))
    for line, row in rows:
        if not isinstance(row, dict):
            raise DatasetError(f"{path}:{line}: {str(row)[:40]!r} is not an object with id and answer; mend the row")
    return rows


def _answer(path: Path, line: int, row: Mapping[str, Any]) -> tuple[str, str | None]:
    """A row's id and answer. Raises DatasetError where it has none."""
    if "id" not in row or not ("answer" in row or "output" in row):
        raise DatasetError(f"{path}:{line}: an answer needs `id`, and `answer` or `output`; mend the row")
    value = row["answer"] if "answer" in row else row["output"]
    if value is not None and not isinstance(value, str):
        raise DatasetError(
            f"{path}:{line}: the answer {json.dumps(value)[:40]} is not a text; "
            "write it as one, or null where there is none"
        )
    return str(row["id"]), value


def _add(by_id: dict[str, str | None], path: Path, line: int, row: Mapping[str, Any], what: str) -> None:
    """Put a row's answer beside the others. Raises DatasetError where it is none, or the second to its id."""
    id_, value = _answer(path, line, row)
    if id_ in by_id:
        raise DatasetError(
            f"{path}:{line}: {what} answers the id {id_!r} twice; "
            "keep one answer per row, or name one arm of a distill run as RUN#ARM"
        )
    by_id[id_] = value
