"""What makes a plan: whatever can change which student is proposed, or how it is judged. And what makes a row the same.

A plan is what the task asks (its text, labels, metric), the data, the teacher's prompt and settings, the ladder and how
students learn, the gate, and the seeds. The same plan again, resumed or from another folder, is the same look. No part
of it are prices, caps, pace, file names, licences and the other test sets: they change no student and no gate. Nor is
`--all`: the gates of all students of the ladder are corrected together, however many are trained.

A row is its input and its choices. Its label is not part of it: a label that was mended after its row had been looked
at makes no new row. Nor is the task: else another word in the instruction would make a first look of any later one. So
two tasks on the same inputs, in one store, count each other's looks.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stillhouse.llm.worked import worked_examples
from stillhouse.records import Example
from stillhouse.task import Task
from stillhouse.words import normalise

_PARTS = ("train", "validation", "calibration", "test", "unlabelled")
# Settings that change no answer of the teacher and no student.
_OF_FILES = {*_PARTS, "also_test", "licence"}
_OF_CALLS = {
    *("model", "examples", "max_shots", "max_usd", "price_in", "price_out", "price_cached", "price_written"),
    *("concurrency", "requests_per_minute", "tokens_per_minute", "input_tokens_per_minute"),
    *("output_tokens_per_minute", "context_tokens", "tokenizer", "licence"),
}


@dataclass(frozen=True)
class PlanRows:
    """The fingerprints of the rows of each part, in order; with `drop_overlap` those of other test files count too."""

    fingerprints: Mapping[str, str]
    drop_overlap: bool = False

    @property
    def counted(self) -> list[tuple[str, str]]:
        return sorted((part, of) for part, of in self.fingerprints.items() if self.drop_overlap or part in _PARTS)


def plan_hash(
    task: Task,
    rows: PlanRows,
    teacher: str | None,
    *,
    seeds: Sequence[int],
    sizes: Sequence[int] | None = None,
    max_shots: int | None = None,
) -> str:
    """The plan as a hash. `max_shots`: of a run with few-shot arms.

    Judgements count where a win rate decides: with more of them the same answers are judged anew.
    """
    facts = {
        "instruction": task.instruction,
        "output": [task.output, task.metric, sorted(task.labels) if task.labels else None, task.schema],
        "data": task.data.model_dump(mode="json", exclude=_OF_FILES),
        "rows": [rows.drop_overlap, rows.counted],
        "teacher": [teacher, task.teacher.model_dump(mode="json", exclude=_OF_CALLS)],
        "recorded": _hash_of_file(task, (teacher or "").removeprefix("recorded:"))
        if (teacher or "").startswith("recorded:")
        else None,
        "worked": [repr(example) for example in worked_examples(task)],
        "student": task.student.facts("ladder", "bases"),
        "ladder": task.ladder,
        "gate": task.gate.model_dump(mode="json", exclude={"judgements"}),
        "judgements": _hash_of_file(task, task.gate.judgements) if task.metric == "win_rate" else None,
        "seeds": list(seeds),
        "sizes": sorted(sizes) if sizes else None,
        "max_shots": max_shots,
    }
    return _hash(facts)


def row_hash(row: Example) -> str:
    """The row as a hash: small changes of case and blanks, and the order of its choices, make no new row."""
    return _hash([normalise(row.text), sorted(row.choices) if row.choices else None])


def _hash_of_file(task: Task, name: str) -> str | None:
    path = task.resolve(name)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _hash(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()
