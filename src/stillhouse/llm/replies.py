"""How a reply is read: the answer, and the rationale before it, by the task's own rule.

Strict is what was asked for, word for word; lenient is a near form that leaves no doubt, and is counted apart. A reply that cannot be read is a rejection with
its reason, never a guess.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from stillhouse.errors import TaskFileError
from stillhouse.llm.request import is_unicode
from stillhouse.records import Example
from stillhouse.task import Task

ANSWER = "So the answer is"
_DEFAULT_PATTERN = rf"{ANSWER}:?\s*(.+?)\s*$"
_SEVERAL = "ambiguous: the reply names several labels"


@dataclass(frozen=True, slots=True)
class Reply:
    """What was read from a reply. `how`: the answer stood there as asked for, or was recovered from a near form."""

    output: str | None
    rationale: str | None = None
    how: Literal["strict", "lenient"] | None = None
    error: str | None = None


def parse_reply(task: Task, example: Example, text: str, *, rationales: bool = False) -> Reply:
    """Read the answer (and the rationale) from a reply. Ambiguous or absent answers give `output` None and the reason."""
    for stop in task.teacher.stop:
        text = text.partition(stop)[0]
    text = text.strip()
    rationale, answer, asked_for = None, text, True
    if rationales:
        found, asked_for = _answer_in(text, task)
        if found is None:
            return Reply(None, error="no answer after the rationale")
        rationale, answer = text[: found.start()].strip() or None, (found.group(1) or "").strip()
    if task.output == "choice":
        reply = _choice(answer, rationale, example.choices or task.labels)
    elif task.output == "json":
        reply = _json(answer, rationale)
    else:
        if rationales and task.teacher.answer_pattern is None:
            answer = answer.removesuffix(".")  # the full stop is the sentence's, as asked for
        reply = Reply(answer, rationale, "strict") if answer else Reply(None, rationale, error="empty answer")
    return reply if asked_for or reply.how is None else replace(reply, how="lenient")


def _answer_in(text: str, task: Task) -> tuple[re.Match[str] | None, bool]:
    """Where the answer stands, and whether as the task's pattern asks for it.

    Recovered: the pattern in another case ("so the answer is"); and where labels bound what can be meant, the usual phrase instead of the task's own pattern.
    """
    pattern = answer_pattern(task)
    if (found := pattern.search(text)) is not None:
        return found, True
    phrases = [pattern.pattern] + ([_DEFAULT_PATTERN] if task.output == "choice" else [])
    return next((found for phrase in phrases if (found := re.search(phrase, text, pattern.flags | re.IGNORECASE)) is not None), None), False


def answer_pattern(task: Task) -> re.Pattern[str]:
    pattern = task.teacher.answer_pattern or _DEFAULT_PATTERN
    try:
        compiled = re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise TaskFileError(f"[teacher] answer_pattern = {pattern!r}: not a regular expression ({error}); mend it") from None
    if compiled.groups != 1:
        raise TaskFileError(f"[teacher] answer_pattern = {pattern!r}: needs one group, the answer, and has {compiled.groups}; mend it")
    return compiled


def _choice(answer: str, rationale: str | None, allowed: Sequence[str] | None) -> Reply:
    if allowed is None:  # no label set is known yet: the reply's own words become the label
        words = _bare(answer)
        return Reply(words, rationale, "strict") if words and len(words) <= 100 else Reply(None, rationale, error="no short label in the reply")
    if answer in allowed or answer.removesuffix(".") in allowed:
        return Reply(answer if answer in allowed else answer.removesuffix("."), rationale, "strict")
    marked = {letter for letter in re.findall(r"\(([a-z])\)", answer.casefold()) if ord(letter) - ord("a") < len(allowed)}
    if len(marked) > 1:  # "either (d) doctor's office or (e) vet's office", whether or not both are spelled as the choices are
        return Reply(None, rationale, error=_SEVERAL)
    lettered = re.match(r"^\(?([A-Za-z])\)\s*(.*)$", answer, re.DOTALL)
    if lettered and _bare(lettered[2]):
        answer = lettered[2]
    elif lettered and (number := ord(lettered[1].lower()) - ord("a")) < len(allowed):
        return Reply(allowed[number], rationale, "lenient")
    forms = Counter(map(_bare, set(allowed)))
    by_bare = {_bare(label): label for label in allowed if _bare(label) and forms[_bare(label)] == 1}  # "US" and "us" are told apart strictly or not at all
    for candidate in (answer, answer.splitlines()[0] if answer else "", answer.rpartition(":")[2]):
        if (label := by_bare.get(_bare(candidate))) is not None:
            return Reply(label, rationale, "lenient")
    named = [form for form in forms if form and re.search(rf"(?<!\w){re.escape(form)}(?!\w)", answer.casefold())]
    longest = [form for form in named if not any(form != other and form in other for other in named)]
    if len(longest) == 1 and longest[0] in by_bare:
        return Reply(by_bare[longest[0]], rationale, "lenient")
    return Reply(None, rationale, error=_SEVERAL if longest else "the reply names no label")


def _bare(text: str) -> str:
    """Without case, quotes, emphasis and closing punctuation."""
    return text.strip().strip("\"'`*.!()[] \n").casefold()


def _json(answer: str, rationale: str | None) -> Reply:
    fenced = re.search(r"```(?:json)?\s*(.*?)```", answer, re.DOTALL)
    for candidate, how in ((answer, "strict"), (fenced[1] if fenced else None, "lenient")):
        if candidate is None:
            continue
        try:
            canonical = json.dumps(json.loads(candidate, parse_constant=_no_constant), sort_keys=True, ensure_ascii=False, allow_nan=False)
        except (ValueError, RecursionError):  # 1e999 is a number to the parser and none to the writer; a thousand brackets nest too deep
            continue
        if not is_unicode(canonical):
            continue
        return Reply(canonical, rationale, "strict" if how == "strict" else "lenient")
    return Reply(None, rationale, error="the reply is not valid JSON")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
