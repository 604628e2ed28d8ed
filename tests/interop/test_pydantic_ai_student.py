"""A student as a pydantic-ai model: what an agent gets from it, and what it is told it cannot have."""

import enum
import json
import shutil
from typing import Literal

import pytest

pytest.importorskip("pydantic_ai", reason="pydantic-ai is not installed: pip install 'stillhouse[pydantic-ai]'")
from pydantic import BaseModel
from pydantic_ai import Agent, ImageUrl, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.messages import ModelResponse, StructuredContent, TextPart
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import FunctionModel

from stillhouse.errors import ArtifactError, ModelNameError
from stillhouse.interop.pydantic_ai import NoAnswerError, StudentModel
from stillhouse.records import Prediction
from stillhouse.task import Task


class Mood(BaseModel):
    mood: Literal["good", "bad"]


class Feeling(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Order(BaseModel):
    item: str
    count: int


class Told:
    """A Predictor with given answers; it keeps what it was asked."""

    name = "told"

    def __init__(self, task, answers):
        self.task, self.answers, self.asked = task, answers, []

    async def predict(self, inputs):
        self.asked += inputs
        return [self.answer(row) for row in inputs]

    def answer(self, row):
        found = self.answers.get(row.text)
        return Prediction(found, confidence=0.75, cost_usd=0.5, error="no idea" if found is None else None)


def weather(city: str) -> str:
    return city


ORDERS = Task(name="orders", instruction="Read the order.", output="json")
TEXT = Task(name="shout", instruction="Shout.", output="text")


@pytest.fixture
def mood(mood_folder):
    return StudentModel(f"student:{mood_folder}")


async def test_a_text_answer_comes_with_usage_confidence_and_the_scores(mood, mood_folder):
    result = await Agent(mood, instructions="Is it good or bad?").run("what a lovely day")
    assert result.output == "good"
    details = result.response.provider_details
    assert 0.5 < details["confidence"] < 1
    assert details["scores"] == pytest.approx({"good": details["confidence"], "bad": 1 - details["confidence"]})
    assert (details["cost_usd"], details["source"], details["usage_estimated"]) == (None, None, True)
    assert (result.usage.requests, result.usage.output_tokens) == (1, 1)
    assert (result.response.model_name, result.response.provider_name, result.response.finish_reason) == (
        f"student:{mood_folder}",
        "stillhouse",
        "stop",
    )


@pytest.mark.parametrize("output_type", [Mood, NativeOutput(Mood), PromptedOutput(Mood), ToolOutput(Mood)])
async def test_a_class_fills_the_one_field_in_every_output_mode(mood, output_type):
    assert (await Agent(mood, output_type=output_type).run("what a grim day")).output == Mood(mood="bad")


async def test_a_literal_and_an_enum_are_filled_too(mood):
    assert (await Agent(mood, output_type=Literal["bad", "good", "mixed"]).run("what a warm day")).output == "good"
    assert (await Agent(mood, output_type=Feeling).run("what a grim day")).output is Feeling.BAD


async def test_a_json_student_fills_a_schema_and_a_bare_value():
    order, many = json.dumps({"item": "lamp", "count": 2}), json.dumps([1, 2])
    model = StudentModel(Told(ORDERS, {"two lamps": order, "1 and 2": many}))
    for output_type in (Order, ToolOutput(Order), PromptedOutput(Order)):
        assert (await Agent(model, output_type=output_type).run("two lamps")).output == Order(item="lamp", count=2)
    assert (await Agent(model, output_type=list[int]).run("1 and 2")).output == [1, 2]


async def test_a_students_fields_and_choices_arrive_as_the_server_would_read_them(mood_folder):
    fields = Told(TEXT, {"a: 1\nb: two": "AB"})
    assert (await Agent(StudentModel(fields)).run([StructuredContent({"a": 1, "b": "two"})])).output == "AB"
    picks = Told(Task(name="opposite", instruction="Choose.", output="choice"), {"the opposite of up": "down"})
    model = StudentModel(picks)
    assert (await Agent(model, output_type=Literal["down", "left"]).run("the opposite of up")).output == "down"
    assert (
        await Agent(model, model_settings={"extra_body": {"choices": ["down", "left"]}}).run("the opposite of up")
    ).output == "down"
    assert [row.choices for row in picks.asked] == [("down", "left")] * 2


async def test_a_stream_brings_the_answer_in_one_piece_and_stops_are_kept(mood):
    async with Agent(mood).run_stream("what a grim day") as stream:
        assert [text async for text in stream.stream_text()] == ["bad"]
    shout = StudentModel(Told(TEXT, {"hello": "HELLO. THERE"}))
    assert (await Agent(shout, model_settings={"stop_sequences": ["."]}).run("hello")).output == "HELLO"


async def test_what_a_student_cannot_do_is_said_in_one_sentence(mood):
    with_tool = Agent(mood)
    with_tool.tool_plain(weather)
    first = await Agent(mood).run("what a grim day")
    cases = {
        "calls no tools (weather)": with_tool.run("what a grim day"),
        "go on with a conversation": Agent(mood).run("and now?", message_history=first.all_messages()),
        "a part of type ImageUrl": Agent(mood).run(["look", ImageUrl("https://example.com/a.png")]),
        "the output type is a union": Agent(mood, output_type=[ToolOutput(Mood), ToolOutput(Order)]).run(
            "what a grim day"
        ),
        "the output has the fields item, count": Agent(mood, output_type=Order).run("what a grim day"),
        "the output's field response is none": Agent(mood, output_type=bool).run("what a grim day"),
        "it may answer bad, which the output is not ready for (good)": Agent(mood, output_type=Literal["good"]).run(
            "what a grim day"
        ),
        "there are 0": Agent(mood, instructions="Say something.").run(),
    }
    for said, run in cases.items():
        with pytest.raises(NoAnswerError) as refused:
            await run
        assert said in str(refused.value)
        assert str(refused.value).startswith("student:") and "\n" not in str(refused.value)


async def test_an_answer_that_does_not_fit_is_not_asked_for_again():
    order = Told(ORDERS, {"two lamps": '{"item": "lamp"}'})
    with pytest.raises(NoAnswerError, match="to the same input it has no other"):
        await Agent(StudentModel(order), output_type=Order, retries=3).run("two lamps")
    assert len(order.asked) == 1


async def test_where_a_student_has_no_answer_a_fallback_goes_on_to_its_next_model():
    model = FallbackModel(
        StudentModel(Told(TEXT, {})),
        FunctionModel(lambda messages, info: ModelResponse([TextPart("from the large one")])),
    )
    assert (await Agent(model).run("what?")).output == "from the large one"


async def test_a_cascade_by_name_says_who_answered_and_what_it_cost(mood_folder, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(mood_folder, run / "student")
    (tmp_path / "task.toml").write_text(
        '[task]\nname = "mood"\ninstruction = "Is it good or bad?"\noutput = "choice"\nlabels = ["good", "bad"]\n[teacher]\nmodel = "recorded:answers.jsonl"\n'
    )
    (tmp_path / "answers.jsonl").write_text(
        json.dumps({"input": "so-so", "teacher_label": "bad", "cost_usd": 0.25}) + "\n"
    )
    facts = {
        "format": 1,
        "task_file": str(tmp_path / "task.toml"),
        "student": "student",
        "teacher": "recorded:answers.jsonl",
        "threshold": 0.9,
        "budget": 0.02,
        "level": 0.95,
        "n": 300,
    }
    (run / "cascade.json").write_text(json.dumps(facts))
    model = StudentModel(f"cascade:{run}", store=tmp_path / "store.db")
    async with Agent(model) as agent:
        kept, deferred = await agent.run("what a lovely day"), await agent.run("so-so")
    details = [result.response.provider_details for result in (kept, deferred)]
    assert [(one["source"], one["cost_usd"]) for one in details] == [("student", 0.0), ("teacher", 0.25)]
    assert (kept.output, deferred.output) == ("good", "bad")


def test_another_models_name_is_refused_and_a_missing_student_is_named(tmp_path):
    with pytest.raises(ModelNameError, match="names no student"):
        StudentModel("openai:gpt-4o")
    with pytest.raises(ArtifactError, match="not a student"):
        Agent(StudentModel(f"student:{tmp_path}")).run_sync("hello")
