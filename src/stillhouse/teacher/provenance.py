"""Where a row that a model wrote comes from: who, when, asked with what, at which price, under which licence class.

Labels and generated rows have it in one shape. The date is that of the reply, also where the store answers years later.
The licence class says whose rules hold; it is never a licence that nobody gave.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.teacher.terms import LOCAL, provider_of

NAMES = ("teacher", "date", "prompt_hash", "parameters", "price_snapshot", "licence")
STAND_IN = "none: a stand-in, no model, wrote it"
SELF_HOSTED = "the model's own licence (self-hosted)"
UNKNOWN = "unknown"


def provenance(
    teacher: str,
    *,
    date: str | None,
    prompt_hash: str | None,
    parameters: Mapping[str, Any],
    price_snapshot: str | None,
    licence: str,
) -> dict[str, Any]:
    """The value of a row's `provenance`. What is not known is None and stands there as null.

    `date`: ISO 8601, UTC, of the reply. `parameters`: as they were sent. `licence`: see `licence_class`.
    """
    return {
        "teacher": teacher,
        "date": date,
        "prompt_hash": prompt_hash,
        "parameters": dict(parameters),
        "price_snapshot": price_snapshot,
        "licence": licence,
    }


def prompt_hash(messages: Sequence[Mapping[str, Any]], schema: Mapping[str, Any] | None = None) -> str:
    """sha256 (hex) over the messages that are the same for every row, and the schema if one was sent.

    These messages are the instruction and the worked examples. Two rows with the same hash were asked in the same
    words; the whole request with the row's own input is in the store.
    """
    prompt = json.dumps([list(map(dict, messages)), schema], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(prompt.encode()).hexdigest()


def licence_class(teacher: str, *, stand_in: bool = False, stated: str | None = None) -> str:
    """Whose rules hold for what this teacher writes.

    That is what the user stated, or the provider's terms, or the self-hosted model's licence, or `UNKNOWN`.
    """
    if stated is not None:
        return stated
    if stand_in:
        return STAND_IN
    provider = provider_of(teacher)
    if provider is None:  # nobody said who answered: recorded answers, or a script that may well call a model
        return UNKNOWN
    return SELF_HOSTED if provider == LOCAL else f"terms of {provider}"
