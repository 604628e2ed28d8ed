"""The few-shot arms of `advise`: which examples, how many fit, what stops them, and that a kill costs nothing twice. The teacher is a script, no model."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from stillhouse.data.dataset import write_examples
from stillhouse.experiment import few_shot as shots
from stillhouse.experiment.material import prepare
from stillhouse.llm.models import worked_examples
from stillhouse.llm.prompted import build_messages
from stillhouse.records import Example
from stillhouse.session import Session
from stillhouse.task import load_task

TASK = """
[task]
name = "mood"
instruction = "Is it good?"
output = "choice"
labels = ["good", "bad"]
[data]
train = "train.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"
split = [0.0, 0.0, 0.0]
[teacher]
model = "scripted:mood_script:teacher"
concurrency = 1
{teacher}
[student]
learn_from = "gold"
"""
# Right on more rows the more examples it is shown: 3 of 5 with none, all from 4 on. Every call is a line in the file that CALLS names.
SCRIPT = """
import json, os
from stillhouse.llm.request import Completion
from stillhouse.records import Usage
def teacher(request, example):
    k = (len(request.messages) - 2) // 2
    with open(os.environ["CALLS"], "a") as file:
        file.write(json.dumps([example.id, request.hash]) + "\\n")
    lost = json.loads(os.environ.get("LOST", "{}"))  # row -> how many of its calls with examples bring nothing
    if k and example.id in lost:
        with open(os.environ["CALLS"]) as file:
            n = sum(json.loads(line) == [example.id, request.hash] for line in file)
        if n <= lost[example.id]:
            return Completion(None, error="endpoint failed: status 502")
    if k and example.id == os.environ.get("DOUBTFUL"):
        return Completion("good", finish_reason="stop", usage=Usage(9, 2, doubt="more tokens are cached"))
    if k > int(os.environ.get("MOST", 1000)):
        return Completion(None, error="refused by the endpoint (400: maximum context length)", status=400)
    right = int(example.id.removeprefix("t")) % 5 < 3 + min(k, 4) / 2
    return example.label if right else ("good", "bad")[example.label == "good"]
