"""The text protocol of agents, read: Thought, Action, Action Input, Observation, Final Answer (ReAct, Yao et al. 2022).

Models write it in many hands: bold, indented, numbered, in lower case, with code fences and backticks. A reply is one
turn: its first Action or Final Answer counts, and what a model invents after it (an Observation, a second Action or
answer) is dropped. Each mark is looked at once, so reading a reply takes time that grows with its length alone.

An Action may also be one JSON object that names the tool and its input, as LangChain's agents write it:
`Action: {"action": "add", "action_input": {"a": 1}}`. In both forms the tool "Final Answer" gives the answer.
"""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_LABEL = re.compile(
    r"(?:^(?P<open>[ \t>#*_`-]{0,24}(?:\d{1,2}[.)][ \t]{0,4}[*_`]{0,3})?)"
    # Behind a sentence on its line: "Thought: done. Final Answer: 5".
    r"|(?:(?<=[.!?;])[ \t]{1,3}|(?<=[\u3002\uff01\uff1f])[ \t]{0,3})"
    r"(?P<within>[*_`]{0,3})(?=final|action[*_`\d \t]{0,7}[:\uff1a]))"
    r"(?P<name>final[ _-]{0,3}answer|action[ _-]{0,3}input|action|observation|thought)"
    r"(?P<number>[ \t]{0,2}#?\d{1,3})?(?P<close>[*_`]{0,3})[ \t]{0,4}(?:(?P<colon>[:\uff1a])|$)",
    re.IGNORECASE | re.MULTILINE,
)
_INPUT_ON_THE_LINE = re.compile(r"(?<=[\s,;*_`])action[ _-]{0,3}input[*_`]{0,3}[ \t]{0,4}[:\uff1a]", re.IGNORECASE)
_RUN = re.compile(r"`+|~+|[*_]+|\s+")
_LANGUAGE = re.compile(r"[ \t]{0,8}[A-Za-z0-9_+-]{1,20}[ \t]{0,8}(?=[\n{\[])")
_FENCE_LINE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})", re.MULTILINE)
_TYPED = {0xFEFF: None, 0x200B: None, 0xA0: " ", 0x2028: "\n", 0x2029: "\n"}  # what nobody sees, and other blanks


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(value := dict(pairs)) < len(pairs):
        raise ValueError("a key twice: which of its values is meant is not ours to guess")
    return value


