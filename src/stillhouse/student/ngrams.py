"""The features of the linear student: n-grams of a text, and pairs of words of an input and a choice.

It needs the standard library alone: an exported student takes this file along, and makes its features with it.
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

WORD = re.compile(r"\w+|[^\w\s]")


def grams(text: str) -> Iterator[str]:
    """Lower-cased word 1- and 2-grams, and character 2- to 5-grams within words that are padded with a space.

    As scikit-learn's `char_wb` makes them; written out here so that an old artifact means the same under a newer one.
    """
    found = WORD.findall(text.lower())
    for word in found:
        yield from grams_of_word(word)
    for first, second in itertools.pairwise(found):
        yield f"w {first} {second}"


def grams_of_word(word: str) -> Iterator[str]:
    yield f"w {word}"
    padded = f" {word} "
    for n in range(2, min(5, len(padded)) + 1):
        for start in range(len(padded) - n + 1):
            yield f"c {padded[start : start + n]}"


def features(fields: Sequence[str]) -> list[str]:
    """The n-grams of every field, each marked with its field's number."""
    return [f"{at}{gram}" for at, field in enumerate(fields) for gram in grams(field)]


Partners = Mapping[str, frozenset[str]]  # word of a choice -> the words of inputs that it was learned with


def pair_features(fields: Sequence[str], choice: str) -> list[str]:
    """The features of one (input, choice) pair: the choice's n-grams, and every pair of a word of each.

    The input's own n-grams are left out: they are the same for all choices of a row, so the softmax cancels them.
    """
    (document,) = pairs_of_row(fields, (choice,))
    return document


def pairs_of_row(fields: Sequence[str], choices: Sequence[str], partners: Partners | None = None) -> list[list[str]]:
    """`pair_features` of each choice.

    With `partners` only pairs that were learned are made. The others have no weight, and there are as many as words
    of the input times words of the choices.
    """
    return pairs_with(different_words(fields), choices, partners)


def different_words(fields: Sequence[str]) -> list[str]:
    """The input's different words, in the order of the text."""
    return list(dict.fromkeys(word for field in fields for word in WORD.findall(field.lower())))


def pairs_with(of_input: Sequence[str], choices: Sequence[str], partners: Partners | None) -> list[list[str]]:
    pairs = word_pairs(of_input, choices, partners)
    return [[*(f"a{gram}" for gram in grams(choice)), *own] for choice, own in zip(choices, pairs, strict=True)]


def word_pairs(of_input: Sequence[str], choices: Sequence[str], partners: Partners | None) -> Iterator[list[str]]:
    """Of each choice, the features of its words with those of the input."""
    input_words = set(of_input)
    met: dict[str, list[str]] = {}  # word of a choice -> the input's words that make a feature with it
    for choice in choices:
        choice_words = sorted(set(WORD.findall(choice.lower())))
        for word in choice_words:
            if word not in met:
                met[word] = sorted(input_words if partners is None else input_words & partners.get(word, frozenset()))
        yield [f"x {of_input} {of_choice}" for of_choice in choice_words for of_input in met[of_choice]]


def partners_in(vocabulary: Sequence[str]) -> Partners:
    partners: defaultdict[str, set[str]] = defaultdict(set)
    for feature in vocabulary:
        if feature.startswith("x "):
            _, of_input, of_choice = feature.split(" ")
            partners[of_choice].add(of_input)
    return {of_choice: frozenset(of_inputs) for of_choice, of_inputs in partners.items()}
