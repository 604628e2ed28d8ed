"""Win rates, their gate, and the checks on a judge: published and library values, definitions, simulations."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.power import normal_sample_size_one_tail
from statsmodels.stats.proportion import proportion_confint

from stillhouse.evaluation.agreement import agreement, bias_of_judge, bias_of_people, kappa
from stillhouse.evaluation.prediction_powered import powered_mean
from stillhouse.evaluation.proportions import tango_interval
from stillhouse.evaluation.win_rate import (
    MIN_PEOPLE,
    SCORES,
    JudgedRow,
    OfGroups,
    OfRows,
    Voice,
    best_known,
    by_judge,
    by_people,
    corrected,
    decide_win_rate,
    rows_for_win_rate,
    win_rate,
)

NAMES = [str(i) for i in range(440)]


def judged(wins, losses, ties=0, both_bad=0):
    return ["A"] * wins + ["B"] * losses + ["tie"] * ties + ["both bad"] * both_bad


def rate_of(choices, level=0.95):
    return win_rate(choices, [str(i) for i in range(len(choices))], level)


def rows(humans, judges=None, groups=None, left="A"):
    """Rows with the people's choices (None: not judged) and the judge's in both orders."""
    judges = judges or [None] * len(humans)
    return [
        JudgedRow(str(i), groups[i] if groups else None, (Voice(human, left),) if human else (), judge)
        for i, (human, judge) in enumerate(zip(humans, judges, strict=True))
    ]


def test_alpacas_90_wins_to_89():
    """Taori et al. 2023: 90 to 89 in a blind pairwise comparison with text-davinci-003. The rate is Wilson's interval at n = 179, as statsmodels has it."""
    found = rate_of(judged(90, 89))
    assert (found.rate.value, found.rate.n) == (90 / 179, 179)
    assert (found.rate.low, found.rate.high) == pytest.approx(proportion_confint(90, 179, method="wilson"))
    assert (found.rate.low, found.rate.high) == pytest.approx((0.430, 0.575), abs=5e-4)


def test_what_a_published_draw_shows_and_what_it_does_not():
    """At 179 rows a draw leaves a margin of 5 points open, and excludes one of 8."""
    found = rate_of(judged(90, 89))
    close, wide = (
        decide_win_rate(found, margin=0.05, whose="by people"),
        decide_win_rate(found, margin=0.08, whose="by people"),
    )
    assert (close.answer, wide.answer) == ("cannot tell", "pass")
    assert (
        "has a win rate of 50.3% against the teacher on 179 rows, by people, at least 43.9% with 95% confidence"
        in close.sentence
    )
    assert close.rows_needed == rows_for_win_rate(90 / 179, 90 * 89 / 179**2, 0.05) > 179
    assert f"about {close.rows_needed} rows judged by people would tell" in close.sentence


def test_ties_and_both_bad_are_half_a_win_each():
    found = rate_of(judged(3, 1, 2, 4))
    assert found.rate.value == (3 + 0.5 * 6) / 10
    assert (found.tally.wins, found.tally.losses, found.tally.ties, found.tally.both_bad, found.tally.n) == (
        3,
        1,
        2,
        4,
        10,
    )
    assert found.rate == rate_of(judged(3, 1, 6)).rate


@pytest.mark.slow
def test_ties_narrow_the_interval_as_the_score_test_says():
    """The bounds are the rates that the score test of the paired difference keeps, found on a grid."""
    found, n = rate_of(judged(12, 7, 21)), 40

    def z(difference):
        q = np.linspace(1e-9, (1 - abs(difference)) / 2 - 1e-9, 20001) + max(0.0, -difference)
        loss = -(12 * np.log(q + difference) + 7 * np.log(q) + 21 * np.log(np.maximum(1 - 2 * q - difference, 1e-300)))
        best = q[np.argmin(loss)]
        return (5 - n * difference) / np.sqrt(n * (2 * best + difference - difference**2))

    kept = [d for d in np.linspace(-0.5, 0.6, 1101) if abs(z(d)) <= stats.norm.ppf(0.975)]
    assert (found.rate.low, found.rate.high) == pytest.approx(((1 + kept[0]) / 2, (1 + kept[-1]) / 2), abs=1e-3)
    assert found.rate.high - found.rate.low < np.diff(proportion_confint(22, 40, method="wilson"))[0]


def test_no_row_is_no_rate():
    with pytest.raises(ValueError, match="no row is judged"):
        win_rate([], [])
    assert best_known(rows([None, None])) is None


