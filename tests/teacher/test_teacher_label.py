"""`stillhouse label` as a user runs it: killed, run again, refused, capped; against an endpoint in another process that counts what it is asked."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from mood_task import MOOD
from stillhouse.commands.label import label
from stillhouse.errors import ExistsError, TeacherError, UserError
from stillhouse.session import Session
from stillhouse.teacher import annotate

TASK = (
    MOOD
    + """
[teacher]
model = "{model}"
concurrency = 4
"""
)
IN_FLIGHT = 4
KEY = "sk-planted-0123456789"


def project(folder, model, n=200, start=0):
    (folder / "task.toml").write_text(TASK.format(model=model))
    rows = [{"id": f"r{i}", "input": f"day {i} was {('good', 'awful')[i % 2]}"} for i in range(start, n)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def _hears_ctrl_c():
    """A shell that starts the tests in the background has SIGINT ignored, which is handed down."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stillhouse(*arguments, wait=True, **environment):
    consent = "--yes" if "--price-in" in arguments else "--unpriced"
    command = [sys.executable, "-m", "stillhouse", *map(str, arguments), consent]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, **pipes, env=os.environ | environment, preexec_fn=_hears_ctrl_c)
    return (process, *process.communicate()) if wait else process


def labelled(folder):
    return [json.loads(line) for line in (folder / "teacher.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_labels_come_in_input_order_with_their_cost_and_a_second_run_asks_nothing(endpoint, tmp_path):
    project(tmp_path, endpoint.url(), 30)
    process, out, err = stillhouse("label", tmp_path, "--price-in", 1, "--price-out", 2, "--json")
    assert process.returncode == 0, err
    report = json.loads(out)
    assert (report["labelled"], report["n"], report["from_store"]) == (30, 30, 0)
    assert report["cost_usd"] == pytest.approx(30 * (20 * 1 + 2 * 2) / 1e6)
    assert [row["id"] for row in labelled(tmp_path)] == [f"r{i}" for i in range(30)]
    assert [row["teacher_label"] for row in labelled(tmp_path)[:2]] == ["good", "bad"]
    again = json.loads(stillhouse("label", tmp_path, "--price-in", 1, "--price-out", 2, "--json")[1])
    assert (again["from_store"], again["cost_usd"]) == (30, 0)
    assert endpoint.calls().total() == 30


@pytest.mark.slow
def test_more_rows_in_another_order_cost_the_new_ones_alone(endpoint, tmp_path):
    project(tmp_path, endpoint.url(), 40)
    stillhouse("label", tmp_path)
    lines = (project(tmp_path, endpoint.url(), 55) / "rows.jsonl").read_text().splitlines()
    random.Random(1).shuffle(lines)
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    report = json.loads(stillhouse("label", tmp_path, "--json")[1])
    assert (report["labelled"], report["from_store"]) == (55, 40)
    assert endpoint.calls().total() == 55


async def test_an_edited_parser_reads_the_stored_replies_again_and_asks_for_new_rows_alone(endpoint, tmp_path):
    project(tmp_path, endpoint.url(), 20)
    task = (tmp_path / "task.toml").read_text() + "rationales = true\n"
    (tmp_path / "task.toml").write_text(task)
    assert (await label(tmp_path)).report.rejected == {"no answer after the rationale": 20}
    project(tmp_path, endpoint.url(), 23)
    (tmp_path / "task.toml").write_text(task + "answer_pattern = '^(good|bad)$'\n")
    report = (await label(tmp_path)).report
    assert (report.labelled, report.from_store) == (23, 20)
    assert endpoint.calls().total() == 23


@pytest.mark.slow  # a command in a process of its own
async def test_a_prompt_beyond_the_context_is_a_counted_rejection(endpoint, tmp_path):
    project(tmp_path, endpoint.url("context-long"), 5)
    with (tmp_path / "rows.jsonl").open("a") as rows:
        rows.write(json.dumps({"id": "long", "input": "good " * 1000}) + "\n")
    report = (await label(tmp_path)).report
    assert report.labelled == 5
    assert report.rejected == {"refused by the endpoint (400: maximum context length is 8192 tokens)": 1}
    assert report.n_unanswered == 1
    said = stillhouse("label", tmp_path, "--unpriced")[1]
    assert "run again, this asks 1 of the rejected rows again: they have no answer" in said
    assert endpoint.calls()["good " * 1000] == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "code", "says"),
    [
        ("quota", 1, "the account has no quota left"),
        ("401", 1, "the endpoint refuses the key"),
        ("404", 1, "no such model or path"),
        ("429-once", 0, ""),
        ("500-once", 0, ""),
        ("close-once", 0, ""),
    ],
)
def test_what_the_endpoint_does_ends_in_labels_or_in_one_sentence(endpoint, tmp_path, mode, code, says):
    process, out, err = stillhouse("label", project(tmp_path, endpoint.url(mode), 6), STILLHOUSE_API_KEY=KEY)
    assert process.returncode == code
    assert says in err
    assert "Traceback" not in err
    assert KEY not in out + err


