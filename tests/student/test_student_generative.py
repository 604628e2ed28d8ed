"""The generative student: random weights and a vocabulary of its own, and bases in folders, of both kinds."""

import asyncio
import math
import os
import random
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import ByteLevelBPETokenizer

from stillhouse.errors import UserError
from stillhouse.records import Example
from stillhouse.settings import StudentSettings
from stillhouse.student import TrainConfig, load_student, train_student
from stillhouse.student.copying import CopyingT5
from stillhouse.student.decoding import greedy
from stillhouse.student.generative import (
    GeneratedAnswer,
    GenerativeStudent,
    _coder,
    _pretrained,
    _scratch,
    _TrainablePairs,
)
from stillhouse.student.job import TrainJob
from stillhouse.student.objectives import IGNORE
from stillhouse.student.own_text import as_answer, as_question, from_answer
from stillhouse.student.tokenizer import train_bpe
from stillhouse.task import Task

TASK = Task(name="query", instruction="Write the query.", output="text", metric="exact_match")
STEPWISE = Task(
    name="query",
    instruction="Write the query.",
    output="text",
    metric="exact_match",
    student=StudentSettings(recipe="step_by_step"),
)
QUICK = TrainConfig(
    epochs=60, learning_rate=5e-3, tokens_per_batch=512, schedule="cosine", bf16=False, max_validations=3
)
BRIEF = TrainConfig(epochs=1, learning_rate=1e-3, tokens_per_batch=512, bf16=False)
CITIES = ("Rome", "Paris", "Oslo", "Bonn")


