"""Batches against a local fake of each provider's API: half the price, and only what is missing is ever sent again."""

import asyncio
import json
import threading
from collections import Counter

import pytest

from fake_batches import Fake, serving
from mood_task import MOOD
from stillhouse.commands.label import label
from stillhouse.errors import BudgetError, TeacherError, UserError
from stillhouse.llm import batch, models
from stillhouse.llm.batch_anthropic import read_message
from stillhouse.llm.batch_http import BatchHttp
from stillhouse.records import Usage
from stillhouse.session import Session
from stillhouse.stopping import stopping
from stillhouse.teacher.terms import accept_terms

TASK = (
    MOOD
    + """
[teacher]
model = "{model}"
price_in = 1.0
price_out = 2.0
"""
)
HALF = (20 * 1 + 2 * 2) / 1e6 / 2  # US$, of a call
KEY = "sk-planted-0123456789"


@pytest.fixture(params=["openai", "anthropic"])
def provider(request, monkeypatch):
    monkeypatch.setenv("STILLHOUSE_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    return request.param


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    real = asyncio.sleep

    async def at_once(seconds):
        await real(0)

    monkeypatch.setitem(batch.Batches.__init__.__kwdefaults__, "sleep", at_once)
    monkeypatch.setattr(BatchHttp.__init__, "__defaults__", (at_once,))


def project(folder, address, provider, monkeypatch, n=12):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", address)
    (folder / "task.toml").write_text(
        TASK.format(model="anthropic:claude-test" if provider == "anthropic" else f"{address}/v1#m")
    )
    rows = [{"id": f"r{i}", "input": f"day {i} was {('good', 'awful')[i % 2]}"} for i in range(n)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def labelled(folder):
    return [json.loads(line) for line in (folder / "teacher.jsonl").read_text().splitlines()]


def left_over(folder):
    return sorted(path.name for path in folder.glob(".*batches*"))


async def test_a_batch_labels_all_rows_at_half_the_price(provider, tmp_path, monkeypatch):
    fake = Fake(polls=2)
    async with serving(fake) as address:
        report = (await label(project(tmp_path, address, provider, monkeypatch), batch=True)).report
    assert (report.labelled, report.from_store, report.cost_usd) == (12, 0, pytest.approx(12 * HALF))
    assert [row["teacher_label"] for row in labelled(tmp_path)] == ["good", "bad"] * 6
    assert "50% in a batch" in report.price_snapshot and report.batched == 12
    assert len(fake.batches) == 1
    assert fake.headers == [("Bearer " + KEY) if provider == "openai" else (KEY, "2023-06-01")]
    assert left_over(tmp_path) == []


async def test_a_batch_is_in_flight_while_it_is_made(provider, tmp_path, monkeypatch):
    """Who is told to stop then waits for its id, and the next command fetches it."""
    fake = Fake()
    fake.hold = threading.Event()
    async with serving(fake) as address:
        labelling = asyncio.create_task(label(project(tmp_path, address, provider, monkeypatch), batch=True))
        await asyncio.to_thread(fake.held.wait, 30)
        assert [call.sends_batch for call in stopping.in_flight] == [True]
        fake.hold.set()
        assert (await labelling).report.labelled == 12
    assert not stopping.in_flight


async def test_what_is_in_the_store_is_in_no_batch(provider, tmp_path, monkeypatch):
    fake = Fake()
    async with serving(fake) as address:
        await label(project(tmp_path, address, provider, monkeypatch, 5), batch=True)
        report = (await label(project(tmp_path, address, provider, monkeypatch, 9), batch=True)).report
        assert (report.labelled, report.from_store) == (9, 5)
        await label(tmp_path, batch=True)
    assert len(fake.asked) == 9
    assert len(fake.batches) == 2


async def test_partial_failures_and_expiry_are_sent_again_alone(provider, tmp_path, monkeypatch):
    fake = Fake(["ok", "expired", "500", "garbage", "lost", "other", "ok", "error"])
    async with serving(fake) as address:
        report = (await label(project(tmp_path, address, provider, monkeypatch), batch=True)).report
    times = Counter(fake.asked)
    again = [hash_ for hash_, n in times.items() if n == 2]
    assert again == fake.asked[1:6]
    assert set(times.values()) == {1, 2}
    assert report.labelled == 11
    [reason] = report.rejected
    assert "context length" in reason or "too long" in reason
    assert report.cost_usd == pytest.approx(11 * HALF)


@pytest.mark.parametrize("fate", ["page", "null", "blank", "{}"])
async def test_a_page_or_nothing_with_status_200_is_sent_again_as_a_500_is(fate, provider, tmp_path, monkeypatch):
    fake = Fake(["ok", fate])
    async with serving(fake) as address:
        report = (await label(project(tmp_path, address, provider, monkeypatch, 3), batch=True)).report
    assert (report.labelled, report.rejected) == (3, {})
    assert Counter(fake.asked)[fake.asked[1]] == 2


@pytest.mark.parametrize("page", ["<html>502 Bad Gateway</html>", "", "\n", "{}x\n"])
async def test_a_page_in_the_place_of_the_results_is_fetched_again_and_nothing_is_sent_twice(
    page, provider, tmp_path, monkeypatch
):
    fake = Fake()
    fake.pages = [page, page]
    async with serving(fake) as address:
        report = (await label(project(tmp_path, address, provider, monkeypatch, 3), batch=True)).report
        assert (report.labelled, len(fake.asked)) == (3, 3)
    assert fake.pages == []


async def test_results_that_stay_away_are_one_sentence_and_fetched_by_the_next_run(provider, tmp_path, monkeypatch):
    fake = Fake()
    fake.pages = ["<html>502</html>"] * 6
    async with serving(fake) as address:
        with pytest.raises(TeacherError, match=r"the results cannot be had \(a page, and no results"):
            await label(project(tmp_path, address, provider, monkeypatch, 3), batch=True)
        report = (await label(tmp_path, batch=True)).report
    assert (report.labelled, len(fake.asked)) == (3, 3)


async def test_what_expires_again_and_again_is_a_rejection(provider, tmp_path, monkeypatch):
    fake = Fake(["expired"] * 9)
    async with serving(fake) as address:
        report = (await label(project(tmp_path, address, provider, monkeypatch, 3), batch=True)).report
    assert report.rejected == {"unanswered in 3 batches": 3}
    assert len(fake.batches) == 3


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["before_send", "after_send", "polling", "storing"])
async def test_a_crashed_poller_goes_on_and_nothing_is_sent_twice(provider, tmp_path, monkeypatch, moment):
    fake = Fake(["expired"], polls=2)
    async with serving(fake) as address:
        project(tmp_path, address, provider, monkeypatch)
        with monkeypatch.context() as crash:

            async def dies(*_):
                raise Killed

            if moment == "before_send":
                crash.setattr(batch.Batches, "_taken", dies)
            elif moment == "after_send":
                real = batch.Batches._taken

                async def sent_and_dies(self, *given):
                    await real(self, *given)
                    raise Killed

                crash.setattr(batch.Batches, "_taken", sent_and_dies)
            elif moment == "polling":
                crash.setitem(batch.Batches.__init__.__kwdefaults__, "sleep", dies)
            else:
                crash.setattr(batch.Batches, "_pay", dies)
            with pytest.raises((Killed, BaseExceptionGroup)):
                await label(tmp_path, batch=True)
        with pytest.raises(UserError, match="12 rows are under way in batches; fetch them with --batch"):
            await label(tmp_path)
        report = (await label(tmp_path, batch=True)).report
    assert report.labelled == 12
    assert Counter(fake.asked).most_common(2)[0][1] == 2  # the one that expired
    assert len(fake.asked) == 13
    assert left_over(tmp_path) == []


async def test_a_clock_that_is_set_back_after_a_crash_hides_no_batch(provider, tmp_path, monkeypatch):
    fake = Fake()
    async with serving(fake) as address:
        project(tmp_path, address, provider, monkeypatch)
        real = batch.Batches._taken

        async def sent_and_dies(self, *given):
            await real(self, *given)
            raise Killed

        with monkeypatch.context() as crash:
            crash.setattr(batch.Batches, "_taken", sent_and_dies)
            with pytest.raises((Killed, BaseExceptionGroup)):
                await label(tmp_path, batch=True)
        listed = tmp_path / ".teacher.jsonl.batches.json"
        [sent] = json.loads(listed.read_text())
        listed.write_text(json.dumps([sent | {"since": sent["since"] + 86_400}]))  # the clock was a day ahead then
        assert (await label(tmp_path, batch=True)).report.labelled == 12
    assert len(fake.asked) == 12


async def test_a_connection_that_breaks_while_a_batch_is_made_makes_no_second_one(provider, tmp_path, monkeypatch):
    fake = Fake()
    fake.fail_next = "drop"
    async with serving(fake) as address:
        report = (await label(project(tmp_path, address, provider, monkeypatch), batch=True)).report
    assert (report.labelled, len(fake.batches), len(fake.asked)) == (12, 1, 12)


async def test_an_endpoint_that_is_busy_gets_the_batch_again(provider, tmp_path, monkeypatch):
    fake = Fake()
    fake.fail_next = 503
    async with serving(fake) as address:
        assert (await label(project(tmp_path, address, provider, monkeypatch), batch=True)).report.labelled == 12
    assert len(fake.asked) == 12


async def test_a_batch_that_is_refused_as_a_whole_is_one_sentence(tmp_path, monkeypatch):
    fake = Fake()
    fake.invalid = "the model m does not exist"
    async with serving(fake) as address:
        with pytest.raises(TeacherError, match=r"was refused .the model m does not exist"):
            await label(project(tmp_path, address, "openai", monkeypatch), batch=True)
        assert left_over(tmp_path) == []
        assert (await label(tmp_path, batch=True)).report.labelled == 12


@pytest.mark.slow
async def test_the_cap_bounds_what_a_batch_may_cost_and_the_rest_follows(provider, tmp_path, monkeypatch):
    fake = Fake()
    async with serving(fake) as address:
        project(tmp_path, address, provider, monkeypatch, 40)
        with pytest.raises(BudgetError, match="pass the cap"):
            await label(
                tmp_path, Session(settings={"max_usd": 0.0008}), batch=True
            )  # a call may cost some 0.0006, and costs 0.000012
        sent = len(fake.asked)
        assert 0 < sent * HALF <= 0.0008
        assert sent < 40
        report = (await label(tmp_path, Session(settings={"max_usd": 5.0}), batch=True)).report
    assert report.labelled == 40
    assert len(fake.asked) == 40


async def test_batches_of_another_teacher_are_not_mixed_up(tmp_path, monkeypatch):
    fake = Fake(polls=1)
    async with serving(fake) as address:
        project(tmp_path, address, "openai", monkeypatch)
        (tmp_path / ".teacher.jsonl.batches.json").write_text(
            json.dumps([{"mark": "m", "model": "openai:other", "n": 3, "since": 0.0, "id": "b"}])
        )
        with pytest.raises(UserError, match="batches of openai:other are under way"):
            await label(tmp_path, batch=True)


async def test_teachers_without_a_batch_api_are_refused(tmp_path, monkeypatch):
    project(tmp_path, "http://127.0.0.1:9", "openai", monkeypatch)
    with pytest.raises(UserError, match="--batch is for endpoints"):
        await label(tmp_path, Session(teacher="scripted:json:dumps"), batch=True)
    (tmp_path / "a.jsonl").write_text('{"id": "r1", "teacher_label": "good"}\n')
    with pytest.raises(UserError, match="--batch is for endpoints"):
        await label(tmp_path, Session(teacher="recorded:a.jsonl"), batch=True)


class Agrees:
    def __init__(self):
        self.quotes = []

    def before(self, quote):
        pass

    def after(self, quote):
        self.quotes.append(quote)


async def test_the_estimate_of_a_batch_is_the_pilot_and_half_the_price_for_the_rest(endpoint, tmp_path, monkeypatch):
    fake, agrees = Fake(), Agrees()
    async with serving(fake) as address:
        project(tmp_path, endpoint.url(), "openai", monkeypatch, 60)
        (tmp_path / "task.toml").write_text(TASK.format(model=endpoint.url()))
        monkeypatch.setattr("stillhouse.llm.models.endpoint", _at(address, models.endpoint))
        report = (await label(tmp_path, Session(consent=agrees), batch=True)).report
    [quote] = agrees.quotes
    assert quote.cost_usd.value == pytest.approx(20 * 2 * HALF + 40 * HALF)
    assert report.cost_usd == pytest.approx(quote.cost_usd.value)
    assert (report.from_store, len(fake.asked), endpoint.calls().total()) == (0, 40, 20)


async def test_what_the_endpoint_refuses_in_the_pilot_is_in_no_batch(endpoint, tmp_path, monkeypatch):
    fake = Fake()
    async with serving(fake) as address:
        project(tmp_path, endpoint.url(), "openai", monkeypatch, 60)
        (tmp_path / "task.toml").write_text(TASK.format(model=endpoint.url("plain-only")) + "soft_targets = true\n")
        monkeypatch.setattr("stillhouse.llm.models.endpoint", _at(address, models.endpoint))
        report = (await label(tmp_path, Session(consent=Agrees()), batch=True)).report
    assert (report.labelled, report.batched, report.lacking) == (60, 40, {"logprobs": 60, "temperature": 60})
    [bodies] = sent_bodies(fake, "openai")
    assert len(bodies) == 40 and not any({"logprobs", "top_logprobs", "temperature"} & body.keys() for body in bodies)


async def test_calls_at_the_full_price_are_counted_and_said(endpoint, tmp_path, monkeypatch):
    fake = Fake()
    async with serving(fake) as address:
        project(tmp_path, endpoint.url(), "openai", monkeypatch, 60)
        (tmp_path / "task.toml").write_text(TASK.format(model=endpoint.url()))
        monkeypatch.setattr("stillhouse.llm.models.endpoint", _at(address, models.endpoint))
        report = (await label(tmp_path, Session(consent=Agrees()), batch=True)).report
    assert (report.batched, report.n_live) == (40, 20)
    assert report.live_usd == pytest.approx(20 * 2 * HALF)
    assert report.cost_usd == pytest.approx(report.live_usd + 40 * HALF)


async def test_what_the_protocol_has_no_form_for_is_refused_before_the_pilot_is_paid(endpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    project(tmp_path, endpoint.url().partition("/v1")[0], "anthropic", monkeypatch, 60)
    (tmp_path / "task.toml").write_text(TASK.format(model="anthropic:ok") + "soft_targets = true\n")
    accept_terms("anthropic:ok", tmp_path)
    with pytest.raises(UserError, match="logprobs, top_logprobs cannot be sent in a batch of messages"):
        await label(tmp_path, Session(consent=Agrees()), batch=True)
    assert endpoint.calls().total() == 0


async def test_a_model_that_refuses_any_temperature_is_sent_none(provider, tmp_path, monkeypatch):
    fake = Fake()
    async with serving(fake) as address:
        folder = project(tmp_path, address, provider, monkeypatch, 3)
        (folder / "task.toml").write_text((folder / "task.toml").read_text() + 'temperature = "default"\n')
        assert (await label(folder, batch=True)).report.labelled == 3
    [batch_] = fake.batches.values()
    bodies = [row["body" if provider == "openai" else "params"] for row, _ in batch_["fates"]]
    assert all("temperature" not in body for body in bodies)


def sent_bodies(fake, provider):
    return [
        [row["body" if provider == "openai" else "params"] for row, _ in made["fates"]]
        for made in fake.batches.values()
    ]


async def test_a_temperature_that_the_model_refuses_in_a_batch_is_left_out_of_the_next_and_the_rows_say_so(
    provider, tmp_path, monkeypatch
):
    fake = Fake(refuses="temperature")
    async with serving(fake) as address:
        report = (await label(project(tmp_path, address, provider, monkeypatch), batch=True)).report
    assert (report.labelled, report.lacking, report.cost_usd) == (12, {"temperature": 12}, pytest.approx(12 * HALF))
    assert {row["provenance"]["parameters"]["without"][0] for row in labelled(tmp_path)} == {"temperature"}
    first, second = sent_bodies(fake, provider)
    assert all("temperature" in body for body in first) and not any("temperature" in body for body in second)


async def test_what_was_left_out_of_a_batch_is_known_to_the_process_that_fetches_it(provider, tmp_path, monkeypatch):
    fake = Fake(refuses="temperature")
    async with serving(fake) as address:
        project(tmp_path, address, provider, monkeypatch)
        with monkeypatch.context() as crash:
            real = batch.Batches._taken

            async def dies_with_the_second(self, *given):
                taken = await real(self, *given)
                if len(fake.batches) == 2:
                    raise Killed
                return taken

            crash.setattr(batch.Batches, "_taken", dies_with_the_second)
            with pytest.raises((Killed, BaseExceptionGroup)):
                await label(tmp_path, batch=True)
        report = (await label(tmp_path, batch=True)).report
    assert (report.labelled, report.lacking, len(fake.batches)) == (12, {"temperature": 12}, 2)


async def test_tokens_under_their_newer_name_in_a_batch(tmp_path, monkeypatch):
    fake = Fake(refuses="max_tokens")
    async with serving(fake) as address:
        report = (await label(project(tmp_path, address, "openai", monkeypatch), batch=True)).report
    assert (report.labelled, report.lacking) == (12, {})
    assert {body["max_completion_tokens"] for body in sent_bodies(fake, "openai")[1]} == {512}


def test_tokens_written_into_the_providers_cache_keep_their_own_price():
    usage = {"input_tokens": 10, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 4, "output_tokens": 2}
    message = {"content": [{"type": "text", "text": "good"}], "stop_reason": "end_turn", "usage": usage}
    assert read_message(message).usage == Usage(17, 2, 3, written_input_tokens=4)


# Two commands on one store


async def until(true):
    for _ in range(6000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


async def test_two_commands_that_batch_send_each_row_once(provider, tmp_path, monkeypatch):
    """Each has rows of its own, and rows that the other has, too."""
    fake = Fake(["expired", "500"], polls=3)
    async with serving(fake) as address:
        project(tmp_path, address, provider, monkeypatch, 30)
        rows = (tmp_path / "rows.jsonl").read_text().splitlines(keepends=True)
        for name, own in (("a", rows[:20]), ("b", rows[10:])):
            (tmp_path / f"{name}.jsonl").write_text("".join(own))
        one, other = await asyncio.gather(
            *(
                label(tmp_path, batch=True, data=tmp_path / f"{name}.jsonl", out=tmp_path / f"{name}.out.jsonl")
                for name in ("a", "b")
            )
        )
    assert (one.report.labelled, other.report.labelled) == (20, 20)
    assert sorted(Counter(fake.asked).values()) == [1] * 28 + [2] * 2
    assert one.report.cost_usd + other.report.cost_usd == pytest.approx(30 * HALF)
    assert one.report.from_store + other.report.from_store == 10
    assert left_over(tmp_path) == []


def _apart(address, real):
    """As `_at`, for a command that batches; whoever asks after it gets the chat endpoint."""
    asked = []

    def endpoint(name):
        asked.append(name)
        return real(name) if len(asked) != 2 else (f"{address}/v1", "m", None)

    return endpoint


async def test_label_beside_a_batch_waits_for_it_and_pays_for_the_other_rows(endpoint, tmp_path, monkeypatch):
    fake = Fake(polls=1_000_000)
    async with serving(fake) as address:
        project(tmp_path, endpoint.url(), "openai", monkeypatch, 12)
        (tmp_path / "task.toml").write_text(TASK.format(model=endpoint.url()))
        monkeypatch.setattr("stillhouse.llm.models.endpoint", _apart(address, models.endpoint))
        first_rows = (tmp_path / "rows.jsonl").read_text().splitlines(keepends=True)[:8]
        (tmp_path / "first.jsonl").write_text("".join(first_rows))
        batching = asyncio.create_task(
            label(tmp_path, batch=True, data=tmp_path / "first.jsonl", out=tmp_path / "a.jsonl")
        )
        await until(lambda: len(fake.batches) == 1)
        labelling = asyncio.create_task(label(tmp_path, out=tmp_path / "b.jsonl"))
        await until(lambda: endpoint.calls().total() == 4)
        assert not labelling.done()
        fake.batches["batch_1"]["polls"] = 0
        batched, labelled_one_by_one = await asyncio.gather(batching, labelling)
    assert (batched.report.labelled, labelled_one_by_one.report.labelled) == (8, 12)
    assert (endpoint.calls().total(), len(fake.asked)) == (4, 8)
    assert labelled_one_by_one.report.cost_usd == pytest.approx(4 * 2 * HALF)
    assert (labelled_one_by_one.report.from_store, batched.report.from_store) == (8, 0)


async def test_rows_in_a_batch_that_nobody_fetches_are_not_paid_for_again(provider, tmp_path, monkeypatch):
    fake = Fake(polls=2)
    async with serving(fake) as address:
        project(tmp_path, address, provider, monkeypatch)
        with monkeypatch.context() as crash:

            async def dies(*_):
                raise Killed

            crash.setitem(batch.Batches.__init__.__kwdefaults__, "sleep", dies)
            with pytest.raises(Killed):
                await label(tmp_path, batch=True)
        for by_batch in (True, False):
            with pytest.raises(UserError, match=r"remove .*/\.teacher\.jsonl\.batches\.json to pay for it again"):
                await label(tmp_path, out=tmp_path / "b.jsonl", batch=by_batch)
        assert (await label(tmp_path, batch=True)).report.labelled == 12
        assert (await label(tmp_path, out=tmp_path / "b.jsonl", batch=True)).report.from_store == 12
    assert len(fake.asked) == 12


def _at(address, real):
    """The chat endpoint at first, and the batches' address when it is asked for again."""
    asked = []

    def endpoint(name):
        asked.append(name)
        return real(name) if len(asked) == 1 else (f"{address}/v1", "m", None)

    return endpoint
