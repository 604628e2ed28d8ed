"""Numbered replies: blocks below lines `## 4`, `## 5`, ..., read by their numbers.

A tail that was cut off is dropped, never repaired. Where no such line is there, other ways to number are read:
headings of HTML, `## No. 4` and `## [4]`, `**4.**` and `Task 4:`, `Task Four:` and `Task IV:`, then `4. text`,
`④ text`, `四、text`, `Four. text` and `IV. text`. They also stand inside of answers, so they count only from the first
number that was asked for on, each the one before plus one, and a number that is there twice leaves all of them unread.
Number words are read in English.

A heading of another level than most, as `# 7` is among `## 4` and `## 5`, may be a comment in code: it counts only
where its number is the next and no other heading has it. In code in fences, nothing is a heading.
"""

import re
import unicodedata
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from string import Template

MARK = "##"
NONE = "<none>"  # an exercise without an input
_B = r"[ \t\xa0\u3000\u200b\ufeff]"  # a blank
_BOLD, _DOT = r"(?:\*\*|__)", r"\\?[.:)、．）：\]]"
_QUOTE = rf"{_B}*+(?:>{_B}*+)?(?:[-*•+‣◦▪●▶►➤🔹🔸]{_B}++)?\\?"
_OF = rf"(?:{_B}*+(?:[/／]|of|out of|von|de|sur|di|из|共){_B}*+\d{{1,9}}(?![\w/／.,]))?"  # "1 of 3", "1/3"
_MARKED = rf"^{_QUOTE}{_BOLD}?{_B}*+(?P<mark>[#＃]{{1,6}}){_B}*+{_BOLD}?{_B}*+(?P<number>\d++){_OF}{_B}*+"
# "## 1", also as "### 1.", "## 1)" and "**## 1**"
_HEAD = re.compile(rf"{_MARKED}{_DOT}?{_B}*+{_BOLD}?{_B}*+{_DOT}?{_B}*+[#＃]{{0,6}}{_B}*+$", re.MULTILINE)
# "## 1. text": a heading inside an answer looks the same, so it counts only where its number is the next
_HEAD_AND_TEXT = re.compile(rf"{_MARKED}(?:{_DOT}(?:{_B}*+{_BOLD})?|{_BOLD}{_DOT}?){_B}++(?=\S)", re.MULTILINE)
_WORD = r"(?:(?:no|nr|n[º°]|№|number|task|example|exercise|item|input|question|proposal|instruction)\.?|第)"
_CIRCLED = "\u2460-\u249b\u24eb-\u24fe\u2776-\u2793\u3220-\u3229\u3251-\u325f\u3280-\u3289\u32b1-\u32bf"
_CIRCLED += "\u2160-\u216b\u2170-\u217b"  # Roman numerals of one sign
_IN_BRACKETS = rf"[\[(（【［<〈《「{{](?P<boxed>\d{{1,9}}){_OF}[\])）】］>〉》」}}]"
_BOXED = rf"(?:{_IN_BRACKETS}|(?P<circled>[{_CIRCLED}]))"
_STEP = r"(?:step|stage|phase|part|line|option|schritt|étape|etape|paso|passo|шаг|krok|步骤|步驟|ステップ|단계)"
_COUNTER = r"(?:[题題项項个個](?=[\s.:)、．）：*]|$))?"  # "第1题：", and not the first sign of "个人"
# What belongs to the number touches it, or stands between blanks: in "[1] .NET" the point belongs to the text.
_ENDS = (
    rf"(?:\ufe0f?\u20e3)?{_COUNTER}(?:{_BOLD}|[.:)、．）：]){{0,3}}{_B}*+(?:[.:)、．）：](?:{_B}++|$))?"
    rf"(?:[-–—]{_B}++(?!\d))?"
)
_ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_TEENS = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_WORDED = (
    rf"(?P<worded>(?:{'|'.join(_TENS)})(?:[- ](?:{'|'.join(_ONES[:9])})\b)?|(?:{'|'.join((*_TEENS, *_ONES[::-1]))})\b)"
)
_ROMAN = r"(?P<roman>(?-i:[IVXL]{1,7}|[ivxl]{1,7})\b)"
_SPELLED = rf"(?:{_WORDED}|{_ROMAN})"
_LOOSE = (  # what begins a block where nothing is marked as asked for; text may follow it in its line
    rf"^{_QUOTE}{_BOLD}?{_B}*+[#＃]{{1,6}}{_B}*+{_BOLD}?{_B}*+(?:{_WORD}{_B}*+){{0,2}}[#＃]?"
    rf"(?:{_BOXED}|(?P<number>\d{{1,9}}){_OF}){_ENDS}",
    rf"^{_QUOTE}(?:{_BOLD}{_B}*+{_WORD}?|{_WORD}){_B}*+[#＃]?(?:{_BOXED}|(?P<number>\d{{1,9}}){_OF})"
    rf"(?=[题題项項个個]?{_B}*+(?:$|{_BOLD}|{_DOT})){_ENDS}",
    rf"^{_QUOTE}{_IN_BRACKETS}{_ENDS}",
    # A word of any language, but for those that number what is within an answer: "Frage 1: text", "## 问题 1"
    rf"^{_QUOTE}{_BOLD}?(?:[#＃]{{1,6}}{_B}*+{_BOLD}?)?(?!{_STEP})(?:[^\W\d_]{{2,20}}|(?-i:[A-Z])){_B}*+(?P<number>\d{{1,9}}){_OF}"
    rf"(?={_B}*+(?:$|{_BOLD}|{_DOT})){_ENDS}",
    # "## Task One", "**IV.**", "Task Four: text", "Aufgabe IV:", "First task:"
    rf"^{_QUOTE}{_BOLD}?{_B}*+[#＃]{{1,6}}{_B}*+{_BOLD}?{_B}*+(?:{_WORD}{_B}*+){{0,2}}{_SPELLED}{_OF}{_ENDS}",
    rf"^{_QUOTE}(?:{_BOLD}{_B}*+(?:{_WORD}{_B}++)?|{_WORD}{_B}++){_SPELLED}{_OF}(?={_B}*+(?:$|{_BOLD}|{_DOT})){_ENDS}",
    rf"^{_QUOTE}{_BOLD}?(?!{_STEP})[^\W\d_]{{2,20}}{_B}++{_SPELLED}{_OF}(?={_B}*+(?:$|{_BOLD}|[:)：）])){_ENDS}",
    # "*1.*", "_Task 1:_" and "=== 1 ==="
    rf"^{_QUOTE}(?P<slant>[*_])(?:{_WORD}{_B}*+)?(?P<number>\d{{1,9}}){_OF}{_DOT}?(?P=slant){_DOT}?{_B}*+",
    rf"^{_B}*+[-=*~]{{2,20}}{_B}*+(?:{_WORD}{_B}*+)?[#＃]?(?P<number>\d{{1,9}}){_OF}{_DOT}?{_B}*+[-=*~]{{2,20}}{_B}*+$",
    rf"^{_QUOTE}[#＃]{{0,6}}{_B}*+{_BOLD}?(?:the{_B}++)?(?P<ordinal>{'|'.join(_ORDINALS)}){_B}++{_WORD}"
    rf"(?={_B}*+(?:$|{_BOLD}|[.:)：）])){_ENDS}",
    # From here on, lists: an answer may hold them as well.
    rf"^{_QUOTE}{_BOLD}?(?P<circled>[{_CIRCLED}]){_ENDS}",
    rf"^{_QUOTE}(?P<number>\d{{1,9}}){_OF}(?:{_DOT}[)）]?(?!\d){_B}*+|{_B}+[-–—]{_B}+(?=\D))",
    rf"^{_QUOTE}(?P<number>\d{{1,9}})(?:\ufe0f?\u20e3{_ENDS}|{_B}*+$(?:\n{_B}*+[-=]{{2,20}}{_B}*+$)?)",
    rf"^{_QUOTE}{_BOLD}?第?(?P<han>[一二三四五六七八九十]{{1,3}})[题題项項个個条條道]?{_BOLD}?[、.．:：)）]{_BOLD}?{_B}*+",
    rf"^{_QUOTE}{_BOLD}?\(?{_SPELLED}(?:{_DOT}{_BOLD}?|{_BOLD}{_DOT})(?:{_B}++|$)",
)
_HAN = {sign: number for number, sign in enumerate("一二三四五六七八九", start=1)}
_LINE = r"(?:(?:-[ \t]?){3,}|(?:\*[ \t]?){3,}|(?:_[ \t]?){3,}|={3,}|—{2,})[ \t]*"
_RULE = re.compile(rf"\n[ \t]*{_LINE}$")
_RULE_APART = re.compile(rf"(?:\n[ \t]*){{2,}}{_LINE}$")
_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_OTHERS = tuple(re.compile(loose, re.MULTILINE | re.IGNORECASE) for loose in _LOOSE)
_N_LISTS = 5
# A line that is a heading of HTML; text may follow it
_HTML_HEAD = re.compile(
    rf"^{_B}*+<h(?P<level>[1-6])(?:\s[^<>\n]{{0,200}})?>{_B}*+(?P<text>[^\n]{{1,500}}?){_B}*+</h(?P=level)>{_B}*+",
    re.MULTILINE | re.IGNORECASE,
)
_HTML_AROUND = re.compile(
    rf"^{_B}*+<(?:p|div)(?:\s[^<>\n]{{0,200}})?>|</(?:p|div)>{_B}*+$", re.MULTILINE | re.IGNORECASE
)
_HTML_BOLD = re.compile(r"</?(?:b|strong)>", re.IGNORECASE)
_OF_TEXT = ("", "markdown", "md", "text", "txt", "plaintext")  # what a fence around blocks may say of what is in it
_FENCE = re.compile(r"[ \t]*(?:>[ \t]*)?(`{3,}|~{3,})[ \t]*([\w+-]*)[ \t]*")
# What begins code at the end of a line of text: "Output: ```python"
_OPENS_LATE = re.compile(r"[^`~\n]*[:：](?:\*\*|__)?[ \t]*(`{3,}|~{3,})[\w+-]*[ \t]*")
_WRAP = r"(?:\*{1,3}|_{1,3}|`)"  # what makes a field's name bold, slanted or code
_FIELD = (
    rf"^{_QUOTE}(?P<level>[#＃]{{1,6}}[ \t]*+)?(?:[-*•][ \t]++)?(?P<bold>{_WRAP})?(?P<name>Instruction|Input|Output)"
    rf"[ \t]*+(?P<closed>{_WRAP})?"
    rf"(?:[ \t]*+[:：](?P<shut>{_WRAP})?|(?<=[ \t])[-–—](?=[ \t])|(?(level)|(?(closed)|(?!)))[ \t]*+$)"
)
# As they are asked for, and else in any case: a text may hold "input:" as well.
_FIELDS = tuple(re.compile(_FIELD, re.MULTILINE | flag) for flag in (re.NOFLAG, re.IGNORECASE))
_NAMES = ["instruction", "input", "output"]
# What stands for no input: "<none>", "None.", "(none)", "N/A", "<noinput>", "-"
_NO_INPUT = re.compile(
    r"\W*(?:(?:none|null|n/?\.?a|no(?: additional| further)? ?input|not applicable|empty)"
    r"(?: (?:is )?(?:required|needed|necessary|provided|given))?\W*)?",
    re.IGNORECASE,
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
    reply = _LINE_ENDS.sub("\n", reply)
    level = _level(reply, first, last)
    if not level and _HTML_HEAD.search(reply):
        reply = _without_html(reply)
        level = _level(reply, first, last)
    reply = _bare(reply, level)
    heads = _heads(reply, level)
    if not any(first <= _number(head) <= last for head in heads):
        others = (_in_order(list(other.finditer(reply)), first) for other in _OTHERS)
        heads = next((found for found in others if found), heads)
    read: list[Block] = []
    seen: set[int] = set()
    for place, head in enumerate(heads):
        end = heads[place + 1].start() if place + 1 < len(heads) else len(reply)
        number, text = _number(head), reply[head.end() : end].strip()
        if "<" in head[0]:  # "<1>text</1>"
            text = text.removesuffix(f"</{number}>").rstrip()
        for bold in ("**", "__"):
            if head[0].count(bold) % 2:  # "**## 1. text**"
                line, newline, rest = text.partition("\n")
                text = line.replace(bold, "", 1).rstrip() + newline + rest
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
    return without_rules(read)


def without_rules(read: list[Block]) -> list[Block]:
    """The blocks without the lines drawn between them: each but the last ends in one."""
    drawn = [_RULE.search(block.text) for block in read]
    if len(read) < 2 or not all(drawn[:-1]):  # else one that stands apart from the text is such a line all the same
        drawn = [_RULE_APART.search(block.text) for block in read]
    return [
        block if rule is None else replace(block, text=block.text[: rule.start()].rstrip())
        for block, rule in zip(read, drawn, strict=True)
    ]


def head_end(line: str) -> int | None:
    """Where the text after a block's number begins in a line that may begin a block; None: it cannot begin one."""
    kinds = (_HEAD, _HEAD_AND_TEXT, *_OTHERS)
    ends = [head.end() for kind in kinds if (head := kind.match(line)) is not None]
    if not ends and (head := _HTML_HEAD.match(line)) is not None:
        ends = [head.end()]
    return max(ends, default=None)


def begins_fields(text: str) -> bool:
    """Whether an exercise's first field begins this text."""
    head = _FIELDS[1].match(text)
    return head is not None and head["name"].lower() == _NAMES[0]


def is_fence_or_rule(line: str) -> bool:
    return _FENCE.fullmatch(line) is not None or re.fullmatch(rf"[ \t]*{_LINE}", line) is not None


def _heads(reply: str, level: int) -> list[re.Match[str]]:
    """The lines that begin a block, in their order."""
    code = _code(reply)
    alone, with_text = (
        [head for head in pattern.finditer(reply) if not bisect(code, head.start()) % 2]
        for pattern in (_HEAD, _HEAD_AND_TEXT)
    )
    numbers = {_number(head) for head in alone if level in (0, len(head["mark"]))}
    heads: list[re.Match[str]] = []
    for head in sorted([*alone, *with_text], key=re.Match.start):
        is_next = not heads or _number(head) == _number(heads[-1]) + 1
        is_asked_for = level in (0, len(head["mark"])) and head.re is _HEAD
        if is_asked_for or (is_next and _number(head) not in numbers):
            heads.append(head)
    return heads


def _without_html(reply: str) -> str:
    """The reply with headings of HTML as Markdown has them, and without the paragraphs around lines."""
    reply = _HTML_HEAD.sub(lambda head: f"## {_HTML_BOLD.sub('', head['text'])}\n", reply)
    return re.sub(r"^(`{3,}|~{3,})html?[ \t]*$", r"\1", _HTML_AROUND.sub("", reply), flags=re.MULTILINE | re.IGNORECASE)


def _level(reply: str, first: int, last: int) -> int:
    """The level of heading that most of the numbers asked for have; as the prompt has it, where several do; 0: none."""
    numbers: dict[int, set[int]] = {}
    for head in (*_HEAD.finditer(reply), *_HEAD_AND_TEXT.finditer(reply)):
        if first <= _number(head) <= last:
            numbers.setdefault(len(head["mark"]), set()).add(_number(head))
    return max(numbers, key=lambda level: (len(numbers[level]), level == len(MARK)), default=0)


def _code(reply: str) -> list[int]:
    """Where fenced code begins, ends, begins again, and so on. A fence that nothing closes begins none."""
    places: list[int] = []
    at, opened, inside = 0, 0, ""
    for line in reply.split("\n"):
        fence = _FENCE.fullmatch(line)
        if not inside and fence is None and (late := _OPENS_LATE.fullmatch(line)) is not None:
            opened, inside = at + len(line), late[1]
        elif fence is not None and not inside:
            opened, inside = at, fence[1]
        elif fence is not None and not fence[2] and fence[1].startswith(inside):
            places += [opened, at]
            inside = ""
        at += len(line) + 1
    return places


def _in_order(heads: list[re.Match[str]], first: int) -> list[re.Match[str]]:
    """Those that count up from `first`; none of them where a number among them is there twice."""
    numbers = Counter(map(_number, heads))
    kept: list[re.Match[str]] = []
    for head in heads:
        if _number(head) == first + len(kept):
            kept.append(head)
    return [] if any(numbers[_number(head)] > 1 for head in kept) else kept


def _number(head: re.Match[str]) -> int:
    told = {name: value for name, value in head.groupdict().items() if value and name in _NUMERALS}
    name, value = next(iter(told.items()))
    return _NUMERALS[name](value)


def _of_han(numeral: str) -> int:
    """The value of a Chinese numeral up to 99; 0 for what is none."""
    tens, ten, ones = numeral.partition("十")
    if not ten:
        return _HAN[numeral] if len(numeral) == 1 else 0
    if len(tens) > 1 or len(ones) > 1 or "十" in ones:
        return 0
    return 10 * _HAN.get(tens, 1) + _HAN.get(ones, 0)


def _of_word(word: str) -> int:
    """The value of an English number word up to ninety-nine."""
    tens, _, ones = word.lower().replace("-", " ").partition(" ")
    if tens in _TENS:
        return 10 * (_TENS.index(tens) + 2) + (_ONES.index(ones) + 1 if ones else 0)
    return (*_ONES, *_TEENS).index(tens) + 1


def _of_roman(numeral: str) -> int:
    """The value of a Roman numeral up to 89; 0 for what is none."""
    match = re.fullmatch(r"(XL|L?X{0,3})(IX|IV|V?I{0,3})", numeral.upper())
    if match is None:
        return 0
    worth = {"I": 1, "V": 5, "X": 10, "L": 50}
    values = [worth[sign] for sign in numeral.upper()]
    return sum(-value if value < max(values[place:]) else value for place, value in enumerate(values))


_NUMERALS: dict[str, Callable[[str], int]] = {
    "number": lambda digits: int(digits[:9]),
    "boxed": lambda digits: int(digits[:9]),
    "circled": lambda sign: int(unicodedata.numeric(sign)),
    "han": _of_han,
    "worded": _of_word,
    "roman": _of_roman,
    "ordinal": lambda word: _ORDINALS.index(word.lower()) + 1,
}


def _bare(reply: str, level: int) -> str:
    """The reply without a quotation around all of it, and without code fences around blocks or left over from them."""
    lines = reply.removeprefix("\ufeff").split("\n")
    if all(line.startswith(">") for line in lines if line.strip()):
        lines = [line.removeprefix(">").removeprefix(" ") for line in lines]
    kept: list[str] = []
    inside = ""  # the fence that a block has open
    around = False  # whether a fence around blocks is open
    last = max((at for at, line in enumerate(lines) if _FENCE.fullmatch(line)), default=-1)
    for at, (line, before_a_block) in enumerate(zip(lines, _before_a_block(lines, level), strict=True)):
        fence = _FENCE.fullmatch(line)
        if not inside and fence is None and (late := _OPENS_LATE.fullmatch(line)) is not None:
            inside = late[1]
            kept.append(line)
            continue
        if fence is not None and not inside and around and at == last and not fence[2]:
            break  # it ends the one around the blocks, and with it what was asked for
        if fence is None or (inside and (fence[2] or not fence[1].startswith(inside))):
            kept.append(line)
        elif inside:
            inside = ""
            kept.append(line)
        elif not before_a_block or fence[2].lower() not in _OF_TEXT:  # else it stands around blocks, or is left over
            inside = fence[1]
            kept.append(line)
        else:
            around = not around
    return "\n".join(kept)


def _before_a_block(lines: Sequence[str], level: int) -> list[bool]:
    """For each line, whether a head follows it or nothing does, but for blank lines and bare fences."""
    if level:
        heads = [head for line in lines for kind in (_HEAD, _HEAD_AND_TEXT) if (head := kind.match(line)) is not None]
        starts = {head.string for head in heads if len(head["mark"]) == level}
    else:  # a list in an answer looks like blocks in a list, which are there only where nothing else begins a block
        marked, lists = _OTHERS[:-_N_LISTS], _OTHERS
        kinds = marked if any(kind.match(line) for line in lines for kind in marked) else lists
        starts = {line for line in lines if any(kind.match(line) for kind in kinds)}
    before, begins = [], True
    for line in reversed(lines):
        before.append(begins)
        fence = _FENCE.fullmatch(line)
        if line.strip() and (fence is None or fence[2]):
            begins = line in starts
    return before[::-1]


def fields(text: str) -> dict[str, str] | None:
    """Instruction, input and output of a block, each once and in this order; None where they are not.

    The line of the input may be missing, and that of the instruction where a text stands in its place.
    """
    for pattern in _FIELDS:
        heads = list(pattern.finditer(text))[:3]
        names = [head["name"].lower() for head in heads]
        if names == _NAMES or names[:2] == ["instruction", "output"] or names[:2] == ["input", "output"]:
            break
    else:
        return None
    if names != _NAMES:  # what follows an output belongs to its text, also a further "Input:"
        heads = [] if names[2:] == ["input"] else heads[:2]
    ends = [*(head.start() for head in heads[1:]), len(text)]
    read = {
        head["name"].lower(): _value(head, text[head.end() : end].strip())
        for head, end in zip(heads, ends, strict=True)
    }
    if heads and "instruction" not in read:
        read["instruction"] = text[: heads[0].start()].strip()
    instruction = " ".join(read.get("instruction", "").split())
    if not instruction or not read.get("output"):
        return None
    input_ = read.get("input", "")
    return {
        "instruction": instruction,
        "input": "" if is_no_input(input_) else input_,
        "output": read["output"],
    }


def is_no_input(text: str) -> bool:
    return _NO_INPUT.fullmatch(text) is not None


def _value(head: re.Match[str], text: str) -> str:
    """A field's text, without the end of bold that began before the field's name: "**Input: a**"."""
    if not head["bold"] or head["closed"] or head["shut"]:
        return text
    line, newline, rest = text.partition("\n")
    return (line.replace(head["bold"], "", 1).rstrip() + newline + rest).strip()