def questions(n, rationales=False):
    rows = []
    for i in range(n):
        city, what = CITIES[i % 4], ("orders", "customers")[i // 4 % 2]
        reason = f"it asks about {what}" if rationales else None
        rows.append(
            Example(
                str(i),
                f"how many {what} in {city}?",
                label=f"SELECT COUNT(*) FROM {what} WHERE city = '{city}'",
                teacher_rationale=reason,
            )
        )
    return rows


def train(out, spec="generative:scratch:tiny", task=TASK, rows=None, config=QUICK, seed=0):
    rows = questions(32) if rows is None else rows
    return train_student(spec, task, rows, rows[:8], source="gold", seed=seed, out=out, config=config)


def job_of(tmp_path, spec, task, examples):
    return TrainJob(
        out=tmp_path / "s",
        spec=spec,
        task=task,
        labels=None,
        train=examples,
        validation=examples[:1],
        source="gold",
        seed=0,
        config=BRIEF,
    )


def answers(student, rows):
    return [prediction.output for prediction in asyncio.run(student.predict(rows))]


@pytest.mark.slow
def test_it_learns_to_write_and_answers_in_input_order_after_loading(tmp_path):
    result = train(tmp_path / "s")
    student = load_student(tmp_path / "s")
    rows = questions(8)[::-1]
    predictions = asyncio.run(student.predict(rows))
    assert [prediction.output for prediction in predictions] == [row.label for row in rows]
    assert all(0.5 < prediction.confidence <= 1 for prediction in predictions)
    assert all(prediction.usage.output_tokens > 1 for prediction in predictions)
    assert (result.metric, result.best_validation, result.n_train) == ("exact_match", 1.0, 32)
    assert not list((tmp_path / "s").glob("*.bin"))


@pytest.mark.slow
def test_the_confidence_is_the_length_normalised_probability_of_tokens_and_end(tmp_path):
    train(tmp_path / "s", config=BRIEF)
    student = load_student(tmp_path / "s")
    row = questions(1)[0]
    generated = asyncio.run(student.generate([row]))[0]
    # The naive definition: every step's log-probability, recomputed in one forward without a cache.
    source = torch.tensor([student.coder.source(row)[0]])
    found = greedy(
        student.model, source.tolist(), pad=student.coder.pad, end=student.coder.end, most=student.most_new_tokens
    )[0]
    tokens = [*found.tokens, student.coder.end] if found.ended else found.tokens
    decoder_input = torch.tensor([[student.model.config.decoder_start_token_id, *tokens[:-1]]])
    with torch.no_grad():
        logits = student.model(
            input_ids=source, attention_mask=torch.ones_like(source), decoder_input_ids=decoder_input
        ).logits[0]
    logprobs = torch.log_softmax(logits, dim=-1)
    naive = sum(logprobs[at, token].item() for at, token in enumerate(tokens)) / len(tokens)
    assert generated.confidence == pytest.approx(math.exp(naive), rel=1e-4) and generated.raw_confidence is None
    assert len(generated.tokens) == len(generated.token_logprobs)
    assert "".join(generated.tokens).strip() == generated.text


@pytest.mark.slow
def test_enough_validation_rows_calibrate_the_confidence_and_the_order_stays(tmp_path):
    rows = questions(32)
    unlike = [
        replace(row, label=row.label if number % 2 else "SELECT 1") for number, row in enumerate(questions(40))
    ]  # half of what it says is wrong there
    result = train_student(
        "generative:scratch:tiny", TASK, rows, unlike, source="gold", seed=0, out=tmp_path / "s", config=QUICK
    )
    predictions = asyncio.run(load_student(tmp_path / "s").predict(rows))
    slope, offset = result.settings["calibration"]
    for prediction in predictions:
        calibrated = 1 / (1 + math.exp(-(slope * math.log(prediction.raw_confidence) + offset)))
        assert prediction.confidence == pytest.approx(calibrated) and prediction.confidence < 0.75
    by_raw = sorted(predictions, key=lambda prediction: prediction.raw_confidence)
    assert [prediction.confidence for prediction in by_raw] == sorted(
        prediction.confidence for prediction in predictions
    )


@pytest.mark.slow
def test_answers_do_not_depend_on_what_else_is_in_the_batch(tmp_path):
    train(tmp_path / "s")
    student = load_student(tmp_path / "s")
    rows = [*questions(8), Example("long", "please tell me now, if you can: how many orders in Oslo?")]
    assert answers(student, rows) == [answers(student, [row])[0] for row in rows]


@pytest.mark.slow
def test_equal_seeds_give_equal_students_and_a_killed_training_goes_on_to_the_same_bits(tmp_path):
    rows = questions(16)
    steps = TrainConfig(epochs=6, learning_rate=5e-3, tokens_per_batch=128, bf16=False, checkpoint_every_s=0)
    train(tmp_path / "a", rows=rows, config=steps)

    def stop(progress):
        if progress.done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_student(
            "generative:scratch:tiny",
            TASK,
            rows,
            rows[:8],
            source="gold",
            seed=0,
            out=tmp_path / "b",
            config=steps,
            on_progress=stop,
        )
    resumed = train(tmp_path / "b", rows=rows, config=steps)
    assert resumed.resumed_at is not None
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


KILLED = """
import os, pathlib, signal, sys
from stillhouse.student import checkpoint as loop
from test_student_generative import STEPS, questions, train

where, at, taken, saved = sys.argv[2], int(sys.argv[3]), [0], loop.save_file

def torn(tensors, path, metadata):
    taken[0] += 1
    if taken[0] == at:
        if where == "inside":
            saved(tensors, path, metadata)
            os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    saved(tensors, path, metadata)

loop.save_file = torn
train(pathlib.Path(sys.argv[1]), rows=questions(16), config=STEPS)
"""
STEPS = TrainConfig(epochs=6, learning_rate=5e-3, tokens_per_batch=128, bf16=False, checkpoint_every_s=0)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["between", "inside"])
def test_kill_9_between_and_inside_checkpoints_goes_on_to_the_same_bits(tmp_path, where):
    train(tmp_path / "a", rows=questions(16), config=STEPS)
    paths = [str(Path(__file__).parent), str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    for at in (5, 3):  # after the first kill it goes on from the fourth step; the second comes two checkpoints later
        command = [sys.executable, "-c", KILLED, str(tmp_path / "b"), where, str(at)]
        killed = subprocess.run(
            command,
            env=os.environ | {"PYTHONPATH": ":".join(paths), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    resumed = train(tmp_path / "b", rows=questions(16), config=STEPS)
    assert resumed.resumed_at == 6
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
    assert [path.name for path in tmp_path.iterdir() if "checkpoint" in path.name] == []  # nothing torn is left


def test_the_vocabulary_joins_what_belongs_together_and_cuts_values_as_questions_are_cut():
    rows = questions(32)
    tokenizer = train_bpe([row.input for row in rows], [row.label for row in rows], 600)
    answer = tokenizer(as_answer("SELECT COUNT(*) FROM orders WHERE city = 'Rome Rome'"))["input_ids"]
    in_rome, rome = (tokenizer(as_question(text))["input_ids"] for text in ("Rome", "rome"))
    space = tokenizer(as_answer("' '"))["input_ids"][1:-1]
    assert answer[2:-1] == [*in_rome, *space, *in_rome]  # before it: the query as one token, and the quotation mark
    assert in_rome == [in_rome[0], *rome]  # a capital is a mark of its own
    figures = tokenizer(as_question("200 2"))["input_ids"]
    assert len(set(figures)) == 3 and figures[0] == figures[3]  # the zeros differ by their place


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'naïve  é' , 10",
        "雪 2",
        "a\nb",
        "McDonald's ÉTÉ Été 'İ Straße'",
        '{"Name": "Rome Oslo", "n": 1234567890123}',
        "200 02",
        "it''s 'A",
    ],
)
def test_an_answer_comes_back_from_its_tokens_and_its_beginning_from_the_first_few(text):
    rows = questions(32)
    tokenizer = train_bpe([row.input for row in rows], [row.label for row in rows], 600)
    tokens = tokenizer(as_answer(text))["input_ids"]  # bytes: nothing is unknown
    assert from_answer(tokenizer.decode(tokens)) == text
    assert all(
        text.startswith(from_answer(tokenizer.decode(tokens[:count])).rstrip("\ufffd")) for count in range(len(tokens))
    )


def test_pieces_of_an_answer_are_whole_characters_and_join_to_it(tmp_path):
    train(tmp_path / "s", config=BRIEF)
    coder = load_student(tmp_path / "s").coder
    tokens = coder.target("SELECT 'Rome 雪 20'")[0][:-1]
    pieces = coder.pieces(tokens)
    assert len(pieces) == len(tokens) and "".join(pieces) == "SELECT 'Rome 雪 20'"
    assert "\ufffd" not in "".join(pieces)


# Copying


def test_what_follows_the_token_just_written_is_favoured_from_the_start():
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=20,
        d_model=16,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
        dropout_rate=0.0,
    )
    model = CopyingT5(config).eval()
    inputs = {
        "input_ids": torch.tensor([[5, 7, 9, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 0]]),
        "decoder_input_ids": torch.tensor([[0, 7, 9]]),
    }
    with torch.no_grad():
        copying = model(**inputs).logits[0]
        plain = transformers.T5ForConditionalGeneration.forward(model, **inputs).logits[0]
    favoured = (copying - plain).round(decimals=4)
    # After the start nothing (its twin in the question is padding), after 7 comes 9, and after 9 only padding.
    assert favoured[1, 9] == 1
    assert favoured.count_nonzero() == 1


