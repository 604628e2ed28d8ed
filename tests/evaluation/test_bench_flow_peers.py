"""The table of durable peers in the lab notes is that of the recorded results, and what a run did is judged right."""

import json
from pathlib import Path

from bench.flow_peers import faults, table

ROOT = Path(__file__).parents[2]


def test_the_table_of_the_docs_is_that_of_the_recorded_results():
    recorded = json.loads((ROOT / "bench" / "results" / "flow_peers.json").read_text())
    assert table(recorded) in (ROOT / "docs" / "lab-notes.md").read_text()


def test_what_a_run_did_wrong_is_said():
    right = ["ticket 1", "pay a on ticket 1", "ticket 2", "pay b on ticket 2"]
    assert faults("tickets", right, 0, "") == []
    assert faults("tickets", [*right, "pay a on ticket 2"], 0, "") == ["pays twice", "a branch gets another's ticket"]
    assert faults("tickets", right, 1, "x.y.GoneError: step 4") == ["does not go on (GoneError)"]
    assert faults("question", right, 0, "") == ["does not wait for the person"]
    assert faults("failure", ["charge primary", "charge backup"], 0, "") == ["charges by both"]
    assert faults("timeout", ["sent by plane", "sent by train"], 0, "") == ["sends by both"]
    sent = ["parked", "answered", "send a", "send b"]
    assert faults("approvals", sent, 0, "") == []
    assert faults("approvals", ["parked", "send a", "answered", "send a", "send b"], 0, "") == [
        "sends without approval",
        "sends twice",
    ]
    assert faults("approvals", sent[:3], 0, "") == ["does not send what is allowed"]
