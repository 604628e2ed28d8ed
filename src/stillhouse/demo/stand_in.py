"""The demo's teacher when there is no key and no network: a script, not a model.

It knows the grammar and the hand-written questions, and is wrong on a fixed 3 % of questions, chosen by their hash. So
it stands in for a good teacher of known accuracy. Nothing about a real model's quality follows from it, and every table
that shows it calls it a stand-in. Its tokens are priced as those of `PRICED_AS`, so that money can be shown at all.
"""

import hashlib
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

from stillhouse.demo import shop
from stillhouse.demo.gold import gold
from stillhouse.demo.grammar import ROUTE_SHARES, TaskName, parse
from stillhouse.demo.slots import squash
from stillhouse.demo.tasks import handwritten
from stillhouse.errors import TeacherError
from stillhouse.records import Example

ERROR_RATE = 0.03
# The cheapest current model of its maker: a dearer price would flatter the students' break-even.
PRICED_AS = "gpt-6-luna"

# Kinds of error that text-to-SQL models make. The first one that applies and changes the query's result is made.
_SLIPS = (
    (r" AND \w+ (=|LIKE) '[^']*'", ""),  # the query forgets a condition
    (r"SUM\(quantity\)", "COUNT(*)"),  # the query counts orders instead of units
    (r"SUM\(total\)", "SUM(quantity)"),  # the query sums units instead of money
    (r"AVG\(", "SUM("),
    (r"MAX\(", "MIN("),
    (r"MIN\(", "MAX("),
    (r" DESC", ""),
    (r" LIMIT ", " DESC LIMIT "),
    (r" > ", " < "),
    (r" < ", " > "),
    (r"order_id = (\d)", r"order_id = 1\1"),
    (r"SELECT price F", "SELECT stock F"),
    (r"SELECT stock F", "SELECT price F"),
    (r"SELECT city", "SELECT country"),
    (r"SELECT category FROM products W", "SELECT product FROM products W"),
    (r"SELECT joined", "SELECT customer_id"),
    (r"COUNT\(\*\) FROM products", "SUM(stock) FROM products"),
    (r"COUNT\(\*\) FROM customers", "COUNT(DISTINCT city) FROM customers"),
    (r"COUNT\(\*\)", "COUNT(DISTINCT customer_id)"),  # the query counts people instead of orders
    (r" WHERE [^()]*?(?= GROUP| ORDER|$)", ""),
)


class Asked(Protocol):
    """What the stand-in reads of a request: the chat messages."""

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]: ...


@dataclass(frozen=True)
class StandIn:
    """A scripted teacher of one task. It is called with a request and, where there is one, its example.

    `priced_as` names the model by whose prices its tokens are counted; `stand_in` marks it wherever it is shown.
    """

    task: TaskName
    name: str
    priced_as: str = PRICED_AS
    stand_in: bool = True

    def __call__(self, request: Asked, example: Example | None = None) -> str:
        """The reply's text."""
        candidates = _candidates(request) if example is None else [example.text]
        for question in candidates:
            gold = known_answer(self.task, question)
            if gold is not None:
                return wrong_answer(self.task, gold, question) if errs(self.task, question) else gold
        unknown = candidates[0] if candidates else ""
        raise TeacherError(
            f"the stand-in teacher does not know the question {unknown[:80]!r}: it is a script that knows the demo's "
            "own questions; name a real teacher with --teacher to ask others"
        )


route_teacher = StandIn("route", "stand-in for a teacher (route)")
sql_teacher = StandIn("to_sql", "stand-in for a teacher (to_sql)")


# The query for a question that the router should not have sent to the database.
NO_QUERY = "SELECT 'the database does not answer this'"
SMALL_TALK = "Happy to chat! I can also look up orders, products and customers, or how the shop works."


@dataclass(frozen=True)
class AppStandIn:
    """A scripted teacher of all steps of the demo's app, which it tells apart by their instructions."""

    name: str = "stand-in for a teacher (the app)"
    priced_as: str = PRICED_AS
    stand_in: bool = True

    def __call__(self, request: Asked, example: Example | None = None) -> str:
        """The reply's text."""
        instruction = str(request.messages[0]["content"])
        arguments = example.input if example is not None else {}
        if instruction.startswith("You are the first step"):
            return route_teacher(request, example)
        if instruction.startswith(("Write one SQLite query", "The database refused")) and example is not None:
            question = str(arguments["question"]) if isinstance(arguments, Mapping) else str(arguments)
            known = gold(question)
            if known is not None and known.query is None:
                return NO_QUERY
            return sql_teacher(request, replace(example, input=question))
        if instruction.startswith("Answer the customer's question") and isinstance(arguments, Mapping):
            return _from_found(str(arguments["question"]), str(arguments["found"]))
        if instruction.startswith("You are a shop's friendly assistant"):
            return SMALL_TALK
        raise TeacherError(
            f"the stand-in teacher does not know the step that is asked by {instruction[:80]!r}; "
            "name a real teacher with --model"
        )


app_teacher = AppStandIn()


def _from_found(question: str, found: str) -> str:
    """What was found, in a sentence. Where several pages were found and the right one is among them, that one alone."""
    known = gold(question)
    if known is not None and known.page is not None and known.page in found:
        return f"On our page {known.page}: {found.partition(known.page)[2].strip()[:600]}"
    return f"Here is what I found: {found}"


def known_answer(task: TaskName, question: str) -> str | None:
    """The gold answer to a question of the demo; None for any other text."""
    handwritten_answer = _handwritten_answers(task).get(squash(question))
    if handwritten_answer is not None:
        return handwritten_answer
    meaning = parse(question)
    if meaning is None:
        return None
    return meaning.intent.label if task == "route" else meaning.query


def errs(task: TaskName, question: str) -> bool:
    """Whether this question is among the 3 %."""
    return _hash(task, question) % 10_000 < ERROR_RATE * 10_000


def wrong_answer(task: TaskName, gold: str, question: str) -> str:
    """The stand-in's mistake: another route, or a query that runs and gives another result."""
    if task == "route":
        others = [label for label in ROUTE_SHARES if label != gold]
        return others[_hash("which", question) % len(others)]
    right = _result(gold)
    for slip, instead in _SLIPS:
        query, n_changes = re.subn(slip, instead, gold, count=1)
        if n_changes and _result(query) not in (right, None):
            return query
    raise AssertionError(f"no slip changes the result of {gold!r}")


def _hash(salt: str, question: str) -> int:
    return int(hashlib.sha256(f"{salt} {squash(question)}".encode()).hexdigest(), 16)


def _candidates(request: Asked) -> list[str]:
    """What may be the question in the last message: all of it, or one of its lines, the last line first.

    Each is tried as it is, and without a `Name:` before it.
    """
    content = str(request.messages[-1]["content"]) if request.messages else ""
    lines = [line.strip() for line in reversed(content.splitlines()) if line.strip()]
    return [text for line in (content.strip(), *lines) for text in (line, re.sub(r"^\w+:\s*", "", line))]


@cache
def _handwritten_answers(task: TaskName) -> dict[str, str]:
    return {squash(row.text): row.label for row in handwritten(task) if row.label is not None}


@cache
def _shop() -> sqlite3.Connection:
    return shop.in_memory()


def _result(query: str) -> list[str] | None:
    """The rows in no particular order; None where the query does not run."""
    try:
        return sorted(map(repr, _shop().execute(query)))
    except sqlite3.OperationalError:
        return None
