"""One tolerant reader of what a teacher proposes: JSON, or numbered blocks however a model dresses them.

`numbered` reads the numbers. Here is what stands around them: numbers that begin anew, headings within an answer, code
fences and lines around each block, and words that close the reply. A reply that is stored is read again by every run,
so what this reader learns costs nothing.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from stillhouse.teacher.numbered import (
    MARK,
    Block,
    begins_fields,
    blocks,
    fields,
    head_end,
    is_fence_or_rule,
    is_no_input,
    without_rules,
)

_HIDDEN = "\ue000"  # before a line that looks like a heading and begins no block
_WRAPPED = re.compile(r"(?P<fence>`{3,}|~{3,})[\w+-]*[ \t]*\n(?P<text>.*)\n(?P=fence)[ \t]*(?P<after>\n.*)?", re.DOTALL)
_OPENINGS = (  # how words to the reader begin
    r"(?:please |and )?let me know|feel free|i hope|hope (?:this|these)|would you like|do you want|shall i|happy to",
    r"if you(?:'d| would)? (?:like|need|want)|is there anything|that(?:'s| is) all|end of|note that|\(?(?:note|end)\b",
    r"these (?:new |\d+ |twenty )?(?:exercises|examples|tasks|instructions|inputs|variants|prompts)",
    r"there you (?:have it|go)|all (?:of the|\d+|twenty) |sag(?:en sie)? mir|ich hoffe|lass(?:en sie)? (?:es )?mich",
)
_CLOSING = re.compile(
    rf"\n[ \t]*\n(?:[-*_ \t]{{3,}}\n\s*)?[*_>#\s]*(?:{'|'.join(_OPENINGS)})[^\n]*(?:\n[^\n]+)*\s*$", re.IGNORECASE
)
_CLOSING_LINE = re.compile(
    r"\n[*_>\s]*(?:please )?let me know if you[^\n]*"
    r"\b(?:more|other|further|additional|exercises|examples|changes)\b[^\n]*$",
    re.IGNORECASE,
)
_AFTER_A_RULE = re.compile(r"\n[ \t]*\n[ \t]*(?:-{3,}|\*{3,}|_{3,}|={3,})[ \t]*\n[ \t]*\n?[^\n]+\s*$")
_OTHER_HEAD = re.compile(r"\s*(?:#{1,6}|\*\*|__)[\s#*_]*(?:[^\W\d]+[\s.#:]+){1,3}(?P<number>\d{1,4})\b.{0,80}$")
_TAG_ALONE = re.compile(r"[ \t]*</?[A-Za-z][^<>\n]{0,200}>[ \t]*")
# A letter may end with the words that close a reply.
_LETTER = re.compile(r"^\s*(?:dear|hi|hello|hey|subject:|good (?:morning|afternoon|evening))\b", re.IGNORECASE)


def proposals(
    reply: str, first: int, last: int, *, cut_off: bool, exercises: bool, fences_belong: bool = False
) -> list[Block]:
    """The blocks of a reply, in its order, as `numbered.blocks` has them. `exercises`: each has fields.

    `fences_belong`: a fence around a block may be its own, as real inputs have some.
    """
    in_json = _json_blocks(reply, first, last, cut_off=cut_off)
    if in_json is not None:
        return in_json
    shown = _without_inner_heads(reply) if exercises else reply
    read = _renumbered(shown, first, last, cut_off=cut_off, exercises=exercises)
    if exercises and not any(exercise_of(block.text) for block in read):
        read = _by_fields(shown, first, last, cut_off=cut_off) or read
    read = [replace(block, text=block.text.replace(_HIDDEN, "")) for block in read]
    if not exercises and fences_belong:
        return _without_closing(read, cut_off)
    return _without_closing([replace(block, text=_unwrapped(block.text, exercises)) for block in read], cut_off)


def exercise_of(text: str) -> dict[str, str] | None:
    """Instruction, input and output of a block, in JSON or as lines; None where they are not all there."""
    if not text.startswith("{"):
        return fields(text)
    try:
        value = json.loads(text, strict=False)
    except (json.JSONDecodeError, RecursionError):
        return fields(text)
    if not isinstance(value, dict):
        return None
    named = {str(name).strip().lower(): part for name, part in value.items()}
    instruction, output = named.get("instruction"), named.get("output")
    if not isinstance(instruction, str) or not instruction.strip() or not isinstance(output, str) or not output.strip():
        return None
    given = named.get("input")
    if given is not None and not isinstance(given, str):
        given = json.dumps(given, ensure_ascii=False)
    return {
        "instruction": " ".join(instruction.split()),
        "input": "" if given is None or is_no_input(given) else given.strip(),
        "output": output.strip(),
    }


def _without_inner_heads(reply: str) -> str:
    """The reply with a sign before each line that looks like a block's head though no exercise begins below it."""
    lines = reply.replace(_HIDDEN, "").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    begins, below = [False] * len(lines), False  # whether a first field comes next, below each line
    for at in range(len(lines) - 1, -1, -1):
        begins[at] = below
        if lines[at].strip() and not is_fence_or_rule(lines[at]):
            below = begins_fields(lines[at])
    for at, line in enumerate(lines):
        if begins[at] and head_end(line) is None and (told := _OTHER_HEAD.match(line)) is not None:
            lines[at] = f"{MARK} {told['number']}"  # "## Problem 4", "### Aufgabe 4:"
    heads = {at: end for at, line in enumerate(lines) if (end := head_end(line)) is not None}
    real = {at for at, end in heads.items() if begins[at] or begins_fields(lines[at][end:].lstrip())}
    real -= {at for at in real if _is_in_code(lines, at, min((other for other in real if other > at), default=None))}
    if not real:
        return "\n".join(lines)
    return "\n".join(_HIDDEN + line if at in heads and at not in real else line for at, line in enumerate(lines))


