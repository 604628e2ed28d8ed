"""The value of an equation such as `((18 - 10) * 15)`, by a small parser: a model's answer is data and never code.

A comma parts thousands only where it groups three digits: "1,500" is 1500 and "1,234,567.5" one number. Elsewhere one
comma is the decimal point of many languages: "1,5" is 1.5 and "0,500" a half. What is neither ("1,23,456", "1,5,5",
"1.500,75") has no value. Narrow and fixed spaces group digits as commas do.
"""

import re
from fractions import Fraction

_GROUPED = r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?|[1-9]\d{0,2}(?:[\xa0\u2007\u2009\u202f]\d{3})+(?:[.,]\d+)?"
_NUMBER = rf"(?:{_GROUPED}|\d+,\d+|\d+(?:\.\d*)?|\.\d+)(?![.,]?\d)"
_TOKEN = re.compile(rf"\s*(?:(?P<number>{_NUMBER})|(?P<sign>[-+*/()]))")
# Signs as they are typeset, and those as wide as a Chinese character
_TYPED = str.maketrans("×⋅·∙∗✕÷∕⁄−–—‐‑﹣－＋＊／（）＝．，", "******///-------+*/()=.,")
_MAX_TOKENS = 500


def value_of(text: str) -> Fraction | None:
    """The exact value of an expression over + - * / ( ) and decimal numbers.

    None where it is no expression or divides by zero. `answer = EXPRESSION` is taken; anything else is not.
    """
    tokens = _tokens(text.translate(_TYPED).rpartition("=")[2])
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
        tokens.append(_plain(match["number"]) if match["number"] else match["sign"])
        position = match.end()
    return tokens


def _plain(number: str) -> str:
    """A number without what groups its digits, and with a decimal point."""
    if re.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?", number):
        return number.replace(",", "")
    return re.sub(r"\s", "", number).replace(",", ".")


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
