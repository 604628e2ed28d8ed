"""The cascade's threshold three ways: published numbers, the naive definition, and simulation of the promise."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from stillhouse.evaluation.cascade_threshold import (
    NoThreshold,
    RowsAlone,
    RowsInGroups,
    Threshold,
    choose_threshold,
    rows_for,
)
from stillhouse.results.row_result import RowResult


def arm(scores, confidences=None):
    confidences = confidences if confidences is not None else [None] * len(scores)
    return [
        RowResult(
            id=str(i),
            group=None,
            gold="x",
            output="x" if s else "y",
            score=float(s),
            confidence=None if c is None else float(c),
        )
        for i, (s, c) in enumerate(zip(scores, confidences, strict=True))
    ]


def harms_allowed(n, budget, level):
    """The most harms among n rows whose bound is under the budget; None: not even that of no harm is."""
    bound, harms = RowsAlone(n), 0
    while bound.upper(set(range(harms)), level) < budget:
        harms += 1
    return harms - 1 if harms else None


# Published and outside values


def test_rows_and_harms_allowed_are_the_published_ones():
    """Non-parametric tolerance limits (Wilks 1941; Somerville 1958, Annals of Mathematical Statistics 29:599): 95 % confidence that at most 5 % lie outside."""
    for harms, n in enumerate((59, 93, 124, 153, 181, 208, 234, 260, 286, 311)):
        assert harms_allowed(n, 0.05, 0.95) == harms and harms_allowed(n - 1, 0.05, 0.95) == (
            harms - 1 if harms else None
        )
    assert (rows_for(0.05, 0.95), rows_for(0.01, 0.95), rows_for(0.02, 0.99)) == (59, 299, 228)


@pytest.mark.parametrize(
    ("n", "budget", "level"), [(150, 0.02, 0.95), (984, 0.02, 0.95), (5000, 0.01, 0.9), (400, 0.1, 0.99)]
)
def test_harms_allowed_agree_with_scipys_exact_interval(n, budget, level):
    def upper(k):
        return stats.binomtest(k, n).proportion_ci(confidence_level=2 * level - 1, method="exact").high

    allowed = harms_allowed(n, budget, level)
    assert upper(allowed) < budget <= upper(allowed + 1)


def test_too_few_rows_are_refused_with_the_number_missing():
    refused = choose_threshold(arm([1] * 58, [1.0] * 58), arm([1] * 58), budget=0.05)
    assert (
        isinstance(refused, NoThreshold)
        and refused.rows_missing == 1
        and "58 calibration rows" in refused.reason
        and "takes 59" in refused.reason
    )
    assert choose_threshold([], [], budget=0.05).rows_missing == 59
    assert isinstance(choose_threshold(arm([1] * 59, [1.0] * 59), arm([1] * 59), budget=0.05), Threshold)


# The naive definition


def naive(student, teacher, budget, level):
    """Word for word: of the thresholds whose harm has its upper bound under the budget, and all stricter ones as well, the lowest."""
    n, best = len(student), None
    for threshold in sorted(
        {row.confidence for row in student if row.confidence is not None and row.output is not None}, reverse=True
    ):
        kept = [
            row.output is not None and row.confidence is not None and row.confidence >= threshold for row in student
        ]
        harms = sum(keep and own.score < other.score for keep, own, other in zip(kept, student, teacher, strict=True))
        bound = 1.0 if harms == n else stats.beta.ppf(level, harms + 1, n - harms)
        if bound >= budget:
            break
        best = (threshold, sum(kept) / n, harms / n)
    return best


def test_the_threshold_is_the_naive_definitions_one():
    generator = np.random.default_rng(0)
    found = []
    for _ in range(150):
        n = int(generator.integers(20, 200))
        confidence = np.round(generator.random(n), int(generator.integers(1, 4)))  # ties, many of them
        right = generator.random(n) < 0.6 + 0.4 * confidence
        student = [
            RowResult(
                id=row.id,
                group=None,
                gold="x",
                output=None if generator.random() < 0.05 else row.output,
                score=row.score,
                confidence=None if generator.random() < 0.05 else row.confidence,
            )
            for row in arm(right, confidence)
        ]
        teacher = arm(generator.random(n) < 0.8)
        ours, theirs = choose_threshold(student, teacher, budget=0.1, level=0.9), naive(student, teacher, 0.1, 0.9)
        assert (
            None if isinstance(ours, NoThreshold) else (ours.threshold, ours.share_kept.value, ours.harm.value)
        ) == theirs
        found.append(theirs is not None)
    assert 20 < sum(found) < 150  # both answers occurred


def test_a_row_is_harmed_only_where_the_teacher_is_better():
    wrong, n = [0] * 50 + [1] * 350, 400
    surest_wrong = [1.0] * 50 + [0.5] * 350
    assert isinstance(choose_threshold(arm(wrong, surest_wrong), arm([1] * n), budget=0.02), NoThreshold)
    both_wrong = choose_threshold(arm(wrong, surest_wrong), arm(wrong), budget=0.02)
    assert (
        isinstance(both_wrong, Threshold)
        and both_wrong.threshold == 0.5
        and both_wrong.share_kept.value == 1
        and both_wrong.harm.value == 0
    )


def test_rows_of_one_confidence_are_never_parted():
    student = arm([1] * 100 + [0] * 100, [0.9] * 200)
    assert isinstance(choose_threshold(student, arm([1] * 200), budget=0.05), NoThreshold)


def test_deferred_rows_count_in_n_and_a_student_without_confidence_is_told_so():
    student = arm([1] * 300 + [0] * 300, [0.9] * 300 + [None] * 300)
    found = choose_threshold(student, arm([1] * 600), budget=0.02)
    assert isinstance(found, Threshold) and found.share_kept.value == 0.5 and found.share_kept.n == found.n == 600
    refused = choose_threshold(arm([1] * 200), arm([1] * 200), budget=0.02)
    assert isinstance(refused, NoThreshold) and refused.rows_missing is None and "no confidence" in refused.reason


def test_arms_of_other_rows_are_refused():
    with pytest.raises(ValueError, match="same rows"):
        choose_threshold(arm([1, 1], [1, 1]), arm([1, 1])[::-1], budget=0.02)


# Simulation


def simulated(generator, n):
    """Confidence uniform; wrong with probability 0.4 (1 - confidence) where the teacher is right: the harm of a threshold t is 0.2 (1 - t)^2."""
    confidence = generator.random(n)
    return confidence, generator.random(n) < 0.4 * (1 - confidence)


# Rows in groups


def grouped(generator, n_groups, harm_of):
    """(student, teacher): groups of 1 to 6 rows; `harm_of` (place in the group) -> chance of a harm there."""
    rows = [(group, place) for group in range(n_groups) for place in range(int(generator.integers(1, 7)))]
    scores = [float(generator.random() >= harm_of(place)) for _, place in rows]
    return [
        [
            RowResult(id=str(n), group=f"g{group}", gold="x", output="x", score=score, confidence=1.0)
            for n, ((group, _), score) in enumerate(zip(rows, of, strict=True))
        ]
        for of in (scores, [1.0] * len(rows))
    ]


def test_rows_that_each_have_a_group_of_their_own_are_rows_that_stand_alone():
    alone = arm([1] * 200, [0.9] * 200)
    apart = [replace(row, group=f"g{row.id}") for row in alone]
    assert choose_threshold(apart, arm([1] * 200), budget=0.02) == choose_threshold(alone, arm([1] * 200), budget=0.02)


def test_groups_bound_the_harm_as_clopper_pearson_where_all_are_alike():
    """Groups of four rows that are harmed whole or not at all are as many rows as groups: scipy's exact bound."""
    bound = RowsInGroups([place // 4 for place in range(800)], 4)
    harmed = {place for place in range(800) if place // 4 < 3}
    exact = stats.binomtest(3, 200).proportion_ci(confidence_level=0.90, method="exact").high
    assert bound.upper(harmed, 0.95) == pytest.approx(exact, rel=0.05)
    low, high = bound.interval(harmed, 0.95)
    assert (low, high) == pytest.approx(
        tuple(stats.binomtest(3, 200).proportion_ci(confidence_level=0.95, method="exact")), rel=0.12
    )


def test_the_largest_group_that_may_come_counts_and_its_rows_are_asked_for():
    groups = [place // 2 for place in range(400)]
    assert RowsInGroups(groups, 2).upper(set(), 0.95) < RowsInGroups(groups, 20).upper(set(), 0.95)
    missing = RowsInGroups(groups, 20).rows_missing(0.02, 0.95)
    more = [place // 2 for place in range(400 + missing)]
    assert RowsInGroups(more, 20).upper(set(), 0.95) == pytest.approx(0.02, rel=0.05)
    assert RowsInGroups(more + [max(more) + 1 + place // 2 for place in range(200)], 20).rows_missing(0.02, 0.95) == 0


def test_the_first_threshold_that_fails_ends_it():
    """Harm comes at once and then never again: more rows kept would not make the share small enough to go on."""
    student = [
        replace(row, group=f"g{n // 2}", confidence=1 - n / 1000) for n, row in enumerate(arm([0] * 12 + [1] * 588))
    ]
    refused = choose_threshold(student, arm([1] * 600), budget=0.02)
    assert isinstance(refused, NoThreshold) or refused.harm.value < 12 / 600


@pytest.mark.slow
def test_harm_on_later_turns_alone_is_seen():
    """First turns harm 0.5 %, later ones 4 %: over the budget of 2 %. By the first rows of the groups nine in ten pass."""
    generator, kept = np.random.default_rng(8), 0
    for _ in range(150):
        student, teacher = grouped(generator, 400, lambda place: 0.005 if place == 0 else 0.04)
        kept += isinstance(choose_threshold(student, teacher, budget=0.02, group_cap=6), Threshold)
    assert kept / 150 <= 0.05


@pytest.mark.slow
def test_the_promise_is_broken_in_at_most_one_draw_of_twenty_and_the_usual_threshold_breaks_it_in_half():
    generator = np.random.default_rng(2)
    draws, budget, broken, usual = 700, 0.03, 0, 0
    for _ in range(draws):
        confidence, harmed = simulated(generator, 600)
        found = choose_threshold(arm(~harmed, confidence), arm([1] * 600), budget=budget)
        assert isinstance(found, Threshold)
        broken += 0.2 * (1 - found.threshold) ** 2 > budget
        order = np.argsort(-confidence)
        last = int(np.flatnonzero(np.cumsum(harmed[order]) / 600 <= budget)[-1])
        usual += 0.2 * (1 - confidence[order][last]) ** 2 > budget
    assert 0.01 < broken / draws <= 0.05 + 2 * (0.05 * 0.95 / draws) ** 0.5  # held, and not by asking for far too much
    assert usual / draws > 0.4


def test_as_many_rows_as_are_asked_for_are_harmless_by_chance_in_one_draw_of_twenty():
    """20,000 thresholds that harm exactly the budget: few enough harms among the fewest rows, or among 500, in at most 5 % of draws, and not in far fewer."""
    generator = np.random.default_rng(3)
    for n in (rows_for(0.02, 0.95), 500):
        passed = np.mean(generator.binomial(n, 0.02, 20_000) <= harms_allowed(n, 0.02, 0.95))
        assert 0.02 < passed <= 0.05 + 3 * (0.05 * 0.95 / 20_000) ** 0.5
