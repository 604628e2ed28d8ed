"""Work is bounded by what it costs: rows, characters, choices and objects, and a small request is answered beside a big one."""

import asyncio
import json
import threading
import tracemalloc
from dataclasses import replace

import aiohttp
import pytest

from stillhouse.records import Example, Prediction
from stillhouse.serving import app, bounds, inputs, wire
from stillhouse.serving.batching import Batcher
from stillhouse.serving.errors import ApiError
from stillhouse.serving.inputs import _lines
from stillhouse.serving.lanes import Lane, OverloadedError
from stillhouse.serving.wire import parse_chat
from stillhouse.student.ngrams import pair_features, pairs_of_row, partners_in
from stillhouse.task import Task

LABELS = [{"value": label} for label in ("good", "bad", "mixed")]


async def post(url, path, body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession() as session, session.post(url + path, data=data, headers=headers) as response:
        return response.status, await response.json()


class Counts:
    """A student that keeps the rows it is asked."""

    name, family, size_bytes, input_fields = "counts", "linear", 0, ()

    def __init__(self, labels=("good", "bad", "mixed")):
        self.labels, self.asked = labels, []
        self.task = Task(name="counts", instruction="Which?", output="choice", labels=labels)

    async def predict(self, inputs):
        self.asked += inputs
        labels = self.labels
        scores = [{label: 1.0 / len(labels or row.choices) for label in labels or row.choices} for row in inputs]
        return [Prediction(next(iter(own)), confidence=0.5, scores=own) for own in scores]


async def test_equal_questions_are_computed_once(start):
    counts, rows = Counts(), Counts(labels=None)
    question = {"type": "choice", "choices": LABELS}
    async with start({"counts": counts, "rows": rows}) as url:
        questions = [question, {"type": "choice", "choices": LABELS[::-1]}] * 200
        status, body = await post(url, "/decisions", {"model": "counts", "input": "x" * 90_000, "questions": questions})
        assert (status, len(body["answers"]), len(counts.asked)) == (200, 400, 1)
        other = {"type": "choice", "choices": LABELS[:2]}
        await post(url, "/decisions", {"model": "rows", "input": "x", "questions": [question, other, question]})
        assert [len(row.choices) for row in rows.asked] == [3, 2]


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (
            "/decisions",
            {"input": "x" * 950_000, "questions": [{"type": "choice", "choices": LABELS}] * 400},
            "reads at most 100,000",
        ),
        (
            "/decisions",
            {
                "input": "x" * 90_000,
                "questions": [{"type": "choice", "choices": [{"value": "a"}, {"value": str(i)}]} for i in range(400)],
            },
            "different questions over this input",
        ),
        (
            "/decisions",
            {
                "input": "x",
                "questions": [
                    {"type": "choice", "choices": [{"value": f"{i} {j}"} for j in range(255)]} for i in range(20)
                ],
            },
            "once per choice: 4,335 times",
        ),
        ("/chat/completions", {"messages": [{"role": "user", "content": "a " * 450_000}]}, "reads at most"),
        ("/chat/completions", {"messages": [{"role": "user", "content": '{"a": [' + "a" * 900_000}]}, "characters"),
        ("/chat/completions", {"messages": [{"role": "user", "content": "x"}] * 5000}, "than the 2,048 that are taken"),
        (
            "/chat/completions",
            {"messages": [{"role": "user", "content": "x"}], "choices": [f"{i}" for i in range(1000)]},
            "than the 255 that are taken",
        ),
        (
            "/chat/completions",
            {"messages": [{"role": "user", "content": "x"}], "choices": ["a" * 20_000, "b"]},
            "shorten them",
        ),
        (
            "/chat/completions",
            {"messages": [{"role": "user", "content": "x\n\nChoices:\n" + "\n".join(f"- {i}" for i in range(900))}]},
            "give fewer",
        ),
        (
            "/chat/completions",
            {"messages": [{"role": "user", "content": "x" * 90_000}], "choices": [str(i) for i in range(20)]},
            "once per choice",
        ),
    ],
)
async def test_a_request_that_costs_too_much_is_refused_before_any_work(start, path, body, message):
    counts = Counts(labels=None)
    async with start({"counts": counts}) as url:
        status, reply = await post(url, path, {"model": "counts", **body})
        assert status == 413 and message in reply["error"]["message"]
        assert counts.asked == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "counts", "messages": [' + b"{}," * 300_000 + b"{}]}",
        b"{" + b",".join(b'"p%d":1' % i for i in range(80_000)) + b"}",
        b'{"stop": [' + b"1," * 400_000 + b"1]}",
    ],
)
async def test_many_values_are_refused_before_they_become_objects(start, monkeypatch, body):
    monkeypatch.setattr(app, "_json", lambda raw: pytest.fail("it was taken apart"))
    async with start({"counts": Counts()}) as url:
        status, reply = await post(url, "/chat/completions", body)
        assert status == 413 and "brackets, colons and commas" in reply["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/decisions",
            {"input": "x" * 3_850_000, "questions": [{"type": "choice", "choices": LABELS}] * 400},
        ),
        ("/chat/completions", {"messages": [{"role": "user", "content": "a " * 1_900_000}]}),
        ("/chat/completions", {"messages": [{}] * 1_000_000}),
    ],
)
async def test_more_bytes_than_a_student_can_use_are_refused_unread(start, monkeypatch, path, body):
    monkeypatch.setattr(app, "check_parts", lambda *_: pytest.fail("it was read"))
    async with start({"counts": Counts()}) as url:
        status, reply = await post(url, path, {"model": "counts", **body})
        assert status == 413 and "over 1,048,576 bytes; send a shorter input" in reply["error"]["message"]


