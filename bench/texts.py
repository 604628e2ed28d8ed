"""Texts for the benchmarks of near-duplicate filters: public questions and sentences where they are at hand, and any number made from them."""

import gzip
import json
import os
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

MANY = 50_000
BESIDE = Path(__file__).parents[2] / "shared" / "data"  # where the tests look, too


def texts() -> tuple[list[str], str]:
    """`MANY` texts, and where they are from. Where the public ones are absent, texts are made up.

    In these the k-th word is as frequent as 1 / (k + 2.7), by Zipf-Mandelbrot.
    """
    folder = Path(os.environ.get("STILLHOUSE_DATA", BESIDE)) / "stepbystep"
    if not folder.is_dir():
        draw = random.Random(0)
        vocabulary, weights = [f"word{k}" for k in range(30_000)], [1 / (k + 2.7) for k in range(30_000)]
        words = draw.choices(vocabulary, weights, k=MANY * 25)
        made = [words[25 * i : 25 * i + draw.randint(5, 25)] for i in range(MANY)]
        for i in range(4, MANY, 4):
            made[i] = changed(made[i - draw.randint(1, 3)], draw.randint(0, 4), draw).split()
        return [
            " ".join(one) for one in made
        ], "made up: 5 to 25 words, as frequent as in English, every fourth a copy with up to 4 words changed"
    read = {
        name: [row["input"] for path in sorted((folder / name).iterdir()) for row in _rows(path)]
        for name in ("cqa", "esnli", "svamp", "anli1")
    }
    found = [text.partition("\nAnswer Choices")[0] for text in read["cqa"]]
    for side in (2, 0):
        found += [text.partition("</s>")[side] for text in read["esnli"]]
    found += read["svamp"] + read["anli1"] + read["esnli"]
    return found[:MANY], "CommonsenseQA questions, e-SNLI hypotheses and premises, SVAMP, ANLI"


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return [json.loads(line) for line in file]


def chained(source: list[str], n: int, seed: int = 0) -> Iterator[str]:
    """`n` texts by a Markov chain: each word follows the word before as often as it does in the source. They have the source's words and lengths, but no sense."""
    after = defaultdict(list)
    for text in source:
        words = text.split()
        for word, following in zip(["", *words], [*words, ""], strict=True):
            after[word].append(following)
    draw = random.Random(seed)
    for _ in range(n):
        words, word = [], ""
        while (word := draw.choice(after[word])) and len(words) < 150:
            words.append(word)
        yield " ".join(words)


def changed(words: list[str], n_words: int, draw: random.Random) -> str:
    """The text with `n_words` of its words replaced by words that no text has. If it has m words, ROUGE-L's F with the original is (m - n_words) / m."""
    words = list(words)
    for place in draw.sample(range(len(words)), n_words):
        words[place] = f"new{draw.getrandbits(48)}"
    return " ".join(words)
