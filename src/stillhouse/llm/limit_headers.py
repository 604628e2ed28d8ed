"""What an endpoint's headers tell of its limits: OpenAI's `x-ratelimit-limit-requests` and their kin, Anthropic's `anthropic-ratelimit-requests-limit`.

https://platform.openai.com/docs/guides/rate-limits and https://docs.anthropic.com/en/api/rate-limits say what they mean; what cannot be read is not told.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_KINDS = ("requests", "tokens", "input-tokens", "output-tokens")
_SPANS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WINDOWS = (60.0, 3600.0, 86400.0)


@dataclass(frozen=True, slots=True)
class ToldLimit:
    """One limit as told: so many per window, of which so many are left, and seconds until all are there again."""

    limit: float | None
    remaining: float | None
    reset_s: float | None
    window_s: float = 60.0

    @property
    def per_s(self) -> float | None:
        return None if not self.limit else self.limit / self.window_s


def read_limits(headers: Mapping[str, str]) -> dict[str, ToldLimit]:
    """The limits by kind: requests, tokens, input-tokens, output-tokens. Header names in any case, as `headers` takes them."""
    found, now = {}, _their_now(headers)
    for kind in _KINDS:
        for limit, remaining, reset in (
            (f"x-ratelimit-limit-{kind}", f"x-ratelimit-remaining-{kind}", f"x-ratelimit-reset-{kind}"),
            (
                f"anthropic-ratelimit-{kind}-limit",
                f"anthropic-ratelimit-{kind}-remaining",
                f"anthropic-ratelimit-{kind}-reset",
            ),
        ):
            if limit in headers or remaining in headers:
                n_limit, n_left, reset_s = (
                    _number(headers.get(limit)),
                    _number(headers.get(remaining)),
                    seconds(headers.get(reset), now),
                )
                found[kind] = ToldLimit(n_limit, n_left, reset_s, _window_s(n_limit, n_left, reset_s))
    return found


def _window_s(limit: float | None, remaining: float | None, reset_s: float | None) -> float:
    """Limits are per minute unless the time until they are whole again shows an hour or a day: (limit - remaining) units refill in `reset_s`."""
    if not limit or remaining is None or reset_s is None or limit - remaining < 1:
        return _WINDOWS[0]
    shown_s = reset_s * limit / (limit - remaining)
    # Short waits are rounded up, so a minute may look like several; an hour or a day is shown by a reset that is itself long.
    return _WINDOWS[0] if shown_s < 600 or reset_s < 2 else _WINDOWS[1] if shown_s < 7200 else _WINDOWS[2]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long a reply asks to wait: seconds, or until a date in any of HTTP's forms (RFC 9110); None: it does not say, or nothing that can be read."""
    text, now = headers.get("Retry-After"), _their_now(headers)
    if text is None or (found := seconds(text, now)) is not None:
        return None if text is None else found
    moment = _http_date(text)
    return None if moment is None else max(0.0, (moment - now).total_seconds())


def _their_now(headers: Mapping[str, str]) -> datetime:
    """The replier's own time: our clock may be set to another."""
    return _http_date(headers.get("Date", "")) or datetime.now(UTC)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return (
        moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    )  # asctime's form names no zone and means GMT


def seconds(text: str | None, now: datetime | None = None) -> float | None:
    """Seconds of a span ("1m30s", "20ms"), a plain number, or from `now` until a moment ("2026-11-24T12:00:00Z"); None for anything else."""
    if text is None:
        return None
    if (plain := _number(text)) is not None:
        return plain
    spans = _SPAN.findall(text)
    if spans and "".join(number + unit for number, unit in spans) == text:
        return sum(float(number) * _SPANS[unit] for number, unit in spans)
    try:
        moment = datetime.fromisoformat(text)
        return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
    except (ValueError, TypeError):  # TypeError: a moment without its zone
        return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
