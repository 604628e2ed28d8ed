"""The data advantage by our protocol: hand-checked values, a dense sum, simulation with a known answer, and what is refused."""

import math

import numpy as np
import pytest
from scipy import optimize

from stillhouse.advice import advantage as module
from stillhouse.advice import curves
from stillhouse.advice.advantage import data_advantage
from stillhouse.advice.crossover import CurveRead, find_crossover
from stillhouse.advice.curves import RowScores, RunScores
from stillhouse.advice.monotone import crossings, isotonic, lead
from stillhouse.errors import UserError

SIZES = (16, 32, 64, 128, 256)


def arm(name, scores, *, sizes=SIZES, seeds=3, wobble=0.0):
    """`scores` at `sizes`, the same for every seed up to an equal step of `wobble` from seed to seed."""
    return RunScores(
        name,
        {
            n: {str(seed): score + wobble * (seed - (seeds - 1) / 2) for seed in range(seeds)}
            for n, score in zip(sizes, scores, strict=True)
        },
    )


def test_curves_that_are_two_doublings_apart_have_a_ratio_of_four():
    better, worse = arm("prompt", [0.5, 0.6, 0.7, 0.8, 0.9]), arm("head", [0.3, 0.4, 0.5, 0.6, 0.7])
    found = data_advantage(better, worse)
    assert found.window == pytest.approx((0.5, 0.7))
    assert found.ratio.value == pytest.approx(4)
    assert found.advantage == pytest.approx(
        (256 - 64) / math.log(4) - (64 - 16) / math.log(4)
    )  # mean sizes along log2: logarithmic means
    assert found.interval == pytest.approx((found.advantage, found.advantage))  # seeds that agree leave no doubt
    assert (found.at.score, found.at.better_n.value, found.at.worse_n.value) == (
        pytest.approx(0.6),
        pytest.approx(32),
        pytest.approx(128),
    )
    assert found.at.ratio.value == pytest.approx(4)
    assert (found.crossover.censored, found.crossover.leader, found.crossover.low, found.crossover.high) == (
        ">",
        "head",
        256,
        None,
    )
    assert data_advantage(worse, better).advantage == pytest.approx(-found.advantage)


def test_the_mean_distance_agrees_with_a_dense_sum():
    generator = np.random.default_rng(0)
    pair = [
        RunScores(
            name, {n: {str(s): 0.1 * i + generator.normal(0, 0.05) for s in range(4)} for i, n in enumerate(SIZES)}
        )
        for name in "ab"
    ]
    found = data_advantage(*pair)
    scores = np.linspace(*found.window, 20_001)
    sizes = []
    for one in pair:
        fitted = isotonic(one.means())
        sizes.append([2 ** np.interp(score, *_strictly(fitted, np.log2(SIZES))) for score in scores])
    assert found.advantage == pytest.approx(np.mean(sizes[1]) - np.mean(sizes[0]), rel=1e-3, abs=0.02)


def _strictly(fitted, at):
    """The smallest size of every level: np.interp wants rising scores."""
    first = np.concatenate([[True], np.diff(fitted) > 0])
    return fitted[first], at[first]


def test_a_score_that_an_arm_does_not_reach_is_beyond_the_sizes_tried():
    found = data_advantage(
        arm("a", [0.5, 0.6, 0.7, 0.8, 0.9]), arm("b", [0.3, 0.4, 0.5, 0.6, 0.7], wobble=0.01), at=0.8
    )
    assert found.at.better_n.value == pytest.approx(128)
    assert found.at.worse_n.value is None
    assert found.at.advantage.value is None
    assert found.at.ratio.low == pytest.approx(2, rel=0.01)  # at least 256 against 128
    assert found.at.ratio.high is None


def test_the_worse_arm_catches_up_and_the_size_has_an_interval():
    found = data_advantage(
        arm("flat", [0.5, 0.55, 0.6, 0.65, 0.7], wobble=0.01), arm("steep", [0.3, 0.45, 0.6, 0.75, 0.9], wobble=0.02)
    )
    crossover = found.crossover
    assert (crossover.leader, crossover.n_star, crossover.censored, crossover.level) == (
        "steep",
        pytest.approx(64),
        None,
        0.95,
    )
    assert crossover.low < 64 < crossover.high
    assert crossover.sentence == "steep catches up with flat at about 64 training rows"


