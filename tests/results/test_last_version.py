"""What the last version wrote still opens: results, tests of flows, and the arms of a run that was killed.

The files in `data/` are that version's own, of small runs of `advise`, `distill` and `test`, and one result that has
every section.
"""

import json
from datetime import date
from pathlib import Path

import pytest

from stillhouse.report.result_page import render
from stillhouse.report.test_page import render_test
from stillhouse.results.flow_test import load_rows, load_tested, to_json
from stillhouse.results.measured_arm import ControlOf, ShownExamples, read_arm, write_arm
from stillhouse.results.run_result import load_result, to_dict

DATA = Path(__file__).parent / "data"
RESULTS = sorted(DATA.glob("result-*.json"))


def without_additions(new, old):
    """`new` with what `old` has no name for left out: a later version may add, but not take away or rename."""
    if isinstance(old, dict):
        return {name: without_additions(new[name], value) for name, value in old.items()}
    if isinstance(old, list):
        assert len(new) == len(old)
        return [without_additions(one, other) for one, other in zip(new, old, strict=True)]
    return new


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_result_loads_with_every_value_and_is_written_again_under_the_same_names(path):
    old = json.loads(path.read_text())
    assert without_additions(to_dict(load_result(path)), old) == old


def test_there_are_results_of_every_kind():
    assert [path.stem for path in RESULTS] == ["result-advise", "result-distill", "result-every-section"]
    advised, distilled, every = map(load_result, RESULTS)
    assert advised.curves.crossovers and advised.curves.few_shot.points and advised.cascade.threshold is not None
    assert distilled.verdict.kind == "collect more" and distilled.chosen is None
    [even] = [even for even in distilled.money.break_even if even.arm == "linear on gold labels"]
    assert even.day == date(2026, 12, 27) and even.pays_off
    assert every.chosen == every.verdict.chosen == "encoder:minilm" and every.win_rates


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_its_page_can_be_drawn_again(path):
    result = load_result(path)
    assert result.task in render(result)


def test_a_test_of_a_flow_loads_with_every_value_and_is_the_baseline_of_another():
    path = DATA / "tests-of-a-flow.json"
    old, tested = json.loads(path.read_text()), load_tested(path)
    new = json.loads(json.dumps(to_json(tested)))
    assert (new.pop("outcome"), new.pop("not_compared")) == ("failed", [])  # 0.1.0 had none of these
    assert [part.pop("unchanged") for part in new["against"]] == [False] * len(old["against"])
    asked = [case.pop("asked") for part in new["parts"] for case in part["rows"]]
    assert set(asked) == {None}  # 0.1.0 did not keep it
    assert new == old
    assert load_rows(path)["route"]["case 80"].score == 0.0
    assert tested.missing[0].why == "no answer" and tested.gap.n_calls == 90
    assert "There are 3." in render_test(tested)


def test_a_students_arm_loads_and_is_written_again_as_it_was(tmp_path):
    arm = read_arm(DATA / "arms" / "student")
    assert (arm.name, arm.kind, arm.model, arm.n_train) == ("linear on gold labels", "student", "linear", 78)
    assert (arm.seed, arm.rows, arm.control, arm.examples) == (0, "", None, None)
    assert (arm.training.best_validation, arm.training.n_parameters) == (1.0, 1456)
    assert len(arm.test) == 40 and len(arm.calibration) == 30 and len(arm.others["other"]) == 12
    write_arm(tmp_path, arm)
    assert read_arm(tmp_path) == arm
    again, old = (json.loads((folder / "arm.json").read_text()) for folder in (tmp_path, DATA / "arms" / "student"))
    assert {**again, "facts": None} == {**old, "facts": None}
    assert set(old["facts"]) - set(again["facts"]) == {"keep", "n_train"}  # no reader ever asked for these
    assert again["facts"].items() <= old["facts"].items()


def test_the_arm_of_a_prompt_with_examples_loads():
    arm = read_arm(DATA / "arms" / "few-shot")
    assert arm.examples == ShownExamples(k=2, seed=0, n_shots=2, shots=("day7", "day104"))
    assert (arm.kind, arm.seed, arm.training, arm.control) == ("few-shot", 0, None, None)
    assert arm.model == "scripted:teacher_mod:mood"


def test_the_arm_of_a_control_loads(tmp_path):
    write_arm(tmp_path, read_arm(DATA / "arms" / "student"))
    raw = json.loads((tmp_path / "arm.json").read_text())
    raw["facts"] |= {"control": "labels alone for the same time", "control_of": "generative:x on gold labels"}
    (tmp_path / "arm.json").write_text(json.dumps(raw))
    arm = read_arm(tmp_path)
    assert arm.control == ControlOf(of="generative:x on gold labels", lacks="labels alone for the same time")
    write_arm(tmp_path, arm)
    assert read_arm(tmp_path) == arm
