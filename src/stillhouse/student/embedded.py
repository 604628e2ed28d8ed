"""Students on embeddings that are not trained: a regression on what a pretrained base makes of a text.

`static:wordllama` takes the mean of word vectors, `frozen:BASE` the mean of an encoder's states. With "+tfidf" after
the base the features of `linear` stand beside the embedding. With few labels they know more than n-grams do
(docs/students.md has the figures), and all the training is one pass over texts that were not embedded before
(`embeddings`).

An input of several fields is two segments, the first field and the others, of which the regression sees the embeddings
a and b, |a - b| and a * b, as the encoder does. With choices per row the choice is the second segment.

The regression lies in `head.safetensors`; the base's own files lie beside it, so the folder is all that is needed.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save
from scipy.sparse import csr_matrix, hstack

from stillhouse.errors import ArtifactError
from stillhouse.records import Example, Prediction
from stillhouse.runs import write_atomic
from stillhouse.student.artifact import Header, size_bytes
from stillhouse.student.calibration import softmax
from stillhouse.student.header import AGAIN
from stillhouse.student.job import Trained, TrainJob, choice_predictions, no_choices
from stillhouse.student.known_bases import WITH_TFIDF
from stillhouse.student.linear import VOCABULARY, answers_of, best_regression, learn_features, rows_of, scores_of
from stillhouse.student.ngrams import partners_in
from stillhouse.student.opening import check_answer, check_tensors, probe, read_vocabulary
from stillhouse.student.tfidf import lookup_in, weighted

HEAD = "head.safetensors"
C_GRID = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)  # for rows of the length 1, as those of TF-IDF are
_LARGEST_WEIGHT = 1e8  # what a rare direction is divided by may be small
Floats = NDArray[np.float32]


class Embedder(Protocol):
    """A pretrained base that makes a vector of a text."""

    width: int

    def embed(self, texts: Sequence[str]) -> tuple[Floats, list[bool]]:
        """(vectors (texts, width), of each text whether it was cut)."""

    def save(self, folder: Path) -> None: ...


def segments(example: Example, labels: Sequence[str] | None, *, pairs: bool) -> list[tuple[str, ...]]:
    """What is embedded: of each input one text or two, or of each (input, choice) pair two."""
    if labels is None:
        return [(example.text, choice) for choice in answers_of(example, None)]
    first, *others = example.fields
    return [(first, "\n".join(others))] if pairs else [(example.text,)]


def features_of(parts: Sequence[tuple[str, ...]], vector: Any, *, of_choices: bool) -> Floats:
    """(rows, features) of segments. What depends on the input alone is the same for all of a row's choices."""
    first = np.array([vector(own[0]) for own in parts], dtype=np.float32)
    if not parts or len(parts[0]) == 1:
        return first
    second = np.array([vector(own[1]) for own in parts], dtype=np.float32)
    both = [second, np.abs(first - second), first * second]
    return np.hstack(both if of_choices else [first, *both])


def n_features(width: int, labels: Sequence[str] | None, *, pairs: bool) -> int:
    return width * (3 if labels is None else 4 if pairs else 1)


@dataclass(frozen=True)
class _Head:
    vocabulary: list[str]  # of the TF-IDF beside the embedding; empty where there is none
    idf: Floats
    coefficients: Floats  # (labels, features of TF-IDF, then of the embedding)
    intercept: Floats


class EmbeddedStudent:
    """Confidence is the answer's probability. A row's latency is that of its whole call."""

    def __init__(self, header: Header, folder: Path, embedder: Embedder, head: _Head) -> None:
        self.name, self.family = f"{header.task.name}/{header.spec}", header.family
        self.task, self.labels, self.input_fields = header.task, header.labels, header.input_fields
        self.size_bytes = size_bytes(folder)
        self.temperature, self._pairs = float(header.settings["temperature"]), bool(header.settings["pairs"])
        self._embedder, self._head = embedder, head
        self._lookup = lookup_in(head.vocabulary) if head.vocabulary else None
        self._partners = partners_in(head.vocabulary) if self.labels is None else {}
        self._by_feature = np.ascontiguousarray(head.coefficients.T)

    async def predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        return await asyncio.to_thread(self._predict, inputs)

    def _predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        began = time.perf_counter()
        answerable = [example for example in inputs if self.labels is not None or example.choices]
        if not answerable:
            return [no_choices(example) for example in inputs]
        parts = [segments(example, self.labels, pairs=self._pairs) for example in answerable]
        texts = list(dict.fromkeys(text for own in parts for pair in own for text in pair))
        vectors, cut = self._embedder.embed(texts)
        at = {text: number for number, text in enumerate(texts)}
        flat = [pair for own in parts for pair in own]
        matrix: Any = features_of(flat, lambda text: vectors[at[text]], of_choices=self.labels is None)
        if self._lookup is not None:
            rows = list(rows_of(answerable, self.labels, self._lookup, self._partners))
            matrix = _beside(weighted(rows, self._head.idf), matrix)
        logits = scores_of(matrix, answerable, self.labels, self._by_feature, self._head.intercept)
        probabilities, raw = softmax(logits, self.temperature), softmax(logits)
        latency_s = time.perf_counter() - began
        scored = ((own, own_raw, None) for own, own_raw in zip(probabilities, raw, strict=True))
        left = iter([any(cut[at[text]] for pair in own for text in pair) for own in parts])
        return [
            prediction if prediction.output is None else replace(prediction, is_input_cut=next(left))
            for prediction in choice_predictions(inputs, self.labels, scored, latency_s)
        ]


