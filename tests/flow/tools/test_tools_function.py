"""A typed function as a tool: its schema, its arguments checked, its time and its result bounded."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from stillhouse.errors import BudgetError, UserError
from stillhouse.flow.tools import Tool, ToolError, tool

MB = 1_000_000


@dataclass
class Order:
    id: int
    state: Literal["open", "shipped"] = "open"


class Address(BaseModel):
    city: str


@tool
async def ship(
    order: Order, to: Address, when: date | None = None, note: Annotated[str, Field(description="for the parcel")] = ""
) -> str:
    """Ship an order.

    It leaves the same day.
    """
    return f"{order.id} {order.state} to {to.city} {when} {note}".strip()


@tool
def area(width: float, height: float) -> float:
    """The area of a rectangle."""
    return width * height


async def error_of(called: Tool, arguments: Any) -> str:
    with pytest.raises(ToolError) as found:
        await called.call(arguments)
    text = str(found.value)
    text.encode()  # whatever the model wrote, the observation can be stored and sent
    assert len(text) < 1_200
    return text


def test_the_docstring_is_the_description_and_the_annotations_are_the_schema():
    assert (area.name, area.description) == ("area", "The area of a rectangle.")
    assert area.schema == {
        "type": "object",
        "properties": {"width": {"type": "number"}, "height": {"type": "number"}},
        "required": ["width", "height"],
        "additionalProperties": False,
    }
    assert ship.description == "Ship an order.\n\nIt leaves the same day."
    assert ship.schema["properties"]["note"] == {"type": "string", "default": "", "description": "for the parcel"}
    assert ship.schema["required"] == ["order", "to"]
    json.dumps(ship.schema)


async def test_arguments_become_what_the_annotations_say():
    assert (
        await ship.call({"order": {"id": 3}, "to": {"city": "Porto"}, "when": "2026-11-24", "note": "ça"})
        == "3 open to Porto 2026-11-24 ça"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"width": 2}, "area needs the argument height, which is missing"),
        ({"width": 2, "height": 3, "depth": 4}, "area has no argument depth; it takes width, height"),
        (
            {"width": 2, "height": "tall"},
            "area was given 'tall' as height: Input should be a valid number, unable to parse string as a number",
        ),
        ({"width": None, "height": 1}, "area was given None as width: Input should be a valid number"),
        ({"width": [1] * MB, "height": 1}, "area was given a list as width: Input should be a valid number"),
        ({"width": {"a": 1}, "height": 1}, "area was given an object as width: Input should be a valid number"),
        ({"\ud800": 1, "width": 1, "height": 1}, "area has no argument ?; it takes width, height"),
        ({"field_0": 1, "height": 1}, "area has no argument field_0; it takes width, height"),
    ],
)
async def test_wrong_arguments_are_named(arguments, sentence):
    assert await error_of(area, arguments) == sentence


async def test_a_wrong_part_of_an_argument_is_named():
    assert await error_of(ship, {"order": {"id": 1, "state": "lost"}, "to": {"city": "Porto"}}) == (
        "ship was given 'lost' as order.state: Input should be 'open' or 'shipped'"
    )


async def test_unicode_and_huge_arguments_pass_or_are_named_shortly():
    @tool
    async def count(text: str) -> int:
        """Count."""
        return len(text)

    assert await count.call({"text": "ж" * (10 * MB)}) == str(10 * MB)
    assert await count.call({"text": "\0\U0001f600"}) == "2"
    assert await error_of(count, {"text": "half \ud800"}) == (
        "count was given 'half ?' as text, which is no JSON "
        "(UnicodeEncodeError: 'utf-8' codec can't encode character '\\ud800' in position 5: surrogates not allowed)"
    )
    assert (await error_of(area, {"width": "w" * 50 * MB, "height": 1})).startswith(
        f"area was given '{'w' * 80}'... as width: "
    )
    assert (
        await error_of(count, {"text": 10**5000})
        == "count was given a value of type int as text: Input should be a valid string"
    )


@pytest.mark.parametrize("name", ["schema", "copy", "model_config", "json", "_hidden", "class_"])
async def test_parameters_may_have_any_name(name):
    scope: dict[str, Any] = {}
    exec(f"def keep({name}: int) -> int:\n    'Keep it.'\n    return {name}", scope)
    assert await tool(scope["keep"]).call({name: 3}) == "3"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            "def f(x: int): pass",
            "the tool f is no function with a docstring; write one that says what it does, for the model to read",
        ),
        (
            "def f(x):\n 'Doc.'",
            "the parameter x of the tool f has no annotation; write its type, for the model's answer to be checked",
        ),
        ("def f(*x: int):\n 'Doc.'", "the tool f takes *x: int, which a model cannot name; give it plain parameters"),
        (
            "def f(x: 'Nowhere'):\n 'Doc.'",
            "the tool f has an annotation that cannot be read (name 'Nowhere' is not defined); import the type at the top of its module",
        ),
        ("def f():\n 'Doc.'\n yield 1", "the tool f yields its result; return it whole"),
        ("async def f():\n 'Doc.'\n yield 1", "the tool f yields its result; return it whole"),
        ("def ü():\n 'Doc.'", "'ü' cannot name a tool; use up to 64 letters, digits, _ and -"),
        (
            "f = 3",
            "the tool int is no function with a docstring; write one that says what it does, for the model to read",
        ),
    ],
)
def test_functions_that_make_no_tool_are_refused(source, sentence):
    scope: dict[str, Any] = {}
    exec(source, scope)
    with pytest.raises(UserError) as found:
        tool(scope.get("f", scope.get("ü")))
    assert str(found.value) == sentence


def test_a_type_without_a_schema_is_refused():
    def f(x: threading.Thread) -> None:
        """Doc."""

    with pytest.raises(UserError, match="the tool f takes a type that has no JSON schema"):
        tool(f)


async def test_a_tool_that_raises_is_named_with_its_error():
    @tool
    def sync(kind: str) -> None:
        """Fail."""
        raise {
            "value": ValueError("no such shelf\nTraceback: ..."),
            "exit": SystemExit(3),
            "stop": StopIteration(),
            "long": OSError("x" * MB),
        }[kind]

    @tool
    async def other() -> None:
        """Fail."""
        raise SystemExit(2)

    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    @tool
    async def odd() -> None:
        """Fail."""
        raise Odd

    assert await error_of(sync, {"kind": "value"}) == "sync failed (ValueError: no such shelf)"
    assert await error_of(sync, {"kind": "exit"}) == "sync failed (SystemExit: 3)"
    assert await error_of(sync, {"kind": "stop"}) == "sync failed (RuntimeError: the function raised StopIteration)"
    assert await error_of(sync, {"kind": "long"}) == f"sync failed (OSError: {'x' * 500})"
    assert await error_of(other, {}) == "other failed (SystemExit: 2)"
    assert await error_of(odd, {}) == "odd failed (Odd)"


async def test_what_a_tool_says_itself_and_what_ends_the_run_passes_as_it_is():
    @tool
    async def refuse(money: bool) -> None:
        """Fail."""
        raise BudgetError("the cap is reached") if money else ToolError("the shop is closed on Sundays")

    assert await error_of(refuse, {"money": False}) == "the shop is closed on Sundays"
    with pytest.raises(BudgetError, match="the cap is reached"):
        await refuse.call({"money": True})


async def test_a_tool_that_hangs_is_given_up():
    ended = asyncio.Event()

    @tool(timeout_s=0.05)
    async def hang() -> None:
        """Hang."""
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    @tool(timeout_s=0.05)
    def block() -> None:
        """Hang."""
        threading.Event().wait(3600)

    assert await error_of(hang, {}) == "hang took longer than 0.05 s and was given up; ask for less"
    assert ended.is_set()
    assert await error_of(block, {}) == "block took longer than 0.05 s and was given up; ask for less"


async def test_a_tool_that_takes_no_notice_of_being_cancelled_is_left_behind(monkeypatch):
    monkeypatch.setattr(sys.modules["stillhouse.flow.tools.tool"], "GRACE_S", 0.01)
    release = asyncio.Event()

    @tool(timeout_s=0.05)
    async def stubborn() -> None:
        """Hang."""
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    assert await error_of(stubborn, {}) == "stubborn took longer than 0.05 s and was given up; ask for less"
    release.set()


@pytest.mark.slow
def test_a_hung_thread_keeps_neither_the_loop_nor_the_process():
    script = """