@pytest.mark.parametrize(
    "bounds",
    [OfRows(12, 7, 40), OfRows(90, 89, 179), OfGroups(np.array([1.0, -0.5, 0.5, 0.0]), np.array([2.0, 1, 2, 1]))],
)
def test_bounds_are_where_the_p_values_come_to_the_level(bounds):
    for level in (0.9, 0.95):
        low, high = bounds.lower(level), bounds.upper(level)
        assert bounds.p_above(low) == pytest.approx(1 - level, abs=2e-3) and bounds.p_below(high) == pytest.approx(
            1 - level, abs=2e-3
        )
        assert low < high and bounds.p_above(low - 0.02) < bounds.p_above(low + 0.02)


@pytest.mark.slow
def test_grouped_students_at_the_margin_pass_in_at_most_five_percent():
    """400 of them, 30 groups of three rows that share their luck."""
    generator, passed = np.random.default_rng(9), 0
    for _ in range(400):
        luck = np.repeat(generator.beta(1.8, 2.2, 30), 3)  # mean 0.45
        scores = (generator.random(90) < luck) - 0.5
        passed += OfGroups(scores.reshape(30, 3).sum(axis=1), np.full(30, 3.0)).p_above(0.45) < 0.05
    assert passed / 400 <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


@pytest.mark.parametrize(("n", "p"), [(40, (0.4, 0.4, 0.2)), (60, (0.8, 0.1, 0.1)), (179, (0.5, 0.5, 0.0))])
def test_the_interval_covers(n, p):
    generator, true, seen = np.random.default_rng(n), p[0] + p[2] / 2, {}
    covered = 0
    for wins, losses, ties in generator.multinomial(n, p, 2000).tolist():
        if (wins, losses) not in seen:
            seen[wins, losses] = rate_of(judged(wins, losses, ties)).rate
        covered += seen[wins, losses].low <= true <= seen[wins, losses].high
    assert 0.95 - 3 * (0.95 * 0.05 / 2000) ** 0.5 <= covered / 2000 <= 0.98


@pytest.mark.slow
def test_students_exactly_at_the_margin_pass_in_at_most_five_percent():
    """2,000 of them, 60 rows each, a fifth of the rows ties, true win rate 0.45."""
    generator, passed, seen = np.random.default_rng(1), 0, {}
    for wins, losses, ties in generator.multinomial(60, (0.35, 0.45, 0.2), 2000).tolist():
        if (wins, losses) not in seen:
            seen[wins, losses] = rate_of(judged(wins, losses, ties)).bounds.p_above(0.45)
        passed += seen[wins, losses] < 0.05
    assert passed / 2000 <= 0.05 + 2 * (0.05 * 0.95 / 2000) ** 0.5


@pytest.mark.slow
def test_students_at_the_margin_pass_in_at_most_five_percent_by_a_corrected_judge():
    """2,000 students at 0.45: 40 rows by people, 400 more by a judge that takes a third of B's wins for ties, which alone it would let through."""
    generator, passed, weights = np.random.default_rng(2), 0, [SCORES[one] for one in ("A", "B", "tie")]
    for _ in range(2000):
        truth = generator.choice(weights, 440, p=[0.35, 0.45, 0.2])
        said = np.where((truth == 0) & (generator.random(440) < 0.33), 0.5, truth)
        found = powered_mean([*truth[:40].tolist(), *[None] * 400], said, NAMES)
        passed += found.interval(0.90)[0] > 0.45
    assert passed / 2000 <= 0.05 + 2 * (0.05 * 0.95 / 2000) ** 0.5


def test_a_judge_that_flatters_lets_a_student_through_alone_and_not_where_people_correct_it():
    generator = np.random.default_rng(8)
    truth = generator.choice(["A", "B", "tie"], 600, p=[0.3, 0.5, 0.2]).tolist()
    said = ["tie" if one == "B" and generator.random() < 0.5 else one for one in truth]
    data = rows([*truth[:150], *[None] * 450], [(one, one) for one in said])
    assert decide_win_rate(by_judge(data), margin=0.05, whose="").answer == "pass"
    assert decide_win_rate(best_known(data), margin=0.05, whose="").answer == "fail"


@pytest.mark.slow
def test_planned_rows_pass_four_times_in_five():
    n = rows_for_win_rate(0.5, 0.2, 0.1)
    generator = np.random.default_rng(3)
    passed = sum(
        rate_of(judged(w, b, t)).bounds.p_above(0.4) < 0.05
        for w, b, t in generator.multinomial(n, (0.4, 0.4, 0.2), 400).tolist()
    )
    assert 0.73 <= passed / 400 <= 0.87
    assert rows_for_win_rate(0.4, 0.2, 0.1) is None


