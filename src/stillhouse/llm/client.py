"""The chat-completions API over HTTP: requests out, completions in, nothing stored and nothing priced.

The JSON is sent as it is: with aiohttp where somebody listens while the reply is written, else over `transport`. A
failure is one of three kinds.

- It may pass (408, 409, 425, 429, 5xx, timeouts, broken connections, a 200 without a reply or with such an error in
  it): the request is sent again, when the endpoint's Retry-After says, or else after a wait with jitter.
- No request can pass (401, 403, 404, an account without quota): TeacherError, in one sentence.
- This one request fails (400, 413, 422, an unusable body): a Completion with the reason, so that one bad row never
  blocks the rest.

A parameter that the model refuses is not sent any more, or goes under its other name (`dialect`), and the request is
sent again at once.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
from pydantic_core import to_json

from stillhouse.addresses import without_secrets
from stillhouse.errors import TeacherError
from stillhouse.llm.decisions import NO_DECISIONS, NO_DECISIONS_STATUSES, decision_body, read_decision
from stillhouse.llm.dialect import ModelDialect, refused_parameter
from stillhouse.llm.endpoint_errors import error_code, may_pass, no_reply, reason, status_within, without_key
from stillhouse.llm.limit_headers import retry_after_s
from stillhouse.llm.limits import CallSlot, Expected, Limiter
from stillhouse.llm.pace import Refusal
from stillhouse.llm.reply import read_completion
from stillhouse.llm.request import Completion, Request, text_listener, text_of, waits
from stillhouse.llm.stream import BrokenStream, StreamError, is_stream, read_stream
from stillhouse.llm.transport import TooLong, Transport
from stillhouse.proxies import proxy_for, trusted
from stillhouse.stopping import unsent

MAX_BODY = 8 * 2**20  # longest reply in bytes; a longer one is no chat completion
_TOO_LONG = 0  # stands in the place of a status where the reply is longer than MAX_BODY
_FIRST_WAIT_S = 0.25
_PATIENCE_S = 900.0  # seconds for which a 429 is tried again, however often: the endpoint is there and says "later"
_ALONE = 12  # refusals (429) of one request while others pass; after so many, that request itself is at fault
_TOO_LARGE = "Request too large"  # how OpenAI's 429 begins for a request that is larger than a whole minute's tokens
# Requests in a row that fail after all their tries; after so many without a success, the endpoint is down.
_DEAD_AFTER = 8
_NO_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


class _MayPass(Exception):
    """A try failed in a way that may pass. `retry_after_s`: what the endpoint asks to wait. `refusal`: of a 429."""

    def __init__(self, reason: str, retry_after_s: float | None = None, *, refusal: Refusal | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s, self.refusal = retry_after_s, refusal


class _ParameterRefused(Exception):
    """The model does not take one of the parameters. `completion` is the reply if nothing can be done about it."""

    def __init__(self, parameter: str, completion: Completion) -> None:
        super().__init__(parameter)
        self.parameter, self.completion = parameter, completion


@dataclass(slots=True)
class _Tries:
    """The tries of one request that failed so far."""

    n: int = 0
    n_other: int = 0  # number of failures other than a 429
    refusal: Refusal | None = None  # the last try's refusal, if it was a 429
    first_429_at: float = 0.0

    def failed(self, failure: _MayPass) -> None:
        self.n += 1
        if failure.refusal is None:
            self.n_other += 1
        elif self.refusal is None:
            # Time spent earlier in the limiter's queue does not count as refused.
            self.first_429_at = failure.refusal.at
        self.refusal = failure.refusal

    def are_enough(self, most: int) -> bool:
        """Whether to give up. Refusals are borne for longer than failures, of which `most` are enough."""
        if self.refusal is None:
            return self.n_other >= most
        return self.refusal.at - self.first_429_at >= _PATIENCE_S or self.refusal.alone >= _ALONE


class ChatClient:
    """One endpoint and one model on it.

    The key is kept in the session's headers. It is taken out of whatever the endpoint echoes.
    """

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
        self._key, self._attempts, self._jitter = key, attempts, jitter
        self._timeout_s, self._longest_wait_s = timeout_s, longest_wait_s
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
        if decides:
            path, body = "decisions", decision_body(self.model, request)
        else:
            path, body = "chat/completions", chat_body(self.model, request)
        refused = self.dialect.refused
        raw = to_json(self.dialect.body(body))
        n_characters = sum(len(text_of(message)) for message in request.messages)
        tries = _Tries()
        while True:
            try:
                completion = await self._try(path, raw, n_characters, request.max_tokens, decides, tries.refusal)
                break
            except _ParameterRefused as error:
                if error.parameter in refused or error.parameter not in request.parameters:
                    completion = error.completion
                    break
                self.dialect.refuse(error.parameter)
                refused = self.dialect.refused
                raw = to_json(self.dialect.body(body))
            except _MayPass as failure:
                tries.failed(failure)
                if tries.are_enough(self._attempts):
                    return self._failed(str(failure), tries.n)
                await self._wait(tries.n, failure.retry_after_s)
            except BrokenStream as error:
                # Part of the text was heard already, and with another try it would be heard twice.
                return Completion(None, error=f"the stream broke off ({self._told(error)})")
        self._failures_in_a_row = 0
        lacking = self.dialect.lacking(request.parameters)
        return replace(completion, lacking=lacking) if lacking else completion

    async def _wait(self, n_tries: int, retry_after_s: float | None) -> None:
        """Wait before the next try: as long as the endpoint asks, else twice as long as the last time.

        Jitter keeps requests that failed together from coming back together.
        """
        if retry_after_s is None:
            doubled_s = min(_FIRST_WAIT_S * 2 ** min(n_tries - 1, 30), self._longest_wait_s)
            wait_s = doubled_s * (0.5 + 0.5 * self._jitter())
        else:
            wait_s = retry_after_s * (1 + 0.1 * self._jitter())
        with waits():
            async with unsent():
                await self.limiter.sleep(wait_s)

    async def _try(
        self, path: str, raw: bytes, n_characters: int, max_tokens: int | None, decides: bool, refusal: Refusal | None
    ) -> Completion:
        """Send the request once. `refusal`: how its last try was refused, where that was a 429."""
        async with unsent():
            slot = await self.limiter.begin(*self._expected.tokens(n_characters, max_tokens))
        completion = None
        try:
            status, headers, reply = await self._post(path, raw)
            self.limiter.learn(headers)
            completion = self._read(status, headers, reply, slot, refusal, decides=decides)
        finally:
            self.limiter.end(slot, None if completion is None else completion.usage)
        self.limiter.succeeded(slot)
        if completion.usage is not None:
            self._expected.saw(n_characters, completion.usage)
        return completion

    def _failed(self, reason: str, tries: int) -> Completion:
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= _DEAD_AFTER:
            raise TeacherError(
                f"{self.base_url}: {self._failures_in_a_row} requests in a row failed after {tries} tries each "
                f"({reason}); run this again when the endpoint is back: what was answered is stored"
            )
        return Completion(None, error=f"endpoint failed: {reason}")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers={"Content-Type": "application/json"} | self._authorization,
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                connector=aiohttp.TCPConnector(limit=0, ssl=trusted()),  # the limiter alone bounds the calls under way
            )
        return self._session

    async def _post(self, path: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """(status, headers, body) of the reply. Raises _MayPass where none came."""
        try:
            return await (self._post_whole(path, body) if text_listener.get() is None else self._post_heard(path, body))
        except TooLong:
            return _TOO_LONG, {}, b""
        except StreamError as error:
            return 200, {}, json.dumps(error.body).encode()
        except TimeoutError:
            raise _MayPass(f"no answer within {self._timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _MayPass(f"connection failed ({self._told(error)})") from None

    async def _post_whole(self, path: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        if self._transport is None:
            self._transport = Transport(self.base_url, self._authorization, timeout_s=self._timeout_s, longest=MAX_BODY)
        status, headers, raw = await self._transport.post(path, body)
        # The endpoint streams although it was not asked to.
        if status == 200 and (_says_stream(headers) or is_stream(raw)):
            raw = await read_stream(_in_one_piece(raw), None, MAX_BODY)
        return status, headers, raw

    async def _post_heard(self, path: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        url, proxy = f"{self.base_url}/{path}", proxy_for(self.base_url)
        through = None if proxy is None else proxy.url
        async with self._opened().post(url, data=body, allow_redirects=False, proxy=through) as response:
            try:
                if response.status == 200:  # in one body or in a stream, its text is told
                    heard = text_listener.get()
                    return 200, response.headers, await read_stream(response.content.iter_any(), heard, MAX_BODY)
                raw = b""
                async for chunk in response.content.iter_any():
                    raw += chunk
                    if len(raw) > MAX_BODY:
                        raise TooLong
                return response.status, response.headers, raw
            except TooLong:
                response.close()  # the rest of the reply is not worth its traffic
                raise

    def _read(
        self,
        status: int,
        headers: Mapping[str, str],
        raw: bytes,
        slot: CallSlot,
        last_refusal: Refusal | None,
        *,
        decides: bool,
    ) -> Completion:
        """What a reply means: a Completion, or one of the exceptions above."""
        latency_s = self.limiter.clock() - slot.began
        if decides and status in NO_DECISIONS_STATUSES:
            return Completion(None, error=NO_DECISIONS, latency_s=latency_s, status=status)
        if status == 200:
            if (nothing := no_reply(raw, self._key)) is not None:
                raise _MayPass(f"status 200: {nothing}")  # a proxy's page, or nothing at all, passes as a 502 does
            status = status_within(raw) or 200
        words = "" if status == 200 else reason(raw, self._key)
        if may_pass(status) and not (status == 429 and words.startswith(_TOO_LARGE)):
            asked_s = retry_after_s(headers)
            wait_s = None if asked_s is None else min(asked_s, self._longest_wait_s)
            refusal = self._refused(raw, words, slot, wait_s, last_refusal) if status == 429 else None
            raise _MayPass(f"status {status}: {words}", wait_s, refusal=refusal)
        if status == _TOO_LONG:
            return Completion(None, error="the reply is longer than 8 MiB", latency_s=latency_s)
        if status in (401, 403):
            raise TeacherError(
                f"{self.base_url}: the endpoint refuses the key ({status}: {words}); "
                "set the right key in the environment"
            )
        if status == 404:
            raise TeacherError(
                f"{self.base_url}: no such model or path ({status}: {words}); "
                f"check the name {self.model!r} and the address"
            )
        if status != 200:
            error = f"refused by the endpoint ({status}: {words})"
            refused = Completion(None, error=error, latency_s=latency_s, status=status)
            if status in (400, 422) and (parameter := refused_parameter(raw)) is not None:
                raise _ParameterRefused(parameter, refused)
            return refused
        return (read_decision if decides else read_completion)(raw, latency_s, self._clean)

    def _refused(
        self, raw: bytes, words: str, slot: CallSlot, retry_after_s: float | None, last_refusal: Refusal | None
    ) -> Refusal:
        """Tell the limiter of a 429. Raises TeacherError where the account has nothing left to pay with."""
        if error_code(raw) in _NO_QUOTA:
            raise TeacherError(
                f"{self.base_url}: the account has no quota left ({words}); add credit, then run this again"
            )
        return self.limiter.refused(slot, retry_after_s, last_refusal)

    def _clean(self, text: str) -> str:
        return without_key(text, self._key)

    def _told(self, error: Exception) -> str:
        return without_secrets(self._clean(str(error)))

    async def close(self) -> None:
        if self._transport is not None:
            await self._transport.close()
            self._transport = None
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0)  # lets the transports close before the loop ends
            self._session = None


def _says_stream(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Type", "").lower().startswith("text/event-stream")


async def _in_one_piece(raw: bytes) -> AsyncIterator[bytes]:
    yield raw


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
