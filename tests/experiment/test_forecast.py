"""`advise` says first how many trainings it will make, and about how long they take."""

from dataclasses import replace

import pytest

from stillhouse.data.dataset import write_examples
from stillhouse.data.splits import load_splits
from stillhouse.demo.grammar import make_rows
from stillhouse.event_loop import result_of
from stillhouse.experiment.forecast import Forecast, forecast
from stillhouse.experiment.material import prepare
from stillhouse.experiment.plans import curve_plans
from stillhouse.session import Session
from stillhouse.student.config import TrainConfig
from stillhouse.student.pace import Pace
from stillhouse.task import load_task

TASK = """
[task]
name = "route"
instruction = "Who answers?"
output = "choice"
labels = ["sql", "search", "chat"]
[data]
train = "train.jsonl"
test = "test.jsonl"
[teacher]
model = "scripted:stillhouse.demo.stand_in:route_teacher"
[student]
ladder = ["linear"]
learn_from = "{learn_from}"
"""


@pytest.mark.slow
@pytest.mark.parametrize("learn_from", ["auto", "gold", "teacher"])
@pytest.mark.parametrize("sizes", [None, [16, 32]])
def test_the_trainings_that_are_said_are_those_that_are_made(tmp_path, monkeypatch, learn_from, sizes):
    pace = Pace(n_rows=1, train_s=1.0, steps=0, answer_s=0.0, config=None)  # a second a row
    monkeypatch.setattr("stillhouse.experiment.forecast._paces", lambda *_: {"linear": pace})
    (tmp_path / "task.toml").write_text(TASK.format(learn_from=learn_from))
    rows = make_rows("route", 60, 0, "train")
    write_examples(
        tmp_path / "train.jsonl", [replace(row, label=None) if n % 3 == 0 else row for n, row in enumerate(rows)]
    )
    write_examples(tmp_path / "test.jsonl", make_rows("route", 30, 0, "test"))
    task = load_task(tmp_path)
    told = forecast(task, load_splits(task), asks=True, sizes=sizes, seeds=3, workers=2)
    material = result_of(prepare(task, Session(), every_lesson=True, sizes=sizes))
    plans = list(curve_plans(material, tmp_path / "run", sizes, 3))
    assert told.n == len(plans) and told.students == ("linear",)
    assert told.seconds == pytest.approx(sum(len(plan.train) for plan in plans) / 2)


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["linear", "encoder:scratch:tiny"])
def test_a_student_is_timed_on_a_few_rows(tmp_path, spec):
    (tmp_path / "task.toml").write_text(TASK.format(learn_from="gold").replace("linear", spec))
    write_examples(tmp_path / "train.jsonl", make_rows("route", 80, 0, "train"))
    write_examples(tmp_path / "test.jsonl", make_rows("route", 20, 0, "test"))
    task = load_task(tmp_path)
    told = forecast(task, load_splits(task), asks=False, sizes=[32], seeds=3, workers=1)
    assert 0 < told.seconds < 600


def test_the_sentence():
    told = Forecast(42, ("linear", "encoder:minilm"), 2, 50 * 60)
    assert told.sentence == "42 trainings of linear, encoder:minilm, about 50 minutes with 2 at a time"
    assert "known when there are labels" in replace(told, seconds=None).sentence
    assert "about 3.5 hours" in replace(told, seconds=3.5 * 3600).sentence


def test_training_goes_by_rows_and_passes_and_answers_by_rows():
    config = TrainConfig(epochs=3, max_validations=20)
    pace = Pace(n_rows=50, train_s=5.0, steps=10, answer_s=0.01, config=config)
    assert pace.seconds(1000, 100, 200) == pytest.approx(0.1 * 1000 * 3 + 0.01 * (100 * 3 + 200))
    short = replace(pace, config=replace(config, min_steps=400))  # 400 steps of half a second, whatever the rows
    assert short.seconds(20, 0, 0) == pytest.approx(200)
    assert replace(pace, config=None).seconds(100, 10, 10) == pytest.approx(0.1 * 100 + 0.2)
