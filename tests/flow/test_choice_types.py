"""Which types are choices, and what a model step of each type asks for and gives."""

import enum
import sys
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import AfterValidator, Field

from stillhouse import flow, step
from stillhouse.errors import UserError
from stillhouse.flow.answer_schema import strict_schema, unwrapped
from stillhouse.flow.choice_types import choices_of
from stillhouse.flow.model_step import complete_with_schema
from stillhouse.flow_tests.cases import load_suite
from stillhouse.flow_tests.parts import Parts
from stillhouse.llm.request import Completion, Request

asked: list = []
said: list[str] = []


def model(request, example):
    asked.append(request)
    return said.pop(0)


SCRIPT = f"scripted:{__name__}:model"


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, __name__, sys.modules[model.__module__])
    monkeypatch.chdir(tmp_path)
    asked.clear()
    said.clear()


class Route(enum.Enum):
    SQL = "sql"
    CHAT = "small talk"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Weight(enum.Enum):
    LIGHT = 0.5
    HEAVY = 2.5


class Twins(enum.Enum):
    NUMBER = 1
    TEXT = "1"
    OTHER = "x"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


CHOICES = [
    (Literal["a", "b"], {"a": "a", "b": "b"}),
    (Literal["one"], {"one": "one"}),
    (Literal["a", None], {"a": "a", "null": None}),
    (Literal["a", "b"] | None, {"a": "a", "b": "b", "null": None}),
    (Literal["a"] | Literal["b"] | None, {"a": "a", "b": "b", "null": None}),
    (Literal["a", "b"] | Literal["b", "c"], {"a": "a", "b": "b", "c": "c"}),
    (bool, {"true": True, "false": False}),
    (bool | None, {"true": True, "false": False, "null": None}),
    (Route, {"sql": "sql", "small talk": "small talk"}),
    (Route | None, {"sql": "sql", "small talk": "small talk", "null": None}),
    (Literal[Route.SQL, Route.CHAT], {"sql": "sql", "small talk": "small talk"}),
    (Level, {"1": 1, "2": 2}),
    (Annotated[bool, Field(description="whether")], {"true": True, "false": False}),
]


@pytest.mark.parametrize(("kind", "labels"), CHOICES, ids=str)
def test_a_type_of_few_scalars_is_a_choice(kind, labels):
    assert choices_of(kind) == labels


@pytest.mark.parametrize(
    "kind",
    [
        str,
        int,
        float,
        type(None),
        str | None,
        bool | str,
        list[bool],
        Weight,
        Rights,
        Literal[1, "1"],
        Literal[1, 2],
        Literal[True, "x"],
        Twins,
        Literal[1],
        Literal["a", "A "] | Literal["A"],
        pytest.param(Annotated[bool, AfterValidator(bool)], id="a checked bool"),
        Any,
        int | None,
    ],
    ids=str,
)
def test_any_other_type_is_none(kind):
    assert choices_of(kind) is None


@pytest.mark.parametrize(
    ("kind", "reply", "answer"),
    [
        (bool, "True.", True),
        (bool | None, "null", None),
        (Route, "small talk", Route.CHAT),
        (Literal["a", "b"] | None, "null", None),
        (Literal["a", "b"] | None, "b", "b"),
        (Level, "2", Level.HIGH),
    ],
    ids=str,
)
async def test_a_choice_is_asked_for_by_its_labels_and_comes_back_as_its_type(kind, reply, answer):
    async def pick(question: str):
        """Which?"""

    pick.__annotations__["return"] = kind
    declared = step(pick)

    async def whole() -> str:
        return repr(await declared("x"))

    said.append(reply)
    running = flow(model=SCRIPT)(whole)
    assert await running.run("one") == repr(answer)
    assert asked[0].schema is None
    assert f"one of: {', '.join(choices_of(kind))}" in asked[0].messages[0]["content"]
    task = declared.task()
    assert (task.output, task.labels) == ("choice", tuple(choices_of(kind)))


@pytest.mark.parametrize(
    ("kind", "reply", "answer"),
    [
        (list[str], '{"answer": ["a", "b"]}', ["a", "b"]),
        (list[str], '["a", "b"]', ["a", "b"]),
        (int, '{"answer": 3}', 3),
        (int, "3", 3),
        (Weight, '{"answer": 2.5}', Weight.HEAVY),
        (dict[str, int], '{"answer": 3}', {"answer": 3}),
        (dict[str, int] | None, '{"answer": 3}', {"answer": 3}),
        (str | None, '{"answer": null}', None),
    ],
    ids=str,
)
async def test_every_other_type_has_a_schema_and_what_is_no_object_stands_in_one(kind, reply, answer):
    async def make(question: str):
        """Make it."""

    make.__annotations__["return"] = kind
    declared = step(make)

    async def whole() -> str:
        return repr(await declared("x"))

    said.append(reply)
    assert await flow(model=SCRIPT)(whole).run("one") == repr(answer)
    assert len(asked) == 1
    assert asked[0].schema["type"] == "object"


