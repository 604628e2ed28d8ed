"""How a run stops that is neither done nor failed: it waits for a person, or was cancelled.

Inside the flow that is no Exception, so that a flow's own `except Exception` does not swallow it. Whoever runs the flow
gets an Exception, as a web server, a task group or a queue can deal with.
"""

from typing import Literal

from stillhouse.errors import StillhouseError


class Parked(StillhouseError):
    """The run waits for a person: what `Flow.run` raises. `flow.answer` gives the answer, `flow.resume` goes on."""

    status: Literal["waiting"] = "waiting"

    def __init__(self, run: str, question: str) -> None:
        super().__init__(
            f"the run {run} waits for an answer to {question!r}; "
            f"give it with `stillhouse answer {run} ANSWER`, then resume the run"
        )
        self.run, self.question = run, question

    def outside(self) -> "Parked":
        """What whoever runs the flow gets."""
        return self


class Cancelled(StillhouseError):
    """The run was cancelled by `flow.cancel`, and does not go on."""

    def __init__(self, run: str) -> None:
        super().__init__(f"the run {run} was cancelled; give another id to run it anew")
        self.run = run


class Parking(BaseException):
    """What stops a run's flow where it waits for a person: no further call begins."""

    status: Literal["waiting", "cancelled"] = "waiting"

    def __init__(self, run: str, question: str = "") -> None:
        super().__init__(run, question)
        self.run, self.question = run, question

    def again(self) -> "Parking":
        """The same, to be raised in another task."""
        return type(self)(self.run, self.question)

    def outside(self) -> StillhouseError:
        return Parked(self.run, self.question)


class Cancelling(Parking):
    """What stops a run's flow that is cancelled."""

    status = "cancelled"

    def outside(self) -> StillhouseError:
        return Cancelled(self.run)


def parked_in(error: BaseException) -> Parking | Parked | None:
    """What parked the run, in an exception or in a group of them; perhaps another run that the flow waits for."""
    if isinstance(error, Parking | Parked):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((parked for inner in error.exceptions if (parked := parked_in(inner)) is not None), None)
    return None
