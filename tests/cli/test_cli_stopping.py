"""Ctrl-C and SIGTERM: what is in flight is waited for and stored, no call is sent any more, and what is left is counted."""

import asyncio
import contextlib
import itertools
import json
import os
import pty
import random
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from fake_batches import Fake, serving
from held_endpoint import command, held_endpoint, reply
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


@pytest.mark.parametrize("terminal", ["closed", "closed under nohup"])
def test_a_command_whose_terminal_is_closed_keeps_what_is_in_flight_unless_it_runs_on(held, task, terminal):
    master, slave = pty.openpty()
    start = (
        "import fcntl, os, runpy, signal, sys, termios\n"
        "os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "if sys.argv.pop(1) == 'closed under nohup': signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "runpy.run_module('stillhouse', run_name='__main__', alter_sys=True)\n"
    )
    told = slave if terminal == "closed" else subprocess.DEVNULL  # nohup writes to a file
    arguments = [sys.executable, "-c", start, terminal, "label", task, "--yes"]
    process = subprocess.Popen(arguments, stdin=slave, stdout=told, stderr=told)
    os.close(slave)
    held.let(3)
    held.until(3 + IN_FLIGHT, process)
    os.close(master)
    if terminal == "closed":
        process.send_signal(signal.SIGHUP)  # the shell sends one too
    held.let_all()
    assert process.wait(60) == (129 if terminal == "closed" else 0)
    assert len(held.asked) == (3 + IN_FLIGHT if terminal == "closed" else N)
    again = command("label", task, "--yes", "--json")
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0 and json.loads(out)["labelled"] == N, err
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


def go_on_command(err):
    """What the end message says, as arguments."""
    [line] = [line for line in err.splitlines() if "; go on with: stillhouse " in line]
    return shlex.split(line.split("; go on with: stillhouse ")[1])


COMMANDS = {
    "generate": "generate task -n 30 --per-call 2 --yes --no-report",
    "distill": "distill task --yes --runs runs",
    "advise": "advise task --yes --runs runs --seeds 3 --sizes 8,16 --workers 1",
    "evaluate": "evaluate MODEL task/test.jsonl --task task --yes",
    "evaluate, with a judge": "evaluate scripted:echo:answer task/test.jsonl --task task/judged.toml --yes",
    "compare": "compare MODEL task/answers.jsonl task/test.jsonl --task task --people none --yes",
    "compare, with a judge": "compare task/answers.jsonl task/others.jsonl task/test.jsonl --task task --judge MODEL "
    "--people none --yes",
    "test": "test task/app.py:main --cases task/cases --price-in 1 --price-out 2 --yes",
    "run": 'run task/app.py:main --input {"days":60}',
    "resume": "resume monday",
}
ANSWERED_BEFORE = {"evaluate, with a judge": 24}  # the calls before the one at which it is stopped; else one
# Calls that are held when it is stopped; else IN_FLIGHT. A flow asks four at once and waits for all; eight cases at once.
HELD = {"run": IN_FLIGHT - 1, "resume": IN_FLIGHT - 1, "test": 8}


def whole_task(folder, url):
    folder.mkdir()
    settings = f'[student]\nladder = ["linear"]\n[teacher]\nmodel = "{url}"\nconcurrency = {IN_FLIGHT}\n'
    prices = "price_in = 1.0\nprice_out = 2.0\n"
    (folder / "task.toml").write_text(MOOD + f'test = "test.jsonl"\n{settings}{prices}')
    for name, n, first in (("rows", 40, 0), ("test", 24, 500)):
        rows = [
            {
                "id": f"{name}{i}",
                "input": f"day {first + i} was {('good', 'awful')[i % 2]}",
                "label": ("good", "bad")[i % 2],
            }
            for i in range(n)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "judged.toml").write_text(
        '[task]\nname = "echo"\ninstruction = "Say it."\noutput = "text"\nmetric = "win_rate"\n'
        f'[data]\ntest = "test.jsonl"\n[teacher]\nmodel = "{url}"\n{prices}concurrency = {IN_FLIGHT}\n'
        f'[gate]\njudge = "{url}"\n'
    )
    (folder.parent / "echo.py").write_text("def answer(request, example):\n    return example.id\n")
    for name in ("answers", "others"):
        rows = [{"id": f"test{i}", "answer": f"{name} {i}"} for i in range(24)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "cases").mkdir()
    rows = [{"id": str(n), "input": {"text": f"day {n} was good"}, "expected": "good"} for n in range(60)]
    (folder / "cases" / "mood.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "app.py").write_text(
        "import asyncio\nfrom typing import Literal\nfrom stillhouse import flow, step\n"
        f'@step(model="{url}")\nasync def mood(text: str) -> Literal["good", "bad"]:\n    """Is it good?"""\n'
        "@flow\nasync def main(days: int) -> list[str]:\n    said = []\n    while len(said) < days:\n"
        '        four = [mood(f"day {n} was good") for n in range(len(said), len(said) + 4)]\n'
        "        said += await asyncio.gather(*four)\n    return said\n"
    )