UNUSABLE = [
    "garbage",
    "html",
    "error-200",
    "no-choices",
    "empty",
    "length",
    "filter",
    "nonsense",
    "nested",
    "half-character",
    "huge",
    "null-choice",
]


@pytest.mark.slow
@pytest.mark.parametrize("mode", UNUSABLE)
async def test_a_reply_that_cannot_be_used_is_counted_with_its_reason(endpoint, tmp_path, mode):
    report = (await label(project(tmp_path, endpoint.url(mode), 4))).report
    assert report.labelled == 0
    assert sum(report.rejected.values()) == 4
    rejected = [json.loads(line) for line in (tmp_path / "teacher.rejected.jsonl").read_text().splitlines()]
    assert all(row["reason"] in report.rejected for row in rejected)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["ok", "400", "401-long", "error-200-long", "html-long", "echo"])
async def test_the_key_is_written_nowhere(endpoint, tmp_path, monkeypatch, mode):
    monkeypatch.setenv("STILLHOUSE_API_KEY", KEY)
    with contextlib.suppress(TeacherError):
        await label(project(tmp_path, endpoint.url(mode), 5))
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert KEY[:8].encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_a_full_disk_keeps_what_was_paid_for(endpoint, tmp_path):
    """No file may grow beyond 1 MB, as on a disk that fills up; then there is room again."""
    project(tmp_path, endpoint.url(), 400)
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)); from stillhouse.cli import main; main()"
    process = subprocess.run(
        [sys.executable, "-c", limited, "label", str(tmp_path), "--unpriced"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert "free space" in process.stderr
    assert "Traceback" not in process.stderr
    before = endpoint.calls().total()
    assert 20 < before < 400
    report = json.loads(stillhouse("label", tmp_path, "--json")[1])
    assert (report["labelled"], len(labelled(tmp_path))) == (400, 400)
    assert report["from_store"] >= before - IN_FLIGHT
    assert endpoint.calls().total() <= 400 + IN_FLIGHT


@pytest.mark.parametrize("out", ["rows.jsonl", "task.toml", "./rows.jsonl"])
async def test_a_file_of_the_task_is_never_overwritten(tmp_path, out):
    project(tmp_path, "recorded:answers.jsonl", 3)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ExistsError, match="give another --out"):
        await label(tmp_path, data=tmp_path / "rows.jsonl", out=tmp_path / out)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "out", ["worked.jsonl", "further.jsonl", "answers.jsonl", "own.db", "app.py", "notes.jsonl", "mine.jsonl"]
)
async def test_what_label_did_not_write_is_never_overwritten_nor_by_the_rejected_rows(endpoint, tmp_path, out):
    project(tmp_path, endpoint.url(), 3)
    with (tmp_path / "task.toml").open("a") as file:
        file.write('examples = "worked.jsonl"\n[data]\ntrain = "rows.jsonl"\nalso_test = ["further.jsonl"]\n')
    (tmp_path / "task.toml").write_text(
        (tmp_path / "task.toml").read_text().replace('[data]\ntrain = "rows.jsonl"\n', "", 1)
    )
    labelled_here = {
        "id": "w",
        "input": "day 9 was good",
        "label": "good",
        "provenance": {},
    }  # as if copied from an output of ours
    for name in ("worked.jsonl", "further.jsonl", "answers.jsonl"):
        (tmp_path / name).write_text(json.dumps(labelled_here) + "\n")
    (tmp_path / "own.db").write_bytes(b"SQLite format 3\x00\xff\xfe")
    (tmp_path / "app.py").write_text("print()\n")
    for name in ("notes.jsonl", "mine.rejected.jsonl"):
        (tmp_path / name).write_text('{"id": "n", "input": "mine"}\n')
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    teacher = "recorded:answers.jsonl" if out == "answers.jsonl" else None
    with pytest.raises(ExistsError, match="give another --out"):
        await label(tmp_path, Session(teacher=teacher), data=tmp_path / "rows.jsonl", out=tmp_path / out)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert endpoint.calls().total() == 0


