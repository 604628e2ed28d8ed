"""A request to a model that was sent is waited for though whoever asked is cancelled: it is paid for.

The flow goes on at once: an item of a map raised, a time was over, another branch was quicker. What comes back later is
stored, and it is journaled with its call. Where nothing was sent yet, nothing is.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from stillhouse.stopping import Sending

PAID_KINDS = frozenset({"model", "decide", "turn"})  # kinds of calls whose bodies ask a model and do nothing else


class Asking:
    """The body of a call that asks a model, while it runs."""

    def __init__(self, sending: Sending, task: "asyncio.Task[Any]") -> None:
        self.sending, self.task = sending, task

    def stop(self) -> bool:
        """Send nothing more. Gives whether something is on its way, or came back; else it is cancelled."""
        if self.sending.stop() or self.task.done():
            return True
        self.task.cancel()
        return False


async def sent_once(
    body: Callable[[], Awaitable[Any]],
    begun: Callable[[Asking], None],
    left: Callable[["asyncio.Task[Any]"], None],
) -> Any:
    """What `body` gives. `begun` is told of it; `left` takes the task that goes on where the caller was cancelled."""

    async def asked() -> Any:
        return await body()

    with Sending() as sending:
        task = asyncio.get_running_loop().create_task(asked())
    asking = Asking(sending, task)
    begun(asking)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        if asking.stop():
            left(task)
        else:
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # marks it as seen: asyncio warns of an exception that nobody takes
        raise
    return task.result()
