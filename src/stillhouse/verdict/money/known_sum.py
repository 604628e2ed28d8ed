"""Sums of amounts that may not be known."""

from collections.abc import Sequence


def known_sum(amounts: Sequence[float | None]) -> float | None:
    """The sum, or None where a part is not known: an unknown price is never counted as nothing."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None
