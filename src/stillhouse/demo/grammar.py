"""The demo's questions: a grammar that says one thing in hundreds of wordings, with gold SQL.

An intent is one query (or one policy topic, or one kind of small talk) and the bodies that ask for it. A frame puts a
body into a sentence ("could you tell me @"). Both are data, in `wordings_sql.toml` and `wordings_other.toml`:

    [a|b|]     one of these, or nothing; nests
    <name>     the phrase of that name
    {slot}     a value; the query has a slot of the same name
    ~(...)     a clause that may also open the sentence: "orders ~(in {city})" also gives "in {city}, ... orders"

A *wording* is a frame and a body with every choice made and its slots still open. A third of the wordings, chosen by
their hash, make the test rows and never occur in training rows. Greetings, "please", case and punctuation are added to
a row afterwards and do not make a wording new. A test wording is a new combination of phrases that training rows hold;
questions from outside the grammar are in `handwritten.jsonl`.
"""

import hashlib
import random
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, Literal

from stillhouse.demo.slots import SLOTS, squash
from stillhouse.records import Example

TaskName = Literal["route", "to_sql"]
Part = Literal["train", "test"]

ROUTE_SHARES = {"sql": 0.5, "search": 0.3, "chat": 0.2}
_TRIES = 50  # draws that an intent may make to find a question that is not there yet, before its turn passes
_OPENERS = ("hi, ", "hello, ", "hey, ", "hi there, ", "good morning, ", "ok, ", "please, ")
_CLOSERS = (" please", ", please", ", thanks", ", thank you")
_ASKS = "how|what|what's|which|who|whose|when|where|is|are|do|does|did|can|could|would|will|may|until|any|from"
_QUESTION = re.compile(rf"(^|[,:] )({_ASKS})\b")


