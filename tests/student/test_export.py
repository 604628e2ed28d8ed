"""A student as a folder that loads without Stillhouse: the same answers, and nothing but weights, JSON and text."""

import hashlib
import json

import numpy as np
import pytest
import torch
import transformers
from test_student_encoder import CHOICES, PAIR, TASK, moods, opposites, pairs
from test_student_encoder import train as train_encoder
from test_student_generative import BRIEF, questions
from test_student_generative import train as train_generative
from tokenizers import ByteLevelBPETokenizer

from stillhouse.errors import ArtifactError, ExistsError, MissingExtraError, UserError
from stillhouse.records import Example
from stillhouse.student import TrainConfig, load_student
from stillhouse.student.export import export_student
from stillhouse.student.ngrams import features
from without_stillhouse import check_same

SHORT = TrainConfig(epochs=2, learning_rate=3e-3, tokens_per_batch=256, bf16=False)
TASKS = {"labels": (TASK, moods(60)), "fields": (PAIR, pairs(48)), "choices": (CHOICES, opposites(48))}


def linear(folder, kind="labels"):
    task, rows = TASKS[kind]
    train_encoder(folder, task=task, rows=rows, spec="linear", config=None)
    return folder, rows


def exported(student, form, out):
    return export_student(student, form, out, card="# the card\n", facts={"unproven": None})


def test_the_graph_of_a_linear_student_gives_its_probabilities(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    folder, rows = linear(tmp_path / "student")
    student = load_student(folder)
    exported(folder, "onnx", tmp_path / "out")
    about = json.loads((tmp_path / "out" / "about.json").read_text())
    place = {feature: at for at, feature in enumerate(json.loads((tmp_path / "out" / "vocabulary.json").read_text()))}
    graph = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    odd = Example("odd", "Zq!", label="good")  # no feature of it is known
    of_rows = [[place[name] for name in features(row.fields) if name in place] for row in (*rows[:9], odd)]
    assert of_rows[-1] == []
    width = max(map(len, of_rows))
    ids, counts = np.zeros((10, width), np.int64), np.zeros((10, width), np.float32)
    for at, of_row in enumerate(of_rows):
        found, often = np.unique(of_row, return_counts=True)
        ids[at, : len(found)], counts[at, : len(found)] = found, often
    [logits] = graph.run(["logits"], {"features": ids, "counts": counts})
    powers = np.exp(logits / about["temperature"])
    ours = [list(prediction.scores.values()) for prediction in student._predict([*rows[:9], odd])]
    assert np.allclose(powers / powers.sum(1, keepdims=True), ours, atol=1e-6)
    assert about["labels"] == ["good", "bad"]


def test_every_file_is_told_with_its_hash_and_none_is_a_pickle(tmp_path):
    pytest.importorskip("onnx")
    folder, _ = linear(tmp_path / "student")
    done = exported(folder, "onnx", tmp_path / "out")
    assert done.files == ("README.md", "about.json", "model.onnx", "ngrams.py", "vocabulary.json")
    about, readme = (tmp_path / "out" / "about.json").read_text(), (tmp_path / "out" / "README.md").read_text()
    assert readme.startswith("# the card\n")
    for name in done.files:
        data = (tmp_path / "out" / name).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if name not in ("README.md", "about.json"):
            assert json.loads(about)["files"][name] == {"bytes": len(data), "sha256": digest}
        assert name == "README.md" or f"| `{name}` | {len(data):,} | `{digest}` |" in readme
        assert not data.startswith((b"\x80", b"PK"))
    student = json.loads(about)["student"]
    assert student["sha256"] == hashlib.sha256((folder / "student.json").read_bytes()).hexdigest()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]


