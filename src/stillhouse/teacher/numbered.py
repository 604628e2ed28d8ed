"""Numbered replies: blocks below lines `## 4`, `## 5`, ..., read by their numbers.

A tail that was cut off is dropped, never repaired.
"""

import re
from dataclasses import dataclass
from importlib.resources import files
from string import Template

MARK = "##"
NONE = "<none>"  # an exercise without an input
_BOLD, _DOT = r"(?:\*\*|__)", "[.:)、．）：]"
_MARKED = rf"^[ \t]*+(?P<bold>{_BOLD})?[ \t]*+#{{1,6}}[ \t]*+{_BOLD}?[ \t]*+(?P<number>\d++)[ \t]*+"
# "## 1", also as "### 1.", "## 1)" and "**## 1**"
_HEAD = re.compile(rf"{_MARKED}{_DOT}?[ \t]*+{_BOLD}?[ \t]*+{_DOT}?[ \t]*+$", re.MULTILINE)
# "## 1. text": a heading inside an answer looks the same, so it counts only where its number is the next
_HEAD_AND_TEXT = re.compile(
    rf"{_MARKED}(?:{_DOT}(?:[ \t]*+(?P<closed>{_BOLD}))?|{_BOLD}{_DOT}?)[ \t]++(?=\S)", re.MULTILINE
)
_FIELD = re.compile(
    rf"^[ \t]*+{_BOLD}?(Instruction|Input|Output)[ \t]*+{_BOLD}?[ \t]*+:(?:[ \t]*+{_BOLD})?", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Block:
    """One numbered part of a reply. `problem` None: it was asked for and is whole."""

    number: int
    text: str
    problem: str | None = None


def template(name: str, **values: object) -> str:
    """A prompt of `prompts/NAME.txt` with its values filled in."""
    text = files("stillhouse.teacher").joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8")
    return Template(text).substitute({"mark": MARK, "none": NONE} | values).strip()


def blocks(reply: str, first: int, last: int, *, cut_off: bool) -> list[Block]:
    """The blocks of a reply in its order.

    A block has a problem where its number is not from `first` to `last`, comes twice, or where it is empty or cut off.
    """
    reply = reply.replace("\r\n", "\n").replace("\r", "\n")
    heads = _heads(reply)
    read: list[Block] = []
    seen: set[int] = set()
    for place, head in enumerate(heads):
        end = heads[place + 1].start() if place + 1 < len(heads) else len(reply)
        number, text = _number(head), reply[head.end() : end].strip()
        if head.re is _HEAD_AND_TEXT and head["bold"] and not head["closed"]:  # "**## 1. text**"
            line, newline, rest = text.partition("\n")
            text = line.rstrip().removesuffix(head["bold"]) + newline + rest
        problem = None
        if cut_off and place == len(heads) - 1:
            problem = "cut off"
        elif not first <= number <= last:
            problem = "number not asked for"
        elif number in seen:
            problem = "number twice"
        elif not text:
            problem = "empty"
        else:
            seen.add(number)
        read.append(Block(number, text, problem))
    return read


def _heads(reply: str) -> list[re.Match[str]]:
    """The lines that begin a block, in their order."""
    alone = list(_HEAD.finditer(reply))
    numbers = {_number(head) for head in alone}
    with_text = [head for head in _HEAD_AND_TEXT.finditer(reply) if _number(head) not in numbers]
    heads: list[re.Match[str]] = []
    for head in sorted([*alone, *with_text], key=re.Match.start):
        if head.re is _HEAD or not heads or _number(head) == _number(heads[-1]) + 1:
            heads.append(head)
    return heads


def _number(head: re.Match[str]) -> int:
    return int(head["number"][:9])


def fields(text: str) -> dict[str, str] | None:
    """Instruction, input and output of a block, each once and in this order; None where they are not."""
    heads = list(_FIELD.finditer(text))
    if [head[1] for head in heads[:3]] != ["Instruction", "Input", "Output"]:
        return None
    first, second, third = heads[:3]  # a further "Input:" in the reply belongs to the output's text
    instruction = " ".join(text[first.end() : second.start()].split())
    input_ = text[second.end() : third.start()].strip()
    output = text[third.end() :].strip()
    if not instruction or not output:
        return None
    return {
        "instruction": instruction,
        "input": "" if input_.casefold() in ("", NONE, NONE.strip("<>")) else input_,
        "output": output,
    }
