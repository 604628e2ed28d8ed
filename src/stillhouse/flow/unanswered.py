"""The calls of a sitting that gave the flow no answer: those that failed, and those that the flow gave up.

What a flow lived with is replayed. It caught a failure and did something else; it gave a call up when a time was over.
What ended the run is asked for anew. Which of the two a failure is, is known when the run ends:

- It ended the run if the exception that came out of the flow is it, holds it (a group), or was raised because of it:
  `from` it, or in its `except` block with no call in between.
- It ended the run, too, if it came out of its task, and no branch above has made a call since: `gather` gives the first
  of several failures alone, and what was wrong may be said with an exception of the flow's own.
- And so did the last thing that happened in the run.

A call that was cancelled is not known to be given up until the flow goes on: its row is written before the next call
begins, or when the run ends. Cancelled with the whole run, or by what ended the run, it is asked for anew.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from stillhouse.errors import StorageError
from stillhouse.flow.branches import Branch, Marks, went_on
from stillhouse.store.journal import StepKey, StepRow


@dataclass(eq=False, kw_only=True)
class NoAnswer:
    """A call without an answer, and how far the run was then."""

    key: StepKey
    marks: Marks
    n_begun: int
    n_ended: int
    replayed: bool  # it came out of the journal
    out_of_its_task: bool = False

    @property
    def handled(self) -> bool:
        """Whether the flow did something after it."""
        return went_on(self.marks)


@dataclass(eq=False, kw_only=True)
class GivenUp(NoAnswer):
    """A call that was cancelled. What it had sent may still come back."""

    row: Callable[[str | None, bool], StepRow]  # its row with this output; whether it is one to be replayed
    output: str | None = None
    is_paid: Callable[[], bool]  # whether a model was asked
    written: bool = False

    def is_cancelled_by(self, cause: NoAnswer) -> bool:
        """Whether this failure ended the branches around both: nothing ended in between, and they did nothing more."""
        around_both = {id(branch) for branch, _, _ in cause.marks}
        own = tuple(mark for mark in self.marks if id(mark[0]) not in around_both)
        return self.n_ended == cause.n_ended and not went_on(own)


@dataclass(kw_only=True)
class Unanswered:
    """Those of one sitting. `write` and `ask_anew` are the journal's."""

    write: Callable[[StepRow], None]
    ask_anew: Callable[[list[StepKey]], None]
    calls: list[NoAnswer] = field(default_factory=list)
    n_begun: int = 0  # calls that were made
    n_ended: int = 0  # calls that were answered, or failed
    _unwritten: list[GivenUp] = field(default_factory=list)
    stopped: bool = False  # the run was cancelled from outside

    def begins(self) -> None:
        """A call begins, or a person is asked: the flow goes on, so what was cancelled before is given up."""
        if self._unwritten and not self.stopped:
            for call in self._unwritten:
                self.keep(call)
            self._unwritten.clear()

    def failed(self, error: BaseException, key: StepKey, branch: Branch, *, replayed: bool) -> None:
        """A call failed with this exception."""
        call = NoAnswer(key=key, replayed=replayed, **self._now(branch))
        self.calls.append(call)
        error.__dict__.setdefault(_CALLS, []).append(call)

    def gave_up(
        self, key: StepKey, branch: Branch, row: Callable[[str | None, bool], StepRow], is_paid: Callable[[], bool]
    ) -> GivenUp:
        """A call was cancelled."""
        call = GivenUp(key=key, replayed=False, row=row, is_paid=is_paid, **self._now(branch))
        self.calls.append(call)
        self._unwritten.append(call)
        return call

    def _now(self, branch: Branch) -> dict[str, Any]:
        return {"marks": branch.marks(), "n_begun": self.n_begun, "n_ended": self.n_ended}

    def keep(self, call: GivenUp) -> None:
        """Write the row of a call as one that is given up."""
        self.write(call.row(call.output, True))
        call.written = True

    def came_back(self, call: GivenUp, output: str | None) -> None:
        """What a call that was given up had sent came back."""
        call.output = output
        if call.written:
            try:
                self.keep(call)
            except StorageError:
                call.written = False  # it is written when the run ends, which then fails

    def came_out(self, error: BaseException) -> None:
        """A task of the run ended with this exception."""
        for call in calls_behind(error):
            call.out_of_its_task = True

    def done(self) -> None:
        """The run is done: of what was cancelled last, what was paid for is kept."""
        for call in self._of_this_sitting():
            if not call.written and (call.output is not None or call.is_paid()):
                self.keep(call)

    def ended_by(self, error: BaseException | None) -> set[NoAnswer]:
        """The run failed with this exception, or stopped (None): what is asked for anew from now on.

        Their rows say so. What was sent, and came back after the flow had cancelled it, is an answer then.
        """
        ended = set() if error is None else self._unhandled(error)
        causes = list(ended)
        for call in self._of_this_sitting():
            if not call.written or not call.handled or any(call.is_cancelled_by(cause) for cause in causes):
                ended.add(call)
        for call in self._of_this_sitting():
            if call in ended and (call.written or call.output is not None or call.is_paid()):
                self.write(call.row(call.output, False))
        self.ask_anew([call.key for call in ended if not isinstance(call, GivenUp)])
        return ended

    def _of_this_sitting(self) -> list[GivenUp]:
        return [call for call in self.calls if isinstance(call, GivenUp)]

    def _unhandled(self, error: BaseException) -> set[NoAnswer]:
        ended = set(calls_behind(error))
        for call in self.calls:
            if isinstance(call, GivenUp):
                continue
            if call.n_begun == self.n_begun or (call.out_of_its_task and not call.handled):
                ended.add(call)
        return ended


_CALLS = "stillhouse_calls"


def calls_behind(error: BaseException) -> Iterator[NoAnswer]:
    """The calls that an exception comes of."""
    yield from error.__dict__.get(_CALLS, ())
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from calls_behind(member)
    if error.__cause__ is not None:
        yield from calls_behind(error.__cause__)
    elif error.__context__ is not None:  # raised in an `except` block
        yield from (call for call in calls_behind(error.__context__) if not call.handled)


def is_of_a_call(error: BaseException) -> bool:
    """Whether an exception that came out of a flow is a call's own, or was raised because of one."""
    seen: BaseException | None = error
    while seen is not None:
        if _CALLS in seen.__dict__:
            return True
        if isinstance(seen, BaseExceptionGroup) and any(map(is_of_a_call, seen.exceptions)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
