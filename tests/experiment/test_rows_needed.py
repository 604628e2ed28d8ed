"""The test rows that the gate takes are said before a teacher is asked."""

import json

import pytest

from stillhouse.data.copies import UNSEEN
from stillhouse.data.splits import load_splits
from stillhouse.experiment.looks import Plan
from stillhouse.experiment.rows_needed import rows_plan
from stillhouse.task import load_task


def test_the_rows_are_said_before_the_first_label(tmp_path, stillhouse):
    rows = [{"id": str(n), "input": f"row {n}", "label": "good" if n % 3 else "bad"} for n in range(300)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.toml").write_text(
        '[task]\nname = "mood"\ninstruction = "?"\noutput = "choice"\nlabels = ["good", "bad"]\n'
        '[data]\ntrain = "rows.jsonl"\n[teacher]\nmodel = "recorded:none.jsonl"\n'
    )
    plan = rows_plan(tmp_path)
    assert plan.needed == 1715 and plan.fewest == 160 and plan.needed_per_class > plan.needed
    assert sum(plan.per_class.values()) == plan.n_test
    for command in ("label", "advise", "distill"):
        found = stillhouse(command, tmp_path)
        assert found.code == 2  # there is no such recording: nothing was asked
        assert (
            f"{plan.n_test} test rows here" in found.err.splitlines()[0] and "about 1,715" in found.err.splitlines()[0]
        )
        assert f"bad {plan.per_class['bad']}" in found.err


@pytest.mark.parametrize("copies", ["traffic", "files", None])
@pytest.mark.parametrize("apart", [False, True], ids=["one file", "a test file that overlaps"])
def test_the_rows_that_are_said_are_those_that_will_measure(tmp_path, copies, apart):
    """Where copies are read in two ways, those of the way that has fewer."""
    rows = [{"id": f"r{n}", "input": f"row {n % 200}", "label": "good"} for n in range(300)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[: 150 if apart else 300]))
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[150:] + rows[:9]))
    data = (f'copies = "{copies}"\n' if copies else "") + ('test = "test.jsonl"\n' if apart else "")
    task = tmp_path / "task.toml"
    task.write_text(f'[task]\nname = "mood"\ninstruction = "?"\noutput = "text"\n[data]\ntrain = "rows.jsonl"\n{data}')
    coming = Plan(seeds=[0], drop_overlap=apart)
    plan, splits = rows_plan(task, plan=coming), load_splits(load_task(task), drop_overlap=apart)
    for part, rows, n in (("test", splits.test, plan.n_test), ("calibration", splits.calibration, plan.n_calibration)):
        ways = [len(reading.groups) for reading in splits.readings.get(part, ()) if reading.name != UNSEEN]
        assert n == min(ways, default=len(rows))
