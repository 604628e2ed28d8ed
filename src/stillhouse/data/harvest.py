"""From traces of a step to a data set of it: redacted, judged by feedback, without test rows, each input once.

The model's answer becomes `teacher_label`; what a person said of it becomes the gold `label`. Where equal inputs were
answered differently and no person has said which answer is right, none of them is taken: it is not ours to guess.

Pure: values in, values out.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from stillhouse.data.harvest_groups import NOWHERE, Where, groups_of
from stillhouse.data.redaction import Redact, redacted
from stillhouse.errors import UserError
from stillhouse.records import Example
from stillhouse.words import normalise


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """One finished call of a step. `key` names it within its run, as feedback does.

    `version` is of the prompt and the model that answered.
    """

    run: str
    key: str
    input: str | Mapping[str, Any]
    output: str
    model: str | None
    created: float  # seconds since 1970
    version: str
    cost_usd: float | None
    choices: tuple[str, ...] | None = None
    where: Where = NOWHERE


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a person said of a run, or of one call in it (`key`): right, wrong, or what would have been right."""

    run: str
    key: str | None = None
    ok: bool | None = None
    label: str | None = None


@dataclass(frozen=True)
class Harvest:
    """The data set, and what was not taken: `left_out` counts calls by reason.

    `merged`: calls beyond the first of an input. `n_gold`: rows with a person's label.
    """

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
    group_by: str | None = None,
    every_call: bool = False,
) -> Harvest:
    """The calls as examples, in their order; rows that share something are in one group (`harvest_groups`).

    An input is one row however often it came. `every_call`: each call is a row, so that an input weighs as much as it
    comes (`data.copies`); it has the label that a person gave to any call of its input, as the one row would have.

    Where several pieces of feedback fit a call, the last one holds. `exclude`: rows whose input may not come in. They
    are compared before and after redaction, and without regard to case and punctuation. Raises UserError where
    `redact` fails or gives back what is no row, and where feedback on a run fits several calls.
    """
    feedback_on, n_unused = _by_call(calls, feedback)
    excluded = {name for row in exclude for name in _names_of(row.input)}
    left_out: Counter[str] = Counter()
    by_input: dict[str, list[tuple[Example, Traced]]] = defaultdict(list)
    for call, group in zip(calls, groups_of(calls, group_by), strict=True):
        judged = feedback_on.get((call.run, call.key))
        if judged is not None and judged.ok is False and judged.label is None:
            left_out[SAID_WRONG] += 1
        elif labels is not None and call.choices is None and call.output not in labels:
            left_out[NO_LABEL] += 1
        elif excluded.intersection(_names_of(call.input)):
            left_out[IN_TEST] += 1
        else:
            example = redacted(_example(call, judged, group), redact)
            if excluded.intersection(_names_of(example.input)):
                left_out[IN_TEST] += 1
            else:
                by_input[_canonical([example.input, example.choices])].append((example, call))
    examples: list[Example] = []
    drawn: list[tuple[Traced, Example]] = []
    merged = 0
    for key, equal in by_input.items():
        row = _row_of_equal([example for example, _ in equal])
        if row is None:
            left_out[CONFLICT] += len(equal)
            continue
        if every_call:
            for nth, (own, call) in enumerate(equal):
                drawn.append((call, _with_provenance(replace(own, label=row.label), _id(key, nth), [call])))
            continue
        merged += len(equal) - 1
        examples.append(_with_provenance(row, _id(key), [call for _, call in equal]))
    place_of = {(call.run, call.key): place for place, call in enumerate(calls)}
    examples += [row for call, row in sorted(drawn, key=lambda pair: place_of[pair[0].run, pair[0].key])]
    n_gold = sum(row.label is not None for row in examples)
    return Harvest(examples, len(calls), merged, dict(left_out), n_gold, n_unused)


def _by_call(calls: Sequence[Traced], feedback: Sequence[Feedback]) -> tuple[dict[tuple[str, str], Feedback], int]:
    """Feedback by call, and how many pieces of it fit none.

    Feedback on a run holds for all its calls. But a label needs a call of its own.
    """
    keys_of: dict[str, list[str]] = defaultdict(list)  # run -> the keys of its calls
    for call in calls:
        keys_of[call.run].append(call.key)
    by_call: dict[tuple[str, str], Feedback] = {}
    n_unused = 0
    for piece in feedback:
        keys = [key for key in keys_of.get(piece.run, ()) if piece.key is None or key == piece.key]
        if piece.label is not None and len(keys) > 1:
            which = f"name the call as `step`, one of: {', '.join(keys[:3])}"
            raise UserError(f"the feedback on the run {piece.run} gives a label and fits {len(keys)} calls; {which}")
        n_unused += not keys
        by_call |= {(piece.run, key): piece for key in keys}
    return by_call, n_unused


def _example(call: Traced, judged: Feedback | None, group: str | None) -> Example:
    """A call with what a person said of it.

    That a whole run was right does not make each of its steps gold. That this very call was right does.
    """
    gold = None
    if judged is not None and judged.label is not None:
        gold = judged.label
    elif judged is not None and judged.ok is True and judged.key is not None:
        gold = call.output
    return Example("", call.input, gold, teacher_label=call.output, choices=call.choices, group=group)


def _row_of_equal(equal: Sequence[Example]) -> Example | None:
    """One row for all of one input: gold where a person said what is right, else with the answer that all gave.

    None: persons differ, or answers do and no person spoke.
    """
    golds = {row.label for row in equal if row.label is not None}
    if len(golds) == 1:
        return next(row for row in equal if row.label is not None)
    return equal[0] if not golds and len({row.teacher_label for row in equal}) == 1 else None


def _id(key: str, nth: int = 0) -> str:
    """An id made of the input; the further calls of one input are numbered."""
    of_input = f"row-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    return f"{of_input}-{nth + 1}" if nth else of_input


def _with_provenance(row: Example, id_: str, calls: Sequence[Traced]) -> Example:
    """The row with where it comes from: its first call, and how many there were."""
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
    return replace(row, id=id_, extra={"provenance": provenance})


def _names_of(text: str | Mapping[str, Any]) -> tuple[str, ...]:
    """Two inputs are the same where they share one of these: their values in full, or their words."""
    words = normalise(Example("", text).text)
    return (_canonical(text), f"words {words}") if words else (_canonical(text),)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
