"""What a file of rows is a task for, as far as it tells: which column is what, which answers, how they are scored.

`infer` reads the file, and neither prints nor asks: the command line and the studio show what it found and ask for a
yes. Columns are chosen by the first rows (`column_roles`); labels, copies and ids are counted over all of them.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from stillhouse.column_map import ColumnMap, columns_named
from stillhouse.data.bad_rows import BadRow
from stillhouse.data.chat_rows import ASSISTANT, BEFORE, SYSTEM, USER, chat_column, chat_map, without_lists
from stillhouse.data.column_facts import MOST_CLASSES, ColumnFacts, facts_of, is_number, is_object, text_of
from stillhouse.data.column_roles import Roles, choice_columns, choose_roles, is_called, may_be_group
from stillhouse.data.dataset import read_rows
from stillhouse.data.prompt_frame import frame_of, instruction_in
from stillhouse.data.raw_rows import OpenedFile, Reading, open_file
from stillhouse.data.workbook import NoValue, sheet_of
from stillhouse.errors import DatasetError
from stillhouse.json_text import JsonError, read_json
from stillhouse.labels import labels_problem
from stillhouse.records import Example
from stillhouse.settings import DataSettings
from stillhouse.task import MetricName, Output, Task

Kind = Literal["choice", "text", "json", "number"]

SAMPLE = 5_000  # rows by which columns are chosen
N_SHOWN = 5
_FEW = 10  # rows: of a class with fewer nothing is learned and nothing measured
_MOST_DIFFERENT = 5_000  # labels that are counted apart: where there are more, they are no classes
_MOST_WORDS = 4  # of answers that are compared word for word
_NO_LABEL = {"n/a", "na", "#n/a", "nan", "null", "none", "-", "?", "unknown", "tbd"}


@dataclass(frozen=True, kw_only=True)
class Inference:
    """What was found. `unsure` holds what the user has to say before a task can be made of it.

    `kind` None: no label tells, and `output` is then a placeholder. `labels`: class -> rows, the commonest first; of
    answers that are no classes, empty. `columns`: the file's. `mapping`: as `map` in `[data]`; `why` for each field.
    """

    path: Path
    columns: tuple[str, ...]
    mapping: ColumnMap
    why: Mapping[str, str]
    kind: Kind | None
    output: Output
    labels: Mapping[str, int]
    instruction: str
    instruction_is_own: bool  # the rows hold it: a system message, or what stands around every input
    metric: MetricName
    n_rows: int
    n_labelled: int
    n_skipped: int
    n_repeated: int  # rows whose input an earlier row has
    n_contradicting: int  # of them, those with another label than the first
    encoding: str | None
    delimiter: str | None
    template: str | None  # what stands around the input in its column
    unsure: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]  # what was read off the file: encoding, separator, sheet, head
    rows: tuple[Example, ...]  # the first five

    @property
    def group(self) -> str | None:
        return _one(self.mapping, "group")

    @property
    def time(self) -> str | None:
        return _one(self.mapping, "time")

    @property
    def id(self) -> str | None:
        return _one(self.mapping, "id")

    @property
    def unused(self) -> tuple[str, ...]:
        """Columns that no field is taken from; they are kept with the rows, and nothing reads them."""
        return tuple(name for name in self.columns if name not in columns_named(self.mapping))


def infer(
    path: str | Path, *, columns: ColumnMap | None = None, encoding: str | None = None, delimiter: str | None = None
) -> Inference:
    """Read the file and say what it is. `columns`, `encoding` and `delimiter`: what the user says already.

    Raises DatasetError for a file that cannot be read, or has no usable row.
    """
    path, given = Path(path), columns or {}
    if not sheet_of(path)[0].is_file():
        raise DatasetError(f"{path}: no such data file")
    notes: list[str] = []
    opened = open_file(path, Reading(columns=given, encoding=encoding, delimiter=delimiter), notes.append)
    sample, names, first_bad = _sample(opened)
    if (chats := chat_column(names)) is not None:
        given = _chat_given(chats, given, names)
    if not sample:
        why = (
            "add rows with an input and, where known, a label" if first_bad is None else f"the first is on {first_bad}"
        )
        raise DatasetError(f"{path}: holds no usable row; {why}")
    for column, field in columns_named(given).items():
        if column not in names:
            raise DatasetError(f"{path}: has no column {column!r} for `{field}`; its columns are {', '.join(names)}")
    facts = _with_later_repeats(facts_of(sample, names), sample, opened)
    if {"instruction", "input", "output"} <= set(names) and not given:
        columns_of: ColumnMap = {"input": ("instruction", "input"), "label": "output"}
        roles = Roles(columns_of, dict.fromkeys(columns_of, "Alpaca's names"))
    else:
        roles = choose_roles(facts, given)
    roles = _with_choices(roles, sample, names)
    if chats is not None:
        roles = replace(roles, why={**roles.why, **_chat_why(chats, roles.columns, columns or {})})
    of_input = _one(roles.columns, "input")
    prompts = [text_of(row[of_input]) for row in sample if of_input in row] if of_input is not None else []
    how = {
        "encoding": encoding,
        "delimiter": delimiter,
        "columns": names,
        "notes": tuple(dict.fromkeys(notes)),
        "template": frame_of(prompts),
    }
    if "input" not in roles.columns:
        return _without_rows(path, roles, how)
    counted = _count(path, roles, how)
    found = _found(path, roles, counted, facts, how)
    return found if chats is None else _of_chats(found, chats, sample)


def _one(mapping: ColumnMap, field: str) -> str | None:
    column = mapping.get(field)
    return column if isinstance(column, str) and column else None


def _sample(opened: OpenedFile) -> tuple[list[Mapping[str, Any]], tuple[str, ...], str | None]:
    """The first rows that can be read, the file's columns, and what is wrong with the first row that cannot."""
    first = list(itertools.islice(opened.rows, SAMPLE))
    sample = [without_lists(row) for _, row in first if not isinstance(row, BadRow)]
    first_bad = next((f"line {line}: {row}" for line, row in first if isinstance(row, BadRow)), None)
    held = dict.fromkeys(name for row in sample for name in row)
    names = tuple(held) if opened.columns is None else opened.columns
    if chat_column(names) is not None:
        names = tuple(name for name in names if name in held)
    return sample, names, first_bad


