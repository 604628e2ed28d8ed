"""The teacher's probability of each label, from the log-probabilities of tokens where the endpoint tells them.

They are read at the tokens of the answer. At each token, every listed alternative may be the beginning of labels. Where
it can only become one label, that label gets its probability, times that of the tokens before. Where it may become
several, the next token decides. Where it can become none, or is not listed, its probability belongs to no label. So the
probabilities sum to at most 1, and what is missing is not known.
"""

import math
from collections.abc import Mapping, Sequence

from stillhouse.llm.choices import attached_after, nfc

Tops = Sequence[Mapping[str, float]]


def label_scores(
    tokens: Sequence[tuple[str, float]], tops: Tops, at: int, labels: Sequence[str]
) -> dict[str, float] | None:
    """The probability of each label seen, likeliest first; None: no label was seen.

    `at`: where in the joined tokens' text the answer begins.
    """
    start, before = _token_at(tokens, at)
    if start is None or len(tops) < len(tokens):
        return None
    differ_in_case = len({label.casefold() for label in labels}) < len(set(labels))  # such as "US" and "us"

    def fold(text: str) -> str:
        return nfc(text) if differ_in_case else nfc(text).casefold()

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
    else:  # a reply that ended while several labels could still follow means the label that it spells out
        if fold(written) in folded:
            spelled = folded[fold(written)]
            scores[spelled] = scores.get(spelled, 0.0) + math.exp(log_p)
    ranked = sorted(scores.items(), key=lambda pair: -pair[1])
    return {label: min(1.0, probability) for label, probability in ranked} or None


def _token_at(tokens: Sequence[tuple[str, float]], at: int) -> tuple[int | None, str]:
    """The number of the token in which the answer begins, and the part of that token that stands before the answer."""
    position = 0
    for number, (token, _) in enumerate(tokens):
        if position + len(token) > at:
            return number, token[: at - position]
        position += len(token)
    return None, ""


def _joined(written: str, token: str, before: str) -> str:
    """The answer so far with this token.

    `before`: what the first token holds before the answer, such as a space or a quotation mark.
    """
    if written:
        return written + token
    return (token.removeprefix(before) if before.strip() else token).lstrip()


def _fitting(text: str, labels: Mapping[str, str]) -> list[str]:
    """The labels that the answer can still become, or that it has become already.

    It has become a label where the label is followed by something that is no part of a word.
    """
    if not text:
        return list(labels.values())
    spelled = [
        own for label, own in labels.items() if text.startswith(label) and not attached_after(text, 0, len(label))
    ]
    becoming = [own for label, own in labels.items() if label.startswith(text) and own not in spelled]
    if spelled and not becoming:
        return [max(spelled, key=len)]
    return spelled + becoming
