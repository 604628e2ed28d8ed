"""The linear student: seconds to train and milliseconds to answer, against version 0.1's way in the same run (peers/linear_by_scikit_learn.py).

Newswire is Reuters R8, 5,485 rows. Its 8 topics are real; the 52 classes are a stand-in for R52, which is not at hand: clusters of the training texts (k-means on 30 dimensions of their TF-IDF).
A question is asked of a student that has answered nothing yet, so no word is remembered but those of the questions before. Beside seconds of the clock stand seconds of the processor: other work may run on the machine.
"""

import gzip
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from bench.peers.linear_by_scikit_learn import Peer
from bench.texts import BESIDE
from stillhouse.records import Example
from stillhouse.student import load_student, train_student
from stillhouse.task import Task

N_VALIDATION, N_QUESTIONS = 700, 300


def main():
    folder = Path(os.environ.get("STILLHOUSE_DATA", BESIDE)) / "text"
    if not folder.is_dir():
        sys.exit(f"bench linear: {folder} is not there; it needs Reuters R8")
    train, test = _rows(folder / "reuters-r8-train.jsonl.gz"), _rows(folder / "reuters-r8-test.jsonl.gz")
    return {"topics_8": _compare(train, test), "clusters_52": _compare(*_clustered(train, test))}


def _rows(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [
            Example(f"{path.name}-{at}", row["input"], label=row["label"])
            for at, row in enumerate(map(json.loads, file))
        ]


def _clustered(train, test):
    made = (
        TfidfVectorizer(min_df=2, sublinear_tf=True),
        TruncatedSVD(30, random_state=0),
        MiniBatchKMeans(52, random_state=0, n_init=3),
    )
    dense = made[1].fit_transform(made[0].fit_transform(row.text for row in train))
    numbers = (
        made[2].fit_predict(dense),
        made[2].predict(made[1].transform(made[0].transform(row.text for row in test))),
    )
    return tuple(
        [Example(row.id, row.input, label=f"c{number}") for row, number in zip(rows, own, strict=True)]
        for rows, own in zip((train, test), numbers, strict=True)
    )


def _compare(train, test):
    validation, test = test[:N_VALIDATION], test[N_VALIDATION:]
    labels = tuple(sorted({row.label for row in train}))
    task = Task(name="news", instruction="Name the topic.", output="choice", labels=labels)
    test = [row for row in test if row.label in labels]
    out = Path(tempfile.mkdtemp()) / "linear"
    new, old = (
        _timed(lambda: train_student("linear", task, train, validation, source="gold", seed=0, out=out)),
        _timed(lambda: Peer(train, validation, labels)),
    )
    student, peer = load_student(out), old["made"]
    ours, theirs = [each.scores for each in student._predict(test)], peer.answer(test)
    right = [
        [max(own, key=own.get) == row.label for own, row in zip(scores, test, strict=True)] for scores in (ours, theirs)
    ]
    found = {
        "n_train": len(train),
        "n_classes": len(labels),
        "train": {
            "s": new["s"],
            "cpu_s": new["cpu_s"],
            "old_s": old["s"],
            "old_cpu_s": old["cpu_s"],
            "ratio": round(old["s"] / new["s"], 1),
            "ratio_cpu": round(old["cpu_s"] / new["cpu_s"], 1),
        },
        "c": new["made"].settings["c"],
        "old_c": peer.c,
        "accuracy": {
            "n": len(test),
            "new": round(sum(right[0]) / len(test), 4),
            "old": round(sum(right[1]) / len(test), 4),
            "only_new_right": sum(a and not b for a, b in zip(*right, strict=True)),
            "only_old_right": sum(b and not a for a, b in zip(*right, strict=True)),
        },
    }
    for name, length in (("of_700_characters", 700), ("of_50_characters", 50)):
        questions = [Example(row.id, row.text[:length]) for row in test if len(row.text) >= length][:N_QUESTIONS]
        fresh = load_student(out)
        ms, old_ms = (_median_ms(answer, questions) for answer in (fresh._predict, peer.answer))
        found[name] = {"n": len(questions), "ms": ms, "old_ms": old_ms, "ratio": round(old_ms / ms, 1)}
    return found


def _timed(work):
    began, cpu = time.perf_counter(), time.process_time()
    made = work()
    return {"made": made, "s": round(time.perf_counter() - began, 1), "cpu_s": round(time.process_time() - cpu, 1)}


def _median_ms(answer, questions):
    took = []
    for question in questions:
        began = time.perf_counter()
        answer([question])
        took.append(time.perf_counter() - began)
    return round(statistics.median(took) * 1000, 3)
