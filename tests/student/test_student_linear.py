"""The linear and majority students: learned, saved, loaded, and honest about rows they cannot learn from."""

import json
import math
import random
import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from stillhouse.errors import ExistsError, UserError
from stillhouse.records import Example, Predictor
from stillhouse.student import linear, load_student, span, train_student
from stillhouse.student.calibration import fit_temperature, ragged, softmax
from stillhouse.student.linear import _ToLearn
from stillhouse.student.ngrams import features, grams, pair_features, pairs_of_row
from stillhouse.student.tfidf import Learned, lookup_in, weighted
from stillhouse.task import Task

TASK = Task(name="mood", instruction="Is it good or bad?", output="choice", labels=("good", "bad", "mixed"))
CHOICES = Task(name="opposite", instruction="Choose the opposite.", output="choice")


def moods(n, start=0):
    """good iff the text says so; `mixed` never occurs."""
    words = {"good": ("lovely", "bright", "warm"), "bad": ("awful", "grim", "cold")}
    rows = []
    for i in range(start, start + n):
        label = ("good", "bad")[i % 2]
        rows.append(
            Example(
                id=str(i),
                input=f"row {i}: what a {words[label][i % 3]} day",
                label=label,
                teacher_label="good" if i % 10 == 1 else label,
            )
        )
    return rows


def opposites(n):
    pairs = [("hot", "cold"), ("up", "down"), ("left", "right"), ("big", "small")]
    rows = []
    for i in range(n):
        word, opposite = pairs[i % 4]
        others = [other for _, other in pairs if other != opposite][: 1 + i % 3]
        choices = (*others[: i % 2], opposite, *others[i % 2 :])
        rows.append(Example(id=str(i), input=f"the opposite of {word}", label=opposite, choices=choices))
    return rows


def train(tmp_path, spec="linear", task=TASK, rows=None, validation=None, source="gold", name="out"):
    rows, validation = moods(60) if rows is None else rows, moods(40, start=60) if validation is None else validation
    return train_student(spec, task, rows, validation, source=source, seed=0, out=tmp_path / name)


def test_grams_are_words_word_pairs_and_padded_characters():
    assert list(grams("Hi, go")) == [
        *("w hi", "c  h", "c hi", "c i ", "c  hi", "c hi ", "c  hi "),
        *("w ,", "c  ,", "c , ", "c  , "),
        *("w go", "c  g", "c go", "c o ", "c  go", "c go ", "c  go "),
        *("w hi ,", "w , go"),
    ]


def test_character_grams_are_those_of_scikit_learn():
    text = "a men embracing while holding to go packages"
    theirs = CountVectorizer(analyzer="char_wb", ngram_range=(2, 5)).build_analyzer()(text)
    assert sorted(gram[2:] for gram in grams(text) if gram.startswith("c ")) == sorted(theirs)


def test_the_same_word_in_two_fields_is_two_features():
    assert "0w man" in features(("a man", "a dog")) and "1w man" not in features(("a man", "a dog"))


def test_a_pair_is_scored_on_the_choice_and_on_words_that_meet():
    found = pair_features(("opposite of hot",), "cold")
    assert "aw cold" in found and "x hot cold" in found
    assert not any(feature.startswith("0") for feature in found)


async def test_it_learns_and_predicts_in_input_order(tmp_path):
    result = train(tmp_path)
    student = load_student(tmp_path / "out")
    assert isinstance(student, Predictor)
    assert (result.best_validation, result.metric, result.n_train, result.n_validation, result.source) == (
        1.0,
        "accuracy",
        60,
        40,
        "gold",
    )
    assert (student.name, student.family, student.labels, student.task.instruction) == (
        "mood/linear",
        "linear",
        TASK.labels,
        TASK.instruction,
    )
    assert (
        student.size_bytes
        == result.size_bytes
        == sum(
            path.stat().st_size
            for path in (tmp_path / "out").iterdir()
            if path.name not in ("learned.hashes", "likeness.json")
        )
    )
    predictions = await student.predict(moods(10, start=200))
    assert [prediction.output for prediction in predictions] == ["good", "bad"] * 5
    for prediction in predictions:
        assert list(prediction.scores) == ["good", "bad", "mixed"]
        assert sum(prediction.scores.values()) == pytest.approx(1)
        assert prediction.confidence == max(prediction.scores.values())
        assert prediction.latency_s > 0 and prediction.cost_usd is None
    assert await student.predict([]) == []


