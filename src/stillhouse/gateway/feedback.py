"""`POST /v1/feedback`: what people say of an answer, by the id that came with it.

The body is `{"call": ID, "right": true}`, `{"call": ID, "right": false}`, or `{"call": ID, "answer": ANSWER}` with the
answer that would have been right.
"""

import json
import secrets
import time

from stillhouse.json_text import JsonError, read_body
from stillhouse.store.gateway_calls import Said

PATH = "/v1/feedback"
MOST_BYTES = 64 * 2**10  # of a body
_FORM = 'give {"call": ID, "right": true or false} or {"call": ID, "answer": ANSWER}; ID is in x-stillhouse-call'


class FeedbackError(ValueError):
    """The body is no feedback. The message says why, in one sentence."""


def read_feedback(body: bytes | None) -> Said:
    """The feedback in a body; None: it was too long. Raises FeedbackError."""
    if body is None:
        raise FeedbackError(f"the body is over {MOST_BYTES:,} bytes; {_FORM}")
    try:
        said = read_body(body)
    except JsonError as error:
        raise FeedbackError(f"the body is no JSON ({error}); {_FORM}") from None
    if not isinstance(said, dict) or not isinstance(said.get("call"), str) or not 0 < len(said["call"]) <= 100:
        raise FeedbackError(f"the body names no call; {_FORM}")
    if unknown := set(said) - {"call", "right", "answer"}:
        raise FeedbackError(f"{sorted(unknown)[0]!r:.40} is unknown here; {_FORM}")
    right, answer = said.get("right"), said.get("answer")
    if (right is None) == (answer is None) or not isinstance(right, bool | None):
        raise FeedbackError(f"it must say one of the two, `right` or `answer`; {_FORM}")
    if answer is not None and not isinstance(answer, str):
        answer = json.dumps(answer, ensure_ascii=False)
    if "\0" in said["call"] + (answer or ""):
        raise FeedbackError("a character that no database keeps (NUL) is in it; leave it out")
    return secrets.token_hex(12), said["call"], time.time(), None if right is None else int(right), answer
