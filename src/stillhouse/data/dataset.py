"""Reading and writing datasets: what the fields of a row mean, and whether it may be used. `raw_rows` reads the files.

The contract of a row is DESIGN section 4. A broken row is refused with file, line and reason; with `skip_bad` it is
counted and reported instead. A fingerprint over the rows as read goes into every manifest, so a number can be traced to
the rows that made it.
"""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stillhouse.data.bad_rows import BadRow, CutOff
from stillhouse.data.raw_rows import AS_IT_IS, KINDS, Reading, jsonl_rows, kind_of, raw_rows, say_nothing
from stillhouse.data.workbook import sheet_of
from stillhouse.errors import DatasetError
from stillhouse.json_labels import LabelError, json_label, plain_numbers, spelled
from stillhouse.labels import labels_problem
from stillhouse.records import Example
from stillhouse.runs import write_atomic
from stillhouse.task import Task

_KNOWN = ("id", "input", "label", "teacher_label", "teacher_rationale", "teacher_scores", "choices", "group")


@dataclass(frozen=True)
class Dataset:
    """The rows of one file in file order, what was skipped and why, and a fingerprint of the rows (sha256, hex).

    `notes` say what was read off the file: its encoding, its sheet.
    """

    examples: list[Example]
    path: Path
    fingerprint: str
    skipped: list[str]
    notes: tuple[str, ...] = ()


# A function from (a row's stated or made id, True where it was made from the input) to the id that the row gets.
Naming = Callable[[str, bool], str]


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str).encode


def reading_of(task: Task | None) -> Reading:
    """How a task's files are read."""
    if task is None:
        return AS_IT_IS
    data = task.data
    return Reading(columns=data.map, template=data.template, encoding=data.encoding, delimiter=data.delimiter)


def load_examples(
    path: str | Path, *, task: Task | None = None, reading: Reading | None = None, skip_bad: bool = False
) -> Dataset:
    """Read a dataset. With a task, labels are checked against its label set. `reading` None: as the task's files are.

    Raises DatasetError for a missing or empty file, a torn line, a row that breaks the contract or an id that occurs
    twice. With `skip_bad`, broken rows are left out and listed in `skipped`. Ids that occur twice are refused even
    then: which of the two rows is right is not ours to guess.
    """
    path = Path(path)
    examples: list[Example] = []
    skipped: list[str] = []
    notes: list[str] = []
    first_line: dict[str, int] = {}

    def on_cut(message: str) -> None:
        skipped.insert(0, message)  # it says more than a bad row, and often the first one alone is shown

    how: dict[str, Any] = {
        "reading": reading,
        "skip_bad": skip_bad,
        "on_skip": skipped.append,
        "on_cut": on_cut,
        "naming": counting(),
    }
    how["on_note"] = notes.append
    for line, example in read_rows(path, task=task, **how):
        if example.id in first_line:
            raise twice(path, line, example.id, first_line[example.id])
        first_line[example.id] = line
        examples.append(example)
    return Dataset(examples, path, fingerprint(examples), skipped, tuple(notes))


def read_rows(
    path: Path,
    *,
    task: Task | None,
    skip_bad: bool,
    on_skip: Callable[[str], None],
    on_cut: Callable[[str], None],
    naming: Naming,
    reading: Reading | None = None,
    on_note: Callable[[str], None] = say_nothing,
) -> Iterator[tuple[int, Example]]:
    """The rows one by one with their lines.

    Raises DatasetError as `load_examples` does, but not for ids that occur twice. `naming` gives rows of equal inputs
    different ids, as `counting` does. `on_cut`: as `on_skip`, for the rest of a file that cannot be read to its end.
    `reading` and `on_note`: as in `raw_rows`; None: as the task's files are read.
    """
    if not sheet_of(path)[0].is_file():
        raise DatasetError(f"{path}: no such data file; give a {KINDS} file")
    n_read = n_skipped = 0
    for line, raw in raw_rows(path, reading or reading_of(task), on_note):
        try:
            if isinstance(raw, BadRow):
                raise raw
            example = _example(raw, task, naming)
        except CutOff as cut:
            if not skip_bad or not n_read:
                instead = "" if not n_read else ", or pass --skip-bad to take the rows before that place"
                raise DatasetError(f"{cut}{instead}") from None
            on_cut(f"{str(cut).rpartition(';')[0]}; the rows after line {cut.line:,} are lost")
            return
        except BadRow as problem:
            message = f"{path}:{line}: {problem}"
            if not skip_bad:
                raise DatasetError(
                    f"{message}; mend the row, or pass --skip-bad to leave such rows out and count them"
                ) from None
            n_skipped += 1
            on_skip(message)
            continue
        n_read += 1
        yield line, example
    if not n_read:
        raise DatasetError(
            f"{path}: holds no usable row ({n_skipped} skipped); add rows with `input` and, where known, `label`"
        )


