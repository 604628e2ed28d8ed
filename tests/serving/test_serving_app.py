"""The server as the real `openai` client sees it: answers, streams, probabilities, usage, errors, load and the way it stops."""

import asyncio
import hmac
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import openai
import pytest

import stillhouse
from stillhouse.errors import UserError
from stillhouse.llm.prompted import build_messages
from stillhouse.records import Example, Prediction
from stillhouse.serving import app
from stillhouse.serving.app import MOST_BYTES, make_app, serve
from stillhouse.serving.cascade import CascadePredictor
from stillhouse.task import Task

ASK = [{"role": "system", "content": "Is it good or bad?"}, {"role": "user", "content": "what a lovely day"}]


def client(url, **settings):
    return openai.AsyncOpenAI(base_url=url, api_key=settings.pop("key", "unused"), max_retries=0, **settings)


def user(text):
    return [{"role": "user", "content": text}]


# Answers


async def test_a_student_answers_the_openai_client(start, mood):
    async with start({"mood": mood}) as url, client(url) as ai:
        reply = await ai.chat.completions.create(
            model="mood", messages=ASK, temperature=0.0, max_tokens=512, stop=["\n\n"], user="u"
        )
        choice = reply.choices[0]
        assert (choice.message.role, choice.message.content, choice.finish_reason, choice.logprobs) == (
            "assistant",
            "good",
            "stop",
            None,
        )
        assert (reply.object, reply.model) == ("chat.completion", "mood") and reply.id.startswith("chatcmpl-")
        # 17 characters at four to a token, and a class is one token.
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (5, 1, 6)
        assert reply.stillhouse["usage_estimated"] is True and 0.5 < reply.stillhouse["confidence"] <= 1


async def test_the_synchronous_client_too(start, mood):
    def ask(url):
        with openai.OpenAI(base_url=url, api_key="unused") as ai:
            return ai.chat.completions.create(model="mood", messages=user("what a grim day")).choices[0].message.content

    async with start({"mood": mood}) as url:
        assert await asyncio.to_thread(ask, url) == "bad"


async def test_class_probabilities_are_the_log_probabilities_of_one_token(start, mood):
    (expected,) = await mood.predict([Example("1", "what a lovely day")])
    async with start({"mood": mood}) as url, client(url) as ai:
        reply = await ai.chat.completions.create(model="mood", messages=ASK, logprobs=True, top_logprobs=3)
        (token,) = reply.choices[0].logprobs.content
        assert (token.token, bytes(token.bytes)) == ("good", b"good")
        assert math.exp(token.logprob) == pytest.approx(expected.confidence)
        assert {top.token: math.exp(top.logprob) for top in token.top_logprobs} == pytest.approx(dict(expected.scores))
        assert token.top_logprobs[0].token == "good"
        plain = await ai.chat.completions.create(model="mood", messages=ASK, logprobs=True)
        assert plain.choices[0].logprobs.content[0].top_logprobs == []


async def test_a_stream_carries_the_same_answer_and_its_usage(start, mood):
    async with start({"mood": mood}) as url, client(url) as ai:
        stream = await ai.chat.completions.create(
            model="mood",
            messages=ASK,
            stream=True,
            stream_options={"include_usage": True},
            logprobs=True,
            top_logprobs=2,
        )
        chunks = [chunk async for chunk in stream]
        told = [chunk.choices[0] for chunk in chunks if chunk.choices]
        assert told[0].delta.role == "assistant"
        assert "".join(choice.delta.content or "" for choice in told) == "good"
        assert [choice.finish_reason for choice in told] == [None, None, "stop"]
        assert len({chunk.id for chunk in chunks}) == 1
        assert len([top for choice in told if choice.logprobs for top in choice.logprobs.content[0].top_logprobs]) == 2
        assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 6
        assert all(chunk.usage is None for chunk in chunks[:-1])
        async with ai.chat.completions.stream(model="mood", messages=ASK) as events:
            assert (await events.get_final_completion()).choices[0].message.content == "good"
        without = await ai.chat.completions.create(model="mood", messages=ASK, stream=True)
        assert all(chunk.usage is None and chunk.choices for chunk in [chunk async for chunk in without])


