"""A trace in words short enough for a line: what a call was given, what it gave, which model answered.

The terminal and the page share them.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from stillhouse import numbers
from stillhouse.flow.trace import Node, Used, answer_of

NOTHING = "–"
SHORT = 48  # most characters of one value


def short(value: Any, most: int = SHORT) -> str:
    """A JSON value on one line, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = " ".join(text[: 2 * most].split())
    return line if len(line) <= most and len(text) <= 2 * most else f"{line[: most - 1]}…"


def told(value: Any, most: int) -> str:
    """A result as words to be read: a text as it is, an object as its fields, a list as its items."""
    return short(_told(value), most)


def _told(value: Any, *, within: bool = False) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping) and value:
        parts = [f"{str(name).replace('_', ' ')}: {_told(part, within=True)}" for name, part in value.items()]
        return f"({', '.join(parts)})" if within else " · ".join(parts)
    if isinstance(value, list) and value:
        items = ", ".join(_told(part, within=True) for part in value[:20])
        return items if within else f"{plural(len(value), 'item')}: {items}"
    if isinstance(value, list | Mapping):
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def given(node: Node, most: int = SHORT) -> str:
    """The arguments: one argument as its value alone, several as `name=value`; of a question what is asked about."""
    arguments = json.loads(node.row.arguments)
    if not isinstance(arguments, Mapping):
        return short(arguments, most)
    kind = node.row.kind
    if kind == "human":
        return short(arguments.get("question", ""), most)
    if kind == "decide":
        about = arguments.get("about")
        return short(arguments.get("question", "") if about is None else about, most)
    if kind == "turn":
        return ""
    if len(arguments) == 1:
        return short(next(iter(arguments.values())), most)
    return _named(arguments, most)


def gave(node: Node, most: int = SHORT) -> str:
    """The answer. Of a decision: its option and how probable that is. Of an agent's turn: what it said and called."""
    answer = answer_of(node)
    if node.row.output is None:
        return {"waiting": "waits for an answer", "unfinished": "did not end"}.get(node.state, "")
    if node.row.kind == "turn" and isinstance(answer, Mapping):
        return _turn(answer, most)
    confidence = node.facts.get("confidence")
    sure = f", {confidence:.0%} sure" if isinstance(confidence, float) else ""
    source = node.facts.get("source")
    return f"{short(answer, most)}{sure}{f', by the {source}' if source else ''}"


def _turn(turn: Mapping[str, Any], most: int) -> str:
    if turn.get("refused"):
        return "the endpoint takes no tool calls"
    if turn.get("final") is not None:
        return f"answers {short(turn['final'], most)}"
    calls = [f"{tool}({_call(arguments, most)})" for _, tool, arguments in turn.get("actions", ())]
    if calls:
        return f"calls {', '.join(calls)}"
    thought = short(turn.get("text", ""), most)
    return f"says {thought}" if thought else "says nothing"


def _call(arguments: str, most: int) -> str:
    try:
        values = json.loads(arguments)
    except ValueError:
        values = None
    return _named(values, most) if isinstance(values, Mapping) else short(arguments, most)


def _named(values: Mapping[str, Any], most: int) -> str:
    return ", ".join(f"{name}={short(value, most // 2)}" for name, value in values.items())


def model_word(name: str) -> str:
    """The end of a model's name, which tells it from others: NAME of openai:NAME, URL#NAME and student:runs/NAME."""
    return name.rstrip("/").replace("#", "/").replace(":", "/").rpartition("/")[2] or name


def tokens(used: Used) -> str:
    """Tokens in and out, each "unknown" where it is not known; empty where no model was asked."""
    if not used.asked:
        return ""
    both = (used.input_tokens, used.output_tokens)
    return " → ".join(numbers.UNKNOWN if value is None else numbers.count(value) for value in both)


def cost(used: Used) -> str:
    """What was paid; what came out of the store is said apart, for nobody paid it now."""
    if not used.asked:
        return ""
    if not used.stored_usd or used.cost_usd is None:
        return numbers.usd(used.cost_usd)
    paid = max(0.0, used.cost_usd - used.stored_usd)
    rest = numbers.usd(paid if paid > 1e-12 else 0.0)
    return f"{rest}, stored {numbers.usd(used.stored_usd)}"


def tries(node: Node) -> list[str]:
    """Why earlier tries failed, how often a reply was sent back to be mended, and what a tool said that failed."""
    facts = node.facts
    lines = [f"try {number} failed: {reason}" for number, reason in enumerate(facts.get("failures", ()), start=1)]
    if facts.get("repairs"):
        lines.append(f"a reply that did not fit was sent back {times(facts['repairs'])}")
    if facts.get("tool_error"):
        lines.append(f"the tool said: {facts['tool_error']}")
    return lines


def times(n: int) -> str:
    return "once" if n == 1 else "twice" if n == 2 else f"{n} times"


def plural(n: int, word: str) -> str:
    return f"{numbers.count(n)} {word}{'' if n == 1 else 's'}"


def joined(parts: Iterable[str]) -> str:
    return " · ".join(part for part in parts if part)