async def test_a_reloaded_student_gives_the_probabilities_of_scikit_learn(tmp_path, monkeypatch):
    from sklearn.linear_model import LogisticRegression

    from stillhouse.student import linear

    monkeypatch.setattr(linear, "C_GRID", (1.0,))
    fitted = []

    class Remembered(LogisticRegression):
        def fit(self, matrix, classes):
            fitted.append((self, matrix))
            return super().fit(matrix, classes)

    monkeypatch.setattr(linear, "LogisticRegression", Remembered)
    rows = [
        Example(id=str(i), input=f"{word} {i}", label=label)
        for i, (word, label) in enumerate([("sun", "good"), ("rain", "bad"), ("fog", "mixed")] * 20)
    ]
    train(tmp_path, rows=rows, validation=rows[:20])  # under 30 rows: no temperature
    regression, matrix = fitted[0]
    expected = regression.predict_proba(matrix)
    predictions = await load_student(tmp_path / "out").predict(rows)
    assert np.abs(np.array([list(prediction.scores.values()) for prediction in predictions]) - expected).max() < 1e-6


async def test_two_classes_have_the_probabilities_of_a_binary_regression(tmp_path, monkeypatch):
    from stillhouse.student import linear

    monkeypatch.setattr(linear, "C_GRID", (1.0,))
    train(tmp_path, validation=moods(20, start=60))
    student = load_student(tmp_path / "out")
    prediction = (await student.predict(moods(1)))[0]
    assert prediction.scores["mixed"] < 1e-9  # never seen in training, and never picked
    assert prediction.scores["good"] + prediction.scores["bad"] == pytest.approx(1)


async def test_it_learns_from_the_teacher_when_told_to(tmp_path):
    result = train(tmp_path, "majority", source="teacher")
    assert result.source == "teacher"
    assert (await load_student(tmp_path / "out").predict(moods(1)))[0].scores["good"] == pytest.approx(36 / 60)


async def test_choices_of_each_row_are_scored_against_one_another(tmp_path):
    result = train(tmp_path, task=CHOICES, rows=opposites(80), validation=opposites(12))
    student = load_student(tmp_path / "out")
    assert student.labels is None and result.best_validation == 1.0
    rows = [*opposites(6), Example(id="bare", input="the opposite of hot")]
    predictions = await student.predict(rows)
    assert [prediction.output for prediction in predictions[:6]] == [row.label for row in rows[:6]]
    assert [tuple(prediction.scores) for prediction in predictions[:6]] == [row.choices for row in rows[:6]]
    assert predictions[6].output is None and "row bare has no choices" in predictions[6].error


async def test_majority_answers_with_the_commonest_label(tmp_path):
    rows = [Example(id=str(i), input="x", label="bad" if i < 6 else "good") for i in range(10)]
    result = train(tmp_path, "majority", rows=rows, validation=rows)
    assert result.best_validation == 0.6
    prediction = (await load_student(tmp_path / "out").predict(rows[:1]))[0]
    assert (prediction.output, prediction.confidence) == ("bad", 0.6)


async def test_majority_of_choices_is_the_commonest_place(tmp_path):
    rows = [Example(id=str(i), input="x", label=label, choices=("a", "b", "c")) for i, label in enumerate("bbbac")]
    train(tmp_path, "majority", task=CHOICES, rows=rows, validation=rows)
    student = load_student(tmp_path / "out")
    assert (await student.predict([Example(id="1", input="y", choices=("x", "y"))]))[0].output == "y"
    assert (await student.predict([Example(id="2", input="y")]))[0].output is None


# Calibration


def test_temperature_finds_how_overconfident_the_logits_are():
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(4000, 3))
    targets = [int(rng.choice(3, p=row)) for row in softmax(honest)]
    assert fit_temperature(honest * 3, targets) == pytest.approx(3, rel=0.15)
    assert fit_temperature(honest[:20], targets[:20]) == 1.0  # too few rows to say


def test_choices_that_a_row_lacks_have_no_probability():
    assert softmax(ragged([np.array([0.0, 0.0]), np.array([0.0, 0.0, 0.0, 0.0])])).tolist() == [
        [0.5, 0.5, 0, 0],
        [0.25] * 4,
    ]


# Rows that cannot be learned from


def row(**fields):
    return Example(**{"id": "r1", "input": "text", "label": "good"} | fields)


