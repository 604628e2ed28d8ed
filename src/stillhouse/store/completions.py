"""The store of paid completions: its tables, its rows as values, and what every database behind it must do.

The SQL is what SQLite and PostgreSQL both take. Nothing here opens a database: `sqlite_completions` and
`postgres_completions` do.
"""

import asyncio
import functools
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from pydantic_core import to_json

from stillhouse.errors import StorageError
from stillhouse.records import Usage
from stillhouse.store import claims
from stillhouse.store.claims import BEAT_S, Claimed, ClaimRow, ClaimWork, OwnClaims, ToClaim, ToRelease
from stillhouse.store.schema import Schema
from stillhouse.store.writer import GroupWriter

# `request_hash` is the sha256 of the canonical request (model, messages, parameters, schema, sample index). So an equal
# request is never paid for twice, whoever sends it. `request` and `response` are JSON text. Costs are US dollars; NULL
# means that no price was known.
#
# The messages of a request form a chain: each row of `messages` names the one before it, and the completion names the
# last one, its `tip`. A conversation of n turns then stores n messages instead of n * n / 2. A system message that
# many calls share, and their worked examples, are stored once.
_MESSAGES = "CREATE TABLE IF NOT EXISTS messages (hash TEXT PRIMARY KEY, parent TEXT, message TEXT NOT NULL)"
TABLES = (
    """CREATE TABLE IF NOT EXISTS completions (
        request_hash TEXT PRIMARY KEY,
        model TEXT NOT NULL,
        request TEXT NOT NULL,
        response TEXT NOT NULL,
        usage TEXT,
        cost_usd DOUBLE PRECISION,
        price_snapshot TEXT,
        latency_s DOUBLE PRECISION,
        created TEXT NOT NULL,
        tip TEXT
    )""",
    _MESSAGES,
    *claims.TABLES,
)
CHANGES = (
    # Version 1 had no `messages` and no `tip`: its rows, which are still read, hold their messages in `request`.
    ("ALTER TABLE completions ADD COLUMN tip TEXT", _MESSAGES),
    claims.TABLES,  # version 2 had no claims
)
SCHEMA = Schema("store", "version", "completions", TABLES, CHANGES)
COLUMNS = "request_hash, model, request, response, usage, cost_usd, price_snapshot, latency_s, created, tip"

CompletionRow = tuple[
    str, str, str, str, str | None, float | None, str | None, float | None, str, str | None
]  # COLUMNS
MessageRow = tuple[str, str | None, str]  # hash, parent, message
Written = tuple[CompletionRow, list[MessageRow]]  # a completion, and the chain of its messages
Item = Written | ToClaim | ToRelease  # what one commit is made of
JoinedRow = tuple[Any, ...]  # a CompletionRow, then the parent and the message of its tip


def select(marks: str) -> str:
    """SQL that gives the `JoinedRow`s of the completions with these hashes."""
    return (
        f"SELECT {COLUMNS}, parent, message FROM completions LEFT JOIN messages ON messages.hash = completions.tip"
        f" WHERE request_hash IN ({marks})"
    )


