"""How many data points is a prompt worth? The published table from the authors' own runs, by both protocols, and the simulation of docs/protocols.md.

    python -m bench.promptworth convert FOLDER/rte.csv OUT.csv   a task's runs as `stillhouse curves` reads them
    python -m bench.promptworth table FOLDER                     the table, as Markdown
    python -m bench.promptworth flattery                         what each protocol says of arms whose worth is known
    python -m bench.promptworth picture FOLDER OUT.svg           RTE by both protocols

FOLDER holds the authors' exports (one CSV file per task, a column per run; github.com/TevenLeScao/pet, exported_results), named task.csv.
"""

import csv
import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from stillhouse.advice.advantage import Advantage, data_advantage
from stillhouse.advice.curves import RunScores
from stillhouse.commands.curves import picture_of
from stillhouse.errors import UserError
from stillhouse.report.advantage import advantage_plot
from stillhouse.report.html import standalone
from stillhouse.report.svg import figure, tag, text

PATTERNS = {"mnli": 0, "cb": 0, "rte": 0, "copa": 1, "multirc": 1, "wsc": 0}  # the ones behind the paper's table
PUBLISHED = {
    "mnli": "3506 ± 536",
    "cb": "90 ± 2",
    "rte": "282 ± 34",
    "copa": "288 ± 242",
    "multirc": "384 ± 378",
    "wsc": "281 ± 137",
}
_RUN = re.compile(
    r"(?:CLF|PVP (?P<pattern>\d)) roberta(?P<null> neutral verbalizer)? seed (?P<seed>\d) - test-.*-all-p"
)


def arms(source: Path) -> dict[str, RunScores]:
    """The arms of one export: "head", "prompt P" and "null P" (the null verbalizer) for every pattern P."""
    runs: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    with source.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for column, cell in row.items():
                if (run := _RUN.fullmatch(column)) and cell:
                    arm = (
                        "head" if run["pattern"] is None else f"{'null' if run['null'] else 'prompt'} {run['pattern']}"
                    )
                    runs[arm][int(row["training_points"])][run["seed"]] = float(cell)
    return {name: RunScores(name, of) for name, of in sorted(runs.items())}


def convert(source: Path, out: Path) -> None:
    """The export in long format: columns arm, n, seed, score."""
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["arm", "n", "seed", "score"])
        for arm in arms(source).values():
            writer.writerows(
                (arm.name, n, seed, score) for n in arm.sizes for seed, score in sorted(arm.runs[n].items())
            )


def table(folder: Path) -> str:
    lines = [
        "| task (n = runs of an arm) | published | lescao2021 | ours, rows | ours, ratio | crossover, ours |",
        "|---|---|---|---|---|---|",
    ]
    for task, pattern in PATTERNS.items():
        found = arms(folder / f"{task}.csv")
        prompt, head = found[f"prompt {pattern}"], found["head"]
        theirs = data_advantage(prompt, head, protocol="lescao2021", full_range=task == "multirc")
        n = f"{task} (n = {len(prompt.sizes)} sizes x {len(prompt.seeds)} seeds)"
        lines.append(
            f"| {n} | {PUBLISHED[task]} | {theirs.advantage:.0f} ± {_spread(theirs)} | {' | '.join(_ours(prompt, head))} |"
        )
    return "\n".join(lines)


def _ours(prompt: RunScores, head: RunScores) -> tuple[str, str, str]:
    try:
        found = data_advantage(prompt, head)
    except UserError as refusal:
        return "refused: " + str(refusal).split(":")[0].partition(", so")[0], "", ""
    rows = f"{found.advantage:,.0f} {_interval(found.interval, ',.0f')}"
    ratio = f"{found.ratio.value:.3g} {_interval((found.ratio.low, found.ratio.high), '.3g')}" if found.ratio else ""
    return rows, ratio, _crossover(found)


def _spread(found: Advantage) -> str:
    return "unknown" if found.spread is None else f"{found.spread:.1f}" if found.spread < 10 else f"{found.spread:.0f}"


def _interval(ends: tuple[float | None, float | None] | None, form: str) -> str:
    return (
        "(no interval)"
        if ends is None or None in ends
        else f"[{', '.join(f'{end:{form}}' for end in ends if end is not None)}]"
    )


