"""What a file is inferred to be. The right answers of the table were written down before the code ran."""

import csv
import json
import random

import openpyxl
import pyarrow as pa
import pyarrow.parquet
import pytest

from stillhouse.data.inference import as_json, infer
from stillhouse.errors import DatasetError

WORDS = [
    "my",
    "order",
    "came",
    "late",
    "and",
    "the",
    "box",
    "was",
    "open",
    "please",
    "send",
    "another",
    "one",
    "to",
    "me",
    "soon",
    "thanks",
    "for",
    "help",
]


def texts(n, seed=0, words=8):
    draw = random.Random(seed)
    return [f"{' '.join(draw.choices(WORDS, k=words))} {k}" for k in range(n)]


def cycle(*values, n=60):
    return [values[k % len(values)] for k in range(n)]


T, T2 = texts(60), texts(60, 1)
DAYS = [f"2026-0{1 + k // 28}-{1 + k % 28:02}" for k in range(60)]
IDS = [f"A-{k:04}" for k in range(60)]
UNEVEN = [f"class {k}" for k in range(12) for _ in range((12 - k) ** 2)]

# (name, columns of the file, the map, the kind)
CASES = {
    "our own names": ({"input": T, "label": cycle("a", "b")}, {"input": "input", "label": "label"}, "choice"),
    "text and category": ({"text": T, "category": cycle("a", "b", "c")}, {"input": "text", "label": "category"}, "choice"),
    "no telling names": ({"foo": T, "bar": cycle("a", "b", "c")}, {"input": "foo", "label": "bar"}, "choice"),
    "another language": (
        {"Beschreibung": T, "Kategorie": cycle("a", "b"), "Kunde": cycle("x", "y", "z")},
        {"input": "Beschreibung", "label": "Kategorie", "group": "Kunde"},
        "choice",
    ),
    "id, customer, day": (
        {"ticket_id": IDS, "created_at": DAYS, "customer": cycle("ann", "bob", "cy"), "message": T, "topic": cycle("a", "b")},
        {"input": "message", "label": "topic", "group": "customer", "time": "created_at", "id": "ticket_id"},
        "choice",
    ),
    "a ticket's number beside its text": (
        {"ticket": IDS, "text": T, "category": cycle("a", "b")},
        {"input": "text", "label": "category", "id": "ticket"},
        "choice",
    ),
    "numbers as labels": ({"review": T, "label": cycle("0", "1")}, {"input": "review", "label": "label"}, "choice"),
    "title and body": (
        {"title": texts(60, 3, 3), "body": T, "tag": cycle("a", "b")},
        {"input": ["title", "body"], "label": "tag"},
        "choice",
    ),
    "premise and hypothesis": (
        {"premise": T, "hypothesis": T2, "label": cycle("yes", "no", "maybe")},
        {"input": ["premise", "hypothesis"], "label": "label"},
        "choice",
    ),
    "question and answer": ({"question": T, "answer": T2}, {"input": "question", "label": "answer"}, "text"),
    "question and short answer": (
        {"question": T, "answer": [f"word{k}" for k in range(60)]},
        {"input": "question", "label": "answer"},
        "text",
    ),
    "JSON in a column": (
        {"text": T, "fields": [json.dumps({"city": f"c{k}", "n": k}) for k in range(60)]},
        {"input": "text", "label": "fields"},
        "json",
    ),
    "a number to give": (
        {"text": T, "output": [str(k * 7 + 0.5) for k in range(60)]},
        {"input": "text", "label": "output"},
        "number",
    ),
    "no label at all": ({"text": T}, {"input": "text"}, None),
    "an empty label column": ({"text": T, "label": [""] * 60}, {"input": "text", "label": "label"}, None),
    "some rows without label": (
        {"text": T, "label": [*cycle("a", "b", n=40), *[""] * 20]},
        {"input": "text", "label": "label"},
        "choice",
    ),
    "pandas' index": ({"": [str(k) for k in range(60)], "text": T, "label": cycle("a", "b")}, {"input": "text", "label": "label", "id": "column1"}, "choice"),
    "an id that is not unique": (
        {"id": cycle(*IDS[:30]), "text": T, "label": cycle("a", "b")},
        {"input": "text", "label": "label", "id": ""},
        "choice",
    ),
    "a customer in each row of its own": (
        {"customer": IDS, "text": T, "label": cycle("a", "b")},
        {"input": "text", "label": "label"},
        "choice",
    ),
    "a column that is the same everywhere": (
        {"language": ["en"] * 60, "text": T, "label": cycle("a", "b")},
        {"input": "text", "label": "label"},
        "choice",
    ),
    "choices of its own in each row": (
        {"question": T, "a": [f"x{k}" for k in range(60)], "b": [f"y{k}" for k in range(60)], "answer": [f"{'xy'[k % 2]}{k}" for k in range(60)]},
        {"input": "question", "label": "answer", "choices": ["a", "b"]},
        "choice",
    ),
    "JSON to read": ({"payload": [json.dumps({"n": k}) for k in range(60)], "label": cycle("a", "b")}, {"input": "payload", "label": "label"}, "choice"),
    "label beside another class": (
        {"text": T, "channel": cycle("mail", "chat"), "label": cycle("a", "b", "c")},
        {"input": "text", "label": "label"},
        "choice",
    ),
}  # fmt: skip


