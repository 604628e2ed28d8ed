"""What an app's prompt puts around its inputs, where a file holds whole prompts: `template` in `[data]`.

A template is a text with `{input}` where the input stands. `frame_of` finds the one that all texts have: whole lines,
or words up to a colon, so that inputs which happen to begin alike keep their words.
"""

import re
from collections.abc import Sequence

from stillhouse.column_map import SLOT

_LEAST_TEXTS = 20
_LEAST_WORDS = 4  # of a frame: fewer may be the inputs' own way to begin or end
_OPENS, _CLOSES = r"\s\"'`«“(\[{<", r"\"'`»”)\]}>"
_BEFORE = re.compile(rf"\A.*(?:\n|:)[{_OPENS}]*", re.DOTALL)
_BEHIND = re.compile(rf"[{_CLOSES}]*\s*\n.*\Z", re.DOTALL)
_NAME = re.compile(r"(?:\A|\n)[ \t]*\w+(?: \w+){0,2}:[^\w\n]*\Z")  # "Text:" right before the input


def framed(text: str, template: str) -> str | None:
    """The input in a text; None: the text does not have the template around it."""
    before, _, behind = template.partition(SLOT)
    if len(text) < len(before) + len(behind) or not text.startswith(before) or not text.endswith(behind):
        return None
    return text[len(before) : len(text) - len(behind)] or None


def frame_of(texts: Sequence[str]) -> str | None:
    """The template that all of the texts have; None: they have none."""
    if len(texts) < _LEAST_TEXTS or len(set(texts)) < 2:
        return None
    begins = _common(texts)
    found = _BEFORE.match(begins)
    before = found[0] if found else ""
    rests = [text[len(before) :][::-1] for text in texts]
    found = _BEHIND.search(_common(rests)[::-1])
    behind = found[0] if found else ""
    if len(re.findall(r"\w+", before + behind)) < _LEAST_WORDS or SLOT in before + behind:
        return None
    template = f"{before}{SLOT}{behind}"
    return template if all(framed(text, template) for text in texts) else None


def _common(texts: Sequence[str]) -> str:
    """What all of the texts begin with: the first and the last in their order differ the most."""
    first, last = min(texts), max(texts)
    n = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    return first[:n]


def instruction_in(template: str) -> str:
    """What a template says beside the input, without the name that stands right before it."""
    before, _, behind = template.partition(SLOT)
    before = _NAME.sub("", before)
    behind = behind if len(re.findall(r"\w+", behind)) >= _LEAST_WORDS else ""
    return "\n".join(part for part in (before.strip(" \t\r\n\"'`"), behind.strip(" \t\r\n\"'`")) if part)
