"""`stillhouse gateway`: listening, who is let in, the gateway's own pages, and its end.

The own pages: GET /healthz (it runs), GET /readyz (it runs, and calls are kept), GET /metrics (Prometheus' text), and
POST /v1/feedback.
"""

import asyncio
import contextlib
import functools
import hmac
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from stillhouse.errors import UserError
from stillhouse.gateway.calls import ForwardedCall
from stillhouse.gateway.feedback import FeedbackError, read_feedback
from stillhouse.gateway.forwarding import KEY, AppConnection, refusal
from stillhouse.gateway.upstreams import Pool, Upstreams, is_loopback
from stillhouse.store.gateway_calls import Said

KEY_VARIABLE = "STILLHOUSE_GATEWAY_KEY"
DRAIN_S = 30.0  # that a gateway which stops waits for calls under way
_SWEEP_S = 1.0  # between two looks for idle connections
# Upper bounds of a call's duration, in seconds, as Prometheus counts them.
BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Recorder(Protocol):
    """Whoever keeps the calls. `put` must not wait; where it raises, only the record is lost."""

    def put(self, call: ForwardedCall) -> None: ...

    def say(self, said: Said) -> None: ...

    @property
    def n_lost(self) -> int: ...

    @property
    def trouble(self) -> str | None: ...


class Gateway:
    """What all connections share."""

    def __init__(self, upstreams: Sequence[str], recorder: Recorder, *, key: str | None) -> None:
        self.upstreams, self.pool = Upstreams(upstreams), Pool()
        self.connections: set[AppConnection] = set()
        self.stopping = False
        self._recorder, self._key = recorder, None if key is None else key.encode()
        self._calls: Counter[tuple[str, str]] = Counter()
        self._seconds: Counter[float] = Counter()
        self._total_s, self._n_lost = 0.0, 0

    def refusal(self, headers: Mapping[bytes, bytes]) -> tuple[int, str] | None:
        """With a key, let in who has it; without one, who calls this machine by a loopback name, and no web page.

        A page of another site may send calls that it cannot read; its browser says where it is from.
        """
        if self._key is not None:
            if hmac.compare_digest(headers.get(KEY, b""), self._key):
                return None
            return 401, f"the gateway's key is missing or wrong; send it in the header {KEY.decode()}"
        return _stranger(headers.get(b"host", b""), headers.get(b"origin"))

    def own(self, method: str, path: str) -> tuple[int, str, bytes] | None:
        """The answer to a path of the gateway's own; None: the call is for an upstream."""
        if path not in ("/healthz", "/readyz", "/metrics"):
            return None  # feedback is answered once its body is there, see `said`
        if method not in ("GET", "HEAD"):
            return 405, "text/plain; charset=utf-8", f"{path} is read with GET\n".encode()
        if path == "/metrics":
            return 200, "text/plain; version=0.0.4; charset=utf-8", self._metrics().encode()
        if path == "/readyz" and (trouble := self._trouble()) is not None:
            return 503, "application/json", json.dumps({"status": "degraded", "reason": trouble}).encode()
        return 200, "application/json", b'{"status": "ok"}'

    def said(self, body: bytes | None) -> tuple[int, str, bytes]:
        """The answer to feedback. It is kept as calls are: soon, and by somebody else."""
        try:
            self._recorder.say(read_feedback(body))
        except FeedbackError as error:
            return 400, "application/json", refusal(str(error))
        except Exception:
            why = "the feedback cannot be kept just now; say it again later"
            return 503, "application/json", refusal(why, "not_kept")
        return 202, "application/json", b'{"status": "accepted"}'

    def _trouble(self) -> str | None:
        try:
            return "it stops" if self.stopping else self._recorder.trouble
        except Exception as error:
            return f"the recorder failed ({type(error).__name__})"

    def over(self, call: ForwardedCall) -> None:
        """Count the call and have it kept. Whatever goes wrong here is no business of the app's."""
        outcome = str(call.status) if call.broke is None and call.status is not None else "broke"
        self._calls[call.upstream, outcome] += 1
        if call.seconds is not None:
            self._total_s += call.seconds
            self._seconds[next((bound for bound in BUCKETS if call.seconds <= bound), float("inf"))] += 1
        try:
            self._recorder.put(call)
        except Exception:
            self._n_lost += 1

    def _metrics(self) -> str:
        lost = self._n_lost
        with contextlib.suppress(Exception):
            lost += self._recorder.n_lost
        lines = ["# HELP stillhouse_calls_total Calls by upstream and status.", "# TYPE stillhouse_calls_total counter"]
        for (name, outcome), n in sorted(self._calls.items()):
            lines.append(f"stillhouse_calls_total{{upstream={json.dumps(name)},status={json.dumps(outcome)}}} {n}")
        lines += [
            "# HELP stillhouse_unrecorded_calls_total Calls that were forwarded and not kept.",
            "# TYPE stillhouse_unrecorded_calls_total counter",
            f"stillhouse_unrecorded_calls_total {lost}",
            "# HELP stillhouse_open_connections Connections of clients.",
            "# TYPE stillhouse_open_connections gauge",
            f"stillhouse_open_connections {len(self.connections)}",
            "# HELP stillhouse_call_seconds From a call's first byte to its answer's last.",
            "# TYPE stillhouse_call_seconds histogram",
        ]
        n = 0
        for bound in (*BUCKETS, float("inf")):
            n += self._seconds[bound]
            label = "+Inf" if bound == float("inf") else f"{bound:g}"
            lines.append(f'stillhouse_call_seconds_bucket{{le="{label}"}} {n}')
        lines += [f"stillhouse_call_seconds_sum {self._total_s:.6f}", f"stillhouse_call_seconds_count {n}", ""]
        return "\n".join(lines)

    async def serve(self, host: str, port: int, stop: asyncio.Event, on_ready: Callable[[str], None]) -> None:
        """Forward until `stop` is set; then wait for the calls under way. Raises UserError where it cannot listen."""
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(lambda: AppConnection(self), host, port, backlog=1024)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"cannot listen on {host} port {port} ({reason}); choose another --port") from None
        sweeping = loop.create_task(self._sweep())
        try:
            on_ready(f"http://{f'[{host}]' if ':' in host else host}:{server.sockets[0].getsockname()[1]}")
            await stop.wait()
        finally:
            self.stopping = True
            server.close()
            for connection in list(self.connections):
                if not connection.in_work:
                    connection.transport.close()
            until = time.monotonic() + DRAIN_S
            with contextlib.suppress(asyncio.CancelledError):
                while self.connections and time.monotonic() < until:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            for connection in list(self.connections):
                connection.transport.abort()
            await asyncio.sleep(0)
            sweeping.cancel()
            self.pool.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = asyncio.get_running_loop().time()
            for connection in list(self.connections):
                connection.close_if_idle(now)