def written(tmp_path, columns, kind):
    names, rows = list(columns), list(zip(*columns.values(), strict=True))
    path = tmp_path / f"rows.{kind}"
    if kind == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([names, *rows])
    elif kind == "xlsx":
        book = openpyxl.Workbook()
        for row in [names, *rows]:
            book.active.append([cell or None for cell in row])
        book.save(path)
    elif kind == "parquet":
        pyarrow.parquet.write_table(pa.table({name: [v or None for v in columns[name]] for name in names}), path)
    else:
        objects = ({name: cell for name, cell in zip(names, row, strict=True) if cell} for row in rows)
        path.write_text("".join(json.dumps(row) + "\n" for row in objects))
    return path


def plain(mapping):
    return {field: list(named) if isinstance(named, tuple) else named for field, named in mapping.items()}


@pytest.mark.parametrize("kind", ["csv", "xlsx", "jsonl", "parquet"])
@pytest.mark.parametrize("case", CASES)
def test_a_file_is_what_its_columns_say(tmp_path, case, kind):
    columns, mapping, output = CASES[case]
    if case == "pandas' index" and kind != "csv":
        pytest.skip("a column without a name")
    if case == "an empty label column" and kind != "csv" and kind != "parquet":
        mapping = {"input": "text", **({"label": "label"} if kind == "xlsx" else {})}
    found = infer(written(tmp_path, columns, kind))
    assert (plain(found.mapping), found.kind, found.unsure) == (mapping, output, ())
    assert set(found.why) >= {field for field in found.mapping if field != "id"}
    assert len(found.rows) == 5 and found.n_rows == 60
    json.dumps(as_json(found))


