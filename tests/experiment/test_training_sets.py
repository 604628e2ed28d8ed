"""Whose labels on which rows: the arms of `advise` where the data allow several, and what is said where they do not."""

import asyncio
import json

import numpy as np
import pytest

from stillhouse.advice.advantage import data_advantage
from stillhouse.advice.curves import RowScores
from stillhouse.advice.scores_csv import read_scores
from stillhouse.data.dataset import write_examples
from stillhouse.experiment.few_shot import NOT_ANOTHER_PROMPT
from stillhouse.experiment.material import prepare
from stillhouse.records import Example
from stillhouse.session import Session
from stillhouse.task import load_task
from stillhouse.verdict.learning_curves import worth_of

TASK = """
[task]
name = "mood"
instruction = "is it good ?"
output = "choice"
labels = ["good", "bad"]
[data]
train = "train.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"
{unlabelled}
split = [0.0, 0.0, 0.0]
[teacher]
model = "{model}"
[student]
{student}
"""
WORDS = {"good": ("lovely", "bright", "warm"), "bad": ("awful", "grim", "cold")}


def rows(part, n, *, gold=lambda i: True):
    labels = [("good", "bad")[i % 2] for i in range(n)]
    texts = [f"{part} number {i} was {WORDS[label][i % 3]}" for i, label in enumerate(labels)]
    return [
        Example(f"{part}{i}", text, label if gold(i) else None)
        for i, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]


@pytest.fixture
def project(tmp_path):
    """`project(...)` writes a task whose recorded teacher is wrong on every tenth row, and silent on the rows that `silent` picks."""

    def write(
        *,
        train=40,
        gold=lambda i: True,
        unlabelled=0,
        silent=lambda id_: False,
        student="",
        model="recorded:teacher.jsonl",
    ):
        folder = tmp_path / "mood"
        folder.mkdir(exist_ok=True)
        extra = 'unlabelled = "unlabelled.jsonl"' if unlabelled else ""
        (folder / "task.toml").write_text(TASK.format(unlabelled=extra, student=student, model=model))
        parts = {
            "train": rows("train", train, gold=gold),
            "validation": rows("validation", 12),
            "test": rows("test", 30),
        }
        known = {part: rows(part, len(found)) for part, found in parts.items()} | {
            "unlabelled": rows("unlabelled", unlabelled)
        }
        if unlabelled:
            parts["unlabelled"] = rows("unlabelled", unlabelled, gold=lambda i: False)
        for part, found in parts.items():
            write_examples(folder / f"{part}.jsonl", found)
        answers = []
        for found in known.values():
            for i, row in enumerate(found):
                label = row.label if i % 10 else {"good": "bad", "bad": "good"}[row.label]
                answers.append({"id": row.id, "teacher_label": None if silent(row.id) else label})
        (folder / "teacher.jsonl").write_text("".join(json.dumps(answer) + "\n" for answer in answers))
        return folder

    return write


def prepared(folder, **options):
    session = Session(**options)
    return asyncio.run(prepare(session.open_task(folder), session, every_lesson=True))


def shape(material):
    return [(lesson.source, lesson.rows, len(lesson.train)) for lesson in material.lessons]


def test_gold_rows_are_learned_by_both_labels_and_unlabelled_rows_beside_them(project):
    material = prepared(project(unlabelled=50))
    assert shape(material) == [("gold", "", 40), ("teacher", "", 40), ("teacher", "unlabelled rows too", 90)]
    gold, same, more = material.lessons
    assert material.own_lesson is gold
    assert [row.id for row in gold.train] == [row.id for row in same.train] == [row.id for row in more.train[:40]]
    assert all(row.label is None and row.teacher_label for row in more.train[40:])
    assert sum(row.label != row.teacher_label for row in same.train) == 4


def test_without_unlabelled_rows_there_are_two_lessons_and_without_a_teacher_one(project):
    assert shape(prepared(project())) == [("gold", "", 40), ("teacher", "", 40)]
    folder = project()
    (folder / "task.toml").write_text(
        (folder / "task.toml").read_text().replace('model = "recorded:teacher.jsonl"', "")
    )
    material = prepared(folder)
    assert (shape(material), material.warnings) == ([("gold", "", 40)], ())


def test_where_some_rows_lack_gold_the_task_learns_from_gold_and_the_teacher_stands_beside_it(project):
    material = prepared(project(train=60, gold=lambda i: i < 40))
    assert shape(material) == [("gold", "", 40), ("teacher", "", 40), ("teacher", "unlabelled rows too", 60)]
    assert material.own_lesson is material.lessons[0]
    assert any("20 of 60 train rows have no usable gold label" in warning for warning in material.warnings)
    assert len(material.own_lesson.train) == len(material.splits.train) == 40


