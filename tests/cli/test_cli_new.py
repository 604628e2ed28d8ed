"""`new --data`: a project of the user's own rows, shown first and written after a yes; and --map where rows are given."""

import json
import subprocess
import sys

import openpyxl
import pytest

from mood_task import MOOD
from stillhouse.data.splits import load_splits
from stillhouse.task import load_task

ROWS = [
    f"{k},customer {k % 40},the parcel number {k} came {'late' if k % 3 else 'early'},{'bad' if k % 3 else 'good'}"
    for k in range(240)
]
CSV = "no,customer,message,category\n" + "\n".join(ROWS) + "\n"


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text(CSV)
    return tmp_path


def test_what_was_inferred_is_shown_with_five_rows_and_written_after_a_yes(rows, stillhouse):
    done = stillhouse("new", "parcels", "--data", "rows.csv", "--yes")
    assert done.out == (
        "rows.csv: 240 rows, 240 of them with a label\n"
        "  input = message: called so\n"
        "  label = category: called so, and few values repeat\n"
        "  group = customer: called so, and has several rows, which stay together in a split\n"
        "  id    = no: a different value in every row\n"
        "output: choice of 2 labels: bad 160, good 80\n"
        "metric: accuracy\n"
        "instruction: Choose the category of the message.\n"
        "the first 5 rows:\n"
        "  the parcel number 0 came early -> good  [customer 0]\n"
        "  the parcel number 1 came late -> bad  [customer 1]\n"
        "  the parcel number 2 came late -> bad  [customer 2]\n"
        "  the parcel number 3 came early -> good  [customer 3]\n"
        "  the parcel number 4 came late -> bad  [customer 4]\n"
        "wrote parcels/task.toml\n"
        "wrote parcels/app.py\n"
        "wrote parcels/rows.csv (a copy)\n"
        "next: put your prompt into parcels/task.toml as the instruction and name your model in its [teacher], then: stillhouse distill parcels\n"
    )
    assert (done.code, (rows / "parcels" / "rows.csv").read_text()) == (0, CSV)
    (rows / "rows.csv").unlink()
    splits = load_splits(load_task(rows / "parcels"))
    assert sum(map(len, (splits.train, splits.validation, splits.calibration, splits.test))) == 240
    assert {row.group for row in splits.test}.isdisjoint(row.group for row in splits.train)


def test_the_app_asks_about_one_of_the_rows(rows, stillhouse):
    stillhouse("new", "parcels", "--data", "rows.csv", "--yes")
    app = (rows / "parcels" / "app.py").read_text()
    compile(app, "app.py", "exec")
    assert 'model="parcels"' in app and '"the parcel number 1 came late"' in app and "Lisbon" not in app


def test_nothing_is_written_without_a_yes(rows, stillhouse):
    done = stillhouse("new", "parcels", "--data", "rows.csv")
    assert (done.code, (rows / "parcels").exists()) == (2, False)
    assert "the first 5 rows:" in done.out and "give --yes" in done.err


@pytest.mark.parametrize(("answer", "there"), [("y\n", True), ("n\n", False)])
def test_on_a_terminal_it_is_asked(rows, stillhouse, monkeypatch, answer, there):
    monkeypatch.setattr("stillhouse.cli.new.may_ask", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda question: answer == "y\n")
    done = stillhouse("new", "parcels", "--data", "rows.csv")
    assert ((rows / "parcels").exists(), done.code) == (there, 0 if there else 2)


def test_machines_get_the_same_facts(rows, stillhouse):
    done = stillhouse("new", "parcels", "--data", "rows.csv", "--yes", "--json")
    assert done.json["inferred"]["mapping"] == {
        "input": "message",
        "label": "category",
        "group": "customer",
        "id": "no",
    }
    assert done.json["inferred"]["labels"] == {"bad": 160, "good": 80} and len(done.json["inferred"]["rows"]) == 5
    assert done.json["next"] == "stillhouse distill parcels"
    assert stillhouse("new", "more", "--data", "rows.csv", "--json").code == 2


def test_what_cannot_be_told_is_asked_for_by_its_option(rows, stillhouse):
    (rows / "two.csv").write_text(
        "message,sentiment,topic\n" + "".join(f"the parcel {k} came late,{k % 2},t{k % 3}\n" for k in range(60))
    )
    done = stillhouse("new", "two", "--data", "two.csv", "--yes")
    assert (
        done.code == 2
        and "which column is the label: 'sentiment' or 'topic'?" in done.err
        and "\n" not in done.err.strip()
    )
    assert not (rows / "two").exists()
    assert stillhouse("new", "two", "--data", "two.csv", "--yes", "--map", "label=topic").code == 0
    assert 'map = {input = "message", label = "topic"}' in (rows / "two" / "task.toml").read_text()


def test_an_encoding_is_named_once_and_kept(rows, stillhouse):
    (rows / "old.csv").write_bytes(CSV.replace("parcel", "Päckchen").encode("cp1252"))
    done = stillhouse("new", "old", "--data", "old.csv", "--yes")
    assert done.code == 2 and 'with "cp1252"' in done.err and "Päckchen" in done.err
    assert stillhouse("new", "old", "--data", "old.csv", "--yes", "--encoding", "cp1252").code == 0
    assert "Päckchen" in load_splits(load_task(rows / "old")).train[0].text


