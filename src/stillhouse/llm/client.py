"""The chat-completions API over HTTP: requests out, completions in, nothing stored and nothing priced.

Straight JSON: with aiohttp where a reply is heard while it is written, and over `transport` where none is. What may pass (408, 409, 425, 429, 5xx, timeouts,
broken connections) is tried again with jitter, or when the endpoint's Retry-After says; what cannot (401, 403, 404, an account without quota) raises
TeacherError in one sentence; what fails for one request alone (400, 413, 422, an unusable body) is a Completion with its reason, so one bad row never blocks
the rest. A parameter that the model refuses is sent no more, or under its other name (`dialect`), and the request at once again.
"""

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import aiohttp

from stillhouse.errors import TeacherError
from stillhouse.llm.decisions import NO_DECISIONS, decision_body, read_decision
from stillhouse.llm.dialect import ModelDialect, refused_parameter
from stillhouse.llm.limit_headers import retry_after_s
from stillhouse.llm.limits import Expected, Limiter, Slot
from stillhouse.llm.pace import Refusal
from stillhouse.llm.reply import read_completion
from stillhouse.llm.request import Completion, Request, between_tries, text_listener, text_of
from stillhouse.llm.stream import BrokenStream, read_stream
from stillhouse.llm.transport import TooLong, Transport

MAX_BODY = 8 * 2**20  # bytes; a longer reply is no chat completion
_TOO_LONG = 0  # in the place of a status
_RETRIED = frozenset({408, 409, 425, 429})
_FIRST_WAIT_S = 0.25
_PATIENCE_S = 900.0  # a 429 is tried again for so long, however often: the endpoint is there and says later
_ALONE = 12  # times that a request was refused with 429 while others passed: it is this request
_TOO_LARGE = "Request too large"  # how OpenAI's 429 begins for a request that is larger than a whole minute's tokens
_DEAD_AFTER = 8  # requests in a row that failed after all their tries, with no success between: the endpoint is down
_NEVER_PASSES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_encode = json.JSONEncoder().encode


