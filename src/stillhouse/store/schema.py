"""The tables, in SQL that SQLite and PostgreSQL both take, and the rows as values. Nothing here opens a database."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stillhouse.records import Usage

VERSION = 1

# `request_hash` is sha256 over the canonical request (model, messages, parameters, schema, sample index), so that an equal request is never paid for
# twice, whoever sends it. `request` and `response` are JSON text. Costs are US dollars; NULL: no price was known.
TABLES = (
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS completions (
        request_hash TEXT PRIMARY KEY,
        model TEXT NOT NULL,
        request TEXT NOT NULL,
        response TEXT NOT NULL,
        usage TEXT,
        cost_usd DOUBLE PRECISION,
        price_snapshot TEXT,
        latency_s DOUBLE PRECISION,
        created TEXT NOT NULL
    )""",
)


@dataclass(frozen=True, slots=True)
class StoredCompletion:
    """One paid call. `response` holds `text`, `finish_reason` and, where asked for, `token_logprobs`."""

    request_hash: str
    model: str
    request: Mapping[str, Any]
    response: Mapping[str, Any]
    usage: Usage | None
    cost_usd: float | None
    price_snapshot: str | None
    latency_s: float | None
    created: str  # ISO 8601, UTC
