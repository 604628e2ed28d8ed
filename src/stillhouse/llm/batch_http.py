"""The few HTTP calls that batch protocols make.

What may pass is tried again. What cannot pass is a TeacherError of one sentence, without the key.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import aiohttp

from stillhouse.addresses import without_secrets
from stillhouse.errors import TeacherError
from stillhouse.json_text import JsonError, NotJsonError, read_body
from stillhouse.llm.batch import BatchItem
from stillhouse.llm.endpoint_errors import may_pass, reason, without_key
from stillhouse.llm.finish import UNUSABLE
from stillhouse.llm.request import is_unicode
from stillhouse.proxies import proxy_for, trusted

_TRIES = 6
_CUSTOM_ID = re.compile(rb'"custom_id"\s*:\s*"([^"\\]{1,200})"')
_LINE = 8 * 2**20  # longest line of a results file, in bytes; no result is longer


class BatchHttp:
    """Calls of one address. `key` is taken out of whatever is quoted."""

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        key: str | None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.base_url, self._headers, self._key, self._sleep = base_url.rstrip("/"), dict(headers), key, sleep
        self._session: aiohttp.ClientSession | None = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=None, sock_read=120),
                connector=aiohttp.TCPConnector(ssl=trusted()),
            )
        return self._session

    async def get(self, path: str) -> dict[str, Any]:
        return await self._json("GET", path, _TRIES)

    async def post(
        self, path: str, tries: int = _TRIES, form: Callable[[], aiohttp.FormData] | None = None, **content: Any
    ) -> dict[str, Any]:
        """Send a request. With `tries` 1, raises ConnectionError where it is not known whether the provider took it.

        A form can be sent only once, so `form` makes it anew for each try.
        """
        return await self._json("POST", path, tries, form, **content)

    async def _json(
        self, method: str, path: str, tries: int, form: Callable[[], aiohttp.FormData] | None = None, **content: Any
    ) -> dict[str, Any]:
        for number in range(1, tries + 1):
            if form is not None:
                content = {"data": form()}
            try:
                url = f"{self.base_url}/{path}"
                async with self._opened().request(method, url, proxy=_through(url), **content) as response:
                    raw = await response.read()
                    if response.status == 200:
                        return self._object(raw, path)
                    failure = f"status {response.status}: {reason(raw, self._key)}"
                    if not may_pass(response.status):
                        raise TeacherError(
                            f"{self.base_url}/{path}: refused ({failure}); "
                            "check the key, the model's name and whether batches are offered here"
                        )
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                failure = without_secrets(without_key(f"connection failed: {error}", self._key))
            if number < tries:
                await self._sleep(min(60.0, 2.0**number))
        if tries == 1:
            raise ConnectionError(failure)
        raise TeacherError(
            f"{self.base_url}/{path}: failed after {tries} tries ({failure}); "
            "run this again when the endpoint is back: nothing is sent twice"
        )

    async def lines(self, url: str, *, filled: bool = True) -> AsyncIterator[Any]:
        """The objects of a JSONL file; lines that are none are left out.

        A page in the file's place, or nothing where it should be `filled`, passes as an overload does: it is fetched
        again. Raises TeacherError where the file cannot be had.
        """
        failure = ""
        for number in range(_TRIES):
            if number:
                await self._sleep(min(60.0, 2.0**number))
            n_rows, n_bytes = 0, 0
            try:
                async for line in self._lines_once(url):
                    n_bytes += len(line.strip())
                    if (row := _line(line)) is not None:
                        n_rows += 1
                        yield row
            except ConnectionError as error:
                failure = str(error)
                continue
            if n_rows or not (n_bytes or filled):
                return
            failure = "a page, and no results" if n_bytes else "an empty file"
        raise TeacherError(
            f"{url}: the results cannot be had ({failure}, in {_TRIES} tries); run this again: nothing is sent twice"
        )

    async def _lines_once(self, url: str) -> AsyncIterator[bytes]:
        """Raises ConnectionError for a status that may pass."""
        address = url if "://" in url else f"{self.base_url}/{url}"
        try:
            async with self._opened().get(address, proxy=_through(address)) as response:
                if response.status != 200:
                    words = f"status {response.status}: {reason(await response.read(), self._key)}"
                    if may_pass(response.status):
                        raise ConnectionError(words)
                    raise TeacherError(f"{url}: the results cannot be had ({words}); run this again")
                rest = b""
                async for chunk in response.content.iter_chunked(2**18):
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        yield line
                    rest = rest if len(rest) < _LINE else b""
                yield rest
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            message = f"{url}: the results broke off ({error}); run this again: what came is stored"
            raise TeacherError(without_key(message, self._key)) from None

    def _object(self, raw: bytes, path: str) -> dict[str, Any]:
        if (value := _object(raw)) is None:
            raise TeacherError(
                f"{self.base_url}/{path}: the reply is not JSON ({reason(raw, self._key)}); "
                "is this address an API with batches?"
            )
        return value

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _through(url: str) -> str | None:
    proxy = proxy_for(url)
    return None if proxy is None else proxy.url


def id_of(reply: Mapping[str, Any], offer: str) -> str:
    """The id that a provider gave. Raises TeacherError where there is none; `offer`: what its API should have."""
    if not isinstance(reply.get("id"), str):
        raise TeacherError(f"the endpoint answered without an id; is this address an API with {offer}?")
    return str(reply["id"])


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        value = read_body(raw)
    except JsonError:
        return None
    return value if isinstance(value, dict) else None


def _line(raw: bytes) -> dict[str, Any] | None:
    """A line of results. One that cannot be read, and names its request, is that request's failure: it is paid for."""
    try:
        value = read_body(raw)
    except JsonError as error:
        named = _CUSTOM_ID.search(raw)
        kind = "unreadable" if isinstance(error, NotJsonError) else UNUSABLE
        return None if named is None else failed_line(named[1].decode(), f"the line cannot be read: {error}", kind)
    return value if isinstance(value, dict) else None


