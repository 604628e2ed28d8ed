"""`flow.map` over many machines: each item a run, each run once, in order; a killed worker's runs finish elsewhere and nothing finished is paid again."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from stillhouse import flow, step
from stillhouse.errors import MissingExtraError, UserError
from stillhouse.flow import StepError, cluster
from stillhouse.flow.cluster import Batch, Target, drain
from stillhouse.flow.engine import Flow
from stillhouse.store.journal import open_journal

APP = """
import asyncio, os, sys
from dataclasses import dataclass
from pathlib import Path
from stillhouse import flow, step

LOG = Path(__file__).with_name("paid.txt")
HELD = LOG.with_name("held")  # made by the one worker that is held in the middle of a run, and is killed there


@dataclass
class Order:
    id: int
    price: float


@step
async def pay(id: int, n: int) -> int:
    with LOG.open("a") as log:
        log.write(f"{os.getpid()} {id} {n}\\n")
        log.flush()
        os.fsync(log.fileno())
    if (id, n) == (3, 2) and "HOLDER" in os.environ and not HELD.exists():
        HELD.touch()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ["HOLDER"]))
        writer.write(f"{os.getpid()}\\n".encode())
        await reader.read()  # until it is killed
    return n


@flow
async def settle(order: Order) -> Order:
    paid = [await pay(order.id, n) for n in range(4)]
    if order.id == int(os.environ.get("FAILS", -1)):
        raise ConnectionError("the bank is closed")
    return Order(order.id, order.price * sum(paid))


@flow
async def month(n: int) -> list[float]:
    settled = await flow.map(settle, [Order(id, 1.5) for id in range(n)], cluster="ray", at_once=4)
    return [order.price for order in settled]
"""

WORKER = """
import asyncio, sys
import app
from stillhouse.flow.cluster import Batch, Target, drain
asyncio.run(drain(Batch(Target.of(app.settle), "m", sys.argv[1], 4, {}), 2))
"""

DRIVER = """
import asyncio, json, sys
import ray
import app
if __name__ == "__main__":
    ray.init(num_cpus=2, object_store_memory=80_000_000, include_dashboard=False, log_to_driver=False, _temp_dir=sys.argv[2])
    print(json.dumps(asyncio.run(app.month.run("m", n=8, store=sys.argv[1]))))
"""


def paid(folder):
    path = folder / "paid.txt"
    return (
        [tuple(map(int, line.split())) for line in path.read_text().splitlines() if line.count(" ") == 2]
        if path.exists()
        else []
    )


def journaled(url, run):
    with contextlib.closing(open_journal(url)) as journal:
        return {
            tuple(json.loads(row.arguments).values())
            for row in journal.steps(run)
            if row.key[0] == "pay" and row.output is not None
        }


def kill_the_held(holder, url, processes):
    """SIGKILL the worker that says it is inside the third call of the run 3; what was journaled by then, and the worker."""
    ends = {os.pidfd_open(process.pid): process for process in processes}
    ready, _, _ = select.select([holder, *ends], [], [], 300)  # no machine is so busy; a suite that hangs tells nothing
    for end, process in ends.items():
        os.close(end)
        assert end not in ready, process.communicate()
    assert ready, "no worker came to the third call of the run 3"
    connection, _ = holder.accept()
    with connection, connection.makefile() as lines:
        victim = int(lines.readline())
        with contextlib.closing(open_journal(url)) as journal:
            runs = [row.run for row, _ in journal.runs()]
        finished = set().union(*(journaled(url, run) for run in runs))
        assert {(3, 0), (3, 1)} <= finished and (3, 2) not in finished
        os.kill(victim, signal.SIGKILL)
        assert lines.read() == ""  # the kernel has closed what it held: it is dead
    return finished, victim


def check_paid(folder, finished, victim, n):
    """All calls were paid; those finished at the kill once; those that the victim had in flight, two at a time, perhaps twice."""
    calls = [(id, number) for _, id, number in paid(folder)]
    assert set(calls) == {(id, number) for id in range(n) for number in range(4)}
    assert finished
    assert all(calls.count(call) == 1 for call in finished)
    again = [call for call in set(calls) if calls.count(call) > 1]
    assert len(calls) - len(set(calls)) == len(again) <= 2
    assert {pid for pid, *call in paid(folder) if call == [3, 2]} > {victim}  # its run went on elsewhere


@pytest.fixture
def app(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    path = os.pathsep.join([str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    return {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": path}, "text": True}


@pytest.fixture
def holder(app):
    """Where the held worker says that it is inside its run."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        app["env"]["HOLDER"] = str(server.getsockname()[1])
        yield server