async def test_choices_come_from_the_body_or_from_the_prompt_the_app_already_sends(start, opposite):
    row = Example("1", "the opposite of up", choices=("cold", "down", "right"))
    async with start({"opposite": opposite}) as url, client(url) as ai:
        given = await ai.chat.completions.create(
            model="opposite", messages=user(row.text), extra_body={"choices": list(row.choices)}
        )
        prompt = list(build_messages(opposite.task, row))
        found = await ai.chat.completions.create(model="opposite", messages=prompt, logprobs=True, top_logprobs=20)
        assert given.choices[0].message.content == found.choices[0].message.content == "down"
        assert {top.token for top in found.choices[0].logprobs.content[0].top_logprobs} == set(row.choices)
        with pytest.raises(openai.BadRequestError, match="picks among each input's own choices"):
            await ai.chat.completions.create(model="opposite", messages=user("the opposite of up"))
        with pytest.raises(openai.BadRequestError, match="at least two different texts"):
            await ai.chat.completions.create(
                model="opposite", messages=user("the opposite of up"), extra_body={"choices": ["down", "down"]}
            )


async def test_decisions_give_each_choice_its_probability(start, mood, opposite):
    labels = [{"value": label} for label in ("bad", "good", "mixed")]
    async with start({"mood": mood, "opposite": opposite}) as url, client(url) as ai:
        (expected,) = await mood.predict([Example("1", "what a lovely day")])
        made = await ai.decisions.create(
            model="mood",
            input=[
                {"role": "developer", "content": "x"},
                {"role": "user", "content": [{"type": "input_text", "text": "what a lovely day"}]},
            ],
            questions=[{"type": "choice", "name": "mood", "instructions": "Is it good or bad?", "choices": labels}],
        )
        (answer,) = made.answers
        assert (made.model, answer.type, answer.name, answer.choice) == ("mood", "choice", "mood", "good")
        assert answer.confidence == pytest.approx(expected.confidence)
        assert [(each.value, each.probability) for each in answer.probabilities] == [
            (label["value"], expected.scores[label["value"]]) for label in labels
        ]
        assert (made.usage.input_tokens, made.usage.output_tokens, made.usage.total_tokens) == (5, 1, 6)
        asked_of = (("down", "cold"), ("small", "down", "right"))
        questions = [
            {"type": "choice", "instructions": "?", "choices": [{"value": value} for value in values]}
            for values in asked_of
        ]
        made = await ai.decisions.create(model="opposite", input="the opposite of up", questions=questions)
        assert [answer.choice for answer in made.answers] == ["down", "down"]
        for wrong, message in [
            ({"type": "predicate", "instructions": "it is good"}, "answers choice questions alone"),
            ({"type": "choice", "instructions": "?", "choices": labels[:2]}, "always answers one of good, bad, mixed"),
        ]:
            with pytest.raises(openai.BadRequestError, match=message):
                await ai.decisions.create(model="mood", input="x", questions=[wrong])


async def test_models_are_listed_and_shown(start, mood):
    async with start({"mood/linear": mood, "other": mood}) as url, client(url) as ai:
        assert [model.id async for model in ai.models.list()] == ["mood/linear", "other"]
        shown = await ai.models.retrieve("mood/linear")
        assert (shown.id, shown.object, shown.owned_by) == ("mood/linear", "model", "stillhouse")
        with pytest.raises(openai.NotFoundError):
            await ai.models.retrieve("none")


# From the app's prompt to the input


class Echo:
    """Says what it was asked, as JSON."""

    name = "echo"

    def __init__(self, output="text", labels=None, **facts):
        self.task = Task(name="echo", instruction="Say it.", output=output, labels=labels)
        self.labels = labels
        vars(self).update(facts)

    async def predict(self, inputs):
        return [Prediction(json.dumps({"input": row.input, "choices": row.choices})) for row in inputs]


async def asked(url, messages, **body):
    async with client(url) as ai:
        reply = await ai.chat.completions.create(model="echo", messages=messages, extra_body=body)
        return json.loads(reply.choices[0].message.content)


ROW = Example("1", {"premise": "A man\nhypothesis: eats", "hypothesis": "He sleeps\ntoday"})


