"""From traces of a step to a data set of it: redacted, judged by feedback, without test rows, each input once. Pure: values in, values out.

The model's answer becomes `teacher_label`; what a person said of it becomes the gold `label`. Where equal inputs were answered differently and no person has
said which is right, none of the answers is taken: which is right is not ours to guess.
"""

import copy
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from stillhouse.data.dataset import to_row
from stillhouse.data.leakage import normalise
from stillhouse.errors import UserError
from stillhouse.records import Example

Redact = Callable[[dict[str, Any]], dict[str, Any]]  # a row as it would be written, to the row that is


@dataclass(frozen=True, slots=True)
class Traced:
    """One finished call of a step. `key` names it within its run, as feedback does; `version` is of the prompt and the model that answered."""

    run: str
    key: str
    input: str | Mapping[str, Any]
    output: str
    model: str | None
    created: float  # seconds since 1970
    version: str
    cost_usd: float | None
    choices: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a person said of a run, or of one call in it (`key`): that it was right or wrong, or what would have been right."""

    run: str
    key: str | None = None
    ok: bool | None = None
    label: str | None = None


@dataclass(frozen=True)
class Harvest:
    """The data set, and what was not taken: calls by reason. `merged`: calls beyond the first of an input. `n_gold`: rows with a person's label."""

    examples: list[Example]
    n_calls: int
    merged: int
    left_out: Mapping[str, int]
    n_gold: int
    n_feedback_unused: int


# Reasons for which a call is left out.
SAID_WRONG = "feedback says it is wrong"
NO_LABEL = "its answer is none of the step's labels"
IN_TEST = "its input is among the excluded rows"
CONFLICT = "equal inputs were answered differently"


def harvest(
    calls: Sequence[Traced],
    *,
    feedback: Sequence[Feedback] = (),
    exclude: Iterable[Example] = (),
    redact: Redact | None = None,
    labels: Sequence[str] | None = None,
) -> Harvest:
    """The calls as examples, in their order, rows of one run in one group.

    Of several words of feedback on a call the last holds. `exclude`: rows whose input may not come in, compared before and after redaction, and without regard
    to case and punctuation. Raises UserError where `redact` fails or gives back what is no row, and where feedback on a run fits several calls.
    """
    said, unused = _said(calls, feedback)
    tests = {key for row in exclude for key in _keys(row.input)}
    left_out: Counter[str] = Counter()
    by_input: dict[str, list[tuple[Example, Traced]]] = defaultdict(list)
    for call in calls:
        word = said.get((call.run, call.key))
        if word is not None and word.ok is False and word.label is None:
            left_out[SAID_WRONG] += 1
        elif labels is not None and call.choices is None and call.output not in labels:
            left_out[NO_LABEL] += 1
        elif tests.intersection(_keys(call.input)):
            left_out[IN_TEST] += 1
        else:
            example = _redacted(_example(call, word), redact)
            if tests.intersection(_keys(example.input)):
                left_out[IN_TEST] += 1
            else:
                by_input[_canonical([example.input, example.choices])].append((example, call))
    examples, merged = [], 0
    for key, equal in by_input.items():
        row = _one_of([example for example, _ in equal])
        if row is None:
            left_out[CONFLICT] += len(equal)
            continue
        merged += len(equal) - 1
        examples.append(_with_provenance(row, key, [call for _, call in equal]))
    return Harvest(examples, len(calls), merged, dict(left_out), sum(row.label is not None for row in examples), unused)


def _said(calls: Sequence[Traced], feedback: Sequence[Feedback]) -> tuple[dict[tuple[str, str], Feedback], int]:
    """Feedback by call, and the number of words that fit none. A word on a run holds for its calls; but a label needs a call of its own."""
    of_run: dict[str, list[str]] = defaultdict(list)
    for call in calls:
        of_run[call.run].append(call.key)
    said: dict[tuple[str, str], Feedback] = {}
    unused = 0
    for word in feedback:
        keys = [key for key in of_run.get(word.run, ()) if word.key is None or key == word.key]
        if word.label is not None and len(keys) > 1:
            which = f"name the call as `step`, one of: {', '.join(keys[:3])}"
            raise UserError(f"the feedback on the run {word.run} gives a label and fits {len(keys)} calls; {which}")
        unused += not keys
        said |= {(word.run, key): word for key in keys}
    return said, unused


def _example(call: Traced, word: Feedback | None) -> Example:
    """A call with what a person said of it. That a whole run was right does not make each of its steps gold; that this call was does."""
    confirmed = word is not None and word.ok is True and word.key is not None
    gold = None if word is None else word.label if word.label is not None else call.output if confirmed else None
    return Example("", call.input, gold, call.output, choices=call.choices, group=call.run)


def _redacted(example: Example, redact: Redact | None) -> Example:
    if redact is None:
        return example
    row = to_row(example)
    del row["id"]
    try:
        found = redact(copy.deepcopy(row))
    except Exception as error:  # the user's own code: whatever it raises
        raise UserError(
            f"the redaction hook failed ({type(error).__name__}: {error}); nothing was written: mend it and harvest again"
        ) from None
    problem = _no_row(found)
    if problem is not None:
        raise UserError(f"the redaction hook gave back {problem}; it must return the row; nothing was written")
    return replace(
        example,
        input=found["input"],
        label=found.get("label"),
        teacher_label=found["teacher_label"],
        group=found.get("group"),
    )


def _no_row(found: Any) -> str | None:
    """What is wrong with what a hook gave back."""
    if not isinstance(found, dict):
        return f"{type(found).__name__} and no row"
    text = found.get("input")
    if not isinstance(text, str | dict) or not text:
        return "a row without `input`"
    if not isinstance(found.get("teacher_label"), str):
        return "a row whose `teacher_label` is no text"
    if not isinstance(found.get("label"), str | None) or not isinstance(found.get("group"), str | None):
        return "a row whose `label` or `group` is no text"
    return None


def _one_of(equal: Sequence[Example]) -> Example | None:
    """The one row of equal inputs: gold where a person said what is right, else the common answer; None where answers or persons differ."""
    golds = {row.label for row in equal if row.label is not None}
    if len(golds) == 1:
        return next(row for row in equal if row.label is not None)
    return equal[0] if not golds and len({row.teacher_label for row in equal}) == 1 else None


def _with_provenance(row: Example, key: str, calls: Sequence[Traced]) -> Example:
    """The row under an id made of its input, with where it comes from: its first call, and how many there were."""
    first = calls[0]
    provenance = {
        "run": first.run,
        "step": first.key,
        "model": first.model,
        "created": datetime.fromtimestamp(first.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "version": first.version,
        "cost_usd": first.cost_usd,
        "n_calls": len(calls),
    }
    return replace(row, id=f"row-{hashlib.sha256(key.encode()).hexdigest()[:16]}", extra={"provenance": provenance})


def _keys(text: str | Mapping[str, Any]) -> tuple[str, ...]:
    """Two inputs are the same where their values are, or their words."""
    words = normalise(Example("", text).text)
    return (_canonical(text), f"words {words}") if words else (_canonical(text),)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
