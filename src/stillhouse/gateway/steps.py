"""The steps of an app, as its calls show them: what they have in common names them, what differs is their input.

A step is what a client called it by; else all calls with the same constant part: instruction (system and developer
messages), tools, schema of the answer and kind of call; else all whose user messages have one template around their
inputs. Calls that have none of these are one step per model.

Pure: values in, values out.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from stillhouse.data.prompt_frame import instruction_in
from stillhouse.gateway.templates import Head, template_of
from stillhouse.store.gateway_calls import BARE_INPUT

Output = Literal["choice", "json", "text"]
MOST_LABELS = 50  # distinct answers of a step that picks among labels
LEAST_EACH = 5.0  # calls of such a step per distinct answer, on average
LONGEST_LABEL = 100  # characters
DAY_S = 86_400.0
MONTH_DAYS = 30.4
# What is read of each call, in this order.
COLUMNS = (
    "id",
    "began",
    "kind",
    "model",
    "step",
    "constant",
    "status",
    "seconds",
    "cost_usd",
    "input_hash",
    "output_hash",
    "no_row",
    "instruction",
    "schema_json",
    "output",
    BARE_INPUT,
)
PROMPTS = ("model", BARE_INPUT)  # what templates are looked for in


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the traffic. Shares are 0 to 1. None: not known, or nothing to tell it by."""

    name: str
    calls: int
    first: float  # seconds since 1970
    last: float
    models: Mapping[str, int]
    failed: int  # without a usable answer
    rows: int  # calls that `harvest` can make rows of
    left_out: Mapping[str, int]  # the others, by reason
    usd: float | None  # of all calls; None: a price or a count of tokens is unknown
    usd_known: float  # of those whose price is known
    unpriced: int  # calls whose price is not known
    output: Output | None
    labels: Sequence[str] | None  # of a step that picks among labels, the most frequent first
    n_answers: int  # distinct ones
    repeated: float | None  # share of calls whose input came before
    p50_s: float | None
    p90_s: float | None
    instruction: str | None
    schema: Any
    template: str | None  # around the inputs, in the user messages; None: there is none, or a system message says all

    @property
    def calls_per_day(self) -> float | None:
        """None: all came within an hour, which says nothing of a day."""
        span_s = self.last - self.first
        return None if span_s < DAY_S / 24 else self.calls * DAY_S / span_s

    @property
    def usd_per_month(self) -> float | None:
        if self.usd is None or self.calls_per_day is None:
            return None
        return self.usd / self.calls * self.calls_per_day * MONTH_DAYS


@dataclass
class _Gathered:
    """The calls of one step, counted as they come."""

    key: tuple[str, str]
    calls: int = 0
    first: float = math.inf
    last: float = -math.inf
    models: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    usd: float = 0.0
    unpriced: int = 0
    failed: int = 0
    inputs: set[str] = field(default_factory=set)
    n_inputs: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    texts: dict[str, str] = field(default_factory=dict)  # an answer's text by its hash
    n_json: int = 0
    seconds: list[float] = field(default_factory=list)
    instruction: str | None = None
    schema: str | None = None


def steps_of(calls: Iterable[Sequence[Any]], templates: Mapping[Head, str]) -> list[Step]:
    """The steps of these calls (tuples of COLUMNS), by money at stake, those of unknown price by calls after them.

    `templates`: of the same calls, see `templates_in`.
    """
    steps = keyed_steps(calls, templates).values()
    return sorted(steps, key=lambda step: (-step.usd_known, -step.calls, step.name))


def keyed_steps(calls: Iterable[Sequence[Any]], templates: Mapping[Head, str]) -> dict[tuple[str, str], Step]:
    """The steps of these calls by the key of their calls (`key_of`)."""
    gathered: dict[tuple[str, str], _Gathered] = {}
    for call in calls:
        row = dict(zip(COLUMNS, call, strict=True))
        if row["kind"] == "other":
            continue
        key = key_of(row, templates)
        one = gathered.get(key) or gathered.setdefault(key, _Gathered(key))
        _add(one, row)
    names = _names(gathered.values())
    return {key: _step(one, names[key]) for key, one in gathered.items()}


def key_of(row: Mapping[str, Any], templates: Mapping[Head, str]) -> tuple[str, str]:
    """What all calls of a step have, and no call of another. The row has step, constant, model and BARE_INPUT."""
    if row["step"] is not None:
        return "named", row["step"]
    if row["constant"] is not None:
        return "constant", row["constant"]
    template = template_of(row["model"], row[BARE_INPUT], templates)
    return ("model", row["model"] or "") if template is None else ("template", template)


