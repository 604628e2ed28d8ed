"""Students on embeddings that are not trained: learned, saved, loaded, the same answers; no text embedded twice."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.special import softmax
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from stillhouse.errors import ArtifactError, UserError
from stillhouse.notices import told_to
from stillhouse.records import Example
from stillhouse.settings import StudentSettings
from stillhouse.student import embeddings, known_bases, load_student, static, train_student
from stillhouse.student.export import export_student
from stillhouse.student.readiness import check_can_learn, check_installed
from stillhouse.task import Task

TASK = Task(name="mood", instruction="Is it good or bad?", output="choice", labels=("good", "bad", "mixed"))
CHOICES = Task(name="like", instruction="Which is like it?", output="choice")
GOOD, BAD = ("sunny", "bright", "warm", "lovely"), ("grim", "cold", "dark", "awful")
WORDS = (*GOOD, *BAD, "day", "night", "it", "is")


@pytest.fixture(autouse=True)
def vectors(monkeypatch, tmp_path):
    """Word vectors of twelve words, in the place where `stillhouse fetch wordllama` puts its own: good ones lie on one side."""
    monkeypatch.setenv("STILLHOUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embeddings, "_kept", {})
    folder = known_bases.place("wordllama")
    folder.mkdir(parents=True)
    table = np.random.default_rng(0).normal(size=(len(WORDS) + 1, 8)).astype(np.float32)
    table[: len(GOOD), 0], table[len(GOOD) : len(GOOD) + len(BAD), 0] = 3, -3
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate((*WORDS, "?"))}, unk_token="?"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    save_file({"embedding.weight": table.astype(np.float16)}, folder / "model.safetensors")
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "base.json").write_text("{}")
    return folder


def moods(n, seed, fields=False):
    """Train and test have other words of the same kind: n-grams cannot tell, vectors can."""
    draw, rows = random.Random(seed), []
    for at in range(n):
        label = ("good", "bad")[at % 2]
        word = draw.choice({"good": GOOD, "bad": BAD}[label])
        text = (
            {"when": "day night", "what": f"it is {word}"}
            if fields
            else f"it is {word} {draw.choice(['day', 'night'])}"
        )
        scores = {label: 0.9, "mixed": 0.1}
        rows.append(Example(f"{seed}-{at}", text, label=label, teacher_label=label, teacher_scores=scores))
    return rows


def likes(n, seed):
    draw, rows = random.Random(seed), []
    for at in range(n):
        kinds = [GOOD, BAD] if at % 2 else [BAD, GOOD]
        own, right = draw.sample(kinds[0], 2)
        choices = [right, draw.choice(kinds[1])]
        draw.shuffle(choices)
        rows.append(Example(f"{seed}-{at}", own, label=right, choices=tuple(choices)))
    return rows


def train(tmp_path, spec="static:wordllama", task=TASK, rows=None, held_out=None, source="gold", name="out", **more):
    rows, held_out = rows or moods(60, 0), held_out or moods(40, 1)
    return train_student(spec, task, rows, held_out, source=source, seed=0, out=tmp_path / name, **more)


async def test_it_learns_is_saved_and_answers_as_its_vectors_say(tmp_path, vectors):
    result = train(tmp_path)
    assert result.best_validation == 1.0 and result.metric == "accuracy"
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"head.safetensors", "model.safetensors", "tokenizer.json", "vocabulary.json", "student.json"}
    (vectors / "base.json").unlink()  # a student is whole without the base
    student = load_student(tmp_path / "out")
    rows = [*moods(6, 2), Example("empty", "")]
    predictions = await student.predict(rows)
    assert [prediction.output for prediction in predictions[:6]] == ["good", "bad"] * 3
    head, table = load_file(tmp_path / "out" / "head.safetensors"), load_file(vectors / "model.safetensors")
    for row, prediction in zip(rows, predictions, strict=True):
        at = [WORDS.index(word) for word in row.text.split()]
        mean = table["embedding.weight"][at].astype(float).mean(axis=0) if at else np.zeros(8)
        mean /= max(np.linalg.norm(mean), 1e-12)
        expected = softmax((head["coefficients"] @ mean + head["intercept"]) / student.temperature)
        assert list(prediction.scores.values()) == pytest.approx(expected.tolist(), abs=1e-5)
    assert await student.predict([]) == []


@pytest.mark.parametrize("spec", ["static:wordllama", "static:wordllama+tfidf"])
async def test_fields_choices_and_soft_targets(tmp_path, spec):
    fields = moods(60, 0, fields=True), moods(40, 1, fields=True)
    soft = replace(TASK, student=StudentSettings(soft_targets=True))
    for name, task, (rows, held_out), source, fresh in (
        ("fields", TASK, fields, "gold", moods(8, 2, fields=True)),
        ("choices", CHOICES, (likes(90, 0), likes(40, 1)), "gold", likes(8, 2)),
        ("soft", soft, (moods(60, 0), moods(40, 1)), "teacher", moods(8, 2)),
    ):
        assert train(tmp_path, spec, task, rows, held_out, source, name).best_validation > 0.9
        student = load_student(tmp_path / name)
        found = await student.predict(fresh)
        assert sum(own.output == row.label for own, row in zip(found, fresh, strict=True)) >= 7
        assert all(sum(own.scores.values()) == pytest.approx(1) for own in found)
        if name == "soft":
            assert all(own.raw_confidence < 0.97 for own in found)  # 0.9 is what it learned
        if name == "choices":
            bare = (await student.predict([Example("bare", "sunny"), fresh[0]]))[0]
            assert bare.output is None and "has no choices" in bare.error
    assert bool(json.loads((tmp_path / "soft" / "vocabulary.json").read_text())) == spec.endswith("+tfidf")


def test_no_text_is_embedded_twice_over_seeds_sizes_and_later_trainings(tmp_path, monkeypatch):
    asked, real, told = [], static.StaticEmbedder.embed, []

    def embed(self, texts):
        asked.extend(texts)
        return real(self, texts)

    def trained(name, rows):
        with monkeypatch.context() as patched:
            patched.setattr(static.StaticEmbedder, "embed", embed)
            return train(tmp_path, rows=rows, name=name)

    trained("half", moods(30, 0))
    n_half = len(asked)
    trained("whole", moods(60, 0))
    assert len(asked) == len(set(asked)) >= n_half > 0
    asked.clear()
    monkeypatch.setattr(embeddings, "_kept", {})  # another process, later
    first = trained("again", moods(60, 0))
    assert asked == []
    folder = known_bases.cache() / "embeddings"
    assert [path.stat().st_mode & 0o077 for path in folder.iterdir()] == [0]  # the user's alone
    for path in folder.rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:50])  # torn
    monkeypatch.setattr(embeddings, "_kept", {})
    second = trained("torn", moods(60, 0))
    assert asked and second.settings == first.settings
    monkeypatch.setattr(embeddings, "_kept", {})
    monkeypatch.setattr(embeddings, "write_atomic", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    for path in folder.rglob("*.safetensors"):
        path.unlink()
    with told_to(told.append):
        trained("full", moods(60, 0))
    assert told == ["embeddings are not kept for the next training (disk full)"]


def test_what_it_cannot_do_is_said(tmp_path, vectors):
    for spec, says in (
        ("static:minilm", "unknown base 'minilm' of static:minilm; static vectors come as static:wordllama"),
        ("encoder:wordllama", "encoder:wordllama: wordllama is a table of vectors and no model; use static:wordllama"),
        ("static", "unknown student 'static'"),
    ):
        with pytest.raises(UserError, match=says):
            check_can_learn(spec, TASK)
    text = Task(name="t", instruction="Write.", output="text")
    with pytest.raises(UserError, match=r'static:wordllama picks among choices, and t has output = "text"'):
        check_can_learn("static:wordllama", text)
    train(tmp_path)
    with pytest.raises(UserError, match="a static student averages vectors, which neither form holds"):
        export_student(tmp_path / "out", "onnx", tmp_path / "exported", card="", facts={})
    (vectors / "base.json").unlink()
    with pytest.raises(UserError, match="type `stillhouse fetch wordllama`"):
        check_installed("static:wordllama+tfidf")


def test_a_student_whose_head_was_changed_is_refused(tmp_path):
    import hashlib

    train(tmp_path)
    head, header = tmp_path / "out" / "head.safetensors", tmp_path / "out" / "student.json"
    real = load_file(head)
    for change, says in (
        ({"coefficients": real["coefficients"] * np.float32(np.nan)}, "no training gives more than"),
        ({"coefficients": real["coefficients"][:, :-1].copy()}, "labels and vocabulary need"),
        ({"more": real["idf"]}, "'more' is not known"),
    ):
        save_file({**real, **change}, head)
        stored = json.loads(header.read_text())
        content = head.read_bytes()
        stored["files"]["head.safetensors"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        header.write_text(json.dumps(stored))
        with pytest.raises(ArtifactError, match=says):
            load_student(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["frozen:{base}", "frozen:{base}+tfidf"])
async def test_a_frozen_base_learns_is_saved_and_gives_the_same_answers_in_batches_and_alone(tmp_path, spec):
    import torch
    import transformers

    from stillhouse.student import bases
    from stillhouse.student.encoder import tiny_bert, word_tokenizer

    torch.manual_seed(0)
    tokenizer = word_tokenizer([" ".join(WORDS)])
    bases.save(tmp_path / "base", transformers.BertModel(tiny_bert(tokenizer)), tokenizer)
    result = train(tmp_path, spec.format(base=tmp_path / "base"))
    assert result.best_validation > 0.9
    student = load_student(tmp_path / "out")
    rows = [*moods(5, 3), Example("long", "it is sunny " * 200), Example("empty", "")]
    together = await student.predict(rows)
    alone = [(await student.predict([row]))[0] for row in rows]
    assert [own.is_input_cut for own in together] == [False] * 5 + [True, False]
    for one, other in zip(together, alone, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


@pytest.mark.slow
async def test_the_real_vectors_know_words_that_no_row_had(tmp_path, monkeypatch):
    monkeypatch.undo()
    try:
        known_bases.fetched("wordllama")
    except UserError as error:
        pytest.skip(str(error))
    rows = [
        Example(str(at), word, label=label)
        for at, (word, label) in enumerate(
            [
                *((word, "animal") for word in ("dog", "cat", "horse", "cow", "sheep", "mouse")),
                *((word, "number") for word in ("one", "two", "three", "four", "five", "six")),
            ]
            * 2
        )
    ]
    task = Task(name="kind", instruction="Which is it?", output="choice", labels=("animal", "number"))
    train(tmp_path, task=task, rows=rows, held_out=rows)
    fresh = [Example("a", "a lion and a wolf"), Example("b", "eleven or twelve")]
    assert [own.output for own in await load_student(tmp_path / "out").predict(fresh)] == ["animal", "number"]
