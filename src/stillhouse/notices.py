"""Sentences for whoever watches a command while it works, such as what it waits for. The command line prints them.

A program that calls the library hears none unless it asks for them with `told_to`.
"""

import contextlib
from collections.abc import Callable, Iterator

_listeners: list[Callable[[str], None]] = []


def notice(sentence: str) -> None:
    for listener in _listeners:
        listener(sentence)


@contextlib.contextmanager
def told_to(listener: Callable[[str], None]) -> Iterator[None]:
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