def _chat_given(chats: str, given: ColumnMap, names: Sequence[str]) -> ColumnMap:
    """What a file of chats says itself: the last user message is the input, the assistant's answer the label."""
    whole = chat_map(chats, given)
    return {field: named for field, named in whole.items() if field in given or named in names}


def _chat_why(chats: str, columns: ColumnMap, given: ColumnMap) -> dict[str, str]:
    says = {f"{chats}{USER}": "the last user message", f"{chats}{ASSISTANT}": "the assistant's answer to it"}
    return {
        field: says[named]
        for field, named in columns.items()
        if isinstance(named, str) and named in says and field not in given
    }


def _of_chats(found: Inference, chats: str, sample: Sequence[Mapping[str, Any]]) -> Inference:
    """The system message is the instruction that the app gives; turns before the last one are said."""
    said = Counter(row[f"{chats}{SYSTEM}"] for row in sample if f"{chats}{SYSTEM}" in row)
    warnings, system_column = list(found.warnings), f"{chats}{SYSTEM}"
    found = replace(found, columns=tuple(name for name in found.columns if name != system_column))
    if n_before := sum(f"{chats}{BEFORE}" in row for row in sample):
        columns = f"--map input={chats}{BEFORE},{chats}{USER}"
        warnings.append(f"in {_rows(n_before)}, turns come before the last user message, and are left out: {columns}")
    if not said:
        return replace(found, warnings=tuple(warnings))
    system, n = said.most_common(1)[0]
    if n < len(sample):
        n_others = _rows(len(sample) - n, "has", "have")
        others = f"{n_others} another system message than the commonest, or none"
        warnings.append(f"{others}: that one is the instruction")
    parts = (system, *([] if found.template is None else [instruction_in(found.template)]))
    own = "\n".join(filter(None, parts))
    return replace(found, instruction=own, instruction_is_own=True, warnings=tuple(warnings))