def test_what_a_family_has_no_form_for_is_refused_with_what_there_is(tmp_path):
    folder, rows = linear(tmp_path / "student")
    with pytest.raises(
        UserError,
        match=r"student: a linear student is no model of transformers; what can be exported is linear \(--to onnx\), "
        r"encoder \(--to hf or --to onnx\), generative \(--to hf or --to onnx\)$",
    ):
        exported(folder, "hf", tmp_path / "out")
    train_encoder(tmp_path / "most", rows=rows, spec="majority", config=None)
    with pytest.raises(UserError, match="gives one answer to all"):
        exported(tmp_path / "most", "onnx", tmp_path / "out")
    with pytest.raises(UserError, match=r"^--to pickle: no such form; it is hf or onnx$"):
        exported(folder, "pickle", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_and_a_changed_student_is_not_exported(tmp_path):
    folder, _ = linear(tmp_path / "student")
    (tmp_path / "out").mkdir()
    with pytest.raises(ExistsError, match="is there already"):
        exported(folder, "onnx", tmp_path / "out")
    (folder / "vocabulary.json").write_text("[]")
    with pytest.raises(ArtifactError, match="copy the folder again or train it again"):
        exported(folder, "onnx", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_without_the_extra_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    folder, _ = linear(tmp_path / "student")
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"needs onnx; install it with `pip install 'stillhouse\[export\]'`$"):
        exported(folder, "onnx", tmp_path / "out")


def test_a_graph_that_froze_a_length_is_not_handed_out(tmp_path):
    pytest.importorskip("onnxruntime")
    from stillhouse.student.export.traced import write_graph

    short, long = {"ids": torch.ones(2, 3, dtype=torch.long)}, {"ids": torch.ones(3, 5, dtype=torch.long)}
    with pytest.raises(
        ArtifactError, match=r"answers inputs of another length otherwise than it does itself; use --to hf"
    ):
        write_graph(
            tmp_path / "m.onnx",
            torch.nn.Identity(),
            lambda given: given["ids"].float() * float(given["ids"].shape[1]),
            short,
            long,
            {"ids": ("rows", "tokens")},
            "out",
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", TASKS)
async def test_a_linear_student_answers_the_same_elsewhere(tmp_path, kind):
    pytest.importorskip("onnxruntime")
    folder, rows = linear(tmp_path / "student", kind)
    exported(folder, "onnx", tmp_path / "out")
    check_same(tmp_path / "out", rows, await load_student(folder).predict(rows))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "form"), [("labels", "hf"), ("fields", "onnx"), ("choices", "hf"), ("choices", "onnx")]
)
async def test_an_encoder_student_answers_the_same_elsewhere(tmp_path, kind, form):
    pytest.importorskip("onnxruntime")
    task, rows = TASKS[kind]
    train_encoder(tmp_path / "student", task=task, rows=rows, config=SHORT)
    exported(tmp_path / "student", form, tmp_path / "out")
    if kind == "labels":
        rows = [*rows[:20], Example("long", "lovely day " * 300)]  # longer than the student reads
    check_same(tmp_path / "out", rows, await load_student(tmp_path / "student").predict(rows))


def base(folder, encoder_decoder):
    """A base in a folder, which decodes in a way of its own: by beams, and never a token twice."""
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(
        [text for row in questions(32) for text in (row.input, row.label)], 300, special_tokens=["<pad>", "</s>"]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer._tokenizer, pad_token="<pad>", eos_token="</s>", model_max_length=64
    )
    sizes = {"vocab_size": len(fast), "pad_token_id": 0, "eos_token_id": 1}
    if encoder_decoder:
        config = transformers.T5Config(
            d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, decoder_start_token_id=0, **sizes
        )
        model = transformers.T5ForConditionalGeneration(config)
    else:
        config = transformers.GPT2Config(n_embd=32, n_layer=1, n_head=2, n_positions=128, bos_token_id=1, **sizes)
        model = transformers.GPT2LMHeadModel(config)
    model.generation_config = transformers.GenerationConfig(
        num_beams=3, no_repeat_ngram_size=1, min_new_tokens=9, decoder_start_token_id=0, eos_token_id=1, pad_token_id=0
    )
    model.save_pretrained(folder)
    fast.save_pretrained(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "form"), [("decoder-only", "hf"), ("encoder-decoder", "hf"), ("scratch", "onnx")])
async def test_a_generative_student_answers_the_same_elsewhere(tmp_path, kind, form):
    pytest.importorskip("onnxruntime")
    rows = questions(16)
    spec = "generative:scratch:tiny"
    if kind != "scratch":
        base(tmp_path / "base", kind == "encoder-decoder")
        spec = f"generative:{tmp_path / 'base'}"
    quick = TrainConfig(epochs=60, learning_rate=8e-3, tokens_per_batch=512, bf16=False, max_validations=2)
    train_generative(tmp_path / "student", spec=spec, rows=rows, config=quick)
    exported(tmp_path / "student", form, tmp_path / "out")
    predictions = await load_student(tmp_path / "student").predict(rows)
    assert sum(prediction.output is not None for prediction in predictions) >= 4
    check_same(tmp_path / "out", rows, predictions)


@pytest.mark.slow
def test_a_base_that_copies_has_no_class_in_transformers(tmp_path):
    train_generative(tmp_path / "student", rows=questions(8), config=BRIEF)
    with pytest.raises(UserError, match="copies from the question, which no class of transformers does; use --to onnx"):
        exported(tmp_path / "student", "hf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_base_that_decodes_in_its_own_way_is_exported_to_decode_as_the_student_does(tmp_path):
    base(tmp_path / "base", encoder_decoder=True)
    train_generative(tmp_path / "student", spec=f"generative:{tmp_path / 'base'}", rows=questions(8), config=BRIEF)
    exported(tmp_path / "student", "hf", tmp_path / "out")
    decodes = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert {
        name: decodes.get(name) for name in ("num_beams", "no_repeat_ngram_size", "min_new_tokens", "do_sample")
    } in (
        {"num_beams": 1, "no_repeat_ngram_size": None, "min_new_tokens": None, "do_sample": False},
        {"num_beams": 1, "no_repeat_ngram_size": 0, "min_new_tokens": None, "do_sample": False},
    )
    assert decodes["max_new_tokens"] == load_student(tmp_path / "student").most_new_tokens
