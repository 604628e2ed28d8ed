"""Two commands on one store at the same time: no call is paid for twice, and each says what it paid itself."""

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from mood_task import MOOD
from stillhouse.commands.distill import distill
from stillhouse.commands.label import label
from stillhouse.errors import BudgetError, TeacherError, UserError
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.request import Completion, Request
from stillhouse.notices import told_to
from stillhouse.records import Usage
from stillhouse.session import Session
from stillhouse.store import open_store
from stillhouse.store.claims import Silence, batch_of

PRICES = "\n[teacher]\nprice_in = 1.0\nprice_out = 2.0\nconcurrency = {}\n"
CALL_USD = (20 * 1 + 2 * 2) / 1e6
PAID = Completion("good", finish_reason="stop", usage=Usage(10, 5), latency_s=0.1)


@pytest.fixture(autouse=True)
def bounded():
    """A command that waits for a claim for ever fails its test."""

    def give_up(*_):
        raise AssertionError("a command waited for more than 60 s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def project(folder, n, concurrency=16, more=""):
    (folder / "task.toml").write_text(MOOD + more + PRICES.format(concurrency))
    rows = [{"id": f"r{i}", "input": f"day {i} was {('good', 'awful')[i % 2]}"} for i in range(n)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


async def until(true):
    for _ in range(6000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    return str(tmp_path / "s.db") if request.param == "sqlite" else request.getfixturevalue("postgres_url")


def sitting(model, **options):
    return Session(teacher=model, **options)


@pytest.mark.slow
async def test_two_labels_at_once_pay_for_each_row_once(endpoint, tmp_path, url):
    project(tmp_path, 400)
    ticks = ([], [])
    done = await asyncio.gather(
        *(
            label(tmp_path, sitting(endpoint.url("slow"), store=url, on_progress=seen.append), out=tmp_path / name)
            for name, seen in zip(("a.jsonl", "b.jsonl"), ticks, strict=True)
        )
    )
    assert sorted(endpoint.calls().values()) == [1] * 400
    reports = [one.report for one in done]
    assert [report.labelled for report in reports] == [400, 400]
    assert (tmp_path / "a.jsonl").read_text().count("\n") == (tmp_path / "b.jsonl").read_text().count("\n") == 400
    paid = [400 - report.from_store for report in reports]
    assert sum(paid) == 400 and min(paid) > 0  # they shared the work
    for n, report, seen in zip(paid, reports, ticks, strict=True):
        assert report.n_live == n
        assert report.cost_usd == pytest.approx(n * CALL_USD)
        assert (seen[-1].done, seen[-1].cost_usd) == (400, pytest.approx(n * CALL_USD))


class Agrees:
    def __init__(self):
        self.quotes = []

    def before(self, quote):
        pass

    def after(self, quote):
        self.quotes.append(quote)


async def test_what_another_command_paid_for_in_the_pilot_is_not_counted_as_paid_here(endpoint, tmp_path):
    """Both draw the same twenty rows."""
    project(tmp_path, 60)
    agree = (Agrees(), Agrees())
    done = await asyncio.gather(
        *(
            label(tmp_path, sitting(endpoint.url("slow"), consent=consent), out=tmp_path / name)
            for name, consent in zip(("a.jsonl", "b.jsonl"), agree, strict=True)
        )
    )
    assert sorted(endpoint.calls().values()) == [1] * 60
    paid = [60 - one.report.from_store for one in done]
    assert sum(paid) == 60
    assert [one.report.cost_usd for one in done] == [pytest.approx(n * CALL_USD) for n in paid]
    assert sum(consent.quotes[0].paid_usd for consent in agree) == pytest.approx(20 * CALL_USD)
    assert sum(consent.quotes[0].from_store for consent in agree) == 20


@pytest.mark.slow
async def test_label_beside_distill_pays_for_each_request_once(endpoint, tmp_path, url):
    project(tmp_path, 240, more='test = "test.jsonl"\nvalidation = "validation.jsonl"\n')
    for name, first in (("test", 1000), ("validation", 2000)):
        rows = [
            {
                "id": f"{name}{i}",
                "input": f"day {first + i} was {('good', 'awful')[i % 2]}",
                "label": ("good", "bad")[i % 2],
            }
            for i in range(60)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with (tmp_path / "task.toml").open("a") as task:
        task.write('\n[student]\nladder = ["linear"]\n')
    teacher = sitting(endpoint.url("slow"), store=url)
    await asyncio.gather(
        label(tmp_path, teacher, out=tmp_path / "a.jsonl"),
        asyncio.to_thread(distill, tmp_path, teacher, runs=tmp_path / "runs"),
    )
    with open_store(url) as store:
        assert endpoint.calls().total() == store.count() == 360


@pytest.mark.slow
async def test_a_command_that_is_killed_leaves_its_calls_to_the_other_at_once(endpoint, tmp_path):
    project(tmp_path, 200, concurrency=4)
    command = [sys.executable, "-m", "stillhouse", "label", str(tmp_path), "--out", str(tmp_path / "a.jsonl")]
    command += ["--teacher", endpoint.url("slow"), "--unpriced"]
    first = await asyncio.to_thread(subprocess.Popen, command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await until(lambda: endpoint.calls().total() >= 20)
        first.send_signal(signal.SIGSTOP)  # in the middle of its calls; it is then killed with its claims in the store
        second = asyncio.create_task(label(tmp_path, sitting(endpoint.url("slow")), out=tmp_path / "b.jsonl"))
        await until(lambda: endpoint.calls().total() >= 60)
        assert not second.done()
        first.send_signal(signal.SIGKILL)
        first.wait()
        report = (await second).report
    finally:
        first.kill()
        first.wait()
    assert report.labelled == 200
    again = [text for text, n in endpoint.calls().items() if n > 1]
    assert endpoint.calls().total() <= 200 + 4 and len(again) <= 4  # what was in flight in the killed one


# One model behind one store, in two commands


@dataclass
class Command:
    """A command's model. Its calls begin, and end when the test says so."""

    store: object
    begun: list = field(default_factory=list)
    reply: asyncio.Future = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def __post_init__(self):
        async def call(request, example):
            self.begun.append(request.messages[-1]["content"])
            return await asyncio.shield(self.reply)

        self.ledger = Ledger()
        self.model = MeteredModel("m", call, self.store, self.ledger, price_in=1.0, price_out=2.0)

    def ask(self, text):
        return asyncio.create_task(self.model.complete(Request("m", ({"role": "user", "content": text},))))


@pytest.fixture
async def two(url):
    with open_store(url) as one, open_store(url) as other:
        yield Command(one), Command(other)


async def test_who_waits_gets_the_answer_from_the_store_and_pays_nothing(two):
    first, second = two
    paying = first.ask("x")
    await until(lambda: first.begun)
    waiting = second.ask("x")
    other_row = second.ask("y")
    await until(lambda: second.begun)  # "x" holds up no other row
    assert second.begun == ["y"]
    first.reply.set_result(PAID)
    second.reply.set_result(PAID)
    paid, found, _ = await asyncio.gather(paying, waiting, other_row)
    assert (paid.text, paid.from_store, found.text, found.from_store) == ("good", False, "good", True)
    assert second.begun == ["y"]
    assert first.ledger.spent_usd == second.ledger.spent_usd == pytest.approx(20e-6)
    assert (first.model.n_live, second.model.n_live) == (1, 1)


CLAIMS_AND_STAYS = """
import asyncio, sys, time
from stillhouse.store import open_store
store = open_store(sys.argv[1])
async def main():
    print(await store.claim(sys.argv[2]), flush=True)
asyncio.run(main())
time.sleep(600)
"""


@pytest.mark.slow
async def test_calls_of_a_paused_command_are_made_after_half_a_minute_and_it_is_said(url):
    request, ahead, said = Request("m", ({"role": "user", "content": "x"},)), [0.0], []
    command = [sys.executable, "-c", CLAIMS_AND_STAYS, url, request.hash]
    paused = await asyncio.to_thread(subprocess.Popen, command, stdout=subprocess.PIPE, text=True)
    try:
        assert paused.stdout.readline() == "ours\n"
        paused.send_signal(signal.SIGSTOP)
        with open_store(url) as store, told_to(said.append):
            store._claims.silence = Silence(lambda: ahead[0])
            second = Command(store)
            second.reply.set_result(PAID)
            waiting = second.ask("x")
            await until(lambda: said)
            ahead[0] = 29.9
            await asyncio.sleep(0.1)
            assert not waiting.done()
            ahead[0] = 30.1
            assert (await waiting).from_store is False
    finally:
        paused.kill()
        paused.communicate()
    assert said == [
        f"waiting for 1 call that another command (process {paused.pid}) is making",
        f"another command (process {paused.pid}) was not heard of for 30 s, so its calls are made here; "
        "if it is only paused, end it (kill -9), for it may pay for them too",
    ]


@pytest.mark.parametrize("end", ["failed", "raised", "stopped"])
async def test_a_call_that_failed_is_free_for_whoever_waits(two, end):
    first, second = two
    paying = first.ask("x")
    await until(lambda: first.begun)
    waiting = second.ask("x")
    second.reply.set_result(PAID)
    await asyncio.sleep(0.05)
    assert second.begun == []
    if end == "failed":
        first.reply.set_result(Completion(None, error="endpoint failed: status 500"))
    elif end == "raised":
        first.reply.set_exception(UserError("no"))
    else:
        paying.cancel()
    await asyncio.wait([paying])
    found = await waiting
    assert (found.text, found.from_store, second.begun) == ("good", False, ["x"])


async def test_a_cap_that_is_reached_gives_the_claim_up(url):
    with open_store(url) as one, open_store(url) as other:
        first, second = Command(one), Command(other)
        first.ledger.max_usd = 0.0
        with pytest.raises(BudgetError, match="raise --max-usd"):
            await first.ask("x")
        second.reply.set_result(PAID)
        assert (await second.ask("x")).from_store is False


async def test_two_that_ask_in_opposite_orders_never_wait_for_one_another(two):
    """Each has claimed what the other asks next."""
    first, second = two
    for command in two:
        command.reply.set_result(PAID)
    texts = [str(n) for n in range(60)]

    async def one_by_one(command, texts):
        return [await command.ask(text) for text in texts]

    found = await asyncio.gather(one_by_one(first, texts), one_by_one(second, texts[::-1]))
    assert sorted(first.begun + second.begun) == sorted(texts)
    assert sum(not completion.from_store for part in found for completion in part) == 60


async def test_who_waits_holds_up_no_other_row(endpoint, tmp_path):
    """All rows that the first worker could take are claimed by another command, and more than it may have at once."""
    project(tmp_path, 60, concurrency=2)
    teacher = sitting(endpoint.url())
    seen = []
    with open_store(tmp_path / "stillhouse.db") as other:
        probe = project(tmp_path / "probe", 10, concurrency=2) if (tmp_path / "probe").mkdir() is None else None
        await label(probe, teacher)
        with closing(sqlite3.connect(probe / "stillhouse.db")) as store:
            hashes = [hash_ for (hash_,) in store.execute("SELECT request_hash FROM completions")]
        assert await asyncio.gather(*(other.claim(hash_) for hash_ in hashes)) == ["ours"] * 10
        labelling = asyncio.create_task(
            label(tmp_path, sitting(endpoint.url(), on_progress=lambda tick: seen.append(tick.done)))
        )
        await until(lambda: seen and seen[-1] == 50)
        assert not labelling.done()
        for hash_ in hashes:
            other.release(hash_)
        assert (await labelling).report.labelled == 60


async def test_who_answers_from_the_store_alone_waits_for_nobody_and_claims_nothing(url):
    async def call(request, example):
        raise TeacherError("no stored answer")

    request = Request("m", ({"role": "user", "content": "x"},))
    with open_store(url) as paying, open_store(url) as offline:
        assert await paying.claim(request.hash) == "ours"
        model = MeteredModel("m", call, offline, Ledger(), sends=False)
        with pytest.raises(TeacherError):
            await model.complete(request)
        assert [row.request_hash for row in paying.claimed([request.hash])] == [request.hash]


async def test_a_call_of_a_batch_that_nobody_fetches_is_not_paid_for_again(url, tmp_path):
    listed = tmp_path / ".teacher.jsonl.batches.json"
    listed.write_text("[]")
    request = Request("m", ({"role": "user", "content": "x"},))
    with open_store(url) as sender:
        await sender.claim(request.hash, batch=batch_of(listed))
    with open_store(url) as store:
        command = Command(store)
        command.reply.set_result(PAID)
        with pytest.raises(UserError, match=f"fetch it with --batch .* or remove {listed}"):
            await command.ask("x")
        listed.unlink()
        assert (await command.ask("x")).text == "good"
