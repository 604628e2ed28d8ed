"""`recorded:FILE.jsonl`: what a teacher answered earlier, as a teacher that labels and is compared with like any other.

A row holds `id` or `input`; it is looked up by its id first. It holds `teacher_label`, or else `teacher_output`: the
reply as it came, which the task's rule reads anew each time. Where known it also holds `teacher_rationale`,
`teacher_scores`, `teacher_confidence`, `usage`, `cost_usd`, `latency_s` and `provenance`.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from stillhouse.errors import DatasetError, ModelNameError
from stillhouse.json_labels import LabelError, json_label
from stillhouse.jsonl import read_jsonl
from stillhouse.llm.parsing import ParsedReply, answer_pattern, parse_reply
from stillhouse.llm.prices import Price
from stillhouse.records import Example, Prediction, Usage
from stillhouse.task import Task

_COUNTS = ", ".join(field.name for field in fields(Usage) if field.name not in ("doubt", "unplaced_tokens"))


class RecordedTeacher:
    """A Predictor that reads its answers from a file."""

    stand_in = False

    def __init__(self, path: Path, task: Task | None = None, price: Price | None = None) -> None:
        """`price` is for rows with token counts and without a cost of their own.

        Raises DatasetError, naming the row, where one is no recorded answer.
        """
        self.name = f"recorded:{path.name}"
        self.path, self._task, self.price = path, task, price
        self._by_id: dict[str, Mapping[str, Any]] = {}
        self._by_input: dict[str, Mapping[str, Any]] = {}
        if task is not None and task.teacher.rationales:
            answer_pattern(task)  # a broken rule is refused before a row is read
        if not path.is_file():
            raise ModelNameError(f"recorded:{path}: no such file; give a JSONL file with id and teacher_label")
        self._lines: dict[str, int] = {}
        for line, row in read_jsonl(path):
            self._add(line, row)
        if not self._lines:
            raise DatasetError(
                f"{path}: holds no recorded answer; give one JSON object a line, with id and teacher_label"
            )

    def _add(self, line: int, row: Any) -> None:
        has_key = isinstance(row, dict) and ("id" in row or "input" in row)
        if not has_key or not ("teacher_label" in row or isinstance(row.get("teacher_output"), str)):
            raise DatasetError(
                f"{self.path}:{line}: a recorded answer needs `teacher_label` or `teacher_output`, "
                "and `id` or `input`; mend the row"
            )
        if "teacher_label" not in row and self._task is None:
            raise DatasetError(
                f"{self.path}:{line}: `teacher_output` is read by a task's rule, and there is no task here; "
                "give `teacher_label`"
            )
        try:
            usage: Usage | None = Usage(**(row.get("usage") or {}))
        except TypeError:
            usage = None
        if usage is None or not _countable(usage):
            wanted = f"an object of {_COUNTS}, whole numbers whose parts are no more than their whole"
            raise DatasetError(f"{self.path}:{line}: usage = {row['usage']!r:.80} is not {wanted}; mend the row")
        if not _are_scores(row.get("teacher_scores")):
            raise DatasetError(
                f"{self.path}:{line}: teacher_scores = {row['teacher_scores']!r:.80} "
                "is not an object of labels and probabilities; mend the row"
            )
        if not isinstance(row.get("provenance"), dict | None):
            raise DatasetError(
                f"{self.path}:{line}: provenance = {row['provenance']!r:.80} is not an object; mend the row"
            )
        for name in ("cost_usd", "latency_s", "teacher_confidence"):
            if not _is_amount(value := row.get(name)):
                raise DatasetError(
                    f"{self.path}:{line}: {name} = {value!r:.80} is not a number of 0 or more; mend the row"
                )
        if (confidence := row.get("teacher_confidence")) is not None and confidence > 1:
            raise DatasetError(
                f"{self.path}:{line}: teacher_confidence = {confidence!r:.80} is not a share from 0 to 1; mend the row"
            )
        if not isinstance(row.get("teacher_rationale"), str | None):
            raise DatasetError(
                f"{self.path}:{line}: teacher_rationale = {row['teacher_rationale']!r:.80} is not a text; mend the row"
            )
        if isinstance(row.get("id", ""), bool) or not isinstance(row.get("id", ""), str | int):
            raise DatasetError(
                f"{self.path}:{line}: id = {row['id']!r:.80} is not a text or a whole number, as the ids of rows are; "
                "mend the row"
            )
        if "id" in row:
            self._enter(self._by_id, str(row["id"]), f"the id {str(row['id'])!r:.80}", line, row)
        if "input" in row:
            # Rows of one input with ids of their own may be answered differently: then the input alone finds none.
            own_ids = "id" in row
            self._enter(self._by_input, _key(row["input"]), "the input", line, row, leave_out=own_ids)

    def _enter(
        self,
        rows: dict[str, Mapping[str, Any]],
        key: str,
        what: str,
        line: int,
        row: Mapping[str, Any],
        leave_out: bool = False,
    ) -> None:
        """Keep a row under its key. Raises DatasetError where another with that key has another answer."""
        known = rows.setdefault(key, row)
        if leave_out and not _same_answer(known, row):
            rows[key] = {}
        elif not leave_out and not _same_answer(known, row):
            first = self._lines[f"{what} {key}"]
            raise DatasetError(
                f"{self.path}:{line}: {what} is answered twice, and differently (first on line {first}); keep one"
            )
        self._lines.setdefault(f"{what} {key}", line)

    def check(self, inputs: Iterable[Example]) -> str | None:
        """What to say where some of these rows have no recorded answer. Raises DatasetError where none has one."""
        n = n_known = 0
        first: str | None = None
        for example in inputs:
            n, first = n + 1, example.id if first is None else first
            n_known += bool(self._row(example))
        if n and not n_known:
            raise DatasetError(
                f"{self.path}: answers none of the {n:,} rows (the first has the id {first!r:.80}); "
                "give the rows' own ids or inputs"
            )
        return None if n_known == n else f"{n_known:,} of {n:,} rows have a recorded answer"

    def _row(self, example: Example) -> Mapping[str, Any]:
        return self._by_id.get(example.id) or self._by_input.get(_key(example.input)) or {}

    async def predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        return [self.answer(example)[0] for example in inputs]

    def answer(self, example: Example) -> tuple[Prediction, ParsedReply, Mapping[str, Any]]:
        """The answer, how it was read, and the row it stands in (empty: there is none)."""
        row = self._row(example)
        reply = self._read(example, row)
        usage = Usage(**row["usage"]) if isinstance(row.get("usage"), dict) else None
        priced = None if self.price is None or usage is None else self.price.cost_usd(usage)
        prediction = Prediction(
            reply.output,
            usage=usage,
            cost_usd=priced if row.get("cost_usd") is None else row["cost_usd"],
            latency_s=row.get("latency_s"),
            confidence=row.get("teacher_confidence"),
            scores=row.get("teacher_scores"),
            source="teacher",
            rationale=reply.rationale,
            error=reply.error,
        )
        return prediction, reply, row

    def _read(self, example: Example, row: Mapping[str, Any]) -> ParsedReply:
        if not row:
            return ParsedReply(None, error="no recorded answer")
        if "teacher_label" not in row and self._task is not None:
            return parse_reply(self._task, example, row["teacher_output"], rationales=self._task.teacher.rationales)
        label = row["teacher_label"]
        if label is not None and self._task is not None and self._task.output == "json":
            try:
                label = json_label(label, self._task.schema)
            except LabelError as error:
                return ParsedReply(None, error=f"the recorded label {error}", counted_as="the recorded label is none")
        elif label is not None and not isinstance(label, str):
            label = json.dumps(label, sort_keys=True, ensure_ascii=False)
        if label is not None and self._task is not None and self._task.output == "choice":
            allowed = example.choices or self._task.labels
            if allowed is not None and label not in allowed:
                none = "the recorded label is none of the labels"
                return ParsedReply(None, error=f"{none} ({label!r:.80})", counted_as=none)
        return ParsedReply(
            label,
            rationale=row.get("teacher_rationale"),
            how=None,
            error="recorded without an answer" if label is None else None,
        )

    async def close(self) -> None:
        """Nothing is held open."""


def _countable(usage: Usage) -> bool:
    """Whether a provider may count so: whole numbers of 0 or more, and no part more than its whole."""
    cached, written, reasoning = usage.cached_input_tokens, usage.written_input_tokens, usage.reasoning_tokens
    counts = (usage.input_tokens, usage.output_tokens, cached, written, reasoning)
    if usage.doubt is not None or usage.unplaced_tokens != 0:  # these are ours to say, and no counts
        return False
    if not all(count is None or (type(count) is int and count >= 0) for count in counts):
        return False
    parts = (usage.input_tokens, (cached or 0) + (written or 0)), (usage.output_tokens, reasoning or 0)
    return all(whole is None or part <= whole for whole, part in parts)


def _same_answer(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """By their JSON: `true` and 1 are two answers, though Python has them equal."""
    return all(_key(one.get(name)) == _key(other.get(name)) for name in ("teacher_label", "teacher_output"))


def _is_amount(value: Any) -> bool:
    """Whether the value is None, or a finite number of 0 or more."""
    return value is None or (type(value) in (int, float) and 0 <= value < math.inf)


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _are_scores(value: Any) -> bool:
    """Whether the value is None, or probabilities by label."""
    return value is None or (
        isinstance(value, dict) and all(type(p) in (int, float) and 0 <= p <= 1 for p in value.values())
    )
