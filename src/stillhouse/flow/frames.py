"""A flow inside a flow: a frame of the run, with its own model.

Its calls are those of the run around it, in a branch of their own. The frame is a row of the journal too (kind
`flow`), for whoever looks at the run: what the flow was given, what it gave, how long it took. It is never replayed:
its body runs again on resume, and its calls find their own answers.
"""

import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from pydantic_core import PydanticSerializationError, to_json

from stillhouse.flow.branches import Branch, branch_here, inner
from stillhouse.flow.call import Active, canonical_json, error_line
from stillhouse.flow.models import ModelName, asked_of, name_of
from stillhouse.steady_clock import steady_time
from stillhouse.store.journal import StepRow, branch_key, key_id

T = TypeVar("T")


async def run_frame(
    active: Active,
    name: str,
    model: ModelName | None,
    arguments: Mapping[str, Any],
    body: Callable[[], Awaitable[T]],
) -> T:
    """What `body` gives, as a frame of the run. `model` answers the model steps in it that name none."""
    with inner(f"flow {name}"), asked_of(model):
        frame = Frame(active, name, model, arguments, branch_here())
        try:
            running = body()
            if active.tracing is not None:
                running = active.tracing.frame(active, name, running)
            value = await running
        except Exception as error:
            frame.end(error=error_line(error))
            raise
        frame.end(output=_as_json(value))
        return value


class Frame:
    """One such flow. Its row is there from its first journaled call on."""

    def __init__(
        self, active: Active, name: str, model: ModelName | None, arguments: Mapping[str, Any], branch: Branch
    ) -> None:
        self._active, self._name, self._model, self._branch = active, name, model, branch
        self._arguments = canonical_json(json.loads(_as_json(dict(arguments))))
        self._parent, self._around = branch.body, branch.frame
        self._started, self._began = steady_time(), time.perf_counter()
        self._row: StepRow | None = None
        branch.frame = self

    @property
    def id(self) -> str:
        """What the frame's calls name as theirs.

        The branch of a resumed flow is known at its first call, so the id is not asked for before.
        """
        return key_id(self._begun().key)

    def _begun(self) -> StepRow:
        if self._row is None:
            digest = hashlib.sha256(f"flow\n{self._parent or ''}\n{self._arguments}".encode()).hexdigest()
            key = (self._name, branch_key(digest, self._branch.id), 0)
            row = self._active.earlier_frame(key)
            if row is None:
                row = self._written(None, key)
            self._row = row
        return self._row

    def end(self, *, output: str | None = None, error: str | None = None) -> None:
        """Journal how it ended, unless an earlier sitting did: nothing ran then."""
        if self._active.ended:
            return
        row = self._begun()
        if (row.output, row.error) != (output, error):
            self._written(row, row.key, output, error)

    def _written(
        self, before: StepRow | None, key: tuple[str, str, int], output: str | None = None, error: str | None = None
    ) -> StepRow:
        ended = output is not None or error is not None
        row = StepRow(
            key=key,
            kind="flow",
            parent=self._parent,
            version="",
            arguments=self._arguments,
            output=output,
            error=error,
            started=self._started if before is None else before.started,
            seconds=(0.0 if before is None else before.seconds) + (time.perf_counter() - self._began) * ended,
            attempts=1,
            facts=None if self._model is None else {"flow_model": name_of(self._model)},
            place=-1,
            frame=None if self._around is None else self._around.id,
        )
        self._active.journal.write(self._active.run, row)
        return row


def _as_json(value: Any) -> str:
    """A value for whoever looks at the run. What is no JSON (a connection, say) is named by its type."""
    try:
        return to_json(value, inf_nan_mode="strings", fallback=lambda part: f"<{type(part).__name__}>").decode()
    except (PydanticSerializationError, ValueError, RecursionError):
        return json.dumps(f"<{type(value).__name__}>")
