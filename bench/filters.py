"""Near-duplicate filtering by ROUGE-L: ours against a greedy pass with the `rouge_score` package, in one process, with the decisions compared.

Texts: public questions and sentences from the folder that STILLHOUSE_DATA names (CommonsenseQA, e-SNLI, SVAMP, ANLI as Distilling Step-by-Step's authors
published them), else made up. `rouge_score` is given what it needs tokenized beforehand, as Alpaca's script does. It makes its whole pass over the first 1,000
texts; at 10,000 texts that would take the better part of an hour, so there 50 texts, drawn at random, are compared with everything kept before each, their
decisions are checked, and the seconds of one comparison are multiplied by the number of comparisons that the whole pass makes, which is known exactly. Seconds
are those of the processor, for both sides, so that other work on the machine does not count; the largest pass is also given as a clock on the wall saw it.
"""

import gzip
import json
import os
import random
import statistics
import sys
import time
import tracemalloc
from importlib.metadata import version
from pathlib import Path

WHOLE, SAMPLED, DRAWN, MANY, TURNS = 1_000, 10_000, 50, 50_000, 3


def texts() -> tuple[list[str], str]:
    """At least `MANY` texts, and where they are from."""
    folder = Path(os.environ.get("STILLHOUSE_DATA", "")) / "stepbystep"
    if not os.environ.get("STILLHOUSE_DATA") or not folder.is_dir():
        draw = random.Random(0)
        words = [f"word{int(draw.paretovariate(0.9))}" for _ in range(200_000)]
        return [" ".join(draw.choices(words, k=draw.randint(5, 25))) for _ in range(MANY)], "made up: 5 to 25 words of a Zipf-like vocabulary"
    read = {name: [row["input"] for path in sorted((folder / name).iterdir()) for row in _rows(path)] for name in ("cqa", "esnli", "svamp", "anli1")}
    found = [text.partition("\nAnswer Choices")[0] for text in read["cqa"]]
    for side in (2, 0):
        found += [text.partition("</s>")[side] for text in read["esnli"]]
    found += read["svamp"] + read["anli1"] + read["esnli"]
    return found[:MANY], "CommonsenseQA questions, e-SNLI hypotheses and premises, SVAMP, ANLI"


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return [json.loads(line) for line in file]


def peer_pass(given: list[str], threshold: float) -> tuple[list[bool], float]:
    """The greedy pass with `rouge_score`: decisions, seconds."""
    from rouge_score import rouge_scorer

    began = time.process_time()
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    kept: list[list[str]] = []
    decisions = []
    for text in given:
        tokens = scorer._tokenizer.tokenize(text)
        decisions.append(not any(rouge_scorer._score_lcs(tokens, other).fmeasure > threshold for other in kept))
        if decisions[-1]:
            kept.append(tokens)
    return decisions, time.process_time() - began


def peer_drawn(given: list[str], decisions: list[bool], threshold: float) -> tuple[bool, int, float]:
    """Some texts against all that was kept before each: (same decisions, comparisons, seconds of one). Alpaca's script, too, compares with all of them."""
    from rouge_score import rouge_scorer

    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    tokens = [scorer._tokenizer.tokenize(text) for text in given]
    same, compared, took_s = True, 0, 0.0
    for index in sorted(random.Random(1).sample(range(len(given)), DRAWN)):
        others = [tokens[other] for other in range(index) if decisions[other]]
        began = time.process_time()
        best = max((rouge_scorer._score_lcs(tokens[index], other).fmeasure for other in others), default=0.0)
        took_s += time.process_time() - began
        compared += len(others)
        same = same and decisions[index] == (best <= threshold)
    return same, compared, took_s / compared


def _timed(given: list[str]) -> tuple[list[bool], float]:
    from stillhouse.teacher.filters import rouge_l_keep

    runs = []
    for _ in range(TURNS):
        began = time.process_time()
        decisions = rouge_l_keep(given)
        runs.append(time.process_time() - began)
    return decisions, statistics.median(runs)


def _megabytes(given: list[str]) -> dict[str, float]:
    """What a filter holds after these texts, and how many tokens it kept."""
    from stillhouse.teacher.filters import RougeFilter, rouge_tokens

    tracemalloc.start()
    found = RougeFilter()
    tokens = sum(len(rouge_tokens(text)) for text in given if found.add(text).kept)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"MB": round(held / 2**20, 1), "kept tokens": tokens, "bytes a token": round(held / tokens)}


def main() -> dict[str, object]:
    """Both sides; the result as written to bench/results/filters.json."""
    from stillhouse.teacher.filters import THRESHOLD

    given, source = texts()
    ours, ours_whole_s = _timed(given[:WHOLE])
    theirs, peer_whole_s = peer_pass(given[:WHOLE], THRESHOLD)
    decisions, ours_s = _timed(given[:SAMPLED])
    same, compared, each_s = peer_drawn(given[:SAMPLED], decisions, THRESHOLD)
    kept_before, comparisons = 0, 0
    for kept in decisions:
        comparisons += kept_before
        kept_before += kept
    began = time.perf_counter()
    many, many_s = _timed(given)
    wall_s = (time.perf_counter() - began) / TURNS
    memory = {f"{n:,}": _megabytes(given[:n]) for n in (SAMPLED, 2 * SAMPLED, 4 * SAMPLED)}
    return {
        "what": f"processor seconds of a greedy ROUGE-L pass at threshold {THRESHOLD}, one process, one thread; ours: median of {TURNS}; texts: {source}",
        f"whole pass over {WHOLE:,}": {"stillhouse_s": round(ours_whole_s, 4), "rouge_score_s": round(peer_whole_s, 1), "same_decisions": ours == theirs},
        "whole_ratio": round(peer_whole_s / ours_whole_s),
        f"{SAMPLED:,} texts": {
            "stillhouse_s": round(ours_s, 3),
            "rouge_score_s, extrapolated": round(each_s * comparisons),
            "how": f"{each_s * 1e6:.1f} µs a comparison over {compared:,} comparisons of {DRAWN} texts drawn at random, times {comparisons:,} comparisons",
            "same_decisions_on_the_drawn": same,
            "kept": sum(decisions),
        },
        "ratio": round(each_s * comparisons / ours_s),
        f"{len(given):,} texts": {"stillhouse_s": round(many_s, 2), "wall_s": round(wall_s, 1), "kept": sum(many)},
        "megabytes of the filter after so many texts": memory,
        "versions": {"rouge-score": version("rouge-score"), "RapidFuzz": version("rapidfuzz"), "python": sys.version.split()[0]},
    }


if __name__ == "__main__":
    print(json.dumps(main(), indent=2, ensure_ascii=False))
