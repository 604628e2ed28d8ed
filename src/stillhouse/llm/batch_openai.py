"""OpenAI's Batch API: a file of requests is uploaded, a batch made of it, its output and error files read. https://platform.openai.com/docs/guides/batch"""

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiohttp

from stillhouse.errors import TeacherError
from stillhouse.llm.batch import BatchItem, BatchStatus
from stillhouse.llm.batch_http import BatchHttp
from stillhouse.llm.client import chat_body
from stillhouse.llm.dialect import ModelDialect, refused_parameter
from stillhouse.llm.reply import read_completion
from stillhouse.llm.request import Completion, Request

_ENDED = frozenset({"completed", "expired", "cancelled"})
_UNTRIED = frozenset({"batch_expired", "batch_cancelled"})


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

        file = _id(await self._http.post("files", form=form))
        made = {
            "input_file_id": file,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {"stillhouse": mark},
        }
        return _id(await self._http.post("batches", tries=1, json=made))

    async def find(self, mark: str, n: int, since: float) -> str | None:
        after = ""
        while True:
            page = await self._http.get(f"batches?limit=100{after}")
            rows = [row for row in page.get("data") or () if isinstance(row, dict)]
            for row in rows:
                if (row.get("metadata") or {}).get("stillhouse") == mark:
                    return _id(row)
            if not page.get("has_more") or not rows or (rows[-1].get("created_at") or 0) < since - 3600:
                return None
            after = f"&after={_id(rows[-1])}"

    async def status(self, batch: str) -> BatchStatus:
        found = await self._http.get(f"batches/{batch}")
        if found.get("status") == "failed":
            errors = (found.get("errors") or {}).get("data") or [{}]
            return BatchStatus(True, failed=str(errors[0].get("message") or "no reason given")[:200])
        counts = found.get("request_counts") or {}
        return BatchStatus(
            found.get("status") in _ENDED, int(counts.get("completed") or 0) + int(counts.get("failed") or 0)
        )

    async def results(self, batch: str) -> AsyncIterator[BatchItem]:
        found = await self._http.get(f"batches/{batch}")
        for file in (found.get("output_file_id"), found.get("error_file_id")):
            if file:
                async for row in self._http.lines(f"files/{file}/content"):
                    if (item := _item(row)) is not None:
                        yield item

    async def close(self) -> None:
        await self._http.close()


def _id(row: dict[str, Any]) -> str:
    if not isinstance(row.get("id"), str):
        raise TeacherError("the endpoint answered without an id; is this address an API with batches?")
    return str(row["id"])


def _item(row: dict[str, Any]) -> BatchItem | None:
    """One line of an output or error file; None where it names no request."""
    hash_, response, error = row.get("custom_id"), row.get("response"), row.get("error")
    if not isinstance(hash_, str):
        return None
    if isinstance(response, dict) and response.get("status_code") == 200:
        return BatchItem(hash_, read_completion(json.dumps(response.get("body")).encode(), latency_s=None))
    if isinstance(error, dict) and error.get("code") in _UNTRIED:
        return BatchItem(hash_, Completion(None), again=True)
    status, said = None, error
    if isinstance(response, dict):
        status = response.get("status_code")
        body = response.get("body")
        said = body.get("error") if isinstance(body, dict) else said
    message = str(said.get("message") if isinstance(said, dict) else said)[:200]
    refuses = refused_parameter(json.dumps({"error": said}).encode())
    again = status in (408, 409, 425, 429) or (isinstance(status, int) and status >= 500)
    return BatchItem(
        hash_,
        Completion(None, error=f"refused in a batch ({status or (error or {}).get('code')}: {message})"),
        again=again,
        refuses=refuses,
    )
