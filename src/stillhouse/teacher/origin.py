"""Where a generated row comes from: who wrote it, when, asked in which words, with which parameters, at which price, under whose rules."""

import hashlib
import json
from typing import Any

from stillhouse.store import StoredCompletion

STAND_IN = "none: a stand-in, no model, wrote it"
UNKNOWN = "unknown"


def origin(teacher: str, stored: StoredCompletion | None, *, stand_in: bool) -> dict[str, Any]:
    """The value of a row's `provenance`; what is not known is None. The prompt's hash is over the words that all calls of one kind share."""
    request = {} if stored is None else dict(stored.request)
    shared = [message for message in request.get("messages", ()) if message["role"] == "system"]
    return {
        "teacher": teacher,
        "date": None if stored is None else stored.created,
        "prompt_hash": hashlib.sha256(json.dumps([shared, None], sort_keys=True, ensure_ascii=False).encode()).hexdigest() if shared else None,
        "parameters": request.get("parameters", {}),
        "price_snapshot": None if stored is None else stored.price_snapshot,
        "licence": STAND_IN if stand_in else UNKNOWN,
    }
