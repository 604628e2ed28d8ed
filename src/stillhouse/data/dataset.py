"""Reading and writing datasets: JSONL (also gzipped), Parquet, Arrow, and Alpaca's `instruction, input, output` JSON.

The contract of a row is DESIGN section 4. A broken row is refused with file, line and reason; with `skip_bad` it is
counted and reported instead. A fingerprint over the rows as read goes into every manifest, so a number can be traced to
the rows that made it.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stillhouse.errors import DatasetError
from stillhouse.json_labels import LabelError, json_label, plain_numbers, spelled
from stillhouse.json_text import JsonError, NotJsonError, list_items, read_json
from stillhouse.jsonl import numbered_lines
from stillhouse.labels import labels_problem
from stillhouse.records import Example
from stillhouse.runs import write_atomic
from stillhouse.task import Task
from stillhouse.text_files import read_text

_KNOWN = ("id", "input", "label", "teacher_label", "teacher_rationale", "teacher_scores", "choices", "group")


@dataclass(frozen=True)
class Dataset:
    """The rows of one file in file order, what was skipped and why, and a fingerprint of the rows (sha256, hex)."""

    examples: list[Example]
    path: Path
    fingerprint: str
    skipped: list[str]


# A function from (a row's stated or made id, True where it was made from the input) to the id that the row gets.
Naming = Callable[[str, bool], str]


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str).encode


class _BadRow(Exception):
    """Why one row cannot be used; the caller adds file and line."""


class _CutOff(_BadRow):
    """Why a file cannot be read to its end, with the file: the rows before that are good."""

    def __init__(self, refusal: DatasetError, line: int) -> None:
        super().__init__(str(refusal))
        self.line = line  # the last line that was read


def load_examples(path: str | Path, *, task: Task | None = None, skip_bad: bool = False) -> Dataset:
    """Read a dataset. With a task, labels are checked against its label set.

    Raises DatasetError for a missing or empty file, a torn line, a row that breaks the contract or an id that occurs
    twice. With `skip_bad`, broken rows are left out and listed in `skipped`. Ids that occur twice are refused even
    then: which of the two rows is right is not ours to guess.
    """
    path = Path(path)
    examples: list[Example] = []
    skipped: list[str] = []
    first_line: dict[str, int] = {}

    def on_cut(message: str) -> None:
        skipped.insert(0, message)  # it says more than a bad row, and often the first one alone is shown

    how: dict[str, Any] = {"skip_bad": skip_bad, "on_skip": skipped.append, "on_cut": on_cut, "naming": counting()}
    for line, example in read_rows(path, task=task, **how):
        if example.id in first_line:
            raise twice(path, line, example.id, first_line[example.id])
        first_line[example.id] = line
        examples.append(example)
    return Dataset(examples, path, fingerprint(examples), skipped)


def read_rows(
    path: Path,
    *,
    task: Task | None,
    skip_bad: bool,
    on_skip: Callable[[str], None],
    on_cut: Callable[[str], None],
    naming: Naming,
) -> Iterator[tuple[int, Example]]:
    """The rows one by one with their lines.

    Raises DatasetError as `load_examples` does, but not for ids that occur twice. `naming` gives rows of equal inputs
    different ids, as `counting` does. `on_cut`: as `on_skip`, for the rest of a file that cannot be read to its end.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such data file; give a .jsonl, .jsonl.gz, .json, .parquet or .arrow file")
    n_read = n_skipped = 0
    for line, raw in _raw_rows(path):
        try:
            if isinstance(raw, _BadRow):
                raise raw
            example = _example(raw, task, naming)
        except _CutOff as cut:
            if not skip_bad or not n_read:
                instead = "" if not n_read else ", or pass --skip-bad to take the rows before that place"
                raise DatasetError(f"{cut}{instead}") from None
            on_cut(f"{str(cut).rpartition(';')[0]}; the rows after line {cut.line:,} are lost")
            return
        except _BadRow as problem:
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
    for line, row in _jsonl_rows(path):
        if isinstance(row, _CutOff):
            raise DatasetError(str(row))
        if isinstance(row, _BadRow):
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