def test_the_crossover_is_where_scipy_finds_the_root_of_the_lead():
    """Curves that cross once, of random steps; straight lines in log2 n, read by numpy and solved by scipy."""
    generator = np.random.default_rng(1)
    for _ in range(20):
        flat = np.cumsum(generator.uniform(0.0, 0.03, 5)) + 0.5
        steep = flat - 0.06 + np.cumsum(generator.uniform(0.02, 0.08, 5)) - 0.02
        found = find_crossover(
            *(CurveRead(name, SIZES, tuple(of), (1,) * 5) for name, of in (("flat", flat), ("steep", steep))),
            None,
            0.95,
            log=True,
        )

        def ahead(log2_n, flat=flat, steep=steep):
            return np.interp(log2_n, np.log2(SIZES), steep) - np.interp(log2_n, np.log2(SIZES), flat)

        if ahead(4) >= 0:
            assert found.censored == "<="
        elif ahead(8) <= 0:
            assert found.censored == ">"
        else:
            assert (found.leader, found.n_star) == ("steep", pytest.approx(2 ** optimize.brentq(ahead, 4, 8)))


def test_the_better_arm_may_be_the_one_that_comes_from_behind():
    crossover = data_advantage(
        arm("steep", [0.3, 0.45, 0.6, 0.75, 0.9]), arm("flat", [0.5, 0.55, 0.6, 0.65, 0.7])
    ).crossover
    assert (crossover.leader, crossover.n_star) == ("steep", pytest.approx(64))


def test_curves_that_cross_twice_beyond_their_noise_have_no_single_crossover():
    once, twice = [0.50, 0.55, 0.60, 0.65, 0.70], [0.40, 0.60, 0.61, 0.62, 0.63]
    found = data_advantage(arm("a", once, wobble=0.002), arm("b", twice, wobble=0.002))
    assert (found.crossover.n_star, found.crossover.censored) == (None, None)
    assert found.crossover.crossings == pytest.approx((2 ** (4 + 2 / 3), 2 ** (6 + 1 / 4)))
    assert found.crossover.sentence.startswith(
        "the curves cross 2 times, at about 25 and 76 training rows (2 times beyond the noise"
    )
    noisy = data_advantage(arm("a", once, wobble=0.1), arm("b", twice, wobble=0.002)).crossover
    assert "no more than once beyond the noise" in noisy.sentence
    assert (
        data_advantage(arm("a", once, seeds=1), arm("b", twice, seeds=1)).crossover.n_star is None
    )  # one run: nothing is noise


def test_curves_without_a_common_size_have_no_crossover_but_may_have_a_window():
    found = data_advantage(arm("a", [0.5, 0.7], sizes=(16, 32)), arm("b", [0.5, 0.7], sizes=(64, 128)))
    assert found.ratio.value == pytest.approx(4)
    assert "no training size in common" in found.crossover.sentence


def test_two_runs_are_too_few_for_an_interval_and_missing_ones_are_named():
    found = data_advantage(arm("a", [0.5, 0.6, 0.7, 0.8, 0.9], seeds=2), arm("b", [0.3, 0.4, 0.5, 0.6, 0.7]))
    assert (found.interval, found.ratio.low, found.crossover.level, found.at.ratio.low) == (None, None, None, None)
    assert "no interval: it takes at least 3 runs at every size, and a has 2 at a size" in found.notes
    full = arm("b", [0.3, 0.4, 0.5, 0.6, 0.7], seeds=4)
    torn = RunScores(
        "b",
        {n: {seed: score for seed, score in runs.items() if (n, seed) != (64, "3")} for n, runs in full.runs.items()},
    )
    found = data_advantage(arm("a", [0.5, 0.6, 0.7, 0.8, 0.9], seeds=4), torn)
    assert found.interval is not None
    assert "b lacks runs: 3 of 4 at n = 64" in found.notes


def test_a_window_in_doubt_gives_no_interval():
    found = data_advantage(arm("a", [0.69, 0.72, 0.75, 0.8, 0.9], wobble=0.05), arm("b", [0.3, 0.4, 0.5, 0.6, 0.7]))
    assert found.interval is None
    assert any("share no score" in note and note.startswith("no interval") for note in found.notes)


