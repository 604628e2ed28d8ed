"""A chat-completions endpoint for benchmarks, in a process of its own and as light as Python makes it: a fixed latency, and limits that it enforces.

Run: `python fast_endpoint.py FOLDER '{"latency_s": 0, "rpm": null, "tpm": null, "headers": true}'`; it writes its port to FOLDER/port and, when asked for
GET /counts, says how many calls it answered and refused, and in which seconds after the first. A stand-in for a provider: every answer is "good".
"""

import asyncio
import json
import math
import sys
import time
from pathlib import Path

TOKENS = 100  # that every call counts: 90 in, 10 out
_ANSWER = json.dumps(
    {
        "id": "fake",
        "object": "chat.completion",
        "created": 0,
        "model": "fake",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "good"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100},
    }
).encode()
_REFUSAL = b'{"error": {"message": "rate limit reached", "type": "rate_limit_error"}}'


class Limits:
    """Token buckets as providers have them: they refill evenly and hold `burst_s` seconds' worth."""

    def __init__(self, rpm, tpm, burst_s):
        self.per_s = {"requests": rpm and rpm / 60, "tokens": tpm and tpm / 60}
        self.limit = {"requests": rpm, "tokens": tpm}
        self.level = {name: per_s and per_s * burst_s for name, per_s in self.per_s.items()}
        self.most = dict(self.level)
        self.at = time.monotonic()

    def take(self):
        """Seconds to wait; 0: taken."""
        now = time.monotonic()
        wait_s = 0.0
        for name, per_s in self.per_s.items():
            if per_s:
                self.level[name] = min(self.most[name], self.level[name] + (now - self.at) * per_s)
                needs = 1 if name == "requests" else TOKENS
                if self.level[name] < needs:
                    wait_s = max(wait_s, (needs - self.level[name]) / per_s)
        self.at = now
        if not wait_s:
            for name, per_s in self.per_s.items():
                if per_s:
                    self.level[name] -= 1 if name == "requests" else TOKENS
        return wait_s

    def headers(self):
        said = b""
        for name, per_s in self.per_s.items():
            if per_s:
                left, reset_s = int(self.level[name]), (self.most[name] - self.level[name]) / per_s
                for what, value in (("limit", self.limit[name]), ("remaining", left), ("reset", f"{reset_s:.3f}s")):
                    said += f"x-ratelimit-{what}-{name}: {value}\r\n".encode()
        return said


class Window:
    """Requests in fixed minutes, the first of which begins with the first request. All may come at once; then none until the minute is over."""

    def __init__(self, rpm):
        self.rpm, self.until, self.left = rpm, None, rpm

    def take(self):
        now = time.monotonic()
        if self.until is None or now >= self.until:
            self.until, self.left = (
                now + 60 if self.until is None else self.until + 60 * math.ceil((now - self.until + 1e-9) / 60),
                self.rpm,
            )
        if self.left:
            self.left -= 1
            return 0.0
        return self.until - now


class State:
    """The limits and the counts. `window`: requests are counted in fixed minutes.

    With `headers` a refusal says exactly when to come again; else with `retry_after` in whole seconds, and without it not at all.
    """

    def __init__(self, latency_s=0.0, rpm=None, tpm=None, headers=True, burst_s=1.0, window=False, retry_after=False):
        self.latency_s, self.headers, self.retry_after, self.began = latency_s, headers, retry_after, None
        self.limits = Window(rpm) if window else Limits(rpm, tpm, burst_s) if rpm or tpm else None
        self.answered, self.refused, self.seconds, self.refusals = 0, 0, {}, {}


class Chat(asyncio.Protocol):
    def __init__(self, state):
        self.state, self.buffer = state, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            self.answer(head)

    def answer(self, head):
        state = self.state
        if head.startswith(b"get"):
            counts = {
                "answered": state.answered,
                "refused": state.refused,
                "seconds": state.seconds,
                "refusals": state.refusals,
            }
            self.reply(b"200 OK", json.dumps(counts).encode(), b"")
            return
        state.began = time.monotonic() if state.began is None else state.began
        second = int(time.monotonic() - state.began)
        wait_s = state.limits.take() if state.limits else 0.0
        said = state.limits.headers() if state.limits and state.headers else b""
        if wait_s:
            state.refused += 1
            state.refusals[second] = state.refusals.get(second, 0) + 1
            later = f"{wait_s:.3f}" if state.headers else math.ceil(wait_s) if state.retry_after else None
            self.reply(
                b"429 Too Many Requests",
                _REFUSAL,
                said if later is None else said + f"retry-after: {later}\r\n".encode(),
            )
            return
        state.answered += 1
        state.seconds[second] = state.seconds.get(second, 0) + 1
        if state.latency_s:
            asyncio.get_running_loop().call_later(state.latency_s, self.reply, b"200 OK", _ANSWER, said)
        else:
            self.reply(b"200 OK", _ANSWER, said)

    def reply(self, status, body, said):
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 %s\r\ncontent-type: application/json\r\n%scontent-length: %d\r\n\r\n%s"
                % (status, said, len(body), body)
            )


async def serve(folder, settings):
    state = State(**settings)
    server = await asyncio.get_running_loop().create_server(lambda: Chat(state), "127.0.0.1", 0, backlog=1000)
    temporary = folder / "port.new"
    temporary.write_text(str(server.sockets[0].getsockname()[1]))
    temporary.rename(folder / "port")
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), json.loads(sys.argv[2])))
