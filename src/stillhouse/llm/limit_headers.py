"""What an endpoint's headers tell of its limits.

OpenAI and its kin name them `x-ratelimit-limit-requests`, Anthropic `anthropic-ratelimit-requests-limit`.
https://platform.openai.com/docs/guides/rate-limits and https://docs.anthropic.com/en/api/rate-limits say what they
mean. A header that cannot be read counts as absent.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_KINDS = ("requests", "tokens", "input-tokens", "output-tokens")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_SPAN = 100  # characters
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_MINUTE_S, _HOUR_S, _DAY_S = 60.0, 3600.0, 86400.0


@dataclass(frozen=True, slots=True)
class ToldLimit:
    """One limit as an endpoint tells it: `limit` units per window, of which `remaining` are left.

    In `reset_s` seconds all of them are there again.
    """

    limit: float | None
    remaining: float | None
    reset_s: float | None
    window_s: float = _MINUTE_S

    @property
    def per_s(self) -> float | None:
        return None if not self.limit else self.limit / self.window_s


def read_limits(headers: Mapping[str, str]) -> dict[str, ToldLimit]:
    """The limits by kind: requests, tokens, input-tokens, output-tokens. `headers` must find names in any case."""
    limits, now = {}, _their_now(headers)
    for kind in _KINDS:
        for name in (f"x-ratelimit-{{}}-{kind}", f"anthropic-ratelimit-{kind}-{{}}"):
            limit, remaining, reset = (headers.get(name.format(part)) for part in ("limit", "remaining", "reset"))
            if limit is not None or remaining is not None:
                n_limit, n_remaining, reset_s = _number(limit), _number(remaining), seconds(reset, now)
                limits[kind] = ToldLimit(n_limit, n_remaining, reset_s, _window_s(n_limit, n_remaining, reset_s))
    return limits


def _window_s(limit: float | None, remaining: float | None, reset_s: float | None) -> float:
    """How long the window of a limit is: a minute, unless the reset shows an hour or a day.

    `limit - remaining` units come back in `reset_s`, so all of them take `limit / (limit - remaining)` times as long.
    """
    if not limit or remaining is None or reset_s is None or limit - remaining < 1:
        return _MINUTE_S
    window_s = reset_s * limit / (limit - remaining)
    # Providers round short resets up, so a minute may look like several. Only a long reset shows an hour or a day.
    if window_s < 600 or reset_s < 2:
        return _MINUTE_S
    return _HOUR_S if window_s < 7200 else _DAY_S


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long a reply asks to wait: seconds, or until a date in any of HTTP's forms (RFC 9110).

    None: it does not say, or not so that it can be read.
    """
    text, now = headers.get("Retry-After"), _their_now(headers)
    if text is None:
        return None
    if (wait_s := seconds(text, now)) is not None:
        return wait_s
    moment = _http_date(text)
    try:
        return None if moment is None else max(0.0, (moment - now).total_seconds())
    except OverflowError:  # a year out of range
        return None


def _their_now(headers: Mapping[str, str]) -> datetime:
    """The time on the endpoint's own clock, where it tells it: ours may be set to another."""
    return _http_date(headers.get("Date", "")) or datetime.now(UTC)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:  # the oldest of HTTP's forms names no zone and means GMT
        return moment.replace(tzinfo=UTC)
    return moment


def seconds(text: str | None, now: datetime | None = None) -> float | None:
    """Seconds of a span ("1m30s", "20ms"), of a plain number, or from `now` until a moment ("2026-11-24T12:00:00Z").

    None for anything else.
    """
    if text is None:
        return None
    if (plain := _number(text)) is not None:
        return plain
    spans = _SPAN.findall(text) if len(text) <= _LONGEST_SPAN else []
    if spans and "".join(number + unit for number, unit in spans) == text:
        return sum(float(number) * _UNITS[unit] for number, unit in spans)
    try:
        moment = datetime.fromisoformat(text)
        return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
    except (ValueError, TypeError, OverflowError):  # TypeError: no time zone; OverflowError: a year out of range
        return None


def _number(text: str | None) -> float | None:
    """A finite number of 0 or more; None for anything else."""
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
