"""`stillhouse run --inputs`: a durable run per row, resumed as a whole by the same command; and --input from a file."""

import contextlib
import io
import json
import sys

import pytest

from stillhouse.commands import run_rows as batch
from stillhouse.errors import UserError
from stillhouse.openers import OPENERS

APP = """
from pathlib import Path
from stillhouse import flow, step
from stillhouse.flow import ask_human


@step
async def double(text: str, n: int) -> str:
    with Path("ran").open("a") as ran:
        ran.write(f"{text}\\n")
    if Path(f"fails-{text}").exists():
        raise ConnectionError(f"the shop of {text} is closed, order {n}")
    return text * n


@flow
async def main(text: str, n: int = 2) -> str:
    if text == "asks":
        return await ask_human("really?", ["yes", "no"])
    return await double(text, n)


@flow
async def whole(items: list[int]) -> int:
    return sum(items)


@flow
async def mapped(items: list[int]) -> list[int]:
    async def find(item: int) -> int:
        return {}[item]

    return await flow.map(find, items)


@flow
async def not_async(items: list[int]) -> list[int]:
    return await flow.map(lambda item: item + 1, items)


@flow
async def two(items: list[int]) -> list[int]:
    async def add(a: int, b: int) -> int:
        return a + b

    return await flow.map(add, items)


@flow
async def none(items: list[int]) -> list[int]:
    return await flow.map(None, items)
"""


