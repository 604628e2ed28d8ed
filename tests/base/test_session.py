from pathlib import Path

import pytest

from stillhouse.errors import UserError
from stillhouse.records import Progress
from stillhouse.session import Session
from stillhouse.settings import TeacherSettings
from stillhouse.task import Task, load_task

TASK = """
[task]
name = "mood"
instruction = "Is it good?"
output = "text"

[teacher]
model = "openai:m"
max_usd = 3.0
samples = 1
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "task.toml").write_text(TASK)
    return tmp_path


def test_the_settings_hold_instead_of_the_task_s_and_none_changes_nothing(folder):
    session = Session(settings={"max_usd": None, "price_in": 1.5, "rationales": True})
    for task in (session.open_task(folder), session.open_task(load_task(folder))):
        assert (task.teacher.max_usd, task.teacher.price_in, task.teacher.rationales) == (3.0, 1.5, True)
    assert session.over(TeacherSettings(max_usd=1.0)).max_usd == 1.0
    assert load_task(folder).teacher.price_in is None


def test_a_setting_that_no_teacher_has_is_refused_by_name():
    with pytest.raises(UserError, match="max_used is no setting of a teacher; allowed are model, max_usd"):
        Session(settings={"max_used": 5.0})


def test_the_teacher_is_the_session_s_else_the_settings_and_its_lack_is_said(folder):
    settings = load_task(folder).teacher
    assert Session().teacher_for(settings, "mood") == "openai:m"
    assert Session(teacher="openai:other").teacher_for(settings, "mood") == "openai:other"
    with pytest.raises(UserError, match="mood: no teacher is named; set `model`"):
        Session().teacher_for(TeacherSettings(), "mood")


def test_replies_are_kept_beside_the_task_unless_another_place_is_named():
    assert Session().store_in(Path("home")) == Path("home") / "stillhouse.db"
    assert Session(store=Path("kept.db")).store_in(Path("home")) == Path("kept.db")


def test_progress_goes_to_whoever_watches():
    seen = []
    Session(on_progress=seen.append).report(2, 5, "asking", 0.5)
    Session().report(2, 5, "asking")
    assert seen == [Progress(2, 5, "asking", 0.5)]


def test_the_fields_beyond_a_task_s_first_four_are_named():
    with pytest.raises(TypeError):
        Task("mood", "Is it good?", "choice", ("good", "bad"), "accuracy")
