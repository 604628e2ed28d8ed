"""The spending options are the same on every command that can spend, and no command that cannot has them."""

import textwrap

import pytest
import typer

from stillhouse.cli import app

SPENDING = {"--max-usd", "--price-in", "--price-out"}
BUYING = SPENDING | {"--unpriced", "--yes"}
# Every command is in one of these: a new one has to be put where it belongs.
BUYS_IN_BULK = {"label", "generate", "distill", "advise", "evaluate", "compare", "test", "run"}
SPENDS_BY_CALL = {"resume"}  # how much a flow calls is its own affair: it has a cap, and no estimate
SPENDS_AS_THE_TASK_SAYS = {"serve"}  # its cap and prices stand in the task that the cascade names
SPENDS_NOTHING = {
    "demo",
    "new",
    "report",
    "answer",
    "graph",
    "harvest",
    "curves",
    "runs",
    "export",
    "gateway",
    "steps",
    "fetch",
}


def commands():
    group = typer.main.get_command(app)
    return {
        name: {opt: option for option in command.params for opt in option.opts}
        for name, command in group.commands.items()
    }


def test_every_command_says_whether_it_can_spend():
    assert set(commands()) == BUYS_IN_BULK | SPENDS_BY_CALL | SPENDS_AS_THE_TASK_SAYS | SPENDS_NOTHING


def test_the_spending_options_are_the_same_everywhere():
    of_label = commands()["label"]
    for name, options in commands().items():
        if name == "new":
            continue  # it spends nothing: its --yes is consent to what it inferred of the rows
        wanted = BUYING if name in BUYS_IN_BULK else SPENDING if name in SPENDS_BY_CALL else set()
        assert BUYING & set(options) == wanted, name
        for option in wanted:
            here, there = options[option], of_label[option]
            assert (here.help, here.default, here.opts) == (there.help, there.default, there.opts)


APP = """
from typing import Literal
from stillhouse import flow, step

@step(model={model!r})
async def mood(text: str) -> Literal["good", "bad"]:
    \"\"\"Is it good?\"\"\"

@flow
async def main(text: str) -> str:
    return await mood(text)
"""
PRICED = ("--price-in", 1, "--price-out", 2)


@pytest.fixture
def app_folder(endpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text(textwrap.dedent(APP.format(model=endpoint.url())))
    (tmp_path / "cases").mkdir()
    rows = "".join(f'{{"input": {{"text": "day {i} was good"}}, "expected": "good"}}\n' for i in range(40))
    (tmp_path / "cases" / "mood.jsonl").write_text(rows)
    return tmp_path


def test_a_test_is_agreed_to_as_labelling_is(stillhouse, endpoint, app_folder):
    unpriced = stillhouse("test", "app.py:main", "--yes")
    assert (unpriced.code, endpoint.calls().total()) == (2, 0), unpriced.err
    assert "no price is known for" in unpriced.err
    refused = stillhouse("test", "app.py:main", *PRICED)
    assert (refused.code, endpoint.calls().total()) == (2, 0), refused.err
    assert "40 calls of" in refused.err and "give --yes, or a cap with --max-usd" in refused.err
    assert not list(app_folder.glob("runs/tests-*"))
    capped = stillhouse("test", "app.py:main", *PRICED, "--max-usd", "0.0001")
    assert (capped.code, endpoint.calls().total()) == (1, 0), capped.err
    assert "would pass the cap of $0.0001" in capped.err
    told = stillhouse("test", "app.py:main", *PRICED, "--yes")
    said = told.err.replace("\n", " ")
    assert told.code == 0, said
    assert "40 calls of" in said and "will cost about $0.00096" in said and "given by the user" in said
    assert endpoint.calls().total() == 40


def test_a_run_keeps_to_its_cap(stillhouse, endpoint, app_folder):
    capped = stillhouse("run", "app.py:main", "--input", '{"text": "good"}', *PRICED, "--max-usd", "0.00001")
    assert (capped.code, endpoint.calls().total()) == (1, 0)
    assert "would pass the cap" in capped.err
    ran = stillhouse("run", "app.py:main", "--input", '{"text": "good"}', *PRICED, "--max-usd", "1")
    assert (ran.code, endpoint.calls().total()) == (0, 1), ran.err
