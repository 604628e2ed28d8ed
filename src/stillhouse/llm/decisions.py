"""The decisions API (`POST /v1/decisions`): one choice among several, with a probability for each.

It is made for branches that a model takes.
"""

import json
from collections.abc import Callable
from typing import Any

from stillhouse.json_text import read_body
from stillhouse.llm.request import Completion, Request, is_unicode
from stillhouse.llm.usage import read_usage, usage_in

NO_DECISIONS = "the endpoint has no decisions API"
NO_DECISIONS_STATUSES = (404, 405, 501)  # statuses by which an endpoint says that it has no decisions API


def decision_body(model: str, request: Request) -> dict[str, Any]:
    """The body that asks one choice question; the request's messages are its input."""
    decision = request.parameters["decision"]
    choices = [{"value": choice} for choice in decision["choices"]]
    question = {"type": "choice", "name": "decision", "instructions": decision["instructions"], "choices": choices}
    messages = [
        {"type": "message", "role": message["role"], "content": message["content"]} for message in request.messages
    ]
    return {"model": model, "input": messages, "questions": [question]}


def read_decision(raw: bytes, latency_s: float, clean: Callable[[str], str] = str) -> Completion:
    """The choice as `text`, and all probabilities as `scores`.

    A refusal, or anything else, becomes a Completion whose `error` says what came instead.
    """
    try:
        body = read_body(raw)
        answer, usage = body["answers"][0], read_usage(usage_in(body))
        if answer["type"] == "refusal":
            error = "the model refused to decide"
            return Completion(None, error=error, finish_reason="refusal", usage=usage, latency_s=latency_s)
        scores = {_text(pair["value"]): float(pair["probability"]) for pair in answer["probabilities"]}
        choice = _text(answer["choice"])
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
        error = f"reply is not a decision: {clean(raw.decode(errors='replace'))[:80]!r}"
        return Completion(None, error=error, latency_s=latency_s)
    probable = all(0 <= score <= 1 + 1e-6 for score in scores.values())
    if choice not in scores or not probable or not is_unicode("".join(scores)):
        error = "reply is a decision without a probability for its choice"
        return Completion(None, error=error, usage=usage, latency_s=latency_s)
    return Completion(choice, finish_reason="stop", usage=usage, latency_s=latency_s, scores=scores)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
