"""A lock that is given in the order in which it was asked for, so that much work in slices lets little work in between.

`threading.Lock` is mostly taken again by the thread that has just given it back.
"""

import threading
from collections import deque
from types import TracebackType

SHORT_TEXT = 4_000  # characters of rows that never wait for the tokenising of longer ones


class Turns:
    """`with turns:` one slice of work."""

    def __init__(self) -> None:
        self._changes = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        with self._changes:
            if not self._taken:
                self._taken = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changes:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
