"""One word rule for everything that compares texts: the right words of each text by hand."""

import pytest

from stillhouse.words import normalise, units, words

CASES = [
    ("The cat's 2 snake_cases, don't!", ["the", "cat", "s", "2", "snake", "cases", "don", "t"]),
    ("2024年中国的首都？", ["2024", *"年中国的首都"]),
    ("こんにちは、カタカナー", [*"こんにちは", *"カタカナー"]),
    ("ｶﾀｶﾅ", [*"ｶﾀｶﾅ"]),
    ("Привет, мир! ЁЖ", ["привет", "мир", "ёж"]),
    ("हिन्दी में क्या?", ["हिन्दी", "में", "क्या"]),
    ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
    ("שלום עולם", ["שלום", "עולם"]),
    ("한국어 텍스트", ["한국어", "텍스트"]),
    ("น้ำ", ["น้", "ำ"]),
    ("ភាសា។", ["ភា", "សា"]),
    ("ພາສາ", [*"ພາສາ"]),
    ("naïve_café", ["naïve", "café"]),
    ("cafe\u0301", ["café"]),
    ("İstanbul ISTANBUL", ["istanbul", "istanbul"]),
    ("Straße", ["strasse"]),
    ("👍 👎", ["👍", "👎"]),
    ("👍🏽👍", ["👍🏽", "👍"]),
    ("❤️ ❤", ["❤", "❤"]),
    ("👨‍👩‍👧👧", ["👨‍👩‍👧", "👧"]),
    ("🇫🇷🇩🇪", ["🇫🇷", "🇩🇪"]),
    ("５２ ٣", ["５２", "٣"]),
    ("half \ud800 a pair", ["half", "a", "pair"]),
    ("！？…", []),
    ("", []),
]


@pytest.mark.parametrize(("text", "right"), CASES, ids=[ascii(text)[:40] for text, _ in CASES])
def test_words(text, right):
    assert words(text) == right
    assert units(text) == (right or list(text))


DIFFERENT = [
    ("!!!", "???"),
    ("。", "？"),
    ("👍", "👎"),
    ("3 - 4", "3 + 4"),
    ("好", "坏"),
    ("да", "нет"),
    ("नि", "नी"),
    ("x≤1", "x≥1"),
]
SAME = [
    ("A  b.", "a b"),
    ("café", "cafe\u0301"),
    ("今天 好。", "今天好"),
    ("“Да”, он", "да он"),
    ("isn’t", "isn't"),
    ("❤️", "❤"),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_texts_that_say_different_things_are_different(one, other):
    assert normalise(one) != normalise(other)
    assert normalise(one) and normalise(other)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_case_spacing_punctuation_and_composition_make_no_text_new(one, other):
    assert normalise(one) == normalise(other)