def _raw_rows(path: Path) -> Iterator[tuple[int, "Mapping[str, Any] | _BadRow"]]:
    """Rows with their line (or row) number, whatever the file's format. A row that is no object comes as the reason."""
    name = path.name.lower()
    if name.endswith((".parquet", ".arrow", ".feather")):
        yield from _table_rows(path)
    elif name.endswith(".json"):
        yield from _alpaca_rows(path)
    elif name.endswith((".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")):
        yield from _jsonl_rows(path)
    else:
        raise DatasetError(
            f"{path}: unknown kind of file {path.suffix!r}; use .jsonl, .jsonl.gz, .json (Alpaca), .parquet or .arrow"
        )


_NO_TEXT = re.compile("[\udc80-\udcff]")  # what stands for bytes that are no UTF-8
_TORN = " (the last line is cut off: the writer was stopped in the middle)"


def _no_object(row: Any) -> _BadRow:
    return _BadRow(f"a row must be a JSON object, this is {_kind(row)}")


def _jsonl_rows(path: Path) -> Iterator[tuple[int, "Mapping[str, Any] | _BadRow"]]:
    line = 0
    try:
        for line, text in numbered_lines(path):
            yield line, _read_row(text, "" if text.endswith(b"\n") else _TORN)
    except DatasetError as refusal:
        yield line + 1, _CutOff(refusal, line)


def _read_row(text: str | bytes, torn: str = "") -> "Mapping[str, Any] | _BadRow":
    """One row, or why it is none. `torn`: what to say of a text that breaks off."""
    if isinstance(text, str) and _NO_TEXT.search(text):
        return _BadRow("not valid JSON: not UTF-8")
    try:
        row = read_json(text, finite=False, exact=True)  # `_check_json` names the field
    except NotJsonError as error:
        return _BadRow(f"not valid JSON: {error}{torn}")
    except JsonError as error:
        return _BadRow(f"holds {error}")
    return row if isinstance(row, dict) else _no_object(row)


def _alpaca_rows(path: Path) -> Iterator[tuple[int, "Mapping[str, Any] | _BadRow"]]:
    """Alpaca's format: a list of {instruction, input, output}. A list of our own rows is taken too."""
    text = read_text(path, "give a list of rows, or JSONL with one row a line", DatasetError, kept=True)
    if not text.lstrip().startswith("["):
        raise DatasetError(
            f"{path}: must hold a list of rows, this is {_kind_of_text(text)}; "
            "give Alpaca's list of instruction, input, output, or JSONL with one row a line"
        )
    number = 0
    try:
        for number, item in enumerate(list_items(text), start=1):
            yield number, _from_alpaca(_read_row(item))
    except NotJsonError as error:
        refusal = f"{path}: not valid JSON ({error}); give a list of rows, or JSONL with one row a line"
        yield number + 1, _CutOff(DatasetError(refusal), number)


def _kind_of_text(text: str) -> str:
    try:
        return _kind(read_json(text))
    except JsonError as error:
        return f"not valid JSON ({error})"


def _from_alpaca(row: "Mapping[str, Any] | _BadRow") -> "Mapping[str, Any] | _BadRow":
    if isinstance(row, _BadRow) or not ("instruction" in row and "output" in row):
        return row
    rest = {key: value for key, value in row.items() if key not in ("instruction", "input", "output")}
    text = {"instruction": row["instruction"], "input": row["input"]} if row.get("input") else row["instruction"]
    return {**rest, "input": text, "label": row["output"]}


def _table_rows(path: Path) -> "Iterator[tuple[int, Mapping[str, Any] | _BadRow]]":
    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.parquet

    number = 0
    try:
        if path.suffix.lower() == ".parquet":
            batches = pyarrow.parquet.ParquetFile(path).iter_batches(1000)
        else:
            batches = pyarrow.feather.read_table(path).to_batches(1000)
        for batch in batches:
            if len(set(batch.schema.names)) < len(batch.schema.names):
                raise DatasetError(f"{path}: has two columns of one name; rename one")
            for row in _rows_of(batch):
                number += 1
                yield number, row
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise DatasetError(f"{path}: cannot be read as {path.suffix} ({reason}); write the file again") from None


