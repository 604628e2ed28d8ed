"""The ROUGE-L filter takes the decisions of a greedy pass with `rouge_score`, and no others.

Other scripts than ASCII, of which `rouge_score` sees nothing, are cut by our word rule and decided by its measure.
"""

import gzip
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from stillhouse.errors import UserError
from stillhouse.teacher import filters
from stillhouse.teacher.filters import RougeFilter, f_measure, rouge_l_keep
from stillhouse.teacher.lsh import LshFilter
from stillhouse.teacher.minhash import MinHashFilter, shingles
from stillhouse.words import words

SCORER = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)


def greedy(texts, threshold):
    """The naive definition: (kept, best score and first row of that score where it is dropped)."""
    kept, found = [], []
    for row, text in enumerate(texts):
        tokens = SCORER._tokenizer.tokenize(text) if text.isascii() else words(text)
        scores = [rouge_scorer._score_lcs(tokens, other).fmeasure for _, other in kept]
        best = max(scores, default=0.0)
        if best > threshold:
            found.append((False, best, kept[scores.index(best)][0]))
        else:
            found.append((True, None, None))
            kept.append((row, tokens))
    return found


TEXTS = st.lists(st.lists(st.sampled_from(["aa", "b", "C-d", "é", "İx", "7"]), max_size=14).map(" ".join), max_size=25)


@given(
    TEXTS,
    st.sampled_from([0.0, 0.3, 2 / 3, 0.7, 0.75, 0.9, 0.99]),
    st.sampled_from([3, 64]),
    st.sampled_from([2, 0x110000]),
)
@settings(max_examples=100, deadline=None)
def test_every_decision_score_and_row_is_that_of_the_greedy_pass(texts, threshold, ranked_at, characters):
    """Also right after the order of tokens was made anew, and where tokens have outgrown characters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters, "_CHARACTERS", characters)
        found = RougeFilter(threshold)
        found._ranked_at = ranked_at
        verdicts = [found.add(text, row) for row, text in enumerate(texts)]
        assert [(verdict.kept, verdict.score, verdict.row) for verdict in verdicts] == greedy(texts, threshold)
        assert rouge_l_keep(texts, threshold) == [verdict.kept for verdict in verdicts]


LONG = " ".join(
    f"{i % 250}{'x' * 330}" for i in range(300)
)  # 100 kB, of so few tokens that rouge_score has them compared in a moment
ODD = [
    "",
    " ",
    "one",
    "One!",
    "東京の天気",
    "Привет, мир",
    "é",
    "İ",
    "Ⅷ ٣ ß ſ K",
    "\x00\ud800 a",
    "一 a 二",
    "a" * 100_000,
    "é" * 100_000,
    LONG,
    LONG + " x",
]


@given(st.lists(st.one_of(st.sampled_from(ODD), st.text(max_size=30), st.just("all the same words")), max_size=12))
@settings(max_examples=40, deadline=None)
def test_odd_texts_are_decided_as_the_greedy_pass_decides_them(texts):
    """Empty ones, single words, 100 kB, other scripts, all the same."""
    assert rouge_l_keep(texts) == [kept for kept, _, _ in greedy(texts, 0.7)]


@pytest.mark.parametrize("text", ODD)
def test_an_odd_text_again_and_again_is_decided_as_the_greedy_pass_decides_it(text):
    assert (
        rouge_l_keep([text] * 5) == [kept for kept, _, _ in greedy([text] * 5, 0.7)] == [True] + [not words(text)] * 4
    )


def test_the_threshold_is_compared_as_rouge_score_rounds_it():
    """Where 2L / (m + n) is 0.7 to the last bit, 2PR / (P + R) may lie above it or not; rouge_score's answer counts."""
    differing = 0
    for m in range(1, 40):
        for n in range(1, 40):
            for length in range(1, min(m, n) + 1):
                if (f_measure(length, m, n) > 0.7) == (2 * length / (m + n) > 0.7):
                    continue
                differing += 1
                common = [f"c{i}" for i in range(length)]
                texts = [
                    " ".join(common + [f"{side}{i}" for i in range(size - length)])
                    for side, size in (("a", m), ("b", n))
                ]
                assert [verdict[0] for verdict in greedy(texts, 0.7)] == rouge_l_keep(texts)
    assert differing > 20


@given(st.text(st.characters(max_codepoint=127), max_size=40))
@settings(max_examples=60, deadline=None)
def test_words_of_ascii_texts_are_those_of_rouge_score(text):
    assert words(text) == SCORER._tokenizer.tokenize(text)


@pytest.mark.slow
def test_real_questions_are_kept_as_the_greedy_pass_keeps_them(real_data):
    with gzip.open(real_data / "stepbystep" / "cqa" / "train.jsonl.gz", "rt") as file:
        texts = [
            json.loads(line)["input"].partition("\nAnswer Choices")[0]
            for line, _ in zip(file, range(150), strict=False)
        ]
    texts += [text.replace("the", "a") for text in texts[::3]]
    assert rouge_l_keep(texts) == [kept for kept, _, _ in greedy(texts, 0.7)]
    assert not all(rouge_l_keep(texts))


