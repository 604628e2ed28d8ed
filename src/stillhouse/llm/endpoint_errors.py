"""An endpoint's refusal, read: whether it may pass, the code it names, and its own words, fit to be shown."""

from stillhouse.json_text import JsonError, read_body

_MAY_PASS = frozenset({408, 409, 425, 429})
_SHOWN = 200  # most characters shown of an endpoint's own words


def may_pass(status: int) -> bool:
    """Whether a request that got this HTTP status may succeed when it is sent again."""
    return status in _MAY_PASS or status >= 500


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
    return " ".join(without_key(text, key).split())[:_SHOWN] or "no reason given"


def without_key(text: str, key: str | None) -> str:
    """The text for messages and files: without the key, and without what UTF-8 cannot hold."""
    text = text.encode(errors="replace").decode()
    return text.replace(key, "[key]") if key else text
