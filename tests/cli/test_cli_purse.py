"""One purse per command: one quote, one consent, one cap and one total for all that it pays for."""

import json
from pathlib import Path

import pytest
from test_cli_win_rate import measured_at_once

PRICED = ("--price-in", 1, "--price-out", 2)
A_CALL = (20 * 1 + 2 * 2) / 1e6  # US$, of the fake endpoint
TASK = """
[task]
name = "say"
instruction = "Say it."
output = "text"
metric = "{metric}"

[data]
train = "rows.jsonl"
split = [0.1, 0.1, 0.3]

[student]
ladder = ["generative:scratch:tiny"]
learn_from = "gold"

[teacher]
model = "{teacher}"
samples = {samples}
temperature = 0.7

[gate]
judge = "{judge}"
"""


@pytest.fixture
def project(endpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stillhouse.commands.distill.student_arm", measured_at_once)

    def write(n=120, metric="win_rate", samples=1, judge="judge"):
        (tmp_path / "task.toml").write_text(
            TASK.format(metric=metric, teacher=endpoint.url(), judge=endpoint.url(judge), samples=samples)
        )
        rows = [{"id": f"r{i}", "input": f"day {i}", "label": f"day {i}"} for i in range(n)]
        for name, key in (("rows", "label"), ("other", "answer")):
            lines = [json.dumps({"id": row["id"], "input": row["input"], key: row["label"]}) for row in rows]
            (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
        return tmp_path

    return write


@pytest.mark.slow
def test_labels_and_judge_are_one_quote_one_cap_and_one_total(stillhouse, endpoint, project):
    """48 labels are asked (36 test rows, 12 for calibration), and 72 questions for the judge."""
    project()
    refused = stillhouse("distill", ".", *PRICED)
    assert (refused.code, endpoint.calls().total()) == (2, 0)
    assert "48 calls of" in refused.err and "and up to 72 of" in refused.err
    capped = stillhouse("distill", ".", *PRICED, "--max-usd", 0.0037)
    assert capped.code == 1 and "would pass the cap of $0.0037" in " ".join(capped.err.split())
    before = endpoint.calls().total()
    assert 48 < before < 48 + 72  # one cap: the judge has what the labels left of it
    done = stillhouse("distill", ".", *PRICED, "--yes", "--json")
    assert endpoint.calls().total() == 48 + 72, done.err
    provenance = done.json["result"]["provenance"]
    assert provenance["paid"] == {"labels": 0, "the judge": pytest.approx((48 + 72 - before) * A_CALL)}
    manifest = json.loads((Path(done.json["run"]) / "manifest.json").read_text())
    assert manifest["cost_usd"] == pytest.approx((48 + 72 - before) * A_CALL)
    assert "Paid now" in Path(done.json["report"]).read_text()


@pytest.mark.slow
def test_one_quote_tells_all_that_follows_and_what_is_small_alone_counts_in_the_sum(stillhouse, endpoint, project):
    folder = project()
    told = " ".join(stillhouse("distill", ".", *PRICED, "--yes").err.split())
    assert "48 calls of" in told and f"then up to 72 calls of {endpoint.url('judge')} for about $" in told
    assert "in all; price: given by the user" in told
    # The labels are in the store: the judge alone is still asked about, before anything is trained.
    project(judge="judge-again")
    again = stillhouse("distill", ".", *PRICED)
    assert (again.code, endpoint.calls().total()) == (2, 120) and "72 calls of" in again.err
    # 8 rows, two sides and a judge: 8 + 8 + 16 calls, and each of them alone would be asked without a word.
    (folder / "stillhouse.db").unlink()
    few = (folder / "rows.jsonl").read_text().splitlines()[:8]
    (folder / "few.jsonl").write_text("\n".join(few) + "\n")
    sides = (endpoint.url("ok"), endpoint.url("slow"), folder / "few.jsonl", "--task", "task.toml")
    judging = ("--judge", endpoint.url("judge"), "--people", "none")
    refused = stillhouse("compare", *sides, *judging, *PRICED)
    assert (refused.code, endpoint.calls().total()) == (2, 120), refused.err
    assert "8 calls of" in refused.err and "up to 8 of" in refused.err and "up to 16 of" in refused.err


def test_samples_are_counted_as_calls(stillhouse, endpoint, project):
    """12 rows of 5 samples are 60 calls, of which 12 go ahead."""
    folder = project(n=12, metric="rouge_l", samples=5)
    asking = ("evaluate", endpoint.url(), folder / "rows.jsonl", "--task", "task.toml", *PRICED)
    refused = stillhouse(*asking)
    assert (refused.code, endpoint.calls().total()) == (2, 0) and "60 calls of" in refused.err
    told = stillhouse(*asking, "--yes")
    assert told.code == 0 and "60 calls of" in told.err and "$0.0014 (95% interval" in " ".join(told.err.split())
    assert endpoint.calls().total() == 60
