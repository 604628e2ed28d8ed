"""The chat-completions API over HTTP: requests out, completions in, nothing stored and nothing priced.

Straight JSON with aiohttp. What may pass (408, 409, 425, 429, 5xx, timeouts, broken connections) is tried again with jitter, or when the endpoint's
Retry-After says; what cannot (401, 403, 404) raises TeacherError in one sentence; what fails for one request alone (400, 413, 422, an unusable body)
is a Completion with its reason, so one bad row never blocks the rest.
"""

import asyncio
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import stamina

from stillhouse.errors import TeacherError
from stillhouse.llm.decisions import NO_DECISIONS, decision_body, read_decision
from stillhouse.llm.limits import Limiter
from stillhouse.llm.request import Completion, Request, ToolCall, is_unicode, text_listener, text_of
from stillhouse.llm.stream import Broken, read_stream
from stillhouse.records import Usage

MAX_BODY = 8 * 2**20  # bytes; a longer reply is no chat completion
_RETRIED = frozenset({408, 409, 425, 429})
_DEAD_AFTER = 8  # requests in a row that failed after all their tries, with no success between: the endpoint is down


class _Passing(Exception):
    """A failure that may pass. Carries what the last try saw, and how long the endpoint asks to wait."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


def _wait(error: Exception) -> bool | float:
    """stamina's hook: True retries with its own jittered backoff, a number waits for so many seconds."""
    if not isinstance(error, _Passing):
        return False
    return True if error.retry_after_s is None else error.retry_after_s


