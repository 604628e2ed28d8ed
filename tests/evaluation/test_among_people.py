"""Several people on the same rows: Krippendorff's alpha and the share that agrees, and the win rate of rows that several judged. Each three ways."""

import itertools

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa
from statsmodels.stats.proportion import proportion_confint

from stillhouse.evaluation.agreement import agreement, among_people, bias_of_people, krippendorff_alpha
from stillhouse.evaluation.win_rate import SCORES, JudgedRow, Voice, best_known, by_people, decide_win_rate


def alpha_of(units):
    return krippendorff_alpha(units, [str(i) for i in range(len(units))])


def rows(units, lefts=None):
    """Rows with one choice per person; None: did not judge."""
    return [
        JudgedRow(
            str(i),
            people=tuple(
                Voice(choice, lefts[i] if lefts else None, f"p{k}")
                for k, choice in enumerate(unit)
                if choice is not None
            ),
        )
        for i, unit in enumerate(units)
    ]


def people(generator, n, raters, chance):
    """Each person says what is true of a row, or with a probability of 1 - `chance` anything."""
    truth = generator.choice(["A", "B"], (n, 1))
    return np.where(generator.random((n, raters)) < chance, truth, generator.choice(["A", "B"], (n, raters)))


def test_alpha_reproduces_krippendorffs_examples():
    """Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability": B, two observers and 12 units, 0.692; C, four observers and missing choices, 0.743."""
    two = list(zip("aabbdcccedda", "babbbccceddd", strict=True))
    assert alpha_of(two).value == pytest.approx(0.692, abs=5e-4)
    table = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    units = [[code for code in unit if code != "."] for unit in zip(*table, strict=True)]
    found = alpha_of(units)
    assert (found.value, found.n) == (pytest.approx(0.743, abs=5e-4), 11)  # the unit that one observer saw is left out


def test_alpha_is_fleiss_kappa_of_statsmodels_corrected_for_few_units():
    """With as many choices in every unit, 1 - alpha = (1 - kappa) (1 - 1 / choices)."""
    choices = people(np.random.default_rng(0), 40, 3, 0.6)
    kappa = fleiss_kappa(aggregate_raters((choices == "A").astype(int))[0])
    assert 1 - alpha_of(choices.tolist()).value == pytest.approx((1 - kappa) * (1 - 1 / choices.size))


def test_alpha_is_one_less_disagreement_over_that_of_all_choices_mixed():
    """The definition: pairs of choices within units, each unit's weighed by its choices, against pairs of any two choices there are."""
    units = [["A", "A", "B"], ["B", "B"], ["tie", "A", "A", "A"], ["B", "tie"], ["A"]]
    known = [unit for unit in units if len(unit) > 1]
    within = sum(
        len(unit) * np.mean([one != other for one, other in itertools.permutations(unit, 2)]) for unit in known
    ) / sum(map(len, known))
    mixed = np.mean(
        [one != other for one, other in itertools.permutations([choice for unit in known for choice in unit], 2)]
    )
    assert alpha_of(units).value == pytest.approx(1 - within / mixed)
    assert alpha_of([["A", "A"]] * 9) is None and alpha_of([["A"], ["B"]]) is None
    assert krippendorff_alpha([["A", "B"], ["A", "A"], ["B", "B"]], ["one"] * 3).low is None


def test_alpha_covers_and_is_zero_among_people_who_guess():
    """300 comparisons of 80 rows by three people: alpha is the square of the chance that a person says what is true (0.8 and 0); nominal 0.95."""
    generator = np.random.default_rng(1)
    for chance in (0.8, 0.0):
        covered = 0
        for _ in range(300):
            found = alpha_of(people(generator, 80, 3, chance).tolist())
            covered += found.low <= chance**2 <= found.high
        assert covered / 300 >= 0.95 - 3 * (0.95 * 0.05 / 300) ** 0.5


def test_the_share_that_agrees_is_counted_and_has_statsmodels_interval():
    found = among_people(rows([("A", "A")] * 20 + [("A", "B")] * 6 + [("tie", "both bad")] * 4 + [("A", None)] * 9))
    assert (found.share.value, found.share.n, found.alpha.n) == (
        24 / 30,
        30,
        30,
    )  # both bad is a tie; rows of one person say nothing
    assert (found.share.low, found.share.high) == pytest.approx(proportion_confint(24, 30, method="beta"))
    three = among_people(rows([("A", "A", "B"), ("B", "B", "B"), ("A", "B", None)]))
    assert (three.share.value, three.share.n) == (pytest.approx((3 * 1 / 3 + 3 * 1 + 2 * 0) / 8), 3)
    assert among_people(rows([("A", None), (None, "B")])) is None


