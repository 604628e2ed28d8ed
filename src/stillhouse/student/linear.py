"""The linear student: TF-IDF of character and word n-grams into logistic regression. It needs scikit-learn, not torch.

Each field of the input has its own features, so "man" in a premise and "man" in a hypothesis are two features. With
fixed labels it is a multinomial regression. With choices per row, each (input, choice) pair gets one score, and a
softmax over the row's choices decides. The artifact is a vocabulary in JSON and weights in safetensors, and nothing is
fitted again when it is loaded.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save
from scipy.sparse import csr_matrix, issparse
from sklearn.linear_model import LogisticRegression

from stillhouse.errors import ArtifactError
from stillhouse.records import Example, Prediction
from stillhouse.runs import write_atomic
from stillhouse.student.artifact import MODEL, Header, size_bytes
from stillhouse.student.calibration import Logits, fit_temperature, negative_log_likelihood, ragged, softmax
from stillhouse.student.header import AGAIN
from stillhouse.student.job import Trained, TrainJob, choice_predictions, no_choices
from stillhouse.student.ngrams import WORD, Partners, different_words, partners_in, word_pairs
from stillhouse.student.opening import check_tensors, probe, read_vocabulary
from stillhouse.student.span import Span, pays
from stillhouse.student.tfidf import Floats, Learned, Lookup, Row, lookup_in, weighted

VOCABULARY = "vocabulary.json"
MOST_FEATURES = 200_000  # the commonest features are kept; 9,600 rows of e-SNLI have 74,000 that occur twice
# Most pairs of words that are learned from, of one row and of all rows together. Most data have far fewer: 5 choices of
# 10 words under 100 words are 5,000. Of a row with more, the input's first words alone make pairs.
MOST_WORD_PAIRS_OF_ROW, MOST_WORD_PAIRS = 20_000, 50_000_000
LARGEST_WEIGHT = 1e6  # far beyond what the penalty lets grow; products and sums of such weights are still numbers
C_GRID = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # inverse strength of the L2 penalty; the best on validation is kept


@dataclass(frozen=True)
class _Weights:
    vocabulary: list[str]
    idf: Floats  # (features,)
    coefficients: Floats  # (labels, features); where pairs are scored (1, features)
    intercept: Floats  # (labels,) or (1,)


class LinearStudent:
    """Confidence is the answer's probability. A row's latency is that of its whole call: one matrix product."""

    family = "linear"

    def __init__(self, header: Header, folder: Path, weights: _Weights) -> None:
        self.name = f"{header.task.name}/{header.spec}"
        self.task, self.labels, self.input_fields = header.task, header.labels, header.input_fields
        self.size_bytes = size_bytes(folder)
        self.temperature = float(header.settings["temperature"])
        self._weights, self._lookup = weights, lookup_in(weights.vocabulary)
        self._by_feature = np.ascontiguousarray(weights.coefficients.T)  # (features, labels)
        self._partners = partners_in(weights.vocabulary) if self.labels is None else {}

    async def predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        return await asyncio.to_thread(self._predict, inputs)

    def _predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        began = time.perf_counter()
        answerable = [example for example in inputs if self.labels is not None or example.choices]
        if not answerable:
            return [no_choices(example) for example in inputs]
        rows = list(rows_of(answerable, self.labels, self._lookup, self._partners))
        matrix = weighted(rows, self._weights.idf)
        logits = scores_of(matrix, answerable, self.labels, self._by_feature, self._weights.intercept)
        probabilities, raw = softmax(logits, self.temperature), softmax(logits)
        latency_s = time.perf_counter() - began
        scored = ((own, own_raw, None) for own, own_raw in zip(probabilities, raw, strict=True))
        return choice_predictions(inputs, self.labels, scored, latency_s)


class _ToLearn:
    """The features of training rows, row after row, of at most so many pairs of words."""

    def __init__(self, examples: Sequence[Example], labels: Sequence[str] | None, lookup: Lookup) -> None:
        self._examples, self._labels, self._lookup = examples, labels, lookup
        self._most = min(MOST_WORD_PAIRS_OF_ROW, MOST_WORD_PAIRS // max(1, len(examples)))
        self.n_cut = 0  # rows of which not all words of the input made pairs

    def __iter__(self) -> Iterator[Row]:
        self.n_cut = 0
        for example in self._examples:
            if self._labels is not None:
                yield self._lookup.fields(example.fields)
                continue
            words, choices = different_words(example.fields), example.choices or ()
            n_choice_words = sum(len(set(WORD.findall(choice.lower()))) for choice in choices)
            most_words = max(1, self._most // max(1, n_choice_words))
            self.n_cut += len(words) > most_words
            yield from _of_choices(words[:most_words], choices, None, self._lookup)


def rows_of(
    examples: Sequence[Example], labels: Sequence[str] | None, lookup: Lookup, partners: Partners
) -> Iterator[Row]:
    """The features of every row, or of every (input, choice) pair."""
    for example in examples:
        if labels is not None:
            yield lookup.fields(example.fields)
        else:
            yield from _of_choices(different_words(example.fields), example.choices or (), partners, lookup)


def _of_choices(
    words: Sequence[str], choices: Sequence[str], partners: Partners | None, lookup: Lookup
) -> Iterator[Row]:
    for choice, pairs in zip(choices, word_pairs(words, choices, partners), strict=True):
        yield lookup.choice(choice, pairs)


def scores_of(
    matrix: Any,
    examples: Sequence[Example],
    labels: Sequence[str] | None,
    by_feature: Floats,
    intercept: Floats,
) -> Logits:
    """(rows, labels), or (rows, most choices) filled with -inf. `by_feature`: coefficients (features, labels)."""
    scores = np.asarray(matrix @ by_feature + intercept)  # (rows, labels), or (pairs, 1)
    if labels is not None:
        return scores
    ends = np.cumsum([len(example.choices or ()) for example in examples])
    return ragged(np.split(scores[:, 0], ends[:-1]))


# Training


def train(job: TrainJob) -> Trained:
    """Fit regressions of several C, and keep the one that gets most validation rows right.

    Of equals: the one under which their labels are likeliest.
    """
    began = time.perf_counter()
    learned = learn_features(job)
    vocabulary, idf = learned.vocabulary, learned.idf
    best = best_regression(job, learned.matrix, learned.held_out, C_GRID)
    return Trained(
        write_files=lambda folder: _write(folder, _Weights(vocabulary, idf, best.coefficients, best.intercept)),
        settings={"c": best.c, "temperature": best.temperature, "n_features": len(vocabulary)},
        best_validation=best.rank[0],
        metric="accuracy",
        n_truncated=learned.n_cut,
        n_parameters=best.coefficients.size + best.intercept.size,
        wall_s=time.perf_counter() - began,
    )


@dataclass(frozen=True)
class Features:
    """TF-IDF of the training rows and of the validation rows, or of their (row, choice) pairs."""

    vocabulary: list[str]
    idf: Floats
    matrix: csr_matrix
    held_out: csr_matrix
    n_cut: int  # training rows of which not all words of the input made pairs


def learn_features(job: TrainJob) -> Features:
    learned = Learned()
    documents = _ToLearn(job.train, job.labels, learned.lookup)
    # Fewest rows that a feature must occur in; with few training rows no feature is thrown away.
    fewest = 2 if len(job.train) >= 1000 else 1
    vocabulary, idf, matrix = learned.fit(list(documents), fewest, MOST_FEATURES)
    partners = partners_in(vocabulary) if job.labels is None else {}
    held_out = weighted(list(rows_of(job.validation, job.labels, lookup_in(vocabulary), partners)), idf)
    return Features(vocabulary, idf, matrix, held_out, documents.n_cut)


@dataclass(frozen=True)
class Fitted:
    rank: tuple[float, float]  # share of the validation rows that are right, and how likely their labels are
    c: float
    coefficients: Floats
    intercept: Floats
    temperature: float


def best_regression(job: TrainJob, matrix: Any, held_out: Any, grid: Sequence[float]) -> Fitted:
    """The best regression along the grid of C. `matrix` has the training rows, or (row, choice) pairs, as features."""
    matrix, classes, soft = _weighted(job, matrix)
    in_span = issparse(matrix) and not soft and pays(matrix, len(set(classes)))
    span = Span(matrix) if in_span else None
    targets = [answers_of(example, job.labels).index(job.target(example)) for example in job.validation]

    def fitted(c: float) -> Fitted:
        regression = LogisticRegression(C=c, max_iter=300, tol=1e-3, random_state=job.seed)
        regression.fit(matrix if span is None else span.rows, classes, **soft)
        of_seen = regression.coef_ if span is None else span.weights(regression.coef_)
        coefficients, intercept = _all_labels(regression, of_seen, job.labels)
        logits = scores_of(held_out, job.validation, job.labels, np.ascontiguousarray(coefficients.T), intercept)
        right = float((logits.argmax(axis=-1) == targets).mean())
        rank = (right, -negative_log_likelihood(logits, targets))
        return Fitted(rank, c, coefficients, intercept, fit_temperature(logits, targets))

    return _best_on_the_way(fitted, grid)


def _best_on_the_way(fitted: Callable[[float], Fitted], grid: Sequence[float]) -> Fitted:
    """The best of the grid, from its middle up, or else down, until two in a row are no better.

    Along C the score rises and falls, so what lies beyond is seldom better, and it is not fitted.
    """
    middle = len(grid) // 2
    best = first = fitted(grid[middle])
    for way in (grid[middle + 1 :], grid[:middle][::-1]):
        n_no_better = 0
        for c in () if best is not first else way:
            n_no_better = n_no_better + 1 if (tried := fitted(c)).rank <= best.rank else 0
            best = max(best, tried, key=lambda each: each.rank)
            if n_no_better == 2:
                break
    return best


def _weighted(job: TrainJob, matrix: Any) -> tuple[Any, list[int], dict[str, list[float]]]:
    """Rows, classes and weights of the regression.

    A row with a soft target is in it once per class, weighted by the class's probability. The loss is the same
    cross-entropy.
    """
    if not job.task.student.soft_targets:
        return matrix, _class_numbers(job), {}
    of_pairs = job.labels is None
    targets: list[tuple[int, int, float]] = []  # (the matrix's row, class, weight)
    row = 0  # row of the matrix, which has one row per example or per (example, choice) pair
    for example in job.train:
        answers, target = answers_of(example, job.labels), job.target(example)
        soft = job.distribution(example, answers) or [float(answer == target) for answer in answers]
        if of_pairs:
            for place, probability in enumerate(soft):
                targets += [(row + place, 1, probability), (row + place, 0, 1 - probability)]
        else:
            targets += [(row, number, probability) for number, probability in enumerate(soft)]
        row += len(answers) if of_pairs else 1
    rows, classes, weights = zip(*(each for each in targets if each[2] > 0), strict=True)
    return matrix[list(rows)], list(classes), {"sample_weight": list(weights)}


def answers_of(example: Example, labels: Sequence[str] | None) -> Sequence[str]:
    return labels if labels is not None else example.choices or ()


def _class_numbers(job: TrainJob) -> list[int]:
    """What the regression learns: the label's number per row, or per pair whether the choice is the right one."""
    if job.labels is not None:
        return [job.labels.index(job.target(example)) for example in job.train]
    return [int(choice == job.target(example)) for example in job.train for choice in example.choices or ()]


