"""When a row was a call of the app, where it says so: traffic is split by time, so that what is tested is the newest.

A time stands in one of the fields FIELDS of the row, or in the provenance that `harvest` writes: an ISO 8601 date or
time (without a zone: UTC), or seconds or milliseconds since 1970, as a number or, in a table, as its text.
"""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from stillhouse.records import Example

FIELDS = ("time", "timestamp", "created", "created_at")
_EARLIEST, _LATEST = 1e8, 1e11  # seconds, 1973 to 5138; a number outside is milliseconds, or it is no time
_NUMBER = re.compile(r"\d{9,16}(?:\.\d*)?")  # eight digits are a day


def time_of(row: Example) -> float | None:
    """Seconds since 1970; None: the row names no time that can be read."""
    provenance = row.extra.get("provenance")
    harvested = provenance.get("created") if isinstance(provenance, dict) else None
    for value in (*(row.extra.get(name) for name in FIELDS), harvested):
        if (seconds := _seconds(value)) is not None:
            return seconds
    return None


def times_of(rows: Sequence[Example]) -> tuple[list[float] | None, str | None]:
    """(the time of every row; a sentence where some rows have one and yet they cannot be put in order of time)."""
    times = [time_of(row) for row in rows]
    known = [time for time in times if time is not None]
    if len(known) == len(rows) and len(set(known)) > 1:
        return known, None
    if not known:
        return None, None
    why = f"{len(rows) - len(known)} of {len(rows)} rows name no time" if len(known) < len(rows) else "all are the same"
    return None, f"the rows are not split by time, for {why}: they are split at random"


def is_time(value: Any) -> bool:
    """Whether a field of this value tells when the row was a call."""
    return _seconds(value) is not None


def _seconds(value: Any) -> float | None:
    if isinstance(value, date):
        value = value.isoformat()  # Parquet has days and moments as such
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    seconds = value if value < _LATEST else value / 1000
    return float(seconds) if _EARLIEST <= seconds < _LATEST else None
