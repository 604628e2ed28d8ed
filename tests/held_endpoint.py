"""A chat-completions endpoint in this process that holds every answer until the test lets it go: order is tested, never time."""

import contextlib
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_WAIT_S = 60.0


class Held:
    """What was asked (the last message of each call, in order), and which answers may go."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1#held"
        self.asked: list[str] = []
        self.bodies: Counter[str] = Counter()  # the whole of each call, and how often it was made
        self._sitting = 0
        self._free = 0  # answers that may go beyond those that went
        self._open = False
        self._changed = threading.Condition()

    @property
    def calls(self) -> Counter[str]:
        return Counter(self.asked)

    def until(self, n: int, process: subprocess.Popen[str] | None = None) -> None:
        """Wait until so many calls were asked in all."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: len(self.asked) >= n or (process is not None and process.poll() is not None), _WAIT_S
            )
        assert len(self.asked) >= n, "the command ended before"

    def let(self, n: int) -> None:
        """Let so many more answers go."""
        with self._changed:
            self._free += n
            self._changed.notify_all()

    def let_all(self, yes: bool = True) -> None:
        with self._changed:
            self._open = yes
            self._changed.notify_all()

    def drop(self) -> None:
        """Whoever waits for an answer gets none any more: its command is dead."""
        with self._changed:
            self._sitting, self._free = self._sitting + 1, 0
            self._changed.notify_all()

    def answer(self, body: dict) -> str | None:
        """The answer to a call once it may go; None: it never may."""
        text = body["messages"][-1]["content"]
        with self._changed:
            self.asked.append(text)
            self.bodies[json.dumps(body, sort_keys=True)] += 1
            sitting = self._sitting
            self._changed.notify_all()
            while not (self._open or self._free):
                if not self._changed.wait(_WAIT_S) or self._sitting != sitting:
                    return None
            self._free -= not self._open
        return reply(text)


def reply(text: str) -> str:
    return "good" if "good" in text else "bad"


@contextlib.contextmanager
def held_endpoint(answer=None) -> Iterator[Held]:
    """`answer(body)` gives the text of a reply; default: good or bad."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # the name that the library calls
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = held.answer(body)
            if answer is not None and text is not None:
                text = answer(body)
            message = {"role": "assistant", "content": text}
            sent = json.dumps(
                {
                    "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22},
                }
            ).encode()
            with contextlib.suppress(OSError):  # the command has left
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 64  # with Python's own 5 the rest of many calls at once would connect a second later
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    held = Held(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield held
    finally:
        held.let_all()
        server.shutdown()
        server.server_close()


def command(*arguments: object, cwd: Path | None = None) -> subprocess.Popen[str]:
    """`stillhouse` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "stillhouse", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
    )
