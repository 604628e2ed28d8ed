"""Asynchronous work from plain code, also where an event loop is running already, as in a notebook."""

import asyncio
import contextvars
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from stillhouse.stopping import stopping

T = TypeVar("T")


def result_of(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, waited for. Inside a running loop the work gets a loop of its own in another thread.

    Ctrl-C waits a few seconds for the paid calls in flight (`stopping`), then raises KeyboardInterrupt.
    """
    with stopping.heard_by_default():
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return _run(work)
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(contextvars.copy_context().run, _run, work).result()


def _run(work: Coroutine[Any, Any, T]) -> T:
    async def stoppable() -> T:
        with stopping.work():
            return await work

    try:
        return asyncio.run(stoppable())
    except asyncio.CancelledError:
        if stopping.asked:
            raise KeyboardInterrupt(stopping.sentence()) from None
        raise
