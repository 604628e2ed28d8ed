"""What a look is: which changes make another plan, which rows were looked at, and what a run does with its look."""

import json
import re
from dataclasses import replace

import pytest

from stillhouse.commands import distill as distill_command
from stillhouse.commands.distill import distill
from stillhouse.evaluation.spending import level_of_look
from stillhouse.event_loop import result_of
from stillhouse.experiment import arms as arms_module
from stillhouse.experiment.looks import Plan, fresh_rows_needed, of_look, take_look
from stillhouse.experiment.material import prepare
from stillhouse.experiment.rows_needed import rows_plan
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.results.row_result import RowResult
from stillhouse.results.run_result import load_result
from stillhouse.session import Session

PARTS = {"train": 0, "validation": 1000, "calibration": 2000, "test": 3000}


def rows(n, start, label=lambda number: "good" if number % 2 else "bad", **more):
    made = (
        {"id": str(i), "input": f"{'sun' if i % 2 else 'rain'} on day {i}", "label": label(i)}
        for i in range(start, start + n)
    )
    return [{**row, "teacher_label": row["label"], **more} for row in made]


def write(path, written):
    path.write_text("".join(json.dumps(row) + "\n" for row in written))


class Project:
    """A task with 40 training and 120 test rows, whose teacher's answers stand in the rows."""

    def __init__(self, folder):
        self.folder = folder
        for part, start in PARTS.items():
            self.rows(part, rows({"train": 40, "test": 120}.get(part, 20), start))
        self.task()

    def rows(self, part, written):
        write(self.folder / f"{part}.jsonl", written)

    def task(self, instruction="Is it good?", metric="accuracy", gate="margin = 0.1", more="", name="mood", data=""):
        files = "".join(f'{part} = "{part}.jsonl"\n' for part in PARTS)
        (self.folder / "task.toml").write_text(
            f'[task]\nname = "{name}"\ninstruction = "{instruction}"\noutput = "choice"\nlabels = ["good", "bad"]\n'
            f'metric = "{metric}"\n[data]\n{files}{data}\n[gate]\n{gate}\n{more}'
        )

    def look(self, seed=0, session=None):
        session = session or Session()
        return take_look(result_of(prepare(session.open_task(self.folder), session)), Plan(seeds=[seed]), session)

    @property
    def k(self):
        return self.look().look.k

    def distil(self, **options):
        return distill(self.folder, runs=self.folder / "runs", **options)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


# What is another plan, and what is the same


def test_the_same_plan_again_is_the_same_look(project):
    assert project.k == 1 and project.k == 1
    assert project.look(seed=1).look.k == 2
    assert project.look(seed=1).look.k == 2 and project.k == 1


OTHER_PLANS = {
    "the instruction": {"instruction": "Is it really good?"},
    "the metric": {"metric": "macro_f1"},
    "the margin": {"gate": "margin = 0.2"},
    "the level": {"gate": "margin = 0.1\nlevel = 0.9"},
    "the classes that are tested": {"gate": 'margin = 0.1\nclasses = "none"'},
    "a cascade's budget": {"gate": "margin = 0.1\nharm = 0.1"},
    "the ladder": {"more": '[student]\nladder = ["majority"]\n'},
    "how students learn": {"more": "[student]\nlearning_rate = 0.5\n"},
    "whose labels they learn": {"more": '[student]\nlearn_from = "teacher"\n'},
    "how the teacher is asked": {"more": "[teacher]\nsamples = 3\ntemperature = 0.7\n"},
}


@pytest.mark.parametrize("change", OTHER_PLANS)
def test_whatever_changes_the_student_or_the_gate_is_another_plan(change, project):
    assert project.k == 1
    project.task(**OTHER_PLANS[change])
    assert project.k == 2


SAME_PLAN = {
    "money": {"more": "[money]\ncalls_per_day = 5.0\nright_answer_usd = 2.0\n"},
    "caps and pace": {"more": "[teacher]\nmax_usd = 5.0\nconcurrency = 3\nprice_in = 2.0\n"},
    "its name": {"name": "other"},
}


@pytest.mark.parametrize("change", SAME_PLAN)
def test_what_changes_neither_student_nor_gate_spends_nothing(change, project):
    assert project.k == 1
    project.task(**SAME_PLAN[change])
    assert project.k == 1


@pytest.mark.parametrize("part", ["train", "validation", "calibration"])
def test_other_rows_to_learn_from_are_another_plan(part, project):
    assert project.k == 1
    project.rows(part, rows(30, PARTS[part] + 500))
    assert project.k == 2


