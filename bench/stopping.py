"""How many calls does `label` pay for twice, where it is stopped five times: by Ctrl-C, by SIGTERM, by SIGKILL?

400 rows, four calls at once, against an endpoint on loopback that takes 0.1 s for an answer and counts what it answered. Each stop comes after some forty calls
more; then the same command goes on. What a command says it left is added up beside it.
"""

import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

N, IN_FLIGHT, STOPS, ANSWER_S = 400, 4, 5, 0.1
TASK = """[task]
name = "mood"
instruction = "Is it good?"
output = "choice"
labels = ["good", "bad"]
[data]
train = "rows.jsonl"
[teacher]
model = "http://127.0.0.1:{port}/v1#stand-in"
concurrency = {in_flight}
price_in = 1.0
price_out = 2.0
"""
calls: Counter[str] = Counter()


class Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        calls[body["messages"][-1]["content"]] += 1
        time.sleep(ANSWER_S)
        message = {"role": "assistant", "content": "good"}
        usage = {"prompt_tokens": 20, "completion_tokens": 2}
        sent = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}).encode()
        try:
            self.send_response(200)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)
        except OSError:  # the command has left
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def stopped_by(number: signal.Signals, port: int) -> dict[str, object]:
    calls.clear()
    said_left = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "task.toml").write_text(TASK.format(port=port, in_flight=IN_FLIGHT))
        rows = [{"id": f"r{i}", "input": f"day {i}"} for i in range(N)]
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        label = [sys.executable, "-m", "stillhouse", "label", name, "--yes", "--json"]
        for _ in range(STOPS):
            before = calls.total()
            process = subprocess.Popen(label, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            while calls.total() < before + 40 and process.poll() is None:
                time.sleep(0.002)
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
            if (left := re.search(r"(\d+) w(?:as|ere) left", err)) is not None:
                said_left += int(left[1])
        report = json.loads(subprocess.run(label, capture_output=True, text=True, check=True).stdout)
    return {
        "labelled": report["labelled"],
        "calls beyond one a row": calls.total() - N,
        "of them said to be left": None if number is signal.SIGKILL else said_left,
    }


def main() -> dict[str, object]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
    return {
        "what": f"label of {N} rows, {IN_FLIGHT} calls at once, stopped {STOPS} times",
        **{number.name: stopped_by(number, server.server_address[1]) for number in numbers},
    }


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
