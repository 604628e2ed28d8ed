"""The calculator: exact where it can be, refused where it cannot be read in one way, and never code."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.flow.tools import ToolError, calculator
from stillhouse.flow.tools.calculator import Uncomputable, value_of


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4", "20"),
        ("10 - 4 - 3", "3"),
        ("100 / 10 / 5", "2"),
        ("2 ^ 3 ^ 2", "512"),  # right to left
        ("-2 ^ 2", "-4"),  # the power binds first
        ("2 ^ -1", "0.5"),
        ("- - 3", "3"),
        ("0.1 + 0.2", "0.3"),
        ("1 / 3", "0.33333333333333333333"),
        ("1 / 3 * 3", "1"),
        ("sqrt(2) ^ 2", "2"),
        ("2 ^ 200", str(2**200)),
        ("2 ^ 1000", "1.0715086071862673209e+301"),
        ("-0", "0"),
        ("1.500", "1.5"),
        ("1e3 + .5", "1000.5"),
        ("1,234.50 * 2", "2469"),
        ("15% of 80", "12"),
        ("80 * 15%", "12"),
        ("50% of 50% of 8", "2"),
        ("(10% + 5%) of 80", "12"),
        ("200 * (1 + 15/100)", "230"),
        ("round(2.5)", "3"),
        ("round(-2.675, 2)", "-2.68"),
        ("round(1234, -2)", "1200"),
        ("floor(-2.5) + ceil(-2.5)", "-5"),
        ("mod(-7, 3)", "2"),
        ("mod(7, -3)", "-2"),
        ("max(1, 200, 3) - min(4, 2)", "198"),
        ("abs(-3) + MAX(1, 2)", "5"),
        ("exp(1) - e", "0"),
        ("ln(e)", "1"),
        ("log10(1000)", "3"),
        ("pi", "3.1415926535897932385"),
        ("6 × 7 ÷ 2 − 1", "20"),
        ("（6 ∗ 7）∕ 2 — 1", "20"),
    ],
)
def test_the_value(expression, value):
    assert value_of(expression) == value


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("", "it ends too early"),
        ("1 +", "it ends too early"),
        ("(1", "it ends too early"),
        ("3 4", "'4' at character 3 is not expected there"),
        ("2(3)", "'(' at character 2 is not expected there"),
        ("1 / 0", "it divides by zero"),
        ("ln(0)", "ln(0) is infinite or undefined, and no number"),
        ("1 / ln(0)", "ln(0) is infinite or undefined, and no number"),
        ("0 * log10(0)", "log10(0) is infinite or undefined, and no number"),
        ("1 / 0^-1", "0 ^ -1 is infinite or undefined, and no number"),
        (
            "mod(1, 0)",
            "a part of it has no value here, such as the root of a negative number, 0/0, or a remainder of too large a number",
        ),
        (
            "sqrt(-1)",
            "a part of it has no value here, such as the root of a negative number, 0/0, or a remainder of too large a number",
        ),
        ("9 ^ 9 ^ 9", "a number in it is beyond 10^9999 or 10^-9999"),
        ("9 ** 9 ** 9 ** 9 ** 9", "a number in it is beyond 10^9999 or 10^-9999"),
        ("9 ^ -(9 ^ 9)", "a number in it is beyond 10^9999 or 10^-9999"),
        ("1e99999", "a number in it is beyond 10^9999 or 10^-9999"),
        ("exp(99999)", "a number in it is beyond 10^9999 or 10^-9999"),
        ("200 + 15%", "a percentage added to a number can be read in two ways; write 200 * (1 + 15%) or 200 + 0.15"),
        ("7 % 3", "% between two numbers can be read in two ways; write mod(7, 3), or 7% * 3"),
        (
            "max(1,200)",
            "1,200 among a function's arguments can be read in two ways; write 1200, or put spaces after commas",
        ),
        ("1,23", "',' at character 2 is not expected there"),
        ("12abc", "'12abc' at character 1 is no number, function or operator"),
        ("(" * 60 + "1" + ")" * 60, "it is nested more than 50 deep"),
        ("-" * 60 + "1", "it is nested more than 50 deep"),
        ("2^" * 60 + "1", "it is nested more than 50 deep"),
        ("1" * 1001, "it has 1,001 characters; at most 1,000 are taken"),
        ("round(1, 2, 3)", "round takes 1 to 2 numbers, not 3"),
        ("sqrt(1, 2)", "sqrt takes 1 numbers, not 2"),
        ("round(1, 0.5)", "round(x, places) takes a whole number of places"),
        (
            "price * 2",
            "'price' is not known; it knows sqrt, abs, min, max, round, floor, ceil, mod, exp, ln, log10, pi, e",
        ),
        ("__import__('os').system('id')", "\"'os').syst\" at character 12 is no number, function or operator"),
        ("().__class__", "'.__class__' at character 3 is no number, function or operator"),
        ("1\0", "'\\x00' at character 2 is no number, function or operator"),
        ("2 + \U0001f600", "'\U0001f600' at character 5 is no number, function or operator"),
        ("٣ + 1", "'٣ + 1' at character 1 is no number, function or operator"),
    ],
)
async def test_what_cannot_be_computed_is_said(expression, problem):
    with pytest.raises(ToolError) as found:
        await calculator().call({"expression": expression})
    assert str(found.value) == f"the expression cannot be computed: {problem}"


_LEAVES = st.integers(0, 10**6).map(str) | st.decimals(0, 1000, places=3).map(str)
_EXPRESSIONS = st.recursive(
    _LEAVES,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(" ".join)
        | inner.map("({})".format)
        | inner.map("-{}".format)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(_EXPRESSIONS)
def test_sums_and_products_are_those_of_exact_fractions(expression):
    import re

    exact = re.sub(r"\d+(?:\.\d+)?", lambda number: f"Fraction('{number[0]}')", expression)
    try:
        expected = eval(exact, {"Fraction": Fraction})  # the test's own text, by the other parser
    except ZeroDivisionError:
        with pytest.raises(Uncomputable):
            value_of(expression)
        return
    found = Fraction(value_of(expression))
    assert abs(found - expected) <= abs(expected) * Fraction(1, 10**19)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789.,+-*/^%() eEofminaxsqrtd", max_size=40))
def test_any_text_has_a_value_or_a_reason(text):
    try:
        float(value_of(text))
    except Uncomputable as error:
        assert str(error)


async def test_the_tool_says_what_it_takes():
    made = calculator(name="sums")
    assert made.name == "sums"
    assert made.schema["required"] == ["expression"]
    assert "15% of 80" in made.description
    assert await made.call({"expression": "2 + 2"}) == "4"