def _with_choices(roles: Roles, sample: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Roles:
    """The roles with each row's own choices, where there are columns of them."""
    free = [name for name in names if name not in columns_named(roles.columns)]
    of_choices, among = choice_columns(sample, free, _one(roles.columns, "label"))
    if not of_choices or "choices" in roles.columns:
        return roles
    if not among:
        seem = f"columns {', '.join(of_choices)} look like each row's own choices, and the labels name them"
        doubt = f"{seem}: write the choice itself as the label, or say --map choices= to leave them out"
        return replace(roles, unsure=(*roles.unsure, doubt))
    why = {**roles.why, "choices": "each row's label is one of them"}
    return replace(roles, columns={**roles.columns, "choices": of_choices}, why=why)


def _with_later_repeats(
    facts: list[ColumnFacts], sample: Sequence[Mapping[str, Any]], opened: OpenedFile
) -> list[ColumnFacts]:
    """A customer whose next row comes after the sample is a group as well: the file is read on until one does."""
    seen = {
        fact.name: {hash(text_of(row[fact.name])) for row in sample if fact.name in row}
        for fact in facts
        if fact.is_unique and may_be_group(fact) and len(sample) >= SAMPLE
    }
    repeating = set[str]()
    for _, row in opened.rows if seen else ():
        if isinstance(row, BadRow):
            continue
        for name, values in list(seen.items()):
            key = hash(text_of(row[name])) if name in row and not isinstance(row[name], NoValue) else None
            if key in values:
                repeating.add(name)
                del seen[name]
            elif key is not None:
                values.add(key)
        if not seen:
            break
    return [replace(fact, n=fact.n + 1) if fact.name in repeating else fact for fact in facts]


@dataclass
class _Counted:
    """What was counted over all rows."""

    n: int = 0
    skipped: tuple[str, ...] = ()
    labels: Counter[str] | None = None  # None: more different ones than are counted
    n_labelled: int = 0
    n_words: int = 0  # of all labels
    n_numbers: int = 0
    n_objects: int = 0
    n_repeated: int = 0
    n_contradicting: int = 0
    ids_repeat: bool = False
    first: tuple[Example, ...] = ()
    names_in_objects: tuple[str, ...] = ()


def _count(path: Path, roles: Roles, how: Mapping[str, Any]) -> _Counted:
    data = DataSettings(map=dict(roles.columns), **{name: how[name] for name in ("encoding", "delimiter", "template")})
    task = Task("inference", "none", "text", data=data)
    counted, labels, skipped, cut = _Counted(), Counter[str](), list[str](), list[str]()
    first_label: dict[int, int | None] = {}  # of each input, both by their hashes
    ids: set[int] = set()
    names: dict[str, None] = {}
    rows = read_rows(
        path, task=task, skip_bad=True, on_skip=skipped.append, on_cut=cut.append, naming=lambda id_, _: id_
    )
    for _, row in rows:
        counted.n += 1
        if len(counted.first) < N_SHOWN:
            counted.first = (*counted.first, row)
        if roles.columns.get("id"):
            counted.ids_repeat = counted.ids_repeat or hash(row.id) in ids
            ids.add(hash(row.id))
        key, label = hash(row.text), None if row.label is None else hash(row.label)
        if key in first_label:
            counted.n_repeated += 1
            counted.n_contradicting += label is not None and first_label[key] not in (None, label)
        else:
            first_label[key] = label
        if row.label is not None:
            counted.n_labelled += 1
            counted.n_words += len(row.label.split())
            counted.n_numbers += is_number(row.label)
            if is_object(row.label):
                counted.n_objects += 1
                names |= dict.fromkeys(_names_in(row.label)) if counted.n_objects <= SAMPLE else {}
            if len(labels) <= _MOST_DIFFERENT:
                labels[row.label] += 1
    counted.skipped = (*cut, *skipped)
    counted.labels = labels if len(labels) <= _MOST_DIFFERENT else None
    counted.names_in_objects = tuple(names)
    return counted


def _names_in(text: str) -> list[str]:
    try:
        value = read_json(text)
    except JsonError:
        return []
    return list(value) if isinstance(value, dict) else []


def _kind(counted: _Counted, own_choices: bool) -> Kind | None:
    """What the labels are; None: there are none, or all are the same. `own_choices`: each row has its own."""
    n, labels = counted.n_labelled, counted.labels
    if own_choices:
        return "choice"
    if not n or (labels is not None and len(labels) < 2):
        return None
    if counted.n_objects >= 0.95 * n:
        return "json"
    if labels is not None and 2 <= len(labels) <= min(MOST_CLASSES, max(2, n // 2)):
        repeating = sum(count for count in labels.values() if count > 1)
        if repeating >= 0.8 * n and counted.n_words <= 8 * n:
            return "choice"
    return "number" if counted.n_numbers >= 0.95 * n else "text"


def _found(
    path: Path, roles: Roles, counted: _Counted, facts: Sequence[ColumnFacts], how: Mapping[str, Any]
) -> Inference:
    mapping, why = dict(roles.columns), dict(roles.why)
    if counted.ids_repeat:
        why["id"] = f"none: a value of {mapping['id']!r} occurs twice"
        mapping["id"] = ""
    own_choices = bool(mapping.get("choices"))
    kind = _kind(counted, own_choices)
    labels = counted.labels if kind == "choice" and not own_choices and counted.labels is not None else Counter[str]()
    short = counted.n_words <= _MOST_WORDS * max(1, counted.n_labelled)
    output, metric = _output_and_metric(kind, counted, short)
    unsure = list(roles.unsure)
    if labels and (problem := labels_problem(labels)) is not None:
        unsure.append(f"the labels cannot be told apart: {problem}; mend the rows")
    warnings = _warnings(kind, counted, labels, mapping, facts, metric)
    return Inference(
        path=path,
        mapping={field: mapping[field] for field in sorted(mapping, key=_order) if field in mapping},
        why=why,
        kind=kind,
        output=output,
        labels=dict(labels.most_common()),
        instruction=_instruction(kind, mapping, counted.names_in_objects, how["template"]),
        instruction_is_own=bool(how["template"] and instruction_in(how["template"])),
        metric=metric,
        n_rows=counted.n,
        n_labelled=counted.n_labelled,
        n_skipped=len(counted.skipped),
        n_repeated=counted.n_repeated,
        n_contradicting=counted.n_contradicting,
        unsure=tuple(unsure),
        warnings=tuple(warnings),
        rows=counted.first,
        **how,
    )


def _without_rows(path: Path, roles: Roles, how: Mapping[str, Any]) -> Inference:
    """No input, no rows: what is left is the question."""
    return Inference(
        path=path,
        mapping=roles.columns,
        why=roles.why,
        kind=None,
        output="text",
        labels={},
        instruction="",
        instruction_is_own=False,
        metric="exact_match",
        n_rows=0,
        n_labelled=0,
        n_skipped=0,
        n_repeated=0,
        n_contradicting=0,
        unsure=roles.unsure,
        warnings=(),
        rows=(),
        **how,
    )


def _order(field: str) -> int:
    order = ("input", "label", "choices", "group", "time", "id")
    return order.index(field) if field in order else len(order)


def _output_and_metric(kind: Kind | None, counted: _Counted, short: bool) -> tuple[Output, MetricName]:
    if kind == "choice":
        return "choice", "accuracy"
    if kind == "json":
        return "json", "exact_match"
    if kind == "number" and all(map(_is_json, counted.labels or ["1,000"])):
        return "json", "exact_match"  # 2.0 is 2 there
    return "text", "exact_match" if short else "rouge_l"


def _is_json(text: str) -> bool:
    try:
        read_json(text)
    except JsonError:
        return False
    return True


def _instruction(kind: Kind | None, mapping: ColumnMap, names: Sequence[str], template: str | None) -> str:
    """The user's own, where the rows hold it; else a first one: the user's own prompt is better."""
    if template is not None and (own := instruction_in(template)):
        return own
    of, label = _noun(mapping.get("input", "input"), "text"), _noun(mapping.get("label", ""), "answer")
    if kind == "choice":
        return f"Choose the {label} {'to' if mapping.get('choices') else 'of'} the {of}."
    if kind == "json":
        fields = f" with the fields {', '.join(names)}" if names else ""
        return f"Give the {label} of the {of} as JSON{fields}."
    if kind == "number":
        return f"Give the {label} of the {of} as a number."
    return f"Write the {label} to the {of}." if kind == "text" else f"Answer the {of}."


def _noun(named: str | tuple[str, ...], otherwise: str) -> str:
    """A column's name in a sentence, where it is a word or two."""
    if isinstance(named, tuple):
        return " and ".join(_noun(name, name) for name in named[:4]) if len(named) <= 4 else otherwise
    if named.endswith((USER, ASSISTANT)):
        return otherwise
    words = re.sub(r"[\s_.-]+", " ", named).strip().lower()
    plain = 0 < len(words.split()) <= 3 and not re.fullmatch(r"column\d+", words) and words not in ("input", "output")
    return words if plain else otherwise


def _warnings(
    kind: Kind | None,
    counted: _Counted,
    labels: Counter[str],
    mapping: ColumnMap,
    facts: Sequence[ColumnFacts],
    metric: MetricName,
) -> list[str]:
    """What may surprise, most important first."""
    said = []
    n, n_labelled = counted.n, counted.n_labelled
    if counted.skipped:
        said.append(
            f"{_rows(len(counted.skipped))} cannot be used; mend, or pass --skip-bad; the first: {counted.skipped[0]}"
        )
    if not n_labelled:
        said.append("no row has a label: a teacher's answers will be learned, and what to answer is for you to say")
    elif n_labelled < n:
        said.append(f"{_rows(n - n_labelled)} of {n:,} {'has' if n - n_labelled == 1 else 'have'} no label")
    if n_labelled and kind is None:
        said.append(f"every label is {next(iter(counted.labels or ['']))!r}, so there is nothing to learn")
    if labels:
        said += _of_classes(labels, n_labelled)
    if kind == "text" and (parts := _several_labels(counted)):
        said.append(f"cells look like several labels at once ({parts}); a choice has one, so they are taken as texts")
    if metric == "rouge_l":
        said.append("answers are long texts: ROUGE-L is weak evidence; `stillhouse compare` has them judged")
    if counted.n_contradicting:
        n_rows = _rows(counted.n_contradicting, "repeats", "repeat")
        said.append(f"{n_rows} an input with another label: no answer is right for both")
    elif counted.n_repeated:
        n_rows = _rows(counted.n_repeated, "repeats", "repeat")
        said.append(f'{n_rows} an input; say in [data] whether copies = "traffic" or "files"')
    used = columns_named({field: mapping.get(field, "") for field in ("id", "group", "label")})
    for fact in facts:
        if fact.n_rounded and fact.name in used:
            said.append(f"column {fact.name!r} has numbers like 1.23E+11: the digits are lost; export them as text")
        dated = is_called(fact.name, ("date", "datum", "fecha", "time", "timestamp"))
        if dated and fact.n and fact.times < 0.9 and not mapping.get("time") and fact.numbers < 0.5:
            said.append(
                f"column {fact.name!r} is not in ISO form (2026-11-30), so rows are split at random, not by time"
            )
    return said


def _of_classes(labels: Counter[str], n_labelled: int) -> list[str]:
    said = []
    common, n_common = labels.most_common(1)[0]
    if n_common > 0.9 * n_labelled:
        said.append(
            f"{n_common / n_labelled:.0%} of the labels are {common!r}: whoever always says so is right as often"
        )
    if rare := [label for label, count in labels.items() if count < _FEW]:
        s = "label has" if len(rare) == 1 else "labels have"
        said.append(f"{len(rare)} {s} fewer than {_FEW} rows ({', '.join(map(repr, rare[:4]))}{_more(rare, 4)})")
    if missing := [label for label in labels if label.casefold() in _NO_LABEL]:
        said.append(
            f"the label {missing[0]!r} reads like an empty cell ({_rows(labels[missing[0]])}); clear such cells"
        )
    folded: dict[str, str] = {}
    for label in labels:
        if (other := folded.setdefault(label.casefold(), label)) != label:
            said.append(f"{other!r} and {label!r} differ in case alone, and count as two labels")
            break
    if all(map(is_number, labels)):
        said.append("the labels are numbers: a model has to be told in the instruction what each stands for")
    return said


def _several_labels(counted: _Counted) -> str | None:
    """An example of a cell with several labels, where the parts of the cells are few."""
    labels = counted.labels
    if labels is None:
        return None
    for sign in (";", "|", ","):
        several = [label for label in labels if sign in label]
        parts = Counter(part.strip() for label in labels for part in label.split(sign))
        if several and len(parts) <= min(MOST_CLASSES, len(labels) / 2) and max(map(len, parts)) <= 40:
            return repr(several[0][:60])
    return None


def _rows(n: int, of_one: str = "", of_many: str = "") -> str:
    """So many rows, and the verb that goes with them."""
    return f"{n:,} row {of_one}".rstrip() if n == 1 else f"{n:,} rows {of_many}".rstrip()


def _more(items: Sequence[object], shown: int) -> str:
    return f" and {len(items) - shown} more" if len(items) > shown else ""


def as_json(found: Inference) -> dict[str, Any]:
    """The inference as one JSON object."""
    facts = {name: value for name, value in vars(found).items() if name not in ("path", "rows")}
    rows = [{"id": row.id, "input": row.input, "label": row.label, "group": row.group} for row in found.rows]
    more = {"path": str(found.path), "rows": rows, "unused": found.unused}
    value: dict[str, Any] = json.loads(json.dumps(facts | more, ensure_ascii=False, default=dict))
    return value
