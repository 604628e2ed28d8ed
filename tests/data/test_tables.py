"""Data as it is: CSV, TSV, Excel and Parquet, in any encoding that can be told, by a map of columns."""

import datetime as dt
import gzip
import json
import re
import subprocess
import sys
import zipfile

import openpyxl
import pyarrow as pa
import pyarrow.parquet
import pytest

from stillhouse.column_map import parse_map
from stillhouse.data.dataset import load_examples, to_row
from stillhouse.data.rows import StreamedRows
from stillhouse.errors import DatasetError, TaskFileError, UserError
from stillhouse.settings import DataSettings
from stillhouse.task import Task, load_task

MAP = {"input": "text", "label": "category"}


def task(columns=MAP, output="text", **data):
    return Task(name="t", instruction="i", output=output, data=DataSettings(map=columns, **data))


def csv_file(tmp_path, text, name="rows.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def workbook(tmp_path, rows, name="rows.xlsx", **sheets):
    book = openpyxl.Workbook()
    for title, sheet_rows in {"Sheet": rows, **sheets}.items():
        sheet = book.active if title == "Sheet" else book.create_sheet(title)
        for row in sheet_rows:
            sheet.append(row)
    book.save(tmp_path / name)
    return tmp_path / name


def labelled(path, columns=MAP, **data):
    return [(row.input, row.label) for row in load_examples(path, task=task(columns, **data)).examples]


TWO = [("hello there", "a"), ("bye", "b")]


@pytest.mark.parametrize(
    "text",
    [
        "text,category\nhello there,a\nbye,b\n",
        "text,category\r\nhello there,a\r\nbye,b\r\n",
        "text,category\rhello there,a\rbye,b\r",
        "text;category\nhello there;a\nbye;b\n",
        "text\tcategory\nhello there\ta\nbye\tb\n",
        "text|category\nhello there|a\nbye|b",
        'sep=;\n"text";"category"\nhello there;a\nbye;b\n',
        "\n\ntext,category\n\nhello there,a\n,\nbye,b\n\n",
        " text , category \nhello there, a \nbye,b\n",
        "text,category,,\nhello there,a,,\nbye,b,,\n",
        '"text", "category"\n"hello there", "a"\nbye, "b"\n',
    ],
)
def test_a_delimited_file_is_read_whatever_parts_it(tmp_path, text):
    assert labelled(csv_file(tmp_path, text)) == TWO


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "csv.gz"])
def test_an_encoding_that_the_bytes_tell_is_taken(tmp_path, encoding, kind):
    rows = [("Où est ma commande n° 5 ?", "é"), ("merci à vous", "b")]
    objects = [{"text": text, "category": label} for text, label in rows]
    sign = "\t" if kind == "tsv" else ","
    text = sign.join(MAP.values()) + "\n" + "".join(f"{text}{sign}{label}\n" for text, label in rows)
    text = {"jsonl": "".join(json.dumps(row) + "\n" for row in objects), "json": json.dumps(objects)}.get(kind, text)
    raw = text.encode(encoding)
    path = csv_file(tmp_path, gzip.compress(raw) if kind == "csv.gz" else raw, f"rows.{kind}")
    read = load_examples(path, task=task())
    assert [(row.input, row.label) for row in read.examples] == rows
    assert ["is read as UTF" in note for note in read.notes] == ([] if encoding.startswith("utf-8") else [True])


@pytest.mark.parametrize("codec", ["cp1252", "shift_jis", "gb18030", "koi8-r"])
def test_an_encoding_that_cannot_be_told_is_asked_for_and_then_taken(tmp_path, codec):
    word = {"cp1252": "Müller – schön", "shift_jis": "注文した商品", "gb18030": "我的订单", "koi8-r": "привет мир"}[
        codec
    ]
    path = csv_file(tmp_path, f"text,category\nplain,a\n{word},b\n", encoding=codec)
    with pytest.raises(DatasetError, match=r"not UTF-8 \(on line 3\).*`encoding` in \[data\].*cp1252"):
        load_examples(path, task=task())
    assert labelled(path, encoding=codec) == [("plain", "a"), (word, "b")]
    with pytest.raises(DatasetError, match="'latin-99' is no encoding that Python knows"):
        load_examples(path, task=task(encoding="latin-99"))