ROUTE = """
from typing import Literal
from stillhouse import flow, step


@step
async def route(question: str) -> Literal["a", "b"]:
    \"\"\"Which?\"\"\"


@flow
async def main(question: str) -> str:
    return await route(question)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(batch, "PAUSE_S", 0.0)
    return tmp_path


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def results(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def ran(folder):
    return (folder / "ran").read_text().split() if (folder / "ran").exists() else []


def test_each_row_is_a_run_and_the_same_command_goes_on_where_it_was(project, stillhouse):
    write(project / "rows.jsonl", [{"id": i, "text": text, "label": "x"} for i, text in enumerate("abcde")])
    (project / "fails-b").touch()
    (project / "fails-d").touch()
    command = ("run", "app.py:main", "--inputs", "rows.jsonl", "--out", "out.jsonl", "--json")
    first = stillhouse(*command)
    assert first.code == 1
    assert (first.json["rows"], first.json["done"], first.json["failed"]) == (5, 3, 2)
    [reason] = first.json["reasons"]  # alike but for the row's own words
    assert reason["n"] == 2 and reason["line"] == 2 and "ConnectionError: the shop of b is closed" in reason["words"]
    assert "(app.py:" in reason["words"]
    assert ran(project).count("b") == 3  # once, and two retries by default
    lines = results(project / "out.jsonl")
    assert [(line["line"], line["status"], line.get("result")) for line in lines] == [
        (1, "done", "aa"), (2, "failed", None), (3, "done", "cc"), (4, "failed", None), (5, "done", "ee")
    ]  # fmt: skip
    assert lines[0]["row"] == {"id": 0, "text": "a", "label": "x"}
    (project / "fails-b").unlink()
    write(project / "rows.jsonl", [{"text": text} for text in "fedcba"])  # another order, and one more
    second = stillhouse(*command, "--retries", "0")
    assert (second.json["done"], second.json["done_before"], second.json["failed"]) == (5, 3, 1)
    assert [ran(project).count(text) for text in "abcdef"] == [1, 4, 1, 4, 1, 1]
    (project / "fails-d").unlink()
    assert stillhouse(*command).code == 0
    assert [line["result"] for line in results(project / "out.jsonl")] == [text * 2 for text in "fedcba"]


def test_rows_under_way_are_bounded(project, stillhouse, monkeypatch):
    (project / "app.py").write_text(
        "import asyncio\nfrom stillhouse import flow\nlive = most = 0\n\n\n@flow\nasync def main(n: int) -> int:\n"
        "    global live, most\n    live += 1\n    most = max(most, live)\n    await asyncio.sleep(0)\n"
        "    await asyncio.sleep(0)\n    live -= 1\n    return most\n"
    )
    write(project / "rows.jsonl", [{"n": n} for n in range(20)])
    found = stillhouse("run", "app.py:main", "--inputs", "rows.jsonl", "--at-once", "3", "--out", "o.jsonl")
    assert found.code == 0, found.err
    assert max(line["result"] for line in results(project / "o.jsonl")) == 3


def test_a_row_that_asks_a_person_waits_and_goes_on_with_the_answer(project, stillhouse):
    write(project / "rows.jsonl", [{"text": "a"}, {"text": "asks"}])
    command = ("run", "app.py:main", "--inputs", "rows.jsonl")
    found = stillhouse(*command)
    assert found.code == 3
    assert "2 rows of rows.jsonl through main: 1 done, 1 waiting" in found.out
    [run] = [word for line in found.out.splitlines() if "stillhouse answer" in line for word in line.split()][-2:-1]
    assert stillhouse("answer", run, "yes").code == 0
    assert stillhouse(*command).code == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.csv", "text,n,shop\na,3,x\nb,4,y\n"),
        ("rows.tsv", "Text\tN\na\t3\nb\t4\n"),
        ("rows.json", '[{"text": "a", "n": 3}, {"text": "b", "n": 4}]'),
        ("rows.jsonl", '{"input": {"text": "a", "n": 3}}\n{"input": {"text": "b", "n": 4}}\n'),
    ],
)
def test_the_rows_come_in_any_form_and_cells_become_what_the_flow_takes(project, stillhouse, name, text):
    (project / name).write_text(text)
    found = stillhouse("run", "app.py:main", "--inputs", name, "--out", "out.jsonl")
    assert found.code == 0, found.err
    assert [line["result"] for line in results(project / "out.jsonl")] == ["aaa", "bbbb"]


def test_a_flow_of_one_argument_takes_the_input(project, stillhouse):
    write(project / "rows.jsonl", [{"input": "a", "label": "x"}])
    found = stillhouse("run", "app.py:main", "--inputs", "rows.jsonl", "--out", "out.jsonl")
    assert (found.code, results(project / "out.jsonl")[0]["result"]) == (0, "aa")
    assert "columns that main does not take: label" in found.err


def test_rows_on_stdin_and_a_map(project, stillhouse, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"question": "a"}\n')))
    found = stillhouse("run", "app.py:main", "--inputs", "-", "--map", "text=question", "--out", "out.jsonl")
    assert found.code == 0, found.err
    assert results(project / "out.jsonl")[0]["result"] == "aa"


def test_equal_rows_are_runs_of_their_own_and_another_model_is_another_batch(project, stillhouse):
    write(project / "rows.jsonl", [{"text": "a"}, {"text": "a"}])
    command = ("run", "app.py:main", "--inputs", "rows.jsonl", "--json")
    assert stillhouse(*command).json["done"] == 2 and ran(project) == ["a", "a"]
    assert stillhouse(*command, "--model", "scripted:none:x").json["done_before"] == 0


@pytest.mark.parametrize(
    ("rows", "options", "says"),
    [
        ('{"word": "a"}\n', (), ["no column is 'text'", "--map text=COLUMN", "word"]),
        ('{"text": "a"}\n', ("--map", "txt=text"), ["takes no 'txt'"]),
        ('{"text": "a"}\n', ("--map", "text=word"), ["no such column", "text"]),
        ('{"text": "a"}\n{"text": "b", "n": "x"}\n', (), ["rows.jsonl:2", "'n'", "--skip-bad"]),
        ('{"text": "a"}\n{"n": 3}\n', (), ["rows.jsonl:2", "'text' is empty"]),
        ('{"text": "a"}\nno json\n', (), ["rows.jsonl:2", "not valid JSON"]),
        ("", (), ["no rows"]),
        ('{"text": "a"}\n', ("--input", "{}"), ["do not go together"]),
        ('{"text": "a"}\n', ("--out", "rows.jsonl"), ["is there already"]),
        ('{"text": "a"}\n', ("--out", "out.csv"), [".jsonl"]),
    ],
)
def test_what_does_not_fit_is_one_sentence_before_anything_runs(project, stillhouse, rows, options, says):
    (project / "rows.jsonl").write_text(rows)
    found = stillhouse("run", "app.py:main", "--inputs", "rows.jsonl", *options)
    assert found.code == 2 and len(found.err.strip().splitlines()) == 1, found.err
    assert all(part in found.err for part in says), found.err
    assert not (project / "ran").exists()


def test_a_model_that_cannot_be_opened_is_said_once_and_not_of_every_row(project, stillhouse, monkeypatch):
    (project / "rows.csv").write_text("question\na\nb\n")
    (project / "app.py").write_text(ROUTE)

    @contextlib.asynccontextmanager
    async def refused(name, **_):
        raise UserError("runs/nowhere: no student of this run passed its gate")
        yield

    monkeypatch.setitem(OPENERS, "student", refused)
    command = ("run", "app.py:main", "--inputs", "rows.csv", "--out", "o.jsonl")
    ran = stillhouse(*command, "--model", "route=student:nowhere")
    assert (ran.code, ran.out) == (2, "") and ran.err.count("nowhere") == 1 and "Traceback" not in ran.err
    assert [row["status"] for row in results(project / "o.jsonl")] == ["left", "left"]


def test_broken_rows_are_left_out_and_counted(project, stillhouse):
    (project / "rows.jsonl").write_text('{"text": "a"}\nno json\n{"n": 3}\n')
    found = stillhouse("run", "app.py:main", "--inputs", "rows.jsonl", "--skip-bad", "--json")
    assert (found.code, found.json["done"], found.json["skipped"]) == (0, 1, 2)


def test_the_progress_counts_every_row_once(project):
    from stillhouse.event_loop import result_of
    from stillhouse.session import Session

    write(project / "rows.jsonl", [{"text": text} for text in "abc"])
    (project / "fails-b").touch()
    ticks = []
    result_of(batch.run_rows("app.py:main", project / "rows.jsonl", Session(on_progress=ticks.append), retries=1))
    last = {tick.what: (tick.done, tick.total, tick.note) for tick in ticks}
    assert last == {
        "running main": (3, 3, "1 failed"),
        "trying failed rows again (1 of 1)": (1, 1, "1 failed"),
    }


def test_a_large_input_comes_from_a_file_or_stdin(project, stillhouse, monkeypatch):
    large = json.dumps({"items": list(range(40_000))})  # more than one argument of a shell can hold
    assert len(large) > 128 * 1024
    (project / "input.json").write_text(large)
    found = stillhouse("run", "app.py:whole", "--input", "@input.json", "--json")
    assert found.json["result"] == sum(range(40_000))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(large.encode())))
    assert stillhouse("run", "app.py:whole", "--input", "@-", "--json").json["result"] == sum(range(40_000))
    (project / "list.json").write_text("[1]")
    for given, says in (("@none.json", "cannot be read"), ("@list.json", "--inputs list.json")):
        found = stillhouse("run", "app.py:whole", "--input", given)
        assert found.code == 2 and says in found.err and len(found.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("mapped", 1, ["KeyError: 0", "app.py:", "in find", "--run-id"]),
        ("not_async", 2, ["not async", "write `async def`"]),
        ("two", 2, ["add(a", "one parameter"]),
        ("none", 2, ["None is no function"]),
    ],
)
def test_a_map_with_a_bad_function_is_one_sentence(project, stillhouse, name, code, says):
    (project / "input.json").write_text(json.dumps({"items": list(range(440))}))
    found = stillhouse("run", f"app.py:{name}", "--input", "@input.json")
    assert found.code == code
    assert len(found.err.strip().splitlines()) == 1, found.err
    assert all(part in found.err for part in says), found.err


def test_the_whole_traceback_is_there_on_demand(project, stillhouse):
    found = stillhouse("run", "app.py:mapped", "--input", '{"items": [1]}', "--traceback")
    assert "Traceback (most recent call last)" in found.err and "return {}[item]" in found.err


def test_resuming_a_finished_run_says_so(project, stillhouse):
    command = ("run", "app.py:main", "--input", '{"text": "a"}', "--run-id", "one")
    assert "1 steps ran" in stillhouse(*command).err
    for again in (command, ("resume", "one")):
        found = stillhouse(*again)
        assert "the run one was done before: nothing was run again, and this is its result" in found.err
        assert "steps ran" not in found.err and json.loads(found.out) == "aa"
    assert stillhouse("resume", "one", "--json").json == {"run": "one", "result": "aa", "was_done": True}
