"""A label's probability from token log-probabilities: the teacher's distribution over the labels, where the endpoint tells it.

Read where the answer stands: at each of its tokens, every listed alternative that can only be the beginning of one label gives that label its probability times
that of the tokens before. What fits several labels is decided by the next token; what fits none, or is not listed, belongs to no label, so the probabilities
sum to at most 1 and what is missing is not known.
"""

import math
from collections.abc import Mapping, Sequence

Tops = Sequence[Mapping[str, float]]


def label_scores(
    tokens: Sequence[tuple[str, float]], tops: Tops, at: int, labels: Sequence[str]
) -> dict[str, float] | None:
    """Probability per label seen, likeliest first. `at`: where in the joined tokens' text the answer begins. None where the answer is not told apart."""
    start, before = _token_at(tokens, at)
    if start is None or len(tops) < len(tokens):
        return None
    alike = len({label.casefold() for label in labels}) < len(
        set(labels)
    )  # "US" and "us" are told apart by case, others need not be
    fold = str if alike else str.casefold
    folded = {fold(label): label for label in labels}
    scores: dict[str, float] = {}
    written, log_p = "", 0.0
    for place in range(start, len(tokens)):
        chosen, chosen_log_p = tokens[place]
        for token, value in {**tops[place], chosen: chosen_log_p}.items():
            fits = _fitting(fold(_joined(written, token, before)), folded)
            if len(fits) == 1:
                scores[fits[0]] = scores.get(fits[0], 0.0) + math.exp(log_p + value)
        written, log_p = _joined(written, chosen, before), log_p + chosen_log_p
        before = ""
        fits = _fitting(fold(written), folded)
        if len(fits) < 2:
            break
    else:  # the reply ended where it still fits several labels, one of which it spells out
        if fold(written) in folded:
            spelled = folded[fold(written)]
            scores[spelled] = scores.get(spelled, 0.0) + math.exp(log_p)
    ranked = sorted(scores.items(), key=lambda pair: -pair[1])
    return {label: min(1.0, probability) for label, probability in ranked} or None


def _token_at(tokens: Sequence[tuple[str, float]], at: int) -> tuple[int | None, str]:
    """The token in which the answer begins, and what of the token stands before it."""
    position = 0
    for number, (token, _) in enumerate(tokens):
        if position + len(token) > at:
            return number, token[: at - position]
        position += len(token)
    return None, ""


def _joined(written: str, token: str, before: str) -> str:
    """The answer so far with this token. `before`: what the first token holds before the answer, such as a space or a quotation mark."""
    if written:
        return written + token
    return (token.removeprefix(before) if before.strip() else token).lstrip()


def _fitting(text: str, labels: Mapping[str, str]) -> list[str]:
    """The labels that the answer can still become, or has become with something behind it that is no part of a word."""
    if not text:
        return list(labels.values())
    spelled = [
        own
        for label, own in labels.items()
        if text.startswith(label) and not text[len(label) : len(label) + 1].isalnum()
    ]
    becoming = [own for label, own in labels.items() if label.startswith(text) and own not in spelled]
    if spelled and not becoming:
        return [max(spelled, key=len)]
    return spelled + becoming
