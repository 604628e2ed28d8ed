"""Root verbs and their objects as a teacher reads them: for other languages than English, or without a parser.

The first way is spaCy (`diversity`). Here, numbered texts are asked about in batches, and the reply is read line by
line. A line that is not in the form asked for is counted and never guessed at.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stillhouse.errors import StillhouseError
from stillhouse.llm.bulk import complete_all
from stillhouse.llm.finish import is_cut_off
from stillhouse.llm.request import Completion, Model, Request
from stillhouse.records import Progress
from stillhouse.teacher.numbered import NONE, template
from stillhouse.teacher.self_instruct import ROUND, Agree

PER_CALL = 25  # texts in one call
_CHARACTERS = 500  # most characters sent of a text: its first sentence is what is asked about
_TOKENS_A_LINE = 24  # tokens that one line of the reply may take
_LINE = re.compile(r"\s*(\d{1,9})\s*[:.)]\s*([^\s|]+)\s*\|\s*(\S+)\s*")
VerbAndObject = tuple[str | None, str | None]


@dataclass(frozen=True)
class Parsed:
    """What was read. `pairs` are of the texts that could be read; `unread` counts the others by reason.

    `why` says what ended it early; None: nothing did.
    """

    parser: str
    pairs: list[VerbAndObject]
    unread: dict[str, int]
    calls: int
    from_store: int
    why: str | None = None


def request_of(model: str, texts: Sequence[str]) -> Request:
    """One call about at most `PER_CALL` texts."""
    listed = "\n".join(
        f"{number}. {' '.join(text.split())[:_CHARACTERS]}" for number, text in enumerate(texts, start=1)
    )
    messages = ({"role": "system", "content": template("verbs")}, {"role": "user", "content": listed})
    return Request(model, messages, {"temperature": 0.0, "max_tokens": _TOKENS_A_LINE * len(texts)})


def read_pairs(reply: str, n: int, *, cut_off: bool) -> list[VerbAndObject | None]:
    """The pair of each of `n` texts; None where no readable line has its number, or more than one.

    A last line that was cut off is not read.
    """
    lines = reply.replace("\r\n", "\n").replace("\r", "\n").strip().split("\n")
    by_number: dict[int, VerbAndObject | None] = {}
    for line in lines[:-1] if cut_off else lines:
        if (parts := _LINE.fullmatch(line)) is None:
            continue
        number, words = int(parts[1]), (_word(parts[2]), _word(parts[3]))
        unclear = number in by_number or "" in words
        by_number[number] = None if unclear else (words[0] or None, words[1] or None)
    return [by_number.get(number) for number in range(1, n + 1)]


def _word(text: str) -> str | None:
    """The word in lower case; None for the mark of none; "" for what is no word."""
    text = text.casefold()
    if text == NONE:
        return None
    return text if text[0].isalpha() and all(_in_word(character) for character in text) else ""


def _in_word(character: str) -> bool:
    return character.isalnum() or character in "_'’-" or unicodedata.category(character)[0] == "M"


async def ask_root_verbs(
    model: Model,
    texts: Sequence[str],
    *,
    agree: Agree | None = None,
    at_once: int = 32,
    on_progress: Callable[[Progress], None] | None = None,
) -> Parsed:
    """Ask about every text. With `agree`, the first round tells the cost; the rest is asked where it says yes to that.

    What keeps it from going on (the budget, a no, an endpoint that fails) is in `why`, not raised: the rows are there,
    and only a figure on them is missing.
    """
    parts = [texts[start : start + PER_CALL] for start in range(0, len(texts), PER_CALL)]
    requests = [request_of(model.name, part) for part in parts]
    pairs: list[VerbAndObject] = []
    unread: Counter[str] = Counter()
    calls, from_store, done, why = 0, 0, 0, None
    to_pay = len(requests) - len(model.known([request.hash for request in requests]))
    try:
        if agree is not None and to_pay:
            agree.before(to_pay)
        for start in range(0, len(requests), ROUND):
            replies = await complete_all(model, requests[start : start + ROUND], at_once)
            for part, reply in zip(parts[start : start + ROUND], replies, strict=True):
                if isinstance(reply, StillhouseError):
                    raise reply
                calls, from_store, done = calls + 1, from_store + reply.from_store, done + len(part)
                _take(part, reply, pairs, unread)
                if on_progress is not None:
                    on_progress(Progress(done, len(texts), "asking for root verbs", unit="rows"))
            costs = [
                reply.cost_usd
                for reply in replies
                if isinstance(reply, Completion) and not reply.from_store and reply.was_paid
            ]
            if agree is not None and costs and start + ROUND < len(requests):
                agree.after(costs, to_pay)
                agree = None
    except StillhouseError as error:
        why = str(error)
        unread["not asked"] += len(texts) - done
    return Parsed(
        f"the teacher {model.name}{' (a stand-in, not a model)' if model.stand_in else ''}",
        pairs,
        dict(unread),
        calls,
        from_store,
        why,
    )


def _take(part: Sequence[str], reply: Completion, pairs: list[VerbAndObject], unread: Counter[str]) -> None:
    cut_off = is_cut_off(reply.finish_reason)
    if reply.text is None or (reply.error is not None and not cut_off):
        unread[f"call failed: {reply.error or 'empty reply'}"] += len(part)
        return
    read = read_pairs(reply.text, len(part), cut_off=cut_off)
    pairs += [pair for pair in read if pair is not None]
    if missing := sum(pair is None for pair in read):
        unread["no readable line"] += missing
