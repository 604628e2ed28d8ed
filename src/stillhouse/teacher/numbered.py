"""Numbered replies: blocks below lines `## 4`, `## 5`, ..., read by their numbers.

A tail that was cut off is dropped, never repaired.
"""

import re
from dataclasses import dataclass
from importlib.resources import files
from string import Template

MARK = "##"
NONE = "<none>"  # an exercise without an input
_HEAD = re.compile(rf"^[ \t]*{MARK}[ \t]*(\d+)[ \t]*(?:[.:][ \t]*)?$", re.MULTILINE)
_FIELD = re.compile(r"^[ \t]*(Instruction|Input|Output)[ \t]*:", re.MULTILINE)


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
    heads = list(_HEAD.finditer(reply))
    read: list[Block] = []
    seen: set[int] = set()
    for place, head in enumerate(heads):
        end = heads[place + 1].start() if place + 1 < len(heads) else len(reply)
        number, text = int(head[1][:9]), reply[head.end() : end].strip()
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
