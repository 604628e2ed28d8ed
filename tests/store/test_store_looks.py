"""Which plans looked at which rows: on SQLite and on PostgreSQL alike, over processes, versions and deaths."""

import contextlib
import sqlite3
import subprocess
import sys
import threading

import pytest

from stillhouse.errors import StorageError
from stillhouse.store import open_store
from stillhouse.store.looks import open_looks


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    return str(tmp_path / "s.db") if request.param == "sqlite" else request.getfixturevalue("postgres_url")


def everything(*rows):
    return lambda looked_at: rows


def take(url, plan, rows, calibration=()):
    with open_looks(url) as looks:
        return looks.take(plan, rows, calibration, everything(*rows))


def test_a_look_is_one_more_than_the_other_plans_that_share_any_row(url):
    assert take(url, "A", ["1", "2"]).k == 1
    assert take(url, "B", ["3", "4"]).k == 1
    assert take(url, "C", ["2", "3", "9"]).k == 3
    assert take(url, "D", ["9"]).k == 2
    assert take(url, "E", ["8"]).k == 1


def test_a_plan_keeps_its_look_and_its_rows_whatever_others_do(url):
    first = take(url, "A", ["1", "2"])
    take(url, "B", ["1"])
    again = take(url, "A", ["1", "2", "7"])
    assert (again.k, again.rows) == (first.k, first.rows) == (1, {"1", "2"})
    assert take(url, "C", ["7"]).k == 1  # what it brought the second time was not looked at
    with open_looks(url) as looks:
        assert looks.taken("A").rows == {"1", "2"} and looks.taken("Z") is None


def test_the_coming_look_is_told_without_being_taken(url):
    take(url, "A", ["1"])
    with open_looks(url) as looks:
        assert [looks.coming(["1"], [], everything("1")).k for _ in range(2)] == [2, 2]
    assert take(url, "B", ["1"]).k == 2


def test_who_chooses_gets_the_rows_that_others_looked_at(url):
    take(url, "A", [str(n) for n in range(1200)])  # more rows than one statement takes
    seen = []
    with open_looks(url) as looks:
        taken = looks.take("B", ["5", "1199", "x"], [], lambda looked_at: seen.append(set(looked_at)) or ["x"])
    assert seen == [{"5", "1199"}] and taken.k == 1 and taken.rows == {"x"} and taken.n_before == 2


def test_calibration_rows_are_counted_by_themselves(url):
    assert take(url, "A", ["1"], ["c"]).k_calibration == 1
    fresh_test_rows = take(url, "B", ["2"], ["c"])
    assert (fresh_test_rows.k, fresh_test_rows.k_calibration) == (1, 2)
    assert take(url, "C", ["c"], ["1"]).k == 1  # a row of the one kind is not one of the other


def test_looks_that_come_at_once_take_different_numbers(url):
    taken, begin = [], threading.Barrier(8)

    def look(plan):
        with open_looks(url) as looks:
            begin.wait()
            taken.append(looks.take(plan, ["1", plan], [], everything("1", plan)).k)

    threads = [threading.Thread(target=look, args=(f"plan {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 9))


def test_a_look_that_fails_midway_spends_nothing(url):
    def killed(looked_at):
        raise KeyboardInterrupt

    with open_looks(url) as looks:
        with pytest.raises(KeyboardInterrupt):
            looks.take("A", ["1"], [], killed)
        assert looks.taken("A") is None
    assert take(url, "B", ["1"]).k == 1


def test_a_process_that_is_killed_right_after_its_look_has_spent_it(tmp_path):
    url = tmp_path / "s.db"
    code = (
        "import os, signal; from stillhouse.store.looks import open_looks; "
        f"open_looks({str(url)!r}).take('A', ['1'], [], lambda seen: ['1']); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert take(url, "B", ["1"]).k == 2 and take(url, "A", ["1"]).k == 1


def test_a_store_of_an_earlier_version_gets_its_looks_and_a_later_list_is_refused(url):
    open_store(url).close()
    assert take(url, "A", ["1"]).k == 1  # the store has no tables for looks of its own
    open_store(url).close()
    if url.startswith("postgresql://"):
        return
    with contextlib.closing(sqlite3.connect(url)) as connection, connection:
        connection.execute("UPDATE meta SET value = '9' WHERE name = 'looks'")
    with pytest.raises(StorageError, match="a list of looks of version 9, this Stillhouse writes 1"):
        open_looks(url)


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "s.db").write_text("this is no database, and never was one")
    with pytest.raises(StorageError, match="the looks at the test rows cannot be read or written"):
        open_looks(tmp_path / "s.db")