def _beside(of_tfidf: csr_matrix, embedded: Floats) -> csr_matrix:
    return csr_matrix(hstack([of_tfidf, csr_matrix(embedded)], format="csr", dtype=np.float32))


# Training


def train(job: TrainJob, embedder: Embedder, remembered: Any) -> Trained:
    """Embed what was not embedded before, and fit the regression. `remembered`: see `embeddings.remembered`."""
    began = time.perf_counter()
    pairs = job.labels is not None and any(len(example.fields) > 1 for example in (*job.train, *job.validation))
    parts = [
        [pair for example in rows for pair in segments(example, job.labels, pairs=pairs)]
        for rows in (job.train, job.validation)
    ]
    vectors, cut = remembered(list(dict.fromkeys(text for own in parts for pair in own for text in pair)))
    train_rows, held_out = (
        features_of(own, vectors.__getitem__, of_choices=job.labels is None).astype(np.float64) for own in parts
    )
    middle, spread = train_rows.mean(axis=0), train_rows.std(axis=0) * np.sqrt(train_rows.shape[1])
    spread = np.where(spread > 1e-6, spread, 1.0)
    scaled = [np.asarray((own - middle) / spread, dtype=np.float32) for own in (train_rows, held_out)]
    beside = learn_features(job) if job.base.endswith(WITH_TFIDF) else None
    matrices: list[Any] = scaled
    if beside is not None:
        matrices = [_beside(of, own) for of, own in zip((beside.matrix, beside.held_out), scaled, strict=True)]
    best = best_regression(job, matrices[0], matrices[1], C_GRID)
    # The scale goes into the weights, so that who answers multiplies the embedding as it is.
    n_tfidf = 0 if beside is None else len(beside.vocabulary)
    own = best.coefficients[:, n_tfidf:].astype(np.float64) / spread
    head = _Head(
        [] if beside is None else beside.vocabulary,
        np.empty(0, np.float32) if beside is None else beside.idf,
        np.hstack([best.coefficients[:, :n_tfidf], own]).astype(np.float32),
        (best.intercept - own @ middle).astype(np.float32),
    )

    def write_files(folder: Path) -> None:
        embedder.save(folder)
        _write(folder, head)

    return Trained(
        write_files=write_files,
        settings={"c": best.c, "temperature": best.temperature, "pairs": pairs, "n_features": n_tfidf},
        best_validation=best.rank[0],
        metric="accuracy",
        n_truncated=sum(
            any(cut[text] for pair in segments(example, job.labels, pairs=pairs) for text in pair)
            for example in job.train
        ),
        n_parameters=head.coefficients.size + head.intercept.size,
        wall_s=time.perf_counter() - began,
    )


# On disk


def _write(folder: Path, head: _Head) -> None:
    write_atomic(folder / VOCABULARY, json.dumps(head.vocabulary, ensure_ascii=False))
    write_atomic(folder / HEAD, save({"idf": head.idf, "coefficients": head.coefficients, "intercept": head.intercept}))


def load(folder: Path, header: Header, embedder: Embedder) -> EmbeddedStudent:
    n_tfidf = int(header.settings["n_features"])
    n_outputs = 1 if header.labels is None else len(header.labels)
    n_own = n_features(embedder.width, header.labels, pairs=bool(header.settings["pairs"]))
    shapes = {"idf": (n_tfidf,), "coefficients": (n_outputs, n_tfidf + n_own), "intercept": (n_outputs,)}
    check_tensors(folder / HEAD, shapes)
    vocabulary, tensors = read_vocabulary(folder / VOCABULARY, n_tfidf), load_file(folder / HEAD)
    for name, tensor in tensors.items():
        largest = float(np.abs(tensor).max(initial=0)) if np.isfinite(tensor).all() else np.inf
        if largest > _LARGEST_WEIGHT:
            raise ArtifactError(
                f"{folder / HEAD}: the tensor {name!r} holds {largest:.6g}, and no training gives more than "
                f"{_LARGEST_WEIGHT:g}; {AGAIN}"
            )
    student = EmbeddedStudent(header, folder, embedder, _Head(vocabulary, **tensors))
    if (row := probe(header.labels, header.input_fields)) is not None:
        [answer] = student._predict([row])
        check_answer(folder, (answer.confidence, answer.raw_confidence))
    return student
