"""Stopped by Ctrl-C, SIGTERM or a closed terminal: calls in flight are stored, no new one is sent, the rest is counted.

The first signal stops new calls at once. Answers to calls in flight are waited for, `GRACE_S` seconds at most, and
stored. A second signal leaves at once. Training stops after the step that it is in, with a checkpoint. A call is in
flight from when it may be sent until its answer is stored: one that waits for its turn is not. A call that is left may
be paid for again, as nobody knows whether the endpoint finished it. SIGKILL leaves all that are in flight.

A closed terminal (SIGHUP) never counts as the second signal: the shell and the kernel both send one. Ctrl-C and SIGHUP
are not heard where they were ignored at the start (`nohup`, a script's `&`). SIGTERM always is.

This holds for every command, and for the library's functions where Python's own Ctrl-C would hold.
"""

import asyncio
import contextlib
import os
import signal
import stat
import threading
from collections.abc import Callable, Collection, Iterator
from contextvars import ContextVar
from pathlib import Path
from types import FrameType, TracebackType

GRACE_S = 8.0  # most answers come sooner; and `docker stop` kills after 10 s
_SIGNALS = {
    signal.SIGINT: "Ctrl-C",
    signal.SIGTERM: "SIGTERM",
    signal.SIGHUP: "SIGHUP (the terminal was closed)",
}
current_call: ContextVar["PaidCall | None"] = ContextVar("current_call", default=None)
current_sending: ContextVar["Sending | None"] = ContextVar("current_sending", default=None)


class Sending:
    """The calls that are made in this block, for an asker who may stop asking: what is in flight then is waited for."""

    def __init__(self) -> None:
        self.in_flight: set[PaidCall] = set()
        self.is_stopped = False

    def stop(self) -> bool:
        """No further call begins. Gives whether one is in flight."""
        self.is_stopped = True
        return bool(self.in_flight)

    def __enter__(self) -> "Sending":
        self._token = current_sending.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        current_sending.reset(self._token)


class PaidCall:
    """One call that is paid for where it is answered; use it around the call and the storing of its answer.

    `sends_batch`: it hands a batch over. It is waited for like a call and not counted as one: whoever hands it over
    tells of the calls that are in it.
    """

    __slots__ = ("_sending", "_token", "came_back", "sends_batch")

    def __init__(self, *, sends_batch: bool = False) -> None:
        self._sending = current_sending.get()
        self.came_back = False  # answered, or ended without an answer to pay for
        self.sends_batch = sends_batch

    async def begins(self) -> None:
        """From here on it is in flight. Never returns while the process stops.

        Raises CancelledError where whoever asked has stopped asking.
        """
        await stopping.passes()
        self.came_back = False
        if self._sending is not None:
            if self._sending.is_stopped:
                raise asyncio.CancelledError("nobody waits for this call any more")
            self._sending.in_flight.add(self)
        for calls in (stopping.in_flight, *stopping.watchers):
            calls.add(self)

    def answered(self) -> None:
        """The answer is here and is about to be stored."""
        self.came_back = True

    def waits(self) -> None:
        """It is not in flight any more, until it `begins` again: it waits for its turn or for another try."""
        self.came_back = True
        stopping.ended(self)

    def __enter__(self) -> "PaidCall":
        self._token = current_call.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        current_call.reset(self._token)
        if kind is None or issubclass(kind, Exception):
            self.came_back = True
        stopping.ended(self)


class unsent:
    """While the call that is made here waits for its turn or for another try: it is not in flight."""

    async def __aenter__(self) -> None:
        self._call = current_call.get()
        if self._call is not None:
            self._call.waits()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._call is not None:
            await self._call.begins()


@contextlib.contextmanager
def signals_to(stop: Callable[[], None]) -> Iterator[None]:
    """The signals call this in the running loop, and whoever heard them before hears them again after.

    But for SIGHUP, where it came: a second one says nothing new.
    """
    loop, n_hangups = asyncio.get_running_loop(), 0

    def hang_up() -> None:
        nonlocal n_hangups
        n_hangups += 1
        leave_terminal()
        stop()

    before = {number: signal.getsignal(number) for number in _heard_here()}
    for number in before:
        loop.add_signal_handler(number, hang_up if number == signal.SIGHUP else stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN if number == signal.SIGHUP and n_hangups else handler)


def _heard_here() -> list[signal.Signals]:
    """The signals to hear: not those that whoever started this process has it ignore."""
    ignored = {number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_IGN}
    return [number for number in _SIGNALS if number not in ignored or number == signal.SIGTERM]


