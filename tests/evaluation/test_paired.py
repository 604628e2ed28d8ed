"""Two arms on the same rows: what `Paired` says is what its parts say, scipy's bootstrap and t test stand by, and its bounds hold in simulation."""

import numpy as np
import pytest
from scipy import stats

from stillhouse.evaluation.bounded import lower_bound, p_value, worst_case_means
from stillhouse.evaluation.exact import exact_interval, exact_lower, exact_p
from stillhouse.evaluation.paired import Paired
from stillhouse.results.row_result import RowResult


def arm(scores, groups=None):
    return [
        RowResult(
            id=str(n), group=None if groups is None else f"g{groups[n]}", gold="x", output="x", score=float(score)
        )
        for n, score in enumerate(scores)
    ]


def test_right_and_wrong_rows_are_counted_and_tested_exactly():
    """14 rows that the student alone has right, 9 that the teacher alone has, of 60."""
    pairs = Paired(arm([1] * 14 + [0] * 9 + [1] * 37), arm([0] * 14 + [1] * 9 + [1] * 37))
    assert (pairs.discordant, pairs.n, pairs.exact, pairs.mean) == ((14, 9), 60, True, pytest.approx(5 / 60))
    shown = pairs.estimate(0.95)
    assert (shown.low, shown.high, shown.n) == (*exact_interval(14, 9, 60), 60)
    assert (pairs.p_above(-0.05), pairs.lower(0.95)) == (exact_p(14, 9, 60, -0.05), exact_lower(14, 9, 60, 0.95))
    assert pairs.p_below(-0.05) == Paired(pairs.teacher, pairs.student).p_above(0.05)


def test_copies_of_a_row_are_one_draw():
    """20 rows, each ten times and nothing lost: as little is known as from 20 rows, and not as much as from 200."""
    copies = Paired(arm([1] * 200, [n // 10 for n in range(200)]), arm([1] * 200, [n // 10 for n in range(200)]))
    assert (copies.n, copies.n_groups, copies.exact) == (200, 20, False)
    assert copies.p_above(-0.02) == p_value(worst_case_means(np.zeros(20), np.ones(20), -1.0, 1.0), -0.02)
    assert copies.p_above(-0.02) > 0.5 > 0.05 > exact_p(0, 0, 200, -0.02)
    assert copies.lower(0.95) == pytest.approx(
        0.05 ** (1 / 20) - 1, abs=0.01
    )  # 20 groups without a loss: 1 - 0.05^(1/20)


def test_graded_rows_have_scipys_interval_and_their_bound_is_wider_than_scipys_t():
    generator = np.random.default_rng(0)
    student, teacher = generator.beta(4, 2, 150), generator.beta(4, 2, 150)
    pairs, differences = Paired(arm(student), arm(teacher)), student - teacher
    theirs = stats.bootstrap(
        (differences,), np.mean, method="BCa", n_resamples=9999, rng=np.random.default_rng(1)
    ).confidence_interval
    shown = pairs.estimate(0.95)
    assert (shown.low, shown.high) == (pytest.approx(theirs.low, abs=0.006), pytest.approx(theirs.high, abs=0.006))
    t = stats.ttest_1samp(differences, -0.1, alternative="greater")
    assert t.pvalue < pairs.p_above(-0.1) < t.pvalue + 0.05  # t trusts the spread that it saw
    assert shown.low - 0.05 < pairs.lower(0.95) < t.confidence_interval(0.95).low


def test_rows_of_a_group_are_summed_before_anything_is_asked():
    scores = [0.9, 0.4, 0.6, 0.8, 0.2, 0.7]
    pairs = Paired(arm(scores, [0, 0, 1, 1, 2, 2]), arm([0.5] * 6, [0, 0, 1, 1, 2, 2]))
    sums, sizes = pairs.groups
    assert (sums.tolist(), sizes.tolist(), pairs.n_groups) == (pytest.approx([0.3, 0.4, -0.1]), [2, 2, 2], 3)
    means = worst_case_means(sums, sizes, -1.0, sizes.max())
    assert (pairs.p_above(-0.5), pairs.lower(0.9)) == (p_value(means, -0.5), lower_bound(means, 0.9))
    with pytest.raises(ValueError, match="same rows"):
        Paired(arm([1.0]), [])


@pytest.mark.slow
def test_bounds_and_intervals_hold_for_graded_rows():
    """300 pairs of arms, 80 rows each, true difference 0: the one-sided bound is above it in at most 5 %, the interval shown misses it in about as many."""
    generator, above, missed = np.random.default_rng(2), 0, 0
    for draw in range(300):
        ease = generator.random(80)
        student, teacher = (np.clip(ease + generator.normal(0, 0.2, 80), 0, 1) for _ in range(2))
        pairs = Paired(arm(student), arm(teacher))
        above += pairs.lower(0.95) > 0
        if draw < 100:  # the bootstrap takes ten times as long
            shown = pairs.estimate(0.95)
            missed += not shown.low <= 0 <= shown.high
    assert above / 300 <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5
    assert missed / 100 <= 0.05 + 3 * (0.05 * 0.95 / 100) ** 0.5