import asyncio, threading
from stillhouse.flow.tools import tool, ToolError
@tool(timeout_s=0.05)
def block() -> None:
    "Hang."
    threading.Event().wait(3600)
async def main():
    try:
        await block.call({})
    except ToolError as error:
        print(error)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("block took longer than 0.05 s and was given up; ask for less\n", "")


async def test_cancelling_the_caller_cancels_the_tool():
    began, ended = asyncio.Event(), asyncio.Event()

    @tool
    async def hang() -> None:
        """Hang."""
        began.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    task = asyncio.create_task(hang.call({}))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_the_loop_goes_on_while_a_sync_tool_works():
    free = threading.Event()

    @tool
    def wait() -> str:
        """Wait for the loop."""
        return "free" if free.wait(30) else "stuck"

    task = asyncio.create_task(wait.call({}))
    await asyncio.sleep(0)
    free.set()
    assert await task == "free"


async def test_results_are_text_as_it_is_and_json_else():
    @tool
    async def give(what: str) -> Any:
        """Give."""
        return {
            "text": "a\nb",
            "none": None,
            "order": [Order(1), Address(city="Évora")],
            "nan": [float("nan"), 1.5],
            "half": "half \ud800 of a pair",
            "day": {date(2026, 11, 24): {2}},
        }[what]

    assert await give.call({"what": "text"}) == "a\nb"
    assert await give.call({"what": "none"}) == "null"
    assert await give.call({"what": "order"}) == '[{"id":1,"state":"open"},{"city":"Évora"}]'
    assert await give.call({"what": "nan"}) == '["NaN",1.5]'
    assert await give.call({"what": "half"}) == "half ? of a pair"
    assert await give.call({"what": "day"}) == '{"2026-11-24":[2]}'