MIXED = b"text,category\n" + "M\u00fcller \u00fc,a\n".encode("cp1252") + "Jos\u00e9,b\n".encode()


def test_a_file_of_two_encodings_is_said_and_read_line_by_line(tmp_path):
    path = csv_file(tmp_path, MIXED)
    with pytest.raises(DatasetError, match='perhaps "utf-8,cp1252", line by line'):
        load_examples(path, task=task())
    note = "rows.csv is read as cp1252, but a line is valid UTF-8, as line 3, which then reads 'Jos\u00c3\u00a9,b'; "
    assert (
        note + 'if it is a file of both, say "utf-8,cp1252"' in load_examples(path, task=task(encoding="cp1252")).notes
    )
    assert labelled(path, encoding="utf-8, cp1252") == [("M\u00fcller \u00fc", "a"), ("Jos\u00e9", "b")]
    for encoding, why in (("utf-8,utf-16", "utf-16 ends its lines in other bytes"), ("utf-8,x", "'x' is no encoding")):
        with pytest.raises(DatasetError, match=why):
            load_examples(path, task=task(encoding=encoding))
    quoted = 'text,category\n"a\u00e4\r\nb\rc",x\n'  # line ends of all kinds within a cell
    assert labelled(csv_file(tmp_path, quoted, encoding="cp1252"), encoding="utf-8,cp1252") == [
        ("a\u00e4\r\nb\rc", "x")
    ]


def test_bytes_that_are_no_text_spoil_a_row_only_where_its_cell_is_used(tmp_path):
    path = csv_file(tmp_path, b"text,category,note\nhello,a,\x81\n" + "d\u00e9j\u00e0 vu,b,\u00e9\n".encode("cp1252"))
    assert labelled(path, encoding="cp1252") == [("hello", "a"), ("d\u00e9j\u00e0 vu", "b")]
    with pytest.raises(DatasetError, match=r"rows\.csv:2: column 'note' holds bytes that are not text"):
        labelled(path, {"input": ["text", "note"], "label": "category"}, encoding="cp1252")


def test_a_few_bytes_that_are_no_utf8_spoil_their_rows_alone(tmp_path):
    text = "text,category\nschön,a\nsehr schön,b\n".encode() + b"caf\xe9,a\n" + "süß,a\n".encode()
    path = csv_file(tmp_path, text)
    with pytest.raises(DatasetError, match=r"rows\.csv:4: column 'text' holds bytes that are not text"):
        load_examples(path, task=task())
    kept = load_examples(path, task=task(), skip_bad=True)
    assert [row.input for row in kept.examples] == ["schön", "sehr schön", "süß"] and len(kept.skipped) == 1


# The row on a file's third line is bad; how it is, and what is said of it.
@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("only one cell", r"3: has 1 cell where the head has 2; mend the row"),
        ("one,two,three", r"3: has 3 cells where the head has 2"),
        ('"never closed,b', r"3: opens a quote that is not closed"),
        ('"a "word" in quotes",b', r"3: holds a quote within quotes that is not doubled"),
        ('"two\nlines",b,more', r"3: has 3 cells where the head has 2 \(lines 3 to 4 are one row\)"),
        ("text,category", r"3: repeats the head"),
        (",b", r"3: `input` is empty \(column 'text'\)"),
    ],
)
@pytest.mark.parametrize("after", ["last,b\n", 'last,b\n"q, uoted",a\n'])
def test_a_bad_row_is_named_by_its_line_and_never_stops_the_rest(tmp_path, bad, says, after):
    path = csv_file(tmp_path, f"text,category\nfirst,a\n{bad}\n{after}")
    with pytest.raises(DatasetError, match=rf"rows\.csv:{says}"):
        load_examples(path, task=task())
    kept = load_examples(path, task=task(), skip_bad=True)
    assert [row.input for row in kept.examples] == ["first", "last", *(["q, uoted"] if "q" in after else [])]
    assert len(kept.skipped) == 1
    with StreamedRows([path], task(), scratch=tmp_path, skip_bad=True) as rows:
        assert [row.input for row in rows] == [row.input for row in kept.examples] and rows.skipped == 1