@functools.lru_cache(maxsize=256)
def _stranger(host: bytes, origin: bytes | None) -> tuple[int, str] | None:
    """Why a caller without a key is not let in, by what it calls this machine and which page it is; None: it is."""
    with contextlib.suppress(ValueError):
        if not is_loopback(urlsplit(f"//{host.decode('latin-1')}").hostname or ""):
            return 403, f"without a key only this machine is served; call 127.0.0.1, or set {KEY_VARIABLE}"
        if origin is not None and not is_loopback(urlsplit(origin.decode("latin-1")).hostname or ""):
            return 403, f"a page of another site calls the gateway; set {KEY_VARIABLE} where that is wanted"
        return None
    return 400, "the Host header is no address; send the name and port that are called"


def check_exposed(host: str, key: str | None) -> None:
    """Raises UserError for an address that others reach without a key, and for a key that no header carries."""
    if key is not None and (not key.strip() or key != key.strip() or not key.isprintable() or not key.isascii()):
        raise UserError(f"the key in {KEY_VARIABLE} is empty or has characters that no header carries; set it again")
    if key is None and not is_loopback(host):
        raise UserError(
            f"{host} can be reached from other machines, and no key is set; "
            f"set {KEY_VARIABLE} to a long random text, or listen on 127.0.0.1"
        )
