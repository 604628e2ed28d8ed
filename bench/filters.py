"""Near-duplicate filtering by ROUGE-L: ours against a greedy pass with the `rouge_score` package, in one process, with the decisions compared.

Texts: see bench/texts.py. `rouge_score` is given what it needs tokenized beforehand, as Alpaca's script does. It makes its whole pass over the first 3,000.
At 10,000 texts that would take half an hour. There some texts are drawn at random, and each is compared with everything kept before it. The seconds of one
comparison, with an interval over the drawn texts, are then multiplied by the number of comparisons of the whole pass, which is known exactly. The decisions
on all 10,000 are checked nevertheless: `rouge_score` measures every pair that has enough words in common for an F above the threshold; no other pair can
reach it. Seconds are the processor's, for both sides, so that other work on the machine counts less; of the largest pass the seconds by the clock are given
too. What MinHash costs and misses comes from the same 50,000 texts and from bench/filters_million.py.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from importlib.metadata import version

import numpy as np
from scipy import sparse, stats

from bench.progress import Steps
from bench.texts import texts

WHOLE, SAMPLED, DRAWN, TURNS, MILLION = 3_000, 10_000, 300, 3, 1_000_000
steps = Steps()


def _rouge_score():  # type: ignore[no-untyped-def]  # the package has no types
    """Its tokenizer, and its ROUGE-L of two lists of tokens."""
    from rouge_score import rouge_scorer

    return rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)._tokenizer.tokenize, rouge_scorer._score_lcs


def peer_pass(given: list[str], threshold: float) -> tuple[list[bool], float]:
    """The greedy pass with `rouge_score`: decisions, seconds."""
    tokenize, score = _rouge_score()
    began = time.process_time()
    kept: list[list[str]] = []
    decisions = []
    for number, text in enumerate(given, start=1):
        tokens = tokenize(text)
        decisions.append(not any(score(tokens, other).fmeasure > threshold for other in kept))
        if decisions[-1]:
            kept.append(tokens)
        steps(f"rouge_score, whole pass over {len(given):,}", (number / len(given)) ** 2)
    return decisions, time.process_time() - began


def peer_drawn(given: list[str], decisions: list[bool]) -> tuple[list[int], list[float]]:
    """Some texts, each compared with all that was kept before it, as Alpaca's script does: comparisons and seconds, text by text."""
    tokenize, score = _rouge_score()
    tokens = [tokenize(text) for text in given]
    compared, took_s = [], []
    for number, index in enumerate(random.Random(1).sample(range(1, len(given)), DRAWN), start=1):
        others = [tokens[other] for other in range(index) if decisions[other]]
        began = time.process_time()
        max((score(tokens[index], other).fmeasure for other in others), default=0.0)
        took_s.append(time.process_time() - began)
        compared.append(len(others))
        steps(f"rouge_score, {DRAWN} of {len(given):,} against all before", number / DRAWN)
    return compared, took_s


def per_comparison(compared: list[int], took_s: list[float]) -> tuple[float, float]:
    """Seconds of one comparison, and the half width of its 95 % interval.

    It is a ratio of sums over the drawn texts (Cochran 1977, 6.3); the interval takes Student's quantile.
    """
    ratio = sum(took_s) / sum(compared)
    left_over = [took - ratio * n for took, n in zip(took_s, compared, strict=True)]
    error = statistics.stdev(left_over) / (len(compared) ** 0.5 * statistics.fmean(compared))
    return ratio, float(stats.t.ppf(0.975, len(compared) - 1)) * error


def checked(given: list[str], decisions: list[bool], threshold: float) -> tuple[bool, int]:
    """Whether `rouge_score` comes to the same decision on every text, and how many pairs it measured.

    As long as the decisions agree, both sides have kept the same texts so far, so it is enough to compare with those. A common subsequence has no more words
    than the two texts have in common, each counted as often as it is in both.
    """
    tokenize, score = _rouge_score()
    tokens = [tokenize(text) for text in given]
    columns: dict[tuple[str, int], int] = {}
    numbered = [
        [columns.setdefault((word, nth), len(columns)) for word, nth in _occurrences(found)] for found in tokens
    ]
    sizes = np.array([len(found) for found in tokens])
    rows = sparse.csr_array(
        (np.ones(sizes.sum()), np.concatenate(numbered).astype(int), np.concatenate([[0], sizes.cumsum()])),
        (len(given), len(columns)),
    )
    kept = np.array(decisions)
    same, measured, block = True, 0, 500
    for start in range(0, len(given), block):
        shared = (rows[start : start + block] @ rows[: start + block].T).toarray()
        for index, row in enumerate(shared, start=start):
            before = row[:index]
            bound = 2 * before / np.maximum(1, sizes[:index] + sizes[index])  # F of that many common words
            others = np.flatnonzero((bound > threshold - 1e-9) & kept[:index])
            near = any(score(tokens[index], tokens[other]).fmeasure > threshold for other in others)
            measured += len(others)
            same = same and near != decisions[index]
        steps(f"rouge_score, decisions on all {len(given):,}", (start + block) / len(given))
    return same, measured


def _occurrences(tokens: list[str]) -> list[tuple[str, int]]:
    """Each token with the number of equal tokens before it."""
    seen: Counter[str] = Counter()
    found = []
    for token in tokens:
        found.append((token, seen[token]))
        seen[token] += 1
    return found