def test_a_quote_that_is_never_closed_among_many_rows_costs_its_row_alone(tmp_path):
    body = "".join(f"row {n},{'a' if n % 2 else 'b'}\n" for n in range(5000))
    path = csv_file(tmp_path, f'text,category\n"open,a\n{body}')
    kept = load_examples(path, task=task(), skip_bad=True)
    assert len(kept.examples) == 5000 and kept.skipped[0].startswith(f"{path}:2: opens a quote")


def test_newlines_quotes_and_delimiters_within_quotes_are_text(tmp_path):
    path = csv_file(tmp_path, 'text,category\n"one\r\ntwo, ""three""",a\n"; ; ;",b\n')
    assert labelled(path) == [('one\r\ntwo, "three"', "a"), ("; ; ;", "b")]
    with StreamedRows([path], task(), scratch=tmp_path) as rows:
        assert len(list(rows)) == 2


def test_quotes_escaped_by_a_backslash_are_seen(tmp_path):
    path = csv_file(tmp_path, 'text,category\n"he said \\"hi\\", twice",a\n"x",b\n')
    assert labelled(path) == [('he said "hi", twice', "a"), ("x", "b")]


def test_a_cell_may_be_longer_than_a_block_and_hold_a_null(tmp_path):
    long = "word " * 400_000
    path = csv_file(tmp_path, f"text,category\n{long},a\nx\0y,b\n")
    assert labelled(path) == [(long, "a"), ("x\0y", "b")]


def test_a_column_of_one_name_is_no_matter_of_commas(tmp_path):
    path = csv_file(tmp_path, "text\nyes, it is\nno\nwell, a, b\n")
    assert [row.input for row in load_examples(path, task=task({"input": "text"})).examples] == [
        "yes, it is",
        "no",
        "well, a, b",
    ]


HEADS = [  # (rows, columns, note)
    ([["text", "category"], ["a b", "x"], ["c d", "y"]], ["text", "category"], None),
    ([["", "text"], ["0", "a b"], ["1", "c d"]], ["column1", "text"], None),
    ([["text", "text"], ["a", "b"], ["c", "d"]], ["text", "text (2)"], "is there already"),
    ([["7", "some words"], ["8", "other words"], ["9", "more"]], ["column1", "column2"], "no head"),
    (
        [["good film", "pos"], ["bad", "neg"], ["dull", "neg"], ["fine", "pos"], ["ok", "pos"]],
        ["column1", "column2"],
        "no head",
    ),
    ([["2019", "2020"], ["much", "more"], ["less", "most"]], ["2019", "2020"], None),
    (
        [["How would you rate our service today?", "class"], ["5", "x"], ["4", "y"]],
        ["How would you rate our service today?", "class"],
        None,
    ),
    (
        [["my order never came to my house", "a"], ["where is it now", "b"], ["what do you think of that", "c"]],
        ["column1", "column2"],
        "no head",
    ),
    (
        [["Report of May", "", ""], ["id", "text", "class"], ["1", "a", "x"], ["2", "b", "y"]],
        ["id", "text", "class"],
        "above the head",
    ),
]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize(("rows", "names", "note"), HEADS)
def test_the_head_is_found(tmp_path, rows, names, note, kind):
    from stillhouse.data.raw_rows import AS_IT_IS, open_file

    if kind == "xlsx":
        path = workbook(tmp_path, rows)
    else:
        path = csv_file(tmp_path, "".join(",".join(row) + "\n" for row in rows))
    notes = []
    opened = open_file(path, AS_IT_IS, notes.append)
    assert list(opened.columns) == names
    assert len(list(opened.rows)) == len(
        [row for row in rows if row[:2] != names[:2] and row[0] != "Report of May"]
    ) - (1 if note == "is there already" or (names[0] == "column1" and rows[0][0] == "") else 0)
    assert [note in said for said in notes] == ([True] if note else [])


