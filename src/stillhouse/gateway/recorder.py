"""Who keeps the calls: a thread that reads them and writes them in groups, while nobody waits for it.

What waits to be written is bounded in bytes. Where the disk is full or the database is gone, calls are counted as lost
and forwarded as ever, and `trouble` says so until a call is written again.
"""

import logging
import threading
from collections import deque
from dataclasses import astuple

from stillhouse.errors import StillhouseError
from stillhouse.gateway.calls import ForwardedCall
from stillhouse.gateway.reading import ReadCall, read_call
from stillhouse.store.gateway_calls import GatewayCalls, Said

MOST_WAITING = 64 << 20  # bytes of calls that wait to be written
_GROUP = 500  # most calls per commit
_MOST_SAID = 10_000  # pieces of feedback that wait to be written
_log = logging.getLogger(__name__)


class CallRecorder:
    """Calls into a store. `texts` False: without instructions, inputs and answers."""

    def __init__(self, calls: GatewayCalls, *, texts: bool = True) -> None:
        self._calls, self._texts = calls, texts
        self._waiting: deque[ForwardedCall] = deque()
        self._said: deque[Said] = deque()
        # Bytes that came and bytes that are done: each is counted by one thread alone, so that no count is lost.
        self._n_came = self._n_done = self._lost = self._written = self._refused = 0
        self._trouble: str | None = None
        self._came = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="gateway recorder", daemon=True)
        self._thread.start()

    def put(self, call: ForwardedCall) -> None:
        """Have it written. Where too much waits already it is lost, and counted."""
        if self._n_came - self._n_done > MOST_WAITING or not self._thread.is_alive():
            self._refused += 1
            self._trouble = "calls come faster than they can be written; some are not kept"
            return
        self._n_came += call.n_bytes
        self._waiting.append(call)
        self._came.set()

    def say(self, said: Said) -> None:
        """Have this feedback written. Raises OverflowError where too much waits already."""
        if len(self._said) >= _MOST_SAID or not self._thread.is_alive():
            raise OverflowError
        self._said.append(said)
        self._came.set()

    @property
    def n_lost(self) -> int:
        return self._lost + self._refused

    @property
    def n_written(self) -> int:
        return self._written

    @property
    def trouble(self) -> str | None:
        """Why calls are not kept just now; None: they are."""
        return self._trouble if self._thread.is_alive() or self._closing else "the recorder has ended"

    def close(self) -> None:
        """Write what waits, and end."""
        self._closing = True
        self._came.set()
        self._thread.join()
        self._calls.close()

    def _work(self) -> None:
        while True:
            self._came.wait()
            self._came.clear()
            while self._waiting or self._said:
                self._write()
                self._write_feedback()
            if self._closing and not self._waiting and not self._said:
                return

    def _write_feedback(self) -> None:
        said: list[Said] = []
        while self._said and len(said) < _GROUP:
            said.append(self._said.popleft())
        try:
            if said:
                self._calls.say(said)
        except Exception as error:
            self._fail(len(said), str(error) if isinstance(error, StillhouseError) else type(error).__name__)

    def _write(self) -> None:
        group: list[ForwardedCall] = []
        while self._waiting and len(group) < _GROUP:
            group.append(self._waiting.popleft())
        if not group:
            return
        read = [one for call in group if (one := self._read(call)) is not None]
        try:
            self._calls.add([astuple(call) for call in read])
        except Exception as error:
            reason = str(error) if isinstance(error, StillhouseError) else f"{type(error).__name__}: {error}"
            self._fail(len(read), reason)
        else:
            self._written += len(read)
            if len(read) == len(group):
                self._trouble = None
        self._n_done += sum(call.n_bytes for call in group)

    def _read(self, call: ForwardedCall) -> ReadCall | None:
        try:
            read = read_call(call)
            return read if self._texts else read.without_texts()
        except Exception as error:  # what it was is in no log: it may hold anything
            self._fail(1, f"a call could not be read ({type(error).__name__})")
            return None

    def _fail(self, n: int, why: str) -> None:
        self._lost += n
        if self._trouble is None:
            _log.error("calls are forwarded and not kept: %s", why)
        self._trouble = why