def timed(given: list[str]) -> tuple[list[bool], float, float]:
    """Ours: decisions, processor seconds and seconds by the clock, medians of `TURNS`."""
    from stillhouse.teacher.filters import rouge_l_keep

    runs = []
    for turn in range(TURNS):
        steps(f"stillhouse, {len(given):,} texts", turn / TURNS)
        began, clock = time.process_time(), time.perf_counter()
        decisions = rouge_l_keep(given)
        runs.append((time.process_time() - began, time.perf_counter() - clock))
    return decisions, statistics.median(run[0] for run in runs), statistics.median(run[1] for run in runs)


def held_mb(given: list[str], marks: list[int]) -> dict[str, dict[str, float]]:
    """Memory that a filter holds after so many texts, and how many tokens it kept."""
    from stillhouse.teacher.filters import RougeFilter
    from stillhouse.words import words

    tracemalloc.start()
    filter_, tokens, held = RougeFilter(), 0, {}
    for number, text in enumerate(given[: max(marks)], start=1):
        tokens += len(words(text)) if filter_.add(text).kept else 0
        steps("memory of the filter", number / max(marks))
        if number in marks:
            bytes_ = tracemalloc.get_traced_memory()[0]
            held[f"{number:,}"] = {
                "MB": round(bytes_ / 2**20, 1),
                "kept tokens": tokens,
                "bytes a token": round(bytes_ / tokens),
            }
    tracemalloc.stop()
    return held


def minhash(given: list[str], decisions: list[bool]) -> dict[str, object]:
    """The filter in which MinHash proposes, on texts whose exact decisions are known, and at a million."""
    from stillhouse.teacher.lsh import LshFilter

    found, began = LshFilter(), time.process_time()
    kept = []
    for number, text in enumerate(given, start=1):
        kept.append(found.add(text).kept)
        steps(f"MinHash, {len(given):,} texts", number / len(given))
    took_s = time.process_time() - began
    both = sum(not one and not other for one, other in zip(kept, decisions, strict=True))
    ran = subprocess.run(
        [sys.executable, "-m", "bench.filters_million", str(MILLION)], stdout=subprocess.PIPE, text=True, check=True
    )
    return {
        "what": "MinHash over words proposes (25 bands of 5), ROUGE-L decides: the filter of --near minhash",
        f"against the exact decisions on {len(given):,} texts": {
            "processor_s": round(took_s, 2),
            "dropped": kept.count(False),
            "dropped by the exact pass": decisions.count(False),
            "of those, dropped here as well (recall)": round(both / decisions.count(False), 4),
            "of the dropped, dropped by the exact pass (precision)": round(both / kept.count(False), 4),
        },
        "at a million, sentences made by a Markov chain over the texts": json.loads(ran.stdout),
    }


def main() -> dict[str, object]:
    """Both sides; the result as written to bench/results/filters.json."""
    from stillhouse.teacher.filters import THRESHOLD

    load, began = os.getloadavg()[0], time.perf_counter()
    given, source = texts()
    # Of other texts rouge_score sees the a-z and 0-9 alone; there our word rule sees more, and decides otherwise.
    given = [text for text in given if text.isascii()]
    ours, ours_whole_s, _ = timed(given[:WHOLE])
    theirs, peer_whole_s = peer_pass(given[:WHOLE], THRESHOLD)
    decisions, ours_s, _ = timed(given[:SAMPLED])
    each_s, give_or_take_s = per_comparison(*peer_drawn(given[:SAMPLED], decisions))
    same, measured = checked(given[:SAMPLED], decisions, THRESHOLD)
    comparisons = int(np.cumsum([0, *decisions[:-1]]).sum())
    many, many_s, wall_s = timed(given)
    return {
        "what": f"processor seconds of a greedy ROUGE-L pass at threshold {THRESHOLD}, one process, one thread; ours: median of {TURNS}; texts, those of ASCII characters: {source}",
        f"whole pass over {WHOLE:,}": {
            "stillhouse_s": round(ours_whole_s, 4),
            "rouge_score_s": round(peer_whole_s, 1),
            "ratio": round(peer_whole_s / ours_whole_s),
            "same_decisions": ours == theirs,
        },
        f"{SAMPLED:,} texts": {
            "stillhouse_s": round(ours_s, 3),
            "rouge_score_s, extrapolated": round(each_s * comparisons),
            "rouge_score_s, 95 % interval": [
                round((each_s - give_or_take_s) * comparisons),
                round((each_s + give_or_take_s) * comparisons),
            ],
            "how": f"{each_s * 1e6:.1f} microseconds a comparison ({DRAWN} texts drawn at random, each against all kept before), times {comparisons:,}",
            "ratio": round(each_s * comparisons / ours_s),
            "same_decisions": same,
            "how the decisions were compared": f"rouge_score measured the {measured:,} pairs that share enough words to pass the threshold",
            "kept": sum(decisions),
        },
        f"{len(given):,} texts": {"stillhouse_s": round(many_s, 2), "wall_s": round(wall_s, 1), "kept": sum(many)},
        "megabytes of the filter after so many texts": held_mb(given, [SAMPLED, 2 * SAMPLED, 4 * SAMPLED]),
        "minhash": minhash(given, many),
        "machine": {
            "cores": os.cpu_count(),
            "load average before": round(load, 2),
            "and after": round(os.getloadavg()[0], 2),
        },
        "minutes of the benchmark": round((time.perf_counter() - began) / 60, 1),
        "versions": {
            "rouge-score": version("rouge-score"),
            "RapidFuzz": version("rapidfuzz"),
            "rensa": version("rensa"),
            "python": sys.version.split()[0],
        },
    }


if __name__ == "__main__":
    print(json.dumps(main(), indent=2, ensure_ascii=False))