async def test_a_prompted_model_reads_longer_bodies_than_a_student(start):
    class Prompted:
        name = "prompted"

        async def predict(self, inputs):
            return [Prediction(str(len(row.text))) for row in inputs]

    async with start({"prompted": Prompted()}) as url:
        body = {"model": "prompted", "messages": [{"role": "user", "content": "x" * 3_000_000}]}
        status, reply = await post(url, "/chat/completions", body)
        assert (status, reply["choices"][0]["message"]["content"]) == (200, "3000000")


async def test_no_more_large_bodies_are_held_than_fit_and_small_ones_pass(start, monkeypatch):
    monkeypatch.setattr(app, "LARGE_AT_ONCE", 1)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow():
        yield b'{"model": "counts", "messages": [{"role": "assistant", "content": "' + b"x" * 300_000
        begun.set()
        await go_on.wait()
        yield b'"}, {"role": "user", "content": "x"}]}'

    async def in_pieces():  # a small body of unknown length
        yield json.dumps(small).encode()

    small = {"model": "counts", "messages": [{"role": "user", "content": "x"}]}
    large = {"model": "counts", "messages": [{"role": "system", "content": "x" * 300_000}, *small["messages"]]}
    headers = {"Content-Type": "application/json"}
    async with start({"counts": Counts()}) as url, aiohttp.ClientSession(headers=headers) as session:
        held = asyncio.ensure_future(session.post(url + "/chat/completions", data=slow()))
        await begun.wait()
        for _ in range(20):  # until the server has read the first piece
            await asyncio.sleep(0.01)
        assert (await post(url, "/chat/completions", large))[0] == 429
        assert (await post(url, "/chat/completions", small))[0] == 200
        async with session.post(url + "/chat/completions", data=in_pieces()) as response:
            assert response.status == 200
        assert not held.done()
        go_on.set()
        assert (await held).status == 200
        assert (await post(url, "/chat/completions", large))[0] == 200