@pytest.fixture
def short_folder():
    """Ray's sockets lie in it, and a socket's path may have some hundred characters."""
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        yield folder


@pytest.mark.slow
def test_a_killed_workers_runs_finish_on_another_and_nothing_finished_is_paid_again(
    app, holder, tmp_path, postgres_url
):
    url = f"{postgres_url}?lease_s=2"
    runs = [f"m.{id}" for id in range(8)]
    with contextlib.closing(open_journal(url)) as journal:
        journal.enqueue(
            "settle",
            {
                run: json.dumps({"order": {"id": id, "price": 1.5}}, separators=(",", ":"))
                for id, run in enumerate(runs)
            },
            {},
        )
        workers = [subprocess.Popen([sys.executable, "-c", WORKER, url], **app) for _ in range(2)]
        finished, victim = kill_the_held(holder, url, workers)
        assert sorted(worker.wait(180) for worker in workers) == [-signal.SIGKILL, 0]
        assert journal.statuses("") == {"done": 8}
        assert json.loads(journal.outcomes("")["m.7"].result) == {"id": 7, "price": 9.0}
    check_paid(tmp_path, finished, victim, 8)


@pytest.mark.slow
def test_a_map_on_ray_outlives_a_worker(app, holder, tmp_path, postgres_url, short_folder):
    pytest.importorskip("ray", reason="Ray is not here: the test on it skips; pip install 'stillhouse[scale]'")
    url = f"{postgres_url}?lease_s=4"
    home = short_folder
    environment = app["env"] | {"HOME": home, "RAY_USAGE_STATS_ENABLED": "0"}
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, url, home],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **app | {"env": environment},
    )
    try:
        finished, victim = kill_the_held(holder, url, [driver])
        out, err = driver.communicate(timeout=180)
    finally:
        driver.kill()
    assert json.loads(out.splitlines()[-1]) == [9.0] * 8, err  # Ray tells of a dead worker on stdout
    check_paid(tmp_path, finished, victim, 8)
    with contextlib.closing(open_journal(url)) as journal:
        assert sorted(row.run.rpartition(".")[2] for row, _ in journal.runs() if row.run != "m") == [
            str(id) for id in range(8)
        ]
        assert [(row.key[0], json.loads(row.output)[7]) for row in journal.steps("m")] == [
            ("flow.map", {"id": 7, "price": 9.0})
        ]


# Without workers of its own: what they do, in this process


@step
async def double(n: int) -> int:
    return 2 * n


ran: list[float] = []
closed = True


@flow
async def halve(n: float) -> float:
    ran.append(n)
    if n == 3 and closed:
        raise ConnectionError("the bank is closed")
    return n / 2


async def test_a_step_or_a_plain_function_is_a_run_too(postgres_url):
    with contextlib.closing(open_journal(postgres_url)) as journal:
        journal.enqueue("double", {f"m.{n}": f'{{"n":{n}}}' for n in range(3)}, {})
        journal.enqueue("halve", {"m-2.0": '{"n":1.0}'}, {})  # of another map
        await drain(Batch(Target.of(double), "m", postgres_url, 2, {}), 2)
        found = journal.outcomes(r"^m\.")
        assert [found[f"m.{n}"].result for n in range(3)] == ["0", "2", "4"]
        assert [(row.kind, row.output) for row in journal.steps("m.2")] == [("step", "4")]
        assert journal.run("m-2.0").status == "queued"


async def test_one_runs_failure_leaves_the_others_alone_and_is_not_tried_for_ever(postgres_url):
    with contextlib.closing(open_journal(postgres_url)) as journal:
        inputs = {f"m.{n}": f'{{"n":{n}.0}}' for n in range(3, 6)}
        journal.enqueue("halve", inputs | {"m.6": '{"n":"seven"}'}, {})
        await drain(Batch(Target.of(halve), "m", postgres_url, 2, {}), 2)
        found = journal.outcomes("")
        assert [found[f"m.{n}"].status for n in range(3, 7)] == ["failed", "done", "done", "failed"]
        assert found["m.3"].error == "ConnectionError: the bank is closed"
        assert "valid number" in found["m.6"].error
        assert journal.claim() is None