@pytest.fixture(scope="module")
def brief(tmp_path_factory):
    out = tmp_path_factory.mktemp("brief") / "s"
    train(out, config=BRIEF)
    return load_student(out)


async def test_a_short_row_does_not_wait_for_the_tokenising_of_a_long_one(brief, monkeypatch):
    begun, is_over, loop, source = (
        asyncio.Event(),
        threading.Event(),
        asyncio.get_running_loop(),
        type(brief.coder).source,
    )

    def held(self, example):
        if len(example.text) > 4_000:
            loop.call_soon_threadsafe(begun.set)
            assert is_over.wait(30)
        return source(self, example)

    monkeypatch.setattr(type(brief.coder), "source", held)
    long = asyncio.ensure_future(brief.generate([Example("long", "how many orders in Rome? " * 400)]))
    await asyncio.wait_for(begun.wait(), 30)
    await asyncio.wait_for(brief.generate([Example("short", "how many orders?")]), 30)
    assert not long.done()
    is_over.set()
    await long


async def test_a_short_row_is_answered_between_the_passes_of_a_long_one(brief, monkeypatch):
    begun, is_over, loop, forward = asyncio.Event(), threading.Event(), asyncio.get_running_loop(), brief.model.forward
    n_passes = 0

    def slow(*arguments, **named):
        nonlocal n_passes
        if named["input_ids"].shape[1] > 100:
            n_passes += 1
            loop.call_soon_threadsafe(begun.set)
            is_over.wait(0.1)
        return forward(*arguments, **named)

    monkeypatch.setattr(brief.model, "forward", slow)
    long = asyncio.ensure_future(
        asyncio.to_thread(brief._generate, [Example("long", "how many orders in Rome? " * 400)], 9)
    )
    await asyncio.wait_for(begun.wait(), 30)
    await asyncio.to_thread(brief._generate, [Example("short", "how many orders?")], 1)
    assert not long.done()
    is_over.set()
    assert len((await long)[0].tokens) == n_passes == 9


@pytest.mark.parametrize("text", ["how many Orders in Rome? ", "200 of 7,531 !?", 'x\'y"z" '])
def test_of_a_long_text_no_more_is_tokenised_than_is_read_and_it_reads_the_same(brief, text):
    coder = brief.coder
    ids, is_cut = coder.source(Example("long", text * 300), "")
    assert is_cut and ids == coder.question(text * 300)[: coder.max_length]
    assert len(coder.question(text * 300, 10)) < 100 < len(coder.question(text * 300))