@pytest.mark.parametrize("rest", [b"5\r\nhello\r\n", b"ZZ\r\n", b"5\r\nhelloXX"])
async def test_a_body_that_breaks_off_is_no_failure_of_the_server(start, caplog, rest):
    """The second and third are no chunks; of the first the client goes away."""
    async with start({"counts": Counts()}) as url:
        port = int(url.rsplit(":", 1)[1].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        writer.write(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(rest)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        assert b" 500 " not in answer
        body = {"model": "counts", "messages": [{"role": "user", "content": "x"}]}
        assert (await post(url, "/chat/completions", body))[0] == 200
    assert "Traceback" not in caplog.text and "broke" not in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [{"messages": [{}] * 2000}, {"messages": [{"role": "user", "content": [{}] * 2000}]}, {"stop": [1] * 2000}],
)
def test_the_first_thing_that_is_wrong_ends_the_check(wrong, monkeypatch):
    collected = []
    errors = wire.ValidationError

    def validate(raw):
        try:
            return real(raw)
        except errors as error:
            collected.append(error.error_count())
            raise

    real = wire.ChatBody.model_validate
    monkeypatch.setattr(wire.ChatBody, "model_validate", validate)
    with pytest.raises(ApiError):
        parse_chat({"model": "m", "messages": [{"role": "user", "content": "x"}], **wrong})
    assert collected[0] <= 4  # a union tells of each of its kinds


def test_a_million_unknown_parameters_are_one_error():
    with pytest.raises(ApiError, match="p0 is not known"):
        parse_chat({f"p{i}": 1 for i in range(1000)})


async def test_a_large_body_is_taken_apart_off_the_event_loop(start, monkeypatch):
    threads, real = [], app._json
    monkeypatch.setattr(app, "_json", lambda raw: (threads.append(threading.current_thread()), real(raw))[1])
    async with start({"counts": Counts()}) as url:
        before = [{"role": "assistant", "content": "x" * 300_000}]
        for history in ([], before):
            body = {"model": "counts", "messages": [*history, {"role": "user", "content": "x"}]}
            assert (await post(url, "/chat/completions", body))[0] == 200
    assert threads[0] is threading.main_thread() and threads[1] is not threading.main_thread()


async def test_a_short_row_is_answered_while_a_long_one_is_in_work():
    go_on, begun = asyncio.Event(), asyncio.Event()

    async def predict(inputs):
        if len(inputs[0].text) > 10_000:
            begun.set()
            await go_on.wait()
        return [len(row.text) for row in inputs]

    batcher = Batcher(predict)
    long = asyncio.ensure_future(batcher.ask(Example("long", "x" * 50_000)))
    await begun.wait()
    # Behind the long row it would wait for ever: the bound makes that a failure.
    assert await asyncio.wait_for(batcher.ask(Example("short", "x")), 20) == 1
    assert not long.done()
    go_on.set()
    assert await long == 50_000


async def test_a_short_row_passes_the_many_rows_of_another_request():
    go_on, begun, together = asyncio.Event(), asyncio.Event(), []

    class Slow(Counts):
        async def predict(self, inputs):
            if inputs[0].id.startswith("many"):
                together.append(len(inputs))
                begun.set()
                await go_on.wait()
            return await super().predict(inputs)

    lane = Lane("slow", Slow(labels=None), most_waiting=900, most_per_batch=32, wait_s=0)
    rows = [Example(f"many-{i}", "x" * 20, choices=("a", str(i))) for i in range(400)]
    many = asyncio.ensure_future(lane.answer_all(rows))
    await begun.wait()
    short = await asyncio.wait_for(lane.answer(Example("short", "x", choices=("a", "b"))), 20)
    assert short.text == "a" and together == [32] and not many.done()
    go_on.set()
    assert len(await many) == 400


async def test_a_row_that_is_read_once_per_choice_is_as_long_as_that():
    go_on, begun = asyncio.Event(), asyncio.Event()

    class Slow(Counts):
        async def predict(self, inputs):
            if inputs[0].id == "many":
                begun.set()
                await go_on.wait()
            return await super().predict(inputs)

    lane = Lane("slow", Slow(labels=None), most_waiting=9, most_per_batch=32, wait_s=0)
    many = asyncio.ensure_future(lane.answer(Example("many", "x" * 50, choices=tuple(map(str, range(200))))))
    await begun.wait()
    short = await asyncio.wait_for(lane.answer(Example("short", "x", choices=("a", "b"))), 20)
    assert short.text == "a" and not many.done()
    go_on.set()
    await many


async def test_long_work_of_many_models_takes_no_thread_from_another(start):
    go_on = threading.Event()

    class InThread(Counts):
        def __init__(self, waits):
            super().__init__()
            self.waits = waits

        async def predict(self, inputs):
            await asyncio.to_thread(go_on.wait if self.waits else int)
            return await super().predict(inputs)

    models = {f"long-{i}": InThread(True) for i in range(40)} | {"short": InThread(False)}
    async with start(models) as url:
        body = {"messages": [{"role": "user", "content": "x"}]}
        long = [asyncio.ensure_future(post(url, "/chat/completions", body | {"model": f"long-{i}"})) for i in range(40)]
        try:
            await asyncio.sleep(0.3)  # until all of them are in work
            short = await asyncio.wait_for(post(url, "/chat/completions", body | {"model": "short"}), 20)
            assert short[0] == 200 and not any(one.done() for one in long)
        finally:
            go_on.set()
        assert {status for status, _ in await asyncio.gather(*long)} == {200}


@pytest.mark.parametrize("is_cut", [True, False])
async def test_an_answer_to_an_input_that_was_cut_says_so(start, is_cut):
    class Cuts(Counts):
        async def predict(self, inputs):
            return [replace(one, is_input_cut=is_cut) for one in await super().predict(inputs)]

    chat = {"model": "cuts", "messages": [{"role": "user", "content": "x"}]}
    asked = {"model": "cuts", "input": "x", "questions": [{"type": "choice", "choices": LABELS}]}
    async with start({"cuts": Cuts()}) as url, aiohttp.ClientSession() as session:
        for path, body in (
            ("/chat/completions", chat),
            ("/chat/completions", chat | {"stream": True}),
            ("/decisions", asked),
        ):
            async with session.post(url + path, json=body) as response:
                assert response.headers.get("Stillhouse-Input-Cut") == ("true" if is_cut else None)
                if body is chat:
                    assert (await response.json())["stillhouse"]["input_cut"] is is_cut


async def test_a_batch_holds_no_more_characters_than_its_most():
    calls = []

    async def predict(inputs):
        calls.append([len(row.text) for row in inputs])
        return calls[-1]

    batcher = Batcher(predict, most_characters=10)
    await asyncio.gather(*(batcher.ask(Example(str(i), "x" * n)) for i, n in enumerate((4, 4, 4, 20, 1))))
    assert calls == [[4, 4], [4], [20], [1]]


async def test_questions_that_do_not_all_fit_are_refused_together():
    counts = Counts(labels=None)
    lane = Lane("counts", counts, most_waiting=2, most_per_batch=32, wait_s=0)
    rows = [Example(str(i), "x", choices=("a", str(i))) for i in range(3)]
    with pytest.raises(OverloadedError):
        await lane.answer_all(rows)
    assert counts.asked == []


async def test_where_one_question_fails_the_others_are_given_up():
    gone = []

    class Fails:
        name = "fails"

        async def predict(self, inputs):
            if inputs[0].text == "bad":
                raise ValueError("bad")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                gone.append(inputs[0].text)
                raise

    lane = Lane("fails", Fails(), most_waiting=9, most_per_batch=32, wait_s=0)
    with pytest.raises(ValueError, match="bad"):
        await lane.answer_all([Example("1", "slow"), Example("2", "bad")])
    await asyncio.sleep(0)
    assert gone == ["slow"]


async def test_more_characters_than_a_model_can_hold_are_too_many_requests(monkeypatch):
    monkeypatch.setattr("stillhouse.serving.lanes.MOST_CHARACTERS_WAITING", 10)
    lane = Lane("counts", Counts(), most_waiting=9, most_per_batch=32, wait_s=0)
    first = asyncio.ensure_future(lane.answer(Example("1", "x" * 20)))  # alone, any row is taken
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await lane.answer(Example("2", "x"))
    assert (await first).text == "good"


def test_fields_are_read_in_one_pass_as_the_pattern_read_them():
    names = ("a", "b", "c", "d")
    assert _lines("a: 1\nb: 2\nb: 3\nc: \nd: x\nd: y", names) == {"a": "1", "b": "2\nb: 3", "c": "", "d": "x\nd: y"}
    for wrong in ("", "b: 1", " a: 1\nb: 2\nc: 3\nd: 4", "a: 1\nc: 2\nb: 3\nd: 4", "a: 1b: 2\nc: 3\nd: 4"):
        assert _lines(wrong, names) is None

    class Text(str):
        """Counts how often it is searched."""

        searched = 0

        def find(self, *args):
            Text.searched += 1
            return super().find(*args)

    hostile = Text("a: " + "\nb: " * 400 + "\nc: " * 400)  # 3.2 kB, on which a pattern backtracks for ten seconds
    assert _lines(hostile, names) is None
    assert Text.searched == 4


def test_pairs_that_were_never_learned_are_not_made():
    learned = ["ac co", "x hot cold", "x up cold", "x up down"]
    partners = partners_in(learned)
    (cold, down) = pairs_of_row(("it is Hot",), ("cold", "down"), partners)
    assert [feature for feature in cold + down if feature.startswith("x ")] == ["x hot cold"]
    assert set(cold) & set(learned) == set(pair_features(("it is Hot",), "cold")) & set(learned)
    text, choice = " ".join(f"w{i}" for i in range(2000)), " ".join(f"v{i}" for i in range(2000))
    tracemalloc.start()
    pairs_of_row((text,), (choice,), partners)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20  # all pairs are four million texts


async def test_a_student_of_pairs_answers_with_the_numbers_of_all_pairs(opposite):
    row = Example("1", "the opposite of up", choices=("cold", "down", "right"))
    (answer,) = await opposite.predict([row])
    opposite._partners, kept = None, opposite._partners
    try:
        (of_all_pairs,) = await opposite.predict([row])
    finally:
        opposite._partners = kept
    assert answer.scores == of_all_pairs.scores


async def test_a_deep_answer_or_input_is_no_server_error(start):
    deep = "[" * 50_000 + "]" * 50_000

    class Deep:
        name = "deep"
        task = Task(name="deep", instruction="Say it.", output="json")

        async def predict(self, inputs):
            return [Prediction(deep)]

    body = {"model": "deep", "messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_object"}}
    async with start({"deep": Deep()}) as url:
        status, reply = await post(url, "/chat/completions", body)
        assert status == 422 and "not valid JSON" in reply["error"]["message"]


