"""The tables of the completions store, in SQL that SQLite and PostgreSQL both take, and the rows as values. Nothing here opens a database."""

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self

from stillhouse.records import Usage

VERSION = 2  # 1: without `messages` and `tip`; its rows hold their messages in `request`, and are read as they are

# `request_hash` is sha256 over the canonical request (model, messages, parameters, schema, sample index), so that an equal request is never paid for
# twice, whoever sends it. `request` and `response` are JSON text. Costs are US dollars; NULL: no price was known.
#
# A request's messages are a chain: each row of `messages` names the one before it, and the completion the last one, its `tip`. A conversation of n turns then
# stores n messages and not n * n / 2, and the system message and worked examples that calls share are stored once.
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
        created TEXT NOT NULL,
        tip TEXT
    )""",
    "CREATE TABLE IF NOT EXISTS messages (hash TEXT PRIMARY KEY, parent TEXT, message TEXT NOT NULL)",
)
COLUMNS = "request_hash, model, request, response, usage, cost_usd, price_snapshot, latency_s, created, tip"


def select(marks: str) -> str:
    """SQL for completions by their hashes: `Found` rows, with the last message and its parent beside the completion."""
    return f"""SELECT {COLUMNS}, parent, message FROM completions LEFT JOIN messages ON messages.hash = completions.tip WHERE request_hash IN ({marks})"""


def select_chains(marks: str) -> str:
    """SQL for all messages up to the given ones, first message first: rows of (tip, message)."""
    return f"""WITH RECURSIVE chain(tip, parent, message, depth) AS (
            SELECT hash, parent, message, 0 FROM messages WHERE hash IN ({marks})
            UNION ALL SELECT chain.tip, messages.parent, messages.message, depth + 1 FROM chain JOIN messages ON messages.hash = chain.parent
        ) SELECT tip, message FROM chain ORDER BY tip, depth DESC"""


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


class Store(Protocol):
    """The paid completions in some database. Use as a context manager, or call `close`. All raise StorageError where the database refuses."""

    def get(self, request_hash: str) -> StoredCompletion | None:
        """The completion of this request, if it was ever paid for. A key look-up, fit to call from the event loop."""
        ...

    def get_many(self, hashes: Sequence[str]) -> list[StoredCompletion]:
        """The completions that exist of these requests, in no particular order."""
        ...

    def known(self, hashes: Sequence[str]) -> set[str]:
        """Those of these requests that have a completion."""
        ...

    async def put(self, completion: StoredCompletion) -> None:
        """Commit one completion. An equal request that is already there keeps its first answer."""
        ...

    def count(self) -> int: ...

    def close(self) -> None:
        """Commit what is queued and close the database."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


Link = tuple[str, str | None, str]  # a row of `messages`: hash, parent, message
Row = tuple[str, str, str, str, str | None, float | None, str | None, float | None, str, str | None]  # COLUMNS
Found = tuple[Any, ...]  # a Row, and parent and message of its tip
_BEGINNINGS = 1000  # kept in memory at most
_COUNTS = tuple(field.name for field in fields(Usage))
_text = json.JSONEncoder(ensure_ascii=False).encode  # made once: making one takes longer than using it
_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode


def chain(messages: Sequence[Any]) -> list[Link]:
    """The messages as rows: the hash of each is sha256 (hex) over its parent's hash and its canonical JSON."""
    links: list[Link] = []
    parent = None
    for message in messages:
        plain = isinstance(message, dict) and all(type(value) is str for value in message.values())
        link = _plain_link(parent, tuple(message.items())) if plain else _link(parent, message)
        links.append(link)
        parent = link[0]
    return links


def _link(parent: str | None, message: Any) -> Link:
    text = _canonical(message)
    return hashlib.sha256(f"{parent or ''}{text}".encode()).hexdigest(), parent, text


@functools.lru_cache(
    maxsize=4096
)  # worked examples stand in every request: their hashes are computed once. Texts only: 1 and True are one key to a cache
def _plain_link(parent: str | None, message: tuple[tuple[str, str], ...]) -> Link:
    return _link(parent, dict(message))


def to_row(completion: StoredCompletion) -> tuple[Row, list[Link]]:
    """A completion's row, and those of its messages. Raises ValueError or TypeError for what JSON or UTF-8 cannot hold."""
    request: Mapping[str, Any] = completion.request
    links: list[Link] = []
    if isinstance(messages := request.get("messages"), (list, tuple)) and messages:
        links = chain(messages)
        request = {name: value for name, value in request.items() if name != "messages"}
    usage = None if completion.usage is None else _text({name: getattr(completion.usage, name) for name in _COUNTS})
    texts = _text(request), _text(completion.response)
    for text in texts:
        text.encode()  # refused here, where one call waits, and not in a commit that many share
    cost_usd, latency_s = (
        None if value is None else float(value) for value in (completion.cost_usd, completion.latency_s)
    )
    paid = cost_usd, completion.price_snapshot, latency_s, completion.created
    return (completion.request_hash, completion.model, *texts, usage, *paid, links[-1][0] if links else None), links


class Reader:
    """Makes completions of rows. It remembers the beginnings (system message, worked examples) that requests share, so that each is read once.

    `fetch` runs `select_chains` for these hashes.
    """

    def __init__(self, fetch: Callable[[Sequence[str]], Iterable[tuple[str, str]]]) -> None:
        self._fetch = fetch
        self._beginnings: dict[str, list[Any]] = {}

    def completions(self, rows: Sequence[Found]) -> list[StoredCompletion]:
        """The whole completions. A row without a tip, as version 1 wrote it, holds its messages itself."""
        parents = {row[10]: None for row in rows if row[10] is not None}
        if missing := [parent for parent in parents if parent not in self._beginnings]:
            if len(self._beginnings) > _BEGINNINGS:
                self._beginnings = {
                    parent: self._beginnings[parent] for parent in parents if parent in self._beginnings
                }
            for tip, message in self._fetch(missing):
                self._beginnings.setdefault(tip, []).append(json.loads(message))
        return [self._whole(row) for row in rows]

    def _whole(self, row: Found) -> StoredCompletion:
        request = json.loads(row[2])
        if row[9] is not None:
            before = [] if row[10] is None else self._beginnings[row[10]]
            request["messages"] = [*before, json.loads(row[11])]
        usage = None if row[4] is None else Usage(**json.loads(row[4]))
        return StoredCompletion(row[0], row[1], request, json.loads(row[3]), usage, *row[5:9])
