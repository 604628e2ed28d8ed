"""Stores, journals and run folders of version 0.1.0 open: nothing that was paid for, run or trained is lost.

`tests/data/v010/make.sh` made the files, with that version's code.
"""

import asyncio
import contextlib
import gzip
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from stillhouse.commands import report as report_command
from stillhouse.commands import serve as serving
from stillhouse.commands.distill import distill
from stillhouse.commands.evaluate import evaluate
from stillhouse.commands.graph import graph
from stillhouse.commands.label import label
from stillhouse.commands.run import answer, run
from stillhouse.commands.runs import list_runs, read_trace
from stillhouse.errors import StorageError
from stillhouse.records import Example
from stillhouse.results.run_result import load_result
from stillhouse.serving.predictors import open_predictor
from stillhouse.session import Session
from stillhouse.store import open_store
from stillhouse.store.journal import open_journal

OLD = Path(__file__).parent.parent / "data" / "v010"


def dump(name):
    path = OLD / name
    return gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()


def load(url, name):
    """Make the database of a dump, at a file's path or at a PostgreSQL address."""
    text = dump(name)
    if not url.startswith("postgresql://"):
        with contextlib.closing(sqlite3.connect(url)) as connection:
            connection.executescript(text)
        return
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA stillhouse")
        connection.execute("SET search_path TO stillhouse")
        connection.execute(text.replace("BEGIN TRANSACTION;", "").replace("COMMIT;", "").replace(" WITHOUT ROWID", ""))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    return str(tmp_path / "s.db") if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The task of that version with its runs, its store and its journal; its app and its teacher can be imported."""
    with tarfile.open(OLD / "project.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    for path in tmp_path.rglob("*.json"):
        path.write_text(path.read_text().replace("/project", str(tmp_path)))
    for name in ("app.py", "teacher.py"):
        shutil.copy(OLD / name, tmp_path)
    load(str(tmp_path / "stillhouse.db"), "store-2.sql.gz")
    load(str(tmp_path / "journal.db"), "journal.sql")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("V010_COUNTED", str(tmp_path / "counted"))
    monkeypatch.delitem(sys.modules, "teacher", raising=False)
    return tmp_path


def counted(project):
    """What ran again: (step or "answer", text)."""
    path = project / "counted"
    return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


# The store


def versions(url, kind="version"):
    if not url.startswith("postgresql://"):
        with contextlib.closing(sqlite3.connect(url)) as connection:
            return connection.execute("SELECT value FROM meta WHERE name = ?", (kind,)).fetchall()
    import psycopg

    with psycopg.connect(url) as connection:
        return connection.execute("SELECT value FROM stillhouse.meta WHERE name = %s", (kind,)).fetchall()


@pytest.mark.parametrize(("name", "n"), [("store-1.sql", 3), ("store-2.sql.gz", 306)])
async def test_a_store_of_any_version_opens_and_every_answer_is_there(url, name, n):
    load(url, name)
    for _ in range(2):
        with open_store(url) as store:
            assert store.count() == n
            hashes = re.findall(r'"completions" VALUES\(\'([0-9a-f]{64})', dump(name))
            stored = store.get_many(hashes)
            assert len(stored) == n
            assert all(row.request["messages"][0]["role"] == "system" for row in stored)
            assert {row.response["text"] for row in stored} == {"good", "bad"}
            assert all(row.cost_usd > 0 for row in stored)
            assert await store.claim(hashes[0]) == "answered"
            assert await store.claim("new") == "ours"
    assert versions(url) == [("3",)]


@pytest.mark.slow
async def test_what_that_version_paid_for_is_not_paid_for_again(project):
    again = await label(project, Session(), data=project / "train.jsonl", out=project / "again.jsonl")
    assert (again.report.labelled, again.report.from_store, again.report.cost_usd) == (24, 24, 0.0)
    then = [json.loads(line)["teacher_label"] for line in (project / "teacher.jsonl").read_text().splitlines()]
    assert [json.loads(line)["teacher_label"] for line in (project / "again.jsonl").read_text().splitlines()] == then
    run = await asyncio.to_thread(distill, project, Session(), runs=project / "runs")
    assert run.folder.name == "mood-distill-2"
    assert counted(project) == []


# The journal


async def test_runs_of_that_version_are_listed_shown_and_drawn(project):
    store = project / "journal.db"
    listed, older = list_runs(store)
    assert [(one.row.run, one.row.status, one.finished, one.questions) for one in listed] == [
        ("killed", "killed", 3, ()),
        ("parked", "waiting", 2, ("Send it?",)),
        ("done", "done", 4, ()),
    ]
    assert older == 0
    traced = read_trace("done", store)
    assert traced.run.result == '"ONE TWO BAD!!!!!!!!!"'
    for name in ("done", "parked", "killed"):
        assert "clean" in graph(name, store=store)
        written = report_command.report(Path(name), out=project / f"{name}.html", store=store)
        assert "clean" in written.page.read_text()


async def test_a_run_that_is_done_gives_its_result_and_runs_nothing(project):
    given = {"texts": [" One ", "TWO"]}
    executed = await run("app.py:main", arguments=given, run_id="done", store=project / "journal.db")
    assert (executed.result, counted(project)) == ("ONE TWO BAD!!!!!!!!!", [])


async def test_a_run_that_waits_for_a_person_goes_on_with_the_answer(project):
    store = project / "journal.db"
    answer("parked", "yes", store=store)
    executed = await run("app.py:main", arguments={"texts": ["it"], "ask": True}, run_id="parked", store=store)
    assert (executed.result, counted(project)) == ("yes", [])


async def test_a_run_that_was_killed_goes_on_where_it_was(project):
    """Its last step had begun, and nothing of it was journaled."""
    store = project / "journal.db"
    executed = await run("app.py:main", arguments={"texts": ["a", "B"]}, run_id="killed", store=store)
    assert (executed.result, counted(project)) == ("A B BAD" + "!" * 13, [("shout", "a b bad")])
    assert list_runs(store)[0][0].row.status == "done"


# Run folders


@pytest.mark.parametrize("name", ["mood-distill-1", "mood-advise-1"])
def test_a_run_folder_of_that_version_is_read_and_its_report_written_again(project, name):
    folder = project / "runs" / name
    result = load_result(folder)
    assert result.verdict.kind == "cascade"
    page = report_command.report(folder, out=project / "again.html").page.read_text()
    assert "accuracy" in page and "linear on gold labels" in page


async def test_its_student_and_its_cascade_answer(project):
    rows = [Example("a", "day 5001 was a good one"), Example("b", "day 5002 was a grim one")]
    folder = project / "runs" / "mood-distill-1"
    for name in (f"student:{folder / 'arms' / 'linear-on-gold-labels' / 'student'}", f"cascade:{folder}"):
        async with open_predictor(name) as predictor:
            assert [prediction.output for prediction in await predictor.predict(rows)] == ["good", "bad"]


@pytest.mark.parametrize(("way", "why"), [((), "pinned no student"), (("--cascade",), "pinned nothing")])
def test_they_are_served_as_unproven_alone(project, stillhouse, monkeypatch, way, why):
    """That version pinned nothing."""
    served = {}

    async def note(models, *, unproven, **_):
        served.update(unproven)

    monkeypatch.setattr(serving, "serve_models", note)
    run = project / "runs" / "mood-distill-1"
    if not way:  # the verdict of this run is a cascade: its student is chosen here, as that version would have
        result = json.loads((run / "result.json").read_text())
        student = next(arm for arm in result["arms"] if arm["kind"] == "student")
        student["gate"]["answer"], result["chosen"] = "pass", student["name"]
        (run / "result.json").write_text(json.dumps(result))
    refused = stillhouse("serve", run, *way)
    assert (refused.code, served) == (2, {}) and why in refused.err and "--unproven" in refused.err
    assert stillhouse("serve", run, *way, "--unproven").code == 0
    assert why in served["mood"]


def test_its_student_is_measured_on_the_rows_of_that_run(project):
    student = project / "runs" / "mood-distill-1" / "arms" / "linear-on-gold-labels" / "student"
    measured = evaluate(f"student:{student}", project / "test.jsonl", task=project)
    assert measured.summary.score.value == 1.0


@pytest.mark.slow
def test_advice_of_that_version_goes_into_a_new_report(project):
    made = distill(project, Session(), runs=project / "runs", advice=project / "runs" / "mood-advise-1")
    assert load_result(made.folder).curves is not None


# Later versions, and two that change one database


def test_a_later_version_is_refused_by_name(url):
    for opened, kind in ((open_store, "version"), (open_journal, "journal")):
        opened(url).close()
        set_version(url, kind, "999")
        what = "a store" if kind == "version" else "a journal"
        with pytest.raises(StorageError, match=f"{what} of version 999, this Stillhouse writes") as refused:
            opened(url)
        assert str(refused.value).count("\n") == 0 and "use the newer one that made it" in str(refused.value)
    set_version(url, "version", "3")
    open_store(url).close()  # each has a version of its own


def set_version(url, kind, version):
    change = f"UPDATE meta SET value = '{version}' WHERE name = '{kind}'"
    if not url.startswith("postgresql://"):
        with contextlib.closing(sqlite3.connect(url)) as connection:
            connection.execute(change)
            connection.commit()
        return
    import psycopg

    with psycopg.connect(url, options="-c search_path=stillhouse") as connection:
        connection.execute(change)


OPENS = """
import sys, time
from pathlib import Path
from stillhouse.store import open_store
from stillhouse.store.journal import open_journal
print("ready", flush=True)
sys.stdin.readline()
for url in sys.argv[1:]:
    with open_store(url) as store:
        print(store.count(), flush=True)
    open_journal(url).close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["store-1.sql", "store-2.sql.gz", "journal.sql"])
def test_two_processes_that_bring_a_database_up_to_date_at_once(url, name):
    load(url, name)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        said, complained = process.communicate()
        assert (process.returncode, complained) == (0, "")
        assert said.split() == [str(len(re.findall(r'"completions" VALUES', dump(name))))]
    assert versions(url) == [("3",)]
