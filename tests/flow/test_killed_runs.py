"""A run whose process is dead is called killed wherever runs are seen: the lock knows."""

import pytest

from stillhouse import flow
from stillhouse.store.journal import as_seen, open_journal


@pytest.fixture
def journal(tmp_path):
    opened = open_journal(tmp_path / "runs.db")
    yield opened
    opened.close()


def test_a_run_is_killed_where_nobody_holds_its_lock(journal, stillhouse):
    with journal.own("alive"), journal.own("dead"):
        journal.begin("alive", "main", "{}", {})
        journal.begin("dead", "main", "{}", {})
        assert as_seen(journal, journal.run("dead")).status == "running"
    with journal.own("alive"):  # the other process is gone
        seen = {run.run: run.status for run in flow.runs(store=journal.path)}
        assert seen == {"alive": "running", "dead": "killed"}
        assert [run.run for run in flow.runs(store=journal.path, status="running")] == ["alive"]
        listed = stillhouse("runs", "--store", journal.path, "--json").json
        assert {run["run"]: run["status"] for run in listed} == seen
        shown = stillhouse("runs", "show", "dead", "--store", journal.path)
        assert "killed" in shown.out and "stillhouse resume dead" in shown.out


def test_a_run_that_ended_just_now_is_not_called_killed(journal):
    with journal.own("one"):
        journal.begin("one", "main", "{}", {})
        before = journal.run("one")
        journal.end("one", "done", result="1")
    assert as_seen(journal, before).status == "done"
