"""A chat-completions endpoint for tests, in a process of its own: it counts what it is asked in a file, and fails in the way the model's name says.

Run: `python fake_endpoint.py FOLDER`; it writes its port to FOLDER/port and a line per call, the last user message as JSON, to FOLDER/calls.
It is a stand-in for a provider: the answer to a text is "good" where the text says so, else "bad".
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web


@dataclass(frozen=True)
class Endpoint:
    """A running fake. `url("MODE")` is a model's name for Stillhouse."""

    folder: Path
    port: int

    def url(self, mode: str = "ok") -> str:
        return f"http://127.0.0.1:{self.port}/v1#{mode}"

    def calls(self) -> Counter[str]:
        path = self.folder / "calls"
        return Counter(json.loads(line) for line in path.read_text().splitlines()) if path.exists() else Counter()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Endpoint]:
    """The fake in another process, gone afterwards."""
    process = subprocess.Popen([sys.executable, __file__, str(folder)])
    try:
        port = folder / "port"
        for _ in range(600):
            if port.exists() and port.read_text():
                break
            assert process.poll() is None, "the fake endpoint did not start"
            time.sleep(0.02)
        yield Endpoint(folder, int(port.read_text()))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def completion(text, finish="stop"):
    return {
        "id": "fake",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22},
    }


def serve(folder: Path) -> None:
    calls = os.open(folder / "calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    seen: Counter[tuple[str, str]] = Counter()

    async def chat(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        mode, text = body["model"], body["messages"][-1]["content"]
        os.write(calls, (json.dumps(text) + "\n").encode())
        seen[mode, text] += 1
        answer = completion("good" if "good" in text else "bad")
        match mode:
            case "ok":
                return web.json_response(answer)
            case "slow":
                await asyncio.sleep(0.02)
                return web.json_response(answer)
            case "401":
                return web.json_response({"error": {"message": f"wrong key {request.headers.get('Authorization')}"}}, status=401)
            case "401-long":  # the key stands where a short message would be cut through it
                return web.json_response({"error": {"message": "x" * 180 + " " + request.headers.get("Authorization", "")}}, status=401)
            case "error-200-long":
                return web.json_response({"error": "x" * 180 + " " + request.headers.get("Authorization", "")})
            case "html-long":
                return web.Response(text="x" * 60 + request.headers.get("Authorization", ""), content_type="text/html")
            case "echo":
                return web.json_response(completion(f"good, {request.headers.get('Authorization')}"))
            case "404":
                return web.json_response({"error": {"message": "no such model"}}, status=404)
            case "400":
                return web.json_response({"error": {"message": "too long"}}, status=400)
            case "429-once" | "429-now" | "429-nan" | "500-once" | "close-once" if seen[mode, text] > 1:
                return web.json_response(answer)
            case "429-once":
                return web.json_response({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "0.01"})
            case "429-now" | "429-nan":
                return web.json_response({}, status=429, headers={"Retry-After": {"429-now": "0", "429-nan": "nan"}[mode]})
            case "500-once" | "500":
                return web.Response(status=500, text="oops", headers={"Retry-After": "0.001"})
            case "close-once":
                response = web.StreamResponse(headers={"Content-Length": "1000"})
                await response.prepare(request)
                await response.write(b'{"choices": [')
                assert request.transport is not None
                request.transport.abort()
                return response
            case "garbage":
                return web.Response(body=b"\x00\xff{", content_type="application/json")
            case "nested":
                return web.Response(text="[" * 200_000, content_type="application/json")
            case "half-character":
                return web.json_response(completion("good \ud800"))
            case "html":
                return web.Response(text="<html>maintenance</html>", content_type="text/html")
            case "error-200":
                return web.json_response({"error": {"message": "overloaded"}})
            case "no-choices":
                return web.json_response({**answer, "choices": []})
            case "empty":
                return web.json_response(completion("  "))
            case "length":
                return web.json_response(completion("go", "length"))
            case "filter":
                return web.json_response(completion(None, "content_filter"))
            case "nonsense":
                return web.json_response(completion("I would rather not say"))
        return web.json_response({"error": {"message": f"no mode {mode}"}}, status=400)

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", chat)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        (folder / "port").write_text(str(runner.addresses[0][1]))
        await asyncio.Event().wait()

    asyncio.run(main())


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
