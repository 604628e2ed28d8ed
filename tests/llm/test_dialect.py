"""Models that take fewer parameters, or under other names: what they refuse is sent no more, and what was left out is said."""

import asyncio
import json

import pytest

from mood_task import MOOD
from stillhouse.commands.label import label
from stillhouse.llm.client import ChatClient
from stillhouse.llm.dialect import ModelDialect, refused_parameter
from stillhouse.llm.limits import Limiter
from stillhouse.llm.request import Request

ASKED = {"temperature": 0.0, "max_tokens": 5}


def request(text="a good day", parameters=ASKED):
    return Request("m", ({"role": "user", "content": text},), parameters)


@pytest.fixture
async def client_of(endpoint):
    clients = []

    def opened(mode):
        url, _, model = endpoint.url(mode).partition("#")
        clients.append(ChatClient(url, model, None, Limiter(8), attempts=2))
        return clients[-1]

    yield opened
    for client in clients:
        await client.close()


@pytest.mark.parametrize(("mode", "refusals"), [("reasoning", 2), ("no-sampler", 1)])
async def test_a_refused_parameter_costs_one_refusal_and_is_sent_no_more(client_of, endpoint, mode, refusals):
    client = client_of(mode)
    found = await client.complete(request())
    assert (found.text, found.error, found.lacking) == ("good", None, ("temperature",))
    assert endpoint.calls()["a good day"] == 1 + refusals
    await client.complete(request("another good day"))
    assert endpoint.calls()["another good day"] == 1


async def test_calls_that_are_refused_at_the_same_time_are_all_answered(client_of):
    client = client_of("no-sampler")
    found = await asyncio.gather(*(client.complete(request(f"good {i}", {**ASKED, "top_p": 0.9})) for i in range(8)))
    assert [(one.text, one.lacking) for one in found] == [("good", ("top_p", "temperature"))] * 8


async def test_a_model_that_takes_what_is_sent_lacks_nothing(client_of):
    assert (await client_of("ok").complete(request())).lacking == ()


async def test_a_value_out_of_range_is_the_users_mistake_and_nothing_is_left_out(client_of, endpoint):
    client = client_of("too-many-tokens")
    found = await client.complete(request())
    assert found.error.startswith("refused by the endpoint (400: max_tokens is too large")
    assert (client.dialect.refused, endpoint.calls().total()) == (frozenset(), 1)


@pytest.mark.parametrize(
    ("message", "more", "parameter"),
    [
        ("`temperature` and `top_p` cannot both be specified for this model. Please use only one.", {}, "top_p"),
        ("`temperature` is deprecated for this model.", {}, "temperature"),
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            {},
            "max_tokens",
        ),
        ("Unsupported parameter: 'logprobs' is not supported with this model.", {"param": "logprobs"}, None),
        ("temperature: range: 0..1", {}, None),
        ("This model's maximum context length is 8192 tokens", {"code": "context_length_exceeded"}, None),
    ],
)
def test_which_parameter_an_error_is_about(message, more, parameter):
    assert refused_parameter(json.dumps({"error": {"message": message, **more}}).encode()) == parameter


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"error": "no"}', b'{"error": {"message": null}}', b"[" * 100_000])
def test_an_error_in_no_known_form_is_about_no_parameter(raw):
    assert refused_parameter(raw) is None


def test_a_body_keeps_its_order_and_what_is_not_refused():
    dialect = ModelDialect("m", ("max_tokens", "temperature"))
    spoken = dialect.body({"model": "m", "temperature": 0, "max_tokens": 3, "top_p": 1})
    assert list(spoken.items()) == [("model", "m"), ("max_completion_tokens", 3), ("top_p", 1)]
    assert ModelDialect("m").lacking({"temperature": 0}) == ()


@pytest.mark.parametrize("mode", ["reasoning", "no-sampler"])
async def test_labels_of_such_a_model_say_what_it_was_asked_without_also_from_the_store(endpoint, tmp_path, mode):
    (tmp_path / "task.toml").write_text(
        MOOD + f'[teacher]\nmodel = "{endpoint.url(mode)}"\nprice_in = 1.0\nprice_out = 2.0\n'
    )
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"id": f"r{i}", "input": f"day {i} was good"}) + "\n" for i in range(40))
    )
    first = (await label(tmp_path)).report
    calls = endpoint.calls().total()
    again = (await label(tmp_path)).report
    assert (first.labelled, first.from_store, first.lacking) == (40, 0, {"temperature": 40})
    assert (again.labelled, again.from_store, again.lacking, endpoint.calls().total()) == (
        40,
        40,
        {"temperature": 40},
        calls,
    )
    rows = [json.loads(line) for line in (tmp_path / "teacher.jsonl").read_text().splitlines()]
    assert {row["provenance"]["parameters"]["without"][0] for row in rows} == {"temperature"}
    assert "40 rows were asked without temperature" in (tmp_path / "card.md").read_text()
