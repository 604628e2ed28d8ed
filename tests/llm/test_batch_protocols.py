"""The fake batch APIs are driven by the providers' own clients, with every reply held to the clients' types: what our client speaks with is the protocol."""

import json

import anthropic
import openai
from anthropic.types import Message, OutputConfigParam
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse
from openai.types import Batch, FileObject
from openai.types.chat import ChatCompletion
from pydantic import TypeAdapter

from fake_batches import Fake, serving
from stillhouse.llm.batch_anthropic import AnthropicBatches
from stillhouse.llm.batch_http import BatchHttp
from stillhouse.llm.batch_openai import OpenAIBatches
from stillhouse.llm.request import Request

FATES = ["ok", "expired", "error", "500"]
REQUESTS = [
    Request("m", ({"role": "user", "content": f"day {i} was good"},), {"max_tokens": 8}) for i in range(len(FATES))
]


def whole(model, value):
    """The client builds its objects without a look; here every field has to be as the type says."""
    assert isinstance(value, model)
    return model.model_validate(value.model_dump())


async def test_openais_own_client_runs_a_batch_on_the_fake():
    fake = Fake(FATES, polls=1)
    async with serving(fake) as address:
        client = openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="k", max_retries=0)
        lines = b"".join(OpenAIBatches(BatchHttp(address, {}, None), "m").line(request) for request in REQUESTS)
        file = await client.files.create(file=("rows.jsonl", lines), purpose="batch")
        whole(FileObject, file)
        made = await client.batches.create(
            input_file_id=file.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={"stillhouse": "m"},
        )
        assert whole(Batch, made).status == "in_progress"
        await client.batches.retrieve(made.id)
        ended = whole(Batch, await client.batches.retrieve(made.id))
        assert ended.status == "expired"
        assert [batch.id async for batch in client.batches.list()] == [made.id]
        good = [json.loads(line) for line in (await client.files.content(ended.output_file_id)).text.splitlines()]
        bad = [json.loads(line) for line in (await client.files.content(ended.error_file_id)).text.splitlines()]
    assert [ChatCompletion.model_validate(row["response"]["body"]).choices[0].message.content for row in good] == [
        "good"
    ]
    assert sorted(row["custom_id"] for row in good + bad) == sorted(request.hash for request in REQUESTS)


def test_a_schema_and_the_effort_go_into_a_batch_of_messages_in_the_clients_form():
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string"}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    asked = Request("m", ({"role": "user", "content": "well?"},), {"max_tokens": 8, "reasoning_effort": "low"}, schema)
    params = json.loads(AnthropicBatches(BatchHttp("http://127.0.0.1", {}, None), "claude").line(asked))["params"]
    assert params["output_config"] == {"format": {"type": "json_schema", "schema": schema}, "effort": "low"}
    assert TypeAdapter(OutputConfigParam).validate_python(params["output_config"]) == params["output_config"]


async def test_anthropics_own_client_runs_a_batch_on_the_fake():
    fake = Fake(FATES, polls=1)
    async with serving(fake) as address:
        client = anthropic.AsyncAnthropic(base_url=address, api_key="k", max_retries=0)
        ours = AnthropicBatches(BatchHttp(address, {}, None), "claude")
        made = await client.messages.batches.create(requests=[json.loads(ours.line(request)) for request in REQUESTS])
        assert whole(MessageBatch, made).processing_status == "in_progress"
        await client.messages.batches.retrieve(made.id)
        ended = whole(MessageBatch, await client.messages.batches.retrieve(made.id))
        assert (ended.processing_status, ended.request_counts.processing) == ("ended", 0)
        assert [batch.id async for batch in client.messages.batches.list()] == [made.id]
        rows = [
            whole(MessageBatchIndividualResponse, row) async for row in await client.messages.batches.results(made.id)
        ]
    kinds = {row.custom_id: row.result.type for row in rows}
    assert kinds == {
        request.hash: kind
        for request, kind in zip(REQUESTS, ["succeeded", "expired", "errored", "errored"], strict=True)
    }
    [answered] = [row.result.message for row in rows if row.result.type == "succeeded"]
    assert whole(Message, answered).content[0].text == "good"
    counts = ended.request_counts
    assert (counts.succeeded, counts.expired, counts.errored) == (1, 1, 2)
