"""How a reply is read: the answer, and the rationale before it, by the task's own rule.

A strict answer stands there word for word as it was asked for. A lenient one has a near form that leaves no doubt, and
is counted apart. A reply that cannot be read is a rejection with its reason, never a guess.
"""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Literal

from stillhouse.errors import TaskFileError
from stillhouse.json_labels import LabelError, canonical_text, plain_numbers
from stillhouse.json_text import JsonError, NotJsonError, read_json
from stillhouse.llm.choices import nfc, peeled, read_label
from stillhouse.llm.end_marks import without_end_marks
from stillhouse.llm.thinking import UNENDED, part
from stillhouse.patterns import Match, Pattern, PatternError, compiled
from stillhouse.records import Example
from stillhouse.schemas import first_problem
from stillhouse.task import Task

ANSWER = "So the answer is"
# In any case, with any blanks, and in bold or not; "so the answer isn't 4" and "also the answer issue" are other words.
_PHRASE = re.compile(
    r"(?P<bold>[*_]{0,3})(?<!\w)so\s{1,9}the\s{1,9}answer\s{1,9}is(?![\w'’])(?P<end>[*_]{0,3}:?[*_]{0,3}:?)",
    re.IGNORECASE,
)
_MOST_TRIES = 50  # phrases after which one looks whether the whole answer stands there: each look reads all of it
_DEFAULT_PATTERN = rf"{ANSWER}:?\s*(.+?)\s*$"
_NOT_JSON = "the reply is not valid JSON"
_SEVERAL_VALUES = "ambiguous: the reply holds several JSON values"
_UNSEEN = "\u200b\u200e\u200f\u061c\u2060\u202a\u202b\u202c\u2066\u2067\u2068\u2069\ufeff"
_OPENING = re.compile(r"(?P<fence>`{3,20}|~{3,20})[ \t]{0,20}[\w+-]{0,100}")
_SET_OFF = re.compile(r"(?P<mark>`|\*\*|__)\s*(?P<inside>[{\[].*[}\]])\s*(?P=mark)", re.DOTALL)
_NOT_USABLE = "the reply is JSON that cannot be used"
_NOT_FITTING = "the reply does not fit the schema"
_FULL_STOPS = (".", "。", "．", "।", "۔")
_LONGEST_LABEL = 100  # longest label read from a reply, in characters


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """What was read from a reply, or from several that voted.

    `how`: the answer stood there as asked for, was recovered from a near form, or came when the reply was sent back
    with what was wrong with it. `counted_as`: the kind of `error`, where its text has details that differ from row to
    row. `lacking`: what was asked for and the endpoint could not do, such as "schema", "logprobs" or "temperature".
    """

    output: str | None
    _: KW_ONLY
    rationale: str | None = None
    how: Literal["strict", "lenient", "repaired"] | None = None
    error: str | None = None
    counted_as: str | None = None
    at: int | None = None  # the place in the reply's text where the answer begins
    agreement: float | None = None  # share of k samples that gave this answer; None: there was only one sample
    scores: Mapping[str, float] | None = None  # the teacher's probability per label, where known
    sent_back: int = 0  # replies behind this one that were sent back for repair
    lacking: tuple[str, ...] = ()
    thinking: str | None = None  # what stood before the answer in tags of its own (`thinking`)


def parse_reply(task: Task, example: Example, text: str, *, rationales: bool = False) -> ParsedReply:
    """Read the answer (and the rationale) from a reply. An ambiguous or absent answer gives `output` None and why."""
    parted = part(text)
    if parted.answer is None:
        return ParsedReply(None, error=UNENDED, thinking=parted.thinking)
    answer = without_end_marks(parted.answer)
    reply = _parse(task, example, answer, rationales)
    if answer != parted.answer and reply.how == "strict":
        reply = replace(reply, how="lenient")
    at = None if reply.at is None or parted.at is None else reply.at + parted.at
    return replace(reply, at=at, thinking=parted.thinking) if parted.answer != text else reply


def _parse(task: Task, example: Example, text: str, rationales: bool) -> ParsedReply:
    for stop in task.teacher.stop:
        text = text.partition(stop)[0]
    indent, text = _bare(text)
    if wants_object(task, rationales):
        return _object(task, example, text, indent, rationales)
    rationale, answer, asked_for, at = None, text, True, 0
    if rationales:
        found = _answer_in(text, task)
        if found is None:
            return ParsedReply(None, error="no answer after the rationale")
        rationale, answer = text[: found.phrase].strip() or None, found.answer
        at, asked_for = found.at, found.asked_for
    reply = _answer(task, example, answer, rationale, spoken=rationales)
    return replace(
        reply, how=reply.how if asked_for or reply.how is None else "lenient", at=indent + at + (reply.at or 0)
    )


