"""Numbers as a reader wants them: percent, dollars, seconds, bytes; "unknown" where there is none.

Part of the base: sentences in results and verdicts, pages, plots and terminals all write numbers this way. What rounds
to nothing has no minus sign, and what is no number (NaN, infinite) is unknown.
"""

import math
from datetime import date
from decimal import Decimal

from stillhouse.records import Estimate

UNKNOWN = "unknown"
_THIN = "\u202f"  # narrow no-break space: keeps a number and its unit on one line
_MINUS = "\u2212"  # as wide as the plus sign, so that columns of differences line up
_TIMES = (  # unit, its seconds, and the seconds from which on the next unit is taken
    ("µs", 1e-6, 1e-3),
    ("ms", 1e-3, 1),
    ("s", 1, 120),
    ("min", 60, 7200),
    ("h", 3600, 172_800),
)


def count(value: float) -> str:
    """12345 -> "12,345"; from a million on three digits and a word."""
    if not math.isfinite(value):
        return UNKNOWN
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if abs(value) >= size:
            three_digits = float(f"{value / size:.3g}")
            return f"{three_digits:,.0f}{_THIN}{word}" if abs(three_digits) >= 100 else f"{three_digits:g}{_THIN}{word}"
    return f"{value:z,.0f}"


def percent(value: float | None, digits: int = 1) -> str:
    return UNKNOWN if value is None or not math.isfinite(value) else f"{100 * value:z.{digits}f}{_THIN}%"


def confidence(level: float) -> str:
    """A confidence level, "95%" or "99.39%": two digits of what lacks to certainty, so that it never reads as 100 %."""
    lacks = 100 * (1 - level)
    digits = max(0, 1 - math.floor(math.log10(lacks)))
    written = f"{100 - lacks:.{digits}f}"
    return (written.rstrip("0").rstrip(".") if "." in written else written) + "%"


def confidence_in_table(level: float) -> str:
    """The same as pages and tables write it, with a space: "95 %"."""
    return confidence(level).replace("%", f"{_THIN}%")


def bare(value: float) -> str:
    """A share as percent without its sign, for axes, brackets and columns whose head has it."""
    return f"{100 * value:z.1f}".replace("-", _MINUS) if math.isfinite(value) else UNKNOWN


def interval(estimate: Estimate) -> str:
    """The interval alone, "[77.2, 80.7]", in percent; or that there is none."""
    if estimate.low is None or estimate.high is None:
        return "no interval"
    return f"[{bare(estimate.low)}, {bare(estimate.high)}]"


def described(estimate: Estimate) -> str:
    """A number with all it needs: "79.0 % [78.2, 79.8], n = 9,824"."""
    return f"{percent(estimate.value)} {interval(estimate)}, n = {count(estimate.n)}"


def points(value: float) -> str:
    """A difference of two shares in percentage points, always with its sign."""
    return points_in_sentence(value).replace("-", _MINUS)


def points_in_sentence(value: float) -> str:
    """The same with a plain minus sign: "+6.0", "-0.4", "+0.0"."""
    return f"{100 * value:+z.1f}" if math.isfinite(value) else UNKNOWN


def usd(value: float | None) -> str:
    """Two digits below a dollar, cents up to 100, then whole dollars: "$0.0021", "$4.17", "$2,000"."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "$0"
    size = abs(value)
    sign = _MINUS if value < 0 else ""
    if size >= 1e6:
        return f"{sign}${count(size)}"
    if size >= 100:
        return f"{sign}${size:,.0f}"
    if size >= 1:
        return f"{sign}${size:.2f}"
    return f"{sign}${size:.{1 - math.floor(math.log10(size))}f}"


def usd_in_sentence(amount: float | None, *, unknown: str = UNKNOWN, nothing: str = "$0.00") -> str:
    """Cents from a dollar on, two digits below: "$1,234.50", "$4.10", "$0.0021", "$0.00000008", "$0.00".

    Unlike `usd`, which is for tables and plots, it keeps the cents of large amounts and has a plain minus sign.
    """
    if amount is None or not math.isfinite(amount):
        return unknown
    if amount == 0:
        return nothing
    sign, size = "-" if amount < 0 else "", abs(amount)
    return f"{sign}${size:,.2f}" if size >= 0.995 else f"{sign}${Decimal(f'{size:.2g}'):f}"


def usd_as_given(amount: float) -> str:
    """A price or a cap as the user wrote it, with no exponent: "$2.5", "$0.00000008", "$1000000"."""
    return f"${Decimal(f'{amount:.6g}'):f}"


def seconds(value: float | None) -> str:
    """Two digits and the unit that fits: microseconds to days."""
    if value is None:
        return UNKNOWN
    for unit, size, most in _TIMES:
        if value < most:
            amount = value / size
            return f"{amount:.0f}{_THIN}{unit}" if amount >= 10 or amount == 0 else f"{amount:.1f}{_THIN}{unit}"
    return f"{value / 86_400:.0f}{_THIN}days"


def day(value: date) -> str:
    """A day as in "4 March 2027"."""
    return f"{value.day} {value:%B %Y}"


def size(value: int | None) -> str:
    """Bytes in decimal units, as disks are sold."""
    if value is None:
        return UNKNOWN
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.0f}{_THIN}{unit}" if amount >= 10 or unit == "B" else f"{amount:.1f}{_THIN}{unit}"
        amount /= 1000
    return f"{amount:.1f}{_THIN}TB"


def tied(sentence: str) -> str:
    """A sentence in which no line breaks between a number and its percent sign."""
    return sentence.replace(" %", f"{_THIN}%")
