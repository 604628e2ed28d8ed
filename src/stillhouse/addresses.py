"""Addresses as people may see them: never with a password or a key. The one place where such secrets are taken out.

What may hide one: `USER:PASSWORD@` (also where an `@`, `/`, `?` or `#` of the password was not written as %XX, so that
no parser agrees on where it ends), whatever stands after the `?`, and what a name such as `password` is set to, as in
libpq's `host=... password=...`. It is taken out of misspelt addresses too (`postgres:/`, `https//`, none at all), and
out of the errors of other libraries that quote one. In doubt more is hidden than a secret.
"""

import re

HIDDEN = "[hidden]"
UNREADABLE = (
    "the postgresql:// address cannot be read; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, "
    "special characters of the user and the password as %XX (an @ is %40, a / is %2F)"
)
# A scheme with what stands for `://`; shorter than any text, so that looking for it takes linear time.
_ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]{0,40})(:[/\\]+|//+)(.+)", re.IGNORECASE | re.DOTALL)
_WORD = re.compile(r"\S+")
_TO_AT = re.compile(r"[ \t][^\n@]{0,100}@\S*")  # the rest of an address with a blank in its password
_HOST_NAME = re.compile(r"""(\bhost ?(?:name)? ["'])[^"'\s]*@""", re.IGNORECASE)  # libpq, of half a password
_USER = re.compile(r"[\w.%+~-]{1,64}:")
_NO_USERS = (
    "openai:",
    "anthropic:",
    "recorded:",
    "scripted:",
    "student:",
    "cascade:",
    "mailto:",
)  # NAME@VERSION follows
_NAME = r"pass(?:word|wd|phrase|wort)?|pwd?|secret|token|signature|sig|auth|credentials?"
_NAME += r"|(?:api|access|account|private|secret|serve)[_-]?key"
_QUOTED = r"""'(?:\\.|''|[^'\\\n])*'?|"(?:\\.|[^"\\\n])*"?"""
_SET = re.compile(
    rf"""((?<![a-z0-9])(?:[a-z0-9]{{1,20}}[_-]){{0,3}}(?:ssl|pg)?(?:{_NAME})|[?&;]key)  # what is set
    (\\*["']?[ \t]*=[ \t]*|\\*["'][ \t]*:[ \t]*(?=\\*["']))  # JSON also where it stands in a text of JSON
    (?!\[hidden\])({_QUOTED}|\\+"[^"]*"?|(?:\\.|[^\s\\])+)""",
    re.IGNORECASE | re.VERBOSE,
)
_BEARER = re.compile(r"\b(Bearer|Basic)[ ]+(?!\[hidden\])[\w.~+/=-]{8,}", re.IGNORECASE)
_HEADER = re.compile(
    r"\b((?:proxy-)?authorization|(?:[a-z]{1,10}-){0,2}api-key|(?:set-)?cookie)(:[ \t]*)"
    r"(?!(?:Bearer|Basic) |[ \t]|\[hidden\])((?:[a-z]{1,10}[ ]+)?)[^\s,;'\"}{[\]]{6,}",
    re.IGNORECASE,
)
_HOST = re.compile(r"[^:,]*(?::(?:\d*|PORT))?|\[[0-9a-f:.%]*\]?(?::\d*)?", re.IGNORECASE)
_OPTION = re.compile(r"([?&])([^=&#?]*)(=?)[^&#]*")
_KNOWN = ("synchronous", "lease_s", "sslmode")  # options that hold no secret
_PLACEHOLDERS = ("USER", "USER:PASSWORD", "[USER[:PASSWORD]")  # user names that stand in our own messages


def without_secrets(text: str) -> str:
    """An address, or a text that quotes some, without users, passwords, and values of a query."""
    if any(sign in text for sign in "@/\\"):
        text = _HOST_NAME.sub(r"\1", _without_users(text))
    if "=" in text or ":" in text:
        text = _SET.sub(lambda found: f"{found[1]}{found[2]}{_hidden_value(found[3])}", text)
        text = _HEADER.sub(lambda found: f"{found[1]}{found[2]}{HIDDEN}", text)
    return _BEARER.sub(lambda found: f"{found[1]} {HIDDEN}", text)


def holds_secrets(address: str) -> bool:
    return without_secrets(address) != address


def unreadable_postgres(address: str) -> bool:
    """Whether it is open where the password ends: an `@`, `/`, `?` or `#` in it is not written as %XX.

    libpq takes what follows for the host then, and names it in its errors.
    """
    credentials, at, _ = address.partition("://")[2].rpartition("@")
    return bool(at) and any(sign in credentials for sign in "@/?#")


def _without_users(text: str) -> str:
    shown: list[str] = []
    end = 0
    while (word := _WORD.search(text, end)) is not None:
        shown.append(text[end : word.start()])
        start, end = word.span()
        if "@" not in word[0] and _breaks_off(word[0]) and (rest := _TO_AT.match(text, end)) is not None:
            end = rest.end()
        shown.append(_word(text[start:end]))
    return "".join(shown) + text[end:]


def _breaks_off(word: str) -> bool:
    """Whether it is an address that ends within a password."""
    found = _ADDRESS.search(word)
    return found is not None and not _are_hosts(re.split(r"[/?#]", found[3], maxsplit=1)[0])


def _word(word: str) -> str:
    """What stands between two blanks, as it may be shown."""
    if _ADDRESS.search(word) is not None:
        return _ADDRESS.sub(_without_user, word)
    last = word.rfind("@")
    user = _USER.search(word, 0, max(last, 0))
    if user is None or user[0] in _NO_USERS:  # no scheme, or one that is no address's: USER:PASSWORD@HOST
        return word
    return f"{word[: user.start()]}{HIDDEN}{word[last:]}"


def _without_user(found: re.Match[str]) -> str:
    scheme, sign, rest = found.groups()
    if sign != "://" and "@" not in rest and "?" not in rest:  # a path
        return found[0]
    return f"{scheme}{sign}{_place(scheme, rest)}"


def _hidden_value(value: str) -> str:
    """A quoted value keeps its quotes."""
    return f"{value[0]}{HIDDEN}{value[0]}" if value[0] in "'\"" else HIDDEN


def _place(scheme: str, rest: str) -> str:
    """What stands after `://`, as it may be shown."""
    body, sharp, fragment = (
        rest.rpartition("#") if "#" in rest and scheme.lower().startswith("http") else (rest, "", "")
    )
    user, at, place = body.rpartition("@")
    authority = re.split(r"[/?#]", body, maxsplit=1)[0]
    is_host = user.endswith("\\") and ":" not in user  # a trick with `\@` that hides the host: see `flow.tools.web`
    if at and not is_host and user not in _PLACEHOLDERS and ("@" in authority or ":" in authority):
        body, authority = place, re.split(r"[/?#]", place, maxsplit=1)[0]
    if not _are_hosts(authority.rpartition("@")[2]):  # no port: the beginning of a password
        return HIDDEN
    return _OPTION.sub(_without_value, body) + sharp + _OPTION.sub(_without_value, fragment)


def _are_hosts(authority: str) -> bool:
    return all(_HOST.fullmatch(host) for host in authority.rstrip(":;,.)'\"`").split(","))


def _without_value(found: re.Match[str]) -> str:
    if found[2] in _KNOWN or found[0] in ("?", "&"):
        return found[0]
    return f"{found[1]}{found[2]}={HIDDEN}" if found[3] else f"{found[1]}{HIDDEN}"