@pytest.mark.parametrize(
    ("echo", "content", "expected"),
    [
        (Echo(), "how are you?", ("how are you?", None)),
        (Echo(), [{"type": "text", "text": "how "}, {"type": "text", "text": "are you?"}], ("how are you?", None)),
        (Echo(), '{"a": 1}', ({"a": 1}, None)),
        (Echo(input_fields=()), '{"a": 1}', ('{"a": 1}', None)),
        (Echo(input_fields=("b", "a")), '{"a": 1, "b": "2"}', ({"b": "2", "a": 1}, None)),
        (Echo(input_fields=("a", "b")), "a: one\nb: two\nlines", ({"a": "one", "b": "two\nlines"}, None)),
        (Echo("choice"), "which?\n\nChoices:\n- one\n- two", ("which?", ["one", "two"])),
        (
            Echo("choice"),
            "which?\n\nChoices:\n- x\n\nChoices:\n- one\n- two",
            ("which?\n\nChoices:\n- x", ["one", "two"]),
        ),
        (Echo("choice", ("a", "b")), "which?\n\nChoices:\n- b\n- a", ("which?", ["b", "a"])),
        (Echo("choice", ("a", "b")), "which?\n\nChoices:\n- c\n- d", ("which?\n\nChoices:\n- c\n- d", None)),
        (Echo("text"), "which?\n\nChoices:\n- one\n- two", ("which?\n\nChoices:\n- one\n- two", None)),
    ],
)
async def test_the_last_user_message_becomes_the_input(start, echo, content, expected):
    before = [
        {"role": "developer", "content": "Say it."},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "first"},
    ]
    async with start({"echo": echo}) as url:
        found = await asked(url, [*before, {"role": "user", "content": content}])
        assert (found["input"], found["choices"]) == expected


async def test_the_prompt_of_a_row_with_fields_is_read_back(start):
    echo = Echo(input_fields=("premise", "hypothesis"))
    row = Example("1", {"premise": "A man: eats\nsoup", "hypothesis": "He sleeps"})
    async with start({"echo": echo}) as url:
        assert (await asked(url, list(build_messages(echo.task, row))))["input"] == row.input
        for wrong in ("He sleeps", '{"premise": "A man"}', '{"premise": "a", "hypothesis": "b", "more": "c"}'):
            with pytest.raises(openai.BadRequestError, match="reads the fields premise, hypothesis"):
                await asked(url, user(wrong))


