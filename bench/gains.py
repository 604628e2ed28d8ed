"""What a curve gained with its next rows, as a share of what its last doubling gained: the runs of Le Scao & Rush 2021, one point for each size of each arm.

    python -m bench.gains figures FOLDER      writes src/stillhouse/advice/gain_ratios.py: shares of points alone, and none of the runs
    python -m bench.gains score FOLDER        leave one task out, and rows bought in vain: bench/results/gains.json
    python -m bench.gains table               the results as Markdown

FOLDER holds the authors' exports, as in `bench.promptworth`. A point is a size n of an arm of a task (head, or a pattern with its words or with null ones), as the
mean over its seeds, at which n/2, n and 2n lie within the sizes that were tried; sizes between are read on a line in log2 n. A point has a half step where a size
was tried between n and 2n: where none was, a line would make the half step's gain half of the doubling's by definition.
"""

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.promptworth import PATTERNS, arms
from stillhouse.advice.reach import RATIOS

RESULTS = Path(__file__).parent / "results" / "gains.json"
FIGURES = Path(__file__).parent.parent / "src" / "stillhouse" / "advice" / "gain_ratios.py"
HALF = math.sqrt(2)  # a half step is to sqrt(2) times the rows: 0.41 times as many more
TIE = 1e-9


@dataclass(frozen=True)
class Point:
    """Gains at one size of one curve: the last doubling's, the next half step's (None: no size was tried there), and the next doubling's."""

    task: str
    n: int
    last: float
    half: float | None
    whole: float

    def reaches(self, ratio: float) -> bool:
        return self.whole >= ratio * self.last - TIE

    def at_half(self, ratio: float) -> bool:
        assert self.half is not None
        return self.half >= ratio * self.last - TIE

    def goes_on(self, ratio: float) -> bool:
        """The half step does not reach it yet, and its gain once more would."""
        assert self.half is not None
        return not self.at_half(ratio) and 2 * self.half >= ratio * self.last - TIE


def points(folder: Path, *, by_seed: bool = False) -> list[Point]:
    """All points of the six tasks."""
    found = []
    for task in PATTERNS:
        for arm in arms(folder / f"{task}.csv").values():
            curves = [dict(zip(arm.sizes, arm.means().tolist(), strict=True))]
            if by_seed:
                curves = [{n: of[seed] for n, of in arm.runs.items() if seed in of} for seed in arm.seeds]
            found += [point for curve in curves for point in _points_of(task, curve)]
    return found


def _points_of(task: str, curve: dict[int, float]) -> list[Point]:
    sizes = sorted(curve)

    def at(n: float) -> float:
        return float(np.interp(math.log2(n), np.log2(sizes), [curve[size] for size in sizes]))

    of_curve = []
    for n in sizes:
        if n / 2 < sizes[0] or 2 * n > sizes[-1]:
            continue
        tried = any(n < size < 2 * n for size in sizes)
        half = at(HALF * n) - curve[n] if tried else None
        of_curve.append(Point(task, n, curve[n] - at(n / 2), half, at(2 * n) - curve[n]))
    return of_curve


Shares = dict[str, list[float]]


def shares(of: Sequence[Point]) -> Shares:
    """For each wanted ratio, the share of points with a last gain at which the doubling reached it, the half step reached it, and it says to go on.

    `found`: what the plan finds: it is reached at the half step, or the plan goes on and it is reached at the doubling.
    """
    rising = [point for point in of if point.last > 0]
    stepped = [point for point in rising if point.half is not None]
    return {
        "reach": _share(rising, Point.reaches),
        "go_on": _share(stepped, Point.goes_on),
        "found": _share(stepped, lambda point, w: point.at_half(w) or (point.goes_on(w) and point.reaches(w))),
    }


def _share(of: Sequence[Point], holds: Callable[[Point, float], bool]) -> list[float]:
    return [round(sum(holds(point, ratio) for point in of) / len(of), 3) for ratio in RATIOS]


def figures(folder: Path) -> str:
    """The module that the package ships."""
    of = [point for point in points(folder) if point.last > 0]
    found = shares(of)
    n_half = sum(point.half is not None for point in of)
    going_on = [
        (point, ratio) for point in of if point.half is not None for ratio in RATIOS[1:] if point.goes_on(ratio)
    ]
    after = sum(point.reaches(ratio) for point, ratio in going_on) / len(going_on)
    lines = [f"{name.upper()} = ({', '.join(map(str, values))})" for name, values in found.items()]
    lines += [f"AFTER_GOING_ON, N_WENT_ON = {after:.3f}, {len({point for point, _ in going_on})}"]
    return "\n".join(
        [
            '"""Made by `python -m bench.gains figures`: how often curves of real tasks gained a wanted share of their last gain.',
            "",
            "Shares of points of the learning curves behind Le Scao & Rush 2021 (2103.08493), at each of `reach.RATIOS`. A point is",
            "a size at which the last doubling gained something. `GO_ON` and `FOUND` are of those with a size between n and 2n.",
            "`AFTER_GOING_ON`: of points and ratios at which the half step said to go on, the share that the doubling reached.",
            '"""',
            "",
            *lines,
            f"N_POINTS, N_HALF_STEPS, N_TASKS = {len(of)}, {n_half}, {len({point.task for point in of})}",
            "",
        ]
    )


