"""The test rows that the gate takes are said before a teacher is asked."""

import asyncio
import json
import sqlite3
from dataclasses import replace

import pytest

from stillhouse.data.copies import UNSEEN
from stillhouse.data.splits import load_splits
from stillhouse.evaluation.margin_gate import rows_needed
from stillhouse.evaluation.win_rate import rows_for_win_rate
from stillhouse.experiment.looks import Plan
from stillhouse.experiment.material import prepare
from stillhouse.experiment.rows_needed import rows_plan
from stillhouse.session import Session
from stillhouse.task import load_task


def test_the_rows_are_said_before_the_first_label(tmp_path, stillhouse, monkeypatch):
    monkeypatch.setattr("stillhouse.experiment.forecast._paces", lambda *_: None)  # `advise` times no training here
    rows = [{"id": str(n), "input": f"row {n}", "label": "good" if n % 3 else "bad"} for n in range(300)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.toml").write_text(
        '[task]\nname = "mood"\ninstruction = "?"\noutput = "choice"\nlabels = ["good", "bad"]\n'
        '[data]\ntrain = "rows.jsonl"\n[teacher]\nmodel = "recorded:none.jsonl"\n'
    )
    plan = rows_plan(tmp_path)
    assert plan.needed == 1715 and plan.fewest == 160 and plan.needed_per_class > plan.needed
    assert sum(plan.per_class.values()) == plan.n_test
    assert "(how many there are is not known yet)" in replace(plan, per_class={}).lines[1]  # no row has gold
    for command in ("label", "advise", "distill"):
        found = stillhouse(command, tmp_path)
        assert found.code == 2  # there is no such recording: nothing was asked
        assert (
            f"{plan.n_test} test rows here" in found.err.splitlines()[0] and "about 1,715" in found.err.splitlines()[0]
        )
        assert f"bad {plan.per_class['bad']}" in found.err
        said = found.err.splitlines()[: len(plan.lines)]
        assert said == plan.lines and len(said) == 3 and all(len(line) <= 80 for line in said)


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


@pytest.mark.parametrize("copies", ["traffic", None])
def test_rows_that_nothing_can_score_are_not_counted(tmp_path, copies):
    """Gold that does not run, and rows without gold beside rows that have it, measure nothing."""
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.executescript("CREATE TABLE t(a INT); INSERT INTO t VALUES (1), (2)")

    def row(name, n, label="SELECT a FROM t"):
        return {"id": f"{name}{n}", "input": f"{name} {n % 30}", "label": label}

    odd = {3: "SELECT nope FROM nowhere", 5: None, 9: "DROP TABLE t", 33: "SELECT nope FROM nowhere"}
    rows = {"train": 60, "validation": 20, "calibration": 36, "test": 40}
    for name, n in rows.items():
        own = odd if name in ("calibration", "test") else {}
        of_part = [row(name, i, own.get(i, "SELECT a FROM t")) for i in range(n)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in of_part))
    named = "".join(f'{name} = "{name}.jsonl"\n' for name in rows)
    (tmp_path / "task.toml").write_text(
        '[task]\nname = "shop"\ninstruction = "?"\noutput = "text"\nmetric = "sql_execution"\ndatabase = "shop.db"\n'
        f"[data]\n{named}" + (f'copies = "{copies}"\n' if copies else "") + '[student]\nlearn_from = "gold"\n'
    )
    plan = rows_plan(tmp_path)
    # Of each part four rows are odd. Inputs 0 to 9 come twice among the test rows, 0 to 5 among the others; with
    # another label, a row of the same input counts as well.
    assert (plan.n_test, plan.n_calibration) == ((36, 32) if copies else (29, 28))
    answers = [json.dumps({"id": f"{name}{i}", "teacher_label": "SELECT a FROM t"}) for name in rows for i in range(60)]
    (tmp_path / "answers.jsonl").write_text("\n".join(answers))
    material = asyncio.run(prepare(load_task(tmp_path / "task.toml"), Session(teacher="recorded:answers.jsonl")))
    ways = material.splits.readings.get("test", ())
    measured = [sum(row.id in way.groups for row in material.splits.test) for way in ways]
    assert plan.n_test == min(measured, default=len(material.splits.test))


def test_without_gold_the_rows_are_planned_for_agreement(tmp_path):
    """Who differs from the prompt is worse by that: a student that differs on 10 % never passes at a margin of 2 points."""
    rows = [{"id": str(n), "input": f"row {n}", "teacher_label": "good" if n % 3 else "bad"} for n in range(300)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.toml").write_text(
        '[task]\nname = "mood"\ninstruction = "?"\noutput = "choice"\nlabels = ["good", "bad"]\n'
        '[data]\ntrain = "rows.jsonl"\n[gate]\nclasses = "none"\n'
    )
    plan = rows_plan(tmp_path)
    assert plan.by_agreement and plan.needed == rows_needed(0.01, -0.01, 0.02, 0.96)
    assert f"about {plan.needed:,} needed" in plan.lines[0]
    assert plan.lines[1] == "  no test row has gold, so agreement with the prompt counts"
    assert all(len(line) <= 80 for line in plan.lines)


def test_groups_and_scores_in_between_are_planned_by_the_bound_that_decides_on_them(tmp_path):
    """As if both stood alone and were right or wrong, four of five runs with as many rows would not tell."""

    def plan(more, task="", of="choice", labels='labels = ["good", "bad"]\n', **columns):
        rows = [
            {"id": str(n), "input": f"row {n}", "label": "good" if n % 3 else "bad"}
            | {name: value(n) for name, value in columns.items()}
            for n in range(900)
        ]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "task.toml").write_text(
            f'[task]\nname = "mood"\ninstruction = "?"\noutput = "{of}"\n{labels}{task}'
            f'[data]\ntrain = "rows.jsonl"\n{more}[gate]\nmargin = 0.05\nclasses = "none"\n'
        )
        return rows_plan(tmp_path)

    alone = plan("")
    assert (alone.needed, alone.n_groups, alone.graded) == (298, None, False) and len(alone.lines) == 2
    grouped = plan("", group=lambda n: f"chat {n // 3}")
    assert grouped.n_groups == 60 and grouped.needed == 426  # 242 of 300 simulated students passed
    assert grouped.lines[0].startswith("rows for the gate: 180 test rows here, about 426 needed (")
    assert grouped.lines[1] == "  in 60 groups: planned for such, whose rows differ apart; if alike, more"
    # in groups of 3, for a harm of 2 % at 96 %: 3.22 / log(1 + 0.02 / 0.98) x 3
    assert grouped.fewest_calibration == 478 and alone.fewest_calibration == 160
    wide = plan("group_cap = 12\n", group=lambda n: f"chat {n // 30}")
    assert wide.needed > grouped.needed and wide.n_test == 12 * wide.n_groups  # what the cap leaves is what there is
    graded = plan("", 'metric = "rouge_l"\n', of="text", labels="")
    assert graded.graded and graded.needed > alone.needed
    assert graded.lines[1] == "  as if scores differed wholly on 10% of the rows; if by less, fewer"
    judged = plan("", 'metric = "win_rate"\n', of="text", labels="")
    assert judged.needed == rows_for_win_rate(0.5, 0.25, 0.05, 0.96) and not judged.graded
    assert max(len(line) for plan in (grouped, wide, graded, judged) for line in plan.lines) <= 80