def _answer(task: Task, example: Example, answer: str, rationale: str | None, *, spoken: bool = False) -> ParsedReply:
    if task.output == "choice":
        return _choice(answer, rationale, example.choices or task.labels)
    if task.output == "json":
        if spoken and answer.endswith(_FULL_STOPS) and _loaded(answer)[0] is None:  # a full stop ends the sentence
            answer = answer[:-1].rstrip()
        return _json(answer, rationale, task.schema)
    if spoken and task.teacher.answer_pattern is None and answer.endswith(_FULL_STOPS):
        answer = answer[:-1]  # a full stop that ends the sentence asked for is no part of the answer
    at, answer = _bare(answer)
    if not answer:
        return ParsedReply(None, rationale=rationale, error="empty answer")
    return ParsedReply(answer, rationale=rationale, how="strict", at=at)


def _bare(text: str) -> tuple[int, str]:
    """(where it begins, the text) without blanks and without characters that nobody sees around it."""
    start, end = 0, len(text)
    while start < end and (text[start].isspace() or text[start] in _UNSEEN):
        start += 1
    while end > start and (text[end - 1].isspace() or text[end - 1] in _UNSEEN):
        end -= 1
    return start, text[start:end]


def wants_object(task: Task, rationales: bool) -> bool:
    """Whether the reply is to be a JSON object: `rationale` where reasons are asked for, then `answer`.

    A JSON answer without reasons needs no object around it: it is the reply itself.
    """
    return task.teacher.structured and (rationales or task.output != "json")


def _object(task: Task, example: Example, text: str, indent: int, rationales: bool) -> ParsedReply:
    value, strict = _loaded(text)
    if not isinstance(value, dict) or "answer" not in value:
        if value is None:
            return _unusable(text)
        return ParsedReply(None, error="the reply is JSON without `answer`")
    rationale, answer = value.get("rationale"), value["answer"]
    if rationales and not (isinstance(rationale, str) and rationale.strip()):
        return ParsedReply(None, error="the reply is JSON without `rationale`")
    rationale = rationale.strip() if rationales and isinstance(rationale, str) else None
    if task.output == "choice" and isinstance(answer, bool | int | float):  # a label such as 1, without its quotes
        answer, strict = json.dumps(answer), False
    if task.output == "json":
        reply = _fitting(answer, rationale, task.schema)
    elif not isinstance(answer, str):
        return ParsedReply(None, rationale=rationale, error="`answer` in the reply is no text")
    else:
        reply = _answer(task, example, answer.strip(), rationale)
    before = re.search(r'"answer"\s*:\s*"', text)
    how = reply.how if strict or reply.how is None else "lenient"
    return replace(reply, how=how, at=indent + before.end() + (reply.at or 0) if before else None)


@dataclass(frozen=True, slots=True)
class _Found:
    """Where an answer stands after its reasons, and whether it stands there as the task's pattern asks for it."""

    phrase: int  # where the phrase begins that leads to the answer
    answer: str
    at: int
    asked_for: bool


def _answer_in(text: str, task: Task) -> _Found | None:
    """The answer after the reasons.

    A text or JSON may be anything, so it is what stands after the last of the phrases: reasons, too, may speak of the
    answer. Two near forms are taken as well: the pattern in another case ("so the answer is"), and, where only certain
    labels can be meant, the usual phrase instead of the task's own pattern.
    """
    pattern = answer_pattern(task)
    if task.teacher.answer_pattern is None and task.output != "choice":
        return _after_the_last_phrase(text, task.output == "json")
    if (match := pattern.search(text)) is not None:
        return _found(match, True)
    phrases = [task.teacher.answer_pattern or _DEFAULT_PATTERN]
    phrases += [_DEFAULT_PATTERN] if task.output == "choice" else []
    matches = (compiled(phrase, dot_all=True, ignore_case=True).search(text) for phrase in phrases)
    return next((_found(match, False) for match in matches if match is not None), None)


def _found(match: Match, asked_for: bool) -> _Found:
    return _Found(match.start(), (match[1] or "").strip(), max(match.start(1), 0), asked_for)


def _after_the_last_phrase(text: str, is_json: bool) -> _Found | None:
    """What stands after the last phrase; one that is quoted, or stands in a text of the JSON after it, is spoken of."""
    end, last, tries = len(text), None, 0
    for phrase in _PHRASE.finditer(text, 0, end):
        if _is_spoken_of(text, phrase):
            continue
        if is_json and last is not None and tries < _MOST_TRIES:
            tries += 1
            if _is_one_value(text[last.end() : end].strip()):
                break  # the phrase stands in a text of the answer
        last = phrase
    if last is None:
        return None
    after = text[last.end() : end]
    at = last.end() + len(after) - len(after.lstrip())
    answer = after.strip()
    if last["bold"] and not last["end"].strip(":"):  # "**So the answer is 5.**": the bold ends behind the answer
        answer = answer.removesuffix(last["bold"]).rstrip()
    asked_for = last[0].removesuffix(":") == ANSWER
    return _Found(last.start(), answer, at, asked_for) if answer.strip(". …") else None


def _is_one_value(text: str) -> bool:
    """Whether all of the text is one JSON value, or one code fence with a value in it."""
    for candidate in (text, text.removesuffix(".")):
        value, alone = _loaded(candidate)
        ends = candidate.strip()[:3], candidate.strip()[-3:]
        if value is not None and (alone or ends in (("```", "```"), ("~~~", "~~~"))):
            return True
    return False


