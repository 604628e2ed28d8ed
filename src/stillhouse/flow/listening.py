"""Hearing a model's text while it is being written."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stillhouse.flow.call import current_call
from stillhouse.llm.request import text_listener


@contextmanager
def listen(heard: Callable[[str, str], None]) -> Iterator[None]:
    """In this block, call `heard(step, piece)` with each piece of text that a model writes for a step.

    An answer out of the journal is not heard again.
    """

    def piece(text: str) -> None:
        call = current_call.get()
        heard("" if call is None else call.id.partition("/")[0], text)

    token = text_listener.set(piece)
    try:
        yield
    finally:
        text_listener.reset(token)
