"""Worked examples: rows that show a model how the task is done, and the answer that stands for each in the prompt.

What a prompt shows is what the model is to write: a label of the set word for word, or JSON that fits the schema.
"""

import json
from dataclasses import replace
from typing import Any

from stillhouse.errors import TaskFileError
from stillhouse.json_labels import LabelError, json_label
from stillhouse.json_text import read_json
from stillhouse.jsonl import numbered_lines
from stillhouse.labels import labels_problem
from stillhouse.records import Example
from stillhouse.task import Task


def worked_examples(task: Task) -> tuple[Example, ...]:
    """The rows of `[teacher] examples`: `input`, `label`, and `rationale` where the teacher is asked for reasons.

    Raises TaskFileError with file and line for a row of another form, and for a label that the task does not have.
    """
    if task.teacher.examples is None:
        return ()
    path = task.resolve(task.teacher.examples)
    if not path.is_file():
        raise TaskFileError(f"{path}: no such file of worked examples; mend `examples` in [teacher]")
    shots = []
    for line, text in numbered_lines(path):
        try:
            shots.append(_example(read_json(text.decode(), exact=True), f"worked {line}", task))
        except UnicodeDecodeError as error:
            raise TaskFileError(f"{path}: not valid UTF-8 ({error}); mend the file of worked examples") from None
        except ValueError as error:
            raise TaskFileError(
                f"{path}:{line}: a worked example needs `input` and `label` ({error}); mend the row"
            ) from None
    if not shots:
        raise TaskFileError(f"{path}: holds no worked example; add some, or take `examples` out of [teacher]")
    return tuple(shots)


def _example(row: Any, id_: str, task: Task) -> Example:
    """Raises ValueError."""
    if not isinstance(row, dict):
        raise ValueError("it is no JSON object")
    for name in ("input", "label"):
        if row.get(name) is None:
            raise ValueError(f"`{name}` is missing")
    shown, rationale, choices = row["input"], row.get("rationale"), row.get("choices")
    if not isinstance(shown, str | dict) or not shown or (isinstance(shown, str) and not shown.strip()):
        raise ValueError(
            f"`input` is {_spelled(shown):.80}, and must be a text or an object of fields that is not empty"
        )
    if rationale is not None and not isinstance(rationale, str):
        raise ValueError(f"`rationale` is {_spelled(rationale):.80}, and must be a text")
    if choices is not None and (
        not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices) or len(set(choices)) < 2
    ):
        raise ValueError(f"`choices` is {_spelled(choices):.80}, and must be a list of at least two different texts")
    if choices is not None and (problem := labels_problem(choices)) is not None:
        raise ValueError(f"`choices`: {problem}")
    if isinstance(row["label"], str) and not row["label"].strip():
        raise ValueError(f"`label` is {_spelled(row['label']):.80}, and must say something")
    own = None if choices is None else tuple(dict.fromkeys(choices))  # a choice named twice is one choice
    asked = Example(id_, shown, teacher_rationale=rationale, choices=own)
    try:
        return replace(asked, label=_answer(task, asked, row["label"]))
    except LabelError as error:
        raise ValueError(f"`label` {error}") from None


def shown_answer(task: Task, shot: Example) -> str:
    """The answer of a worked example, as the model is to write it. Raises TaskFileError."""
    label = shot.label if shot.label is not None else shot.teacher_label
    if label is None:
        raise TaskFileError(f"worked example {shot.id!r} has no label; add one")
    try:
        return _answer(task, shot, label)
    except LabelError as error:
        raise TaskFileError(f"worked example {shot.id!r}: its label {error}; mend it") from None


def _answer(task: Task, shot: Example, label: Any) -> str:
    """Raises LabelError."""
    if task.output == "json":
        return json_label(label, task.schema)
    text = label if isinstance(label, str) else _spelled(label)
    allowed = (shot.choices or task.labels) if task.output == "choice" else None
    if allowed is not None and text not in allowed:
        of = "its `choices`" if shot.choices else "the task's `labels`"
        raise LabelError(f"is {text!r:.80}, which is not one of {of} ({', '.join(allowed[:8])})")
    return text


def _spelled(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
