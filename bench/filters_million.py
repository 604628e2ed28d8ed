"""Near-duplicates at a million texts: MinHash proposes, ROUGE-L decides (`generate --near minhash`). A process of its own, so that its memory can be told.

    python -m bench.filters_million 1000000

The texts are made one by one and not kept. They come from a Markov chain over the public texts, which alone are fewer than a million. Every hundredth text is
a copy of one before it with a few words changed, so its ROUGE-L is known.
"""

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench.progress import Steps
from bench.texts import chained, changed, texts

EVERY, MARKS = 100, 5


def planted(n: int) -> Iterator[tuple[str, float | None]]:
    """Texts. Of a copy also its ROUGE-L with the text that it was copied from; None: it is no copy."""
    from stillhouse.words import words

    draw, source = random.Random(5), list[str]()
    for number, text in enumerate(chained(texts()[0], n), start=1):
        if number % EVERY == 0 and source:
            some = draw.randint(1, round(0.28 * len(source)))
            yield changed(source, some, draw), (len(source) - some) / len(source)
            source = []
            continue
        if not source and len(tokens := words(text)) >= 8:
            source = tokens
        yield text, None


def main(n: int) -> dict[str, object]:
    """One pass over `n` texts: seconds and memory along the way, and which copies were found."""
    from stillhouse.teacher.filters import THRESHOLD
    from stillhouse.teacher.lsh import LshFilter

    steps, found, met, copies = Steps(), LshFilter(), Counter[str](), Counter[str]()
    before, marks, spent_s, began = 0.0, [], 0.0, time.perf_counter()
    for number, (text, f) in enumerate(planted(n), start=1):
        before = before or _peak_mb()  # by now the chain is in memory
        since = time.process_time()
        verdict = found.add(text)
        spent_s += time.process_time() - since
        if f is not None and f > THRESHOLD:
            band = "F 0.7 to 0.8" if f <= 0.8 else "F 0.8 to 0.9" if f <= 0.9 else "F above 0.9"
            copies[band] += 1
            met[band] += not verdict.kept
        if number % (n // MARKS) == 0:
            marks.append({"texts": number, "processor_s": round(spent_s, 1), "peak_MB": round(_peak_mb() - before)})
        if number % 1000 == 0:
            steps(f"MinHash over {n:,} texts", number / n)
    return {
        "texts": n,
        "kept": len(found),
        "processor_s": round(spent_s, 1),
        "wall_s, with the making of the texts": round(time.perf_counter() - began),
        "bytes a text": round((_peak_mb() - before) * 2**20 / n),
        "along the way": marks,
        "planted copies that were dropped": {band: f"{met[band]} of {copies[band]}" for band in sorted(copies)},
    }


def _peak_mb() -> float:
    """The process's peak of resident memory: Linux's VmHWM. getrusage's figure would begin with the parent's."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 2**10


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
