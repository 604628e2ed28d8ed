"""What an exported student reads, and how its numbers become an answer.

It needs the standard library alone: the folder takes this file along, and the lines that load it use it. `about` is
the folder's `about.json`. The student itself reads as `encoder.encode` and `generative` have it; a test holds both
against each other, row by row.
"""

import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

Input = str | Mapping[str, str]


def pairs(about: Mapping[str, Any], input: Input, choices: Sequence[str] | None = None) -> list[tuple[str, ...]]:
    """The texts, one or two, that an encoder reads at a time: the input's fields, or the input with each choice."""
    first, *rest = [input] if isinstance(input, str) else input.values()
    if about["labels"] is None:
        return [(about["between"].join([first, *rest]), choice) for choice in choices or ()]
    return [(first, about["between"].join(rest)) if rest else (first,)]


def second_from(segments: Sequence[int | None]) -> int:
    """The place of the first token of the second text; behind the last where there is none."""
    return next((at for at, segment in enumerate(segments) if segment == 1), len(segments))


def likeliest(
    about: Mapping[str, Any], logits: Sequence[float], choices: Sequence[str] | None = None
) -> tuple[str, float]:
    """The label or choice, and the probability that it is right."""
    most = max(logits)
    powers = [math.exp((logit - most) / about["temperature"]) for logit in logits]
    probabilities = [power / sum(powers) for power in powers]
    return max(zip(about["labels"] or choices or (), probabilities, strict=True), key=lambda pair: pair[1])


def question(about: Mapping[str, Any], input: Input, choices: Sequence[str] | None = None) -> str:
    """The text that a generative student reads."""
    text = input if isinstance(input, str) else "\n".join(f"{name}: {value}" for name, value in input.items())
    text += about["before_choices"] + about["between"].join(choices) if choices else ""
    text = about["before"] + text + about["after"]
    return str(importlib.import_module("own_text").as_question(text)) if about["own_text"] else text


def read(about: Mapping[str, Any], ids: Sequence[int]) -> list[int]:
    """The question's tokens as the student takes them: cut, and ended where it has an encoder."""
    end = about["end"]
    whole = [*(ids[:-1] if ids[-1:] == [end] else ids), *([] if about["kind"] == "decoder-only" else [end])]
    return whole[: about["max_length"]]


def written(
    about: Mapping[str, Any], text: str, logprobs: Sequence[float], ended: bool, choices: Sequence[str] | None = None
) -> tuple[str | None, float]:
    """The answer, or None where it did not end or is no label; and the probability that it is right to the letter."""
    log_p = sum(logprobs) / len(logprobs)
    slope, offset = about["calibration"] or (None, None)
    confidence = math.exp(log_p) if slope is None else 1 / (1 + math.exp(-slope * log_p - offset))
    text = (importlib.import_module("own_text").from_answer(text) if about["own_text"] else text).strip()
    allowed = choices or about["labels"]
    return (text if ended and (not allowed or text in allowed) else None), confidence
