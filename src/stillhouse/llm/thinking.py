"""What a model thinks before it answers, where that stands in the reply's text: `<think>...</think>`, then the answer.

It is set apart and kept beside the answer, so it never becomes part of a label. Some prompts open the tag themselves,
so that only its end is in the reply. A reply that ends inside its thinking has no answer. A tag in quotes or
backticks, or in a text of a reply that is JSON, is a text about tags. Models have tags of their own (`<mm:think>`,
`◁think▷`, `<|START_THINKING|>`), and some write in channels, of which `final` alone is the answer.
"""

import json
import re
from dataclasses import dataclass

UNENDED = "the reply ended while the model was still thinking"
_NAMES = "think|thinking|thought|thoughts|reasoning|antthinking"
# Each blank is bounded: a reply may hold a million of them.
_TAG = re.compile(
    rf"<\s{{0,3}}(?P<end>/?)\s{{0,3}}(?:[a-z]{{1,20}}[:_])?(?:{_NAMES})(?:\s[^<>]{{0,100}})?>"
    r"|\[(?P<closed>/?)(?-i:THINK)\]|◁(?P<shut>/?)think▷|<\|(?P<over>/?)think(?:ing)?\|>"
    r"|<\|(?:begin|start|(?P<ended>end))_(?:of_)?(?:thought|think(?:ing)?|reasoning)\|>",
    re.IGNORECASE,
)
_CLOSING = ("end", "closed", "shut", "over", "ended")
# Between a message's head and what ends it: `<|channel|>analysis<|message|>...<|end|>`, and `<|channel>thought ...
# <channel|>` of other models
_CHANNEL = re.compile(
    r"<\|channel\|>\s{0,3}(?P<name>\w{1,20})[^<]{0,200}(?:<\|constrain\|>[^<]{0,100})?<\|message\|>"
    r"|<\|channel>(?P<other>\w{1,20})\s"
)
_MESSAGE_END = re.compile(r"<\|(?:end|return|call|start|channel)\|?>|<channel\|>")
_BETWEEN = re.compile(r"\s*(?:<\|start\|>\s*assistant\s*|<\|(?:end|return|call)\|>|<channel\|>)*\s*")
_RESPONSE = re.compile(r"<\|(?:begin|start|end)_(?:of_)?(?:solution|response|answer)\|>", re.IGNORECASE)
_UNSEEN = "\u200b\u2060\ufeff"
_DECODER = json.JSONDecoder(strict=False)
_MOST_TRIED = 20  # brackets before a tag at which a JSON value may begin, and tags that are looked at so


@dataclass(frozen=True, slots=True)
class Parted:
    """A reply in two parts.

    `answer` None: the reply ended inside its thinking. `at`: where in the reply the answer begins; None: it does not
    stand there in one piece. `thinking` None: there is none.
    """

    answer: str | None
    at: int | None = 0
    thinking: str | None = None


def part(text: str) -> Parted:
    """The thinking and the answer of a reply."""
    if "<" not in text and "[" not in text and "◁" not in text:
        return Parted(text)
    if (channels := _in_channels(text)) is not None:
        return channels
    tags = _thinking_tags(text)
    if not tags:
        return Parted(text)
    thoughts: list[str] = []
    answers: list[tuple[int, str]] = []
    at, opened = 0, False
    for tag in tags:
        closes, piece = _closes(tag), text[at : tag.start()]
        if opened and not closes:
            continue  # a tag inside the thinking
        if opened:
            thoughts.append(piece)
        elif closes:  # the prompt had opened it, or it was closed before and went on: all that came was thinking
            thoughts += [answer for _, answer in answers] + [piece]
            answers = []
        else:
            answers.append((at, piece))
        at, opened = tag.end(), not closes
    (thoughts if opened else []).append(text[at:])
    thinking = "\n\n".join(thought.strip() for thought in thoughts if thought.strip()) or None
    if opened:
        return Parted(None, None, thinking)
    answers = [(start, piece) for start, piece in (*answers, (at, text[at:])) if piece.strip().strip(_UNSEEN)]
    if len(answers) > 1:
        return Parted("\n".join(piece.strip() for _, piece in answers), None, thinking)
    start, piece = answers[0] if answers else (len(text), "")
    if "<|" in piece and (marks := list(_RESPONSE.finditer(piece))):  # around the answer, as others are around thinking
        start, piece = start + marks[0].end(), piece[marks[0].end() : marks[1].start() if len(marks) > 1 else None]
    return Parted(piece.lstrip(), start + len(piece) - len(piece.lstrip()), thinking)


