"""Students that learn the teacher's probabilities: they end nearer to them than students of its labels, and the settings that cannot hold are refused."""

import asyncio
import math
import random

import pytest

from stillhouse.data.dataset import load_examples, write_examples
from stillhouse.errors import DatasetError, UserError
from stillhouse.records import Example
from stillhouse.settings import StudentSettings
from stillhouse.student import TrainConfig, load_student, train_student
from stillhouse.task import Task

SOFT = Task("mood", "Is it good?", "choice", ("good", "bad"), student=StudentSettings(soft_targets=True))
HARD = Task("mood", "Is it good?", "choice", ("good", "bad"))
WORDS = {"lovely": 0.95, "fine": 0.7, "dull": 0.3, "awful": 0.05}  # the teacher's probability of "good"
QUICK = TrainConfig(epochs=1, min_steps=40, learning_rate=5e-3, tokens_per_batch=256, max_validations=1)


def rows(n, start=0, choices=None):
    """The teacher's label is the likelier one: what it thinks of "fine" against "lovely" stands in its probabilities alone."""
    made = []
    for i in range(start, start + n):
        word = list(WORDS)[i % 4]
        p = WORDS[word]
        made.append(
            Example(
                str(i),
                f"a {word} day",
                teacher_label="good" if p > 0.5 else "bad",
                choices=choices,
                teacher_scores={"good": p, "bad": round(1 - p, 2)},
            )
        )
    return made


def divergence(folder):
    """Mean KL of the student's probabilities from the teacher's, temperature taken out, on the four words."""
    student = load_student(folder)
    student.temperature = 1.0
    asked = rows(4, choices=None if student.labels else ("good", "bad"))
    answers = asyncio.run(student.predict(asked))
    pairs = [
        (p, answer.scores[label])
        for row, answer in zip(asked, answers, strict=True)
        for label, p in row.teacher_scores.items()
    ]
    return sum(p * math.log(p / q) for p, q in pairs) / len(asked)


CHOICES = ("good", "bad")


@pytest.mark.parametrize(
    ("spec", "choices"),
    [
        pytest.param("linear", None, id="linear, labels"),
        pytest.param("linear", CHOICES, id="linear, choices per row"),
        pytest.param("encoder:scratch:tiny", None, id="encoder, labels", marks=pytest.mark.slow),
        pytest.param("encoder:scratch:tiny", CHOICES, id="encoder, choices per row", marks=pytest.mark.slow),
        pytest.param("prompted:scratch:tiny", None, id="prompted, labels", marks=pytest.mark.slow),
    ],
)
def test_a_student_of_the_probabilities_ends_nearer_to_them_than_one_of_the_labels(tmp_path, spec, choices):
    config = None if spec == "linear" else QUICK
    made = rows(80, choices=choices), rows(24, start=400, choices=choices)
    for name, task in (("soft", SOFT), ("hard", HARD)):
        task = Task(task.name, "-", "choice", None if choices else task.labels, student=task.student)
        train_student(spec, task, *made, source="teacher", seed=0, out=tmp_path / name, config=config)
    assert divergence(tmp_path / "soft") < 0.5 * divergence(tmp_path / "hard")


def test_a_row_without_probabilities_is_learned_by_its_label(tmp_path):
    mixed = [
        row if int(row.id) % 8 < 4 else Example(row.id, row.input, teacher_label=row.teacher_label) for row in rows(80)
    ]
    train_student("linear", SOFT, mixed, rows(24, start=400), source="teacher", seed=0, out=tmp_path / "mixed")
    train_student("linear", SOFT, rows(80), rows(24, start=400), source="teacher", seed=0, out=tmp_path / "soft")
    assert divergence(tmp_path / "soft") < divergence(tmp_path / "mixed")


def test_soft_targets_of_certain_rows_are_the_labels(tmp_path):
    certain = [
        Example(row.id, row.input, teacher_label=row.teacher_label, teacher_scores={row.teacher_label: 0.6})
        for row in rows(80)
    ]  # the rest is unlisted
    draw = random.Random(0)
    draw.shuffle(certain)
    for name, task in (("soft", SOFT), ("hard", HARD)):
        train_student("linear", task, certain, rows(24, start=400), source="teacher", seed=0, out=tmp_path / name)
    soft, hard = (asyncio.run(load_student(tmp_path / name).predict(rows(4))) for name in ("soft", "hard"))
    assert [answer.scores for answer in soft] == [pytest.approx(answer.scores, abs=1e-4) for answer in hard]


@pytest.mark.parametrize(
    ("spec", "source", "scores", "says"),
    [
        ("linear", "gold", True, "these students learn gold labels"),
        ("linear", "teacher", False, "none of 8 has `teacher_scores`"),
        ("generative:scratch:tiny", "teacher", True, "a generative one writes text"),
    ],
)
def test_soft_targets_that_cannot_be_learned_are_refused(tmp_path, spec, source, scores, says):
    made = [
        Example(
            row.id,
            row.input,
            row.teacher_label,
            teacher_label=row.teacher_label,
            teacher_scores=row.teacher_scores if scores else None,
        )
        for row in rows(8)
    ]
    task = Task("mood", "-", "choice", SOFT.labels, student=StudentSettings(soft_targets=True, learn_from=source))
    with pytest.raises(UserError, match=says):
        train_student(spec, task, made, made, source=source, seed=0, out=tmp_path / "s")


def test_probabilities_travel_with_the_rows_and_broken_ones_are_refused(tmp_path):
    write_examples(tmp_path / "rows.jsonl", rows(4))
    assert load_examples(tmp_path / "rows.jsonl").examples == rows(4)
    for broken in ('{"good": 1.5}', '{"good": "much"}', "[0.5]", '{"good": true}'):
        (tmp_path / "broken.jsonl").write_text(f'{{"input": "x", "teacher_scores": {broken}}}\n')
        with pytest.raises(DatasetError, match=r"broken.jsonl:1: `teacher_scores` must be an object"):
            load_examples(tmp_path / "broken.jsonl")