UNTOLD = {
    "two classes without a name": ({"text": T, "colour": cycle("a", "b"), "size": cycle("s", "m", "l")}, "the label: 'colour' or 'size'"),
    "two named classes": ({"text": T, "sentiment": cycle("a", "b"), "topic": cycle("s", "m", "l")}, "the label: 'sentiment' or 'topic'"),
    "two texts": ({"left": T, "right": T2, "label": cycle("a", "b")}, "the input: 'left' or 'right'"),
    "a group or a label": ({"post": T, "Group": cycle("a", "b", "c")}, "whether 'Group' is the label"),
    "JSON beside a number": ({"input": T, "ratings": [f"[{k}, 2]" for k in range(60)], "mean": [str(k / 2) for k in range(60)]}, "the label: 'ratings' or 'mean'"),
    "classes beside JSON": ({"instruction": T, "instances": [f"[{k}, 2]" for k in range(60)], "easy": cycle("true", "false")}, "the label: 'easy' or 'instances'"),
    "choices named by letter": ({"question": T, "A": [f"x{k}" for k in range(60)], "B": [f"y{k}" for k in range(60)], "answer": cycle("A", "B")}, "the labels name them"),
    "numbers alone": ({"x": [str(k * 1.5) for k in range(60)], "w": [str(k * 2.5) for k in range(60)], "label": cycle("a", "b")}, "the input: 'x' or 'w'"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNTOLD)
def test_what_cannot_be_told_is_said_with_the_option_that_tells(tmp_path, case):
    columns, says = UNTOLD[case]
    (said,) = infer(written(tmp_path, columns, "csv")).unsure
    assert says in said and "--map" in said


def test_what_the_user_says_is_not_inferred(tmp_path):
    path = written(tmp_path, UNTOLD["two named classes"][0], "csv")
    found = infer(path, columns={"label": "topic"})
    assert found.mapping == {"input": "text", "label": "topic"} and found.unsure == ()
    assert found.why["label"] == "you say so" and found.unused == ("sentiment",)
    assert "label" not in infer(path, columns={"label": ""}).labels and infer(path, columns={"label": ""}).kind is None
    with pytest.raises(DatasetError, match="no column 'topik' for `label`; its columns are text, sentiment, topic"):
        infer(path, columns={"label": "topik"})


def test_twelve_uneven_classes_are_counted_over_all_rows(tmp_path):
    found = infer(written(tmp_path, {"text": texts(len(UNEVEN)), "category": UNEVEN}, "csv"))
    assert list(found.labels.items())[:2] == [("class 0", 144), ("class 1", 121)] and len(found.labels) == 12
    assert (found.output, found.metric, found.instruction) == ("choice", "accuracy", "Choose the category of the text.")
    assert found.warnings == ("3 labels have fewer than 10 rows ('class 9', 'class 10', 'class 11')",)


WARNED = {
    "copies": ({"text": [*T[:30], *T[:30]], "label": cycle("a", "b")}, "30 rows repeat an input; say in [data]"),
    "contradictions": ({"text": [*T[:30], *T[:30]], "label": [*["a"] * 30, *["b"] * 30]}, "30 rows repeat an input with another label"),
    "one label": ({"text": T, "label": ["a"] * 60}, "every label is 'a'"),
    "numbers": ({"text": T, "label": cycle("0", "1")}, "the labels are numbers"),
    "case": ({"text": T, "label": cycle("spam", "Spam", "ham")}, "'spam' and 'Spam' differ in case alone"),
    "no label, spelled out": ({"text": T, "label": cycle("a", "b", "N/A")}, "the label 'N/A' reads like an empty cell (20 rows)"),
    "mostly one": ({"text": T, "label": [*["a"] * 57, *["b"] * 3]}, "95% of the labels are 'a'"),
    "some unlabelled": ({"text": T, "label": [*cycle("a", "b", n=40), *[""] * 20]}, "20 rows of 60 have no label"),
    "long answers": ({"question": T, "answer": T2}, "ROUGE-L is weak evidence"),
    "several labels": ({"text": T, "label": [f"{a};{b}" for a, b in zip(cycle(*"abcdefg"), cycle(*"hijkl"), strict=True)]}, "look like several labels at once"),
    "rounded numbers": ({"customer": cycle("1.23E+11", "1.24E+11"), "text": T, "label": cycle("a", "b")}, "the digits are lost"),
    "days in no order": ({"date": cycle("31.01.2026", "30.01.2026"), "text": T, "label": cycle("a", "b")}, "'date' is not in ISO form"),
}  # fmt: skip


@pytest.mark.parametrize("case", WARNED)
def test_what_may_surprise_is_said(tmp_path, case):
    columns, says = WARNED[case]
    assert any(says in warning for warning in infer(written(tmp_path, columns, "csv")).warnings)


def test_labels_that_no_reply_can_tell_apart_are_no_task_yet(tmp_path):
    found = infer(written(tmp_path, {"text": T, "label": cycle("caf\u00e9", "cafe\u0301", "b")}, "csv"))
    assert found.unsure[0].startswith("the labels cannot be told apart")


def test_bad_rows_are_counted_and_stop_nothing(tmp_path):
    path = written(tmp_path, {"text": T, "label": cycle("a", "b")}, "csv")
    path.write_text(path.read_text() + "one cell\n")
    found = infer(path)
    assert (found.n_rows, found.n_skipped) == (60, 1)
    assert found.warnings[0].startswith("1 row cannot be used; mend, or pass --skip-bad; the first: ")


def test_json_says_which_fields_it_has(tmp_path):
    found = infer(written(tmp_path, CASES["JSON in a column"][0], "csv"))
    assert found.instruction == "Give the fields of the text as JSON with the fields city, n."


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_alpacas_names_are_known(tmp_path, kind):
    rows = [{"instruction": a, "input": "", "output": b} for a, b in zip(T, T2, strict=True)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    written(tmp_path, {"instruction": T, "input": [""] * 60, "output": T2}, "csv")
    found = infer(tmp_path / f"rows.{kind}")
    assert found.n_rows == 60
    assert plain(found.mapping) == {"input": ["instruction", "input"], "label": "output"} and found.kind == "text"


def test_a_customer_whose_second_row_comes_late_is_a_group_and_such_a_number_no_id(tmp_path):
    n = 5_200
    columns = {"customer": [f"c{k % 5_100}" for k in range(n)], "account": [f"a{k}" for k in range(n)]}
    columns |= {"text": texts(n, words=2), "label": cycle("a", "b", n=n), "no": [*map(str, range(n - 1)), "7"]}
    found = infer(written(tmp_path, columns, "csv"))
    assert found.group == "customer" and found.unused == ("account", "no")
    assert (found.id, found.why["id"]) == (None, "none: a value of 'no' occurs twice")


def test_a_file_without_a_good_row_says_what_is_wrong_with_the_first(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes("".join(f'{{"text": "café {k}"}}\n' for k in range(3)).encode("latin-1"))
    with pytest.raises(DatasetError, match=r"holds no usable row; the first is on line 1: not valid JSON.*UTF-8"):
        infer(tmp_path / "rows.jsonl")
    assert infer(tmp_path / "rows.jsonl", encoding="latin-1").n_rows == 3
