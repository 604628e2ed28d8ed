"""Addresses as people may see them: never with a password or a key.

What may hide one: `USER:PASSWORD@` (also where an `@`, `/`, `?` or `#` of the password was not written as %XX, so that
no parser agrees on where it ends), and whatever stands after the `?`.
"""

import re

HIDDEN = "[hidden]"
UNREADABLE = (
    "the postgresql:// address cannot be read; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, "
    "special characters of the user and the password as %XX (an @ is %40, a / is %2F)"
)
_ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]*)://(\S+)", re.IGNORECASE)
_HOST = re.compile(r"[^:,]*(?::(?:\d*|PORT))?|\[[0-9a-f:.%]*\]?(?::\d*)?", re.IGNORECASE)
_OPTION = re.compile(r"([?&])([^=&#?]*)(=?)[^&#]*")
_KNOWN = ("synchronous", "lease_s", "sslmode")  # options that hold no secret
_PLACEHOLDERS = ("USER", "USER:PASSWORD", "[USER[:PASSWORD]")  # user names that stand in our own messages


def without_secrets(text: str) -> str:
    """An address, or a text that quotes some, without users, passwords, and values of a query."""
    whole = re.match(r"([a-z][a-z0-9+.-]*)://\S*\s\S*@", text, re.IGNORECASE)
    if whole is not None and text.count("://") == 1 and "'" not in text and ": " not in text:  # a space in the password
        return f"{whole[1]}://{_place(whole[1], text.partition('://')[2])}"
    return _ADDRESS.sub(lambda found: f"{found[1]}://{_place(found[1], found[2])}", text)


def holds_secrets(address: str) -> bool:
    return without_secrets(address) != address


def unreadable_postgres(address: str) -> bool:
    """Whether it is open where the password ends: an `@`, `/`, `?` or `#` in it is not written as %XX.

    libpq takes what follows for the host then, and names it in its errors.
    """
    credentials, at, _ = address.partition("://")[2].rpartition("@")
    return bool(at) and any(sign in credentials for sign in "@/?#")


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
    hosts = authority.rpartition("@")[2].rstrip(":;,.)'\"`").split(",")
    if not all(_HOST.fullmatch(host) for host in hosts):  # no port: the beginning of a password
        return HIDDEN
    return _OPTION.sub(_without_value, body) + sharp + _OPTION.sub(_without_value, fragment)


def _without_value(found: re.Match[str]) -> str:
    if found[2] in _KNOWN or found[0] in ("?", "&"):
        return found[0]
    return f"{found[1]}{found[2]}={HIDDEN}" if found[3] else f"{found[1]}{HIDDEN}"