# Errors


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ({"model": "gpt-9"}, openai.NotFoundError, "'gpt-9' is not served here; served are mood"),
        ({"messages": []}, openai.BadRequestError, "messages is empty"),
        ({"messages": user("  ")}, openai.BadRequestError, "the last message is empty"),
        (
            {"messages": [*user("hi"), {"role": "assistant", "content": "so"}]},
            openai.BadRequestError,
            "must be the user's",
        ),
        ({"messages": "hi"}, openai.BadRequestError, "messages is wrong"),
        ({"messages": [{"role": "wizard", "content": "hi"}]}, openai.BadRequestError, "messages.0.role is wrong"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            openai.BadRequestError,
            "type image_url",
        ),
        ({"temperature": "hot"}, openai.BadRequestError, "temperature is wrong"),
        ({"n": 2}, openai.BadRequestError, "n is not supported"),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            openai.BadRequestError,
            "tools is not supported",
        ),
        ({"logit_bias": {"1": 100}}, openai.BadRequestError, "logit_bias is not supported"),
        ({"response_format": {"type": "json_object"}}, openai.BadRequestError, "response_format json_object"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {}}},
            openai.BadRequestError,
            "schema would not be enforced",
        ),
        ({"top_logprobs": 2}, openai.BadRequestError, "needs logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, openai.BadRequestError, "top_logprobs is wrong"),
        ({"max_tokens": 0}, openai.BadRequestError, "max_tokens is wrong"),
        ({"stream_options": {"include_usage": True}}, openai.BadRequestError, "needs stream"),
        ({"best_of": 3}, openai.BadRequestError, "best_of is not known"),
        ({"choices": ["good", "great"]}, openai.BadRequestError, "always answers one of good, bad, mixed"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_with_a_sentence(start, mood, body, error, message):
    async with start({"mood": mood}) as url, client(url) as ai:
        with pytest.raises(error, match=message) as caught:
            await ai.post("/chat/completions", body={"model": "mood", "messages": ASK, **body}, cast_to=object)
        assert caught.value.type == "invalid_request_error" and "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("data", "content_type", "status", "message"),
    [
        (b"{", "application/json", 400, "not valid JSON"),
        (b"\xff", "application/json", 400, "not valid JSON"),
        (b"[" * 100_000, "application/json", 400, "nested too deeply"),
        (b"[]", "application/json", 400, "must be a JSON object"),
        (b"{}", "application/json", 400, "model is missing"),
        (
            b'{"model": "mood", "messages": [{"role": "user", "content": "\\ud800"}]}',
            "application/json",
            400,
            "surrogate",
        ),
        (b'{"\\ud800": 1}', "application/json", 400, "the body is wrong"),
        (b"{}", "text/plain", 415, "application/json"),
        (b" " * (MOST_BYTES + 1), "application/json", 413, "send a shorter input"),
    ],
)
async def test_bodies_that_are_none_are_errors_in_the_same_shape(start, mood, data, content_type, status, message):
    async with start({"mood": mood}) as url, aiohttp.ClientSession(headers={"Content-Type": content_type}) as session:
        response = await session.post(f"{url}/chat/completions", data=data)
        assert response.status == status
        assert message in (await response.json())["error"]["message"]


async def test_other_paths_and_methods_are_errors_in_the_same_shape(start, mood):
    async with start({"mood": mood}) as url, aiohttp.ClientSession() as session:
        for method, path, status in (("GET", "/chat/completions", 405), ("POST", "/embeddings", 404)):
            async with session.request(method, url + path, json={}) as response:
                assert response.status == status
                assert "POST /v1/chat/completions" in (await response.json())["error"]["message"]


class Broken:
    """A model that gives no answer to "none" and breaks at "bug"."""

    name = "broken"

    async def predict(self, inputs):
        if inputs[0].input == "bug":
            raise ZeroDivisionError("secret")
        return [Prediction(None, error="the answer did not end within 8 tokens")]


async def test_no_answer_is_an_error_and_a_bug_keeps_its_words_in_the_log(start, caplog):
    async with start({"broken": Broken()}) as url, client(url) as ai:
        with pytest.raises(openai.UnprocessableEntityError, match="did not end within 8 tokens"):
            await ai.chat.completions.create(model="broken", messages=user("none"))
        with pytest.raises(openai.InternalServerError) as caught:
            await ai.chat.completions.create(model="broken", messages=user("bug"))
        assert "secret" not in str(caught.value) and "secret" in caplog.text


# Cascades and generative students


class Teacher:
    name = "teacher"

    async def predict(self, inputs):
        return [
            Prediction(None, error="timed out")
            if "fail" in row.text
            else Prediction("mixed", cost_usd=0.002, latency_s=0.1)
            for row in inputs
        ]


async def test_a_cascade_says_who_answered_and_a_failed_teacher_is_a_bad_gateway(start, mood, tmp_path):
    audit = tmp_path / "audit.jsonl"
    (sure,) = await mood.predict([Example("1", "what a lovely day")])
    cascade = CascadePredictor(mood, Teacher(), sure.confidence, name="mood/cascade", audit=audit, audit_share=1.0)
    async with start({"mood": cascade}) as url, client(url) as ai:
        kept = await ai.chat.completions.create(model="mood", messages=ASK, logprobs=True)
        asked = await ai.chat.completions.create(model="mood", messages=user("?"), logprobs=True)
        assert (kept.choices[0].message.content, kept.stillhouse["source"], kept.stillhouse["cost_usd"]) == (
            "good",
            "student",
            0.0,
        )
        assert (asked.choices[0].message.content, asked.stillhouse["source"], asked.stillhouse["cost_usd"]) == (
            "mixed",
            "teacher",
            0.002,
        )
        assert kept.choices[0].logprobs is not None and asked.choices[0].logprobs is None
        with pytest.raises(openai.InternalServerError, match="timed out") as caught:
            await ai.chat.completions.create(model="mood", messages=user("fail"))
        assert caught.value.status_code == 502
        with pytest.raises(openai.BadRequestError, match="no probabilities"):
            await ai.decisions.create(
                model="mood",
                input="x",
                questions=[{"type": "choice", "instructions": "?", "choices": [{"value": "good"}]}],
            )
    (row,) = [json.loads(line) for line in audit.read_text().splitlines()]
    assert (row["id"], row["student"], row["teacher"]) == (kept.id, "good", "mixed")


class Written:
    """One answer, as a generative student gives it."""

    def __init__(self, tokens, ended=True):
        self.tokens, self.ended = tokens, ended
        self.text = " ".join("".join(tokens).split())
        self.token_logprobs = [-0.1 * at for at, _ in enumerate(tokens)]
        self.confidence, self.n_input = 0.9, 7


class Writes(Echo):
    """A student that writes; its tokens are decoded without their spaces now and then, as some tokenizers do."""

    family, size_bytes = "generative", 0

    async def generate(self, inputs):
        return [Written(["SELECT", " ", "name", "\n", "FROM", " users"], ended=row.input != "long") for row in inputs]

    def count_tokens(self, text):
        return len(text.split())


async def test_a_generative_student_shows_its_tokens(start):
    async with start({"sql": Writes()}) as url, client(url) as ai:
        reply = await ai.chat.completions.create(model="sql", messages=user("who?"), logprobs=True, top_logprobs=1)
        choice = reply.choices[0]
        assert (choice.message.content, choice.finish_reason) == ("SELECT name FROM users", "stop")
        assert [token.token for token in choice.logprobs.content] == ["SELECT", " ", "name", "\n", "FROM", " users"]
        assert choice.logprobs.content[2].top_logprobs[0].logprob == pytest.approx(-0.2)
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.stillhouse["usage_estimated"]) == (
            7,
            7,
            False,
        )
        short = await ai.chat.completions.create(
            model="sql", messages=user("who?"), logprobs=True, max_completion_tokens=3
        )
        assert (short.choices[0].message.content, short.choices[0].finish_reason) == ("SELECT name", "length")
        assert len(short.choices[0].logprobs.content) == 3
        stopped = await ai.chat.completions.create(model="sql", messages=user("who?"), logprobs=True, stop=" FROM")
        assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == ("SELECT name", "stop")
        assert (await ai.chat.completions.create(model="sql", messages=user("long"))).choices[
            0
        ].finish_reason == "length"