def test_labels_are_texts_however_a_cell_holds_them(tmp_path):
    values = [1, 1.0, "01", True, 2.5, 1e15, 12345678901, dt.date(2026, 1, 31), " padded ", "1,000"]
    shown = ["1", "1", "01", "TRUE", "2.5", "1000000000000000", "12345678901", "2026-01-31", "padded", "1,000"]
    path = workbook(tmp_path, [["text", "category"], *([f"t{n}", value] for n, value in enumerate(values))])
    assert [label for _, label in labelled(path)] == shown
    quoted = "".join(f't{n},"{value}"\n' for n, value in enumerate(shown))
    assert [label for _, label in labelled(csv_file(tmp_path, f"text,category\n{quoted}"))] == shown
    table = pa.table({"text": ["a", "b", "c"], "category": pa.array([1.0, None, 2.0])})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    assert [label for _, label in labelled(tmp_path / "rows.parquet")] == ["1", None, "2"]


def test_a_number_shown_with_leading_zeros_has_them(tmp_path):
    path = workbook(tmp_path, [["text", "category"], ["a", 7], ["b", 1234]])
    book = openpyxl.load_workbook(path)
    for cell in ("B2", "B3"):
        book.active[cell].number_format = "00000"
    book.save(path)
    assert [label for _, label in labelled(path)] == ["00007", "01234"]


def test_formulas_are_what_excel_computed_and_refused_where_it_did_not(tmp_path):
    path = workbook(tmp_path, [["text", "category", "more"], ["a", "=1+1", "=2+2"], ["b", "x", "=3+3"]])
    with pytest.raises(DatasetError, match=r"rows\.xlsx:2: column 'category' holds a formula that was never computed"):
        load_examples(path, task=task())
    kept = load_examples(path, task=task(), skip_bad=True)  # the column `more` is not asked for
    assert [(row.input, row.label) for row in kept.examples] == [("b", "x")]
    changed = tmp_path / "computed.xlsx"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, re.sub(rb"<v ?/>|<v></v>", b"<v>2</v>", old.read(name)))
    assert labelled(changed) == [("a", "2"), ("b", "x")]


def test_an_error_cell_is_no_value(tmp_path):
    path = workbook(tmp_path, [["text", "category", "more"], ["a", "x", "#N/A"], ["#REF!", "y", "z"]])
    with pytest.raises(DatasetError, match=r"xlsx:3: column 'text' holds Excel's error #REF!"):
        load_examples(path, task=task())


def test_a_value_merged_over_rows_is_each_rows(tmp_path):
    path = workbook(tmp_path, [["text", "category", "group"], ["a", "x", "g1"], ["b", "y", None], ["c", "x", "g2"]])
    book = openpyxl.load_workbook(path)
    book.active.merge_cells("C2:C3")
    book.save(path)
    read = load_examples(path, task=task())
    assert [row.group for row in read.examples] == ["g1", "g1", "g2"]
    assert any("merged over several rows" in note for note in read.notes)