class ChatClient:
    """One endpoint and one model on it. The key is kept in the session's headers and taken out of whatever the endpoint echoes."""

    def __init__(
        self,
        base_url: str,
        model: str,
        key: str | None,
        limiter: Limiter,
        *,
        attempts: int = 6,
        timeout_s: float = 120.0,
        longest_wait_s: float = 60.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.base_url, self.model, self.limiter = base_url.rstrip("/"), model, limiter
        self._key, self._attempts, self._timeout_s, self._longest_wait_s, self._clock = key, attempts, timeout_s, longest_wait_s, clock
        self._session: aiohttp.ClientSession | None = None
        self._failures_in_a_row = 0

    def __repr__(self) -> str:
        return f"ChatClient({self.base_url!r}, {self.model!r})"

    async def complete(self, request: Request) -> Completion:
        """Send one request, with retries. Raises TeacherError where no request can succeed."""
        decides = "decision" in request.parameters
        path, body = ("decisions", decision_body(self.model, request)) if decides else ("chat/completions", self._body(request))
        tokens = sum(len(text_of(message)) for message in request.messages) // 4 + (request.max_tokens or 0)
        began = self._clock()
        try:
            async for attempt in stamina.retry_context(
                on=_wait, attempts=self._attempts, timeout=None, wait_initial=0.25, wait_max=self._longest_wait_s, wait_jitter=0.5
            ):
                with attempt:
                    async with self.limiter.slot(tokens):
                        began = self._clock()
                        status, headers, raw = await self._post(path, body)
                    completion = self._read(status, headers, raw, self._clock() - began, decides=decides)
        except _Passing as error:
            return self._failed(str(error))
        except Broken as error:  # part of the text was heard already: another try would be heard as well
            return Completion(None, error=f"the stream broke off ({self._clean(str(error))})")
        self._failures_in_a_row = 0
        self.limiter.succeeded()
        return completion

    def _failed(self, reason: str) -> Completion:
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= _DEAD_AFTER:
            raise TeacherError(
                f"{self.base_url}: {self._failures_in_a_row} requests in a row failed after {self._attempts} tries each ({reason}); "
                "run this again when the endpoint is back: what was answered is stored"
            )
        return Completion(None, error=f"endpoint failed: {reason}")

    def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, "messages": [dict(message) for message in request.messages], **request.parameters}
        if text_listener.get() is not None:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if request.schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(request.schema), "strict": True}}
        return body

    async def _post(self, path: str, body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        if self._session is None:
            headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            # The limiter bounds what is in flight; a second bound here would only hide it.
            self._session = aiohttp.ClientSession(
                headers=headers, timeout=aiohttp.ClientTimeout(total=self._timeout_s), connector=aiohttp.TCPConnector(limit=0)
            )
        try:
            async with self._session.post(f"{self.base_url}/{path}", json=body, allow_redirects=False) as response:
                if response.status == 200 and response.content_type == "text/event-stream":
                    return 200, response.headers, await read_stream(response.content, text_listener.get(), MAX_BODY)
                raw = b""
                async for chunk in response.content.iter_chunked(2**16):
                    raw += chunk
                    if len(raw) > MAX_BODY:
                        return 200, response.headers, b"the reply is longer than 8 MiB"
                return response.status, response.headers, raw
        except TimeoutError:
            raise _Passing(f"no answer within {self._timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _Passing(self._clean(f"connection failed ({error})")) from None

    def _read(self, status: int, headers: Mapping[str, str], raw: bytes, latency_s: float, *, decides: bool = False) -> Completion:
        if status in _RETRIED or status >= 500:
            retry_after_s = _retry_after_s(headers, self._longest_wait_s)
            if status == 429:
                self.limiter.slow_down(retry_after_s)
            raise _Passing(f"status {status}: {self._said(raw)}", retry_after_s)
        if status in (401, 403):
            raise TeacherError(f"{self.base_url}: the endpoint refuses the key ({status}: {self._said(raw)}); set the right key in the environment")
        if decides and status in (404, 405, 501):
            return Completion(None, error=NO_DECISIONS, latency_s=latency_s)
        if status == 404:
            raise TeacherError(f"{self.base_url}: no such model or path ({status}: {self._said(raw)}); check the name {self.model!r} and the address")
        if status != 200:
            return Completion(None, error=f"refused by the endpoint ({status}: {self._said(raw)})", latency_s=latency_s)
        return (read_decision if decides else read_completion)(raw, latency_s, self._clean)

    def _said(self, raw: bytes) -> str:
        """The endpoint's own words, short and without the key."""
        text = raw.decode(errors="replace")
        try:
            said = json.loads(text)["error"]
            text = said["message"] if isinstance(said, dict) else str(said)
        except (ValueError, KeyError, TypeError):
            pass  # not the API's error form: show the body as it is
        return " ".join(self._clean(text).split())[:200] or "no reason given"  # cleaned before it is cut: half a key is a key told, too

    def _clean(self, text: str) -> str:
        text = text.encode(errors="replace").decode()  # it goes into messages and files
        return text.replace(self._key, "[key]") if self._key else text

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0)  # lets the transports close before the loop ends
            self._session = None


def _retry_after_s(headers: Mapping[str, str], longest_s: float) -> float | None:
    """Seconds from a Retry-After header; None where there is none or it is no number, such as a date (then the backoff decides)."""
    try:
        asked_s = float(headers["Retry-After"])
    except (KeyError, ValueError):
        return None
    return None if math.isnan(asked_s) else min(max(asked_s, 0.0), longest_s)


def read_completion(raw: bytes, latency_s: float, clean: Callable[[str], str] = str) -> Completion:
    """A chat completion from a 200's body. Whatever is not one becomes a Completion whose `error` says what came instead."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):  # a thousand brackets nest deeper than the parser goes
        return Completion(None, error=f"reply is not JSON: {clean(raw.decode(errors='replace'))[:80]!r}", latency_s=latency_s)
    if not isinstance(body, dict):
        return Completion(None, error="reply is not a chat completion", latency_s=latency_s)
    if body.get("error"):
        return Completion(None, error=f"reply is an error with status 200: {clean(str(body['error']))[:200]}", latency_s=latency_s)
    usage = _usage(body.get("usage"))
    try:
        choice = body["choices"][0]
        text, finish = choice["message"].get("content"), choice.get("finish_reason")
        calls = _tool_calls(choice["message"].get("tool_calls"), clean)
    except (KeyError, IndexError, TypeError, AttributeError):
        return Completion(None, error="reply has no choices", usage=usage, latency_s=latency_s)
    error = None
    if isinstance(text, str) and not is_unicode(text):  # JSON may hold half of a surrogate pair, which no file can
        text, error = None, "reply is not valid Unicode"
    elif finish == "content_filter":
        error = "stopped by the content filter"
    elif finish == "length":
        error = "cut off at max_tokens"
    elif calls is None and (not isinstance(text, str) or not text.strip()):
        error = "empty reply"
    return Completion(
        clean(text) if isinstance(text, str) else None,
        error=error,
        finish_reason=clean(finish) if isinstance(finish, str) else None,
        usage=usage,
        latency_s=latency_s,
        token_logprobs=_logprobs(choice.get("logprobs")),
        tool_calls=calls,
    )


def _tool_calls(raw: Any, clean: Callable[[str], str]) -> tuple[ToolCall, ...] | None:
    if not raw:
        return None
    calls = tuple(ToolCall(str(call["id"]), str(call["function"]["name"]), clean(str(call["function"]["arguments"]))) for call in raw)
    return calls if all(is_unicode(call.id + call.name + call.arguments) for call in calls) else None


def _usage(raw: Any) -> Usage | None:
    if not isinstance(raw, dict):
        return None
    count = {name: value for name, value in _leaves(raw) if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53}
    totals = count.get("prompt_tokens"), count.get("completion_tokens"), count.get("cached_tokens"), count.get("reasoning_tokens")
    return Usage(*totals, written_input_tokens=count.get("cache_write_tokens"))


def _leaves(raw: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The counts and those of the two details objects."""
    details = (raw.get("prompt_tokens_details"), raw.get("completion_tokens_details"))
    return [pair for part in (*details, raw) if isinstance(part, dict) for pair in part.items()]


def _logprobs(raw: Any) -> tuple[tuple[str, float], ...] | None:
    """(token, log-probability) pairs; None where there are none, or one of them is no finite number or no text."""
    try:
        pairs = tuple((str(token["token"]), float(token["logprob"])) for token in raw["content"])
    except (KeyError, TypeError, ValueError):
        return None
    return pairs if all(-1e9 < value <= 1e-6 and is_unicode(token) for token, value in pairs) else None