async def test_a_generative_answer_outside_the_choices_is_no_answer(start):
    async with start({"which": Writes("choice", ("a", "b"))}) as url, client(url) as ai:
        with pytest.raises(openai.UnprocessableEntityError, match="none of the choices"):
            await ai.chat.completions.create(model="which", messages=user("who?"))


# Load, keys and the end


async def test_many_at_once_get_their_own_answers(start, mood):
    words = ["lovely", "grim"] * 50
    async with start({"mood": mood}) as url, client(url) as ai:
        replies = await asyncio.gather(
            *(ai.chat.completions.create(model="mood", messages=user(f"what a {word} day")) for word in words)
        )
        assert [reply.choices[0].message.content for reply in replies] == ["good", "bad"] * 50


class Slow:
    name = "slow"

    def __init__(self):
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def predict(self, inputs):
        self.begun.set()
        await self.go_on.wait()
        return [Prediction("done") for _ in inputs]


async def test_more_than_can_wait_are_told_to_come_again():
    slow = Slow()
    runner = aiohttp.web.AppRunner(make_app({"slow": slow}, most_waiting=1))
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    async with client(f"http://127.0.0.1:{runner.addresses[0][1]}/v1") as ai:
        first = asyncio.ensure_future(ai.chat.completions.create(model="slow", messages=user("x")))
        await slow.begun.wait()
        with pytest.raises(openai.RateLimitError, match="more requests than it can answer") as caught:
            await ai.chat.completions.create(model="slow", messages=user("y"))
        assert caught.value.response.headers["retry-after"] == "1"
        slow.go_on.set()
        assert (await first).choices[0].message.content == "done"
    await runner.cleanup()