@pytest.mark.parametrize(
    ("rows", "validation", "message"),
    [
        ([], None, "no training rows for mood"),
        (None, [], "no validation rows for mood"),
        ([row(), row(id="r2", label=None)], None, r"1 of 2 training rows have no gold label \(the first is r2\)"),
        (
            [row(), row(id="r2", label="great")],
            None,
            r"row r2: gold label 'great' is not one of the task's labels \(good, bad, mixed\)",
        ),
        ([row(), row(id="r2")], None, "all 2 training rows of mood have the label 'good'"),
        ([row(choices=("good", "bad")), row(id="r2")], None, "has no `choices` while other rows have"),
        (
            [row(choices=("fine", "bad"))],
            [row(choices=("good", "bad"))],
            r"row r1: gold label 'good' is not one of its choices \(fine, bad\)",
        ),
    ],
)
def test_rows_that_cannot_be_learned_from_are_refused_in_one_sentence(tmp_path, rows, validation, message):
    with pytest.raises(UserError, match=message):
        train(tmp_path, rows=rows, validation=validation)
    assert list(tmp_path.iterdir()) == []


def test_missing_teacher_labels_are_refused_with_the_command_that_makes_them(tmp_path):
    with pytest.raises(UserError, match=r"2 of 2 training rows have no teacher label .* run `stillhouse label`"):
        train(tmp_path, rows=[row(), row(id="r2")], source="teacher")


@pytest.mark.parametrize("spec", ["liner", "linear:big", "encoder", "generative:", ""])
def test_an_unknown_spec_names_the_known_ones(tmp_path, spec):
    with pytest.raises(UserError, match=r"unknown student .* use majority, linear, encoder:minilm"):
        train(tmp_path, spec)


def test_a_free_text_task_is_not_for_a_classifier(tmp_path):
    with pytest.raises(UserError, match='has output = "text"; use a generative student'):
        train(tmp_path, task=Task(name="sum", instruction="Add.", output="text"))


def test_nothing_is_overwritten(tmp_path):
    train(tmp_path, "majority")
    with pytest.raises(ExistsError, match="out is there already"):
        train(tmp_path)