def test_worked_examples_and_recorded_answers_count_by_what_they_say(project):
    project.task(more='[teacher]\nexamples = "worked.jsonl"\n')
    for label, k in (("good", 1), ("bad", 2), ("good", 1)):
        write(project.folder / "worked.jsonl", [{"input": "sun", "label": label}])
        assert project.k == k


# Which rows were looked at


def test_a_row_is_its_input_whatever_else_is_changed_about_it(project):
    """In any order, under other ids, with other labels, case or blanks, a row that was looked at stays so."""
    assert project.k == 1
    changed = [
        {
            **row,
            "id": f"new {row['id']}",
            "input": f"  {row['input'].upper()} ",
            "label": "bad" if row["label"] == "good" else "good",
        }
        for row in reversed(rows(120, PARTS["test"]))
    ]
    project.rows("test", changed)
    assert project.k == 2


def test_one_shared_row_is_enough_and_rows_that_nobody_looked_at_begin_anew(project):
    assert project.k == 1
    project.rows("test", rows(30, PARTS["test"] + 119))
    assert project.k == 2
    project.rows("test", rows(120, 8000))
    assert project.k == 1


def test_enough_fresh_rows_decide_alone_and_the_same_plan_keeps_them(project):
    assert project.k == 1
    needed = fresh_rows_needed(project.look().task.gate.model_copy(update={"level": 0.95}))
    project.task(gate='margin = 0.1\nclasses = "none"')
    project.rows("test", [*rows(120, PARTS["test"]), *rows(needed - 1, 8000)])
    few = project.look(seed=5)
    assert few.look.k == 2 and len(few.splits.test) == 120 + needed - 1
    project.rows("test", [*rows(120, PARTS["test"]), *rows(needed, 9000)])
    for _ in range(2):
        looked = project.look()
        assert looked.look.k == 1 and len(looked.splits.test) == needed
        assert any(f"the {needed:,} that no plan has looked at decide alone" in said for said in looked.warnings)
    arm = MeasuredArm(
        name="a",
        kind="student",
        test=[RowResult(id=str(i), group=None, gold="good", output="good", score=1.0) for i in (3000, 9000)],
    )
    assert [row.id for row in of_look(looked, arm).test] == ["9000"]
    assert project.look(seed=1).look.k == 4  # of all rows: three plans have looked at some


def test_fresh_rows_that_lack_a_class_do_not_decide_alone(project):
    """A class that failed must not vanish from the test because new rows have none of it."""
    project.task(gate='margin = 0.1\nclasses = "all"')
    assert project.k == 1
    project.rows("test", [*rows(120, PARTS["test"]), *rows(300, 9000, label=lambda _: "good")])
    assert project.k == 2


def test_a_row_of_a_group_that_was_looked_at_is_not_fresh(project):
    project.task(gate='margin = 0.1\nclasses = "none"', data="group_cap = 20")
    project.rows("test", [*rows(110, PARTS["test"]), *rows(10, 3500, group="talk")])
    assert project.k == 1
    project.rows("test", [*rows(1, 3500, group="talk"), *rows(10, 7000, group="talk"), *rows(150, 9000)])
    looked = project.look()
    assert looked.look.k == 1 and {row.group for row in looked.splits.test} == {None}


@pytest.mark.parametrize("copies", ["traffic", None, "files"])
def test_draws_of_traffic_are_never_left_out_because_their_input_was_looked_at(copies, project):
    """What comes most often was looked at first: without it, another thing would be measured."""
    rule = f'copies = "{copies}"' if copies else ""
    project.task(gate='margin = 0.1\nclasses = "none"', data=rule)
    assert project.k == 1
    again = [{**row, "id": f"again {row['id']}"} for row in rows(120, PARTS["test"])]
    project.rows("test", [*rows(120, PARTS["test"]), *again, *rows(150, 9000)])
    looked = project.look()
    assert (looked.look.k, len(looked.splits.test)) == ((1, 150) if copies == "files" else (2, 390))


def test_rows_that_are_left_out_count_in_no_way(project):
    """Two rows of a new input are counted in two ways; the rows of the old plan are in neither."""
    project.task(gate='margin = 0.1\nclasses = "none"')
    assert project.k == 1
    twice = [{**row, "id": f"again {row['id']}"} for row in rows(20, 9000)]
    project.rows("test", [*rows(120, PARTS["test"]), *rows(150, 9000), *twice])
    looked = project.look()
    kept = {row.id for row in looked.splits.test}
    assert looked.look.k == 1 and len(kept) == 170
    assert looked.splits.readings["test"] and all(way.groups.keys() <= kept for way in looked.splits.readings["test"])


