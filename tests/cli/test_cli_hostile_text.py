"""What a hostile endpoint says, on a terminal and in the files that commands write."""

import io
import json
import threading
import xml.etree.ElementTree as ET
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from rich.table import Table

from stillhouse.cli.console import PlainConsole
from stillhouse.report.html import templates
from stillhouse.report.svg import text as svg_text

CLIPBOARD = "\x1b]52;c;ZXZpbA==\x07\x9b2J\u202e"
TASK = """[task]
name = "mood"
instruction = "Say the mood."
output = "choice"
labels = ["good", "bad"]
metric = "accuracy"
"""


@pytest.fixture
def hostile():
    """The address of an endpoint that refuses everything in words that a terminal would obey."""

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"error": {"message": f"{CLIPBOARD} [teacher] says no"}}).encode()
            self.send_response(401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1#m"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["label", "advise"])
def test_an_endpoints_error_is_shown_and_not_obeyed(stillhouse, hostile, tmp_path, command):
    (tmp_path / "task.toml").write_text(TASK)
    rows = [json.dumps({"input": f"row {n}", "label": ("good", "bad")[n % 2]}) for n in range(60)]
    (tmp_path / "examples.jsonl").write_text("\n".join(rows) + "\n")
    ran = stillhouse(command, tmp_path, "--teacher", hostile, "--yes", "--unpriced")
    assert ran.code != 0
    assert "\\x1b]52;c;" in ran.err and "[teacher] says no" in ran.err, ran
    assert not set("\x1b\x07\x9b\u202e") & set(ran.out + ran.err)


def test_a_console_takes_no_markup_and_no_escape_sequences():
    console = PlainConsole(file=io.StringIO(), force_terminal=True, width=100, highlight=False)
    table = Table(show_header=False)
    table.add_row(f"[link=http://evil]x[/link] {CLIPBOARD}")
    console.print(f"note: [teacher] gave [/nothing] :smile: {CLIPBOARD}")
    console.print(table)
    shown = console.file.getvalue()
    assert "[teacher] gave [/nothing] :smile: \\x1b]52" in shown and "[link=http://evil]x[/link]" in shown
    assert not {"\x07", "\x9b", "\u202e"} & set(shown) and "\x1b]" not in shown


def test_drawings_and_pages_hold_no_control_characters():
    drawing = svg_text(1, 2, f"failed: {CLIPBOARD}", class_="\x00")
    assert "\\x1b]52" in ET.fromstring(drawing).text
    page = templates().from_string("<p title='{{ words }}'>{{ words }}</p>").render(words=f"<b>{CLIPBOARD}")
    assert "\x1b" not in page and "&lt;b&gt;\\x1b]52" in page


def test_a_failed_steps_traceback_is_shown_and_not_obeyed(tmp_path, stillhouse, monkeypatch):
    """An error may quote what a model wrote."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text(
        "from stillhouse import flow, step\n\n@step\nasync def s(x: str) -> str:\n"
        "    raise ValueError('bad ' + x)\n\n@flow\nasync def f(x: str) -> str:\n    return await s(x)\n"
    )
    said = stillhouse(
        "run", "app.py:f", "--input", json.dumps({"x": "\x1b[2J\x1b]0;evil\x07\x85"}), "--store", "s.db", "--traceback"
    )
    assert said.code == 1 and "Traceback" in said.err
    assert not {"\x1b", "\x07", "\x85"} & set(said.err + said.out)
    assert r"\x1b[2J" in said.err