def test_what_one_model_may_hold_is_more_than_one_request():
    assert bounds.MOST_CHARACTERS < bounds.MOST_CHARACTERS_ASKED < bounds.MOST_CHARACTERS_WAITING


@pytest.mark.parametrize("number", ["9" * 41, "-" + "9" * 4300, "0." + "1" * 40, "1" * 5000 + "e5", "1e" + "0" * 50])
@pytest.mark.parametrize("body", ['{{"n": [{}]}}', '{{"model": "counts", "seed": {}}}', "{}"])
def test_a_number_of_very_many_digits_is_refused_before_it_is_made(number, body):
    with pytest.raises(ApiError, match="at most 40 are read") as caught:
        app._json(bytearray(body.format(number).encode()))
    assert caught.value.status == 400


def test_digits_in_texts_are_no_number():
    assert app._json(bytearray(b'{"a": "' + b"9" * 5000 + b'", "b": [1, -2.5e3, ' + b"9" * 40 + b"]}")) == {
        "a": "9" * 5000,
        "b": [1, -2500.0, 10**40 - 1],
    }


def test_digits_in_an_input_that_is_json_are_left_as_text():
    """Of rows with fields alone an input is read as JSON; a number that is never made costs nothing."""
    assert inputs._object('{"a": ' + "9" * 41 + "}") is None and inputs._object('{"a": 9}') == {"a": 9}