def test_the_share_that_agrees_covers():
    """300 comparisons of 60 rows, by two people and by three: two say the same where both say what is true, or by chance in half of the others."""
    generator, true = np.random.default_rng(2), 0.7**2 + (1 - 0.7**2) / 2
    for raters, n_rounds in ((2, 300), (3, 150)):
        covered = 0
        for _ in range(n_rounds):
            share = among_people(rows(people(generator, 60, raters, 0.7).tolist())).share
            covered += share.low <= true <= share.high
        assert covered / n_rounds >= 0.95 - 3 * (0.95 * 0.05 / n_rounds) ** 0.5


# The win rate of rows that several people judged


def test_a_row_counts_once_by_the_mean_of_its_choices():
    """By hand: 1, 0.5, 0.25, 0; a row of three counts as much as a row of one."""
    data = rows([("A", "A", "A"), ("A", "B", None), ("B", "tie", None), ("B", None, None)])
    found = by_people(data)
    assert (found.rate.value, found.rate.n) == (1.75 / 4, 4)
    assert [row.by_people for row in data] == ["A", "tie", "B", "B"]
    assert (found.tally.wins, found.tally.losses, found.tally.ties) == (1, 2, 1)
    assert by_people(rows([("both bad", "both bad")])).tally.both_bad == 1


def test_people_who_agree_count_as_one():
    once, thrice = (
        by_people(rows([("A",)] * 30 + [("B",)] * 20)),
        by_people(rows([("A",) * 3] * 30 + [("B",) * 3] * 20)),
    )
    assert thrice.rate == once.rate and thrice.bounds == once.bounds
    assert (thrice.rate.low, thrice.rate.high) == pytest.approx(proportion_confint(30, 50, method="wilson"))


def test_of_graded_rows_the_interval_is_scipys_bootstrap_of_row_means():
    choices = people(np.random.default_rng(3), 120, 3, 0.5).tolist()
    means = np.array([np.mean([SCORES[choice] for choice in unit]) for unit in choices])
    found = by_people(rows(choices)).rate
    theirs = stats.bootstrap(
        (means,), np.mean, method="BCa", n_resamples=9999, rng=np.random.default_rng(4)
    ).confidence_interval
    assert (found.value, found.low, found.high) == (
        pytest.approx(means.mean()),
        pytest.approx(theirs.low, abs=0.01),
        pytest.approx(theirs.high, abs=0.01),
    )


@pytest.mark.slow
def test_the_interval_covers_and_students_at_the_margin_seldom_pass_though_people_judge_unequally_many_rows():
    """250 comparisons of 80 rows, true rate 0.45: one person judges all, the second the first 50, the third the first 20."""
    generator, covered, passed = np.random.default_rng(5), 0, 0
    for _ in range(250):
        truth = np.where(
            generator.random((80, 1)) < 0.4375, "A", "B"
        )  # said in 0.8, else anything: 0.8 * 0.4375 + 0.2 * 0.5
        said = np.where(generator.random((80, 3)) < 0.8, truth, generator.choice(["A", "B"], (80, 3))).tolist()
        found = best_known(
            rows(
                [[one, two if i < 50 else None, three if i < 20 else None] for i, (one, two, three) in enumerate(said)]
            )
        )
        covered += found.rate.low <= 0.45 <= found.rate.high
        passed += decide_win_rate(found, margin=0.05, whose="").answer == "pass"
    assert covered / 250 >= 0.95 - 3 * (0.95 * 0.05 / 250) ** 0.5
    assert passed / 250 <= 0.05 + 2 * (0.95 * 0.05 / 250) ** 0.5


def test_each_person_is_held_against_the_judge_and_their_left_is_their_own():
    data = [
        JudgedRow(
            str(i), people=(Voice("A", "A", "ana"), Voice("A", "B", "bo")), judge=("A", "A") if i < 6 else ("B", "B")
        )
        for i in range(10)
    ]
    found = agreement(data)
    assert (found.share.value, found.share.n) == (0.6, 20)
    lean = bias_of_people(data).first
    assert (lean.value, lean.n) == (0.5, 20)  # ana saw A on the left, bo on the right: both choose A all the same
    alone = agreement([JudgedRow(row.id, people=row.people[:1], judge=row.judge) for row in data])
    assert (alone.share.value, alone.share.n) == (0.6, 10)
    assert found.share.low == pytest.approx(alone.share.low, abs=0.12)  # two choices of one row are not two rows
