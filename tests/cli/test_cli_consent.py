"""`stillhouse label` before it spends: what it asks, what it prints, and what a pipeline without a terminal gives it."""

import contextlib
import json
import os
import pty
import subprocess
import sys

import pytest

from mood_task import MOOD

TASK = (
    MOOD
    + """
[teacher]
model = "{model}"
"""
)


@pytest.fixture
def mood(endpoint, tmp_path):
    (tmp_path / "task.toml").write_text(TASK.format(model=endpoint.url()))
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"id": f"r{i}", "input": f"day {i} was good"}) + "\n" for i in range(40))
    )
    return tmp_path


PRICED = ("--price-in", 1, "--price-out", 2)


def test_without_a_terminal_and_without_consent_nothing_is_paid(stillhouse, endpoint, mood):
    ran = stillhouse("label", mood, *PRICED)
    assert ran.code == 2
    assert "40 calls of" in ran.err and "give --yes, or a cap with --max-usd" in ran.err
    assert endpoint.calls().total() == 0


@pytest.mark.parametrize("consent", [("--yes",), ("-y",), ("--max-usd", 5)])
def test_consent_on_the_command_line_prints_the_estimate_and_goes_on(stillhouse, endpoint, mood, consent):
    ran = stillhouse("label", mood, *PRICED, *consent, "--json")
    assert ran.code == 0
    assert (
        "will cost about $0.00096 (95% interval $0.00096 to $0.00096, 20 rows asked); price: given by the user"
        in ran.err.replace("\n", " ")
    )
    assert (ran.json["labelled"], ran.json["from_store"]) == (40, 0)


def test_an_unknown_price_is_refused_with_every_consent_but_the_one_for_it(stillhouse, endpoint, mood):
    for consent in ((), ("--yes",)):
        ran = stillhouse("label", mood, *consent)
        assert ran.code == 2
        assert "no price is known for" in ran.err and "--price-in" in ran.err and "--unpriced" in ran.err
    assert endpoint.calls().total() == 0
    ran = stillhouse("label", mood, "--unpriced", "--json")
    assert (ran.code, ran.json["labelled"], ran.json["cost_usd"]) == (0, 40, None)


def test_what_is_in_the_store_needs_no_consent(stillhouse, mood):
    stillhouse("label", mood, "--unpriced")
    ran = stillhouse("label", mood, "--json")
    assert (ran.code, ran.json["from_store"]) == (0, 40)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--max-usd", "-1"), ("--max-usd", "nan"), ("--price-in", "-1"), ("--price-in", "nan"), ("--price-in", "inf")],
)
def test_sums_that_are_none_are_refused(stillhouse, endpoint, mood, option, value):
    options = {"--price-in": 1, "--price-out": 2, "--max-usd": 5} | {option: value}
    ran = stillhouse("label", mood, *[part for pair in options.items() for part in pair])
    assert ran.code == 2
    assert "US$" in ran.err
    assert endpoint.calls().total() == 0


def test_a_budget_of_zero_buys_nothing_and_still_reads_the_store(stillhouse, endpoint, mood):
    ran = stillhouse("label", mood, *PRICED, "--max-usd", 0)
    assert ran.code == 1
    assert "would pass the cap of $0" in ran.err
    assert endpoint.calls().total() == 0
    stillhouse("label", mood, *PRICED, "--yes")
    assert stillhouse("label", mood, *PRICED, "--max-usd", 0).code == 0


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "code", "calls"), [("y", 0, 40), ("n", 1, 20)])
def test_on_a_terminal_the_estimate_is_a_question(endpoint, mood, answer, code, calls):
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "stillhouse", "label", str(mood), *map(str, PRICED)]
    process = subprocess.Popen(command, stdin=slave, stdout=subprocess.PIPE, stderr=slave, text=True)
    os.close(slave)
    os.write(master, f"{answer}\n".encode())
    seen = b""
    with contextlib.suppress(OSError):  # Linux's way to say that the other end is closed
        while piece := os.read(master, 65536):
            seen += piece
    out, _ = process.communicate(timeout=60)
    os.close(master)
    assert process.returncode == code
    assert "Go on? [y/N]" in seen.decode()
    assert endpoint.calls().total() == calls
    assert ("40 of 40 rows labelled" in out) == (answer == "y")


