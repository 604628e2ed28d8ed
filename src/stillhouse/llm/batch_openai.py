"""OpenAI's Batch API: upload a file of requests, make a batch of it, read its output and error files.

https://platform.openai.com/docs/guides/batch
"""

import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiohttp

from stillhouse.json_text import JsonError, read_body
from stillhouse.llm.batch import BatchItem, BatchStatus
from stillhouse.llm.batch_http import BatchHttp, count_of, id_of, item_of, object_in, objects_in
from stillhouse.llm.client import chat_body
from stillhouse.llm.dialect import ModelDialect, refused_parameter
from stillhouse.llm.endpoint_errors import may_pass, status_within
from stillhouse.llm.reply import read_completion
from stillhouse.llm.request import Completion, Request

_ENDED = frozenset({"completed", "expired", "cancelled"})
_UNTRIED = frozenset({"batch_expired", "batch_cancelled"})
_OFFER = "batches"
_CLOCKS_S = 3600  # seconds by which the provider's clock and ours may differ


class OpenAIBatches:
    """Batches of one model at an OpenAI-compatible address."""

    def __init__(self, http: BatchHttp, model: str, dialect: ModelDialect | None = None) -> None:
        self._http, self._model, self._dialect = http, model, dialect or ModelDialect(model)

    def line(self, request: Request) -> bytes:
        body = self._dialect.body(chat_body(self._model, request))
        row = {"custom_id": request.hash, "method": "POST", "url": "/v1/chat/completions", "body": body}
        return json.dumps(row).encode() + b"\n"

    async def send(self, lines: Iterable[bytes], mark: str) -> str:
        content = b"".join(lines)

        def form() -> aiohttp.FormData:
            fields = aiohttp.FormData()
            fields.add_field("purpose", "batch")
            fields.add_field("file", content, filename=f"stillhouse-{mark}.jsonl", content_type="application/jsonl")
            return fields

        file = id_of(await self._http.post("files", form=form), _OFFER)
        batch = {
            "input_file_id": file,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {"stillhouse": mark},
        }
        return id_of(await self._http.post("batches", tries=1, json=batch), _OFFER)

    async def find(self, mark: str, n: int, since: float) -> str | None:
        after = ""
        while True:
            page = await self._http.get(f"batches?limit=100{after}")
            rows = objects_in(page, "data")
            for row in rows:
                if object_in(row, "metadata").get("stillhouse") == mark:
                    return id_of(row, _OFFER)
            if not page.get("has_more") or not rows or (count_of(rows[-1], "created_at") or 0) < since - _CLOCKS_S:
                return None
            after = f"&after={id_of(rows[-1], _OFFER)}"

    async def status(self, batch: str) -> BatchStatus:
        row = await self._http.get(f"batches/{batch}")
        if row.get("status") == "failed":
            errors = objects_in(object_in(row, "errors"), "data") or [{}]
            return BatchStatus(True, failed=str(errors[0].get("message") or "no reason given")[:200])
        counts = object_in(row, "request_counts")
        n_done = (count_of(counts, "completed") or 0) + (count_of(counts, "failed") or 0)
        return BatchStatus(str(row.get("status")) in _ENDED, n_done)

    async def results(self, batch: str) -> AsyncIterator[BatchItem]:
        row = await self._http.get(f"batches/{batch}")
        n_good = count_of(object_in(row, "request_counts"), "completed")
        for file, filled in ((row.get("output_file_id"), bool(n_good)), (row.get("error_file_id"), False)):
            if file:
                async for line in self._http.lines(f"files/{file}/content", filled=filled):
                    if (item := item_of(_item, line)) is not None:
                        yield item

    async def close(self) -> None:
        await self._http.close()


def _item(line: dict[str, Any]) -> BatchItem | None:
    """One line of an output or error file; None where it names no request."""
    hash_, response, error = line.get("custom_id"), line.get("response"), line.get("error")
    if not isinstance(hash_, str):
        return None
    if isinstance(response, dict) and (body := _body(response)) is not None:
        if not isinstance(body, dict | list) or not body:  # a proxy's page, or nothing at all: as a 502
            return BatchItem(hash_, Completion(None), again=True)
        raw = json.dumps(body).encode()
        if (within := status_within(raw)) is not None and may_pass(within):
            return BatchItem(hash_, Completion(None), again=True)
        return BatchItem(hash_, read_completion(raw, latency_s=None))
    code = object_in(line, "error").get("code")
    if isinstance(code, str) and code in _UNTRIED:
        return BatchItem(hash_, Completion(None), again=True)
    status, details = None, error
    if isinstance(response, dict) and not error and _status(response) is None and not response.get("body"):
        return BatchItem(hash_, Completion(None), again=True)  # neither an answer nor a reason why there is none
    if isinstance(response, dict):
        status, body = _status(response), response.get("body")
        details = body.get("error") if isinstance(body, dict) else error
    message = str(details.get("message") if isinstance(details, dict) else details)[:200]
    return BatchItem(
        hash_,
        Completion(None, error=f"refused in a batch ({status or code or 'no code'}: {message})"),
        again=status is not None and may_pass(status),
        refuses=refused_parameter(json.dumps({"error": details}).encode()),
    )


def _body(response: dict[str, Any]) -> Any:
    """What a response with status 200 holds, `""` for nothing; None for other responses.

    Some endpoints leave the status out, put the completion in the response's place, or write it as a text.
    """
    status, body = _status(response), response.get("body")
    if isinstance(body, str):
        with contextlib.suppress(JsonError):
            body = read_body(body)
    if response.get("status_code") is None:
        body = response if "choices" in response else body
        return body if isinstance(body, dict) and "choices" in body else None
    return (body or "") if status == 200 else None


def _status(response: dict[str, Any]) -> int | None:
    """The HTTP status, which some endpoints write as a text; None: there is none."""
    value = response.get("status_code")
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) == 3:
        return int(value)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and 100 <= value < 600 else None
