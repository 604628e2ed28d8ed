"""What is asked of a model and what comes back, as values; and what a model is to the rest of the code."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Any, Protocol

from stillhouse.errors import StorageError
from stillhouse.records import Example, Usage

# The encoder is made once: making one takes longer than using it.
_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class Request:
    """One call of a chat model. Equal requests have equal hashes, and an equal request is never paid for twice.

    `messages` are as the chat-completions API has them; `content` may be None beside `tool_calls`. `parameters`, too,
    have the API's names: temperature, max_tokens, stop, tools and so on. A `decision` among them (`instructions` and
    `choices`) makes it a call of the decisions API, with the messages as its input. `sample_index` tells the k samples
    of one prompt apart.
    """

    model: str
    messages: tuple[Mapping[str, Any], ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None  # JSON schema that a structured answer has to fit
    sample_index: int = 0

    @cached_property
    def hash(self) -> str:
        """sha256 (hex) over the canonical JSON of all fields."""
        return hashlib.sha256(_canonical(self.to_dict()).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": [dict(message) for message in self.messages],
            "parameters": dict(self.parameters),
            "schema": None if self.schema is None else dict(self.schema),
            "sample_index": self.sample_index,
        }

    @property
    def max_tokens(self) -> int | None:
        value = self.parameters.get("max_tokens")
        return value if isinstance(value, int) else None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model wants called. `arguments` is the model's text, JSON if all went well."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's reply.

    `text` None: there is no usable one, and `error` says why. Such a reply may still have been paid for.
    """

    text: str | None
    _: KW_ONLY
    error: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    cost_usd: float | None = None  # None: no price is known
    price_snapshot: str | None = None  # the price that the cost was computed with, and its date
    latency_s: float | None = None
    token_logprobs: tuple[tuple[str, float], ...] | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    top_logprobs: tuple[Mapping[str, float], ...] | None = None  # the likeliest tokens at each place
    scores: Mapping[str, float] | None = None  # the probability of each choice, where the request was a decision
    lacking: tuple[str, ...] = ()  # parameters that the model does not take; the request was sent without them
    created: str | None = None  # when the request was answered, ISO 8601, UTC
    status: int | None = None  # the HTTP status, where the endpoint refused this one request; None: no refusal
    from_store: bool = False  # True where the answer was in the store, paid for earlier
    is_unstored: bool = False  # the answer was paid for, but the store could not keep it
    thinking: str | None = None  # what the model thought before it answered, where it told; no part of the answer

    @property
    def was_paid(self) -> bool:
        """Whether an answer came that somebody paid for. Without any of these parts there was none."""
        parts = (self.finish_reason, self.usage, self.text, self.tool_calls)
        return any(part is not None for part in parts)


# A function that hears a model's text while it is being written; None: nobody listens, and nothing is streamed. Text
# from the store is told in one piece.
text_listener: ContextVar[Callable[[str], None] | None] = ContextVar("stillhouse_text_listener", default=None)

# Who is told of each answer that was paid for: None where it was stored, else why it could not be, and it is taken all
# the same. None here: nobody is told, and an answer that cannot be stored is lost with the error.
kept_listener: ContextVar[Callable[[StorageError | None], None] | None] = ContextVar(
    "stillhouse_kept_listener", default=None
)

# Called with 1 when a call begins to wait (for its next try, or for another command that makes it), and with -1 when it
# goes on. Whoever bounds the calls under way may start another one meanwhile.
between_tries: ContextVar[Callable[[int], None] | None] = ContextVar("stillhouse_between_tries", default=None)


@contextlib.contextmanager
def waits() -> Iterator[None]:
    """Tell `between_tries` that this call waits here."""
    tell = between_tries.get()
    if tell is None:
        yield
        return
    tell(1)
    try:
        yield
    finally:
        tell(-1)


@contextlib.contextmanager
def told_safely() -> Iterator[list[Exception]]:
    """In this block, whoever listens may fail without harm to the reply. What it raised is in the list, to be raised
    when the reply is stored; after that it hears no more of it."""
    told, failure = text_listener.get(), list[Exception]()
    if told is None:
        yield failure
        return

    def tell(piece: str) -> None:
        try:
            if not failure:
                told(piece)
        except Exception as error:  # the listener is the user's own code, and may raise anything
            failure.append(error)

    token = text_listener.set(tell)
    try:
        yield failure
    finally:
        text_listener.reset(token)


def text_of(message: Mapping[str, Any]) -> str:
    """All text of a message that a model reads: its content, and its calls of tools."""
    calls = message.get("tool_calls")
    return (message.get("content") or "") + (json.dumps(calls, ensure_ascii=False) if calls else "")


def is_unicode(text: str) -> bool:
    """Whether the text can be written to a file. Half of a surrogate pair, which JSON can name, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Model(Protocol):
    """Anything that answers requests: an endpoint, recorded answers, a script."""

    name: str
    in_flight: Callable[[], int]  # how many calls are worth having under way now
    bills: bool  # whether calls cost something
    stand_in: bool  # True for a script in a model's place, which is said wherever its answers are shown

    @property
    def price_snapshot(self) -> str | None: ...

    def known(self, hashes: Sequence[str]) -> set[str]:
        """Those of these requests that are paid for already."""
        ...

    def look_up(self, hashes: Sequence[str]) -> None:
        """Be told that these requests come next, and look them up together."""
        ...

    async def complete(self, request: Request, example: Example | None = None) -> Completion:
        """The reply. Raises TeacherError where no call of this model can succeed (wrong key, unknown model)."""
        ...

    async def close(self) -> None: ...
