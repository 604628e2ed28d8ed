"""The composability gap: against a library value, against its definition, in simulation; and what it says of pairs of steps."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from stillhouse.evaluation.composability import Composed, composability_gap


def run(number, *, steps=("route", "to_sql", "answer"), judged=(True, True), right=True):
    return Composed(f"run-{number}", steps, judged, right)


def test_the_gap_is_the_share_of_wrong_wholes_among_runs_whose_judged_steps_are_all_right():
    runs = [
        run(1),
        run(2),
        run(3, right=False),
        run(4, judged=(True, False), right=False),
        run(5, judged=(), right=False),
    ]
    gap = composability_gap(runs, n_calls=15)
    assert (gap.share.value, gap.share.n) == (pytest.approx(1 / 3), 3)
    assert (gap.n_runs, gap.n_calls, gap.n_judged) == (5, 15, 8)


@pytest.mark.parametrize(("wrong", "right"), [(0, 10), (3, 17), (10, 0), (40, 160)])
def test_its_interval_is_statsmodels_clopper_pearson(wrong, right):
    gap = composability_gap([run(n, right=n >= wrong) for n in range(wrong + right)])
    low, high = proportion_confint(wrong, wrong + right, method="beta")
    assert (gap.share.low, gap.share.high) == (
        pytest.approx(0.0 if wrong == 0 else low),
        pytest.approx(1.0 if right == 0 else high),
    )


def test_its_interval_covers_in_simulation():
    """Steps right in 90 % of calls, wholes of right parts wrong in 15 %: the interval holds the 15 % at least 95 % of the time."""
    generator, covered = np.random.default_rng(0), 0
    for _ in range(400):
        judged = generator.random((40, 3)) < 0.9
        runs = [
            run(n, judged=tuple(map(bool, row)), right=bool(row.all() and generator.random() >= 0.15))
            for n, row in enumerate(judged)
        ]
        gap = composability_gap(runs).share
        covered += gap.low <= 0.15 <= gap.high
    assert covered / 400 >= 0.95 - 3 * (0.05 * 0.95 / 400) ** 0.5


def test_no_run_with_right_parts_leaves_no_gap_to_measure():
    assert composability_gap([]).share is None
    assert composability_gap([run(1, judged=(False,)), run(2, judged=())]).share is None


def test_the_pair_that_the_gap_comes_from_is_found_with_the_p_of_fishers_test():
    """`translate` after `answer` breaks 8 of 10 wholes; without it 1 of 40 is wrong."""
    runs = [run(n, steps=("route", "answer", "translate"), right=n >= 8) for n in range(10)]
    runs += [run(n, steps=("route", "answer"), right=n > 10) for n in range(10, 50)]
    gap = composability_gap(runs)
    pair = gap.suspect
    assert (pair.first, pair.second, pair.n, pair.n_wrong) == ("answer", "translate", 10, 8)
    assert pair.lift == pytest.approx((8 / 10) / (9 / 50))
    p = stats.fisher_exact([[8, 2], [1, 39]], alternative="greater").pvalue
    assert pair.p == pytest.approx(
        2 * p
    )  # Holm over the two pairs that not every run has: (answer, translate) and (route, translate)
    everywhere = next(pair for pair in gap.pairs if (pair.first, pair.second) == ("answer", "route"))
    assert (everywhere.p, everywhere.lift) == (None, pytest.approx(1.0))


def test_a_pairs_p_is_the_chance_of_as_many_wrong_wholes_when_they_fall_anywhere():
    """The definition, by going through every way in which 3 wrong wholes fall on 8 runs, 4 of which have the pair."""
    have = [True] * 4 + [False] * 4
    ways = list(combinations(range(8), 3))
    naive = sum(sum(have[index] for index in way) >= 3 for way in ways) / len(ways)
    runs = [run(n, steps=("a", "b") if has else ("a",), right=n not in (0, 1, 2)) for n, has in enumerate(have)]
    [pair] = composability_gap(runs).pairs
    assert pair.p == pytest.approx(naive)


def test_without_a_cause_a_pair_is_accused_in_one_of_twenty_gaps_at_most():
    generator, accused = np.random.default_rng(1), 0
    names = ("a", "b", "c", "d")
    for _ in range(300):
        runs = [
            Composed(
                str(n),
                tuple(name for name in names if generator.random() < 0.6) or ("a",),
                (True,),
                bool(generator.random() >= 0.3),
            )
            for n in range(40)
        ]
        accused += composability_gap(runs).suspect is not None
    assert accused / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_runs_that_all_call_the_same_steps_accuse_no_pair():
    gap = composability_gap([run(n, right=n > 5) for n in range(20)])
    assert gap.suspect is None
    assert {pair.p for pair in gap.pairs} == {None}