def test_the_object_around_an_answer_is_closed_and_carries_its_definitions():
    schema = {"$defs": {"N": {"type": "object", "properties": {"n": {"type": "integer"}}}}, "type": "array"}
    strict = strict_schema(schema | {"items": {"$ref": "#/$defs/N"}})
    assert strict["required"] == ["answer"] and strict["additionalProperties"] is False
    assert strict["$defs"]["N"]["required"] == ["n"]
    assert strict["properties"]["answer"] == {"type": "array", "items": {"$ref": "#/$defs/N"}}
    assert strict_schema({}) is None and strict_schema(None) is None
    assert unwrapped('{"answer": 1, "why": 2}') is None and unwrapped("[1]") is None


async def test_an_endpoint_that_refuses_one_schema_is_asked_with_another():
    class Endpoint:
        """Takes no schema of a list."""

        lacks: ClassVar[set] = set()

        def without(self, feature, request):
            return feature in self.lacks

        async def complete(self, request, example):
            asked.append(request.schema and request.schema["title"])
            return Completion(None, status=400) if asked[-1] == "list" else Completion("{}")

    chat = Endpoint()
    for title in ("list", "object", "list"):
        request = Request("m", (), {}, {"title": title})
        assert (await complete_with_schema(chat, request, None)).text == "{}"
    assert asked == ["list", None, "object", None]


async def test_the_constraints_of_a_type_are_in_its_schema_and_hold():
    @step
    async def count(question: str) -> Annotated[int, Field(ge=1)]:
        """How many?"""

    @flow(model=SCRIPT)
    async def main() -> int:
        return await count("x")

    said[:] = ["0", "4"]
    assert await main.run("one") == 4
    assert asked[0].schema["properties"]["answer"]["minimum"] == 1


def test_a_step_without_a_body_and_without_an_annotation_is_an_error_where_it_stands():
    with pytest.raises(UserError, match=r"the step reply has no body, so a model answers it.*write `-> str`"):

        @step
        async def reply(question: str):
            """Answer politely."""

    with pytest.raises(UserError, match=r"the step bare has no body.*write `-> str`"):

        @step(model="openai:x")
        async def bare(question: str): ...

    with pytest.raises(UserError, match="the step none returns None, so no model answers it; write `-> str`"):

        @step(model="openai:x")
        async def none(question: str) -> None:
            """Answer."""

    with pytest.raises(UserError, match="the step spelled returns None, so no model answers it"):

        @step(model="openai:x")
        async def spelled(question: str) -> "None":
            """Answer."""

    with pytest.raises(UserError, match="the step full has a body, so no model answers it; take model= away"):

        @step(model="openai:x")
        async def full(question: str):
            """Answer."""
            return question


async def test_a_step_that_does_nothing_may_be_written():
    @step
    async def nothing() -> None:
        """Does nothing yet."""

    @step
    async def passes():
        pass

    assert await nothing() is None and await passes() is None


def test_a_type_without_a_schema_is_an_error_where_the_step_stands():
    class Thing:
        pass

    with pytest.raises(UserError, match=r"the step make returns .*Thing.*, of which no JSON schema can be made"):

        @step
        async def make(question: str) -> Thing:
            """Make a thing."""


def test_a_type_that_is_defined_further_down_is_found_when_the_step_is_asked():
    @step
    async def later(question: str) -> "Later":
        """Make one."""

    class Later:
        pass

    assert later.__name__ == "later"


async def test_a_case_of_a_choice_may_spell_the_value_or_the_label(tmp_path, monkeypatch):
    (tmp_path / "choice_app.py").write_text(
        "from stillhouse import flow, step\n\n\n"
        '@step\nasync def spam(text: str) -> bool:\n    """Is this spam?"""\n\n\n'
        "@flow\nasync def main(text: str) -> bool:\n    return await spam(text)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import choice_app

    cases = tmp_path / "cases"
    cases.mkdir()
    (cases / "spam.jsonl").write_text('{"input": "a", "expected": true}\n{"input": "b", "expected": "false"}\n')
    parts = Parts(choice_app.main)
    first, second = load_suite(cases, parts.find, parts.whole, {}, None).steps["spam"]
    assert (first.expected, second.expected) == (True, False)
    assert (first.score(True), first.score(False), second.score(False)) == (1, 0, 1)
    assert parts.decides("spam", "model")
