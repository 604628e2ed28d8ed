"""`stillhouse run` and `stillhouse runs` on an app's file."""

import json
import os
import subprocess
import sys

import pytest

from stillhouse.user_code import load_app

APP = """
from dataclasses import dataclass
from pathlib import Path
from stillhouse import flow, step


@dataclass
class Answer:
    n: int
    words: str


@step
async def double(n: int) -> int:
    with Path("paid").open("a") as paid:
        paid.write("double")
    return 2 * n


@step
async def check(n: int) -> None:
    if Path("fails").exists():
        raise ConnectionError("the shop is closed")


@flow
async def main(n: int) -> Answer:
    twice = await double(n)
    await check(twice)
    return Answer(twice, "done")
"""


@pytest.fixture
def stillhouse(tmp_path):
    (tmp_path / "app.py").write_text(APP)

    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "stillhouse", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    return call


@pytest.mark.slow
def test_run_prints_the_result_and_the_same_id_resumes_it(stillhouse, tmp_path):
    (tmp_path / "fails").touch()
    failed = stillhouse("run", "app.py:main", "--input", '{"n": 3}', "--run-id", "one", "--json")
    assert failed.returncode == 1
    assert "ConnectionError: the shop is closed" in failed.stderr
    assert "its 1 finished steps are kept: mend the cause and go on with --run-id one" in " ".join(
        failed.stderr.split()
    )
    listed = json.loads(stillhouse("runs", "--json").stdout)
    assert [(row["run"], row["flow"], row["status"], row["steps"]) for row in listed] == [("one", "main", "failed", 1)]
    (tmp_path / "fails").unlink()
    done = stillhouse("run", "app:main", "--input", '{"n": 3}', "--run-id", "one", "--json")
    assert json.loads(done.stdout) == {"run": "one", "result": {"n": 6, "words": "done"}}
    assert (tmp_path / "paid").read_text() == "double"
    again = stillhouse("run", "app.py:main", "--input", '{"n": 3}', "--run-id", "one", "--json")
    assert json.loads(again.stdout)["result"] == {"n": 6, "words": "done"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["app.py:other"], "its flows: main"),
        (["nothing.py:main"], "no such file"),
        (["nothing:main"], "no module 'nothing'"),
        (["app.py"], "names no flow"),
        (["app.py:main", "--input", "{"], "not valid JSON"),
        (["app.py:main", "--input", "[1]"], "give an object"),
        (["app.py:main", "--input", '{"m": 1}'], "does not fit"),
        (["app.py:main", "--input", '{"n": 1}', "--run-id", "a/b"], "cannot name a run"),
    ],
)
def test_what_does_not_fit_is_one_sentence(stillhouse, arguments, says):
    found = stillhouse("run", *arguments)
    assert found.returncode == 2
    assert says in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1


def test_two_flows_of_one_name_in_an_app_are_refused(stillhouse, tmp_path):
    with (tmp_path / "app.py").open("a") as app:
        app.write("\n\n@flow(name='main')\nasync def other(n: int) -> int:\n    return n\n")
    refused = stillhouse("run", "app.py:main", "--input", '{"n": 3}')
    assert refused.returncode == 2
    assert "app.py has two flows called main (main and other); give one of them another: @flow(name=...)" in " ".join(
        refused.stderr.split()
    )


def test_a_model_option_without_a_name_is_refused(stillhouse):
    refused = stillhouse("run", "app.py:main", "--model", "double=")
    assert refused.returncode == 2
    assert "--model double=: names no model; write STEP=NAME" in " ".join(refused.stderr.split())


@pytest.mark.slow
def test_the_journal_may_be_a_postgresql_and_its_password_is_never_shown(stillhouse, postgres_url):
    password = postgres_url.split("@")[0].rpartition(":")[2]
    done = stillhouse("run", "app.py:main", "--input", '{"n": 3}', "--run-id", "one", "--json", "--store", postgres_url)
    assert json.loads(done.stdout)["result"] == {"n": 6, "words": "done"}
    listed = json.loads(stillhouse("runs", "--json", "--store", postgres_url).stdout)
    assert [(row["run"], row["status"], row["steps"]) for row in listed] == [("one", "done", 2)]
    absent = stillhouse("resume", "two", "--store", postgres_url)
    assert (
        absent.returncode,
        f"no run 'two' in postgresql://{postgres_url.split('@')[1]}" in " ".join(absent.stderr.split()),
    ) == (2, True)
    assert not any(password in text for found in (done, absent) for text in (found.stdout, found.stderr))


def test_an_edit_of_equal_length_within_the_same_second_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    app = tmp_path / "edited_app.py"
    for answer in ("one", "two"):
        app.write_text(f"ANSWER = {answer!r}\n")
        os.utime(app, (1_800_000_000, 1_800_000_000))
        assert answer == load_app(str(app)).ANSWER
