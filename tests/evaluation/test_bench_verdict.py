"""bench/verdict.py in small: the right verdict on every simulated task, null students, the crossover's interval, peeking."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    import bench.verdict as module

    return module


@pytest.mark.slow
def test_verdicts_on_tasks_with_a_known_answer(bench):
    """Two draws of each of the 18 tasks: at 5 % wrong, more than 5 of 36 come once in 100 times."""
    found = bench.tasks(2)
    assert len(found) >= 8
    assert sum(round(one["share_wrong"] * one["draws"]) for one in found) <= 5, [one for one in found if one["share_wrong"]]
    assert {kind for one in found for kind in one["verdicts"]} >= {"finetune", "cascade", "few-shot", "keep prompt"}


@pytest.mark.slow
def test_null_students_and_peeking(bench):
    assert all(one["passed"] <= 0.25 for one in bench.null_gate(16))  # five of 16 by chance: once in 1,000
    assert all(one["false_alarms"] <= 0.12 for one in bench.peeking(40, 200))


def test_the_tables_name_every_n(bench):
    found = {
        "tasks": [{"task": "t", "right": ["distil"], "verdicts": {"distil": 2}, "share_right": 1.0, "share_wrong": 0.0, "draws": 2}],
        "null_gate": [{"students": "s", "margin": 0.02, "passed": 0.04, "trials": 2000}],
        "coverage": [{"true_n_star": 90.5, "seeds": 3, "test_rows": 150, "covered": 0.95, "draws": 400}],
        "peeking": [{"alarm": "pass", "margin": 0.02, "differ": 0.1, "rows": 600, "false_alarms": 0.01, "trials": 2000}],
    }
    text = bench.table(found)
    assert text.count("n = ") == 4 and "None" not in text
    assert sys.modules["bench.verdict"] is bench