@dataclass(frozen=True)
class Intent:
    """One thing to ask for. `patterns`: whole sentences in the notation above.

    `query`: None where it is not the database that answers.
    """

    name: str
    label: str
    patterns: tuple[str, ...]
    query: str | None = None

    def draw(self, rng: random.Random, part: Part) -> str:
        """A wording of that part."""
        while True:
            wording = choose(rng.choice(self.patterns), rng)
            if part_of(wording) == part:
                return wording

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return re.compile("|".join(_as_regex(pattern, number) for number, pattern in enumerate(self.patterns)))

    def read(self, squashed: str) -> dict[str, str] | None:
        """The values in a squashed question as the query spells them; None where it asks for something else."""
        match = self._regex.fullmatch(squashed)
        if match is None:
            return None
        values: dict[str, str] = {}
        for group, text in match.groupdict().items():
            if text is not None:
                slot = SLOTS[group.partition("_")[0]]
                value = slot.value(text)
                if value is None:
                    return None
                values[slot.column] = value
        return values


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a question asks: the intent, and the query with its values filled in (None for search and chat)."""

    intent: Intent
    values: Mapping[str, str]
    query: str | None


def make_rows(task: TaskName, n: int, seed: int = 0, part: Part = "train") -> list[Example]:
    """`n` different questions with gold labels: the route, or the SQL. `group` is the wording.

    Intents take turns, so each is there as often as any other of its route; one that finds nothing new to say gives up
    its turn. Rows come shuffled, and those of the two parts never share a wording. An id is made from the question, so
    a question keeps its id whatever `n` and `seed` are.
    """
    rng = random.Random(f"{task} {part} {seed}")
    rows: dict[str, Example] = {}
    for intent in _turns(task, rng):
        if len(rows) >= n:
            break
        drawn = (_row(task, intent, part, rng) for _ in range(_TRIES))
        new = next((row for row in drawn if row.id not in rows), None)
        if new is not None:
            rows[new.id] = new
    shuffled = list(rows.values())
    rng.shuffle(shuffled)
    return shuffled


def parse(question: str) -> Meaning | None:
    """What a question of this grammar asks; None for any other text."""
    for squashed in _without_courtesies(question):
        for intent in intents():
            values = intent.read(squashed)
            if values is not None:
                return Meaning(intent, values, intent.query.format_map(values) if intent.query else None)
    return None


@cache
def intents(label: str | None = None) -> tuple[Intent, ...]:
    """All intents, or those of one route."""
    if label is not None:
        return tuple(intent for intent in intents() if intent.label == label)
    return tuple(intent for name in ("wordings_sql.toml", "wordings_other.toml") for intent in _load(name))


def choose(pattern: str, rng: random.Random) -> str:
    """The pattern with every choice made, from the inside out; slots stay open."""
    while "[" in pattern:
        pattern = re.sub(r"\[([^\[\]]*)\]", lambda match: rng.choice(match[1].split("|")), pattern)
    return _tidy(pattern)


def part_of(wording: str) -> Part:
    """The part that a wording belongs to, for all time: a third is test."""
    return "test" if int(hashlib.sha256(squash(wording).encode()).hexdigest(), 16) % 3 == 0 else "train"


def _load(name: str) -> Iterator[Intent]:
    raw: dict[str, Any] = tomllib.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))
    for entry in raw["intent"]:
        patterns = (
            _with_phrases(whole, raw["phrases"])
            for kind, frame in raw["frames"].items()
            for body in entry.get(kind, ())
            for whole in _fronted(frame, body)
        )
        yield Intent(entry["name"], entry.get("label", "sql"), tuple(patterns), entry.get("query"))


def _fronted(frame: str, body: str) -> Iterator[str]:
    """The body in its frame with its movable clause in place, and with that clause in front of the sentence."""
    movable = re.search(r"~\(([^()]*)\)", body)
    yield frame.replace("@", body if movable is None else body.replace(movable[0], movable[1]))
    if movable is not None:
        yield f"{movable[1]}, " + frame.replace("@", body.replace(movable[0], ""))


def _with_phrases(pattern: str, phrases: Mapping[str, str]) -> str:
    while "<" in pattern:
        pattern = re.sub(r"<(\w+)>", lambda match: phrases[match[1]], pattern)
    return pattern


def _as_regex(pattern: str, number: int) -> str:
    """The pattern as a regular expression over squashed text. A slot becomes a group, named by slot and `number`."""
    parts = re.split(r"([\[\]|]|\{\w+\})", pattern)
    seen: dict[str, int] = {}
    pieces = []
    for part in parts:
        if part.startswith("{"):
            slot = part[1:-1]
            seen[slot] = seen.get(slot, 0) + 1
            pieces.append(f"(?P<{slot}_{number}_{seen[slot]}>{SLOTS[slot].regex})")
        else:
            pieces.append({"[": "(?:", "]": ")", "|": "|"}.get(part) or squash(part))
    return "".join(pieces)


def _turns(task: TaskName, rng: random.Random) -> Iterator[Intent]:
    """Intents without end. Routes come by their shares; within a route no intent comes again before all others have."""
    shares = {"sql": 1.0} if task == "to_sql" else ROUTE_SHARES
    queues: dict[str, list[Intent]] = {label: [] for label in shares}
    while True:
        label = rng.choices(tuple(shares), weights=tuple(shares.values()))[0]
        if not queues[label]:
            queues[label] = rng.sample(intents(label), len(intents(label)))
        yield queues[label].pop()


def _row(task: TaskName, intent: Intent, part: Part, rng: random.Random) -> Example:
    wording = intent.draw(rng, part)
    values: dict[str, str] = {}

    def fill(match: re.Match[str]) -> str:
        slot = SLOTS[match[1]]
        value, text = slot.draw(rng)
        values[slot.column] = value
        return text

    filled = re.sub(r"\{(\w+)\}", fill, wording)
    question = _polish(filled, rng, courtesies=intent.label != "chat")
    label = intent.query.format_map(values) if task == "to_sql" and intent.query else intent.label
    key = hashlib.sha256(squash(question).encode()).hexdigest()
    group = f"{intent.name}-{hashlib.sha256(squash(wording).encode()).hexdigest()[:10]}"
    extra = {"intent": intent.name, "wording": wording}
    return Example(f"{task}-{key[:12]}", question, label, group=group, extra=extra)


def _polish(text: str, rng: random.Random, courtesies: bool) -> str:
    """What people add without saying anything new: a greeting, a please, a capital letter, a full stop or none."""
    end = ("?" if _QUESTION.search(text) else ".") if rng.random() < 0.75 else ""
    if courtesies and rng.random() < 0.2:
        text = rng.choice(_OPENERS) + text
    if courtesies and rng.random() < 0.1:
        text += rng.choice(_CLOSERS)
    text = text[0].upper() + text[1:] if rng.random() < 0.7 else text
    return text.lower() + end if rng.random() < 0.15 else text + end


def _without_courtesies(question: str) -> Iterator[str]:
    """The squashed question as it stands, then without a greeting, a please, or both."""
    squashed = squash(question)
    openers = ["", *(squash(opener) for opener in _OPENERS)]
    closers = ["", *(squash(closer) for closer in _CLOSERS)]
    for opener in openers:
        for closer in closers:
            if squashed.startswith(opener) and squashed.endswith(closer):
                yield squashed[len(opener) : len(squashed) - len(closer)]


def _tidy(text: str) -> str:
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"\s+([,:!])", r"\1", text)