FILTERS = pytest.mark.parametrize("kind", [RougeFilter, LshFilter])


def test_minhash_drops_what_rouge_l_confirms_and_misses_few():
    """Scores are ROUGE-L's, of the row that is named; of copies with one word in ten changed none is missed."""
    draw, texts = random.Random(2), []
    for _ in range(150):
        text = [f"w{draw.randrange(4000)}" for _ in range(30)]
        texts += [
            " ".join(text),
            " ".join(word if draw.random() > 0.1 else "other" for word in text),
            " ".join(draw.sample(text, 12)),
        ]
    found = LshFilter()
    verdicts = [found.add(text, row) for row, text in enumerate(texts)]
    for text, verdict in zip(texts, verdicts, strict=True):
        if not verdict.kept:
            f = rouge_scorer._score_lcs(text.split(), texts[verdict.row].split()).fmeasure
            assert (f, f > 0.7) == (verdict.score, True)
    copies = [(exact, verdict.kept) for exact, verdict in list(zip(rouge_l_keep(texts), verdicts, strict=True))[1::3]]
    assert 140 <= copies.count((False, False)) == sum(not exact for exact, _ in copies)


def test_minhash_reads_other_scripts_and_keeps_what_has_no_words():
    found = LshFilter()
    texts = ["", "?!", "Где мои деньги, почему так долго?", "где мои деньги? Почему так долго", "💧"]
    assert [found.add(text).kept for text in texts] == [True, True, True, False, True]


def test_words_are_of_any_script_and_single_characters_where_none_are_spaced():
    assert words("Don't_stop, ÉTÉ! Где 서울은 ที่นี่ 東京タワーa1") == [
        "don", "t", "stop", "été", "где", *"서울은", "ที่", "นี่", *"東京", *"タワー", "a1"
    ]  # fmt: skip


@pytest.mark.parametrize("threshold", [1.0, -0.1, float("nan")])
@FILTERS
def test_a_threshold_that_sorts_nothing_is_refused(threshold, kind):
    with pytest.raises(UserError, match="threshold"):
        kind(threshold)


def test_texts_without_words_are_kept_and_copies_in_other_scripts_are_not():
    assert rouge_l_keep(["", "東京", "東京", "?!", "?!"]) == [True, True, False, True, True]


QUESTIONS = [
    "2024年中国的首都是哪里？",
    "2024年奥运会在哪个城市举行？",
    "请解释2024年的通货膨胀。",
    "怎样用Python写2024年的日历？",
    "2024年的诺贝尔奖颁给了谁？",
    "写一首关于2024年春天的诗。",
    "2024年最热门的手机是哪款？",
    "如何在2024年学会游泳？",
    "2024年的高考作文题目有哪些？",
    "比较2024年与2023年的气温。",
]


def test_different_questions_in_chinese_that_share_a_number_are_kept():
    assert rouge_l_keep([*QUESTIONS, *QUESTIONS]) == [True] * 10 + [False] * 10
    assert rouge_l_keep([text.replace("2024", "2025") for text in QUESTIONS] + QUESTIONS) == [True] * 10 + [False] * 10


def test_korean_is_compared_by_syllable_so_that_particles_and_spaces_hide_no_copy():
    questions = [
        "대한민국의 수도는 어디입니까?",
        "물은 몇 도에서 끓습니까?",
        "2024년 올림픽은 어디서 열렸나요?",
        "가을에 대한 시를 써 주세요.",
    ]
    copies = [
        "대한민국 수도는 어디 입니까",
        "물이 몇도에서 끓습니까?",
        "2024년 올림픽이 어디에서 열렸나요?",
        "가을에 대한 시 한 편을 써주세요",
    ]
    assert rouge_l_keep([*questions, *copies]) == [True] * 4 + [False] * 4


def test_minhash_sees_parts_in_another_order_and_rouge_l_does_not():
    parts = [" ".join(f"word{i}x{j}" for j in range(8)) for i in range(8)]
    one, other = ". ".join(parts), ". ".join(parts[4:] + parts[:4])
    assert rouge_l_keep([one, other]) == [True, True]
    near = MinHashFilter()
    assert near.closest(one) is None
    near.insert(one, "one")
    verdict = near.closest(other)
    assert (verdict.kept, verdict.row) == (False, "one")


def test_minhash_estimates_jaccards_similarity():
    draw = random.Random(3)
    errors = []
    for _ in range(60):
        words = [f"w{draw.randrange(10_000)}" for _ in range(60)]
        cut = draw.randrange(1, 8)
        one, other = " ".join(words), " ".join(words[cut:])
        a, b = set(shingles(one)), set(shingles(other))
        near = MinHashFilter(0.5)
        near.insert(one, "one")
        errors.append(near.closest(other).score - len(a & b) / len(a | b))
    assert abs(sum(errors)) / len(errors) < 0.02  # standard error of one estimate: 0.04 at most
    assert max(map(abs, errors)) < 0.16