@pytest.mark.slow
def test_linear_needs_no_torch_and_the_others_say_what_to_install(tmp_path):
    script = """
import asyncio, sys
class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NotInstalled())
from stillhouse.records import Example
from stillhouse.student import load_student, train_student
from stillhouse.task import Task
task = Task(name="t", instruction="i", output="choice", labels=("a", "b"))
rows = [Example(id=str(i), input="ab"[i % 2] * 3, label="ab"[i % 2]) for i in range(8)]
train_student("linear", task, rows, rows, source="gold", seed=0, out=sys.argv[1] + "/linear")
print(asyncio.run(load_student(sys.argv[1] + "/linear").predict(rows[:1]))[0].output)
try:
    train_student("encoder:scratch:tiny", task, rows, rows, source="gold", seed=0, out=sys.argv[1] + "/encoder")
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "a"
    assert second == "MissingExtraError encoder students need torch; install it with `pip install 'stillhouse[train]'`"


def test_the_vocabulary_is_plain_json(tmp_path):
    result = train(tmp_path)
    vocabulary = json.loads((tmp_path / "out" / "vocabulary.json").read_text())
    assert "0w lovely" in vocabulary and len(vocabulary) == result.settings["n_features"]
    assert result.n_parameters == 3 * (len(vocabulary) + 1)


def test_training_makes_a_bounded_number_of_pairs_and_tells_which_rows_were_cut(monkeypatch):
    words, others = " ".join(f"w{i}" for i in range(2000)), " ".join(f"v{i}" for i in range(1000))
    long = Example("long", words, label=others, choices=(others, "none"))  # two million pairs of words
    short = Example("short", "it is hot it is", label="cold", choices=("cold", "very warm"))
    learned = Learned()
    documents = _ToLearn([short, long, short], None, learned.lookup)
    rows, names = list(documents), learned.names
    made = [np.repeat([names[at] for at in numbers], counts).tolist() for numbers, counts in rows]
    pairs_of = [sum(feature.startswith("x ") for feature in document) for document in made]
    assert pairs_of == [3, 6, 19 * 1000, 19, 3, 6]
    assert documents.n_cut == 1
    assert sorted(made[0]) == sorted(pair_features(short.fields, "cold"))
    monkeypatch.setattr(linear, "MOST_WORD_PAIRS", 6)  # of all three rows: the first of their words are left
    documents = _ToLearn([short, long, short], None, learned.lookup)
    pairs = {at for at, name in enumerate(learned.names) if name.startswith("x ")}
    assert [len(pairs.intersection(numbers.tolist())) for numbers, _ in documents] == [1, 2, 1000, 1, 1, 2]
    assert documents.n_cut == 3


def test_rows_with_too_many_pairs_are_counted_in_the_result(tmp_path, monkeypatch):
    monkeypatch.setattr(linear, "MOST_WORD_PAIRS_OF_ROW", 8)
    task = Task(name="pick", instruction="Pick.", output="choice")
    rows = [
        Example(str(i), "one two three four five" if i % 4 == 0 else "one", label="a", choices=("a", "b"))
        for i in range(40)
    ]
    result = train_student("linear", task, rows, rows, source="gold", seed=0, out=tmp_path / "out")
    assert result.n_truncated == 10


def _as_scikit_learn_has_it(documents, vocabulary=None, **limits):
    """What version 0.1 did: (vocabulary, idf, matrix)."""
    vectorizer = TfidfVectorizer(
        analyzer=lambda document: document, sublinear_tf=True, dtype=np.float32, vocabulary=vocabulary, **limits
    )
    matrix = vectorizer.fit_transform(documents)
    return vectorizer.get_feature_names_out().tolist(), vectorizer.idf_, matrix


def test_features_and_their_weights_are_to_the_bit_those_of_scikit_learn():
    draw = random.Random(3)
    kinds = ["naïve", "İstanbul", "x" * 60, "word's", "a", "...", "３", "ß", "日本語", "\U0001f600", "_", "it"]
    texts = [" ".join(draw.choices(kinds, k=draw.randint(0, 30))) for _ in range(12)]
    fields = [(text, other) for text, other in zip(texts, [*texts[1:], ""], strict=True)]
    choices = [tuple(draw.sample(kinds, 3)) for _ in texts]
    in_pairs = [document for own, three in zip(fields, choices, strict=True) for document in pairs_of_row(own, three)]
    for documents, rows_of in (
        ([features(own) for own in fields], lambda lookup: [lookup.fields(own) for own in fields]),
        (in_pairs, lambda lookup: [*_ToLearn(_with_choices(fields, choices), None, lookup)]),
    ):
        for fewest, most in ((1, 10_000), (2, 10_000), (1, 50)):
            learned = Learned()
            vocabulary, idf, matrix = learned.fit(rows_of(learned.lookup), fewest, most)
            names, their_idf, theirs = _as_scikit_learn_has_it(documents, min_df=fewest)
            if most > len(names):
                assert vocabulary == names and idf.tobytes() == their_idf.tobytes()
                theirs.sort_indices()
                assert (matrix != theirs).nnz == 0 and matrix.data.tobytes() == theirs.data.tobytes()
            else:
                assert len(vocabulary) == most and set(vocabulary) < set(names) and vocabulary == sorted(vocabulary)
            loaded = weighted(rows_of(lookup_in(vocabulary)), idf)
            assert loaded.indices.tobytes() == matrix.indices.tobytes()
            assert loaded.data.tobytes() == matrix.data.tobytes()


def _with_choices(fields, choices):
    return [
        Example(str(at), {"a": own[0], "b": own[1]}, choices=three)
        for at, (own, three) in enumerate(zip(fields, choices, strict=True))
    ]


def test_a_regression_in_the_span_of_the_rows_is_that_of_the_features():
    draw = np.random.default_rng(0)
    dense = draw.random((90, 400), dtype=np.float32) * (draw.random((90, 400)) < np.linspace(0.02, 1, 400))
    dense[40] = dense[7]  # a row that stands twice
    matrix, classes = csr_matrix(dense), np.arange(90) % 3
    assert span.pays(matrix, 3) and not span.pays(matrix, 2) and not span.pays(csr_matrix(np.eye(90)), 3)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(span, "_COMMON", 30)  # so some features are multiplied densely, some sparsely
        of_span = span.Span(matrix)
    assert np.allclose(of_span.rows @ of_span.rows.T, (matrix @ matrix.T).toarray(), atol=1e-4)
    fits = [LogisticRegression(C=3, tol=1e-7, max_iter=5000).fit(rows, classes) for rows in (matrix, of_span.rows)]
    back = of_span.weights(fits[1].coef_)
    assert np.abs(back - fits[0].coef_).max() < 2e-3 * np.abs(fits[0].coef_).max()


def test_the_strength_of_the_penalty_is_looked_for_from_the_middle_until_two_in_a_row_are_no_better():
    grid = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    for best, tried in (
        (30.0, [1, 3, 10, 30]),
        (3.0, [1, 3, 10, 30]),
        (1.0, [1, 3, 10, 0.3, 0.1]),
        (0.1, [1, 3, 10, 0.3, 0.1, 0.03]),
    ):
        asked = []

        def fitted(c, best=best, asked=asked):
            asked.append(c)
            return linear.Fitted((-abs(math.log(c / best)), 0.0), c, None, None, 1.0)

        assert linear._best_on_the_way(fitted, grid).c == best and asked == tried
    assert linear._best_on_the_way(fitted, (7.0,)).c == 7.0
