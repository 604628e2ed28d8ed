"""What a forwarded call says: which step it is of, its input, its answer, its tokens. Nothing in it is trusted.

Read are chat completions, responses, Anthropic's messages and decisions, streamed or not. A call that is none of them,
or whose bodies cannot be read, is kept with what is known of it, and says why it is no row.
"""

import hashlib
import json
import zlib
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import aiohttp

from stillhouse.gateway.calls import MOST_KEPT, ForwardedCall
from stillhouse.json_text import JsonError, read_body
from stillhouse.llm.prices import call_cost
from stillhouse.llm.reply import read_completion
from stillhouse.llm.request import is_unicode
from stillhouse.llm.stream import BrokenStream, StreamError, is_stream, read_stream
from stillhouse.llm.transport import TooLong
from stillhouse.llm.usage import as_counted, read_usage, usage_in
from stillhouse.records import Usage

Kind = Literal["chat", "responses", "messages", "decisions", "other"]
_KINDS: tuple[tuple[str, Kind], ...] = (
    ("/chat/completions", "chat"),
    ("/responses", "responses"),
    ("/messages", "messages"),
    ("/decisions", "decisions"),
    ("/systemone", "decisions"),
)
_CONSTANT_ROLES = ("system", "developer")
# Why a call is no row of a step, in few words, as `harvest` counts them.
NO_ANSWER = "without a usable answer"
NO_TEXTS = "kept without texts"
SEVERAL_TURNS = "in a conversation of several turns"
NOT_TEXT = "with images, audio or files"
CALLS_TOOLS = "answered by a call of a tool"
UNREAD = "that cannot be read"
TOO_LONG = f"longer than {MOST_KEPT:,} bytes"
NOT_A_STEP = "of another kind"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCall:
    """A call as it is kept. Texts are None where they are not known or not wanted."""

    id: str
    began: float  # seconds since 1970
    kind: Kind
    upstream: str
    model: str | None
    step: str | None  # as the client named it
    constant: str | None  # hash of what all calls of the step have in common; None: nothing is
    status: int | None
    seconds: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    input_hash: str | None  # of the whole input, so that repeats are seen without its text
    output_hash: str | None
    no_row: str | None  # why it is no row; None: it is one
    session: str | None = None  # what the client says that calls share: a conversation, else a user
    instruction: str | None = None
    schema: str | None = None  # of the answer, JSON
    tools: str | None = None  # their names, as JSON
    input: str | None = None
    output: str | None = None

    def without_texts(self) -> "ReadCall":
        """What may be kept where texts may not."""
        no_row = self.no_row or NO_TEXTS
        return replace(
            self, instruction=None, schema=None, tools=None, input=None, output=None, session=None, no_row=no_row
        )


def read_call(call: ForwardedCall) -> ReadCall:
    """The call, read. Raises nothing for what clients and upstreams may send."""
    kind: Kind = next((kind for end, kind in _KINDS if call.method == "POST" and call.path.endswith(end)), "other")
    bare = ReadCall(
        id=call.id,
        began=call.began,
        kind=kind,
        upstream=call.upstream,
        model=None,
        step=_name(call.step),
        constant=None,
        status=call.status,
        seconds=call.seconds,
        input_tokens=None,
        output_tokens=None,
        cost_usd=None,
        input_hash=None,
        output_hash=None,
        no_row=NOT_A_STEP if kind == "other" else UNREAD,
    )
    if kind == "other":
        return bare
    if call.request.whole is None:
        return replace(bare, no_row=TOO_LONG)
    try:
        body = read_body(call.request.whole)
        if not isinstance(body, dict):
            return bare
        asked = _ASKED[kind](body)
    except (JsonError, LookupError, ValueError, TypeError, AttributeError, RecursionError):
        return bare
    model = body.get("model")
    common = [kind, asked.instruction, asked.schema, asked.tools]
    read = replace(
        bare,
        model=model if isinstance(model, str) and _is_usable(model) else None,
        step=bare.step or _name(_metadata(body).get("step")),
        constant=_hash(common) if any(part is not None for part in common[1:]) else None,
        session=_session(body),
        instruction=asked.instruction,
        schema=asked.schema,
        tools=asked.tools,
        input=asked.input,
        input_hash=None if asked.input is None else _hash(asked.input),
        no_row=asked.no_row,
    )
    return _with_answer(read, call)


# The call


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    instruction: str | None
    schema: str | None
    tools: str | None
    input: str | None
    no_row: str | None


def _asked_of_turns(
    instruction: Sequence[str], turns: Sequence[tuple[str, str | None]], schema: Any, tools: Any
) -> _Asked:
    """`turns`: (role, text) in order; the text is None where the turn holds more than text."""
    constant, no_row = list(instruction), None
    rest = []
    for role, text in turns:
        if role in _CONSTANT_ROLES and text is not None:
            constant.append(text)
        else:
            rest.append((role, text))
    if any(text is None for _, text in turns):
        no_row = NOT_TEXT
    elif [role for role, _ in rest] != ["user"]:
        no_row = SEVERAL_TURNS
    # Worked examples go before the last question in every call: they are no turns of a conversation. What tells them
    # apart is that they are the same in all calls, which one call cannot say.
    joined = "\n\n".join(constant)
    return _Asked(
        instruction=joined or None,
        schema=_canonical(schema),
        tools=_canonical(sorted(_tool_names(tools))) if tools else None,
        input=rest[-1][1] if rest else None,
        no_row=no_row,
    )


