"""docs/advise.md: its task file is one, and means what the page says."""

from pathlib import Path

from docs_code import blocks
from stillhouse.experiment.arms import arm_name
from stillhouse.experiment.few_shot import DRAWS, UNASKED, shots_name
from stillhouse.experiment.training_sets import LEAST_ROWS, MORE_ROWS
from stillhouse.student.job import family_of
from stillhouse.student.prompted import PATTERN, _checked
from stillhouse.task import load_task

PAGE = Path(__file__).parent.parent.parent / "docs" / "advise.md"


def test_the_task_file_loads_and_its_pattern_can_be_scored(tmp_path):
    [toml] = blocks(PAGE, "toml")
    (tmp_path / "task.toml").write_text(toml)
    task = load_task(tmp_path)
    assert [family_of(spec) for spec in task.ladder] == ["encoder", "prompted"]
    assert _checked(task.student.pattern, masked=False) == task.student.pattern
    assert set(task.student.verbalizer) == set(task.labels)


def test_the_page_uses_the_names_and_numbers_of_the_code():
    text = PAGE.read_text()
    assert f"`{arm_name('STUDENT', 'teacher', MORE_ROWS)}`" in text
    assert f"`{shots_name(2).replace('2', 'k')}`" in text
    assert f"at least {LEAST_ROWS} training rows" in text
    assert f"{DRAWS} draws" in text and f"`max_shots`, {UNASKED}." in text
    assert PATTERN.replace("\n", "\\n") in text