# Takes line breaks within texts, as models write them.
_lenient = json.JSONDecoder(strict=False, object_pairs_hook=_without_twins)
# The keys under which a JSON object names a tool, and its input
_TOOL = ("action", "tool", "tool_name", "name")
_INPUT = ("action_input", "tool_input", "input", "arguments", "args", "parameters")
_BLOB = re.compile(r"^[ \t]*(?:(?:`{3,}|~{3,})[ \t]*(?:json)?[ \t]*\n?[ \t]*)?(?=\{)", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TextTurn:
    """One turn: `text` up to the end of what counts; an action with its arguments, or a final answer, or neither."""

    text: str
    tool: str | None = None
    arguments: str = ""  # JSON, where the model wrote valid arguments
    answer: str | None = None


def read_turn(reply: str, alone: Collection[str] = ()) -> TextTurn:
    """What a reply says to do. `alone`: the tools that an Action calls without an Action Input, for they need none."""
    text = reply.translate(_TYPED).replace("\r\n", "\n").replace("\r", "\n").strip()
    action: re.Match[str] | None = None
    for label in _labels(text, within=True):
        kind = _plain(label["name"])
        if action is not None and kind in ("observation", "final answer", "action"):
            tool = _name(_value(text, action, label.start()))
            if tool in alone:
                return TextTurn(text[: label.start()].rstrip(), tool)
        match kind:
            case "observation":  # nobody observed that
                return TextTurn(text[: label.start()].strip())
            case "final answer":
                return _final(text, label, alone)
            case "action":
                action = label
                if (turn := _called_in_json(text, _value_start(text, label))) is not None:
                    return turn
                on_the_line = _INPUT_ON_THE_LINE.search(text, label.end(), _line_end(text, label.end()))
                if on_the_line is not None:
                    return _called(text, label, on_the_line)
            case "action input" if action is not None:
                return _called(text, action, label)
    if action is not None and (tool := _name(_value(text, action, len(text)))) in alone:
        return TextTurn(text, tool)
    if action is None and (blob := _BLOB.search(text)) is not None:
        turn = _called_in_json(text, blob.end(), _TOOL[:1], _INPUT[:1])
        return TextTurn(text) if turn is None else turn
    return TextTurn(text)


def _called_in_json(
    text: str, start: int, tools: Sequence[str] = _TOOL, inputs: Sequence[str] = _INPUT
) -> TextTurn | None:
    """The turn of a JSON object that names one tool and one input; None: there is none, or it names several."""
    if text[start : start + 1] not in ("{", "["):
        return None
    try:
        value, end = _lenient.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return None
    named, given = ([key for key in value if key in keys] for keys in (tools, inputs))
    tool = value[named[0]] if len(named) == 1 else None
    if len(given) != 1 or not isinstance(tool, str) or not (tool := _name(tool)):
        return None
    argument, written = value[given[0]], text[: _closed(text, end)].rstrip()
    if _plain(tool) == "final answer":
        answer = argument if isinstance(argument, str) else json.dumps(argument, ensure_ascii=False)
        return TextTurn(written, answer=answer.strip() or None)
    return TextTurn(written, tool, json.dumps(argument, ensure_ascii=False))


def _labels(text: str, start: int = 0, *, within: bool = False) -> Iterator[re.Match[str]]:
    """The labels that begin a line; with `within`, also those that follow a sentence on its line."""
    for label in _LABEL.finditer(text, start):
        if label["colon"]:
            if within or label["open"] is not None:
                yield label
        # Without a colon it stands alone on its line, as a heading does.
        elif label["open"] is not None and not label["number"]:
            is_title = len(_plain(label["name"]).split()) == 2 and label["name"][0].isupper()
            if is_title or set(label["open"]) & set("#*_`"):
                yield label


def _plain(name: str) -> str:
    return re.sub(r"[ _-]+|(?<=final)(?=answer)|(?<=action)(?=input)", " ", name.lower())


def _called(text: str, action: re.Match[str], given: re.Match[str]) -> TextTurn:
    tool = _name(_value(text, action, given.start()))
    if not tool:
        return TextTurn(text)
    if _plain(tool) == "final answer":  # as if it were a tool
        return _final(text, given, ())
    end = next((label.start() for label in _labels(text, given.end())), len(text))
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
    opened = label["within"] if label["open"] is None else label["open"]
    return "" if label["close"] else opened.strip(" \t>#-.)0123456789")


def _value(text: str, label: re.Match[str], end: int) -> str:
    return text[label.end() : end].removeprefix(_marks(label))


def _name(written: str) -> str:
    """The tool's name: the first line that says one, without quotes and marks around it."""
    for line in written.splitlines():
        if not _FENCE_LINE.match(line) and (name := line.strip(" \t*`'\",;.[]<>()")):
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


def _final(text: str, label: re.Match[str], alone: Collection[str]) -> TextTurn:
    end, later = len(text), list(_labels(text, label.end()))
    for place, next_label in enumerate(later):
        kind = _plain(next_label["name"])
        if kind == "final answer" and not text[label.end() : next_label.start()].strip(" \t\n*_`"):
            label = next_label  # the first stood over the second as its heading
        elif kind != "action input" and (kind != "action" or _calls(text, later[place : place + 2], alone)):
            end = next_label.start()
            break
    answer = text[label.end() : end].strip()
    if marks := _marks(label):
        answer = (
            answer.removeprefix(marks).lstrip() if answer.startswith(marks) else answer.removesuffix(marks).rstrip()
        )
    # A fence around the whole turn opened before the label.
    if len(_FENCE_LINE.findall(text, 0, label.start())) % 2 and answer.endswith(("```", "~~~")):
        answer = answer[:-3].rstrip()
    return TextTurn(text[:end].rstrip(), answer=answer or None)


def _calls(text: str, labels: list[re.Match[str]], alone: Collection[str]) -> bool:
    """Whether an Action within an answer calls a tool. `labels`: its own, and the next; an answer may say "Action:"."""
    action, *after = labels
    if any(_plain(label["name"]) == "action input" for label in after):
        return True
    if _INPUT_ON_THE_LINE.search(text, action.end(), _line_end(text, action.end())) is not None:
        return True
    if _called_in_json(text, _value_start(text, action)) is not None:
        return True
    return _name(_value(text, action, after[0].start() if after else len(text))) in alone


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end