def test_the_gate_fails_who_is_far_below_and_cannot_tell_of_a_single_group():
    assert decide_win_rate(rate_of(judged(20, 80)), margin=0.05, whose="").answer == "fail"
    same = win_rate(judged(0, 0, 40), [str(i // 4) for i in range(40)])  # equal scores: each group is one row
    assert (same.rate.low, same.rate.high, same.rate.n) == (*((1 + end) / 2 for end in tango_interval(0, 0, 10)), 40)
    alone = win_rate(judged(5, 3), ["one"] * 8)
    assert alone.rate.low is None
    assert decide_win_rate(alone, margin=0.4, whose="").answer == "cannot tell"


def test_rows_of_a_group_do_not_count_as_so_many_rows():
    choices = [choice for choice in judged(12, 8) for _ in range(10)]
    grouped = win_rate(choices, [str(i // 10) for i in range(200)])
    apart = rate_of(choices)
    assert grouped.rate.high - grouped.rate.low > 2.5 * (apart.rate.high - apart.rate.low)
    assert grouped.bounds.lower(0.95) < apart.bounds.lower(0.95)


def test_a_judge_that_changes_with_the_order_is_a_tie_and_half_a_choice_is_a_half():
    one, half, lost, settled = (
        JudgedRow("1", judge=("A", "B")),
        JudgedRow("2", judge=("A", "tie")),
        JudgedRow("3", judge=("A", None)),
        JudgedRow("4", settled="B", judge=None),
    )
    assert [row.judge_score for row in (one, half, lost, settled)] == [0.5, 0.75, None, 0.0]
    assert [row.by_judge for row in (one, half, lost, settled)] == ["tie", "A", None, "B"]
    assert by_judge([one, half, lost, settled]).rate.value == pytest.approx(1.25 / 3)
    assert by_judge([settled]) is None  # nobody was asked


def test_people_outrank_the_judge():
    """The judge says A everywhere, people say B: the rate is theirs, alone and with the judge's help."""
    few = rows(["B"] * 5 + [None] * 45, [("A", "A")] * 50)
    assert (best_known(few).by, best_known(few).rate.value, best_known(few).rate.n) == ("people", 0.0, 5)
    generator = np.random.default_rng(4)
    said = ["B" if generator.random() < 0.8 else "A" for _ in range(MIN_PEOPLE)]
    many = rows(
        said + [None] * 200, [("A", "A") if generator.random() < 0.9 else ("B", "B") for _ in range(MIN_PEOPLE + 200)]
    )
    found = best_known(many)
    assert found.by == "people, judge corrected"
    assert found.rate.value < 0.4 < by_judge(many).rate.value
    assert found.tally.n == MIN_PEOPLE
    assert best_known(rows([None] * 3, [("A", "A")] * 3)).by == "judge"


def test_a_good_judge_narrows_what_few_people_leave_open_and_a_useless_one_does_not_widen_it():
    generator = np.random.default_rng(5)
    truth = generator.choice(["A", "B"], 400).tolist()
    people = [*truth[:60], *[None] * 340]
    good = corrected(rows(people, [(one, one) for one in truth]))
    useless = corrected(rows(people, [(one, one) for one in generator.choice(["A", "B"], 400).tolist()]))
    alone = by_people(rows(people))

    def width(found):
        return found.rate.high - found.rate.low

    assert good.weight > 0.8 and width(good) < 0.6 * width(alone)
    assert useless.weight < 0.3 and width(useless) < 1.1 * width(alone)


def test_settled_rows_count_where_the_sitting_has_passed_them():
    data = [
        JudgedRow("1", people=(Voice("A", "A"),)),
        JudgedRow("2", settled="tie", reached=True),
        JudgedRow("3"),
        JudgedRow("4", settled="tie"),
    ]
    assert by_people(data).rate.value == 0.75
    assert (
        by_people([JudgedRow("1", settled="tie", reached=True), JudgedRow("2")]) is None
    )  # no person has said anything yet


# What a judge is worth


CONFUSED = [("A", "A")] * 20 + [("A", "B")] * 5 + [("B", "B")] * 10 + [("tie", "A")] * 8 + [("tie", "tie")] * 7


def test_kappa_is_scikit_learns_and_its_interval_about_statsmodels():
    found = kappa(CONFUSED, [str(i) for i in range(50)])
    assert found.value == pytest.approx(cohen_kappa_score(*zip(*CONFUSED, strict=True)))
    table = np.array(
        [[sum(pair == (one, other) for pair in CONFUSED) for other in ("A", "B", "tie")] for one in ("A", "B", "tie")]
    )
    asymptotic = cohens_kappa(table)
    assert (found.low, found.high) == (
        pytest.approx(asymptotic.kappa_low, abs=0.03),
        pytest.approx(asymptotic.kappa_upp, abs=0.03),
    )


def test_kappa_is_chance_corrected_by_definition_and_absent_where_chance_is_certain():
    pairs = (
        [("A", "A")] * 45 + [("A", "B")] * 5 + [("B", "A")] * 45 + [("B", "B")] * 5
    )  # independent: agreement one half, and worth nothing
    assert kappa(pairs, [str(i) for i in range(100)]).value == pytest.approx(0)
    assert kappa([("A", "A")] * 9, list("abcdefghi")) is None
    assert kappa([("A", "B"), ("A", "A"), ("B", "B")], ["one"] * 3).low is None


@pytest.mark.slow
def test_kappas_interval_covers():
    generator, true, covered = np.random.default_rng(6), 0.6, 0
    for _ in range(400):
        one = generator.choice(["A", "B"], 80)
        other = np.where(generator.random(80) < 0.6, one, generator.choice(["A", "B"], 80))
        found = kappa(list(zip(one.tolist(), other.tolist(), strict=True)), [str(i) for i in range(80)])
        covered += found.low <= true <= found.high
    assert covered / 400 >= 0.95 - 3 * (0.95 * 0.05 / 400) ** 0.5


def test_agreement_is_on_the_rows_of_both_and_takes_both_bad_for_a_tie():
    data = rows(["A", "B", "both bad", "A", None], [("A", "A"), ("A", "A"), ("A", "B"), (None, "A"), ("A", "A")])
    found = agreement([*data, JudgedRow("9", settled="tie", reached=True)])
    assert (found.share.value, found.share.n) == (pytest.approx(2 / 3), 3)
    assert found.kappa.n == 3
    assert agreement(rows(["A"])) is None


def test_a_judge_that_takes_the_first_and_a_person_who_takes_the_left_are_found_out():
    data = rows(["A"] * 40, [("A", "B")] * 30 + [("A", "A")] * 5 + [("B", "B")] * 5)
    lean = bias_of_judge(data)
    assert (lean.first.value, lean.consistent.value, lean.shown) == (pytest.approx(35 / 40), 0.25, True)
    assert bias_of_people(data).first.value == 1.0 and bias_of_people(data).shown
    fair = rows(["A"] * 20 + ["B"] * 20, [("A", "A")] * 20 + [("B", "B")] * 20)
    assert bias_of_judge(fair).first.value == 0.5 and not bias_of_judge(fair).shown
    assert bias_of_people(fair).first.value == 0.5 and not bias_of_people(fair).shown
    assert bias_of_judge(rows(["A"])) is None and bias_of_people(rows([None])) is None


def test_scores_are_what_the_docs_say():
    assert SCORES == {"A": 1.0, "tie": 0.5, "both bad": 0.5, "B": 0.0}


# Three ways, for what the tests above leave open


def test_a_consistent_judge_has_the_rate_that_people_with_its_choices_have():
    """Wilson's interval, as statsmodels has it, whoever judged; and nobody's help changes it where everyone is judged."""
    choices = judged(50, 30)
    of_people, of_judge = by_people(rows(choices)), by_judge(rows([None] * 80, [(one, one) for one in choices]))
    for found in (of_people, of_judge, best_known(rows(choices))):
        assert (found.rate.low, found.rate.high) == pytest.approx(proportion_confint(50, 80, method="wilson"))
    assert (of_people.bounds, of_people.by, of_judge.by) == (of_judge.bounds, "people", "judge")


def test_a_corrected_rate_is_the_authors_packages():
    ppi = pytest.importorskip("ppi_py", reason="the authors' package is not here; pip install 'stillhouse[test]'")
    generator = np.random.default_rng(10)
    truth = generator.choice(["A", "B", "tie"], 300, p=[0.4, 0.4, 0.2]).tolist()
    said = [one if generator.random() < 0.8 else "A" for one in truth]
    found = corrected(rows([*truth[:60], *[None] * 240], [(one, one) for one in said]))
    scores = [np.array([SCORES[one] for one in part]) for part in (truth[:60], said[:60], said[60:])]
    assert found.rate.value == pytest.approx(float(np.squeeze(ppi.ppi_mean_pointestimate(*scores))))
    low, high = (float(np.squeeze(end)) for end in ppi.ppi_mean_ci(*scores, alpha=0.05, lam=found.weight))
    assert (
        low - 0.02 < found.rate.low < low and high < found.rate.high < high + 0.02
    )  # the outer of two ends, see the lab notes
    assert best_known(rows([*truth[:60], *[None] * 240], [(one, one) for one in said])).rate == found.rate


def test_planned_rows_are_statsmodels_and_the_fewest_with_the_power():
    for rate, variance, margin, level in ((0.5, 0.2, 0.1, 0.95), (0.55, 0.25, 0.05, 0.9)):
        n, above = rows_for_win_rate(rate, variance, margin, level), rate - 0.5 + margin
        assert n == int(np.ceil(normal_sample_size_one_tail(above, 0.8, 1 - level, variance**0.5)))
        power = [stats.norm.cdf(above * (count / variance) ** 0.5 - stats.norm.ppf(level)) for count in (n - 1, n)]
        assert power[0] < 0.8 <= power[1]


def test_the_gates_answer_is_by_its_bounds_at_the_margin():
    """The definition: pass where the test refutes a rate of 0.5 - margin or less, fail where it refutes that or more, else neither."""
    for wins, losses, margin in ((90, 89, 0.05), (90, 89, 0.08), (20, 80, 0.05), (30, 45, 0.02)):
        found = rate_of(judged(wins, losses))
        decided = decide_win_rate(found, margin=margin, whose="")
        below, above = found.bounds.upper(0.95) < 0.5 - margin, found.bounds.lower(0.95) > 0.5 - margin
        assert decided.answer == ("pass" if above else "fail" if below else "cannot tell")
        assert (decided.difference.value, decided.lower_bound) == (
            pytest.approx(found.rate.value - 0.5),
            found.bounds.lower(0.95) - 0.5,
        )


def test_agreement_and_biases_have_statsmodels_intervals_and_are_shares_by_count():
    data = rows(["A"] * 30 + ["B"] * 20, [("A", "A")] * 25 + [("B", "B")] * 10 + [("A", "A")] * 5 + [("A", "B")] * 10)
    share = agreement(data).share  # 25 on A, 5 on B
    assert (share.value, share.n) == (0.6, 50)
    assert (share.low, share.high) == pytest.approx(proportion_confint(30, 50, method="beta"))
    lean, keeps = bias_of_people(data).first, bias_of_judge(data).consistent
    assert (lean.value, lean.low, lean.high) == pytest.approx(
        (0.6, *proportion_confint(30, 50, method="wilson"))
    )  # A stood on the left, always
    assert (keeps.value, keeps.low, keeps.high) == pytest.approx((0.8, *proportion_confint(40, 50, method="beta")))
    assert bias_of_judge(data).first.value == pytest.approx((40 * 1 + 10 * 2) / (2 * 50))


def test_the_share_for_the_answer_shown_first_leaves_ties_out():
    """A judge that takes the first wherever it chooses: ties on most rows do not draw its share to one half."""
    data = rows(["A"] * 10 + ["tie"] * 40, [("A", "B")] * 10 + [("tie", "tie")] * 30 + [("A", "both bad")] * 10)
    judge, people = bias_of_judge(data), bias_of_people(data)
    assert (judge.first.value, judge.first.n, people.first.value, people.first.n) == (1.0, 30, 1.0, 10)
    assert judge.shown and people.shown
    ties = rows(["tie"] * 5, [("tie", "both bad")] * 5)
    assert (bias_of_judge(ties).first, bias_of_people(ties).first, bias_of_judge(ties).shown) == (None, None, False)


@pytest.mark.slow
def test_agreement_and_biases_cover_and_a_fair_judge_is_seldom_accused():
    """200 comparisons of 60 rows: agreement 0.8, people take the left in 0.6, a judge that answers at random is shown to lean in at most 5 % and noise."""
    generator, covered, accused = np.random.default_rng(11), np.zeros(2), 0
    for _ in range(200):
        people = np.where(generator.random(60) < 0.6, "A", "B")
        orders = generator.choice(["A", "B"], (60, 2))
        same = np.where(generator.random(60) < 0.8, people, np.where(people == "A", "B", "A"))
        lean = bias_of_people(rows(people.tolist())).first
        agreed = agreement(rows(people.tolist(), [(one, one) for one in same.tolist()])).share
        covered += [lean.low <= 0.6 <= lean.high, agreed.low <= 0.8 <= agreed.high]
        accused += bias_of_judge(rows([None] * 60, [tuple(pair) for pair in orders.tolist()])).shown
    assert (covered / 200 >= 0.95 - 3 * (0.05 * 0.95 / 200) ** 0.5).all()
    assert accused / 200 <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5