def until_stored(folder, n, model):
    """Wait until so many answers are stored: till then, a call that the endpoint has answered is in flight."""
    [path] = folder.rglob("stillhouse.db")
    count = "SELECT count(*) FROM completions WHERE model = ?"
    for _ in range(600):
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            if store.execute(count, (model,)).fetchone()[0] >= n:
                return
        time.sleep(0.05)
    raise AssertionError("they were never stored")


def proposals(body):
    """Numbered inputs where they are asked for, a judge's choice, else good or bad."""
    if "first answer" in body["messages"][-1]["content"]:
        return "tie"
    asked = re.search(r"from (\d+) to (\d+)", body["messages"][0]["content"])
    if asked is None:
        return reply(body["messages"][-1]["content"])
    words = random.Random(json.dumps(body["messages"]))
    numbers = range(int(asked[1]), int(asked[2]) + 1)
    return "\n\n".join(f"## {n}\n" + " ".join(f"word{words.randrange(500)}" for _ in range(8)) for n in numbers)


@pytest.mark.parametrize(("name", "number"), list(zip(COMMANDS, itertools.cycle((signal.SIGTERM, signal.SIGINT)))))
def test_every_command_that_pays_keeps_what_is_in_flight_and_names_the_command_that_goes_on(name, number, tmp_path):
    with held_endpoint(proposals) as held:
        whole_task(tmp_path / "task", held.url)
        if name == "resume":
            stopped = command(*COMMANDS["run"].split(), "--run-id", "monday", cwd=tmp_path)
            held.until(1, stopped)
            stopped.send_signal(signal.SIGTERM)
            heard(stopped)
            held.let_all()
            stopped.communicate(timeout=60)
            held.let_all(False)
        n_before = len(held.asked)
        process = command(*COMMANDS[name].replace("MODEL", held.url).split(), cwd=tmp_path)
        n_answered = ANSWERED_BEFORE.get(name, 1)
        held.let(n_answered)
        held.until(n_before + n_answered + HELD.get(name, IN_FLIGHT), process)
        until_stored(tmp_path, n_before + n_answered, held.url)
        process.send_signal(number)
        heard(process)
        held.let_all()
        _, err = process.communicate(timeout=60)
        assert process.returncode == 128 + number and "left" not in err, err
        n_said, n_back = map(
            int, re.search(r"(\d+) calls were in flight, all (\d+) came back and are kept; ", err).groups()
        )
        n_held = len(held.asked) - n_before - n_answered  # with what was sent after the signal, if anything was
        assert n_said == n_back and n_held == HELD.get(name, IN_FLIGHT), err
        # What is stored may still be on its way to whoever asked, and is in flight until it is there.
        assert n_held <= n_said <= n_held + n_answered, err
        n_before = len(held.asked)
        again = command(*go_on_command(err), cwd=tmp_path)
        out, err = again.communicate(timeout=120)
        assert again.returncode in (0, 1) and "Traceback" not in err, out + err
        assert len(held.asked) > n_before and max(held.bodies.values()) == 1, held.bodies


