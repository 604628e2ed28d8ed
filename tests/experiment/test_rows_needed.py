"""The test rows that the gate takes are said before a teacher is asked."""

import json

from stillhouse.experiment.rows_needed import rows_plan


def test_the_rows_are_said_before_the_first_label(tmp_path, stillhouse):
    rows = [{"id": str(n), "input": f"row {n}", "label": "good" if n % 3 else "bad"} for n in range(300)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "task.toml").write_text(
        '[task]\nname = "mood"\ninstruction = "?"\noutput = "choice"\nlabels = ["good", "bad"]\n'
        '[data]\ntrain = "rows.jsonl"\n[teacher]\nmodel = "recorded:none.jsonl"\n'
    )
    plan = rows_plan(tmp_path)
    assert plan.needed == 1546 and plan.fewest == 149 and plan.needed_per_class > plan.needed
    assert sum(plan.per_class.values()) == plan.n_test
    for command in ("label", "advise", "distill"):
        found = stillhouse(command, tmp_path)
        assert found.code == 2  # there is no such recording: nothing was asked
        assert (
            f"{plan.n_test} test rows here" in found.err.splitlines()[0] and "about 1,546" in found.err.splitlines()[0]
        )
        assert f"bad {plan.per_class['bad']}" in found.err
