"""What gold queries give: each is run once in a process, however many answers and arms are scored against it.

So a query near its time limit cannot be sound when the rows are looked at and late when an answer is scored. Results
are kept as digests, so that memory grows with the queries and not with their rows. A worker process is told what is
known when it starts.
"""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stillhouse.errors import UserError
from stillhouse.evaluation.sql import QueryRefused, ReadOnlyDatabase, Row, compared, ordered


@dataclass(frozen=True, slots=True)
class GoldResult:
    """The digest of the rows, in their order where the query orders them; or why it does not run."""

    digest: bytes = b""
    problem: str | None = None


# The database as it was (path, size, time of change) and the query -> what it gave.
Known = Mapping[tuple[Path, int, int, str], GoldResult]
_known: dict[tuple[Path, int, int, str], GoldResult] = {}


@functools.lru_cache(maxsize=8)
def opened(path: Path) -> ReadOnlyDatabase:
    """The database at this path, whose process all metrics share. Raises UserError where there is none."""
    return ReadOnlyDatabase(path)


def known_results() -> Known:
    """What is known so far, for another process."""
    return dict(_known)


def learn_results(known: Known) -> None:
    """Take what another process knows."""
    _known.update(known)


def gold_result(database: ReadOnlyDatabase, query: str) -> GoldResult:
    """What the gold query gives; it is run where that is not known yet."""
    facts = database.path.stat() if database.path.is_file() else None
    key = (database.path, 0 if facts is None else facts.st_size, 0 if facts is None else facts.st_mtime_ns, query)
    if (known := _known.get(key)) is None:
        try:
            known = GoldResult(_digest(compared(database.run(query)), in_order=ordered(query)))
        except QueryRefused as error:
            known = GoldResult(problem=str(error))
        _known[key] = known
    return known


def same_result(database: ReadOnlyDatabase, query: str, gold: str) -> bool:
    """Whether `query` gives the rows of `gold`: in order where gold orders them, else in any order."""
    expected = gold_result(database, gold)
    if expected.problem is not None:
        raise UserError(
            f"the gold query {gold[:120]!r} does not run on the task's database ({expected.problem}); mend the row"
        )
    if query == gold:
        return True
    try:
        rows = compared(database.run(query))
    except QueryRefused:
        return False
    return _digest(rows, in_order=ordered(gold)) == expected.digest


def _digest(rows: list[Row], *, in_order: bool) -> bytes:
    """Equal for equal rows: `repr` writes each of these kinds of values in one way, and in ASCII what is no UTF-8."""
    texts = [ascii(row) for row in rows]
    whole = hashlib.sha256()
    for text in texts if in_order else sorted(texts):
        whole.update(f"{text}\n".encode())
    return whole.digest()
