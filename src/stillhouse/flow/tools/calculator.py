"""A calculator: a parser of its own for arithmetic, because what a model writes is data and never code.

Decimal arithmetic to 200 digits: 0.1 + 0.2 is 0.3, and integers are exact. Exponents are bounded, so 9^9^9 is refused
and not computed. What can be read in two ways (200 + 15%, 7 % 3) is refused too, with both ways named.
"""

import decimal
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, NamedTuple

from pydantic import Field

from stillhouse.flow.tools.tool import Tool, ToolError, clean, tool

DIGITS = 200  # digits of every number in the computation
SHOWN = 20  # significant digits of a result that is not exact
MAX_EXPONENT = 9_999
MAX_CHARS = 1_000
MAX_DEPTH = 50
_TOKEN = re.compile(
    r"(?P<grouped>\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,.]))"
    r"|(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,5})?(?![\w.]))"
    r"|(?P<name>[^\W\d]\w*)|(?P<sign>\*\*|[-+*/^%(),])",
    re.ASCII,
)
_SPELLED = str.maketrans("×·⋅∙∗✕÷∕⁄−–—‐‑﹣－＋＊／（）", "******///-------+*/()")
_DESCRIPTION = (
    "Compute an arithmetic expression. It takes + - * / ^ and parentheses, percentages (15% of 80, 80 * 15%), "
    "sqrt, abs, min, max, round(x, places),\n"
    "floor, ceil, mod(a, b), exp, ln, log10, pi and e. round rounds halves away from zero. No variables and no units."
)


class Uncomputable(Exception):
    """What is wrong with the expression."""


def calculator(*, name: str = "calculator") -> Tool:
    """A tool that computes an arithmetic expression."""

    async def compute(expression: Annotated[str, Field(description="for example 3 * (2.50 + 4) or 15% of 80")]) -> str:
        try:
            return value_of(expression)
        except Uncomputable as error:
            raise ToolError(f"the expression cannot be computed: {error}") from None

    compute.__doc__ = _DESCRIPTION
    return tool(compute, name=name, timeout_s=10)


def value_of(expression: str) -> str:
    """The value of an expression in digits: exact where it is, else to 20 significant digits. Raises Uncomputable."""
    if len(expression) > MAX_CHARS:
        raise Uncomputable(f"it has {len(expression):,} characters; at most {MAX_CHARS:,} are taken")
    traps = [decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow, decimal.Underflow]
    limits = decimal.Context(prec=DIGITS, Emax=MAX_EXPONENT, Emin=-MAX_EXPONENT, traps=traps)
    with decimal.localcontext(limits) as context:
        try:
            value = _Parser(_tokens(expression.translate(_SPELLED))).whole()
        except decimal.DivisionByZero:
            raise Uncomputable("it divides by zero") from None
        except (decimal.Overflow, decimal.Underflow):
            raise Uncomputable(f"a number in it is beyond 10^{MAX_EXPONENT} or 10^-{MAX_EXPONENT}") from None
        except decimal.InvalidOperation:
            raise Uncomputable(
                "a part of it has no value here, such as the root of a negative number, 0/0, "
                "or a remainder of too large a number"
            ) from None
        return _shown(value, exact=not context.flags[decimal.Inexact])


def _shown(value: Decimal, exact: bool) -> str:
    digits = DIGITS if exact else SHOWN
    value = decimal.Context(prec=digits, Emax=MAX_EXPONENT, Emin=-MAX_EXPONENT).plus(value).normalize()
    if value.is_zero():
        return "0"  # zero is written without a minus sign
    return f"{value:f}" if -SHOWN <= value.adjusted() < digits else f"{value:e}"


# Functions


def _rounded(value: Decimal, places: Decimal = Decimal(0)) -> Decimal:
    if places != int(places) or abs(places) > DIGITS:
        raise Uncomputable("round(x, places) takes a whole number of places")
    return value.quantize(Decimal(1).scaleb(-int(places)), rounding=decimal.ROUND_HALF_UP)


def _finite(value: Decimal, what: str) -> Decimal:
    """The value, where it is a number: Decimal gives ln(0) and 0^-1 as infinity without a signal."""
    if not value.is_finite():
        raise Uncomputable(f"{what} is infinite or undefined, and no number")
    return value


def _mod(left: Decimal, right: Decimal) -> Decimal:
    """The remainder with the sign of the divisor, as mathematics has it; Decimal's own has the sign of the dividend."""
    rest = left % right
    return rest + right if rest and (rest < 0) != (right < 0) else rest


# Function name -> (fewest arguments, most arguments, the function).
_FUNCTIONS: dict[str, tuple[int, int, Callable[..., Decimal]]] = {
    "sqrt": (1, 1, Decimal.sqrt),
    "abs": (1, 1, abs),
    "min": (1, 100, min),
    "max": (1, 100, max),
    "round": (1, 2, _rounded),
    "floor": (1, 1, lambda value: value.to_integral_value(decimal.ROUND_FLOOR)),
    "ceil": (1, 1, lambda value: value.to_integral_value(decimal.ROUND_CEILING)),
    "mod": (2, 2, _mod),
    "exp": (1, 1, Decimal.exp),
    "ln": (1, 1, Decimal.ln),
    "log10": (1, 1, Decimal.log10),
}
_PI = Decimal(  # pi to 201 places
    "3.1415926535897932384626433832795028841971693993751058209749445923078164062862089986280348253421170679"
    "82148086513282306647093844609550582231725359408128481117450284102701938521105559644622948954930381964"
)
_CONSTANTS: dict[str, Callable[[], Decimal]] = {"pi": lambda: +_PI, "e": lambda: Decimal(1).exp()}