# Scores


def leave_one_out(of: Sequence[Point]) -> dict[str, Any]:
    """Every task scored by the shares of the other five: Brier scores over points and ratios from 0.1 to 1, the tasks weighing the same."""
    rising = [point for point in of if point.last > 0]
    by_task = {}
    bins: dict[int, list[tuple[float, bool]]] = {}
    for task in sorted({point.task for point in rising}):
        own, others = ([p for p in rising if (p.task == task) is here] for here in (True, False))
        told = shares(others)["reach"][1:]
        base = float(np.mean(told))
        seen = np.array([[point.reaches(ratio) for ratio in RATIOS[1:]] for point in own])
        by_task[task] = {
            "n": len(own),
            "brier": float(np.mean((np.array(told) - seen) ** 2)),
            "brier_of_one_rate": float(np.mean((base - seen) ** 2)),
            "brier_of_surely": float(np.mean((1.0 - seen) ** 2)),
            "told": base,
            "reached": float(seen.mean()),
        }
        for number, chance in enumerate(told):
            bins.setdefault(number, []).extend((chance, bool(hit)) for hit in seen[:, number])
    names = ("brier", "brier_of_one_rate", "brier_of_surely", "told", "reached")
    return {
        "tasks": by_task,
        "mean_over_tasks": {name: float(np.mean([task[name] for task in by_task.values()])) for name in names},
        "by_ratio": [
            {
                "ratio": RATIOS[1:][number],
                "told": float(np.mean([chance for chance, _ in pairs])),
                "reached": float(np.mean([hit for _, hit in pairs])),
                "n": len(pairs),
            }
            for number, pairs in sorted(bins.items())
        ],
    }


def in_vain(of: Sequence[Point]) -> dict[str, Any]:
    """Rows bought where the doubling does not reach what is wanted, by buying it whole and by the half step; and what is found where it does.

    Every rising point with a half step, wanting a tenth to all of its last gain again. Tasks weigh the same.
    """
    whole, plan, kept, n_lost, n_found = [], [], [], 0, 0
    rising = [point for point in of if point.last > 0 and point.half is not None]
    for task in sorted({point.task for point in rising}):
        own = [(point, ratio) for point in rising if point.task == task for ratio in RATIOS[1:]]
        lost = [(point, ratio) for point, ratio in own if not point.reaches(ratio)]
        there = [(point, ratio) for point, ratio in own if point.reaches(ratio)]
        whole.append(np.mean([point.n for point, _ in lost]))
        plan.append(np.mean([point.n * (1.0 if point.goes_on(ratio) else HALF - 1) for point, ratio in lost]))
        kept.append(np.mean([point.at_half(ratio) or point.goes_on(ratio) for point, ratio in there]))
        n_lost, n_found = n_lost + len(lost), n_found + len(there)
    return {
        "rows_in_vain_by_doubling": float(np.mean(whole)),
        "rows_in_vain_by_half_step": float(np.mean(plan)),
        "share_of_the_rows": float(np.mean(np.array(plan) / np.array(whole))),
        "still_found": float(np.mean(kept)),
        "n_unreachable": n_lost,
        "n_reachable": n_found,
        "n_points": len(rising),
    }


def the_band(of: Sequence[Point]) -> dict[str, Any]:
    """Where the next doubling lay: within "at most the last gain", above it, or below what was there; and how often a gain above a point came again."""
    where = Counter(
        "above" if point.whole > max(0.0, point.last) + TIE else "below" if point.whole < -TIE else "within"
        for point in of
    )
    large = [point for point in of if point.last > 0.01]
    again = sum(point.whole >= point.last for point in large) / len(large)
    return {
        "n": len(of),
        **{name: where[name] / len(of) for name in ("within", "above", "below")},
        "as_large_again": again,
        "n_large": len(large),
    }


def score(folder: Path) -> dict[str, Any]:
    means, single = points(folder), points(folder, by_seed=True)
    return {
        "what": "runs behind Le Scao & Rush 2021, six tasks; means over seeds unless it says by seed",
        "next_doubling_by_seed": the_band(single),
        "next_doubling": the_band(means),
        "leave_one_task_out": leave_one_out(means),
        "in_vain": in_vain(means),
        "in_vain_by_seed": in_vain(single),
    }


def table(found: dict[str, Any]) -> str:
    rows = [
        "| wanted, as a share of the last doubling's gain | told by the other five tasks | reached |",
        "|---|---|---|",
    ]
    rows += [
        f"| {line['ratio']:.1f} | {line['told']:.0%} | {line['reached']:.0%} (n = {line['n']}) |"
        for line in found["leave_one_task_out"]["by_ratio"]
    ]
    return "\n".join(rows)


def main(*words: str) -> None:
    match words:
        case ["figures", folder]:
            FIGURES.write_text(figures(Path(folder)), encoding="utf-8")
        case ["score", folder]:
            RESULTS.write_text(json.dumps(score(Path(folder)), indent=1) + "\n", encoding="utf-8")
        case ["table"]:
            print(table(json.loads(RESULTS.read_text(encoding="utf-8"))))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