@pytest.mark.slow
def test_numbers_that_no_training_row_held_are_copied(tmp_path):
    def orders(numbers):
        return [
            Example(str(n), f"what is in order {n}, please?", label=f"SELECT product FROM orders WHERE order_id = {n}")
            for n in numbers
        ]

    numbers = random.Random(0).sample(range(100, 1000), 120)
    config = TrainConfig(
        epochs=30, learning_rate=5e-3, tokens_per_batch=256, schedule="cosine", bf16=False, max_validations=1
    )
    train(tmp_path / "s", rows=orders(numbers[:100]), config=config)
    unseen = orders(numbers[100:])
    found = answers(load_student(tmp_path / "s"), unseen)
    assert sum(answer == row.label for answer, row in zip(found, unseen, strict=True)) >= 0.9 * len(unseen)


def test_training_leaves_out_tokens_of_the_question_but_none_of_the_answer_or_the_prefix(tmp_path):
    torch.manual_seed(0)
    examples = questions(2, rationales=True)
    job = job_of(tmp_path, "generative:scratch:tiny", STEPWISE, examples)
    model, tokenizer = _scratch(job)
    coder = _coder(model, tokenizer, 128, prefixed=True, own=True)
    rows = _TrainablePairs(job, model.train(), coder, BRIEF)
    pair = rows._rows[0][0]
    drawn = [rows._thinned(pair) for _ in range(200)]
    always = set.intersection(*map(set, drawn))
    assert set(coder.question("predict: ")) <= always and set(coder.question("rome")) <= always
    assert any(token not in always for token in pair.source)
    assert rows.batch([0])["input_ids"].shape[1] <= len(pair.source)
    model.eval()
    assert rows._thinned(pair) == pair.source


def folder_of(tmp_path, model, name):
    """A base as the hub has them: weights, config, and a byte-level BPE as GPT-2's."""
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(
        [text for row in questions(32) for text in (row.input, row.label)],
        vocab_size=400,
        special_tokens=["<pad>", "</s>"],
    )
    model.save_pretrained(tmp_path / name)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer._tokenizer, pad_token="<pad>", eos_token="</s>", model_max_length=128
    )
    fast.save_pretrained(tmp_path / name)
    return f"generative:{tmp_path / name}"


def tiny_bart():
    return transformers.BartForConditionalGeneration(
        transformers.BartConfig(
            vocab_size=400, d_model=64, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=64,
            decoder_ffn_dim=64, max_position_embeddings=128, pad_token_id=0, bos_token_id=None, eos_token_id=1, decoder_start_token_id=0,
            forced_eos_token_id=None, init_std=0.1,  # with the usual 0.02 so narrow a model often learns nothing
        )
    )  # fmt: skip


def tiny_llama():
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=400, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=256, pad_token_id=0,
            bos_token_id=None, eos_token_id=1,
        )
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("make", [tiny_bart, tiny_llama])
def test_a_base_in_a_folder_is_finetuned_whichever_kind_its_config_says(tmp_path, make):
    torch.manual_seed(0)
    spec = folder_of(tmp_path, make(), "base")
    config = TrainConfig(
        epochs=100, learning_rate=5e-3, tokens_per_batch=256, schedule="cosine", bf16=False, max_validations=4
    )
    train(tmp_path / "s", spec=spec, config=config)
    student = load_student(tmp_path / "s")
    rows = questions(8)
    assert answers(student, rows) == [row.label for row in rows]
    assert answers(student, rows[:1]) == [rows[0].label]
    transformers.AutoModel.from_pretrained(tmp_path / "s")  # the artifact is a plain transformers folder


def rows_of(tmp_path, base, task, examples):
    model, tokenizer = _pretrained(base)
    coder = _coder(model, tokenizer, 128, prefixed=task.student.recipe == "step_by_step", own=False)
    job = job_of(tmp_path, f"generative:{base}", task, examples)
    return _TrainablePairs(job, model.eval(), coder, BRIEF)


