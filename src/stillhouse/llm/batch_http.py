"""The few HTTP calls that batch protocols make: each tried again where it may pass, and what cannot pass is one sentence without the key."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import aiohttp

from stillhouse.errors import TeacherError

_TRIES = 6
_LINE = 8 * 2**20  # bytes; a longer result is none


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
                headers=self._headers, timeout=aiohttp.ClientTimeout(total=None, sock_read=120)
            )
        return self._session

    async def get(self, path: str) -> dict[str, Any]:
        return await self._json("GET", path, _TRIES)

    async def post(
        self, path: str, tries: int = _TRIES, form: Callable[[], aiohttp.FormData] | None = None, **content: Any
    ) -> dict[str, Any]:
        """With `tries` 1, raises ConnectionError where it is not known whether the provider took it. A form can be sent once, so each try makes it anew."""
        return await self._json("POST", path, tries, form, **content)

    async def _json(
        self, method: str, path: str, tries: int, form: Callable[[], aiohttp.FormData] | None = None, **content: Any
    ) -> dict[str, Any]:
        for number in range(1, tries + 1):
            if form is not None:
                content = {"data": form()}
            try:
                async with self._opened().request(method, f"{self.base_url}/{path}", **content) as response:
                    raw = await response.read()
                    if response.status == 200:
                        return self._object(raw, path)
                    reason = f"status {response.status}: {self._said(raw)}"
                    if response.status < 500 and response.status not in (408, 409, 425, 429):
                        raise TeacherError(
                            f"{self.base_url}/{path}: refused ({reason}); check the key, the model's name and whether batches are offered here"
                        )
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                reason = self._clean(f"connection failed: {error}")
            if number < tries:
                await self._sleep(min(60.0, 2.0**number))
        if tries == 1:
            raise ConnectionError(reason)
        raise TeacherError(
            f"{self.base_url}/{path}: failed after {tries} tries ({reason}); run this again when the endpoint is back: nothing is sent twice"
        )

    async def lines(self, url: str) -> AsyncIterator[Any]:
        """The objects of a JSONL file; lines that are none are left out. Raises TeacherError where the file cannot be had."""
        try:
            async with self._opened().get(url if "://" in url else f"{self.base_url}/{url}") as response:
                if response.status != 200:
                    raise TeacherError(
                        f"{url}: the results cannot be had (status {response.status}: {self._said(await response.read())}); run this again"
                    )
                rest = b""
                async for chunk in response.content.iter_chunked(2**18):
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        if (row := _row(line)) is not None:
                            yield row
                    rest = rest if len(rest) < _LINE else b""
                if (row := _row(rest)) is not None:
                    yield row
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise TeacherError(
                self._clean(f"{url}: the results broke off ({error}); run this again: what came is stored")
            ) from None

    def _object(self, raw: bytes, path: str) -> dict[str, Any]:
        if (found := _row(raw)) is None:
            raise TeacherError(
                f"{self.base_url}/{path}: the reply is not JSON ({self._said(raw)}); is this address an API with batches?"
            )
        return found

    def _said(self, raw: bytes) -> str:
        text = raw.decode(errors="replace")
        found = _row(raw)
        if found is not None and isinstance(found.get("error"), dict):
            text = str(found["error"].get("message", text))
        return " ".join(self._clean(text).split())[:200] or "no reason given"

    def _clean(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _row(raw: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
