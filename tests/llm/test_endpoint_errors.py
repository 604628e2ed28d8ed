"""An endpoint's refusal is quoted in one short line, whatever it sent, and never with the key."""

import pytest

from stillhouse.llm.endpoint_errors import error_code, may_pass, reason, without_key

KEY = "sk-planted-0123456789"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "too\\n long"}}', "too long"),
        (b'{"error": "too long"}', "too long"),
        (b'{"error": {"message": null}}', "None"),
        (b'{"error": {"code": "x"}}', '{"error": {"code": "x"}}'),
        (b"<html>busy</html>", "<html>busy</html>"),
        (b"[" * 100_000, "[" * 200),
        (b"\xff", "�"),
        (b"  ", "no reason given"),
        (b"", "no reason given"),
    ],
)
def test_the_words_are_those_of_the_apis_error_or_else_the_body(body, words):
    assert reason(body, None) == words


def test_a_key_at_the_cut_leaves_no_half_of_itself():
    body = ("x" * 195 + KEY).encode()
    assert reason(body, KEY) == "x" * 195 + "[key]"
    assert without_key(f"no {KEY} \ud800", KEY) == "no [key] ?"


def test_what_may_pass_is_told_from_what_is_refused():
    assert [status for status in (400, 401, 404, 408, 409, 413, 422, 425, 429) if may_pass(status)] == [
        408,
        409,
        425,
        429,
    ]
    assert may_pass(500) and may_pass(529) and not may_pass(499)


@pytest.mark.parametrize(
    ("body", "code"),
    [(b'{"error": {"code": "insufficient_quota"}}', "insufficient_quota"), (b'{"error": {"code": 7}}', None)]
    + [(body, None) for body in (b"", b"[]", b'{"error": "x"}', b"[" * 100_000)],
)
def test_a_code_is_a_text_or_none(body, code):
    assert error_code(body) == code
