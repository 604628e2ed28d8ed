"""BARGAIN (Zeighami, Shankar & Parameswaran 2025, 2509.02896) on rows whose answers are known: reads {confidence, harmed, budgets, delta, parts, draws} from
stdin, and gives per budget and number of thresholds, one entry per draw: share of rows that the student answered, share harmed, labels asked, threshold.

The package's own algorithm, undisturbed: only its thread pool, which is for calls over a network, is stepped around by answering whole arrays at once.
"""

import json
import sys
from importlib.metadata import version

import numpy as np
from BARGAIN import BARGAIN_A, Oracle, Proxy

given = json.load(sys.stdin)
confidence, harmed = np.array(given["confidence"]), np.array(given["harmed"], dtype=bool)
asked: set[int] = set()


class Student(Proxy):
    def get_preds_and_scores(self, indxs, data_records):
        return np.zeros(len(data_records)), confidence[np.asarray(data_records, dtype=int)]


class Teacher(Oracle):
    def is_answer_correct(self, data_indxs, data_records, proxy_output_at_indxs):
        asked.update(np.asarray(data_records, dtype=int).tolist())
        return (~harmed[np.asarray(data_records, dtype=int)]).astype(float)

    def get_pred(self, data_records, indxs=None):
        return np.ones(len(data_records))


def one(budget, parts, seed):
    asked.clear()
    rows = np.arange(len(confidence))
    process = BARGAIN_A(
        Student(verbose=False),
        Teacher(verbose=False),
        target=1 - budget,
        delta=given["delta"],
        M=parts,
        verbose=False,
        seed=seed,
    )
    _, used = process.process(rows, return_oracle_usage=True)
    kept = ~np.array(used)
    lowest = float(confidence[kept].min()) if kept.any() else None
    return [float(kept.mean()), float(harmed[kept].sum() / len(rows)), len(asked), lowest]


found = {
    f"{budget} {parts}": [one(budget, parts, seed) for seed in range(given["draws"])]
    for budget in given["budgets"]
    for parts in given["parts"]
}
json.dump({"version": version("bargain"), "found": found}, sys.stdout)