def _all_labels(regression: Any, coefficients: Floats, labels: Sequence[str] | None) -> tuple[Floats, Floats]:
    """Coefficients (labels, features) and intercepts (labels,).

    scikit-learn has one row of coefficients for two classes, and no row for a label that no training row has.
    """
    seen = [int(number) for number in regression.classes_]
    intercept = regression.intercept_
    if labels is None:
        return coefficients.astype(np.float32), intercept.astype(np.float32)
    if len(seen) == 2:
        coefficients = np.vstack([-coefficients / 2, coefficients / 2])
        intercept = np.concatenate([-intercept / 2, intercept / 2])
    full = np.zeros((len(labels), coefficients.shape[1]), dtype=np.float32)
    # An unseen label is never picked. Its offset is 30 below the others, not -inf: its probability stays above 0.
    offsets = np.full(len(labels), intercept.min() - 30, dtype=np.float32)
    full[seen], offsets[seen] = coefficients, intercept
    return full, offsets


def _write(folder: Path, weights: _Weights) -> None:
    write_atomic(folder / VOCABULARY, json.dumps(weights.vocabulary, ensure_ascii=False))
    tensors = {"idf": weights.idf, "coefficients": weights.coefficients, "intercept": weights.intercept}
    write_atomic(folder / MODEL, save(tensors))


def load(folder: Path, header: Header) -> LinearStudent:
    n_features, n_outputs = int(header.settings["n_features"]), 1 if header.labels is None else len(header.labels)
    shapes = {"idf": (n_features,), "coefficients": (n_outputs, n_features), "intercept": (n_outputs,)}
    check_tensors(folder / MODEL, shapes)
    vocabulary = read_vocabulary(folder / VOCABULARY, n_features)
    tensors = load_file(folder / MODEL)
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ArtifactError(f"{folder / MODEL}: the tensor {name!r} holds something that is no number; {AGAIN}")
        if (largest := float(np.abs(tensor).max(initial=0))) > LARGEST_WEIGHT:
            raise ArtifactError(
                f"{folder / MODEL}: the tensor {name!r} holds {largest:.6g}, and no training gives more than "
                f"{LARGEST_WEIGHT:g}; {AGAIN}"
            )
    weights = _Weights(vocabulary, tensors["idf"], tensors["coefficients"], tensors["intercept"])
    student = LinearStudent(header, folder, weights)
    if (row := probe(header.labels, header.input_fields)) is not None:
        student._predict([row])
    return student