def _rows_of(batch: Any) -> "Iterator[Mapping[str, Any] | _BadRow]":
    """The rows of a part of a table. What Python cannot hold, such as a date after the year 9999, spoils its row."""
    try:
        rows: list[Any] = batch.to_pylist()
    except (ValueError, OverflowError):
        rows = [_row_at(batch, number) for number in range(batch.num_rows)]
    for row in rows:
        # A field that is null counts as absent, and so does NaN, which tables have in its place.
        if isinstance(row, _BadRow):
            yield row
        else:
            yield {key: value for key, value in row.items() if value is not None and value == value}


def _row_at(batch: Any, number: int) -> Any:
    try:
        return batch.slice(number, 1).to_pylist()[0]
    except (ValueError, OverflowError) as error:
        return _BadRow(f"holds a value that cannot be read ({str(error).partition(chr(10))[0]})")


def _example(raw: Mapping[str, Any], task: Task | None, naming: Naming) -> Example:
    text = raw.get("input")
    if "input" not in raw:
        raise _BadRow("`input` is missing")
    if not isinstance(text, str | dict):
        raise _BadRow(f"`input` must be a non-empty text or object of fields, it is {_kind(text)}")
    if not text or (isinstance(text, str) and not text.strip()):
        raise _BadRow("`input` must be a non-empty text or object of fields, it is empty")
    if task is not None and task.output == "json":  # whose numbers are exact, also where a float cannot hold them
        raw = {**raw, **{name: plain_numbers(raw[name]) for name in ("label", "teacher_label") if name in raw}}
    _check_json(raw)
    rationale, group = raw.get("teacher_rationale"), raw.get("group")
    if rationale is not None and not isinstance(rationale, str):
        raise _BadRow(f"`teacher_rationale` must be a text, it is {_kind(rationale)}")
    scores = raw.get("teacher_scores")
    if not _are_scores(scores):
        what = "`teacher_scores` must be an object of labels and their probabilities"
        raise _BadRow(f"{what}, it is {spelled(scores):.80}")
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
            raise _BadRow(
                "holds half of a surrogate pair (\\ud800 to \\udfff), which is no text; write the character itself"
            ) from None
        except ValueError:
            raise _BadRow(f"`{name}` holds NaN or Infinity, which no JSON has; write null or a text") from None
        except (TypeError, RecursionError) as error:
            raise _BadRow(f"`{name}` holds something that no JSON file can ({error})") from None


def _id(raw: Mapping[str, Any], text: Any, naming: Naming) -> str:
    """The row's own id, or one made of its content, so that it stays the same when the file is reordered."""
    own = raw.get("id")
    if own is not None:
        if isinstance(own, bool) or not isinstance(own, str | int) or own == "":
            raise _BadRow(f"`id` must be a text or a whole number, it is {_kind(own)}")
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
            raise _BadRow(f"`{name}` {error}") from None
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise _BadRow(f"`{name}` holds a value that is not JSON ({value!r})") from None


def _are_scores(value: Any) -> bool:
    """Whether the value is None, or probabilities by label."""
    return value is None or (
        isinstance(value, dict) and all(type(p) in (int, float) and 0 <= p <= 1 for p in value.values())
    )


def _choices(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) < 2 or not all(isinstance(choice, str) and choice for choice in value):
        raise _BadRow("`choices` must be a list of at least two texts")
    if problem := labels_problem(value):
        raise _BadRow(f"`choices`: {problem}")
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
            raise _BadRow(f"`{name}` is {value!r}, which is not one of {of} ({', '.join(allowed[:8])}{more})")


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        type(None): "null",
    }
    return names.get(type(value), type(value).__name__)


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
