"""What counts as an edit of a step, and that an edit does no side effect again without a word."""

import contextlib
import importlib.util
import json
import linecache
import sqlite3
import sys
import types

import pytest

from stillhouse import flow, step
from stillhouse.errors import UserError
from stillhouse.flow import StepError
from stillhouse.flow.edits import version_of

APP = """
from stillhouse import flow, step
from pathlib import Path

def did(what):
    with Path("effects").open("a") as file:
        file.write(what + "\\n")

{decorator}
async def pay(item: str) -> str:
    {docstring}
    {comment}
    did("pay " + item)
    return {returns}

@step
async def after(fail: bool) -> str:
    if {fail}:
        raise OSError("killed here")
    return "sent"

@flow
async def main(items: list[str]) -> list[str]:
    paid = [await pay(item) for item in items]
    return [*paid, await after({fail})]
"""
PLAIN = {"decorator": "@step", "docstring": '"""Pays."""', "comment": "", "returns": "'paid'", "fail": True}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def load(tmp_path, **edit):
    path = tmp_path / "edited_app.py"
    path.write_text(APP.format(**{**PLAIN, **edit}))
    sys.modules.pop("edited_app", None)
    importlib.invalidate_caches()
    spec = importlib.util.spec_from_file_location("edited_app", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["edited_app"] = module
    spec.loader.exec_module(module)
    return module


def effects(tmp_path):
    return (tmp_path / "effects").read_text().splitlines()


async def failed(tmp_path, **edit):
    with pytest.raises(OSError, match="killed here"):
        await load(tmp_path, **edit).main.run("r", ["lamp", "kettle"])


@pytest.mark.parametrize(
    "edit",
    [
        {"decorator": "@step(timeout_s=5, retries=1)"},
        {"comment": "# why it pays"},
        {"docstring": '"""Pays, and says so."""'},
        {"docstring": ""},
        {"returns": '"paid"'},
        {"returns": "(\n        'paid'  # as ever\n    )"},
    ],
    ids=str,
)
async def test_what_does_not_change_the_body_is_no_edit(tmp_path, edit):
    await failed(tmp_path)
    after = load(tmp_path, fail=False, **edit)
    assert await after.main.run("r", ["lamp", "kettle"]) == ["paid", "paid", "sent"]
    assert effects(tmp_path) == ["pay lamp", "pay kettle"]
    assert (after.main.report.kept, after.main.report.changed) == ({}, {})


async def test_a_finished_step_is_not_run_again_by_an_edit_and_that_is_said(tmp_path):
    await failed(tmp_path)
    after = load(tmp_path, fail=False, returns="'paid twice'")
    assert await after.main.run("r", ["lamp", "kettle"]) == ["paid", "paid", "sent"]
    assert effects(tmp_path) == ["pay lamp", "pay kettle"]
    assert (after.main.report.kept, after.main.report.replayed) == ({"pay": 2}, {"pay": 2})


async def test_a_step_that_the_user_names_runs_again_once(tmp_path):
    await failed(tmp_path)
    await_fail = load(tmp_path, returns="'paid anew'")
    with pytest.raises(OSError, match="killed here"):
        await await_fail.main.execute("r", {"items": ["lamp", "kettle"]}, rerun=["pay"])
    assert effects(tmp_path) == ["pay lamp", "pay kettle"] * 2
    after = load(tmp_path, fail=False, returns="'paid anew'")
    result = await after.main.execute("r", {"items": ["lamp", "kettle"]}, rerun=["pay"])
    assert result == ["paid anew", "paid anew", "sent"]
    assert effects(tmp_path) == ["pay lamp", "pay kettle"] * 2  # of the same code: the word given twice pays once


NESTED = """
from stillhouse import flow, step
ran = []

@step
async def inner(n: int) -> int:
    ran.append("inner")
    return n

@step
async def outer(n: int) -> int:
    ran.append("outer")
    return await inner(n) {change}

@step
async def beside(n: int) -> int:
    ran.append("beside")
    return n {change}

@flow
async def main() -> int:
    total = await outer(1) + await beside(1)
    if {fail}:
        raise OSError("killed here")
    return total
"""


@pytest.mark.parametrize(("rerun", "ran"), [((), []), (["outer"], ["outer", "inner"]), (["inner"], [])])
async def test_the_word_for_a_step_holds_for_what_its_body_calls(tmp_path, monkeypatch, rerun, ran):
    monkeypatch.setattr(sys.modules[__name__], "APP", NESTED)
    with pytest.raises(OSError, match="killed here"):
        await load(tmp_path, change="", fail=True).main.run("r")
    after = load(tmp_path, change="+ 1", fail=False)
    assert await after.main.execute("r", {}, rerun=rerun) == (3 if "outer" in rerun else 2)
    assert after.ran == ran


async def test_a_failure_that_the_flow_lived_with_is_not_tried_again_by_an_edit(tmp_path):
    charged, fails = [], True

    def primary_of(source):
        namespace = {"charged": charged}
        exec(source, namespace)
        return step(name="primary")(namespace["primary"])

    primary = primary_of("async def primary():\n    raise ConnectionError('down')")

    @step
    async def backup() -> None:
        charged.append("backup")

    @step
    async def stop() -> None:
        if fails:
            raise OSError("killed here")

    @flow
    async def main() -> None:
        try:
            await primary()
        except ConnectionError:
            await backup()
        await stop()

    with pytest.raises(OSError, match="killed here"):
        await main.run("r")
    primary, fails = primary_of("async def primary():\n    charged.append('primary')"), False
    await main.run("r")
    assert (charged, main.report.kept) == (["backup"], {"primary": 1})


async def test_a_step_that_failed_runs_again_by_itself(tmp_path):
    await failed(tmp_path)
    after = load(tmp_path, fail=False)
    assert (await after.main.run("r", ["lamp", "kettle"]))[-1] == "sent"
    assert after.main.report.kept == {}


async def test_a_pure_step_runs_again_when_it_is_edited(tmp_path):
    await failed(tmp_path, decorator="@step(pure=True)")
    after = load(tmp_path, fail=False, decorator="@step(pure=True)", returns="'again'")
    assert await after.main.run("r", ["lamp", "kettle"]) == ["again", "again", "sent"]
    assert after.main.report.changed == {"pay": 2}


async def test_to_call_a_step_pure_is_no_edit(tmp_path):
    await failed(tmp_path)
    after = load(tmp_path, fail=False, decorator="@step(pure=True)")
    await after.main.run("r", ["lamp", "kettle"])
    assert effects(tmp_path) == ["pay lamp", "pay kettle"]


async def test_a_name_that_the_run_does_not_know_is_an_error(tmp_path):
    await failed(tmp_path)
    after = load(tmp_path, fail=False)
    with pytest.raises(UserError, match="the run r has no call of 'charge' to run again; it has after, pay"):
        await after.main.execute("r", {"items": ["lamp", "kettle"]}, rerun=["charge"])
    await after.main.run("r", ["lamp", "kettle"])
    with pytest.raises(UserError, match="the run r is done"):
        await after.main.execute("r", {"items": ["lamp", "kettle"]}, rerun=["pay"])


async def test_rows_of_the_earlier_version_are_told_from_edited_ones(tmp_path):
    """0.1.0 kept a hash of all the source: it is known of the code that stands there, and an edit is kept all the same."""
    import hashlib
    import inspect

    module = load(tmp_path)
    await failed(tmp_path)
    old = hashlib.sha256(inspect.getsource(module.pay.__wrapped__).encode()).hexdigest()[:16]
    with contextlib.closing(sqlite3.connect("stillhouse.db")) as db, db:
        db.execute("UPDATE steps SET version = ? WHERE step = 'pay'", (old,))
    with contextlib.suppress(OSError):
        await module.main.run("r", ["lamp", "kettle"])
    assert (module.main.report.kept, module.main.report.replayed) == ({}, {"pay": 2})
    edited = load(tmp_path, fail=False, returns="'other'")
    await edited.main.run("r", ["lamp", "kettle"])
    assert edited.main.report.kept == {"pay": 2}
    assert effects(tmp_path) == ["pay lamp", "pay kettle"]


async def test_a_kept_answer_that_does_not_fit_the_edited_step_says_how_to_run_it_again(tmp_path):
    calls = []

    def made(source):
        namespace = {"step": step, "calls": calls}
        exec(source, namespace)
        return namespace["count"]

    first = made("async def count():\n    calls.append(1)\n    return 'three'\n")
    second = made("async def count() -> int:\n    return 3\n")
    current = step(first)

    @step
    async def stop() -> None:
        if len(calls) == 1 and current.__wrapped__ is first:
            raise OSError("stopped")

    @flow
    async def main() -> int:
        got = await current()
        await stop()
        return got

    with pytest.raises(OSError, match="stopped"):
        await main.run("r")
    current = step(second)
    with pytest.raises(StepError, match=r"the step count returned .*, or run the edited step again with --rerun count"):
        await main.run("r")
    assert await main.execute("r", {}, rerun=["count"]) == 3


def test_code_without_source_has_a_version_that_stays():
    def made(text):
        namespace: dict = {}
        exec(text, namespace)
        return namespace["f"]

    nested = "async def f():\n    '''{doc}'''\n    def g():\n        return {n}\n    return g()\n"
    same = version_of(made(nested.format(doc="a", n=1)))
    assert same == version_of(made(nested.format(doc="b", n=1)))
    assert same != version_of(made(nested.format(doc="a", n=2)))
    assert isinstance(made(nested.format(doc="a", n=1)), types.FunctionType)


def test_the_command_says_what_was_kept_and_runs_what_is_named(tmp_path, stillhouse):
    def edited(**edit):
        (tmp_path / "edited_app.py").write_text(APP.format(**{**PLAIN, **edit}))
        for name in [
            name for name, module in sys.modules.items() if "edited_app" in str(getattr(module, "__file__", ""))
        ]:
            del sys.modules[name]
        linecache.clearcache()

    edited()
    assert (
        stillhouse("run", "edited_app.py:main", "--run-id", "r", "--input", json.dumps({"items": ["lamp"]})).code == 1
    )
    edited(returns="'new, long'")
    kept = stillhouse("resume", "r")
    assert "edited since they ran, and not run again, for they may have effects: pay (1)" in " ".join(kept.err.split())
    assert effects(tmp_path) == ["pay lamp"]
    edited(returns="'new, long'", fail=False)
    assert stillhouse("resume", "r", "--rerun", "pay", "--json").json["result"] == ["new, long", "sent"]
    assert effects(tmp_path) == ["pay lamp"] * 2
