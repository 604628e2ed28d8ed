"""A served student behind pydantic-ai's own OpenAI models, which nobody here wrote: an agent changes its base URL and its model's name."""

import asyncio
from contextlib import asynccontextmanager
from typing import Literal

import pytest

pytest.importorskip("pydantic_ai", reason="pydantic-ai is not installed: pip install 'stillhouse[pydantic-ai]'")
from pydantic import BaseModel, Field
from pydantic_ai import Agent, PromptedOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.openai_decisions import OpenAIDecisionsModel
from pydantic_ai.providers.openai import OpenAIProvider

from stillhouse.records import Prediction
from stillhouse.serving.app import serve
from stillhouse.student import load_student
from stillhouse.task import Task


class Order(BaseModel):
    item: str
    count: int


class Orders:
    """A student that reads orders."""

    name, task, labels, input_fields = (
        "orders",
        Task(name="orders", instruction="Read the order.", output="json"),
        None,
        (),
    )

    async def predict(self, inputs):
        return [Prediction('{"item": "lamp", "count": 2}', confidence=0.9) for _ in inputs]


class Mood(BaseModel):
    mood: Literal["good", "bad"] = Field(description="Is it good or bad?")


@pytest.fixture
def provider(mood_folder):
    @asynccontextmanager
    async def serving():
        ready = asyncio.get_running_loop().create_future()
        server = asyncio.create_task(
            serve({"mood": load_student(mood_folder), "orders": Orders()}, port=0, on_ready=ready.set_result)
        )
        try:
            yield OpenAIProvider(base_url=await ready, api_key="none")
        finally:
            server.cancel()
            await asyncio.gather(server, return_exceptions=True)

    return serving


@pytest.mark.slow
async def test_an_agent_works_unchanged_whole_and_streamed(provider):
    async with provider() as served:
        agent = Agent(
            OpenAIChatModel("mood", provider=served),
            instructions="Is it good or bad?",
            model_settings={"temperature": 0, "max_tokens": 10},
        )
        result = await agent.run("what a lovely day")
        assert (result.output, result.usage.requests, result.usage.output_tokens) == ("good", 1, 1)
        async with agent.run_stream("what a grim day") as stream:
            assert await stream.get_output() == "bad"


@pytest.mark.slow
async def test_the_decisions_model_gets_a_class_with_its_probabilities(provider):
    async with provider() as served:
        result = await Agent(OpenAIDecisionsModel("mood", provider=served), output_type=Mood).run("what a grim day")
    assert result.output == Mood(mood="bad")
    details = result.response.provider_details
    assert sum(details["probabilities"]["mood"].values()) == pytest.approx(1)
    assert details["confidence"]["mood"] == pytest.approx(details["probabilities"]["mood"]["bad"])


async def test_a_served_json_student_answers_in_prompted_output_and_refuses_what_it_could_not_hold_to(provider):
    async with provider() as served:
        orders = OpenAIChatModel("orders", provider=served)
        assert (await Agent(orders, output_type=PromptedOutput(Order)).run("two lamps")).output == Order(
            item="lamp", count=2
        )
        with pytest.raises(ModelHTTPError, match="tools is not supported"):
            await Agent(orders, output_type=Order).run("two lamps")