def test_a_sheet_of_a_workbook_is_a_project(rows, stillhouse):
    book = openpyxl.Workbook()
    sheet = book.create_sheet("May")
    sheet.append(["subject", "body", "class"])
    for k in range(60):
        sheet.append([f"parcel {k}", f"it came {'late' if k % 2 else 'early'} again in week {k}", k % 2])
    book.save(rows / "book.xlsx")
    assert stillhouse("new", "sheets", "--data", "book.xlsx#May", "--yes").code == 0
    task = load_task(rows / "sheets")
    assert (task.data.train, task.labels) == ("book.xlsx#May", ("0", "1"))
    assert set(load_splits(task).train[0].input) == {"subject", "body"}


def test_rows_without_labels_lead_to_a_teacher(rows, stillhouse):
    (rows / "bare.csv").write_text("message\n" + "".join(f"the parcel {k} came late\n" for k in range(60)))
    done = stillhouse("new", "bare", "--data", "bare.csv", "--yes")
    assert "output: cannot tell, for no label tells it" in done.out
    assert done.out.endswith("stillhouse label bare --teacher openai:MODEL\n")
    assert "no label tells: choice (with labels" in (rows / "bare" / "task.toml").read_text()


def test_bad_rows_are_said_and_the_next_command_leaves_them_out(rows, stillhouse):
    (rows / "rows.csv").write_text(CSV + "too,few\n")
    done = stillhouse("new", "parcels", "--data", "rows.csv", "--yes")
    assert "warning: 1 row cannot be used; mend, or pass --skip-bad; the first: rows.csv:242: has 2 cells" in done.out
    assert done.out.endswith("stillhouse distill parcels --skip-bad\n")


@pytest.mark.parametrize("hostile", ['say "hi"\\n', "tab\there", "NAME", "é\x7f", "'''", "a{b}"])
def test_whatever_a_row_or_a_label_holds_the_files_are_whole(rows, stillhouse, hostile):
    lines = [{"text": f"{hostile} number {k} of many", "label": (hostile, "other")[k % 2]} for k in range(40)]
    (rows / "h.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert stillhouse("new", "h", "--data", "h.jsonl", "--yes").code == 0
    assert set(load_task(rows / "h").labels) == {hostile, "other"}
    compile((rows / "h" / "app.py").read_text(), "app.py", "exec")
    assert len(load_splits(load_task(rows / "h")).train) > 10


def test_a_folder_that_is_there_stays_as_it_is(rows, stillhouse):
    (rows / "parcels").mkdir()
    done = stillhouse("new", "parcels", "--data", "rows.csv", "--yes")
    assert done.code == 2 and "already there" in done.err and not list((rows / "parcels").iterdir())


def test_options_for_rows_need_rows(rows, stillhouse):
    assert "give the rows with --data" in stillhouse("new", "x", "--map", "input=a").err


TEACHER = "def answer(request, example):\n    return 'good'\n\nanswer.stand_in = True\n"


def test_a_map_goes_with_rows_that_a_command_is_given(rows, stillhouse, monkeypatch):
    monkeypatch.syspath_prepend(rows)
    (rows / "mood_of_rows.py").write_text(TEACHER)
    (rows / "task.toml").write_text(MOOD + '\n[teacher]\nmodel = "scripted:mood_of_rows:answer"\n')
    (rows / "rows.jsonl").write_text('{"input": "a", "label": "good"}\n')
    (rows / "some.csv").write_text("body;is\nfine day;good\nrain;bad\n")
    done = stillhouse("label", ".", "--data", "some.csv", "--map", "input=body,label=is", "--out", "out.jsonl")
    assert done.code == 0 and "the cells of some.csv are parted by semicolons" in done.out
    assert [json.loads(line)["input"] for line in (rows / "out.jsonl").read_text().splitlines()] == ["fine day", "rain"]
    done = stillhouse(
        "evaluate", "scripted:mood_of_rows:answer", "some.csv", "--task", ".", "--map", "input=body,label=is", "--json"
    )
    assert (done.json["score"]["value"], done.json["score"]["n"]) == (0.5, 2)
    assert "--map and --encoding go with --data" in stillhouse("label", ".", "--map", "input=body").err
    done = stillhouse("label", ".", "--data", "some.csv", "--out", "more.jsonl")
    assert done.code == 2 and "its columns are body, is" in done.err


@pytest.mark.slow
def test_the_project_runs_at_once(rows):
    for command, codes in (["new", "parcels", "--data", "rows.csv", "--yes"], [0]), (["distill", "parcels"], [0, 1]):
        done = subprocess.run([sys.executable, "-m", "stillhouse", *command], capture_output=True, text=True)
        assert done.returncode in codes, done.stderr  # 1: without a teacher there is no prompt to decide against
    assert "linear on" in done.stdout and "Verdict: cannot tell. No prompt was measured" in done.stdout