def test_a_decoder_only_question_carries_no_loss(tmp_path):
    torch.manual_seed(0)
    base = folder_of(tmp_path, tiny_llama(), "base").partition(":")[2]
    rows = rows_of(tmp_path, base, TASK, questions(2))
    batch = rows.batch([0])
    pair = rows._rows[0][0]
    carried = [token for token in batch["targets"][0].tolist() if token != IGNORE]
    assert carried == pair.target
    assert carried[-1] == rows._coder.end
    # The place before the answer's first token is what predicts it.
    at = batch["targets"][0].tolist().index(pair.target[0])
    assert batch["input_ids"][0, at + 1].item() == pair.target[0]


def test_step_by_step_asks_twice_in_one_forward_and_once_where_there_is_no_rationale(tmp_path):
    torch.manual_seed(0)
    base = folder_of(tmp_path, tiny_bart(), "base").partition(":")[2]
    examples = [*questions(1, rationales=True), *questions(2)[1:]]
    rows = rows_of(tmp_path, base, STEPWISE, examples)
    batch = rows.batch([0, 1])
    assert batch["explains"].tolist() == [False, True, False]
    both, _ = rows.loss(batch)
    label_only, _ = rows.loss(rows.batch([1]))
    assert both.item() != pytest.approx(label_only.item())


@pytest.mark.slow
def test_step_by_step_learns_the_label_and_is_asked_for_it_alone(tmp_path):
    rows = questions(32, rationales=True)
    train(tmp_path / "s", task=STEPWISE, rows=rows)
    assert answers(load_student(tmp_path / "s"), rows[:8]) == [row.label for row in rows[:8]]


def test_step_by_step_without_a_rationale_is_refused(tmp_path):
    with pytest.raises(UserError, match="no training row has one"):
        train(tmp_path / "s", task=STEPWISE)


@pytest.mark.slow
def test_choices_and_their_answers_stay_within_the_choices(tmp_path):
    task = Task(name="colour", instruction="Which?", output="choice")
    rows = [
        Example(str(i), f"the {word}", label=colour, choices=("red", "green"))
        for i, (word, colour) in enumerate([("rose", "red"), ("leaf", "green")] * 8)
    ]
    train(tmp_path / "s", task=task, rows=rows)
    student = load_student(tmp_path / "s")
    assert answers(student, rows[:2]) == ["red", "green"]
    odd = asyncio.run(student.predict([Example("x", "the rose", choices=("blue", "black"))]))[0]
    assert odd.output is None
    assert odd.error == "the answer is none of the choices"


@pytest.mark.parametrize(
    ("spec", "says"), [("generative:scratch:huge", "scratch:small"), ("generative:./absent", "no such folder")]
)
def test_an_unknown_base_is_one_sentence(tmp_path, spec, says):
    with pytest.raises(UserError, match=says):
        train(tmp_path / "s", spec=spec)


def test_what_is_too_long_is_cut_and_counted(tmp_path):
    rows = [*questions(8), Example("long", "how many orders " * 60, label="SELECT 1")]
    result = train(
        tmp_path / "s",
        rows=rows,
        config=TrainConfig(epochs=1, learning_rate=1e-3, tokens_per_batch=512, max_length=32, bf16=False),
    )
    assert result.n_truncated == 1


def test_an_answer_of_a_json_task_is_canonical_or_none():
    student = object.__new__(GenerativeStudent)
    student.task, student.labels, student.most_new_tokens = Task("t", "i", "json"), None, 9

    def said(text):
        answer = GeneratedAnswer(
            text=text,
            tokens=[],
            token_logprobs=[],
            confidence=0.5,
            raw_confidence=None,
            n_input=1,
            is_input_cut=False,
            ended=True,
        )
        prediction = student._prediction(Example("1", "x"), answer, 0.1)
        return prediction.output, prediction.error

    assert said('{"b": 2.0, "a":1}') == ('{"a": 1, "b": 2}', None)
    assert said('{"b": 2.0') == (None, "the answer is not valid JSON")


@pytest.mark.slow
async def test_a_student_of_json_learns_and_gives_canonical_text(tmp_path):
    """Labels come in three spellings of two values; two spaces in a text are not one."""
    task = Task(name="read", instruction="Read it.", output="json", metric="exact_match")
    spelled = ['{"b": 2.0, "a": "x  y"}', '{"a":"x  y","b":2}', '{"a": "z", "b": null}']
    rows = [Example(str(i), ("two", "two", "none")[i % 3], spelled[i % 3]) for i in range(24)]
    result = train(tmp_path / "student", task=task, rows=rows)
    said = await load_student(tmp_path / "student").predict(rows[:3])
    assert result.best_validation == 1.0
    assert [answer.output for answer in said] == ['{"a": "x  y", "b": 2}'] * 2 + ['{"a": "z", "b": null}']