def counting() -> Naming:
    """Equal inputs of one file are numbered from the second on, in their order.

    It remembers every input, so it is for rows that are held in memory anyway.
    """
    seen: dict[str, int] = {}

    def name(id_: str, made: bool) -> str:
        if not made:
            return id_
        seen[id_] = seen.get(id_, 0) + 1
        return numbered(id_, seen[id_])

    return name


def numbered(id_: str, n: int) -> str:
    """The id of the n-th row of one input, where the first one's is `id_`."""
    return id_ if n == 1 else f"{id_}-{n}"


def is_made_id(id_: str) -> bool:
    """Whether an id looks like one that is made from a row's input: rows of one input have it in every file."""
    return re.fullmatch(r"row-(?:[0-9a-f]{12}|[0-9a-f]{16})(?:-[0-9]+)?", id_) is not None


def twice(path: Path, line: int, id_: str, earlier: int) -> DatasetError:
    """The refusal of an id that occurs twice in one file."""
    return DatasetError(
        f"{path}:{line}: the id {id_!r} occurs twice (first on line {earlier}); "
        "ids must be unique, so rename or remove one"
    )


def json_rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file that is no dataset (cases, feedback), with their lines.

    Raises DatasetError for the first line that is no object.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; give JSONL, one object a line")
    rows = []
    for line, row in jsonl_rows(path):
        if isinstance(row, CutOff):
            raise DatasetError(str(row))
        if isinstance(row, BadRow):
            raise DatasetError(f"{path}:{line}: {row}; mend the row")
        rows.append((line, dict(row)))
    return rows


def write_examples(path: str | Path, examples: Iterable[Example]) -> None:
    """Write JSONL, whole or not at all."""
    write_atomic(Path(path), "".join(json.dumps(to_row(example), ensure_ascii=False) + "\n" for example in examples))


def to_row(example: Example) -> dict[str, Any]:
    """The example as a dataset row; fields that are None are left out, extra fields are put back where they were."""
    row: dict[str, Any] = {"id": example.id, "input": example.input}
    for name in ("label", "teacher_label", "teacher_rationale", "teacher_scores", "group"):
        if (value := getattr(example, name)) is not None:
            row[name] = value
    if example.choices is not None:
        row["choices"] = list(example.choices)
    return row | dict(example.extra)


