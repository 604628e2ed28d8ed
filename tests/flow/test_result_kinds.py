"""A step's result is of the kind that its annotation says, whether a model or a function gives it."""

import json
from decimal import Decimal
from enum import IntEnum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter

from stillhouse import flow, step
from stillhouse.flow.call import StepError
from stillhouse.flow.model_step import ModelStep
from stillhouse.flow.result_kinds import kind_problem, scalars, schema_of


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Order(BaseModel):
    n: int
    gift: bool
    size: Literal[1, 2] | None = None


Spelled = Annotated[int, BeforeValidator(lambda value: int(str(value).replace(",", "")))]
TAKES = [  # annotation, what it takes, what it does not
    (Literal[1, 2, 3], ["1", "2.0"], ["true", '"1"', "4", "null"]),
    (Literal[0, 1], ["0", "1"], ["false", "true"]),
    (Literal[True, "x"], ["true", '"x"'], ["1", "1.0", '"true"']),
    (Size, ["1", "2"], ["true", '"1"', "3"]),
    (int, ["1", "2.0", "-7"], ["true", '"1"', "false"]),
    (float, ["1", "1.5"], ["true", '"1.5"']),
    (bool, ["true", "false"], ["1", "0", '"true"', '"yes"']),
]
DEEPER = [
    (list[Literal[1, 2]], ["[1, 2]"], ["[true]", '["1"]']),
    (dict[str, int], ['{"a": 1}'], ['{"a": true}', '{"a": "1"}']),
    (
        Order,
        ['{"n": 1, "gift": true}'],
        ['{"n": true, "gift": true}', '{"n": 1, "gift": 1}', '{"n": "1", "gift": true}'],
    ),
]


@pytest.mark.parametrize(("kind", "right", "wrong"), TAKES + DEEPER, ids=str)
def test_the_schema_of_a_type_tells_its_results_from_others(kind, right, wrong):
    schema = schema_of(TypeAdapter(kind))
    assert [kind_problem(schema, output) for output in right] == [None] * len(right)
    assert all(kind_problem(schema, output) for output in wrong)


@pytest.mark.parametrize(("kind", "right", "wrong"), TAKES, ids=str)
def test_scalars_are_told_apart_without_the_schema(kind, right, wrong):
    is_named = scalars(TypeAdapter(kind))
    assert all(is_named(json.loads(output)) for output in right)
    assert not any(is_named(json.loads(output)) for output in wrong if output not in ("4", "3", "null"))


@pytest.mark.parametrize("kind", [Spelled, Annotated[str, BeforeValidator(str)]])
def test_a_types_own_validators_decide_alone(kind):
    assert schema_of(TypeAdapter(kind)) is None and scalars(TypeAdapter(kind)) is None


def test_a_type_that_takes_numbers_and_texts_and_one_of_texts_are_left_to_pydantic():
    schema = schema_of(TypeAdapter(Decimal))
    assert schema is None or not (kind_problem(schema, "1.5") or kind_problem(schema, '"1.5"'))
    assert scalars(TypeAdapter(str)) is None and scalars(TypeAdapter(Literal["a", "b"])) is None


@pytest.mark.parametrize(
    ("kind", "returned", "is_right"),
    [
        (Literal[1, 2, 3], True, False),
        (Literal[1, 2, 3], 2, True),
        (int, True, False),
        (bool, 1, False),
        (int, "3", False),
        (Annotated[int, Field(ge=0, le=5)], 9, False),
        (Annotated[int, Field(ge=0, le=5)], 5, True),
    ],
)
async def test_a_function_that_returns_another_kind_is_refused(tmp_path, monkeypatch, kind, returned, is_right):
    async def body():
        return returned

    monkeypatch.chdir(tmp_path)
    body.__annotations__["return"] = kind
    counted = step(body)

    async def whole() -> str:
        return repr(await counted())

    running = flow(whole)
    if is_right:
        assert await running.run("r") == repr(returned)
        return
    with pytest.raises(StepError, match="which is not what its annotation says"):
        await running.run("r")


@pytest.mark.parametrize(
    ("kind", "output", "right", "wrong"),
    [
        (Annotated[int, Field(ge=0, le=5)], "json", "5", "9"),
        (Annotated[Literal[1, 2], "a note"], "json", "1", "true"),
        (list[Annotated[int, Field(gt=0)]], "json", "[1]", "[0]"),
        (Annotated[str, Field(max_length=3)], "text", "abc", "abcd"),
        (Annotated[Literal["a", "b"], "a note"], "choice", "a", "c"),
    ],
)
def test_a_model_step_keeps_to_what_its_annotation_adds(kind, output, right, wrong):
    async def rated() -> None:
        """Rate it."""

    rated.__annotations__["return"] = kind
    declared = ModelStep(rated, "rated", None, max_tokens=5, temperature=0)
    assert declared.task().output == output
    declared.answer.typed(right)
    with pytest.raises(StepError, match="does not fit its type"):
        declared.answer.typed(wrong)
