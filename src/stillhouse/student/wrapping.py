"""What apps put around an input in their prompts, taken off: labels, quotes, fences, tags, rules, an answer's label.

Only what stands at the ends of a text comes off, layer by layer; the text within stays as it is, to the character. The
names of labels are the usual ones and whatever words the task's own instruction uses ("Post:", "Newsgroup:").
"""

import re
from collections.abc import Callable, Iterable
from typing import Literal, get_args

from stillhouse.words import words

Kind = Literal["label", "answer label", "quotes", "fence", "tags", "rule"]
KINDS: frozenset[Kind] = frozenset(get_args(Kind))
_MOST_LAYERS = 8
_LONGEST_LABEL = 60  # characters of a line that may be a label
_INPUT = frozenset(
    words(
        "article comment content customer data description document email example feedback headline input "
        "item mail message news paragraph passage post prompt q query question request review sentence "
        "snippet statement text ticket title tweet user utterance"
    )
)
_ANSWER = frozenset(
    words(
        "a answer assistant category class classification completion decision intent json label output "
        "prediction reply response result route sentiment solution sql topic verdict"
    )
)
_BESIDE = frozenset(
    words(
        "a an s the your my this that here is now next new current final correct best one single user customer "
        "input output to for of and be below following classify classified label labelled categorize "
        "categorise analyze answer"
    )
)
_LABEL = re.compile(r"[\s>#*_`\-]*(?P<name>[^\W_][\w /'-]{0,50}?)(?:\s*\d{1,3})?[\s*_`]*[:：=]+[*_`]*[ \t]*")
_HEADING = re.compile(r"\s*#{1,6}[ \t]*(?P<name>[^\W_][\w /'-]{0,50}?)[ \t]*[:：#]*[ \t]*")
_RULE = re.compile(r"\s*(?:[-=_*#~+]{3,}|[*\-•>])\s*")
_ARROW = re.compile(r"\s*(?:->|-->|=>|→|⇒|==>)\s*\Z")
_OPENS = re.compile(r"<([A-Za-z][\w.-]{0,40})(?:\s[^<>\n]{0,100})?>|\[([A-Z][A-Z_]{1,20})\]")
_QUOTES = (('"""', '"""'), ("'''", "'''"), ('"', '"'), ("“", "”"), ("„", "“"), ("«", "»"), ("'", "'"), ("‘", "’"))
Bare = Callable[[str], bool]


class Wrapping:
    """Takes off what is known to be around an input. `own`: the words that the task's instruction uses."""

    def __init__(self, own: Iterable[str] = (), fields: Iterable[str] = ()) -> None:
        names = frozenset(own)
        self._fields = frozenset(" ".join(words(field)) for field in fields)
        self._input, self._answer = _INPUT | names, _ANSWER | names

    def is_input_label(self, name: str) -> bool:
        return self._is(name, self._input) and " ".join(words(name)) not in self._fields

    def is_answer_label(self, name: str) -> bool:
        return self._is(name, self._answer) and " ".join(words(name)) not in self._fields

    def _is(self, name: str, known: frozenset[str]) -> bool:
        parts = words(name)
        return 0 < len(parts) <= 5 and not known.isdisjoint(parts) and all(w in known or w in _BESIDE for w in parts)

    def off(self, text: str, kinds: frozenset[Kind] = KINDS) -> tuple[str, frozenset[Kind]]:
        """(the text within, what was taken off). A text that is nothing but wrapping stays whole."""
        taken: set[Kind] = set()
        for _ in range(_MOST_LAYERS):
            inner, kind = self._one_layer(text, kinds)
            if kind is None or not inner.strip():
                break
            text, taken = inner, taken | {kind}
        return text, frozenset(taken)

    def _one_layer(self, text: str, kinds: frozenset[Kind]) -> tuple[str, Kind | None]:
        whole = text.strip()
        first, last = whole[:300].partition("\n")[0], whole[-300:].rpartition("\n")[2]
        if "rule" in kinds:
            if len(first) < len(whole) and _RULE.fullmatch(first):
                return whole[len(first) :], "rule"
            if len(last) < len(whole) and _RULE.fullmatch(last):
                return whole[: -len(last)], "rule"
        if "answer label" in kinds and (start := self._answer_starts(whole, last)) is not None:
            return whole[:start], "answer label"
        if "label" in kinds and (end := self._label_ends(whole, first)) is not None:
            return whole[end:], "label"
        if "fence" in kinds and (inner := _in_fence(whole, first)) is not None:
            return inner, "fence"
        if "tags" in kinds and (inner := self._in_tags(whole)) is not None:
            return inner, "tags"
        if "quotes" in kinds and (inner := _in_quotes(whole)) is not None:
            return inner, "quotes"
        return text, None

    def _answer_starts(self, whole: str, last: str) -> int | None:
        """Where the label of the answer begins that stands alone at the end."""
        if len(last) <= _LONGEST_LABEL:
            label = _LABEL.fullmatch(last) or _HEADING.fullmatch(last)
            opened = _OPENS.fullmatch(last.strip())
            name = (opened[1] or opened[2] or "") if opened else label["name"] if label else ""
            if self.is_answer_label(name) and len(last) < len(whole):
                return len(whole) - len(last)
        arrow = _ARROW.search(whole, max(0, len(whole) - 8))
        return arrow.start() if arrow and arrow.start() else None

    def _label_ends(self, whole: str, first: str) -> int | None:
        label = _LABEL.match(first[:_LONGEST_LABEL]) or (_HEADING.fullmatch(first) if len(first) < len(whole) else None)
        return label.end() if label and self.is_input_label(label["name"]) else None

    def _in_tags(self, whole: str) -> str | None:
        opened = _OPENS.match(whole)
        name = (opened[1] or opened[2]) if opened else None
        if opened is None or name is None or not self.is_input_label(name.replace("_", " ")):
            return None
        closed = whole.rfind(f"</{name}>" if opened[1] else f"[/{name}]")
        return whole[opened.end() : closed] if closed >= opened.end() and not whole[closed + len(name) + 3 :] else None


def _in_fence(whole: str, first: str) -> str | None:
    for mark in ("```", "~~~"):
        rest = first.removeprefix(mark)
        if rest != first and whole.endswith(mark) and len(whole) >= 2 * len(mark) and len(first) < len(whole):
            return whole[len(first) + 1 : -len(mark)] if rest.isalnum() or not rest.strip() else None
    ticks = len(whole) > 2 and whole[0] == whole[-1] == "`" and "`" not in whole[1:-1]
    return whole[1:-1] if ticks else None


def _in_quotes(whole: str) -> str | None:
    for opens, closes in _QUOTES:
        if len(whole) > len(opens) + len(closes) and whole.startswith(opens) and whole.endswith(closes):
            inner = whole[len(opens) : -len(closes)]
            # Two quoted parts, as in "a" or "b", are no quoted whole. Apostrophes within words are none.
            plain = inner.replace(f"\\{closes}", "")
            if closes == "'" and re.search(r"(?<!\w)'|'(?!\w)", plain):
                return None
            return (
                None if opens in plain and len(opens) == 1 and closes != "'" and _parts(plain, opens, closes) else inner
            )
    return None


def _parts(inner: str, opens: str, closes: str) -> bool:
    """Whether the first quote within closes what the outer one opened."""
    at = inner.find(closes)
    return at >= 0 and (opens == closes or opens not in inner[:at])