async def test_an_output_that_cannot_be_made_is_refused_before_a_call_is_paid(endpoint, tmp_path):
    project(tmp_path, endpoint.url(), 3)
    with pytest.raises(UserError, match="is a file, and a folder is needed there"):
        await label(tmp_path, out=tmp_path / "task.toml" / "teacher.jsonl")
    assert endpoint.calls().total() == 0


@pytest.mark.slow
def test_the_cap_holds_and_what_was_answered_is_kept(endpoint, tmp_path):
    project(tmp_path, endpoint.url(), 50)
    priced = ("--price-in", 1000, "--price-out", 1000)  # a call costs 2.2 cents, and may cost over 60
    process, _, err = stillhouse("label", tmp_path, *priced, "--max-usd", 1)
    assert process.returncode == 1
    assert "pass the cap of $1" in err
    paid = endpoint.calls().total()
    assert 0 < paid * 0.022 <= 1
    report = json.loads(stillhouse("label", tmp_path, *priced, "--max-usd", 100, "--json")[1])
    assert (report["labelled"], report["from_store"]) == (50, paid)
    assert endpoint.calls().total() == 50


@pytest.mark.slow
def test_two_commands_on_one_output_are_refused_with_the_owner_named(endpoint, tmp_path):
    project(tmp_path, endpoint.url("slow"), 2000)
    first = stillhouse("label", tmp_path, wait=False)
    try:
        while endpoint.calls().total() == 0:
            time.sleep(0.01)
        process, _, err = stillhouse("label", tmp_path)
        assert process.returncode == 2
        assert f"in use by process {first.pid}" in err
    finally:
        first.kill()
        first.communicate()


@pytest.mark.slow
def test_a_capped_run_without_a_known_price_is_refused(endpoint, tmp_path):
    process, _, err = stillhouse("label", project(tmp_path, endpoint.url(), 3), "--max-usd", 1)
    assert process.returncode == 2
    assert "--price-in" in err
    assert endpoint.calls().total() == 0


SCRIPT = """
def respond(request, example):
    if "mute" in example.text:
        return "I cannot say."
    label = "good" if "good" in example.text else "bad"
    return f"The day was {label} to me. So the answer is {label}."
"""


