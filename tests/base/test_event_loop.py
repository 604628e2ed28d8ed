import asyncio
import contextvars

import pytest

from stillhouse.event_loop import result_of

WORD = contextvars.ContextVar("WORD", default="outside")


async def heard():
    await asyncio.sleep(0)
    return WORD.get()


def test_plain_code_waits_for_the_result():
    WORD.set("plain")
    assert result_of(heard()) == "plain"


async def test_inside_a_running_loop_the_work_has_a_loop_of_its_own_and_the_caller_s_context():
    WORD.set("notebook")
    assert result_of(heard()) == "notebook"
    assert asyncio.get_running_loop().is_running()


async def fails():
    raise LookupError("as it was raised")


def test_what_the_work_raises_is_raised():
    with pytest.raises(LookupError, match="as it was raised"):
        result_of(fails())


async def test_what_the_work_raises_is_raised_inside_a_running_loop_too():
    with pytest.raises(LookupError, match="as it was raised"):
        result_of(fails())