# The parser


class _Token(NamedTuple):
    kind: str  # grouped (a number with thousands separators), number, name, sign, or end
    text: str
    at: int  # the character at which the token begins, counted from 1


class _Term(NamedTuple):
    value: Decimal
    # True where a number is written with %: 15% has the value 0.15, but not every operator takes it.
    percentage: bool = False


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise Uncomputable(
                f"{clean(text[at : at + 10])!r} at character {at + 1} is no number, function or operator"
            )
        tokens.append(_Token(match.lastgroup, match[0], at + 1))
        at = match.end()
    return [*tokens, _Token("end", "", len(text) + 1)]


class _Parser:
    """Precedence climbing: sums of products of signed powers."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens, self._next, self._depth, self._functions = tokens, 0, 0, 0

    def whole(self) -> Decimal:
        term = self._sum()
        if self._token.kind != "end":
            raise self._unexpected()
        return term.value

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *texts: str) -> str | None:
        """The next token's text, if it is one of these; the parser then moves on."""
        if self._token.kind not in ("sign", "name") or self._token.text not in texts:
            return None
        self._next += 1
        return self._tokens[self._next - 1].text

    def _unexpected(self) -> Uncomputable:
        token = self._token
        if token.kind == "end":
            return Uncomputable("it ends too early")
        return Uncomputable(f"{token.text!r} at character {token.at} is not expected there")

    def _sum(self) -> _Term:
        left = self._product()
        while operator := self._take("+", "-"):
            right = self._product()
            if left.percentage != right.percentage:
                raise Uncomputable(
                    "a percentage added to a number can be read in two ways; write 200 * (1 + 15%) or 200 + 0.15"
                )
            left = _Term(left.value + right.value if operator == "+" else left.value - right.value, left.percentage)
        return left

    def _product(self) -> _Term:
        left = self._signed()
        while operator := self._take("*", "/", "of" if left.percentage else "*"):
            right = self._signed()
            value = left.value / right.value if operator == "/" else left.value * right.value
            left = _Term(value, operator == "of" and right.percentage)
        return left

    def _signed(self) -> _Term:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Uncomputable(f"it is nested more than {MAX_DEPTH} deep")
        sign = self._take("+", "-")
        if sign is None:
            term = self._power()
        else:
            inner = self._signed()
            term = _Term(-inner.value, inner.percentage) if sign == "-" else inner
        self._depth -= 1
        return term

    def _power(self) -> _Term:
        base = self._percentage()
        if self._take("^", "**") is None:
            return base
        exponent = self._signed().value  # powers group from the right: 2^3^2 is 2^9
        return _Term(_finite(base.value**exponent, f"{base.value:.20} ^ {exponent:.20}"))

    def _percentage(self) -> _Term:
        term = self._atom()
        if self._take("%") is None:
            return term
        token = self._token
        if token.kind in ("number", "grouped") or token.text == "(" or (token.kind == "name" and token.text != "of"):
            raise Uncomputable("% between two numbers can be read in two ways; write mod(7, 3), or 7% * 3")
        return _Term(term.value / 100, percentage=True)

    def _atom(self) -> _Term:
        token = self._token
        if token.kind == "grouped" and self._functions:
            raise Uncomputable(
                f"{token.text} among a function's arguments can be read in two ways; "
                f"write {token.text.replace(',', '')}, or put spaces after commas"
            )
        if token.kind in ("number", "grouped"):
            self._next += 1
            return _Term(decimal.getcontext().create_decimal(token.text.replace(",", "")))
        if token.kind == "name":
            return _Term(self._named(token))
        if self._take("(") is None:
            raise self._unexpected()
        term = self._sum()
        self._close()
        return term

    def _close(self) -> None:
        if self._take(")") is None:
            raise self._unexpected()

    def _named(self, token: _Token) -> Decimal:
        name = token.text.lower()
        if name in _CONSTANTS:
            self._next += 1
            return _CONSTANTS[name]()  # a constant is rounded, and so the result counts as not exact
        if name not in _FUNCTIONS:
            raise Uncomputable(f"{token.text[:40]!r} is not known; it knows {', '.join([*_FUNCTIONS, *_CONSTANTS])}")
        self._next += 1
        if self._take("(") is None:
            raise self._unexpected()
        self._functions += 1
        arguments = [self._sum().value]
        while self._take(","):
            arguments.append(self._sum().value)
        self._functions -= 1
        self._close()
        fewest, most, function = _FUNCTIONS[name]
        if not fewest <= len(arguments) <= most:
            numbers = fewest if fewest == most else f"{fewest} to {most}"
            raise Uncomputable(f"{name} takes {numbers} numbers, not {len(arguments)}")
        return _finite(function(*arguments), f"{name}({', '.join(f'{argument:.20}' for argument in arguments)})")
