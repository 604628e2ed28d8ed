"""An endpoint's refusal, read: whether it may pass, the code it names, and its own words, fit to be shown."""

from stillhouse.addresses import without_secrets
from stillhouse.json_text import JsonError, NotJsonError, read_body

_MAY_PASS = frozenset({408, 409, 425, 429})
_EMPTY = frozenset({b"", b"null", b"{}", b"[]", b'""'})
# Errors that pass, by the names that OpenAI, Anthropic and those that speak like them give them.
_STATUS = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "server_error": 500,
    "internal_server_error": 500,
    "api_error": 500,
    "service_unavailable": 503,
    "timeout": 504,
    "timeout_error": 504,
    "overloaded": 529,
    "overloaded_error": 529,
}
_SHOWN = 200  # most characters shown of an endpoint's own words


def may_pass(status: int) -> bool:
    """Whether a request that got this HTTP status may succeed when it is sent again."""
    return status in _MAY_PASS or status >= 500


def no_reply(raw: bytes, key: str | None) -> str | None:
    """What a body with status 200 is where it is no reply at all: empty, or a page. None: it is JSON, and not empty."""
    text = raw.removeprefix(b"\xef\xbb\xbf").strip()
    if text in _EMPTY:
        return "an empty body"
    if text[:1] in (b"{", b"["):  # most replies; what is wrong in them is said by whoever reads them
        return None
    try:
        read_body(text)
    except NotJsonError:
        return f"the body is no JSON: {reason(raw, key)}"
    except JsonError:
        return None
    return None


def status_within(raw: bytes) -> int | None:
    """The HTTP status that an error in a body with status 200 stands for; None: there is none, or it says none."""
    if b'"error"' not in raw:
        return None
    try:
        error = read_body(raw)["error"]
    except (JsonError, KeyError, TypeError):
        return None
    if not isinstance(error, dict):
        return None
    for value in (error.get("code"), error.get("status"), error.get("type")):
        if isinstance(value, str):
            value = int(value) if value.isascii() and value.isdecimal() and len(value) == 3 else _STATUS.get(value)
        if type(value) is int and 400 <= value < 600:
            return value
    return None


def error_code(raw: bytes) -> str | None:
    """The code in the API's form of an error; None: there is none."""
    try:
        code = read_body(raw)["error"]["code"]
    except (JsonError, LookupError, TypeError):
        return None
    return code if isinstance(code, str) else None


def reason(raw: bytes, key: str | None) -> str:
    """Why an endpoint refused, in its own words: one short line without the key."""
    text = raw.decode(errors="replace")
    try:
        error = read_body(raw)["error"]
        text = str(error["message"] if isinstance(error, dict) else error)
    except (JsonError, LookupError, TypeError):
        pass  # the body is not the API's form of an error, and is shown as it is
    # The key is taken out before the text is cut. Otherwise a cut through the key would leave half of it.
    return without_secrets(" ".join(without_key(text, key).split()))[:_SHOWN] or "no reason given"


def without_key(text: str, key: str | None) -> str:
    """The text for messages and files: without the key, and without what UTF-8 cannot hold."""
    text = text.encode(errors="replace").decode()
    return text.replace(key, "[key]") if key else text
