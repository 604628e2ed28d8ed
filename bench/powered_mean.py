"""How often intervals hold for a win rate of few people's judgements, powered by a judge's: the simulation behind `evaluation.prediction_powered`.

    python -m bench.powered_mean        a Markdown table; about half a minute

Each line draws 2,000 comparisons: n rows judged by people, and N more by a judge alone. A judge has a share: a "flatterer" takes that share of B's wins for
ties; a "noisy" one is right with that probability and otherwise says anything. The table gives the shares of draws in which a one-sided 95 % bound fails: the
lower bound, whose failure lets a gate pass what it should not, and the upper.
"""

import numpy as np
from scipy import stats

from stillhouse.evaluation.prediction_powered import PoweredMean, powered_mean

DRAWS = 2000
CASES = [  # judge, its share, n, N, wins, losses
    ("flatterer", 0.33, 30, 200, 0.35, 0.45),
    ("flatterer", 0.33, 40, 1000, 0.35, 0.45),
    ("flatterer", 0.33, 100, 1000, 0.35, 0.45),
    ("noisy", 0.8, 30, 300, 0.4, 0.4),
    ("noisy", 0.8, 30, 300, 0.765, 0.135),
    ("noisy", 0.8, 50, 300, 0.9025, 0.0475),
    ("noisy", 0.3, 50, 300, 0.4, 0.4),
]


def normal(found: PoweredMean) -> tuple[float, float]:
    """The interval of the paper, with the normal quantile."""
    half = float(stats.norm.ppf(0.95)) * found.standard_error
    return found.value - half, found.value + half


def student(found: PoweredMean) -> tuple[float, float]:
    """With Student's quantile. The mean and the weight take two degrees of freedom."""
    half = (
        float(stats.t.ppf(0.95, found.n_groups - 2))
        * found.standard_error
        * (found.n_groups / (found.n_groups - 2)) ** 0.5
    )
    return found.value - half, found.value + half


def ours(found: PoweredMean) -> tuple[float, float]:
    return found.interval(0.90) or (0.0, 1.0)


def failures(kind: str, share: float, n: int, more: int, wins: float, losses: float) -> dict[str, tuple[float, float]]:
    """For each method: how often its lower bound is above the truth, and how often its upper bound is below."""
    generator, true = np.random.default_rng(n + more), wins + (1 - wins - losses) / 2
    missed = {method.__name__: np.zeros(2) for method in (normal, student, ours)}
    names = [str(i) for i in range(n + more)]
    for _ in range(DRAWS):
        y = generator.choice([1.0, 0.0, 0.5], n + more, p=[wins, losses, 1 - wins - losses])
        draw = generator.random(n + more)
        anything = generator.choice([0, 0.25, 0.5, 0.75, 1], n + more)
        f = np.where((y == 0) & (draw < share), 0.5, y) if kind == "flatterer" else np.where(draw < share, y, anything)
        found = powered_mean([*y[:n].tolist(), *[None] * more], f, names)
        for method in (normal, student, ours):
            low, high = method(found)
            missed[method.__name__] += [low > true, high < true]
    return {name: (float(low) / DRAWS, float(high) / DRAWS) for name, (low, high) in missed.items()}


def main() -> None:
    print("| judge | n + N | true rate | normal (paper) | Student | ours |\n|---|---|---|---|---|---|")
    for kind, share, n, more, wins, losses in CASES:
        found = failures(kind, share, n, more, wins, losses)
        cells = " | ".join(f"{low:.3f}, {high:.3f}" for low, high in found.values())
        print(f"| {kind} {share:g} | {n} + {more} | {wins + (1 - wins - losses) / 2:.3f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