async def test_what_cannot_be_written_down_is_named():
    circle: list[Any] = []
    circle.append(circle)

    @tool
    def give(what: str) -> Any:
        """Give."""
        return {
            "object": object(),
            "circle": circle,
            "bytes": b"\xff",
            "lazy": iter(int, 1),
            "lock": {"lock": threading.Lock()},
        }[what]

    assert await error_of(give, {"what": "object"}) == (
        "give gave a value of type object that cannot be written as JSON (PydanticSerializationError: Unable to serialize unknown type: <class 'object'>)"
    )
    assert "give gave a value of type list that cannot be written as JSON" in await error_of(give, {"what": "circle"})
    assert "give gave a value of type bytes that cannot be written as JSON" in await error_of(give, {"what": "bytes"})
    assert (
        await error_of(give, {"what": "lazy"})
        == "give gave a value of type callable_iterator that cannot be written as JSON (ValueError: it yields its parts)"
    )
    assert "give gave a value of type dict that cannot be written as JSON" in await error_of(give, {"what": "lock"})


@pytest.mark.slow
async def test_a_result_of_100_mb_is_cut_with_a_notice():
    @tool(max_chars=10)
    def flood(as_json: bool) -> Any:
        """Flood."""
        return ["y" * 100 * MB] if as_json else "x" * 100 * MB

    assert (
        await flood.call({"as_json": False}) == "xxxxxxxxxx\n[cut: 99,999,990 of 100,000,000 characters are left out]"
    )
    assert await flood.call({"as_json": True}) == '["yyyyyyyy\n[cut: 99,999,994 of 100,000,004 characters are left out]'


async def test_many_calls_at_once_keep_their_answers_apart():
    @tool
    def double(n: int) -> int:
        """Double."""
        time.sleep(0.001 * (5 - n % 5))
        return 2 * n

    assert await asyncio.gather(*(double.call({"n": n}) for n in range(40))) == [str(2 * n) for n in range(40)]


def test_the_package_loads_nothing_heavy():
    heavy = ("aiohttp", "sqlglot", "mcp", "psycopg", "httpx2", "torch", "numpy")
    script = f"import stillhouse.flow.tools, sys; print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
        == "[]"
    )