def _is_in_code(lines: Sequence[str], at: int, end: int | None) -> bool:
    """Whether the head on this line is shown in the code of an answer: below a fence, with no whole exercise."""
    above = next((line for line in reversed(lines[:at]) if line.strip()), "")
    closes = end is not None or any(is_fence_or_rule(line) for line in lines[at:])
    return above.strip().startswith(("```", "~~~")) and closes and fields("\n".join(lines[at:end])) is None


def _renumbered(reply: str, first: int, last: int, *, cut_off: bool, exercises: bool) -> list[Block]:
    """The blocks, also where their numbers begin at 1 instead of `first`, or begin anew within the reply."""
    read = blocks(reply, first, last, cut_off=cut_off)
    n = last - first + 1
    for start in (1, 0) if first > 1 else (0,):
        anew_from = blocks(reply, start, start + n - 1, cut_off=cut_off)
        numbers = [block.number for block in anew_from]
        if numbers == list(range(start, start + len(numbers))) and _usable(anew_from) > _usable(read):
            return anew_from
    runs = _runs([block.number for block in read])
    anew = len(runs) > 1 and all(len(run) > 1 and run[0] in (1, first) for run in runs) and len(read) <= n
    anew = anew or (2 < len(read) <= n and len({block.number for block in read}) == 1)  # each has the same number
    if not exercises or not anew:
        return read
    whole = [replace(block, number=first + at) for at, block in enumerate(read)]
    return [replace(block, problem=None) if (block.problem or "").startswith("number ") else block for block in whole]


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    """The numbers cut where one is not the one before plus one."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


def _usable(read: Sequence[Block]) -> int:
    return sum(block.problem is None for block in read)


def _by_fields(reply: str, first: int, last: int, *, cut_off: bool) -> list[Block]:
    """The exercises of a reply without numbers: each begins at its first field."""
    lines = reply.split("\n")
    if not any(map(begins_fields, lines)):
        return []
    starts = [at for at, line in enumerate(lines) if begins_fields(line)]
    parts = ("\n".join(lines[at:end]).strip() for at, end in zip(starts, [*starts[1:], len(lines)], strict=True))
    texts = [_without_tags_below(part) for part in parts]
    if not all(exercise_of(text) for text in texts[:-1]):
        return []
    extra = "number not asked for"
    read = [Block(first + at, text, extra if first + at > last else None) for at, text in enumerate(texts)]
    read = without_rules(read)
    return [*read[:-1], replace(read[-1], problem="cut off")] if cut_off else read


def _without_tags_below(text: str) -> str:
    """The text without the lines at its end that hold a tag and nothing else."""
    lines = text.split("\n")
    while lines and (not lines[-1].strip() or _TAG_ALONE.fullmatch(lines[-1])):
        lines.pop()
    return "\n".join(lines)


def _unwrapped(text: str, exercise: bool) -> str:
    """The text without a code fence around all of it."""
    wrapped = _WRAPPED.fullmatch(text)
    if wrapped is None or wrapped["text"].count(wrapped["fence"]) % 2:
        return text
    if exercise:
        return wrapped["text"].strip() if fields(wrapped["text"]) else text
    return wrapped["text"].strip() if not wrapped["after"] else text


def _without_closing(read: list[Block], cut_off: bool) -> list[Block]:
    """The blocks without the words to the reader that stand below the last one."""
    if not read or cut_off:
        return read
    last = read[-1]
    parts = fields(last.text)
    output = last.text if parts is None else parts["output"]
    closing = (
        _CLOSING.search(last.text)
        or _CLOSING_LINE.search(last.text)
        or (_AFTER_A_RULE.search(last.text) if len(read) > 1 else None)
    )
    if closing is None or _LETTER.match(output):
        return read
    return [*read[:-1], replace(last, text=last.text[: closing.start()].rstrip())]


def _json_blocks(reply: str, first: int, last: int, *, cut_off: bool) -> list[Block] | None:
    """The objects or texts of a list in JSON, each as a block; None where the reply is no such list."""
    text = reply.strip()
    line, _, below = text.partition("\n")
    if not line.lstrip().startswith(("[", "{", "`", "~")) and head_end(line) is None:
        text = below.strip()  # "Here are the exercises:"
    text = re.sub(r"^(?:`{3,}|~{3,})[\w+-]*[ \t]*\n", "", text.strip())
    if not text.startswith(("[", "{")):
        return None
    at = text.find("[") if text.startswith("[") or re.match(r'\{\s*"[^"\n]{1,40}"\s*:\s*\[', text) else 0
    in_list = text[at] == "["
    decoder, values, place = json.JSONDecoder(strict=False), [], at + in_list
    while True:
        place = _next(text, place)
        if place >= len(text) or text[place] not in '{"':
            break
        try:
            value, place = decoder.raw_decode(text, place)
        except (json.JSONDecodeError, RecursionError):
            break
        values.append(value)
    if not values or (not in_list and len(values) == 1 and not _is_item(values[0])):
        return None
    read = []
    for number, value in enumerate(values, start=first):
        problem = None if number <= last else "number not asked for"
        read.append(Block(number, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), problem))
    whole = text[place : place + 1] in ("]", "") or not in_list
    return read if whole and not cut_off else [*read, Block(first + len(read), text[place:], "cut off")]


def _is_item(value: object) -> bool:
    return isinstance(value, dict) and bool({"instruction", "input", "output"} & {str(name).lower() for name in value})


def _next(text: str, place: int) -> int:
    while place < len(text) and text[place] in ", \t\r\n":
        place += 1
    return place
