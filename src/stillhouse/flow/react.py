"""The text protocol of agents, read: Thought, Action, Action Input, Observation, Final Answer (ReAct, Yao et al. 2022).

Models write it in many hands: bold, indented, numbered, in lower case, with code fences and backticks. A reply is one
turn: its first Action or Final Answer counts, and what a model invents after it (an Observation, a second Action) is
dropped. Each mark is looked at once, so reading a reply takes time that grows with its length alone.
"""

import json
import re
from dataclasses import dataclass

_LABEL = re.compile(
    r"^(?P<open>[ \t>#*_`-]{0,24})(?P<name>final[ _-]?answer|action[ _-]?input|action|observation|thought)"
    r"(?:[ \t]{0,2}#?\d{1,3})?(?P<close>[*_`]{0,3})[ \t]{0,4}[:\uff1a]",
    re.IGNORECASE | re.MULTILINE,
)
_INPUT_ON_THE_LINE = re.compile(r"(?<=[\s,;*_`])action[ _-]?input[*_`]{0,3}[ \t]{0,4}[:\uff1a]", re.IGNORECASE)
_RUN = re.compile(r"`+|~+|[*_]+|\s+")
_LANGUAGE = re.compile(r"[ \t]{0,8}[A-Za-z0-9_+-]{1,20}[ \t]{0,8}(?=[\n{\[])")
_FENCE_LINE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})", re.MULTILINE)
_lenient = json.JSONDecoder(strict=False)  # takes line breaks within texts, as models write them


@dataclass(frozen=True, slots=True)
class TextTurn:
    """One turn: `text` up to the end of what counts; an action with its arguments, or a final answer, or neither."""

    text: str
    tool: str | None = None
    arguments: str = ""  # JSON, where the model wrote valid arguments
    answer: str | None = None


def read_turn(reply: str) -> TextTurn:
    """What a reply says to do."""
    text = reply.replace("\r\n", "\n").replace("\r", "\n").strip()
    action: re.Match[str] | None = None
    for label in _LABEL.finditer(text):
        match _plain(label["name"]):
            case "observation":  # nobody observed that
                return TextTurn(text[: label.start()].strip())
            case "final answer":
                return _final(text, label)
            case "action":
                action = label
                on_the_line = _INPUT_ON_THE_LINE.search(text, label.end(), _line_end(text, label.end()))
                if on_the_line is not None:
                    return _called(text, label, on_the_line)
            case "action input" if action is not None:
                return _called(text, action, label)
    return TextTurn(text)


def _plain(name: str) -> str:
    name = name.lower()
    return name if " " in name else re.sub(r"[_-]|(?<=final)(?=answer)|(?<=action)(?=input)", " ", name)


def _called(text: str, action: re.Match[str], given: re.Match[str]) -> TextTurn:
    marks = _marks(action)
    tool = _name(text[action.end() : given.start()].removeprefix(marks))
    if not tool:
        return TextTurn(text)
    end = next((label.start() for label in _LABEL.finditer(text, given.end())), len(text))
    start = min(_value_start(text, given), end)
    if text[start : start + 1] in ("{", "["):
        try:
            value, end = _lenient.raw_decode(text, start)
        except (ValueError, RecursionError):
            pass  # the tool's call is refused with the reason, which the model can mend
        else:
            return TextTurn(text[: _closed(text, end)].rstrip(), tool, _as_json(text[start:end], value))
    written = text[start:end].strip()
    for mark in ("```", "~~~", "`", "**"):
        written = written.removesuffix(mark).rstrip()
    return TextTurn(text[:end].rstrip(), tool, written)


def _marks(label: re.Match[str]) -> str:
    """The marks that open around a label and are not closed within it, such as `**`."""
    return "" if label["close"] else label["open"].strip(" \t>#-")


def _name(written: str) -> str:
    """The tool's name: the first line that says one, without quotes and marks around it."""
    for line in written.splitlines():
        if not _FENCE_LINE.match(line) and (name := line.strip(" \t*`'\",;")):
            return name
    return ""


def _value_start(text: str, label: re.Match[str]) -> int:
    """Where a label's value begins, behind marks that close the label, a fence and backticks."""
    start = label.end()
    while (run := _RUN.match(text, start)) is not None:
        start = run.end()
        is_fence = len(run[0]) > 2 and run[0][0] in "`~"
        if is_fence and (language := _LANGUAGE.match(text, start)) is not None:
            start = language.end()
    return start


def _past_space(text: str, start: int) -> int:
    while text[start : start + 1].isspace():
        start += 1
    return start


def _closed(text: str, end: int) -> int:
    """The place behind a fence or backtick that closes what ends here."""
    after = _past_space(text, end)
    for mark in ("```", "~~~", "`"):
        if text.startswith(mark, after):
            return after + len(mark)
    return end


def _as_json(written: str, value: object) -> str:
    try:
        json.loads(written)
    except ValueError:
        return json.dumps(value, ensure_ascii=False)
    return written


def _final(text: str, label: re.Match[str]) -> TextTurn:
    end = next(
        (later.start() for later in _LABEL.finditer(text, label.end()) if _plain(later["name"]) == "observation"),
        len(text),
    )
    answer = text[label.end() : end].strip()
    if marks := _marks(label):
        answer = (
            answer.removeprefix(marks).lstrip() if answer.startswith(marks) else answer.removesuffix(marks).rstrip()
        )
    # A fence around the whole turn opened before the label.
    if len(_FENCE_LINE.findall(text, 0, label.start())) % 2 and answer.endswith(("```", "~~~")):
        answer = answer[:-3].rstrip()
    return TextTurn(text[:end].rstrip(), answer=answer or None)


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end
