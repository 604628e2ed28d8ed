"""How often the gate passes a student of which two things are known: how often it differs, and by how much it is worse.

Summed over all tables of wins and losses, as the exact test sees them; nothing is drawn. Where few rows are expected to
differ, every table is tested. Else the test's critical value is looked for once, at the number that is expected: the
number that rows really show moves it by little.

A normal approximation plans too few rows, the more so the fewer rows differ and the stricter the level. For a student
as good as the teacher that differs on 10 % of the rows, at a margin of 5 points, its rows passed 77 % at a first look,
75 % at a third and 74 % at a tenth, where 80 % was wanted; with 2 % that differ 57, 25 and 12 %.
"""

from functools import lru_cache

import numpy as np
from scipy import special

from stillhouse.evaluation.exact import exact_p, outside_of, p_of_statistic, searched_shares

FEW = 3  # rows that are expected to differ, up to which every table is tested
UNLIKELY = 1e-4  # the chance below which a table is left out
STEPS = 7  # halvings of the range in which the critical value lies: to 0.008
SHARES = 8  # shares of rows that differ at which the p-value is looked for
LOWEST, HIGHEST = -0.6, 0.4  # that range, from the normal quantile


@lru_cache(maxsize=4096)
def power(n: int, discordance: float, difference: float, margin: float, level: float) -> float:
    """The chance of a pass on n rows that stand alone, without classes.

    `discordance`: the share of rows on which only one of the two is right; at least as large as `difference`.
    """
    if n * discordance <= FEW:
        return _sum_over_tables(n, discordance, difference, margin, level)
    critical = critical_value(n, discordance, margin, level)
    return float(p_of_statistic(critical, n, -margin, np.array([discordance]), true=difference)[0])


def critical_value(n: int, discordance: float, margin: float, level: float) -> float:
    """The smallest statistic that passes where that share of rows differs."""
    outside, normal = outside_of(level), float(special.ndtri(level))
    shares = searched_shares(round(n * discordance), n, -margin, outside, SHARES)
    fails, passes = normal + LOWEST, normal + HIGHEST
    for _ in range(STEPS):
        middle = (fails + passes) / 2
        if float(p_of_statistic(middle, n, -margin, shares).max()) + outside < 1 - level:
            passes = middle
        else:
            fails = middle
    return passes


def _sum_over_tables(n: int, discordance: float, difference: float, margin: float, level: float) -> float:
    only_1, only_2 = max(0.0, (discordance + difference) / 2), max(0.0, (discordance - difference) / 2)
    most = np.arange(min(n, 5 * FEW) + 1)
    wins, losses = (side.ravel() for side in np.meshgrid(most, most))
    fits = wins + losses <= n
    tables = np.stack([wins, losses, n - wins - losses], axis=1)[fits]
    logs = special.xlogy(tables, [only_1, only_2, 1 - only_1 - only_2]) - special.gammaln(tables + 1)
    chances = np.exp(special.gammaln(n + 1) + logs.sum(axis=1))  # multinomial
    outside = outside_of(level)
    return float(
        sum(
            chance
            for (b, c, _), chance in zip(tables.tolist(), chances.tolist(), strict=True)
            if chance > UNLIKELY and exact_p(b, c, n, -margin, outside) < 1 - level
        )
    )