@pytest.mark.parametrize(
    ("n_gold", "source", "learned"),
    [(60, "gold", 60), (59, "gold", 59), (16, "gold", 16), (15, "teacher", 60), (0, "teacher", 60)],
)
def test_one_row_without_gold_does_not_take_the_gold_from_the_others(project, n_gold, source, learned):
    folder = project(train=60, gold=lambda i: i < n_gold)
    material = asyncio.run(prepare(load_task(folder), Session()))
    assert (material.learn_from, shape(material)) == (source, [(source, "", learned)])
    unused = [warning for warning in material.warnings if "not learned: it takes 16" in warning]
    assert len(unused) == (0 < n_gold < 16)


def test_gold_that_nobody_learns_or_is_held_by_is_said(project):
    """Without validation rows that have gold, gold training rows are learned from the teacher; calibration rows without gold promise nothing."""
    folder = project(train=60)
    text = (folder / "task.toml").read_text()
    (folder / "task.toml").write_text(
        text.replace('test = "test.jsonl"', 'test = "test.jsonl"\ncalibration = "calibration.jsonl"')
    )
    write_examples(folder / "validation.jsonl", rows("validation", 20, gold=lambda i: False))
    write_examples(folder / "calibration.jsonl", rows("validation", 20, gold=lambda i: i < 19)[10:])
    material = asyncio.run(prepare(load_task(folder), Session()))
    said = " | ".join(material.warnings)
    assert (
        material.learn_from == "teacher"
        and "60 of 60 train rows have gold labels, which are not learned: no validation row" in said
    )
    assert "1 of 10 calibration rows has no usable gold label and was left out" in said
    assert len(material.splits.calibration) == 9


def test_mixed_learns_gold_where_there_is_gold_and_asks_the_teacher_for_the_rest_alone(project):
    folder = project(train=60, gold=lambda i: i < 40, unlabelled=10, student='learn_from = "mixed"')
    material = asyncio.run(prepare(load_task(folder), Session()))
    assert shape(material) == [("mixed", "", 70)]
    targets = {row.id: row.target("mixed") for row in material.own_lesson.train}
    assert targets["train0"] == "good" and targets["train10"] == "good"  # gold, where the teacher says "bad"
    assert targets["train50"] == "bad"  # the teacher's, wrong on every tenth row
    assert not {f"train{i}" for i in range(40)} & material.teacher.by_id.keys()


@pytest.mark.parametrize(
    ("n_gold", "scored", "n"), [(30, "gold", 30), (29, "gold", 29), (1, "gold", 1), (0, "teacher", 30)]
)
def test_one_test_row_without_gold_does_not_change_what_the_others_are_scored_against(project, n_gold, scored, n):
    folder = project()
    write_examples(folder / "test.jsonl", rows("test", 30, gold=lambda i: i < n_gold))
    material = asyncio.run(prepare(load_task(folder), Session()))
    assert (material.scored_against, len(material.splits.test)) == (scored, n)
    left_out = [warning for warning in material.warnings if "no usable gold label" in warning]
    assert len(left_out) == (0 < n_gold < 30)


def test_what_the_task_names_is_what_is_learned(project):
    assert shape(prepared(project(unlabelled=50, student='learn_from = "gold"'))) == [("gold", "", 40)]
    assert shape(prepared(project(unlabelled=50, student='learn_from = "teacher"'))) == [("teacher", "", 90)]
    assert shape(asyncio.run(prepare(load_task(project(unlabelled=50)), Session()))) == [
        ("gold", "", 40)
    ]  # distil trains one


def test_too_few_labels_are_said_and_no_lesson(project):
    material = prepared(project(train=60, gold=lambda i: i < 5))
    assert shape(material) == [("teacher", "", 60)]
    assert "no student on gold labels: 5 training rows have one, and it takes 16" in material.notes
    material = prepared(project(silent=lambda id_: id_.startswith("train") and id_ not in ("train1", "train2")))
    assert shape(material) == [("gold", "", 40)]
    assert "no student on teacher labels: 2 training rows have one, and it takes 16" in material.notes
    material = prepared(project(silent=lambda id_: id_ == "train7"))
    assert shape(material) == [("gold", "", 40), ("teacher", "", 39)]
    assert "1 of 40 training rows have no usable teacher label: students on teacher labels lack them" in material.notes


