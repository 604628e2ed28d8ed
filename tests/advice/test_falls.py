"""Curves that fall or cross twice beyond their noise: a sentence, and no size."""

import numpy as np
import pytest

from stillhouse.advice.advantage import data_advantage
from stillhouse.advice.curves import RowScores, RunScores, crossing
from stillhouse.advice.falls import fall_in_words, sign_changes

SIZES = (100, 200, 400, 800)


def runs(name, means, sd=0.005, seeds=8, seed=0):
    generator = np.random.default_rng(seed)
    return RunScores(
        name,
        {
            n: {str(number): float(score) for number, score in enumerate(generator.normal(mean, sd, seeds))}
            for n, mean in zip(SIZES, means, strict=True)
        },
    )


def rows(means, n_rows=600, seeds=8, seed=0):
    """Rows of unequal ease, the same for every run, so that a run's mean is the wanted one on average."""
    generator = np.random.default_rng(seed)
    ease = generator.random(n_rows)
    scores = np.array([[(ease < mean) ^ (generator.random(n_rows) < 0.01) for _ in range(seeds)] for mean in means])
    return RowScores(SIZES, scores.astype(float), np.arange(n_rows), "student")


def test_a_fall_at_the_last_size_is_said_and_no_size_is_given():
    """.80 .92 .92 .86 with 8 seeds, sd .005: the fit at the last size would be .89 to .90, where no run lies."""
    found = data_advantage(runs("falling", (0.80, 0.92, 0.92, 0.86)), runs("level", (0.88, 0.89, 0.89, 0.895)))
    assert found.crossover.n_star is None and "no single size is the crossover" in found.crossover.sentence
    assert "falling falls from 0.9" in found.crossover.sentence and "at 800" in found.crossover.sentence
    assert any("beyond the noise of its runs" in note for note in found.notes)


def test_the_crossing_with_a_prompt_is_no_size_where_the_curve_falls():
    prompt = (np.random.default_rng(0).random(600) < 0.89).astype(float)
    found = crossing(rows((0.80, 0.92, 0.92, 0.80)), prompt)
    assert (found.n_star, found.censored, found.low, found.high) == (None, None, None, None)
    assert "student falls from" in found.note
    rising = crossing(rows((0.80, 0.85, 0.93, 0.95)), prompt)
    assert rising.note is None and 200 < rising.n_star < 400


def test_a_dip_within_the_noise_is_no_fall():
    found = data_advantage(
        runs("noisy", (0.80, 0.90, 0.899, 0.90), sd=0.02), runs("level", (0.85, 0.87, 0.89, 0.895), sd=0.02)
    )
    assert not any("falls" in note for note in found.notes)


@pytest.mark.parametrize(
    ("leads", "changes"),
    [((-0.1, -0.1, 0.1, 0.1), 1), ((-0.1, 0.1, -0.1, 0.1), 3), ((0.1, 0.0, 0.0, -0.1), 1), ((0.1, 0.1, 0.1, 0.1), 0)],
)
def test_changes_of_sides_are_counted_where_they_are_sure(leads, changes):
    drawn = np.array(leads) + np.random.default_rng(0).normal(0, 0.01, (2000, 4))
    assert sign_changes(drawn, 0.95) == changes


def test_a_level_curve_is_said_to_fall_in_at_most_one_of_twenty_cases():
    falls = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        means = generator.normal(0.9, 0.01, 4)
        drawn = means + generator.normal(0, 0.01, (2000, 4))
        falls += fall_in_words("level", SIZES, means, drawn, 0.95) is not None
    assert falls / 200 <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5
