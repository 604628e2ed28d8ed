"""Which column is the input, the label, the group, the time and the id: by what they are called and what they hold.

A name counts where the cells agree with it. Where two columns have an equal claim nothing is chosen: `unsure` says
which they are, and with which option the user decides.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stillhouse.column_map import FIELDS, MORE_FIELDS, ColumnMap, columns_named
from stillhouse.data.column_facts import ColumnFacts


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LABEL = _words(
    """
    label labels category categories class klasse kategorie categorie categoria classe target intent sentiment
    topic thema tag tags gold y verdict polarity stance etiqueta
    """
)
_ANSWER = _words(
    """
    output answer answers response completion reply reference summary translation highlights sql solution antwort
    respuesta reponse
    """
)
_INPUT = _words(
    """
    input inputs text texts body message content description question prompt review ticket title subject query
    utterance sentence sentence1 sentence2 premise hypothesis context passage document article headline comment
    post tweet abstract request instruction instructions complaint feedback betreff titel frage nachricht
    beschreibung texte texto titre titulo asunto mensaje pregunta descripcion
    """
)
_ID = _words("id uuid guid key index no nr number #")
_NUMBERED = _words("ticket case order reference ref message post document article review")  # things that have numbers
_GROUP = _words(
    """
    group customer client user account author sender conversation thread session patient company organisation
    organization speaker household kunde kunden benutzer cliente buyer owner
    """
)
_GROUP_OR_LABEL = _words("group author speaker sender company document")
_TIME = _words(
    """
    time timestamp created updated sent received date datetime day datum zeit zeitstempel fecha
    """
)


_CHOICE = re.compile(r"(?:(?:option|choice|answer|ending|opt)[ _]?)?(?:[a-f]|[0-9])")


@dataclass(frozen=True)
class Roles:
    """`columns`: the map, whole and explicit. `why`: for each of its fields. `unsure`: what cannot be told."""

    columns: ColumnMap
    why: Mapping[str, str]
    unsure: tuple[str, ...] = ()


def choose_roles(facts: Sequence[ColumnFacts], given: ColumnMap) -> Roles:
    """The fields of a row and the columns that they are in. `given`: what the user says already."""
    by_name = {fact.name: fact for fact in facts}
    columns: dict[str, str | tuple[str, ...]] = dict(given)
    why = dict.fromkeys(given, "you say so")
    unsure: list[str] = []
    free = [fact for fact in facts if fact.name not in columns_named(columns)]

    def take(field: str, chosen: ColumnFacts | None, reason: str) -> None:
        if chosen is not None and field not in columns:
            columns[field], why[field] = chosen.name, reason
            free.remove(chosen)

    for field in (*FIELDS, *MORE_FIELDS):  # our own names, where the cells can be what they say
        fact = by_name.get(field)
        if fact is None or fact not in free or field in columns:
            continue
        if field == "id" and not fact.is_unique:
            columns["id"], why["id"] = "", "none: the values of `id` are not unique"
        elif fact.n or field == "label":
            take(field, fact, "called so")
    if "time" not in columns:
        take("time", *_time(free))
    if "id" not in columns:
        take("id", *_id(free))
    if "group" not in columns:
        take("group", *_group(free))
    if "label" not in columns:
        label, reason, doubt = _label(free)
        take("label", label, reason)
        unsure += doubt
    if "label" not in columns and not unsure and "group" not in given and "group" not in by_name:
        unsure += _group_or_label(by_name.get(str(columns.get("group"))))
    if "input" not in columns:
        inputs, reason, doubt = _inputs(free)
        unsure += doubt
        if inputs:
            columns["input"] = inputs[0].name if len(inputs) == 1 else tuple(fact.name for fact in inputs)
            why["input"] = reason
    return Roles(columns, why, tuple(unsure))


def is_called(name: str, words: Collection[str]) -> bool:
    """Whether one of the words is the name, or a part of it: `ticket_category` is called category."""
    parts = re.findall(r"[a-z]+\d*|\d+|#", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold())
    return any(part in words for part in parts) or name.casefold() in words


def may_be_group(fact: ColumnFacts) -> bool:
    """Whether a column names what rows may have in common, if any two of them have it in common."""
    return fact.n_distinct >= 2 and fact.mean_words <= 5 and is_called(fact.name, _GROUP)


def choice_columns(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], label: str | None
) -> tuple[tuple[str, ...], bool]:
    """(the columns that hold each row's own choices, whether the labels are among them). None: ().

    They are called a, b, c or option 1, option 2; labels that are not among them may name them, as A and B do.
    """
    of_choices = tuple(name for name in columns if _CHOICE.fullmatch(name.casefold()))
    if label is None:
        return (), False
    labelled = [row for row in rows if row.get(label)]
    if len(of_choices) < 2 or not labelled:
        return (), False
    among = sum(1 for row in labelled if row[label] in [row.get(name) for name in of_choices])
    if among >= 0.95 * len(labelled):
        return of_choices, True
    signs = {str(row[label]).strip().casefold() for row in labelled}
    names = {re.split(r"[ _]", name.casefold())[-1] for name in of_choices}
    return (of_choices, False) if signs <= {*names, *map(str, range(len(of_choices) + 1)), *"abcdef"} else ((), False)


def _time(facts: Sequence[ColumnFacts]) -> tuple[ColumnFacts | None, str]:
    for fact in facts:
        if fact.times >= 0.9 and is_called(fact.name, _TIME):
            return fact, "called so, and holds times"
    for fact in facts:
        if fact.times >= 0.9 and fact.numbers < 0.5:
            return fact, "holds times"
    return None, ""


def _id(facts: Sequence[ColumnFacts]) -> tuple[ColumnFacts | None, str]:
    for fact in facts:
        last = re.split(r"[^a-z#]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", fact.name).casefold().strip(" _-."))[-1]
        if _may_be_id(fact) and (last in _ID or fact.name == "column1"):
            return fact, "a different value in every row"
    texts = any(fact.is_text for fact in facts)
    for fact in facts:
        if texts and _may_be_id(fact) and fact.name.casefold() in _NUMBERED:
            return fact, "a different word in every row, beside texts"
    return None, ""


def _may_be_id(fact: ColumnFacts) -> bool:
    return fact.is_unique and fact.mean_words == 1 and fact.longest <= 64


def _group(facts: Sequence[ColumnFacts]) -> tuple[ColumnFacts | None, str]:
    for fact in facts:
        if may_be_group(fact) and not fact.is_unique:
            return fact, "called so, and has several rows, which stay together in a split"
    return None, ""


def _label(facts: Sequence[ColumnFacts]) -> tuple[ColumnFacts | None, str, list[str]]:
    named = [fact for fact in facts if is_called(fact.name, _LABEL) and not fact.is_text]
    classes = [fact for fact in facts if fact.has_classes and fact.times < 0.5]
    answers = [fact for fact in facts if is_called(fact.name, _ANSWER) and fact.n]
    objects = [fact for fact in facts if fact.objects >= 0.9]
    if objects and not classes:  # a number beside them may be what is wanted as well
        objects += [fact for fact in facts if fact.numbers >= 0.9 and not fact.is_constant]
    for candidates, reason in (
        ([fact for fact in named if fact in classes], "called so, and few values repeat"),
        (answers, "called so"),
        ([fact for fact in named if not fact.is_constant], "called so"),
        ([fact for fact in named if not fact.n], "called so, and all its cells are empty"),
        (classes + objects, f"the one column {'of few values that repeat' if classes else 'that holds JSON'}"),
    ):
        exact = [fact for fact in candidates if fact.name.casefold() in ("label", "output")]
        if len(exact or candidates) == 1:
            return (exact or candidates)[0], reason, []
        if candidates:
            names = _names(candidates)
            doubt = f"which column is the label: {names}? Say --map label=COLUMN, or --map label= for none"
            return None, "", [f"cannot tell {doubt}"]
    return None, "", []


def _inputs(facts: Sequence[ColumnFacts]) -> tuple[list[ColumnFacts], str, list[str]]:
    """The columns of the input, why, and what cannot be told."""
    possible = [fact for fact in facts if fact.n and (not fact.is_constant or fact.n == 1) and fact.times < 0.5]
    named = [fact for fact in possible if is_called(fact.name, _INPUT) and fact.numbers < 0.5 and not fact.has_classes]
    if named:
        return named, "called so", []
    texts = sorted((fact for fact in possible if fact.is_text), key=lambda fact: -fact.mean_words)
    if len(texts) == 1:
        return texts, "the one column of texts", []
    if texts and texts[0].mean_words >= 3 * texts[1].mean_words:
        return texts[:1], "its texts are by far the longest", []
    own = [fact for fact in possible if fact.n_distinct > 0.5 * fact.n and fact.numbers < 0.5 and fact.objects < 0.5]
    if not texts and len(own) == 1:
        return own, "the one column of words that differ", []
    if len(possible) == 1 and possible[0].numbers < 0.5:
        return possible, "the one column that is left", []
    names = _names(texts or possible or facts) or "no column is left"
    ask = "Say --map input=COLUMN, or several: --map input=ONE,OTHER"
    return [], "", [f"cannot tell which column is the input: {names}? {ask}"]


def _group_or_label(group: ColumnFacts | None) -> list[str]:
    """Of a file without another label, a `group` or an `author` may be what is asked for."""
    if group is None or not group.has_classes or not is_called(group.name, _GROUP_OR_LABEL):
        return []
    either = f"--map label={group.name} or --map label=,group={group.name}"
    return [f"cannot tell whether {group.name!r} is the label, or names rows that belong together; say {either}"]


def _names(facts: Sequence[ColumnFacts]) -> str:
    names = [fact.name if len(fact.name) <= 40 else f"{fact.name[:39]}…" for fact in facts[:5]]
    return " or ".join(map(repr, names)) + (f" or {len(facts) - 5} more" if len(facts) > 5 else "")