teacher.stand_in = True
"""
PRICED = "price_in = 10.0\nprice_out = 10.0\nmax_tokens = 4"


def rows(prefix, n):
    labels = ("good", "bad")
    return [
        Example(
            f"{prefix}{i}",
            f"{prefix} day number {i} was {['lovely', 'awful'][i % 2]}" + " indeed" * (i % 7),
            labels[i % 2],
        )
        for i in range(n)
    ]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """`project(teacher="...")` writes a task and returns its folder."""
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mood_script", raising=False)
    (tmp_path / "mood_script.py").write_text(SCRIPT)

    def write(teacher="", n=40, n_test=30, change=("", "")):
        folder = tmp_path / "mood"
        folder.mkdir(exist_ok=True)
        (folder / "task.toml").write_text(TASK.format(teacher=teacher).replace(*change))
        for part, count in (("train", n), ("validation", 10), ("test", n_test)):
            write_examples(folder / f"{part}.jsonl", rows(part[0] if part == "test" else part, count))
        return folder

    return write


def calls(tmp_path):
    return [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]


def measure(folder, tmp_path, **options):
    """(material, few-shot arms) of one sitting."""
    session = Session(settings=options)
    material = asyncio.run(prepare(session.open_task(folder), session))
    return material, asyncio.run(shots.measure(material, tmp_path / "run", session))


def test_every_k_is_drawn_three_times_from_training_rows_in_turns_of_the_classes(project, tmp_path):
    folder = project("max_shots = 8")
    material, found = measure(folder, tmp_path)
    assert found.sizes == (1, 2, 4, 8)
    train = {row.id: row.label for row in material.splits.train}
    for k in found.sizes:
        drawn = [arm.examples.shots for arm in found.of(k)]
        assert len(drawn) == 3 and len({tuple(ids) for ids in drawn}) == 3
        for seed, ids in enumerate(drawn):
            assert len(set(ids)) == k and set(ids) <= set(train)
            assert abs(Counter(train[id_] for id_ in ids)["good"] - k / 2) <= 0.5
            assert ids == found.of(8)[seed].examples.shots[:k]  # one draw's prompts begin alike
        assert [[row.id for row in arm.test] for arm in found.of(k)] == [[row.id for row in material.splits.test]] * 3
    scores = [sum(row.score for row in found.of(k)[0].test) / 30 for k in found.sizes]
    assert scores == pytest.approx([0.8, 0.8, 1.0, 1.0])
    assert "gold labels" in found.notes[0]


def test_the_examples_of_an_arm_can_be_named_in_the_task(project, tmp_path):
    folder = project("max_shots = 4")
    _, found = measure(folder, tmp_path)
    [file] = (tmp_path / "run" / "arms").glob("prompt-4-examples-0/examples.jsonl")
    task = load_task(folder).with_teacher(examples=str(file))
    shown = worked_examples(task)
    wanted = found.of(4)[0].examples.shots
    by_id = {row.id: row for row in rows("train", 40)}
    assert [(shot.input, shot.label) for shot in shown] == [(by_id[id_].input, by_id[id_].label) for id_ in wanted]
    material = asyncio.run(prepare(task, Session()))
    assert (
        sum(
            answer.output == row.label
            for answer, row in zip(material.teacher.on(material.splits.test), material.splits.test, strict=True)
        )
        == 30
    )


def test_at_most_so_many_examples_fit_is_the_largest_number_that_does(project, tmp_path):
    folder = project("context_tokens = 260\nmax_tokens = 16")
    material, found = measure(folder, tmp_path)
    sentence = next(note for note in found.notes if "examples fit" in note)
    most = int(sentence.split("at most ")[1].split(" of your 40")[0])
    assert found.sizes == tuple(k for k in (1, 2, 4, 8, 16, 32) if k <= most) and 1 < most < 40
    usages = [answer.usage.input_tokens for answer in material.teacher.on(material.splits.test)]
    prompts = [sum(len(m["content"]) for m in build_messages(material.task, row)) for row in material.splits.test]
    ratio = sum(prompts) / sum(usages)
    assert f"{ratio:.2f} characters a token" in sentence

    def fits(k):
        pool, source = shots.pool_of(material)
        drawn = [shots.draw(pool, source, seed, classes=True)[:k] for seed in range(3)]
        lengths = [
            sum(len(m["content"]) for m in build_messages(material.task, row, shown))
            for shown in drawn
            for row in material.splits.test
        ]
        return max(lengths) / ratio + 16 <= 260 * 0.9

    assert fits(most) and not fits(most + 1)


def test_a_tokenizer_counts_where_there_is_one(project, tmp_path):
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    folder = project(f'context_tokens = 200\nmax_tokens = 16\nmax_shots = 1\ntokenizer = "{tmp_path}"')
    material, found = measure(folder, tmp_path)
    assert any("counted with tokenizer.json" in note for note in found.notes)
    words = {
        row.id: len(row.input.split()) + 1 + 16 for row in material.splits.train
    }  # the label is one word; 8 for each message
    plain = max(
        sum(
            len(pre_tokenizers.Whitespace().pre_tokenize_str(m["content"])) + 8
            for m in build_messages(material.task, row)
        )
        for row in rows("t", 30)
    )
    room, most = 200 - 16 - plain, []
    for seed in range(3):
        left, count = room, 0
        for row in shots.draw(material.splits.train, "gold", seed, classes=True):
            left -= words[row.id]
            count += left >= 0
        most.append(count)
    assert any(f"at most {min(most)} of your 40" in note for note in found.notes), found.notes


def test_an_unknown_window_is_said_and_thirty_two_is_where_nobody_asked_for_more(project, tmp_path):
    _, found = measure(project(n_test=4), tmp_path)
    assert found.sizes[-1] == 32
    assert any("is not known; set context_tokens" in note for note in found.notes)
    assert any("more than 32 examples were not tried" in note for note in found.notes)


def test_the_cap_ends_the_row_of_examples_and_is_never_passed(project, tmp_path):
    folder = project(PRICED)
    material = asyncio.run(prepare(load_task(folder), Session()))
    zero_shot = material.teacher.report.cost_usd
    cap = 14 * zero_shot
    (folder / "stillhouse.db").unlink()
    material, found = measure(folder, tmp_path, max_usd=cap)
    spent = material.teacher.report.cost_usd + sum(row.cost_usd for arm in found.arms for row in arm.test)
    assert material.teacher.report.cost_usd == pytest.approx(zero_shot)
    assert spent <= cap
    assert found.sizes == (1, 2)  # three draws of 1 and of 2 cost some 11 times the plain prompt, of 4 as much again
    said = found.notes[-2]  # the last one tells what was spent
    assert said.startswith("prompts with 4 or more examples are not in the numbers: they would cost about $")
    assert len(calls(tmp_path)) == 30 + 30 + 6 * 30  # nothing was asked for an arm that could not be finished


def test_a_refused_call_is_no_wrong_answer(project, tmp_path, monkeypatch):
    monkeypatch.setenv("MOST", "2")
    _, found = measure(project(), tmp_path)
    assert found.sizes == (1, 2)
    assert any("30 of 30 calls were not answered" in note and "maximum context length" in note for note in found.notes)


def test_token_counts_that_do_not_add_up_are_said_of_each_draw(project, tmp_path, monkeypatch):
    monkeypatch.setenv("DOUBTFUL", "t3")
    _, found = measure(project("max_shots = 1"), tmp_path)
    said = [note for note in found.notes if "do not add up" in note]
    assert len(said) == 3
    assert said[0].startswith("prompt + 1 example, draw 1: 1 of 30 answers have token counts that do not add up")


def test_calls_without_an_answer_are_made_again(project, tmp_path, monkeypatch):
    monkeypatch.setenv("LOST", json.dumps({"t3": 2}))
    _, found = measure(project("max_shots = 1", n_test=50), tmp_path)
    assert found.sizes == (1,)
    assert all(row.output is not None for row in found.arms[0].test)
    assert len(calls(tmp_path)) == 50 + 3 * (50 + 2)


@pytest.mark.parametrize(("n_test", "n_arms"), [(50, 3), (49, 0)])
def test_a_few_calls_without_an_answer_count_as_wrong_and_more_are_no_arm(
    project, tmp_path, monkeypatch, n_test, n_arms
):
    monkeypatch.setenv("LOST", json.dumps({"t3": 99}))  # one of 50 is 2 %, and one of 49 more
    _, found = measure(project(f"max_shots = 1\n{PRICED}", n_test=n_test), tmp_path)
    assert len(found.arms) == n_arms
    said = " ".join(found.notes)
    if n_arms:
        row = next(row for row in found.arms[0].test if row.id == "t3")
        assert (row.output, row.score) == (None, 0.0)
        assert row.cost_usd == max(other.cost_usd for other in found.arms[0].test)
        assert (
            "prompt + 1 example, draw 1: 1 of 50 calls had no answer in 3 rounds (endpoint failed: status 502)" in said
        )
        assert "they count as wrong" in said
    else:
        assert "1 of 49 calls were not answered" in said


def test_recorded_answers_answer_no_other_prompt(project, tmp_path):
    folder = project(change=("scripted:mood_script:teacher", "recorded:teacher.jsonl"))
    answers = [{"id": row.id, "teacher_label": row.label} for row in rows("t", 30)]
    (folder / "teacher.jsonl").write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    _, found = measure(folder, tmp_path)
    assert (found.arms, found.notes) == ((), (shots.NOT_ANOTHER_PROMPT,))


def test_a_teacher_that_reasons_is_shown_reasons_that_end_at_the_label_shown(project):
    kept = Example("a", "x", "good", teacher_label="good", teacher_rationale="it shines")
    wrong = Example("b", "y", "good", teacher_label="bad", teacher_rationale="it rains")
    own = Example("c", "z", "bad", extra={"rationale": "mud"})
    folder = project("rationales = true")
    material = asyncio.run(prepare(load_task(folder), Session()))
    material.splits.train[:] = [kept, wrong, own, Example("d", "w", "bad")]
    assert shots.pool_of(material) == ([kept, own], "gold")


def test_nothing_is_asked_again_and_a_finished_arm_is_read(project, tmp_path):
    folder = project("max_shots = 2", n_test=6)
    _, first = measure(folder, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.json*")}
    _, again = measure(folder, tmp_path)
    assert [arm.test for arm in again.arms] == [arm.test for arm in first.arms]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.json*")} == before
    assert max(Counter(hash_ for _, hash_ in calls(tmp_path)).values()) == 1


@pytest.mark.slow
def test_a_killed_advise_pays_for_no_example_twice(project, tmp_path, stillhouse):
    folder = project("max_shots = 8", n_test=40)
    command = [
        sys.executable,
        "-m",
        "stillhouse",
        "advise",
        str(folder),
        "--runs",
        str(tmp_path / "runs"),
        "--seeds",
        "3",
        "--sizes",
        "20",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env=environment
    ) as process:
        while process.poll() is None and (not (tmp_path / "calls").exists() or len(calls(tmp_path)) < 300):
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*/arms/prompt-*/arm.json")}
    assert len(kept) >= 4
    found = stillhouse("advise", folder, "--runs", tmp_path / "runs", "--seeds", "3", "--sizes", "20", "--json").json
    asked = Counter(hash_ for _, hash_ in calls(tmp_path))
    assert len(asked) == 40 + 4 * 3 * 40
    assert sum(asked.values()) - len(asked) <= 1  # the one call in flight
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in kept.items())
    result = found["result"]
    assert result["verdict"]["kind"] in ("few-shot", "finetune")
    assert [point["n"] for point in result["curves"]["few_shot"]["points"]] == [1, 2, 4, 8]
    arms = {arm["name"]: arm for arm in result["arms"]}
    assert arms["prompt + 8 examples"]["n_shots"] == 8 and arms["prompt + 8 examples"]["score"]["value"] == 1.0
    assert (
        (tmp_path / "runs" / "mood-advise-1" / "curves.csv")
        .read_text()
        .startswith("arm,n,seed,score\nlinear on gold labels,20,0,")
    )
    assert "Examples in the prompt" in (tmp_path / "runs" / "mood-advise-1" / "report.html").read_text()


@pytest.mark.slow
def test_a_student_that_beats_the_prompt_with_examples_saves_its_longer_prompt(project, tmp_path, stillhouse):
    """The prompt with examples is the one to beat, and its calls are the ones that are saved."""
    folder = project(f"{PRICED}\nmax_shots = 4", n=60, n_test=160)
    with (folder / "task.toml").open("a") as file:
        file.write("[gate]\nmargin = 0.05\n[money]\nmachine_usd_per_hour = 0.01\ntraining_usd_per_hour = 0.0\n")
    result = stillhouse("advise", folder, "--runs", tmp_path / "runs", "--seeds", "3", "--sizes", "60", "--json").json[
        "result"
    ]
    per_1000 = {arm["name"]: arm["cost_usd_per_1000"] for arm in result["arms"]}
    assert result["verdict"]["kind"] == "finetune" and per_1000["prompt"] < per_1000["prompt + 4 examples"]
    money = next(fact for fact in result["verdict"]["because"] if fact.startswith("money: a call of linear"))
    assert f"one of prompt + 4 examples ${per_1000['prompt + 4 examples'] / 1000:.2g};" in money