def _add(one: _Gathered, row: Mapping[str, Any]) -> None:
    one.calls += 1
    one.first, one.last = min(one.first, row["began"]), max(one.last, row["began"])
    one.models[row["model"] or "unknown"] += 1
    one.instruction = row["instruction"] if row["instruction"] is not None else one.instruction
    one.schema = row["schema_json"] if row["schema_json"] is not None else one.schema
    if row["no_row"] is not None:
        one.left_out[row["no_row"]] += 1
    answered = row["output_hash"] is not None
    one.failed += not answered and (row["status"] is None or not 200 <= row["status"] < 300)
    if row["cost_usd"] is not None:
        one.usd += row["cost_usd"]
    elif answered:
        one.unpriced += 1
    if row["seconds"] is not None and answered:
        one.seconds.append(row["seconds"])
    if row["input_hash"] is not None:
        one.n_inputs += 1
        one.inputs.add(row["input_hash"])
    if answered:
        one.answers[row["output_hash"]] += 1
        if (text := row["output"]) is not None:
            if row["output_hash"] not in one.texts and len(one.texts) <= MOST_LABELS:
                one.texts[row["output_hash"]] = text
            one.n_json += text.lstrip()[:1] in ("{", "[")


def _step(one: _Gathered, name: str) -> Step:
    output, labels = _output(one)
    one.seconds.sort()
    return Step(
        name=name,
        calls=one.calls,
        first=one.first,
        last=one.last,
        models=dict(one.models.most_common()),
        failed=one.failed,
        rows=one.calls - one.left_out.total(),
        left_out=dict(one.left_out.most_common()),
        usd=None if one.unpriced else one.usd,
        usd_known=one.usd,
        unpriced=one.unpriced,
        output=output,
        labels=labels,
        n_answers=len(one.answers),
        repeated=None if not one.n_inputs else 1 - len(one.inputs) / one.n_inputs,
        p50_s=_quantile(one.seconds, 0.5),
        p90_s=_quantile(one.seconds, 0.9),
        instruction=instruction_in(one.key[1]) or None if one.key[0] == "template" else one.instruction,
        template=one.key[1] if one.key[0] == "template" else None,
        schema=None if one.schema is None else json.loads(one.schema),
    )


def _output(one: _Gathered) -> tuple[Output | None, list[str] | None]:
    """The kind of the answers, and the labels of a step that picks among some.

    Few distinct answers that come again and again are labels, whatever their form. A label that never came is not
    known: whoever knows it writes it into the task.
    """
    n = one.answers.total()
    if not n:
        return None, None
    few = len(one.answers) <= MOST_LABELS and n / len(one.answers) >= LEAST_EACH
    if few and (not one.texts or all(len(text) <= LONGEST_LABEL for text in one.texts.values())):
        labels = [one.texts[key] for key, _ in one.answers.most_common() if key in one.texts]
        if not one.n_json:
            return "choice", labels if len(labels) == len(one.answers) and len(labels) > 1 else None
    if not one.texts:
        return None, None
    return ("json" if one.n_json == n else "text"), None


def _names(gathered: Iterable[_Gathered]) -> dict[tuple[str, str], str]:
    """A name for each: the one that clients gave, else the instruction's first words and a part of its hash."""
    names = {}
    for one in gathered:
        kind, value = one.key
        if kind == "named":
            names[one.key] = value
        elif kind == "model":
            names[one.key] = f"calls-of-{_slug(value) or 'unknown'}"
        elif kind == "template":
            digest = hashlib.sha256(value.encode()).hexdigest()[:6]
            names[one.key] = f"{_slug(instruction_in(value)) or 'template'}-{digest}"
        else:
            names[one.key] = f"{_slug(one.instruction or '') or 'step'}-{value[:6]}"
    twice = {name for name, n in Counter(names.values()).items() if n > 1}
    return {key: f"{name}-{key[0]}" if name in twice and key[0] != "named" else name for key, name in names.items()}


def _slug(text: str) -> str:
    """The first words of a text, as a part of a name: ASCII letters and digits."""
    return "-".join(re.findall(r"[a-z0-9]+", text[:200].lower())[:4])[:40]


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """The least value that so many of them do not pass."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
