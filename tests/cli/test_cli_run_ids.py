"""Ids of runs at 80 columns can be read and typed."""

import asyncio
import contextlib
import io

import pytest
from rich.console import Console

from stillhouse import flow
from stillhouse.commands.run_ids import run_called, short_ids
from stillhouse.commands.runs import list_runs
from stillhouse.errors import UserError
from stillhouse.flow import Parked, ask_human
from stillhouse.report.trace_terminal import runs_table


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@flow
async def a_flow_with_quite_a_long_name_for_a_terminal(n: int) -> str:
    return await ask_human(f"May I send the report number {n} to all of the customers in the list?")


def parked(*ids):
    async def all_of_them():
        for id_ in ids:
            with contextlib.suppress(Parked):
                await a_flow_with_quite_a_long_name_for_a_terminal.run(id_, n=1)

    asyncio.run(all_of_them())


def test_a_long_id_is_shown_by_its_shortest_beginning_that_is_its_own():
    ids = [
        "0123456789abcdef0123456789abcdef",
        "0123456789abcxyz0123456789abcdef",
        "monday",
        "fedcba9876543210fedcba9876543210",
    ]
    assert short_ids(ids, ids) == ["0123456789abcd", "0123456789abcx", "monday", "fedcba98"]
    assert short_ids(ids[:1], [ids[0], ids[0][:-1]]) == [ids[0]]  # only the whole of it is its own
    assert short_ids([], ids) == []


def test_at_80_columns_each_id_is_whole_or_can_be_typed(stillhouse):
    ids = ["0123456789abcdef0123456789abcdef", "0123456789abffff0123456789abcdef", "order-of-monday"]
    parked(*ids)
    console = Console(width=80, file=io.StringIO())
    console.print(runs_table(list_runs()[0]))
    out = console.file.getvalue()
    assert all(len(line) <= 80 for line in out.splitlines())
    for listed in list_runs()[0]:
        assert f"{listed.shown} " in out
        assert run_called(listed.shown, "stillhouse.db") == listed.row.run
    assert stillhouse("runs", "--json").json[0]["run"] == "order-of-monday"


def test_the_commands_take_the_beginning_of_an_id(stillhouse):
    ids = ["aaaa1111bbbb2222cccc3333", "aaaa1111bbbb9999cccc3333"]
    parked(*ids)
    assert ids[0] in stillhouse("runs", "show", "aaaa1111bbbb2").out
    assert "flowchart" in stillhouse("graph", "aaaa1111bbbb2").out
    assert "next: stillhouse resume aaaa1111bbbb2222cccc3333" in stillhouse("answer", "aaaa1111bbbb2", "yes").out
    assert stillhouse("runs", "cancel", "aaaa1111bbbb9").out == f"the run {ids[1]} is cancelled\n"
    several = stillhouse("runs", "show", "aaaa1111bbbb")
    assert (several.code, "2 runs begin with aaaa1111bbbb" in several.err) == (2, True)
    assert "there is no run 'zzz'" in stillhouse("runs", "show", "zzz").err


def test_a_whole_id_that_others_begin_with_is_the_one_that_is_meant():
    parked("a", "ab")
    assert run_called("a", "stillhouse.db") == "a"
    with pytest.raises(UserError, match="no such journal"):
        run_called("a", "elsewhere.db")