def fingerprint(examples: Iterable[Example]) -> str:
    """sha256 over the rows in order; two files with the same rows in another layout have the same fingerprint."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(json.dumps(to_row(example), sort_keys=True, ensure_ascii=False, default=str).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def label_set(examples: Iterable[Example], task: Task) -> tuple[str, ...]:
    """The classes of a choice task: those the task names, else every label that occurs, sorted."""
    if task.labels is not None:
        return task.labels
    labels = sorted({label for row in examples for label in (row.label, row.teacher_label) if label is not None})
    if problem := labels_problem(labels):
        raise DatasetError(f"the rows' labels: {problem}; mend the rows, or name `labels` in [task]")
    return tuple(labels)


def _example(raw: Mapping[str, Any], task: Task | None, naming: Naming) -> Example:
    text = raw.get("input")
    if "input" not in raw:
        raise BadRow("`input` is missing")
    if not isinstance(text, str | dict):
        raise BadRow(f"`input` must be a non-empty text or object of fields, it is {kind_of(text)}")
    if not text or (isinstance(text, str) and not text.strip()):
        raise BadRow("`input` must be a non-empty text or object of fields, it is empty")
    if task is not None and task.output == "json":  # whose numbers are exact, also where a float cannot hold them
        raw = {**raw, **{name: plain_numbers(raw[name]) for name in ("label", "teacher_label") if name in raw}}
    _check_json(raw)
    rationale, group = raw.get("teacher_rationale"), raw.get("group")
    if rationale is not None and not isinstance(rationale, str):
        raise BadRow(f"`teacher_rationale` must be a text, it is {kind_of(rationale)}")
    scores = raw.get("teacher_scores")
    if not _are_scores(scores):
        what = "`teacher_scores` must be an object of labels and their probabilities"
        raise BadRow(f"{what}, it is {spelled(scores):.80}")
    example = Example(
        id=_id(raw, text, naming),
        input=text,
        label=_label(raw.get("label"), "label", task),
        teacher_label=_label(raw.get("teacher_label"), "teacher_label", task),
        teacher_rationale=rationale,
        teacher_scores=scores,
        choices=_choices(raw.get("choices")),
        group=None if group is None else str(group),
        extra={key: value for key, value in raw.items() if key not in _KNOWN},
    )
    _check_labels(example, task)
    return example


def _check_json(raw: Mapping[str, Any]) -> None:
    """Refuse what Python reads from JSON, or a table holds, and no JSON file can."""
    for name, value in raw.items():
        if type(value) is str and value.isascii():
            continue
        try:
            _encode(value).encode()
        except UnicodeEncodeError:
            raise BadRow(
                "holds half of a surrogate pair (\\ud800 to \\udfff), which is no text; write the character itself"
            ) from None
        except ValueError:
            raise BadRow(f"`{name}` holds NaN or Infinity, which no JSON has; write null or a text") from None
        except (TypeError, RecursionError) as error:
            raise BadRow(f"`{name}` holds something that no JSON file can ({error})") from None


def _id(raw: Mapping[str, Any], text: Any, naming: Naming) -> str:
    """The row's own id, or one made of its content, so that it stays the same when the file is reordered."""
    own = raw.get("id")
    if own is not None:
        if isinstance(own, bool) or not isinstance(own, str | int) or own == "":
            raise BadRow(f"`id` must be a text or a whole number, it is {kind_of(own)}")
        return naming(str(own), False)
    content = json.dumps(text, sort_keys=True, ensure_ascii=False)
    return naming(f"row-{hashlib.sha256(content.encode()).hexdigest()[:12]}", True)


def _label(value: Any, name: str, task: Task | None) -> str | None:
    """Labels are text inside; numbers, booleans and objects take their JSON spelling (objects with sorted keys).

    Where the task's output is JSON, a text is the value that it spells.
    """
    if value is None:
        return None
    if task is not None and task.output == "json":
        try:
            return json_label(value, task.schema)
        except LabelError as error:
            raise BadRow(f"`{name}` {error}") from None
    if isinstance(value, str):
        return value
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    try:
        text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return _whole(value, text, task) if isinstance(value, float) else text
    except (TypeError, ValueError):
        raise BadRow(f"`{name}` holds a value that is not JSON ({value!r})") from None


def _whole(value: float, text: str, task: Task | None) -> str:
    """1.0 is the label 1, as a column of whole numbers with a gap holds it, unless the task calls it 1.0."""
    named = task is not None and task.labels is not None and text in task.labels
    return text if named or not value.is_integer() else str(int(value))


def _are_scores(value: Any) -> bool:
    """Whether the value is None, or probabilities by label."""
    return value is None or (
        isinstance(value, dict) and all(type(p) in (int, float) and 0 <= p <= 1 for p in value.values())
    )


def _choices(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) < 2 or not all(isinstance(choice, str) and choice for choice in value):
        raise BadRow("`choices` must be a list of at least two texts")
    if problem := labels_problem(value):
        raise BadRow(f"`choices`: {problem}")
    return tuple(dict.fromkeys(value))  # a choice named twice is one choice


def _check_labels(example: Example, task: Task | None) -> None:
    if example.choices is not None:
        allowed, of = example.choices, "the row's `choices`"
    elif task is not None and task.labels is not None:
        allowed, of = task.labels, "the task's `labels`"
    else:
        return
    for name, value in (("label", example.label), ("teacher_label", example.teacher_label)):
        if value is not None and value not in allowed:
            more = ", ..." if len(allowed) > 8 else ""
            raise BadRow(f"`{name}` is {value!r}, which is not one of {of} ({', '.join(allowed[:8])}{more})")


Answer = tuple[str | None, str | None, Mapping[str, float] | None]


def with_teacher(examples: Iterable[Example], answers: Mapping[str, Answer]) -> list[Example]:
    """The examples with the teacher's (label, rationale, scores) filled in by id; others keep what they had."""
    filled = []
    for example in examples:
        label, rationale, scores = answers.get(
            example.id, (example.teacher_label, example.teacher_rationale, example.teacher_scores)
        )
        filled.append(replace(example, teacher_label=label, teacher_rationale=rationale, teacher_scores=scores))
    return filled