def _chat(body: Mapping[str, Any]) -> _Asked:
    turns = [(str(message["role"]), _text(message.get("content"))) for message in body["messages"]]
    wanted = body.get("response_format")
    schema = wanted.get("json_schema", wanted) if isinstance(wanted, dict) and wanted.get("type") != "text" else None
    return _asked_of_turns((), turns, schema, body.get("tools") or body.get("functions"))


def _responses(body: Mapping[str, Any]) -> _Asked:
    given = body["input"]
    turns: list[tuple[str, str | None]] = []
    if isinstance(given, str):
        turns = [("user", given)]
    else:
        for item in given:
            if item.get("type", "message") == "message":
                turns.append((str(item["role"]), _text(item.get("content"))))
            else:
                turns.append((str(item.get("type")), None))
    wanted = body["text"].get("format") if isinstance(body.get("text"), dict) else None
    schema = wanted if isinstance(wanted, dict) and wanted.get("type") != "text" else None
    instructions = body.get("instructions")
    instruction = [instructions] if isinstance(instructions, str) and _is_usable(instructions) else []
    asked = _asked_of_turns(instruction, turns, schema, body.get("tools"))
    # An earlier answer that the provider keeps is a turn that is not in the body.
    follows = body.get("previous_response_id") or body.get("conversation")
    return replace(asked, no_row=asked.no_row or SEVERAL_TURNS) if follows else asked


def _messages(body: Mapping[str, Any]) -> _Asked:
    system = body.get("system")
    instruction = [text] if system is not None and (text := _text(system)) else []
    turns = [(str(message["role"]), _text(message.get("content"))) for message in body["messages"]]
    return _asked_of_turns(instruction, turns, None, body.get("tools"))


def _decisions(body: Mapping[str, Any]) -> _Asked:
    given = body["input"]
    turns = (
        [("user", given)]
        if isinstance(given, str)
        else [(str(item.get("role") or "user"), _text(item.get("content"))) for item in given]
    )
    return _asked_of_turns((), turns, {"questions": body["questions"]}, None)


_ASKED = {"chat": _chat, "responses": _responses, "messages": _messages, "decisions": _decisions}


def _text(content: Any) -> str | None:
    """A turn's text; None where it holds anything else, or a call of a tool alone."""
    if isinstance(content, str):
        return content if _is_usable(content) else None
    if not isinstance(content, list):
        return None
    texts = []
    for part in content:
        if not isinstance(part, dict) or part.get("type") not in ("text", "input_text", "output_text"):
            return None
        if not isinstance(part.get("text"), str) or not _is_usable(part["text"]):
            return None
        texts.append(part["text"])
    return "\n".join(texts)


def _tool_names(tools: Any) -> list[str]:
    names = []
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function", tool)
        names.append(str(function.get("name") or tool.get("type")))
    return names


