"""Anthropic's Message Batches: all requests in one body, the results line by line.

https://docs.anthropic.com/en/api/creating-message-batches
"""

import json
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Any

from stillhouse.errors import UserError
from stillhouse.llm.batch import BatchItem, BatchStatus
from stillhouse.llm.batch_http import BatchHttp, count_of, id_of, item_of, object_in, objects_in
from stillhouse.llm.dialect import ModelDialect, refused_parameter
from stillhouse.llm.finish import REFUSED, finish_word, stopped_early
from stillhouse.llm.message_parts import read_parts
from stillhouse.llm.request import Completion, Request, is_unicode
from stillhouse.llm.usage import read_usage, usage_in

VERSION = "2023-06-01"
_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}
_MAY_PASS = frozenset({"overloaded_error", "api_error", "rate_limit_error", "timeout_error"})
_MAX_TOKENS = 4096  # sent where the request names no limit, because the protocol demands a number
_TAKEN = frozenset({"temperature", "max_tokens", "stop", "top_p", "reasoning_effort"})
_OFFER = "message batches"
_CLOCKS_S = 5  # seconds by which the provider's clock and ours may differ


class AnthropicBatches:
    """Message batches of one model."""

    def __init__(self, http: BatchHttp, model: str, dialect: ModelDialect | None = None) -> None:
        self._http, self._model, self._dialect = http, model, dialect or ModelDialect(model)

    def line(self, request: Request) -> bytes:
        return json.dumps({"custom_id": request.hash, "params": self._params(request)}).encode()

    def _params(self, request: Request) -> dict[str, Any]:
        parameters = request.parameters
        if other := sorted(parameters.keys() - _TAKEN):
            raise UserError(
                f"anthropic:{self._model}: {', '.join(other)} cannot be sent in a batch of messages; "
                "label without --batch"
            )
        system = "\n\n".join(message["content"] for message in request.messages if message["role"] == "system")
        params: dict[str, Any] = {
            "model": self._model,
            "max_tokens": request.max_tokens or _MAX_TOKENS,
            "messages": [dict(message) for message in request.messages if message["role"] != "system"],
        }
        lacking = self._dialect.lacking(parameters)
        for name in ("temperature", "top_p"):
            if name in parameters and name not in lacking:
                params[name] = parameters[name]
        if system:
            params["system"] = system
        if parameters.get("stop"):
            params["stop_sequences"] = list(parameters["stop"])
        config: dict[str, Any] = {}
        if request.schema is not None:
            config["format"] = {"type": "json_schema", "schema": dict(request.schema)}
        if "reasoning_effort" in parameters:
            config["effort"] = parameters["reasoning_effort"]
        if config:
            params["output_config"] = config
        return params

    async def send(self, lines: Iterable[bytes], mark: str) -> str:
        body = b'{"requests": [' + b",".join(lines) + b"]}"
        headers = {"Content-Type": "application/json"}
        return id_of(await self._http.post("messages/batches", tries=1, data=body, headers=headers), _OFFER)

    async def find(self, mark: str, n: int, since: float) -> str | None:
        """The newest batch of `n` requests that was made since then: the protocol has no room for a mark.

        Should it be another batch, no harm is done: each result is taken by its request alone.
        """
        page = await self._http.get("messages/batches?limit=100")
        for row in objects_in(page, "data"):
            counts = object_in(row, "request_counts")
            n_requests = sum(count_of(counts, name) or 0 for name in counts)
            if n_requests == n and _moment(row.get("created_at")) >= since - _CLOCKS_S:
                return id_of(row, _OFFER)
        return None

    async def status(self, batch: str) -> BatchStatus:
        row = await self._http.get(f"messages/batches/{batch}")
        counts = object_in(row, "request_counts")
        n_done = sum(count_of(counts, name) or 0 for name in ("succeeded", "errored", "canceled", "expired"))
        return BatchStatus(row.get("processing_status") == "ended", n_done)

    async def results(self, batch: str) -> AsyncIterator[BatchItem]:
        async for line in self._http.lines(f"messages/batches/{batch}/results"):
            if (item := item_of(_item, line)) is not None:
                yield item

    async def close(self) -> None:
        await self._http.close()


def _moment(text: Any) -> float:
    """Seconds since 1970 of an ISO 8601 moment; 0 for what is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _item(line: dict[str, Any]) -> BatchItem | None:
    """One line of the results; None where it names no request."""
    hash_, result = line.get("custom_id"), line.get("result")
    if not isinstance(hash_, str) or not isinstance(result, dict):
        return None
    match result.get("type"):
        case "succeeded":
            message = result.get("message")
            if not message or isinstance(message, str):  # a page, or nothing at all, is no message
                return BatchItem(hash_, Completion(None), again=True)
            kind = object_in(message, "error").get("type")
            if isinstance(kind, str) and kind in _MAY_PASS:
                return BatchItem(hash_, Completion(None), again=True)
            return BatchItem(hash_, read_message(message))
        case "expired" | "canceled":
            return BatchItem(hash_, Completion(None), again=True)
    error = object_in(result, "error")
    error = object_in(error, "error") or error  # the result wraps the error in the API's usual form of an error
    words = error.get("message") or result.get("error") or "no reason given"  # some endpoints give a text alone
    kind, message = error.get("type"), str(words)[:200]
    return BatchItem(
        hash_,
        Completion(None, error=f"refused in a batch ({kind}: {message})"),
        again=isinstance(kind, str) and kind in _MAY_PASS,
        refuses=refused_parameter(json.dumps({"error": error}).encode()),
    )


def read_message(body: Any) -> Completion:
    """A message as a Completion; whatever is no message becomes a Completion whose `error` says so."""
    if not isinstance(body, dict):
        return Completion(None, error="reply is not a message")
    content, stop = read_parts(body), finish_word(body.get("stop_reason"))
    finish = None if stop is None else _FINISH.get(stop, stop)
    text, usage = content.text, read_usage(usage_in(body), answered=bool(content.text))
    if "content" not in body:
        return Completion(None, error="reply is not a message", finish_reason=finish, usage=usage)
    if not is_unicode("".join(part or "" for part in (text, content.thinking, content.refusal))):
        return Completion(None, error="reply is not valid Unicode", finish_reason=finish, usage=usage)
    error = stopped_early(finish, calls_tools=False)
    if content.refusal is not None:
        text, error = text or content.refusal, REFUSED
    elif error is None and not (text or "").strip():
        error = "empty reply"
    return Completion(text, error=error, finish_reason=finish, usage=usage, thinking=content.thinking)