def test_labels_that_the_cap_does_not_pay_for_are_said(project, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mood_labels.py").write_text(
        "def teacher(request, example):\n    return 'bad' if example.id[-1] in '13579' else 'good'\n"
    )
    folder = project(unlabelled=50, model="scripted:mood_labels:teacher")
    prices = {"price_in": 10.0, "price_out": 10.0, "max_tokens": 4}
    session = Session(settings=prices)
    cost = asyncio.run(prepare(session.open_task(folder), session)).teacher.report.cost_usd
    (folder / "stillhouse.db").unlink()
    material = prepared(folder, settings={**prices, "max_usd": 2 * cost})
    assert shape(material) == [("gold", "", 40)]
    [said] = material.notes
    assert said.startswith("no student on teacher labels: labelling 102 rows would pass the cap of $")
    material = prepared(folder, settings={**prices, "max_usd": 20 * cost})
    assert (len(material.lessons), material.warnings) == (3, ())


@pytest.mark.slow
def test_advise_measures_every_lesson_and_every_number_can_be_computed_again(project, stillhouse, tmp_path):
    folder = project(train=64, unlabelled=40)
    found = stillhouse("advise", folder, "--runs", tmp_path / "runs", "--seeds", "3", "--sizes", "32,64,104", "--json")
    assert found.code == 0, found.err
    result, run = found.json["result"], tmp_path / "runs" / "mood-advise-1"
    names = [
        f"linear on {lesson}" for lesson in ("gold labels", "teacher labels", "teacher labels, unlabelled rows too")
    ]
    assert [arm["name"] for arm in result["arms"] if arm["kind"] in ("prompt", "baseline", "student")] == [
        "prompt",
        "majority",
        *names,
    ]
    sizes = {curve["name"]: [point["n"] for point in curve["points"]] for curve in result["curves"]["curves"]}
    assert sizes == {names[0]: [32, 64], names[1]: [32, 64], names[2]: [32, 64, 104]}
    assert [line["name"] for line in result["curves"]["lines"]] == ["prompt", "majority"]
    assert result["curves"]["few_shot"]["notes"] == [NOT_ANOTHER_PROMPT]
    answers = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    in_csv = read_scores(run / "curves.csv").arms
    for curve in result["curves"]["curves"]:
        for point in curve["points"]:
            for seed, score in enumerate(point["scores"]):
                own = [
                    row["score"]
                    for row in answers
                    if (row["arm"], row["n_train"], row["seed"]) == (curve["name"], point["n"], seed)
                ]
                assert (len(own), sum(own) / len(own)) == (30, pytest.approx(score))
                assert in_csv[curve["name"]].runs[point["n"]][str(seed)] == pytest.approx(score)


@pytest.mark.slow
def test_the_papers_comparison_on_ones_own_task(project, stillhouse, tmp_path):
    folder = project(
        train=64, student='ladder = ["encoder:scratch:tiny", "prompted:scratch:tiny"]\nlearn_from = "gold"\nepochs = 3'
    )
    found = stillhouse("advise", folder, "--runs", tmp_path / "runs", "--seeds", "3", "--sizes", "32,64", "--json")
    assert found.code == 0, found.err
    [worth] = found.json["result"]["curves"]["worth"]
    assert (worth["better"], worth["worse"]) == (
        "prompted:scratch:tiny on gold labels",
        "encoder:scratch:tiny on gold labels",
    )
    assert "n = 30 test rows" in worth["sentence"] or "cannot be told" in worth["sentence"]
    assert worth["sentence"] in (tmp_path / "runs" / "mood-advise-1" / "report.html").read_text().replace(
        "&nbsp;", " "
    ).replace("\u00a0", " ")


def test_what_a_pattern_is_worth_is_the_data_advantage_in_words():
    sizes, rows_ = (16, 64, 256), 200

    def arm(name, scores):  # every seed alike, rows right from the first on
        of = [[[float(row < round(score * rows_)) for row in range(rows_)]] * 3 for score in scores]
        return RowScores(sizes, np.array(of), np.arange(rows_), name)

    prompted, head = arm("prompted:x on gold labels", (0.6, 0.7, 0.8)), arm("encoder:x on gold labels", (0.5, 0.6, 0.7))
    [worth] = worth_of({arm.name: arm for arm in (prompted, head)})
    found = data_advantage(prompted, head)
    assert worth.sentence.startswith(f"prompted:x on gold labels is worth {found.advantage:,.0f} ")
    assert "from 60.0 % to 70.0 % that both reach (3 seeds, n = 200 test rows)" in worth.sentence
    [refused] = worth_of({arm.name: arm for arm in (prompted, arm("encoder:x on gold labels", (0.1, 0.2, 0.3)))})
    assert refused.sentence.startswith(
        "What the pattern is worth cannot be told: prompted:x on gold labels and encoder:x on gold labels share no score"
    )
