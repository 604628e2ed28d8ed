"""What earlier `advise` runs asked for: the same task's, from whole results, and a warning for what cannot be read."""

from dataclasses import replace

from report_samples import full
from stillhouse.commands.half_steps import half_steps
from stillhouse.results.run_result import to_dict
from stillhouse.results.verdict import HalfStep
from stillhouse.runs import write_json
from stillhouse.task import Task

STEP = HalfStep("linear on gold labels", 1000, 2000)


def written(folder, result):
    folder.mkdir(parents=True)
    write_json(folder / "result.json", to_dict(result))


def test_only_whole_results_of_the_same_task_count(tmp_path):
    result = full()
    asked = replace(result, verdict=replace(result.verdict, half_step=STEP))
    task = replace(Task(result.task, result.instruction, "choice"), metric=result.metric)
    written(tmp_path / f"{task.name}-advise-1", asked)
    written(tmp_path / f"{task.name}-advise-2", result)  # asked for nothing
    written(tmp_path / f"{task.name}-advise-3", replace(asked, instruction="Another question?"))
    written(tmp_path / f"{task.name}-more-advise-1", asked)  # another task's
    written(tmp_path / f"{task.name}-advise-4", asked)  # the run that looks
    (tmp_path / f"{task.name}-advise-5").mkdir()  # killed before it said anything
    assert half_steps(tmp_path, task, besides=tmp_path / f"{task.name}-advise-4") == ([STEP], [])
    assert half_steps(tmp_path / "none", task, besides=tmp_path) == ([], [])


def test_a_damaged_result_is_a_warning(tmp_path):
    task = Task("mood", "Is it good?", "choice")
    (tmp_path / "mood-advise-1").mkdir()
    (tmp_path / "mood-advise-1" / "result.json").write_text("{", encoding="utf-8")
    steps, [warning] = half_steps(tmp_path, task, besides=tmp_path)
    assert steps == [] and warning.startswith(
        f"whether {tmp_path / 'mood-advise-1'} asked for training rows is not known: "
    )
