"""One word rule for everything that compares texts: the right words of each text by hand."""

import pytest

from stillhouse.words import normalise, units, words

CASES = [
    ("The cat's 2 snake_cases, don't!", ["the", "cat", "s", "2", "snake", "cases", "don", "t"]),
    ("2024年中国的首都？", ["2024", *"年中国的首都"]),
    ("こんにちは、カタカナー", [*"こんにちは", *"カタカナー"]),
    ("ｶﾀｶﾅ ｶﾞ", [*"カタカナガ"]),  # half width is no other word
    ("ＡＢＣ ａｂｃ", ["abc", "abc"]),
    ("می\u200cخواهم میخواهم", ["میخواهم", "میخواهم"]),
    ("क्\u200dष क्\u200cष क्ष", ["क्ष", "क्ष", "क्ष"]),
    ("ශ්\u200dරී", ["ශ්රී"]),
    ("Donau\xaddampf Donaudampf", ["donaudampf", "donaudampf"]),
    ("שלום\u200f \u2067עולם\u2069", ["שלום", "עולם"]),
    ("co\u2060op \ufeffx a\u200bb", ["coop", "x", "a", "b"]),
    ("葛\U000e0100 葛", ["葛", "葛"]),
    ("각 \u1100\u1161\u11a8", ["각", "각"]),
    (
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f🏴",
        ["🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "🏴"],
    ),
    ("1️⃣ 1⃣ 12️⃣ #️⃣ *️⃣ 1", ["1⃣", "1⃣", "1", "2⃣", "#⃣", "*⃣", "1"]),
    ("☑️ ☑ ✓ ★ Apple™ a→b ▷", ["☑", "☑", "✓", "★", "apple", "™", "a", "→", "b", "▷"]),
    ("🏳️‍🌈 👩🏽‍🚀 ❤️‍🔥", ["🏳\u200d🌈", "👩🏽\u200d🚀", "❤\u200d🔥"]),
    ("Привет, мир! ЁЖ", ["привет", "мир", "ёж"]),
    ("हिन्दी में क्या?", ["हिन्दी", "में", "क्या"]),
    ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
    ("שלום עולם", ["שלום", "עולם"]),
    ("한국어 텍스트", [*"한국어텍스트"]),
    ("서울은 2024년", [*"서울은", "2024", "년"]),
    ("\u1112\u1161\u11ab\u1100\u1173\u11af ㅋㅋ", [*"한글ㅋㅋ"]),  # composed or not
    ("ﾡﾢ", [*"\u1100\u1101"]),  # half width
    ("API를 쓴다", ["api", *"를쓴다"]),
    ("ꦗꦮ", ["ꦗ", "ꦮ"]),
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
    ("５２ ٣", ["52", "٣"]),
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
    ("아버지가 방에", "아버지 가방에"),  # "father into the room", "father's bag"
    ("。", "？"),
    ("👍", "👎"),
    ("3 - 4", "3 + 4"),
    ("好", "坏"),
    ("да", "нет"),
    ("नि", "नी"),
    ("x≤1", "x≥1"),
    ("a → b", "a ← b"),
    ("1️⃣", "2️⃣"),
    (
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    ),
    ("👍🏽", "👍🏿"),
    ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👦"),
    ("☑", "☒"),
]
SAME = [
    ("A  b.", "a b"),
    ("café", "cafe\u0301"),
    ("今天 好。", "今天好"),
    ("“Да”, он", "да он"),
    ("isn’t", "isn't"),
    ("❤️", "❤"),
    ("ＡＢＣ！", "abc"),
    ("３＋４", "3+4"),
    ("ﾊﾟﾝ", "パン"),
    ("می\u200cخواهم", "میخواهم"),
    ("co\xadop", "coop"),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_texts_that_say_different_things_are_different(one, other):
    assert normalise(one) != normalise(other)
    assert normalise(one) and normalise(other)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_case_spacing_punctuation_and_composition_make_no_text_new(one, other):
    assert normalise(one) == normalise(other)
