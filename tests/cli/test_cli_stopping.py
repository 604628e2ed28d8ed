"""Ctrl-C and SIGTERM: what is in flight is waited for and stored, no call is sent any more, and what is left is counted."""

import json
import signal

import pytest

from held_endpoint import command, held_endpoint
from mood_task import MOOD

N, IN_FLIGHT = 12, 4
pytestmark = pytest.mark.slow  # each starts the command as a process of its own, twice


@pytest.fixture
def held():
    with held_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def task(tmp_path, held):
    settings = f'\n[teacher]\nmodel = "{held.url}"\nconcurrency = {IN_FLIGHT}\nprice_in = 1.0\nprice_out = 2.0\n'
    (tmp_path / "task.toml").write_text(MOOD + settings)
    rows = [{"id": f"r{i}", "input": f"day {i} was {('good', 'awful')[i % 2]}"} for i in range(N)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def heard(process, words="once more leaves at once"):
    """The line in which the command says so."""
    while line := process.stderr.readline():
        if words in line:
            return line
    raise AssertionError("it never said so")


@pytest.mark.parametrize(("number", "code", "name"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")])
def test_the_first_signal_waits_for_what_is_in_flight_and_nothing_is_paid_twice(held, task, number, code, name):
    process = command("label", task, "--yes")
    held.let(3)
    held.until(3 + IN_FLIGHT, process)
    process.send_signal(number)
    assert f"{IN_FLIGHT} calls were in flight" in heard(process)
    held.let_all()
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert f"stopped by {name}: {IN_FLIGHT} calls were in flight, all {IN_FLIGHT} came back and are kept" in err
    assert f"go on with: stillhouse label {task} --yes" in err and "Traceback" not in err
    assert len(held.asked) == 3 + IN_FLIGHT  # no call after the signal
    again = command("label", task, "--yes", "--json")
    out, err = again.communicate(timeout=60)
    assert (again.returncode, json.loads(out)["labelled"], json.loads(out)["from_store"]) == (0, N, 3 + IN_FLIGHT), err
    assert held.calls.total() == len(held.calls) == N


def test_the_second_signal_leaves_at_once_and_says_how_many_were_left(held, task):
    process = command("label", task, "--yes")
    held.until(IN_FLIGHT, process)
    process.send_signal(signal.SIGTERM)
    heard(process)
    held.let(1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    n_back = 1 if "1 came back" in err else 0  # whether the answer or the signal is first at the command
    left = IN_FLIGHT - n_back
    assert f"{IN_FLIGHT} calls were in flight, {n_back} came back, {left} were left and may be paid for again" in err
    held.let_all()
    again = command("label", task, "--yes", "--json")
    out, err = again.communicate(timeout=60)
    assert json.loads(out)["from_store"] == n_back, err
    assert held.calls.total() == N + left and len(held.calls) == N  # exactly those that were left are paid again


def test_kill_9_pays_again_exactly_what_was_in_flight(held, task):
    process = command("label", task, "--yes")
    held.let(3)
    held.until(3 + IN_FLIGHT, process)
    process.kill()
    process.communicate(timeout=60)
    held.let_all()
    again = command("label", task, "--yes", "--json")
    again.communicate(timeout=60)
    assert held.calls.total() == N + IN_FLIGHT and len(held.calls) == N


def test_where_nothing_is_in_flight_it_says_so_and_leaves_at_the_first(held, task):
    """A call that waits for another command's claim is not in flight."""
    rows = (task / "rows.jsonl").read_text().splitlines(keepends=True)
    (task / "rows.jsonl").write_text("".join(rows[:IN_FLIGHT]))
    first = command("label", task, "--yes")
    held.until(IN_FLIGHT, first)
    second = command("label", task, "--yes", "--out", task / "other.jsonl")
    line = heard(second, "waiting for")
    assert line == f"stillhouse: waiting for {IN_FLIGHT} calls that another command (process {first.pid}) is making\n"
    second.send_signal(signal.SIGINT)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 130 and "no call was in flight, so nothing is paid for twice" in err, err
    assert len(held.asked) == IN_FLIGHT
    first.kill()
    first.communicate()