def leave_terminal() -> None:
    """Write nothing any more to a terminal that is gone: every write would fail, also amid what is to be kept."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
            if not (_is_terminal_device(descriptor) and not os.isatty(descriptor)):
                continue
        except OSError:
            pass
        with contextlib.suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, descriptor)
            os.close(null)


def _is_terminal_device(descriptor: int) -> bool:
    """Also of a terminal that is gone, which `isatty` denies."""
    status = os.fstat(descriptor)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev != Path(os.devnull).stat().st_rdev


class Stopping:
    """What this process was told, and what it has in flight."""

    def __init__(self) -> None:
        self.in_flight: set[PaidCall] = set()
        self.watchers: list[set[PaidCall]] = []  # each also gets the calls that begin
        self._works: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[object], bool]] = []
        self._steppers = 0
        self._reset()

    def _reset(self) -> None:
        self.signal: int | None = None  # the first that came
        self.n_signals = 0
        self.go_on: str | None = None  # the command that goes on, where it is not the same command
        self._were_in_flight: tuple[PaidCall, ...] = ()
        self._told: list[str] = []
        self._says = False

    @property
    def asked(self) -> bool:
        return self.n_signals > 0

    @contextlib.contextmanager
    def heard(self, *, says: bool = False) -> Iterator[None]:
        """Hear the signals; in the main thread alone, as Python has it. `says`: tell stderr of the waiting."""
        self._reset()
        self._says = says
        in_main = threading.current_thread() is threading.main_thread()
        before = {number: signal.signal(number, self._hear) for number in _heard_here()} if in_main else {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._reset()

    @contextlib.contextmanager
    def heard_by_default(self) -> Iterator[None]:
        """As `heard`, where Python's own handling of Ctrl-C would hold. A program's own handlers are left alone."""
        in_main, before = threading.current_thread() is threading.main_thread(), signal.getsignal(signal.SIGINT)
        if not in_main or not (before is signal.default_int_handler or _is_asyncio_s(before)):
            yield
            return
        self._reset()
        signal.signal(signal.SIGINT, self._hear)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
            self._reset()

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """The task that runs here is cancelled when the process leaves."""
        task, in_main = asyncio.current_task(), threading.current_thread() is threading.main_thread()
        assert task is not None
        entry = (asyncio.get_running_loop(), task, in_main)
        self._works.append(entry)
        try:
            yield
        finally:
            self._works.remove(entry)

    @contextlib.contextmanager
    def at_a_step(self) -> Iterator[Callable[[], bool]]:
        """For work in steps in the main thread: gives what tells whether to stop after this step."""
        in_main = threading.current_thread() is threading.main_thread()
        self._steppers += in_main
        try:
            yield lambda: in_main and self.asked
        finally:
            self._steppers -= in_main

    @contextlib.contextmanager
    def telling(self, sentence: Callable[[], str | None]) -> Iterator[None]:
        """Where the process is stopped in here: what to tell of what is kept."""
        try:
            yield
        finally:
            if self.asked and (told := sentence()) is not None:
                self._told.append(told)

    async def passes(self) -> None:
        """Wait for ever if the process stops: whoever waits is cancelled when it leaves."""
        if self.asked:
            await asyncio.get_running_loop().create_future()

    def ended(self, call: PaidCall) -> None:
        if call._sending is not None:
            call._sending.in_flight.discard(call)
        self.in_flight.discard(call)
        if self.asked and not self.in_flight:
            self._leave()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            leave_terminal()
            if self.asked:
                return
        self.n_signals += 1
        in_thread = any(not in_main for _, _, in_main in self._works)
        if self.n_signals == 1:
            self.signal, self._were_in_flight = number, tuple(self.in_flight)
            if self._were_in_flight and self._works:
                self._say(f"{_awaited(self._were_in_flight)}: waiting {GRACE_S:g} s at most for answers")
                for loop, _, _ in self._works:
                    loop.call_soon_threadsafe(loop.call_later, GRACE_S, self._leave)
                return
            if self._steppers and not self._works:
                self._say("stopping after this step of the training")
                return
        self._leave()
        if self.n_signals > 1 or not in_thread:
            raise KeyboardInterrupt

    def _leave(self) -> None:
        for loop, task, _ in self._works:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(task.cancel)

    def _say(self, words: str) -> None:
        if self._says:  # written past Python's buffers: the signal may have come in the middle of a write to them
            with contextlib.suppress(OSError):  # nobody reads
                os.write(2, f"\nstillhouse: {words}; once more leaves at once\n".encode())

    def sentence(self) -> str:
        """What was in flight, what came back and what was left; then what else is kept."""
        by = _SIGNALS[signal.Signals(self.signal or signal.SIGINT)]
        counted = _counted(self._were_in_flight) or "no call was in flight, so nothing is paid for twice"
        return "; ".join((f"stopped by {by}: {counted}", *self._told))


def _is_asyncio_s(handler: object) -> bool:
    """Whether `asyncio.run` set it. It would wait for work in another thread, and the work never hear of it."""
    return getattr(getattr(handler, "func", None), "__module__", None) == asyncio.runners.__name__


class counted:
    """While a server waits for its paid calls and gives up the rest: which of them were left. False: none was.

    For whoever hears the signals itself (`signals_to`). Calls of others in this process go on, and do not count.
    """

    def __enter__(self) -> "counted":
        self._calls = set(stopping.in_flight)
        stopping.watchers.append(self._calls)
        return self

    def __exit__(self, *_: object) -> None:
        stopping.watchers.remove(self._calls)
        self._calls -= stopping.in_flight

    def __bool__(self) -> bool:
        return not all(call.came_back for call in self._calls)

    def sentence(self) -> str:
        return _counted(self._calls)


def _counted(calls: Collection[PaidCall]) -> str:
    """How many were in flight, came back and were left; empty where none was in flight."""
    calls = [call for call in calls if not call.sends_batch]
    n, n_back = len(calls), sum(call.came_back for call in calls)
    if n == 0:
        return ""
    if n_back == n:
        return f"{_calls(n)} in flight, {_all(n)} came back and {'is' if n == 1 else 'are'} kept"
    left = n - n_back
    return (
        f"{_calls(n)} in flight, {n_back} came back, {left} {'was' if left == 1 else 'were'} left "
        "and may be paid for again"
    )


def _awaited(calls: Collection[PaidCall]) -> str:
    n = sum(not call.sends_batch for call in calls)
    return f"{_calls(n)} in flight" if n else "a batch is being sent"


def _calls(n: int) -> str:
    return "1 call was" if n == 1 else f"{n} calls were"


def _all(n: int) -> str:
    return "it" if n == 1 else f"all {n}"


stopping = Stopping()