def select_chains(marks: str) -> str:
    """SQL that gives all messages up to each of these tips, as rows of (tip, message), the first message first."""
    return f"""WITH RECURSIVE chain(tip, parent, message, depth) AS (
            SELECT hash, parent, message, 0 FROM messages WHERE hash IN ({marks})
            UNION ALL SELECT chain.tip, messages.parent, messages.message, depth + 1
            FROM chain JOIN messages ON messages.hash = chain.parent
        ) SELECT tip, message FROM chain ORDER BY tip, depth DESC"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCompletion:
    """One paid call. `response` holds `text`, `finish_reason`, `error`, and what else the reply had (`llm.metered`)."""

    request_hash: str
    model: str
    request: Mapping[str, Any]
    response: Mapping[str, Any]
    usage: Usage | None
    cost_usd: float | None
    price_snapshot: str | None
    latency_s: float | None
    created: str  # when the completion was made, ISO 8601, UTC


class Store(ABC):
    """The paid completions in some database. Use it as a context manager, or call `close`.

    Every method raises StorageError where the database refuses.
    """

    def __init__(self) -> None:
        self._claims = OwnClaims()
        self._writer: GroupWriter[Item, Claimed | None] = GroupWriter("store-writer", self._commit, idle_s=BEAT_S)

    def get(self, request_hash: str) -> StoredCompletion | None:
        """The completion of this request, if it was ever paid for. One look-up by key: fit for the event loop."""
        return next(iter(self.get_many([request_hash])), None)

    @abstractmethod
    def get_many(self, hashes: Sequence[str]) -> list[StoredCompletion]:
        """The completions that exist of these requests, in no particular order."""

    @abstractmethod
    def known(self, hashes: Sequence[str]) -> set[str]:
        """Those of these requests that have a completion."""

    async def put(self, completion: StoredCompletion) -> None:
        """Commit one completion, which ends the claim on it. A request that already has a completion keeps it."""
        try:
            row = to_row(completion)
        except (ValueError, TypeError) as error:
            raise self._refused(error) from None
        await self._writer.put(row)

    async def claim(self, request_hash: str, *, batch: str | None = None) -> Claimed:
        """Say that the caller is about to pay for this call. Unless that is "ours", the caller must not.

        What is ours ends with `put` or `release`. `batch` (`claims.batch_of`): the call is sent in a batch.
        """
        try:
            claimed = await self._writer.put(ToClaim(request_hash, batch))
        except asyncio.CancelledError:
            self.release(request_hash)
            raise
        assert claimed is not None
        return claimed

    def release(self, request_hash: str) -> None:
        """Give up a claim of ours. It is gone a moment later."""
        self._writer.send(ToRelease(request_hash))

    def claimed(self, hashes: Sequence[str]) -> list[ClaimRow]:
        """The claims on these requests behind which something still stands, ours or another's."""
        return [row for row in self.claims_on(hashes) if row.held()]

    def claims_on(self, hashes: Sequence[str]) -> list[ClaimRow]:
        """As `claimed`, and those that whoever comes may take over."""
        return [row for row in self._claim_rows(hashes) if not self._given_up(row)]

    def _given_up(self, row: ClaimRow) -> bool:
        """Whether it is ours no more, though the database may not know it yet."""
        return row.owner == self._claims.owner and row.request_hash not in self._claims.held

    @abstractmethod
    def _claim_rows(self, hashes: Sequence[str]) -> list[ClaimRow]:
        """The claims on these requests, as they are stored."""

    def _commit(self, items: Sequence[Item]) -> Sequence[Claimed | None]:
        """Runs in the writer's thread."""
        rows = [item for item in items if isinstance(item, tuple)]
        stored = {row[0] for row, _ in rows}
        work = self._claims.gathered(items, stored)
        claimed = self._write(rows, work)
        self._claims.committed(work, stored, claimed)
        outcomes: list[Claimed | None] = ["theirs" if isinstance(item, ToClaim) else None for item in items]
        for index, hash_ in work.claimants.items():
            outcomes[index] = claimed.get(hash_, "theirs")
        return outcomes

    @abstractmethod
    def _write(self, rows: Sequence[Written], work: ClaimWork) -> Mapping[str, Claimed]:
        """Commit completions and claims; what the claims that were asked for came to."""

    @abstractmethod
    def count(self) -> int:
        """How many completions there are."""

    @abstractmethod
    def close(self) -> None:
        """Commit what is queued, give up what is claimed and close the database."""

    @abstractmethod
    def _refused(self, error: Exception) -> StorageError:
        """What to tell the user of an error of the database."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


# Beginnings of conversations kept in memory; with more, those that are not needed just now are forgotten.
_BEGINNINGS = 1000
_SELDOM = ("doubt", "unplaced_tokens")  # written only where the counts do not add up
_COUNTS = tuple(field.name for field in fields(Usage) if field.name not in _SELDOM)
# Made once: making one takes longer than using it.
_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def chain(messages: Sequence[Any]) -> list[MessageRow]:
    """The messages as rows. A message's hash is the sha256 (hex) of its parent's hash and its own canonical JSON."""
    rows: list[MessageRow] = []
    parent = None
    for message in messages:
        plain = isinstance(message, dict) and all(type(value) is str for value in message.values())
        row = _plain_row(parent, tuple(message.items())) if plain else _row(parent, message)
        rows.append(row)
        parent = row[0]
    return rows


def _row(parent: str | None, message: Any) -> MessageRow:
    text = _canonical(message)
    return hashlib.sha256(f"{parent or ''}{text}".encode()).hexdigest(), parent, text


# Worked examples stand in every request, so their hashes are kept. Only messages whose values are all texts come here:
# to a cache 1 and True are one key, and their JSON differs.
@functools.lru_cache(maxsize=4096)
def _plain_row(parent: str | None, message: tuple[tuple[str, str], ...]) -> MessageRow:
    return _row(parent, dict(message))


def to_row(completion: StoredCompletion) -> Written:
    """The rows to write. Raises ValueError or TypeError for what JSON or UTF-8 cannot hold."""
    request: Mapping[str, Any] = completion.request
    messages: list[MessageRow] = []
    if isinstance(conversation := request.get("messages"), (list, tuple)) and conversation:
        messages = chain(conversation)
        request = {name: value for name, value in request.items() if name != "messages"}
    usage = None if completion.usage is None else to_json(_counts(completion.usage)).decode()
    # Half a surrogate pair is refused here, where one call waits, and not in a commit that many calls share.
    request_text, response_text = to_json(request).decode(), to_json(completion.response).decode()
    row = (
        completion.request_hash,
        completion.model,
        request_text,
        response_text,
        usage,
        None if completion.cost_usd is None else float(completion.cost_usd),
        completion.price_snapshot,
        None if completion.latency_s is None else float(completion.latency_s),
        completion.created,
        messages[-1][0] if messages else None,
    )
    return row, messages


def _counts(usage: Usage) -> dict[str, Any]:
    counts = {name: getattr(usage, name) for name in _COUNTS}
    return counts | {name: value for name in _SELDOM if (value := getattr(usage, name))}


class CompletionReader:
    """Makes completions of rows.

    Many requests share a beginning (system message, worked examples). It is read once and remembered. `fetch` runs
    `select_chains` for the hashes it is given.
    """

    def __init__(self, fetch: Callable[[Sequence[str]], Iterable[tuple[str, str]]]) -> None:
        self._fetch = fetch
        self._beginnings: dict[str, list[Any]] = {}

    def completions(self, rows: Sequence[JoinedRow]) -> list[StoredCompletion]:
        """The completions with all their messages. A row without a tip (version 1) holds its messages itself."""
        parents = {row[10]: None for row in rows if row[10] is not None}
        if missing := [parent for parent in parents if parent not in self._beginnings]:
            if len(self._beginnings) > _BEGINNINGS:
                self._beginnings = {
                    parent: self._beginnings[parent] for parent in parents if parent in self._beginnings
                }
            for tip, message in self._fetch(missing):
                self._beginnings.setdefault(tip, []).append(json.loads(message))
        return [self._whole(row) for row in rows]

    def _whole(self, row: JoinedRow) -> StoredCompletion:
        hash_, model, request_text, response_text, usage, cost_usd, snapshot, latency_s, created, tip, parent, last = (
            row
        )
        request = json.loads(request_text)
        if tip is not None:
            beginning = [] if parent is None else self._beginnings[parent]
            request["messages"] = [*beginning, json.loads(last)]
        return StoredCompletion(
            request_hash=hash_,
            model=model,
            request=request,
            response=json.loads(response_text),
            usage=None if usage is None else Usage(**json.loads(usage)),
            cost_usd=cost_usd,
            price_snapshot=snapshot,
            latency_s=latency_s,
            created=created,
        )