class _Passing(Exception):
    """A failure that may pass. Carries what the last try saw, how long the endpoint asks to wait, and, of a 429, what it did."""

    def __init__(self, reason: str, retry_after_s: float | None = None, *, refusal: Refusal | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s, self.refusal = retry_after_s, refusal


class _Refused(Exception):
    """The model does not take one of the parameters."""

    def __init__(self, parameter: str, completion: Completion) -> None:
        super().__init__(parameter)
        self.parameter, self.completion = parameter, completion


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
        jitter: Callable[[], float] = random.random,
        dialect: ModelDialect | None = None,
    ) -> None:
        self.base_url, self.model, self.limiter = base_url.rstrip("/"), model, limiter
        self._key, self._attempts, self._timeout_s, self._longest_wait_s, self._jitter = (
            key,
            attempts,
            timeout_s,
            longest_wait_s,
            jitter,
        )
        self.dialect = dialect or ModelDialect(model)
        self._authorization = {"Authorization": f"Bearer {key}"} if key else {}
        self._session: aiohttp.ClientSession | None = None
        self._transport: Transport | None = None
        self._failures_in_a_row = 0
        self._expected = Expected()

    def __repr__(self) -> str:
        return f"ChatClient({self.base_url!r}, {self.model!r})"

    async def complete(self, request: Request) -> Completion:
        """Send one request, with retries. Raises TeacherError where no request can succeed."""
        decides = "decision" in request.parameters
        path, body = (
            ("decisions", decision_body(self.model, request))
            if decides
            else ("chat/completions", chat_body(self.model, request))
        )
        refused = self.dialect.refused
        raw = _encode(self.dialect.body(body)).encode()
        n_characters = sum(len(text_of(message)) for message in request.messages)
        tries, failures, refusal, refused_at = 0, 0, None, 0.0
        while True:
            try:
                completion = await self._try(path, raw, n_characters, request.max_tokens, decides, refusal)
                break
            except _Refused as error:
                if error.parameter in refused or error.parameter not in request.parameters:
                    completion = error.completion
                    break
                self.dialect.refuse(error.parameter)
                refused = self.dialect.refused
                raw = _encode(self.dialect.body(body)).encode()
            except _Passing as error:
                tries += 1
                if refusal is None and error.refusal is not None:
                    refused_at = error.refusal.at  # the time in the limiter's queue before it is no refusal
                refusal, failures = error.refusal, failures + (error.refusal is None)
                if (
                    failures >= self._attempts
                    if refusal is None
                    else refusal.at - refused_at >= _PATIENCE_S or refusal.alone >= _ALONE
                ):
                    return self._failed(str(error), tries)
                await self._wait(tries, error.retry_after_s)
            except BrokenStream as error:  # part of the text was heard already: another try would be heard as well
                return Completion(None, error=f"the stream broke off ({self._clean(str(error))})")
        self._failures_in_a_row = 0
        lacking = self.dialect.lacking(request.parameters)
        return replace(completion, lacking=lacking) if lacking else completion

    async def _wait(self, tries: int, retry_after_s: float | None) -> None:
        """Until the next try: what the endpoint asks for, else twice as long as the last time; with jitter, so that not all come back at once."""
        wait_s = (
            min(_FIRST_WAIT_S * 2 ** min(tries - 1, 30), self._longest_wait_s)
            if retry_after_s is None
            else retry_after_s
        )
        wait_s *= (0.5 + 0.5 * self._jitter()) if retry_after_s is None else (1 + 0.1 * self._jitter())
        told = between_tries.get()
        if told is None:
            await self.limiter.sleep(wait_s)
            return
        told(1)
        try:
            await self.limiter.sleep(wait_s)
        finally:
            told(-1)

    async def _try(
        self, path: str, raw: bytes, n_characters: int, max_tokens: int | None, decides: bool, refusal: Refusal | None
    ) -> Completion:
        place = await self.limiter.begin(*self._expected.tokens(n_characters, max_tokens))
        completion = None
        try:
            status, headers, reply = await self._post(path, raw)
            self.limiter.learn(headers)
            completion = self._read(status, headers, reply, place, refusal, decides=decides)
        finally:
            self.limiter.end(place, None if completion is None else completion.usage)
        self.limiter.succeeded(place)
        if completion.usage is not None:
            self._expected.saw(n_characters, completion.usage)
        return completion

    def _failed(self, reason: str, tries: int) -> Completion:
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= _DEAD_AFTER:
            raise TeacherError(
                f"{self.base_url}: {self._failures_in_a_row} requests in a row failed after {tries} tries each ({reason}); "
                "run this again when the endpoint is back: what was answered is stored"
            )
        return Completion(None, error=f"endpoint failed: {reason}")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Content-Type": "application/json"} | self._authorization
            # The limiter bounds what is in flight; a second bound here would only hide it.
            self._session = aiohttp.ClientSession(
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                connector=aiohttp.TCPConnector(limit=0),
            )
        return self._session

    async def _post(self, path: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        try:
            return await (self._post_whole(path, body) if text_listener.get() is None else self._post_heard(path, body))
        except TooLong:
            return _TOO_LONG, {}, b""
        except TimeoutError:
            raise _Passing(f"no answer within {self._timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _Passing(self._clean(f"connection failed ({error})")) from None

    async def _post_whole(self, path: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        if self._transport is None:
            self._transport = Transport(self.base_url, self._authorization, timeout_s=self._timeout_s, longest=MAX_BODY)
        status, headers, raw = await self._transport.post(path, body)
        if status == 200 and headers.get("Content-Type", "").startswith("text/event-stream"):  # streamed unasked
            lines = asyncio.StreamReader(limit=MAX_BODY)
            lines.feed_data(raw)
            lines.feed_eof()
            raw = await read_stream(lines, None, MAX_BODY)
        return status, headers, raw

    async def _post_heard(self, path: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        async with self._opened().post(f"{self.base_url}/{path}", data=body, allow_redirects=False) as response:
            if response.status == 200 and response.headers.get("Content-Type", "").startswith("text/event-stream"):
                return 200, response.headers, await read_stream(response.content, text_listener.get(), MAX_BODY)
            raw = b""
            while chunk := await response.content.readany():
                raw += chunk
                if len(raw) > MAX_BODY:
                    response.close()  # the rest is not worth its traffic
                    raise TooLong
            return response.status, response.headers, raw

    def _read(
        self,
        status: int,
        headers: Mapping[str, str],
        raw: bytes,
        place: Slot,
        refusal: Refusal | None = None,
        *,
        decides: bool = False,
    ) -> Completion:
        latency_s = self.limiter.clock() - place.began
        if (status in _RETRIED or status >= 500) and not (status == 429 and self._said(raw).startswith(_TOO_LARGE)):
            asked_s = retry_after_s(headers)
            wait_s = None if asked_s is None else min(asked_s, self._longest_wait_s)
            refusal = self._refused(raw, place, wait_s, refusal) if status == 429 else None
            raise _Passing(f"status {status}: {self._said(raw)}", wait_s, refusal=refusal)
        if status == _TOO_LONG:
            return Completion(None, error="the reply is longer than 8 MiB", latency_s=latency_s)
        if status in (401, 403):
            raise TeacherError(
                f"{self.base_url}: the endpoint refuses the key ({status}: {self._said(raw)}); set the right key in the environment"
            )
        if decides and status in (404, 405, 501):
            return Completion(None, error=NO_DECISIONS, latency_s=latency_s, status=status)
        if status == 404:
            raise TeacherError(
                f"{self.base_url}: no such model or path ({status}: {self._said(raw)}); check the name {self.model!r} and the address"
            )
        if status != 200:
            reason = f"refused by the endpoint ({status}: {self._said(raw)})"
            refused = Completion(None, error=reason, latency_s=latency_s, status=status)
            if status in (400, 422) and (parameter := refused_parameter(raw)) is not None:
                raise _Refused(parameter, refused)
            return refused
        return (read_decision if decides else read_completion)(raw, latency_s, self._clean)

    def _refused(self, raw: bytes, place: Slot, retry_after_s: float | None, earlier: Refusal | None) -> Refusal:
        if _code(raw) in _NEVER_PASSES:
            raise TeacherError(
                f"{self.base_url}: the account has no quota left ({self._said(raw)}); add credit, then run this again"
            )
        return self.limiter.refused(place, retry_after_s, earlier)

    def _said(self, raw: bytes) -> str:
        """The endpoint's own words, short and without the key."""
        text = raw.decode(errors="replace")
        try:
            said = json.loads(text)["error"]
            text = said["message"] if isinstance(said, dict) else str(said)
        except (ValueError, KeyError, TypeError):
            pass  # not the API's error form: show the body as it is
        return (
            " ".join(self._clean(text).split())[:200] or "no reason given"
        )  # cleaned before it is cut: half a key is a key told, too

    def _clean(self, text: str) -> str:
        text = text.encode(errors="replace").decode()  # it goes into messages and files
        return text.replace(self._key, "[key]") if self._key else text

    async def close(self) -> None:
        if self._transport is not None:
            await self._transport.close()
            self._transport = None
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0)  # lets the transports close before the loop ends
            self._session = None


def chat_body(model: str, request: Request) -> dict[str, Any]:
    """The body of a chat completion; streamed where somebody listens."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [dict(message) for message in request.messages],
        **request.parameters,
    }
    if text_listener.get() is not None:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if request.schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": dict(request.schema), "strict": True},
        }
    return body


def _code(raw: bytes) -> str | None:
    """The code in the API's error form."""
    try:
        code = json.loads(raw)["error"]["code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return code if isinstance(code, str) else None
