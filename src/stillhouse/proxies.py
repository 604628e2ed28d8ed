"""The environment's proxies and certificates, read in this one place for every HTTP client of ours.

HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY are read in both cases, as curl and requests read them. NO_PROXY lists
hosts, domains (with all that is below them), IP addresses and networks (10.0.0.0/8), each with a port where one is
meant, or `*`. SSL_CERT_FILE and SSL_CERT_DIR, else REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, name certificates that are
trusted beside the system's.
"""

import base64
import ipaddress
import os
import re
import ssl
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment

from stillhouse.addresses import without_secrets
from stillhouse.errors import UserError

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Proxy:
    """One proxy. `url` may hold a password: `shown` is what errors may say."""

    url: str = field(repr=False)
    secure: bool  # it is spoken to over TLS itself
    host: str
    port: int
    headers: dict[str, str] = field(repr=False)

    @property
    def shown(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


def proxy_for(url: str) -> Proxy | None:
    """The proxy through which the environment wants this URL; None: a direct connection.

    Raises UserError for a proxy of a kind that is not spoken here, such as SOCKS: going past it would be worse.
    """
    parts = urlsplit(url)
    given = getproxies_environment()
    named = given.get(parts.scheme) or given.get("all")
    port = parts.port or _PORTS.get(parts.scheme, 0)
    if not named or _direct(parts.hostname or "", port, given.get("no", "")):
        return None
    return _read(named if "://" in named else f"http://{named}")


def _read(named: str) -> Proxy:
    try:
        parts = urlsplit(named)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        scheme, host, port = "", "", None
    if not host or port is None or scheme not in _PORTS:
        raise UserError(
            f"the environment names the proxy {without_secrets(named)}, which is none that is spoken here; "
            "give http://HOST:PORT in HTTPS_PROXY, or the host that needs none in NO_PROXY"
        )
    headers = {}
    if parts.username is not None:
        words = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(words).decode()}"
    return Proxy(named, scheme == "https", host, port, headers)


def _direct(host: str, port: int, listed: str) -> bool:
    """Whether NO_PROXY covers the host. Its entries stand between commas or blanks."""
    return any(_covers(_ascii(entry), _ascii(host), port) for entry in re.split(r"[,\s]+", listed) if entry)


def _ascii(name: str) -> str:
    """A name as it is compared: in lower case, in ASCII (IDNA), without a dot at its end."""
    name = name.lower().rstrip(".")
    try:
        return name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return name


def _covers(entry: str, host: str, port: int) -> bool:
    if entry == "*" or _is_inside(host, entry):
        return True
    name, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdigit():
        if int(wanted) != port:
            return False
        if _is_inside(host, name):
            return True
        entry = name
    entry = entry.strip("[]").removeprefix("*").lstrip(".")
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))


def _is_inside(host: str, network: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
        mapped = address.ipv4_mapped if address.version == 6 else None
        return (mapped or address) in ipaddress.ip_network(network.strip("[]"), strict=False)
    except ValueError:
        return False  # one of the two is a name, or has a port


def trusted() -> ssl.SSLContext:
    """The TLS settings of a client. Raises UserError where the environment names certificates that are not there."""
    named = {name: os.environ[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)}
    if not named:
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            if os.environ.get(name):
                named = {name: os.environ[name]}
                break
    for name, place in named.items():
        if not Path(place).exists():  # OpenSSL would say nothing, and trust nobody
            raise UserError(f"{name} = {place}: there are no certificates there; mend it, or unset it")
    return _context(tuple(named.items()))


@cache
def _context(named: tuple[tuple[str, str], ...]) -> ssl.SSLContext:
    """Made once: to read the system's certificates takes as long as many requests."""
    try:
        context = ssl.create_default_context()
        for _, place in named:
            path = Path(place)
            context.load_verify_locations(**({"capath": place} if path.is_dir() else {"cafile": place}))
    except (ssl.SSLError, OSError) as error:
        raise UserError(
            f"{' and '.join(name for name, _ in named) or 'the certificates'}: cannot be read ({error}); mend it"
        ) from None
    return context