def test_from_the_third_look_on_fresh_rows_are_asked_for_and_how_many(project):
    said = [" ".join(project.look(seed=seed).warnings) for seed in range(4)]
    assert "fresh" not in said[0] + said[1]
    needed = fresh_rows_needed(project.look().task.gate.model_copy(update={"level": 0.95}))
    assert (
        f"2 other plans have looked at these test rows, so this one takes 99.85% confidence; bring about {needed} fresh"
        in said[2]
    )
    assert "3 other plans" in said[3]


def test_fresh_test_rows_do_not_make_old_calibration_rows_fresh(project):
    for start in (4000, 5000, 6000):
        project.rows("test", rows(120, start))
        looked = project.look()
    assert looked.look.k == 1 and looked.task.gate.level == 0.96
    assert looked.cascade_level == level_of_look(3)
    assert "2 other plans have used these calibration rows" in " ".join(looked.warnings)


# The coming look, in the plan of rows


def test_the_rows_are_planned_with_the_coming_look(project):
    assert rows_plan(project.folder).look == 1 and not (project.folder / "stillhouse.db").exists()
    project.look()
    other = rows_plan(project.folder)
    assert other.level == level_of_look(2) and "99.39% confidence" in " ".join(other.lines) and other.needed > 90
    assert "plan 2 that some of these test rows decide" in " ".join(other.lines)
    again = rows_plan(project.folder, plan=Plan(seeds=[0]))
    assert again.level == 0.96 and "decide" not in " ".join(again.lines)


# A run


def without_money(verdict):
    """The verdict without what follows from the seconds that a call took."""
    return replace(verdict, because=tuple(why for why in verdict.because if not why.startswith("money:")))


@pytest.mark.slow
def test_a_run_says_its_look_and_repeats_its_answer(project):
    first, other, again = project.distil(), project.distil(seed=1), project.distil()
    assert json.loads((first.folder / "result.json").read_text())["look"] == {"k": 1, "level": 0.96}
    assert (other.result.look.k, again.result.look.k) == (2, 1)
    assert without_money(again.result.verdict) == without_money(first.result.verdict)
    assert again.result.arms[-1].gate == first.result.arms[-1].gate
    cascade = other.result.cascade
    assert {arm.gate.level for arm in other.result.arms if arm.gate} == {level_of_look(2)} == {cascade.level}
    gated = next(arm.gate for arm in other.result.arms if arm.gate)
    assert "with 99.39% confidence" in gated.sentence and "95%" not in gated.sentence
    promise = "holds for students that were not chosen by these rows' scores"
    card = next(other.folder.glob("arms/linear*/student/card.md")).read_text()
    for page in (other.report.read_text().replace("&#39;", "'"), card):
        assert re.search(r"99\.39.?%", page) and promise in page and not re.search(r"\b100\W?% confidence", page)


@pytest.mark.slow
def test_a_result_of_an_earlier_version_has_no_look_and_loads(project):
    done = project.distil()
    raw = json.loads((done.folder / "result.json").read_text())
    del raw["look"]
    (done.folder / "result.json").write_text(json.dumps(raw))
    assert load_result(done.folder).look is None


def test_a_run_that_is_killed_before_it_judges_spends_nothing_and_one_killed_after_repeats(project, monkeypatch):
    def killed(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(arms_module, "train_student", killed)
        project.distil(seed=7)
    assert project.look(seed=1).look.k == 1
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(distill_command, "find", killed)
        project.distil(seed=7)
    assert project.look(seed=2).look.k == 3
    assert project.distil(seed=7).result.look.k == 2


def test_rows_that_nothing_is_held_against_are_not_looked_at(project):
    for part, start in PARTS.items():
        project.rows(part, [{**row, "teacher_label": None} for row in rows(40, start)])
    assert project.distil().result.look is None
    for part, start in PARTS.items():
        project.rows(part, rows(40, start))
    assert project.k == 1


@pytest.mark.slow
def test_distil_after_advise_repeats_its_look_where_it_trains_the_same_student(project):
    from stillhouse.commands.advise import advise

    advice = advise(project.folder, runs=project.folder / "runs", seeds=3, workers=1)
    assert advice.result.look.k == 1
    followed = project.distil(advice=advice.folder)
    assert followed.result.look == advice.result.look
    gates = [next(arm.gate for arm in done.result.arms if arm.gate) for done in (advice, followed)]
    assert gates[0].answer == gates[1].answer and gates[0].p <= gates[1].p + 1e-12
    assert project.distil(advice=advice.folder, seed=1).result.look.k == 2
    assert advise(project.folder, runs=project.folder / "runs", seeds=3, workers=1).result.look.k == 1
    assert advise(project.folder, runs=project.folder / "runs", seeds=4, workers=1).result.look.k == 3