def _metadata(body: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = body.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _session(body: Mapping[str, Any]) -> str | None:
    """What calls share, by what the client says: its conversation before its user."""
    metadata = _metadata(body)
    conversation = body.get("conversation")
    named = (
        metadata.get("conversation_id"),
        metadata.get("session_id"),
        conversation.get("id") if isinstance(conversation, dict) else conversation,
        metadata.get("user_id"),
        body.get("user"),
        body.get("safety_identifier"),
    )
    found = next((name for name in named if isinstance(name, str) and name and is_unicode(name)), None)
    return None if found is None else hashlib.sha256(found.encode()).hexdigest()[:16]


# The answer


def _with_answer(read: ReadCall, call: ForwardedCall) -> ReadCall:
    if call.broke is not None or call.status is None or not 200 <= call.status < 300:
        return replace(read, no_row=NO_ANSWER)
    raw = call.answer.whole
    if raw is None:
        return replace(read, no_row=read.no_row or TOO_LONG)
    try:
        raw = _unpacked(raw, call.encoding)
        if is_stream(raw):
            raw = _joined(read.kind, raw)
        body = read_body(raw)
        output, usage = _ANSWERS[read.kind](body, raw)
    except (
        JsonError, LookupError, ValueError, TypeError, AttributeError, RecursionError,
        BrokenStream, StreamError, TooLong, aiohttp.ClientError, zlib.error,
    ):  # fmt: skip
        return replace(read, no_row=read.no_row or NO_ANSWER)
    answered_by = body.get("model")
    priced = [read.model, answered_by if isinstance(answered_by, str) else None]
    cost = None
    if usage is not None:
        when = datetime.fromtimestamp(call.began, UTC)
        provider = call.upstream if call.upstream in ("openai", "anthropic") else None
        for name in priced:
            if name is not None and cost is None:
                cost, _ = call_cost(f"{provider}:{name}" if provider else f"{call.upstream}#{name}", usage, when)
        usage = as_counted(usage)
    text = output if output is not None and _is_usable(output) and output.strip() else None
    return replace(
        read,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        cost_usd=cost,
        output=text,
        output_hash=None if text is None else _hash(text),
        no_row=read.no_row or (NO_ANSWER if text is None else None),
    )


def _chat_answer(body: Mapping[str, Any], raw: bytes) -> tuple[str | None, Usage | None]:
    completion = read_completion(raw, None)
    text = completion.text if completion.error is None and completion.tool_calls is None else None
    return text, completion.usage


def _responses_answer(body: Mapping[str, Any], raw: bytes) -> tuple[str | None, Usage | None]:
    usage = read_usage(usage_in(body))
    messages = [item for item in body["output"] if item.get("type") == "message"]
    calls = [item for item in body["output"] if str(item.get("type")).endswith("_call")]
    whole = body.get("status") in (None, "completed")
    return (_text(messages[-1]["content"]) if whole and messages and not calls else None), usage


def _messages_answer(body: Mapping[str, Any], raw: bytes) -> tuple[str | None, Usage | None]:
    usage = read_usage(usage_in(body))
    if body.get("stop_reason") not in ("end_turn", "stop_sequence"):
        return None, usage
    return "".join(block["text"] for block in body["content"] if block.get("type") == "text"), usage


def _decisions_answer(body: Mapping[str, Any], raw: bytes) -> tuple[str | None, Usage | None]:
    usage, answers = read_usage(usage_in(body)), body["answers"]
    if any(answer.get("type") == "refusal" for answer in answers):
        return None, usage
    chosen = [answer.get("choice", answer.get("value", answer.get("score"))) for answer in answers]
    if len(chosen) == 1 and isinstance(chosen[0], str):
        return chosen[0], usage
    return _canonical(chosen), usage


_ANSWERS = {
    "chat": _chat_answer,
    "responses": _responses_answer,
    "messages": _messages_answer,
    "decisions": _decisions_answer,
}


def _unpacked(raw: bytes, encoding: str) -> bytes:
    """The body as it was before it was packed for the way. What unpacks to too much is not read."""
    if encoding in ("", "identity"):
        return raw
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"packed as {encoding}")
    unpacker = zlib.decompressobj(wbits=47)  # 47: gzip and zlib, told apart by their heads
    unpacked = unpacker.decompress(raw, 8 * MOST_KEPT)
    if unpacker.unconsumed_tail:
        raise ValueError("it unpacks to too much")
    return unpacked


def _joined(kind: Kind, raw: bytes) -> bytes:
    """A streamed answer as the body that would have come without streaming."""
    if kind == "chat":

        async def pieces() -> AsyncIterator[bytes]:
            yield raw

        return _at_once(read_stream(pieces(), None, len(raw) + 1))
    events = [read_body(data) for data in _events(raw)]
    if kind == "responses":
        ends = [event["response"] for event in events if event.get("type") == "response.completed"]
        return json.dumps(ends[-1]).encode()
    if kind == "messages":
        return json.dumps(_message_of(events)).encode()
    raise ValueError("a stream of what is not streamed")


def _message_of(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    message = dict(next(event["message"] for event in events if event.get("type") == "message_start"))
    usage = dict(message.get("usage") or {})
    text: list[str] = []
    tool = False
    for event in events:
        if event.get("type") == "content_block_start":
            tool = tool or event["content_block"].get("type") == "tool_use"
        elif event.get("type") == "content_block_delta" and event["delta"].get("type") == "text_delta":
            text.append(event["delta"]["text"])
        elif event.get("type") == "message_delta":
            message |= {"stop_reason": event["delta"].get("stop_reason")}
            usage |= {name: n for name, n in (event.get("usage") or {}).items() if n is not None}
    if tool:
        message["stop_reason"] = "tool_use"
    return message | {"usage": usage, "content": [{"type": "text", "text": "".join(text)}]}


def _events(raw: bytes) -> list[bytes]:
    """The data of each event (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    events: list[bytes] = []
    data: list[bytes] = []
    for line in (*raw.replace(b"\r\n", b"\n").split(b"\n"), b""):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            events.append(b"\n".join(data))
            data = []
    return [event for event in events if event.strip() != b"[DONE]"]


def _at_once(work: Coroutine[Any, Any, bytes]) -> bytes:
    """The outcome of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        outcome: bytes = end.value
        return outcome
    work.close()
    raise RuntimeError("it waits")


# What both share


def _name(step: Any) -> str | None:
    """A step's name as a client may give it: printable, at most 100 characters."""
    if not isinstance(step, str) or not step.strip() or not is_unicode(step):
        return None
    return "".join(letter for letter in step.strip() if letter.isprintable())[:100] or None


def _is_usable(text: str) -> bool:
    """Whether every store can keep it: no half of a surrogate pair, and no NUL, which PostgreSQL has no place for."""
    return is_unicode(text) and "\0" not in text


def _canonical(value: Any) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=True).encode()).hexdigest()[:32]
