"""The items of a map, each in a task of its own: all of them are done, or the first failure ends the rest.

No further call begins then. Those under way are waited for, a while: what they have sent is paid for.
"""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from stillhouse.errors import UserError
from stillhouse.flow.branches import Branch, branch_here, inner, named
from stillhouse.flow.call import active_run
from stillhouse.stopping import GRACE_S

T = TypeVar("T")
U = TypeVar("U")


def check_item_function(function: Any) -> None:
    """Raises UserError for what cannot be called with one item."""
    if not callable(function):
        raise UserError(f"flow.map takes an async function and its items, and {function!r:.60} is no function")
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):  # a builtin that does not tell
        return
    try:
        signature.bind(None)
    except TypeError as error:
        raise UserError(
            f"flow.map calls {_name(function)} with one item, which {_name(function)}{signature} does not take "
            f"({error}); give an async function of one parameter"
        ) from None


def item_awaitable(function: Callable[[T], Awaitable[U]], item: T) -> Awaitable[U]:
    """What the function gives for an item. Raises UserError where that cannot be awaited."""
    made = function(item)
    if not inspect.isawaitable(made):
        raise UserError(
            f"flow.map awaits {_name(function)}, and it is not async: it gave {type(made).__name__}; "
            "write `async def`, or call it from a function that is"
        )
    return made


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", None) or type(function).__name__)


async def mapped(
    function: Callable[[T], Awaitable[U]], items: Iterable[T], *, at_once: int, branch: str
) -> list["asyncio.Task[U]"]:
    """The tasks, done, in the items' order. `branch`: the name of an item's branch.

    Raises a group of the exceptions of the items that failed.
    """
    gate, failed = asyncio.Semaphore(at_once), list[BaseException]()

    async def in_turn(item: T) -> U:
        async with gate:
            if failed:
                raise asyncio.CancelledError("another item of the map failed")
            try:
                return await function(item)
            except Exception as error:
                failed.append(error)
                if here is not None:
                    here.close()
                raise

    with inner("flow.map"):
        here = None if active_run.get() is None else branch_here()
        tasks = [asyncio.create_task(named(in_turn(item), branch)) for item in items]
        if tasks:
            await _ended(tasks, here)
    others = [task.exception() for task in tasks if not task.cancelled() and task.exception() not in failed]
    failed += [error for error in others if error is not None]  # such as a question to a person
    if failed:
        raise BaseExceptionGroup("items of a map failed", failed)
    return tasks


async def _ended(tasks: list["asyncio.Task[U]"], here: Branch | None) -> None:
    """Wait until all tasks are done. After a failure those are cancelled in which no call is under way, in time."""
    active = active_run.get()
    try:
        _, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        if rest and active is not None and here is not None:
            here.close()
            active.send_no_more(here)
            with contextlib.suppress(TimeoutError):  # what takes longer is cancelled
                async with asyncio.timeout(GRACE_S):
                    await active.until_idle(here)
    finally:
        if left := [task for task in tasks if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left)