async def test_with_a_key_every_call_but_health_needs_it(start, mood):
    async with start({"mood": mood}, key="långt-hemligt") as url, aiohttp.ClientSession() as session:
        near = [
            {"Authorization": f"Bearer {key}"} for key in ("", "l", "långt-hemlig", "långt-hemligt2", "Långt-hemligt")
        ]
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic långt-hemligt"}, *near):
            async with session.get(f"{url}/models", headers=headers) as response:
                assert response.status == 401 and response.headers["WWW-Authenticate"] == "Bearer"
        async with session.get(url.replace("/v1", "/health")) as response:
            assert await response.json() == {"status": "ok"}
    async with start({"mood": mood}, key="a-long-secret") as url, client(url, key="a-long-secret") as ai:
        assert (await ai.chat.completions.create(model="mood", messages=ASK)).choices[0].message.content == "good"
    async with start({"mood": mood}, key="a-long-secret") as url, client(url, key="wrong") as ai:
        with pytest.raises(openai.AuthenticationError, match="API key is missing or wrong"):
            await ai.models.list()


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("a-long-secret", 200),
        ("", 401),
        ("a", 401),
        ("a-long-secre", 401),  # a prefix of the key
        ("-long-secret", 401),
        ("a-long-secret2", 401),
        ("a-long-secreT", 401),
        ("a-long-secret a-long-secret", 401),
    ],
)
async def test_only_the_whole_key_opens_the_server(start, mood, token, status):
    bearer = {"Authorization": f"Bearer {token}"}
    async with start({"mood": mood}, key="a-long-secret") as url, aiohttp.ClientSession(headers=bearer) as session:
        async with session.get(f"{url}/models") as response:
            assert response.status == status
        async with session.post(f"{url}/chat/completions", json={"model": "mood", "messages": ASK}) as response:
            assert response.status == status


async def test_the_key_is_compared_in_a_time_that_tells_nothing_of_it(start, mood, monkeypatch):
    compared = []

    def compare(a, b):
        compared.append({a, b})
        return hmac.compare_digest(a, b)

    monkeypatch.setattr(app, "hmac", SimpleNamespace(compare_digest=compare))
    wrong = {"Authorization": "Bearer a-long-guess1"}
    async with (
        start({"mood": mood}, key="a-long-secret") as url,
        aiohttp.ClientSession(headers=wrong) as session,
        session.get(f"{url}/models") as response,
    ):
        assert response.status == 401
    assert compared == [{b"a-long-guess1", b"a-long-secret"}]


async def test_without_a_key_other_names_of_this_machine_are_not_served(start, mood):
    async with start({"mood": mood}) as url, aiohttp.ClientSession() as session:
        for host, status in (("evil.example", 403), ("localhost:1", 200), ("[::1]:1", 200)):
            async with session.get(f"{url}/models", headers={"Host": host}) as response:
                assert response.status == status


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com", ""])
async def test_an_address_open_to_others_demands_a_key(mood, host):
    with pytest.raises(UserError, match="set STILLHOUSE_SERVE_KEY"):
        await serve({"mood": mood}, host=host, port=0, on_ready=lambda url: pytest.fail(f"it serves at {url}"))


async def test_an_empty_key_is_no_key_and_no_model_is_no_server(mood):
    with pytest.raises(UserError, match="STILLHOUSE_SERVE_KEY"):
        await serve({"mood": mood}, port=0, key=" ")
    with pytest.raises(UserError, match="no model"):
        await serve({}, port=0)


async def test_a_port_in_use_is_a_sentence(start, mood):
    async with start({"mood": mood}) as url:
        with pytest.raises(UserError, match="choose another --port"):
            await serve({"mood": mood}, port=int(url.split(":")[2].split("/")[0]))
    with pytest.raises(UserError, match="choose another --port"):
        await serve({"mood": mood}, port=99999)


async def test_sigterm_finishes_the_requests_under_way_and_then_returns():
    slow, ready = Slow(), asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve({"slow": slow}, port=0, on_ready=ready.set_result))
    async with client(await ready) as ai:
        reply = asyncio.ensure_future(ai.chat.completions.create(model="slow", messages=user("x")))
        await slow.begun.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(ConnectionError):
            while True:  # until new connections are refused
                _, writer = await asyncio.open_connection("127.0.0.1", ai.base_url.port)
                writer.close()
        assert not server.done() and not reply.done()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # a second one does not wait
        slow.go_on.set()
        assert (await reply).choices[0].message.content == "done"
    await server


SCRIPT = """
import asyncio, sys
from stillhouse.serving.app import serve
from stillhouse.student import load_student
asyncio.run(serve({"mood": load_student(sys.argv[1])}, port=0, on_ready=lambda url: print(url, flush=True)))
print("stopped", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_process_answers_and_stops_when_told(mood_folder, number):
    environment = {**os.environ, "PYTHONPATH": str(Path(stillhouse.__file__).parent.parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(mood_folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        url = process.stdout.readline().strip()
        with openai.OpenAI(base_url=url, api_key="unused") as ai:
            assert ai.chat.completions.create(model="mood", messages=ASK).choices[0].message.content == "good"
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "stopped\n", "")