@pytest.fixture
def batches(monkeypatch, tmp_path):
    """A fake of both batch APIs, and a task for it: (fake, task's folder)."""
    fake, loop, ready, over = Fake(polls=1_000), asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    address = []

    async def serve():
        async with serving(fake) as at:
            address.append(at)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait()
    settings = f'\n[teacher]\nmodel = "{address[0]}/v1#m"\nprice_in = 1.0\nprice_out = 2.0\n'
    (tmp_path / "task.toml").write_text(MOOD + settings)
    rows = [{"id": f"r{i}", "input": f"day {i} was {('good', 'awful')[i % 2]}"} for i in range(N)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    yield fake, tmp_path
    loop.call_soon_threadsafe(over.set)
    thread.join()
    loop.close()


@pytest.mark.parametrize("moment", ["while the batch is made", "while it is waited for"])
@pytest.mark.parametrize(("number", "code", "name"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")])
def test_label_in_a_batch_is_stopped_and_fetched_later(batches, moment, number, code, name):
    fake, task = batches
    fake.hold = threading.Event() if moment == "while the batch is made" else None
    process = command("label", task, "--batch", "--yes")
    if moment == "while the batch is made":
        assert fake.held.wait(60)
    else:
        heard(process, "in batches; stopped, this goes on later")
    process.send_signal(number)
    if moment == "while the batch is made":
        assert "a batch is being sent: waiting 8 s at most" in heard(process)
        assert fake.batches == {}
        fake.hold.set()
    _, err = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in err
    kept = f"{N} calls are in batches under way, which the same command fetches"
    assert f"stopped by {name}: no call was in flight, so nothing is paid for twice; {kept}; go on with: " in err, err
    [listed] = json.loads((task / ".teacher.jsonl.batches.json").read_text())
    assert listed["id"] == "batch_1"
    fake.batches["batch_1"]["polls"] = 0
    again = command(*go_on_command(err), "--json")
    out, err = again.communicate(timeout=60)
    assert (again.returncode, json.loads(out)["labelled"]) == (0, N), err
    assert len(fake.asked) == N and len(fake.batches) == 1


@pytest.mark.parametrize("name", ["generate", "advise"])
def test_kill_9_pays_again_only_what_was_in_flight_and_comes_to_the_same(name, tmp_path):
    """What an uninterrupted run writes: the same rows; the same result, but for when it was made and what it paid then."""
    found, kills_then_twice = [], {}
    with held_endpoint(proposals) as held:
        for kills in (0, 2):
            folder = tmp_path / f"{kills} kills"
            folder.mkdir()
            whole_task(folder / "task", held.url)
            held.bodies.clear()
            for _ in range(kills):
                n_before = len(held.asked)
                process = command(*COMMANDS[name].split(), cwd=folder)
                held.let(2)
                held.until(n_before + 2 + IN_FLIGHT, process)
                process.kill()
                process.communicate()
                held.drop()
            held.let_all()
            process = command(*COMMANDS[name].split(), cwd=folder)
            _, err = process.communicate(timeout=120)
            assert process.returncode in (0, 1), err
            held.let_all(False)
            kills_then_twice[kills] = held.bodies.total() - len(held.bodies)
            if name == "generate":
                lines = (folder / "task" / "generated.jsonl").read_text().splitlines()
                found.append([(row["id"], row["input"]) for row in map(json.loads, lines)])
            else:
                found.append(scrubbed(json.loads((folder / "runs" / "mood-advise-1" / "result.json").read_text())))
    assert kills_then_twice[0] == 0 and 0 < kills_then_twice[2] <= 2 * IN_FLIGHT
    assert found[0] == found[1]


def scrubbed(value):
    """A result without what a clock tells, and what its last sitting paid. Costs follow from how long things took."""
    if isinstance(value, dict):
        of_the_clock = ("created", "wall_s", "latency", "cost_usd", "money", "paid")
        return {name: scrubbed(part) for name, part in value.items() if not name.startswith(of_the_clock)}
    if isinstance(value, list):
        sums = ("money:", "a right answer that is worth")
        return [scrubbed(part) for part in value if not (isinstance(part, str) and part.startswith(sums))]
    return value