def _is_spoken_of(text: str, phrase: re.Match[str]) -> bool:
    start, end = phrase.span()
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    return after in ('"', "”", "»", "`") and before in ('"', "“", "„", "«", "`")


def answer_pattern(task: Task) -> Pattern:
    """The task's pattern of an answer after its reasons, compiled. Raises TaskFileError for what is none."""
    pattern = task.teacher.answer_pattern or _DEFAULT_PATTERN
    try:
        rule = compiled(pattern, dot_all=True)
    except PatternError as error:
        raise TaskFileError(f"[teacher] answer_pattern = {pattern!r}: {error}; mend it") from None
    if rule.groups != 1:
        raise TaskFileError(
            f"[teacher] answer_pattern = {pattern!r}: needs one group, the answer, and has {rule.groups}; mend it"
        )
    return rule


def _choice(answer: str, rationale: str | None, allowed: Sequence[str] | None) -> ParsedReply:
    if allowed is None:  # no label set is known yet: the reply's own words become the label
        words = nfc(peeled(answer)[-1]).casefold()
        if not words or len(words) > _LONGEST_LABEL:
            return ParsedReply(None, rationale=rationale, error="no short label in the reply")
        return ParsedReply(words, rationale=rationale, how="strict")
    read = read_label(answer, allowed)
    return ParsedReply(read.label, rationale=rationale, how=read.how, error=read.error, at=read.at)


def _json(answer: str, rationale: str | None, schema: Mapping[str, Any] | None) -> ParsedReply:
    value, strict = _loaded(answer)
    if value is None and answer != "null":
        return replace(_unusable(answer), rationale=rationale)
    reply = _fitting(value, rationale, schema)
    return reply if strict or reply.how is None else replace(reply, how="lenient")


def _loaded(text: str) -> tuple[Any, bool]:
    """(the JSON value, whether it stood alone) of a text, or of the one value in its code fences; None: no JSON."""
    try:
        return read_json(text, exact=True), True
    except JsonError:
        if (inner := _SET_OFF.fullmatch(text)) is not None:  # in backticks, or in bold
            with contextlib.suppress(JsonError):
                return read_json(inner["inside"], exact=True), False
        return fenced_value(text), False


def fenced_value(text: str) -> Any:
    """The JSON value in the code fences of a text; None where none of them holds one, or two hold different ones."""
    values = _fenced_values(text)
    return next(iter(values.values())) if len(values) == 1 else None


def _fenced_values(text: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for inside in _fenced(text):
        with contextlib.suppress(JsonError, LabelError):
            value = read_json(inside, exact=True)
            values[canonical_text(value)] = value
    return values


def _unusable(text: str) -> ParsedReply:
    """The rejection of a reply that is no JSON, or JSON that cannot be used, such as one that is nested too deep."""
    if len(_fenced_values(text)) > 1:
        return ParsedReply(None, error=_SEVERAL_VALUES)
    for candidate in (text, *_fenced(text)):
        try:
            read_json(candidate, exact=True)
        except NotJsonError:
            continue
        except JsonError as error:
            return ParsedReply(None, error=f"{_NOT_USABLE} ({error})", counted_as=_NOT_USABLE)
    return ParsedReply(None, error=_NOT_JSON)


def _fenced(text: str) -> list[str]:
    """What stands in code fences: a fence opens and closes on lines of its own, or else at the next one."""
    inside = _between_fences(text.split("\n"))
    if inside or "```" not in text:
        return inside
    _, _, rest = text.partition("```")
    between, closed, _ = rest.partition("```")
    return [re.sub(r"\A(?:json|JSON)\b", "", between).strip()] if closed else []


def _between_fences(lines: Sequence[str]) -> list[str]:
    """What stands from a line that opens a fence to the end of the next line that closes one of its kind."""
    inside, at, unclosed = [], 0, set[str]()
    while at < len(lines):
        opening = _OPENING.fullmatch(lines[at].strip(" \t\r"))
        at += 1
        if opening is None or (fence := opening["fence"]) in unclosed:
            continue
        for end in range(at, len(lines)):
            line = lines[end].rstrip(" \t\r").removesuffix(".").rstrip(" \t\r")
            if line.endswith(fence):
                inside.append("\n".join([*lines[at:end], line.removesuffix(fence)]))
                at = end + 1
                break
        else:
            unclosed.add(fence)
    return inside


def _fitting(value: Any, rationale: str | None, schema: Mapping[str, Any] | None) -> ParsedReply:
    """The value as canonical JSON, if it fits the task's schema."""
    value = plain_numbers(value)
    if schema is not None and (problem := first_problem(schema, value)) is not None:
        return ParsedReply(None, rationale=rationale, error=f"{_NOT_FITTING} ({problem})", counted_as=_NOT_FITTING)
    return ParsedReply(canonical_text(value), rationale=rationale, how="strict")