def test_the_sheet_that_is_taken_is_said_and_another_can_be_named(tmp_path):
    other = [["text", "category"], ["second", "b"]]
    path = workbook(tmp_path, [["text", "category"], ["first", "a"]], Sheet2=other, Notes=[])
    read = load_examples(path, task=task())
    assert read.examples[0].input == "first"
    assert read.notes == ("sheet 'Sheet' of rows.xlsx is read; for another (Sheet2, Notes) write rows.xlsx#SHEET",)
    assert labelled(f"{path}#Sheet2") == [("second", "b")]
    with pytest.raises(DatasetError, match="has no sheet 'Old'; its sheets are Sheet, Sheet2, Notes"):
        labelled(f"{path}#Old")
    with StreamedRows([tmp_path / "rows.xlsx#Sheet2"], task(), scratch=tmp_path) as rows:
        assert [row.input for row in rows] == ["second"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rows.xlsx", b"text,category\n", "cannot be read as a workbook"),
        ("rows.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "locked by a password, or in Excel's old format"),
        ("rows.csv", b"PK\x03\x04rest", "is a workbook and no text"),
        ("rows.xls", b"x", "are not read; save the sheet as .xlsx"),
        ("rows.csv", b"", "holds no usable row"),
        ("rows.csv", b"input,label\n", "holds no usable row"),
        ("rows.parquet", b"x", "cannot be read as .parquet"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=re.escape(says)) as refused:
        load_examples(tmp_path / name, task=task({}))
    assert "\n" not in str(refused.value)


def test_without_openpyxl_a_workbook_says_what_to_install(tmp_path):
    path = workbook(tmp_path, [["text", "category"], ["a", "b"]])
    code = (
        "import sys; sys.modules['openpyxl'] = None\n"
        "from stillhouse.data.dataset import load_examples\n"
        f"load_examples({str(path)!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'stillhouse[tables]'" in done.stderr.splitlines()[-1]


def test_jsonl_loads_nothing_that_tables_need():
    code = (
        "import sys, stillhouse.data.dataset; print([n for n in ('openpyxl', 'pyarrow', 'pandas') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path):
    path = csv_file(tmp_path, "body,kind\na,b\nc,d\n")
    with pytest.raises(DatasetError, match="no column 'text' for `input`; its columns are body, kind"):
        load_examples(path, task=task())
    with pytest.raises(DatasetError, match=r"no column 'knd' for `label` \(did you mean 'kind'\?\)"):
        load_examples(path, task=task({"input": "body", "label": "knd"}))
    with pytest.raises(DatasetError, match=r"no column `input`.*--map input=COLUMN.*its columns are body, kind"):
        load_examples(path)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_a_field_that_no_object_has_is_refused_though_each_row_may_lack_it(tmp_path, name):
    rows = [{"text": "a"}, {"text": "b", "category": "x"}]
    path = tmp_path / name
    path.write_text(json.dumps(rows) if name == "rows.json" else "".join(json.dumps(row) + "\n" for row in rows))
    assert labelled(path) == [("a", None), ("b", "x")]
    with pytest.raises(DatasetError, match=r"no column 'categry' for `label`.*its columns are text, category"):
        labelled(path, {"input": "text", "label": "categry"})
    with pytest.raises(DatasetError, match="no column 'body' for `input`"):
        labelled(path, {"input": "body"})


def test_several_columns_are_the_fields_of_the_input(tmp_path):
    path = csv_file(tmp_path, "title,body,category\nlate,it is,a\n,only this,b\n,,a\n")
    kept = load_examples(path, task=task({"input": ["title", "body"], "label": "category"}), skip_bad=True)
    assert [row.input for row in kept.examples] == [
        {"title": "late", "body": "it is"},
        {"title": "", "body": "only this"},
    ]
    assert kept.skipped == [f"{path}:4: `input` is empty (columns title, body)"]


def test_every_field_of_a_row_can_be_mapped(tmp_path):
    columns = {"input": "q", "id": "no", "label": "gold", "group": "who", "choices": ["a", "b"], "time": "at"}
    columns |= {"teacher_label": "gpt", "teacher_scores": "p", "teacher_rationale": "why"}
    path = csv_file(
        tmp_path,
        'no,q,a,b,gold,who,at,gpt,p,why,more\n007,Where?,Rome,Oslo,Rome,ann,1700000000,Oslo,"{""Oslo"": 0.5}",so,kept\n',
    )
    (row,) = load_examples(path, task=task(columns, "choice")).examples
    assert to_row(row) == {
        "id": "007", "input": "Where?", "label": "Rome", "teacher_label": "Oslo", "teacher_rationale": "so",
        "teacher_scores": {"Oslo": 0.5}, "group": "ann", "choices": ["Rome", "Oslo"], "time": "1700000000", "more": "kept",
    }  # fmt: skip
    from stillhouse.data.row_time import time_of

    assert time_of(row) == 1_700_000_000


def test_columns_that_are_called_like_ours_are_ours_unless_the_map_says_otherwise(tmp_path):
    path = csv_file(tmp_path, "id,label,lineage,text\n1,x,old,a\n1,y,new,b\n")
    rows = load_examples(path, task=task({"input": "text", "label": "lineage", "id": ""})).examples
    assert [row.label for row in rows] == ["old", "new"] and rows[0].id.startswith("row-")
    assert rows[0].extra == {"id (column)": "1", "label (column)": "x"}
    rows = load_examples(path, task=task({"input": "text", "id": ""})).examples
    assert [row.label for row in rows] == ["x", "y"] and "lineage" not in rows[0].extra


def test_a_file_with_our_own_names_beside_a_mapped_one_needs_no_map(tmp_path):
    path = tmp_path / "harvested.jsonl"
    path.write_text('{"input": "a", "label": "x"}\n')
    assert labelled(path) == [("a", "x")]


def test_a_map_in_a_task_file_is_checked(tmp_path):
    def written(line):
        toml = f'[task]\nname = "t"\ninstruction = "i"\noutput = "text"\n[data]\ntrain = "rows.csv"\n{line}\n'
        (tmp_path / "task.toml").write_text(toml)
        return tmp_path

    assert load_task(written('map = {input = ["a", "b"], label = "c"}')).data.map == {"input": ("a", "b"), "label": "c"}
    for line, says in [
        ('map = {lable = "c"}', "did you mean 'label'"),
        ('map = {label = ["a", "b"]}', "takes one column"),
        ('map = {input = ""}', "a row needs an input"),
    ]:
        with pytest.raises(TaskFileError, match=says):
            load_task(written(line))


@pytest.mark.parametrize(
    ("texts", "columns"),
    [
        (["input=text,label=category"], {"input": "text", "label": "category"}),
        (["input=text", "label=a b"], {"input": "text", "label": "a b"}),
        (["input=title,body,label=c"], {"input": ("title", "body"), "label": "c"}),
        (["input=title,input=body"], {"input": ("title", "body")}),
        (['"input=a, b",id='], {"input": "a, b", "id": ""}),
        (["input = text , label = c"], {"input": "text", "label": "c"}),
    ],
)
def test_a_map_on_the_command_line(texts, columns):
    assert parse_map(texts) == columns


@pytest.mark.parametrize("texts", [["text"], ["lable=x"], ["=x"], ["input="]])
def test_a_map_that_says_nothing_is_refused(texts):
    with pytest.raises(UserError, match="--map"):
        parse_map(texts)


def test_json_lines_under_the_name_of_json_are_read(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text('{"text": "a", "category": "x"}\n{"text": "b", "category": "y"}\n')
    assert labelled(path) == [("a", "x"), ("b", "y")]


def test_a_row_of_a_json_task_may_have_its_label_as_a_cells_text(tmp_path):
    path = csv_file(tmp_path, 'text,category\na,"{""b"": 1.0, ""a"": 2}"\n')
    (row,) = load_examples(path, task=task(output="json")).examples
    assert row.label == '{"a": 2, "b": 1}'


def test_a_blank_before_quotes_is_no_part_of_a_cell(tmp_path):
    path = csv_file(tmp_path, 'text, category\nx, "a, b"\ny, "c, d"\n')
    assert labelled(path) == [("x", "a, b"), ("y", "c, d")]