@pytest.mark.slow
def test_rationales_are_asked_for_with_worked_examples_and_read_apart_from_the_label(tmp_path):
    project(tmp_path, "scripted:reasons:respond", 6)
    (tmp_path / "task.toml").write_text((tmp_path / "task.toml").read_text() + 'examples = "worked.jsonl"\n')
    worked = [{"input": f"day {i}", "label": "good", "rationale": "It was sunny."} for i in range(3)]
    (tmp_path / "worked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in worked))
    with (tmp_path / "rows.jsonl").open("a") as rows:
        rows.write(json.dumps({"id": "mute", "input": "a mute day"}) + "\n")
    (tmp_path / "reasons.py").write_text(SCRIPT)
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    process, out, err = stillhouse("label", tmp_path, "--rationales", "--json", PYTHONPATH=paths)
    assert process.returncode == 0, err
    report = json.loads(out)
    assert report["rejected"] == {"no answer after the rationale": 1}
    first = labelled(tmp_path)[0]
    assert (first["teacher_label"], first["teacher_rationale"]) == ("good", "The day was good to me.")
    assert first["teacher"] == "scripted:reasons:respond"


@pytest.mark.slow
def test_recorded_answers_are_a_teacher_that_costs_nothing(tmp_path):
    project(tmp_path, "recorded:answers.jsonl", 4)
    answers = [{"id": f"r{i}", "teacher_label": "good", "teacher_rationale": "because"} for i in range(3)] + [
        {"id": "r3", "teacher_label": None}
    ]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    process, out, err = stillhouse("label", tmp_path, "--json")
    assert process.returncode == 0, err
    report = json.loads(out)
    assert (report["labelled"], report["rejected"], report["cost_usd"]) == (3, {"recorded without an answer": 1}, 0.0)
    assert "4 answered from the store, paid now: $0\n" in stillhouse("label", tmp_path)[1]
    assert labelled(tmp_path)[0]["teacher_rationale"] == "because"


async def test_every_row_says_where_it_comes_from_also_when_the_store_answers(endpoint, tmp_path):
    folder = project(tmp_path, endpoint.url(), 4)
    report = (await label(folder, Session(settings={"price_in": 1.0, "price_out": 2.0}))).report
    first = labelled(folder)[0]["provenance"]
    assert list(first) == ["teacher", "date", "prompt_hash", "parameters", "price_snapshot", "licence"]
    assert first["teacher"] == endpoint.url()
    assert first["parameters"] == {"temperature": 0.0, "max_tokens": 512}
    assert "$1 in, $2 out" in first["price_snapshot"]
    assert first["licence"] == "the model's own licence (self-hosted)"
    assert report.licences == {first["licence"]: 4}
    assert report.dates[0] <= first["date"] <= report.dates[1]
    await label(folder, Session(settings={"price_in": 1.0, "price_out": 2.0}))
    assert labelled(folder)[0]["provenance"] == first  # the date is the reply's, not the file's
    (folder / "task.toml").write_text(
        (folder / "task.toml").read_text().replace("Is it good?", "Was it good?") + 'licence = "apache-2.0"\n'
    )
    await label(folder)
    other = labelled(folder)[0]["provenance"]
    assert other["prompt_hash"] != first["prompt_hash"]
    assert (other["licence"], other["price_snapshot"]) == ("apache-2.0", None)


async def test_recorded_rows_keep_what_they_say_of_themselves_and_invent_nothing(endpoint, tmp_path):
    folder = project(tmp_path, endpoint.url(), 2)
    await label(folder, out=folder / "recording.jsonl")
    recording = [json.loads(line) for line in (folder / "recording.jsonl").read_text().splitlines()]
    del recording[1]["provenance"], recording[1]["teacher"]
    (folder / "recording.jsonl").write_text("".join(json.dumps(row) + "\n" for row in recording))
    report = (await label(folder, Session(teacher="recorded:recording.jsonl"))).report
    kept, bare = (row["provenance"] for row in labelled(folder))
    assert kept == recording[0]["provenance"]
    assert bare == {
        "teacher": "recorded:recording.jsonl",
        "date": None,
        "prompt_hash": None,
        "parameters": {},
        "price_snapshot": None,
        "licence": "unknown",
    }
    assert report.licences == {kept["licence"]: 1, "unknown": 1}


VOTES = """
import math
from stillhouse.llm.request import Completion
from stillhouse.records import Usage

def votes(request, example):
    if "tie" in example.text:
        return ("good", "bad")[request.sample_index % 2]
    return "bad" if request.sample_index == 2 else "good"

def place(request, example):
    if len(request.messages) > 2 and "never" not in example.text:
        return '{"city": "Porto"}'
    return '{"city": 3}' if "plain" not in example.text else '{"city": "Faro"}'
"""


async def test_reasons_that_differ_in_every_row_are_counted_apart_up_to_a_number(tmp_path, monkeypatch):
    project(tmp_path, "scripted:refusing_script:refuses", 10)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(annotate, "_MOST_REASONS", 3)
    refuses = 'def refuses(request, example):\n    return Completion(None, error=f"no: {int(example.id[1:]) % 5}")\n'
    (tmp_path / "refusing_script.py").write_text("from stillhouse.llm.request import Completion\n" + refuses)
    report = (await label(tmp_path)).report
    assert sorted(report.rejected.items()) == [
        ("another reason, which stands with the row", 4),
        ("no: 0", 2),
        ("no: 1", 2),
        ("no: 2", 2),
    ]
    rejected = [json.loads(line)["reason"] for line in (tmp_path / "teacher.rejected.jsonl").read_text().splitlines()]
    assert rejected == [f"no: {n % 5}" for n in range(10)]


async def test_votes_repairs_and_ties_are_counted(tmp_path, monkeypatch):
    project(tmp_path, "scripted:voting_script:votes", 3)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "voting_script.py").write_text(VOTES)
    (tmp_path / "task.toml").write_text((tmp_path / "task.toml").read_text() + "samples = 4\ntemperature = 0.7\n")
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"id": text, "input": text}) + "\n" for text in ("a", "a tie"))
    )
    report = (await label(tmp_path)).report
    assert report.rejected == {"tie: 2 answers have 2 of 4 votes each": 1}
    (row,) = labelled(tmp_path)
    assert (row["teacher_label"], row["teacher_confidence"], row["teacher_scores"]) == (
        "good",
        0.75,
        {"good": 0.75, "bad": 0.25},
    )
    assert row["provenance"]["parameters"] == {"temperature": 0.7, "max_tokens": 512, "samples": 4}
    assert report.with_scores == 1

    (tmp_path / "place.json").write_text(json.dumps({"type": "object", "properties": {"city": {"type": "string"}}}))
    task = '[task]\nname = "place"\ninstruction = "Where?"\noutput = "json"\njson_schema = "place.json"\n[data]\ntrain = "rows.jsonl"\n'
    (tmp_path / "task.toml").write_text(task + '[teacher]\nmodel = "scripted:voting_script:place"\n')
    (tmp_path / "rows.jsonl").write_text(
        "".join(
            json.dumps({"id": text, "input": text}) + "\n" for text in ("plain", "broken", "never one", "never two")
        )
    )
    report = (await label(tmp_path)).report
    assert (report.labelled, report.sent_back, report.repaired) == (2, 3, 1)
    assert report.rejected == {"the reply does not fit the schema, also when sent back": 2}
    assert [row["parsed"] for row in labelled(tmp_path)] == ["strict", "repaired"]


@pytest.mark.slow
def test_ctrl_c_ends_it_with_what_is_kept_and_how_to_go_on(endpoint, tmp_path):
    project(tmp_path, endpoint.url("slow"), 400)
    process = stillhouse("label", tmp_path, "--price-in", 1, "--price-out", 2, wait=False)
    while endpoint.calls().total() < 40:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped by Ctrl-C: " in err and "go on with: stillhouse label" in err and "Traceback" not in err
    before = endpoint.calls().total()
    assert json.loads(stillhouse("label", tmp_path, "--price-in", 1, "--price-out", 2, "--json")[1])["labelled"] == 400
    assert endpoint.calls().total() == 400 and before < 400
