"""Numbered replies: blocks below lines `## 4`, `## 5`, ..., read by their numbers.

A tail that was cut off is dropped, never repaired. Where no such line is there, other ways to number are read:
`## No. 4` and `## [4]`, then `**4.**` and `Task 4:`, then `4. text`. They also stand inside of answers, so they count
only from the first number that was asked for on, each the one before plus one, and a number that is there twice leaves
all of them unread.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template

MARK = "##"
NONE = "<none>"  # an exercise without an input
_BOLD, _DOT, _QUOTE = r"(?:\*\*|__)", "[.:)、．）：]", r"[ \t]*+(?:>[ \t]*+)?(?:[-*•+][ \t]++)?"
_MARKED = rf"^{_QUOTE}{_BOLD}?[ \t]*+[#＃]{{1,6}}[ \t]*+{_BOLD}?[ \t]*+(?P<number>\d++)[ \t]*+"
# "## 1", also as "### 1.", "## 1)" and "**## 1**"
_HEAD = re.compile(rf"{_MARKED}{_DOT}?[ \t]*+{_BOLD}?[ \t]*+{_DOT}?[ \t]*+$", re.MULTILINE)
# "## 1. text": a heading inside an answer looks the same, so it counts only where its number is the next
_HEAD_AND_TEXT = re.compile(rf"{_MARKED}(?:{_DOT}(?:[ \t]*+{_BOLD})?|{_BOLD}{_DOT}?)[ \t]++(?=\S)", re.MULTILINE)
_WORD = r"(?:(?:no|nr|n[º°]|№|number|task|example|exercise|item|input|question|proposal|instruction)\.?|第)"
_BOXED = r"[\[(（【［](?P<boxed>\d{1,9})[\])）】］]"
_ENDS = rf"(?:\ufe0f?\u20e3)?[ \t]*+(?:{_BOLD}|[.:)、．）：题项个]){{0,3}}[ \t]*+(?:[-–—][ \t]++)?"
_LOOSE = (  # what begins a block where nothing is marked as asked for; text may follow it in its line
    rf"^{_QUOTE}{_BOLD}?[ \t]*+[#＃]{{1,6}}[ \t]*+{_BOLD}?[ \t]*+(?:{_WORD}[ \t]*+){{0,2}}[#＃]?"
    rf"(?:{_BOXED}|(?P<number>\d{{1,9}})){_ENDS}",
    rf"^{_QUOTE}(?:{_BOLD}[ \t]*+{_WORD}?|{_WORD})[ \t]*+[#＃]?(?:{_BOXED}|(?P<number>\d{{1,9}}))"
    rf"(?=[ \t]*+(?:$|{_BOLD}|{_DOT})){_ENDS}",
    rf"^{_QUOTE}{_BOXED}{_ENDS}",
    rf"^{_QUOTE}(?P<number>\d{{1,9}})[.)、．）：:](?!\d)[ \t]*+",
)
_OTHERS = tuple(re.compile(loose, re.MULTILINE | re.IGNORECASE) for loose in _LOOSE)
_FENCE = re.compile(r"[ \t]*(?:>[ \t]*)?(`{3,}|~{3,})[ \t]*([\w+-]*)[ \t]*")
_FIELD = re.compile(
    rf"^{_QUOTE}(?:[#＃]{{1,6}}[ \t]*+|[-*•][ \t]++)?{_BOLD}?(Instruction|Input|Output)"
    rf"[ \t]*+{_BOLD}?[ \t]*+[:：](?:[ \t]*+{_BOLD})?",
    re.MULTILINE,
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
    reply = _bare(reply.replace("\r\n", "\n").replace("\r", "\n"))
    heads = _heads(reply)
    if not any(first <= _number(head) <= last for head in heads):
        others = (_in_order(list(other.finditer(reply)), first) for other in _OTHERS)
        heads = next((found for found in others if found), heads)
    read: list[Block] = []
    seen: set[int] = set()
    for place, head in enumerate(heads):
        end = heads[place + 1].start() if place + 1 < len(heads) else len(reply)
        number, text = _number(head), reply[head.end() : end].strip()
        for bold in ("**", "__"):
            if head[0].count(bold) % 2:  # "**## 1. text**"
                line, newline, rest = text.partition("\n")
                text = line.rstrip().removesuffix(bold) + newline + rest
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


def _in_order(heads: list[re.Match[str]], first: int) -> list[re.Match[str]]:
    """Those that count up from `first`; none of them where a number among them is there twice."""
    numbers = Counter(map(_number, heads))
    kept: list[re.Match[str]] = []
    for head in heads:
        if _number(head) == first + len(kept):
            kept.append(head)
    return [] if any(numbers[_number(head)] > 1 for head in kept) else kept


def _number(head: re.Match[str]) -> int:
    return int(next(number for number in head.groupdict().values() if number)[:9])


def _bare(reply: str) -> str:
    """The reply without a quotation around all of it, and without code fences around blocks or left over from them."""
    lines = reply.removeprefix("\ufeff").split("\n")
    if all(line.startswith(">") for line in lines if line.strip()):
        lines = [line.removeprefix(">").removeprefix(" ") for line in lines]
    kept: list[str] = []
    inside = ""  # the fence that a block has open
    for line, before_a_block in zip(lines, _before_a_block(lines), strict=True):
        fence = _FENCE.fullmatch(line)
        if fence is None or (inside and (fence[2] or not fence[1].startswith(inside))):
            kept.append(line)
        elif inside:
            inside = ""
            kept.append(line)
        elif not before_a_block:  # else it stands around blocks, or is left over
            inside = fence[1]
            kept.append(line)
    return "\n".join(kept)


def _before_a_block(lines: Sequence[str]) -> list[bool]:
    """For each line, whether a head follows it or nothing does, but for blank lines and bare fences."""
    marked = (_HEAD, _HEAD_AND_TEXT, *_OTHERS[:-1])
    # A list in an answer looks like blocks in a list, which are there only where nothing else begins a block.
    heads = marked if any(head.match(line) for line in lines for head in marked) else _OTHERS
    before, begins = [], True
    for line in reversed(lines):
        before.append(begins)
        fence = _FENCE.fullmatch(line)
        if line.strip() and (fence is None or fence[2]):
            begins = any(head.match(line) for head in heads)
    return before[::-1]


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
