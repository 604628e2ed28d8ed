"""The ROUGE-L filter takes the decisions of a greedy pass with `rouge_score`, and no others; and goes on after a restart."""

import gzip
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from stillhouse.errors import UserError
from stillhouse.teacher import filters
from stillhouse.teacher.filters import RougeFilter, f_measure, rouge_l_keep, rouge_tokens
from stillhouse.teacher.minhash import MinHashFilter, shingles

SCORER = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)


def greedy(texts, threshold):
    """The naive definition: (kept, best score and first row of that score where it is dropped)."""
    kept, found = [], []
    for row, text in enumerate(texts):
        tokens = SCORER._tokenizer.tokenize(text)
        scores = [rouge_scorer._score_lcs(tokens, other).fmeasure for _, other in kept]
        best = max(scores, default=0.0)
        if best > threshold:
            found.append((False, best, kept[scores.index(best)][0]))
        else:
            found.append((True, None, None))
            kept.append((row, tokens))
    return found


TEXTS = st.lists(st.lists(st.sampled_from(["aa", "b", "C-d", "é", "İx", "7"]), max_size=14).map(" ".join), max_size=25)


@given(TEXTS, st.sampled_from([0.0, 0.3, 2 / 3, 0.7, 0.75, 0.9, 0.99]), st.sampled_from([3, 64]), st.sampled_from([2, 0x110000]))
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
                texts = [" ".join(common + [f"{side}{i}" for i in range(size - length)]) for side, size in (("a", m), ("b", n))]
                assert [verdict[0] for verdict in greedy(texts, 0.7)] == rouge_l_keep(texts)
    assert differing > 20


@given(st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_tokens_are_those_of_rouge_score(text):
    assert rouge_tokens(text) == SCORER._tokenizer.tokenize(text)


def test_real_questions_are_kept_as_the_greedy_pass_keeps_them(real_data):
    with gzip.open(real_data / "stepbystep" / "cqa" / "train.jsonl.gz", "rt") as file:
        texts = [json.loads(line)["input"].partition("\nAnswer Choices")[0] for line, _ in zip(file, range(150), strict=False)]
    texts += [text.replace("the", "a") for text in texts[::3]]
    assert rouge_l_keep(texts) == [kept for kept, _, _ in greedy(texts, 0.7)]
    assert not all(rouge_l_keep(texts))


def some_texts(n, seed=0):
    draw = random.Random(seed)
    return [" ".join(f"w{draw.randrange(12)}" for _ in range(8)) for _ in range(n)]


def test_state_survives_a_restart_with_a_torn_last_line(tmp_path):
    texts, state = some_texts(200), tmp_path / "kept.jsonl"
    whole = RougeFilter()
    expected = [whole.add(text, f"r{row}") for row, text in enumerate(texts)]
    first = RougeFilter(state=state)
    verdicts = [first.add(text, f"r{row}") for row, text in enumerate(texts[:120])]
    with state.open("ab") as file:
        file.write(b'["r119", "half of a li')
    again = RougeFilter(state=state)
    assert len(again) == len(first)
    verdicts += [again.add(text, f"r{row}") for row, text in enumerate(texts[120:], start=120)]
    again.close()
    assert verdicts == expected
    assert len(RougeFilter(state=state)) == sum(verdict.kept for verdict in expected)


def test_a_state_of_another_threshold_is_refused(tmp_path):
    RougeFilter(0.7, state=tmp_path / "kept.jsonl").close()
    with pytest.raises(UserError, match=r"no state of a ROUGE-L filter with threshold 0\.5"):
        RougeFilter(0.5, state=tmp_path / "kept.jsonl")


@pytest.mark.parametrize("threshold", [1.0, -0.1, float("nan")])
def test_a_threshold_that_sorts_nothing_is_refused(threshold):
    with pytest.raises(UserError, match="threshold"):
        RougeFilter(threshold)


def test_texts_without_tokens_are_kept():
    assert rouge_l_keep(["", "東京", "東京", "?!"]) == [True] * 4


def test_minhash_sees_parts_in_another_order_and_rouge_l_does_not():
    parts = [" ".join(f"word{i}x{j}" for j in range(8)) for i in range(8)]
    one, other = ". ".join(parts), ". ".join(parts[4:] + parts[:4])
    assert rouge_l_keep([one, other]) == [True, True]
    near = MinHashFilter()
    assert near.add(one, "one").kept
    verdict = near.add(other, "other")
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
