"""Gold that is SQL is run before the first paid call; a query that does not run is a counted row without gold."""

import json
import sqlite3

import pytest

from stillhouse.commands.evaluate import evaluate
from stillhouse.errors import UserError
from stillhouse.evaluation import gold_results
from stillhouse.evaluation.metrics import metric_for
from stillhouse.evaluation.sql import ReadOnlyDatabase
from stillhouse.experiment import gold_queries, sweep
from stillhouse.experiment.gold_queries import with_sound_queries
from stillhouse.experiment.material import prepare
from stillhouse.records import Example
from stillhouse.session import Session
from stillhouse.task import load_task

TASK = """
[task]
name = "shop"
instruction = "Write SQL."
output = "text"
metric = "sql_execution"
database = "shop.db"
[data]
train = "rows.jsonl"
test = "test.jsonl"
[teacher]
model = "{model}"
price_in = 1.0
price_out = 2.0
[student]
learn_from = "gold"
ladder = ["generative:scratch:tiny"]
"""
GOOD, BAD = "SELECT a FROM t", "SELECT nope FROM nowhere"


def project(folder, model, bad=(3,), label="label", n_train=40):
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.executescript("CREATE TABLE t(a INT); INSERT INTO t VALUES (1), (2)")
    (folder / "task.toml").write_text(TASK.format(model=model))
    for name, n in (("rows", n_train), ("test", 12)):
        rows = [{"id": f"{name}{i}", "input": f"{name} question {i * 7919}", label: GOOD} for i in range(n)]
        for i in bad:
            rows[i][label] = BAD
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_bad_gold_query_is_a_counted_row_without_gold(endpoint, tmp_path):
    folder = project(tmp_path, endpoint.url())
    done = evaluate(endpoint.url(), folder / "test.jsonl", Session(), task=folder / "task.toml")
    assert len(done.rows) == 11 and endpoint.calls().total() == 11
    [said] = [warning for warning in done.warnings if "do not run" in warning]
    assert said.startswith("1 of 12 gold queries of the rows do not run on the task's database")
    assert "row test3, no such table: nowhere" in said


@pytest.mark.parametrize("command", ["evaluate", "distill", "advise"])
def test_gold_of_which_none_runs_is_refused_before_the_first_call(stillhouse, endpoint, tmp_path, command):
    folder = project(tmp_path, endpoint.url(), bad=range(12), n_train=12)
    what = (endpoint.url(), folder / "test.jsonl", "--task", folder) if command == "evaluate" else (folder,)
    ran = stillhouse(command, *what, "--yes", *(() if command == "evaluate" else ("--accept-terms",)))
    assert (ran.code, endpoint.calls().total()) == (2, 0), ran.err
    assert "gold queries of the" in ran.err and "Traceback" not in ran.err


async def test_every_part_is_looked_at_before_the_teacher_is_asked(tmp_path):
    folder = project(tmp_path, "recorded:answers.jsonl", bad=(0, 3))
    rows = [
        json.loads(line) for name in ("rows", "test") for line in (folder / f"{name}.jsonl").read_text().splitlines()
    ]
    answers = [{"id": row["id"], "teacher_label": GOOD} for row in rows]
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    material = await prepare(load_task(folder / "task.toml"), Session())
    kept = [*material.splits.train, *material.splits.validation, *material.splits.test]
    assert BAD not in {row.label for row in kept} and len(material.splits.test) == 10
    assert "2 of 12 gold queries of the test rows do not run" in " ".join(material.warnings)
    assert "gold queries of the train rows" in " ".join(material.warnings)


def test_answers_scored_against_the_teacher_leave_out_its_queries_that_do_not_run(endpoint, tmp_path):
    folder = project(tmp_path, endpoint.url(), label="teacher_label")
    done = evaluate(endpoint.url(), folder / "test.jsonl", Session(), task=folder / "task.toml")
    assert (done.scored_against, len(done.rows)) == ("teacher", 11)
    assert "1 of 12 queries of the teacher" in " ".join(done.warnings)


def test_gold_runs_once_however_many_answers_are_scored_against_it(tmp_path, monkeypatch):
    ran = []
    run = ReadOnlyDatabase.run
    monkeypatch.setattr(ReadOnlyDatabase, "run", lambda self, query: ran.append(query) or run(self, query))
    task = load_task(project(tmp_path, "recorded:x.jsonl") / "task.toml")
    gold = ["SELECT a FROM t ORDER BY a", "SELECT a + 1 FROM t"]
    rows = [Example(f"r{i}", "q", label=gold[i % 2]) for i in range(4)]
    with_sound_queries(task, rows)
    for _ in range(3):  # arms
        metric = metric_for(task)
        assert metric.score("SELECT 1 UNION SELECT 2 ORDER BY 1", gold[0], rows[0]) == 1.0
        assert metric.score("SELECT 1 UNION SELECT 2 ORDER BY 1 DESC", gold[0], rows[0]) == 0.0
        assert metric.score("SELECT 3 UNION ALL SELECT 2", gold[1], rows[0]) == 1.0
        assert metric.score(gold[1], gold[1], rows[0]) == 1.0  # gold itself is right, and does not run again
    assert [ran.count(query) for query in gold] == [1, 1]
    with sqlite3.connect(tmp_path / "shop.db") as connection:  # another database gives other rows
        connection.execute("INSERT INTO t VALUES (3)")
    assert metric_for(task).score("SELECT 1 UNION SELECT 2 ORDER BY 1", gold[0], rows[0]) == 0.0


def test_a_worker_process_is_told_what_gold_gives(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep.signal, "signal", lambda *_: None)
    task = load_task(project(tmp_path, "recorded:x.jsonl") / "task.toml")
    database = ReadOnlyDatabase(task.database)
    gold_results.gold_result(database, GOOD)
    known = gold_results.known_results()
    (place,) = [key for key in known if key[0] == database.path]
    sweep._begin(None, {place: gold_results.GoldResult(problem="told")})
    assert gold_results.gold_result(database, GOOD).problem == "told"
    sweep._begin(None, known)
    assert gold_results.gold_result(database, GOOD) == known[place]


def test_each_query_runs_once(tmp_path, monkeypatch):
    ran = []

    class Counted(gold_queries.ReadOnlyDatabase):
        def run(self, query):
            ran.append(query)
            return super().run(query)

    task = load_task(project(tmp_path, "recorded:x.jsonl") / "task.toml")
    monkeypatch.setattr(gold_queries, "ReadOnlyDatabase", Counted)
    rows = [Example(f"r{i}", "q", label=GOOD if i % 2 else BAD) for i in range(10)]
    checked = with_sound_queries(task, rows)
    assert sorted(ran) == [GOOD, BAD]
    assert [row.label for row in checked.rows] == [None, GOOD] * 5
    with pytest.raises(UserError, match="mend the rows, or `database`"):
        with_sound_queries(task, rows[::2])
    assert [row.label for row in with_sound_queries(task, rows[:1], needed=False).rows] == [None]