def failed_line(hash_: str, why: str, kind: str = "unreadable") -> dict[str, Any]:
    """A request's failure, as both protocols spell one."""
    error = {"type": kind, "code": kind, "message": why}
    return {"custom_id": hash_, "error": error, "result": {"type": "errored", "error": error}}


def item_of(read: Callable[[dict[str, Any]], BatchItem | None], line: dict[str, Any]) -> BatchItem | None:
    """What a line says. One whose parts have other types than the protocol's is its own request's failure.

    The whole batch is paid for: whatever one line holds must not keep the others from being stored.
    """
    try:
        item = _fit_to_write(read(line))
        if item is not None and object_in(line, "error").get("type") == UNUSABLE:
            # It is whole and was paid for, so it is kept as a rejection and not bought again by a later command.
            return replace(item, completion=replace(item.completion, finish_reason=UNUSABLE))
        return item
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
        hash_ = line.get("custom_id")
        reason = f"the line cannot be read: {type(error).__name__}"
        return read(failed_line(hash_, reason)) if isinstance(hash_, str) else None


def _fit_to_write(item: BatchItem | None) -> BatchItem | None:
    """Half of a surrogate pair in an error's words, which no file can hold, becomes a question mark."""
    if item is None or item.completion.error is None or is_unicode(item.completion.error):
        return item
    words = item.completion.error.encode(errors="replace").decode()
    return replace(item, completion=replace(item.completion, error=words))


def object_in(row: Any, name: str) -> Mapping[str, Any]:
    """The object of that name; an empty one where there is none."""
    value = row.get(name) if isinstance(row, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def objects_in(row: Any, name: str) -> list[Mapping[str, Any]]:
    """The objects in the list of that name; none where there is no list."""
    value = row.get(name) if isinstance(row, Mapping) else None
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def count_of(row: Mapping[str, Any], name: str) -> int | None:
    """The count of that name; None where it is none."""
    value = row.get(name)
    return value if type(value) is int and 0 <= value < 2**53 else None
