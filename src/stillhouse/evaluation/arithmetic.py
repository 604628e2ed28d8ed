"""The value of an equation such as `((18 - 10) * 15)`, by a small parser: a model's answer is data and never code.

A comma parts thousands only where it groups three digits: "1,500" is 1500 and "1,234,567.5" one number. Elsewhere one
comma is the decimal point of many languages: "1,5" is 1.5 and "0,500" a half. What is neither ("1,23,456", "1,5,5",
"1.500,75") has no value. Neither has an expression in which a comma is the decimal point of one number while another
number has a point or is grouped by commas: "1,500 + 0,5" may be 2 or 1500.5. Narrow and fixed spaces and apostrophes
group digits as commas do. An x between two numbers is times, and "0x10" is no number here.
"""

import re
from fractions import Fraction

_GROUPS = "\xa0\u2006-\u200a\u202f'’ʼ"  # signs that group digits and are no decimal point anywhere
_GROUPED = rf"[1-9]\d{{0,2}}(?:,\d{{3}})+(?:\.\d*)?|[1-9]\d{{0,2}}(?:[{_GROUPS}]\d{{3}})+(?:[.,]\d+)?"
_NUMBER = rf"(?:{_GROUPED}|\d+,\d+|\d+(?:\.\d*)?|\.\d+)(?![.,]?\d|[{_GROUPS}]\d)"
_TOKEN = re.compile(rf"\s*(?:(?P<number>{_NUMBER})|(?P<sign>[-+*/()xX]))")
# Signs as they are typeset, and those as wide as a Chinese character
_TYPED = str.maketrans(
    "×⋅·∙∗✕✖⨯÷∕⁄∶➗−–—‒‐‑﹣－➖＋➕＊／（）＝．，＇",
    "********/////---------++*/()=.,'",
    # How an emoji is drawn, marks of direction, and other characters that nobody sees
    "\ufe0e\ufe0f\u200b\u200e\u200f\u061c\u202a\u202b\u202c\u2060\u2066\u2067\u2068\u2069\ufeff",
)
_HEXADECIMAL = re.compile(r"(?<![\d.,])0[xX]\d")
_TIMES = str.maketrans("xX", "**")
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
    if _HEXADECIMAL.search(text):
        return None
    text, tokens, position = text.strip(), [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return None
        tokens.append(match["number"] or match["sign"].translate(_TIMES))
        position = match.end()
    return None if _mixes_points(tokens) else [_plain(token) for token in tokens]


def _mixes_points(tokens: list[str]) -> bool:
    """Whether a comma is the decimal point of one number, and another number has a point or is grouped by commas."""
    decimal = [_GROUPED_BY_COMMAS.fullmatch(token) is None for token in tokens if "," in token]
    return any(decimal) and (not all(decimal) or any("." in token for token in tokens))


_GROUPED_BY_COMMAS = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?")


def _plain(number: str) -> str:
    """A number without what groups its digits, and with a decimal point; a sign as it is."""
    if _GROUPED_BY_COMMAS.fullmatch(number):
        return number.replace(",", "")
    return re.sub(rf"[{_GROUPS}]", "", number).replace(",", ".")


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
    if tokens[at] in ("-", "+"):
        value, after = _atom(tokens, at + 1, depth + 1)
        return value if tokens[at] == "+" else -value, after
    if tokens[at] == "(":
        value, at = _sum(tokens, at + 1, depth + 1)
        if tokens[at] != ")":
            raise ValueError("unbalanced")
        return value, at + 1
    return Fraction(tokens[at]), at + 1