@pytest.mark.parametrize(
    ("better", "worse", "says"),
    [
        (
            arm("a", [0.8, 0.82, 0.84, 0.86, 0.9]),
            arm("b", [0.1, 0.2, 0.3, 0.4, 0.5]),
            r"a and b share no score, so .* at 0\.8.* at 0\.5; .*--full-range",
        ),
        (arm("a", [0.5] * 5), arm("b", [0.1, 0.3, 0.5, 0.7, 0.9]), r"a and b share the single score 0\.5"),
        (arm("a", [0.1 + 0.2] * 5, wobble=1e-17), arm("b", [0.3] * 5), r"the single score 0\.3"),
        (
            arm("a", [0.5], sizes=(16,)),
            arm("b", [0.1, 0.9], sizes=(16, 32)),
            r"a: one training size \(n = 16\) is no learning curve",
        ),
        (
            arm("a", [0.5, 0.6], sizes=(0, 16)),
            arm("b", [0.1, 0.9], sizes=(16, 32)),
            r"a: n = 0 has no place on a log2 axis.*lescao2021",
        ),
        (arm("a", [0.5, 0.6], sizes=(8, 16)), arm("a", [0.1, 0.9], sizes=(16, 32)), r"'a' is compared with itself"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(better, worse, says):
    with pytest.raises(UserError, match=says):
        data_advantage(better, worse)


def test_the_full_range_is_a_bound_and_says_so():
    found = data_advantage(arm("a", [0.8, 0.82, 0.84, 0.86, 0.9]), arm("b", [0.1, 0.2, 0.3, 0.4, 0.5]), full_range=True)
    assert found.window == (pytest.approx(0.1), pytest.approx(0.9))
    assert any("understated" in note for note in found.notes)


def test_the_window_may_be_that_of_other_arms():
    prompt, null, head = (
        arm(name, [base + 0.1 * i for i in range(5)]) for name, base in (("prompt", 0.5), ("null", 0.4), ("head", 0.3))
    )
    assert data_advantage(prompt, null, window_of=(prompt, head)).window == (pytest.approx(0.5), pytest.approx(0.7))
    assert data_advantage(prompt, null).window == (pytest.approx(0.5), pytest.approx(0.8))


def test_with_rows_the_rows_are_drawn_too():
    """Seeds that agree on every row: all the doubt is which rows, and both arms answered the same."""
    rows = np.random.default_rng(0).random(100)
    better, worse = (RowScores(SIZES, np.stack([np.tile((rows < p).astype(float), (3, 1)) for p in ps]), np.arange(100), name)
                     for name, ps in (("a", (0.5, 0.6, 0.7, 0.8, 0.9)), ("b", (0.3, 0.4, 0.5, 0.6, 0.7))))  # fmt: skip
    found = data_advantage(better, worse)
    assert found.interval[0] < found.advantage < found.interval[1]
    assert data_advantage(better.by_run(), worse.by_run()).interval == pytest.approx((found.advantage, found.advantage))


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 0.02], ids=["seeds of their own", "seeds shared by both arms"])
def test_intervals_cover_the_truth(monkeypatch, shared):
    """Two curves with a known crossing, window and distance; 4 seeds, nominal 0.95. Over 600 draws with 1,000 resamples n* was covered in 0.95 to 0.96."""
    monkeypatch.setattr(curves, "N_RESAMPLES", 600)
    monkeypatch.setattr(module, "N_RESAMPLES", 600)
    sizes = np.array([16, 32, 64, 128, 256, 512])
    truth = {"a": 0.55 + 0.30 * (1 - (sizes / 16) ** -0.35), "b": 0.40 + 0.60 * (1 - (sizes / 16) ** -0.4)}
    exact = data_advantage(*(arm(name, scores, sizes=sizes.tolist()) for name, scores in truth.items()))
    [n_star] = crossings(*lead(sizes.tolist(), truth["b"], sizes.tolist(), truth["a"]))
    assert exact.crossover.n_star == pytest.approx(n_star)
    generator, hits = np.random.default_rng(7), np.zeros(3)
    for draw in range(300):
        luck = generator.normal(0, shared, 4) if shared else 0
        pair = []
        for name, scores in truth.items():
            noisy = scores[:, None] + luck + generator.normal(0, 0.012, (6, 4))
            pair.append(
                RunScores(
                    name,
                    {
                        int(n): {str(seed): float(score) for seed, score in enumerate(of)}
                        for n, of in zip(sizes, noisy, strict=True)
                    },
                )
            )
        found = data_advantage(*pair, seed=draw)
        hits += [
            (found.crossover.low or 0) <= n_star <= (found.crossover.high or math.inf),
            found.interval[0] <= exact.advantage <= found.interval[1],
            found.ratio.low <= exact.ratio.value <= found.ratio.high,
        ]
    of_crossover, *of_advantage = hits / 300
    assert 0.93 <= of_crossover <= 0.98
    assert all(0.92 <= share <= 0.98 for share in of_advantage), of_advantage