def _closes(tag: re.Match[str]) -> bool:
    return any(tag[name] for name in _CLOSING)


def _in_channels(text: str) -> Parted | None:
    """The parts of a reply that is written in channels from its start; None: it is not."""
    at = _BETWEEN.match(text).end()  # type: ignore[union-attr]  # it matches nothing as well
    if _CHANNEL.match(text, at) is None:
        return None
    thoughts: list[str] = []
    answers: list[tuple[int, str]] = []
    while at < len(text):
        channel = _CHANNEL.match(text, at)
        start = at if channel is None else channel.end()
        end = _MESSAGE_END.search(text, start)
        stop = len(text) if end is None else end.start()
        if channel is None or channel["name"] == "final":
            answers.append((start, text[start:stop]))
        else:
            thoughts.append(text[start:stop].strip())
        at = max(_BETWEEN.match(text, stop).end(), start + 1 if stop == start else stop)  # type: ignore[union-attr]
    answers = [(start, piece) for start, piece in answers if piece.strip()]
    thinking = "\n\n".join(filter(None, thoughts)) or None
    if not answers:
        return Parted(None, None, thinking)
    start, piece = answers[-1]
    return Parted(piece.strip(), start + len(piece) - len(piece.lstrip()), thinking)


def _is_quoted(text: str, tag: re.Match[str]) -> bool:
    before, after = text[max(0, tag.start() - 1) : tag.start()], text[tag.end() : tag.end() + 1]
    return before == after and before in ('"', "'", "`")


def _thinking_tags(text: str) -> list[re.Match[str]]:
    """The tags that set thinking apart: none in quotes, in a JSON value outside of the thinking, or in running text."""
    tags: list[re.Match[str]] = []
    opened, past, looked = False, 0, 0
    for tag in _TAG.finditer(text):
        if _is_quoted(text, tag):
            continue
        closes = _closes(tag)
        if tag.start() < past:
            continue
        if not opened:
            since = tags[-1].end() if tags else 0
            looked += 1
            past = _json_end(text, since, tag.start()) if looked <= _MOST_TRIED else 0
            if tag.start() < past:
                continue
            if closes and _is_told(text, tag):
                continue
        tags.append(tag)
        opened = not closes
    return tags


def _json_end(text: str, since: int, tag: int) -> int:
    """Where the JSON object or list ends that begins in [since, tag) and holds the tag; 0: there is none."""
    tried = 0
    for opening in re.finditer(r"[{\[]", text[since:tag]):
        tried += 1
        if tried > _MOST_TRIED:
            break
        try:
            value, end = _DECODER.raw_decode(text, since + opening.start())
        except (ValueError, RecursionError):
            continue
        if end > tag and value:
            return end
    start = since + len(text[since:tag]) - len(text[since:tag].lstrip())
    if text.startswith('"', start):
        try:
            return end if (end := _DECODER.raw_decode(text, start)[1]) > tag else 0
        except (ValueError, RecursionError):
            return 0
    return 0


def _is_told(text: str, tag: re.Match[str]) -> bool:
    """Whether a sentence speaks of the tag, as in "In HTML, </think> closes.": it goes on in its line in lower case."""
    before, after = text[max(0, tag.start() - 20) : tag.start()], text[tag.end() : tag.end() + 2]
    return re.search(r"(?:^|[\s(])(?:html|xml|tags?|the|a|an)[,:]? $", before, re.IGNORECASE) is not None and (
        re.match(r" [a-z]", after) is not None
    )
