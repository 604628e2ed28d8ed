"""The value of an equation such as `((18 - 10) * 15)`, by a small parser: a model's answer is data and never code."""

import re
from fractions import Fraction

_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d*)?|\.\d+)|([-+*/()]))")
_MAX_TOKENS = 500


def value_of(text: str) -> Fraction | None:
    """The exact value of an expression over + - * / ( ) and decimal numbers.

    None where it is no expression or divides by zero. `answer = EXPRESSION` and thousands separators are taken;
    anything else is not.
    """
    tokens = _tokens(text.rpartition("=")[2].replace(",", ""))
    if not tokens or len(tokens) > _MAX_TOKENS:
        return None
    try:
        value, rest = _sum(tokens, 0, depth=0)
    except (IndexError, ValueError, ZeroDivisionError):
        return None
    return value if rest == len(tokens) else None


def _tokens(text: str) -> list[str] | None:
    text, tokens, position = text.strip(), [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return None
        tokens.append(match[1] or match[2])
        position = match.end()
    return tokens


def _sum(tokens: list[str], at: int, depth: int) -> tuple[Fraction, int]:
    value, at = _product(tokens, at, depth)
    while at < len(tokens) and tokens[at] in "+-":
        operator = tokens[at]
        right, at = _product(tokens, at + 1, depth)
        value = value + right if operator == "+" else value - right
    return value, at


def _product(tokens: list[str], at: int, depth: int) -> tuple[Fraction, int]:
    value, at = _atom(tokens, at, depth)
    while at < len(tokens) and tokens[at] in "*/":
        operator = tokens[at]
        right, at = _atom(tokens, at + 1, depth)
        value = value * right if operator == "*" else value / right
    return value, at


def _atom(tokens: list[str], at: int, depth: int) -> tuple[Fraction, int]:
    if depth > 100:
        raise ValueError("nested too deep")
    if tokens[at] == "-":
        value, at = _atom(tokens, at + 1, depth + 1)
        return -value, at
    if tokens[at] == "(":
        value, at = _sum(tokens, at + 1, depth + 1)
        if tokens[at] != ")":
            raise ValueError("unbalanced")
        return value, at + 1
    return Fraction(tokens[at]), at + 1