def _crossover(found: Advantage) -> str:
    one = found.crossover
    if one.n_star is None and one.censored is None:
        return "a curve falls beyond noise" if "falls" in one.sentence else "no single size"
    at = {
        "<=": "never behind",
        ">": f"beyond {found.curves[1].sizes[-1]:,}",
        None: f"{one.n_star or 0:,.0f}",
    }[one.censored]
    ends = (one.low and f"{one.low:,.0f}") or "smallest", (one.high and f"{one.high:,.0f}") or "beyond"
    return f"{one.leader}: {at} [{', '.join(ends)}]"


SIZES = [16 * 2**step for step in range(8)]
CASES = {  # how many times as many rows the worse arm needs; standard deviation of the runs' noise: better arm, worse arm
    "the same mean curve, runs of one arm noisier (0.05 against 0.01)": (1, 0.05, 0.01),
    "the better arm needs a quarter of the rows, noise 0.03 in both": (4, 0.03, 0.03),
}


def _true(n: np.ndarray) -> np.ndarray:
    return 0.5 + 0.4 * (1 - (n / 16) ** -0.4)


def _simulated(name: str, factor: int, noise: float, seeds: int, generator: np.random.Generator) -> RunScores:
    scores = _true(np.array(SIZES) * factor)[:, None] + generator.normal(0, noise, (len(SIZES), seeds))
    return RunScores(
        name,
        {n: {str(seed): float(score) for seed, score in enumerate(of)} for n, of in zip(SIZES, scores, strict=True)},
    )


def flattery(draws: int = 200, seeds: tuple[int, ...] = (4, 8, 16)) -> str:
    """Each protocol's mean answer over many sets of runs, and how often the truth lies within two of its spreads, or in its interval."""
    head = "| true curves | truth | seeds | lescao2021, mean ± its spread | holds the truth | ours, mean | holds the truth |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for what, (factor, noise, other) in CASES.items():
        exact = [
            RunScores(name, {n: {"0": float(_true(np.array(n * by)))} for n in SIZES})
            for name, by in (("a", factor), ("b", 1))
        ]
        truth = 0.0 if factor == 1 else data_advantage(*exact).advantage
        for k in seeds:
            generator = np.random.default_rng(2)
            theirs, ours = [], []
            for draw in range(draws):
                pair = _simulated("a", factor, noise, k, generator), _simulated("b", 1, other, k, generator)
                theirs.append(data_advantage(*pair, protocol="lescao2021"))
                ours.append(data_advantage(*pair, seed=draw))
            spread = np.mean([one.spread for one in theirs if one.spread is not None])
            held = np.mean([abs(one.advantage - truth) <= 2 * (one.spread or 0) for one in theirs])
            inside = np.mean([one.interval[0] <= truth <= one.interval[1] for one in ours if one.interval])
            means = [np.mean([one.advantage for one in many]) for many in (theirs, ours)]
            lines.append(
                f"| {what} | {truth:.0f} | {k} | {means[0]:.0f} ± {spread:.0f} | {held:.0%} | {means[1]:.0f} | {inside:.0%} |"
            )
    return "\n".join(lines)


def picture(folder: Path, out: Path, task: str = "rte", width: int = 520) -> None:
    """One task by both protocols, side by side."""
    found = arms(folder / f"{task}.csv")
    pair = found[f"prompt {PATTERNS[task]}"], found["head"]
    panels = []
    headings = {"lescao2021": "the best of the runs, and the best so far", "ours": "the mean, isotonic"}
    for number, (protocol, heading) in enumerate(headings.items()):
        result = data_advantage(*pair, protocol=protocol)
        spread = (
            f"± {result.spread:.0f}"
            if result.spread is not None
            else f"[{result.interval[0]:.0f}, {result.interval[1]:.0f}]"
            if result.interval
            else ""
        )
        words = text(4, 18, f"{protocol}, {heading}: {result.advantage:.0f} {spread} rows", "label")
        panel = tag("g", advantage_plot(picture_of(result, pair), width, protocol), transform="translate(0 28)")
        panels.append(tag("g", words, panel, transform=f"translate({number * (width + 20)} 0)"))
    title = f"{task.upper()}: the same runs by both protocols"
    out.write_text(
        standalone(figure("protocols", 2 * width + 20, 420, title, "Left the paper's protocol, right ours.", *panels)),
        encoding="utf-8",
    )


def main(command: str, *paths: str) -> None:
    where = [Path(path) for path in paths]
    match command, len(where):
        case "convert", 2:
            convert(*where)
        case "table", 1:
            print(table(*where))
        case "flattery", 0:
            print(flattery())
        case "picture", 2:
            picture(*where)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["help"]))