async def test_a_map_names_what_failed_and_the_same_id_runs_only_that_again(postgres_url, monkeypatch):
    async def here(ray, batch, n_runs):
        await drain(batch, batch.at_once)

    monkeypatch.setattr(cluster, "_ray", lambda: None)
    monkeypatch.setattr(cluster, "_workers", here)
    monkeypatch.setattr(sys.modules[__name__], "closed", True)
    ran.clear()
    with pytest.raises(
        StepError,
        match=r"1 of 4 runs are not done, first m\.3 with ConnectionError: the bank is closed; mend it .* run_id='m'",
    ):
        await flow.map(halve, range(4), cluster="ray", store=postgres_url, run_id="m")
    monkeypatch.setattr(sys.modules[__name__], "closed", False)
    assert await flow.map(halve, range(4), cluster="ray", store=postgres_url, run_id="m") == [0.0, 0.5, 1.0, 1.5]
    assert sorted(ran) == [0.0, 1.0, 2.0, 3.0, 3.0]
    assert await flow.map(halve, [], cluster="ray", store=postgres_url) == []
    with pytest.raises(UserError, match=r"the run m\.0 is there already"):
        await flow.map(halve, [7], cluster="ray", store=postgres_url, run_id="m")


@flow
async def twice(n: int) -> list[list[int]]:
    return [await flow.map(double, range(n), cluster="ray"), await flow.map(double, range(n), cluster="ray")]


async def test_a_map_in_a_run_is_a_part_of_it_and_equal_maps_are_told_apart(postgres_url, monkeypatch):
    async def here(ray, batch, n_runs):
        await drain(batch, batch.at_once)

    monkeypatch.setattr(cluster, "_ray", lambda: None)
    monkeypatch.setattr(cluster, "_workers", here)
    assert await twice.run("t", 2, store=postgres_url) == [[0, 2], [0, 2]]
    with contextlib.closing(open_journal(postgres_url)) as journal:
        assert len([row.run for row, _ in journal.runs() if row.run.startswith("t.")]) == 4
        assert [(row.key[0], row.output) for row in journal.steps("t")] == [("flow.map", "[0,2]")] * 2


async def test_what_cannot_go_to_a_cluster_is_one_sentence(postgres_url, monkeypatch):
    async def inner(n: int) -> int:
        return n

    with pytest.raises(UserError, match=r'stillhouse\.db is none; give store="postgresql://'):
        await flow.map(double, [1], cluster="ray")
    with pytest.raises(UserError, match=r"a worker cannot find .*inner by name"):
        await flow.map(inner, [1], cluster="ray", store=postgres_url)
    with pytest.raises(UserError, match="the model of double is an object of this process"):
        await flow.map(double, [1], cluster="ray", store=postgres_url, models={"double": object()})
    with pytest.raises(UserError, match="at_once=0 lets nothing run"):
        await flow.map(double, [1], at_once=0)
    with pytest.raises(UserError, match="cannot name a run"):
        await flow.map(double, [1], cluster="ray", store=postgres_url, run_id="a/b")
    with pytest.raises(UserError, match='are for cluster="ray"'):
        await flow.map(double, [1], store=postgres_url)
    with pytest.raises(UserError, match="finds neither the module no_such_module_here nor /no/such/file"):
        Target("no_such_module_here", "/no/such/file.py", "f", False).load()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stillhouse\[scale\]'"):
        await flow.map(double, [1], cluster="ray", store=postgres_url)


def test_a_function_is_found_by_its_name_and_a_script_by_its_file(tmp_path):
    assert Target.of(halve).load() is halve
    assert isinstance(Target.of(double).load(), Flow)
    (tmp_path / "a_script.py").write_text("async def work(n: int) -> int:\n    return n\n")
    found = Target("__main__", str(tmp_path / "a_script.py"), "work", False).load()
    assert Path(found.function.__code__.co_filename) == tmp_path / "a_script.py"
    assert found.name == "work"