@pytest.fixture
def gold_mood(endpoint, tmp_path):
    """Rows with gold labels, so that the teacher is asked only to be compared with."""
    settings = 'split = [0.1, 0.2, 0.3]\n\n[student]\nladder = ["majority"]\nlearn_from = "gold"\n\n[teacher]'
    (tmp_path / "task.toml").write_text(TASK.format(model=endpoint.url()).replace("[teacher]", settings))
    rows = [
        {"id": f"r{i}", "input": f"day {i} was {'fine' if i % 2 else 'grey'}", "label": "good" if i % 2 else "bad"}
        for i in range(200)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize("command", ["distill", "advise"])
def test_whoever_compares_with_a_teacher_that_bills_is_asked_as_well(stillhouse, endpoint, gold_mood, command):
    runs = ("--runs", gold_mood / "runs")
    refused = stillhouse(command, gold_mood, *PRICED, *runs)
    assert refused.code == 2
    assert "100 calls of" in refused.err and "give --yes, or a cap with --max-usd" in refused.err
    assert endpoint.calls().total() == 0
    unpriced = stillhouse(command, gold_mood, "--yes", *runs)
    assert unpriced.code == 2 and "no price is known for" in unpriced.err and endpoint.calls().total() == 0


@pytest.mark.slow
def test_advise_tells_what_the_plain_prompt_and_then_those_with_examples_will_cost(stillhouse, endpoint, gold_mood):
    ran = stillhouse(
        "advise",
        gold_mood,
        *PRICED,
        "--yes",
        "--max-shots",
        2,
        "--seeds",
        3,
        "--sizes",
        "16,32",
        "--runs",
        gold_mood / "runs",
        "--json",
    )
    said = ran.err.replace("\n", " ")
    assert ran.code == 0, said
    assert "100 calls of" in said and "95% interval" in said
    assert (
        "360 calls of" in said and "with examples in the prompt will cost about $" in said
    )  # 60 test rows, 3 draws, 1 and 2 examples
    assert endpoint.calls().total() == 100 + 360


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_command_that_got_no_label_at_all_fails_and_names_no_next_step(stillhouse, endpoint, mood, form):
    (mood / "task.toml").write_text(TASK.format(model=endpoint.url("length")))
    (mood / "rows.jsonl").write_text('{"id": "r", "input": "day 1 was good"}\n')
    ran = stillhouse("label", mood, *PRICED, *form)
    assert (ran.code, "cut off at max_tokens" in ran.out, "next:" in ran.out) == (1, True, False)


@pytest.fixture
def answered(gold_mood):
    """The rows of `gold_mood`, and answers to them on disk."""
    rows = [json.loads(line) for line in (gold_mood / "rows.jsonl").read_text().splitlines()]
    (gold_mood / "b.jsonl").write_text(
        "".join(json.dumps({"id": row["id"], "answer": f"{row['label']} indeed"}) + "\n" for row in rows)
    )
    return gold_mood


def spending(endpoint, folder):
    """Commands that ask 200 rows of the endpoint."""
    task, rows = ("--task", folder / "task.toml"), folder / "rows.jsonl"
    none = ("--people", "none", "--runs", folder / "runs")
    return {
        "evaluate": ("evaluate", endpoint.url(), rows, *task),
        "compare": ("compare", endpoint.url(), folder / "b.jsonl", rows, *task, *none),
        "judge": ("compare", folder / "a.jsonl", folder / "b.jsonl", rows, "--judge", endpoint.url(), *none),
    }


@pytest.mark.parametrize("which", ["evaluate", "compare", "judge"])
def test_every_command_that_asks_many_rows_is_agreed_to_as_label_is(stillhouse, endpoint, answered, which):
    (answered / "a.jsonl").write_text((answered / "b.jsonl").read_text().replace(" indeed", ""))
    command = spending(endpoint, answered)[which]
    n = 400 if which == "judge" else 200
    unpriced = stillhouse(*command, "--yes")
    assert (unpriced.code, endpoint.calls().total()) == (2, 0)
    assert "no price is known for" in unpriced.err and "--price-in" in unpriced.err
    refused = stillhouse(*command, *PRICED)
    assert (refused.code, endpoint.calls().total()) == (2, 0)
    assert f"{n} calls of" in refused.err and "give --yes, or a cap with --max-usd" in refused.err
    capped = stillhouse(*command, *PRICED, "--max-usd", "0.0001")
    assert capped.code == 1
    assert "would pass the cap" in capped.err
    assert endpoint.calls().total() < 20
    told = stillhouse(*command, *PRICED, "--yes")
    said = told.err.replace("\n", " ")
    if which == "judge":  # the fake's words are no choice of a judge, so the pilot ends it
        assert told.code == 1 and "no more are paid for" in said
    else:
        assert "will cost about $" in said and "20 rows asked" in said and "given by the user" in said
        assert told.code == 0
        assert endpoint.calls().total() == n
        assert "paid now: $" in told.out


@pytest.mark.slow
def test_the_rows_that_a_cascade_sends_on_are_agreed_to(stillhouse, endpoint, gold_mood):
    run = gold_mood / "runs"
    told = stillhouse("distill", gold_mood, *PRICED, "--yes", "--runs", run, "--json")
    folder = next(run.glob("mood-distill-*"))
    cascade = folder / "cascade.json"
    if not cascade.is_file():
        student = next(folder.glob("arms/*/student")).relative_to(folder)
        facts = {"format": 1, "task_file": str(gold_mood / "task.toml"), "student": str(student)}
        cascade.write_text(
            json.dumps({**facts, "teacher": endpoint.url(), "threshold": 1.0, "budget": 0.02, "level": 0.95, "n": 300})
        )
    (gold_mood / "stillhouse.db").unlink()
    before = endpoint.calls().total()
    refused = stillhouse("evaluate", f"cascade:{folder}", gold_mood / "rows.jsonl", "--anyway", *PRICED)
    assert (refused.code, endpoint.calls().total()) == (2, before), told.err
    assert "200 calls of" in refused.err
