"""The cascade's threshold on 1,000 resplits of e-SNLI, against BARGAIN and against the threshold that just meets its target on validation.

The student is MiniLM trained once on 4,096 gold labels (seed 0, the arm of examples/esnli), the teacher PaLM 540B as recorded; the 6,877 test rows are what
is split anew. A row is harmed where the student is wrong and the teacher right.

One promise for all three: with probability 0.96, that of a first look, at most `budget` of all rows are answered by the student and harmed. BARGAIN promises an accuracy. To make
that the same promise, its oracle here calls every answer correct that is not a harm; its target is then 1 - budget, and its delta 0.04. As in its package, the
oracle answers the rows that it was asked about. BARGAIN is given all rows at once and samples them as it likes. It asks for far fewer labels than it might: of
50 rows or more, it gives up on a threshold whose mean less one standard deviation is below the target. Ours and the usual threshold see 1,000 rows, drawn anew
in each resplit and used for nothing else (ours also 300, to see what few rows cost). There are two accounts, so that neither way is favoured:

- one batch: all 6,877 rows are to be answered. Rows that were looked at to choose the threshold count as answered by the teacher, for BARGAIN and for us.
  This is BARGAIN's own promise and its own share.
- from now on: the threshold alone, on rows to come. Its share kept and its harm are taken on all 6,877 rows, the population that the 1,000 are drawn from.
  This is our promise. BARGAIN names no threshold; the lowest confidence that it kept is taken for one.

A miss is a harm above the budget. What stands in brackets is a 95 % interval over resplits of these rows: of misses Clopper & Pearson's, of a mean share kept
Hoeffding's (`rates.mean_of_shares`). Both say nothing of other rows or another student. `python -m bench.cascade table` prints the recorded results, `python -m bench.cascade` needs the public data (STILLHOUSE_DATA) once; the student's answers are then kept beside the
results in a file that git does not keep, as is the environment that BARGAIN runs in.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bench.flow import environment
from bench.rates import interval, mean_of_shares
from stillhouse.evaluation.cascade_threshold import Threshold, choose_threshold
from stillhouse.evaluation.spending import level_of_look
from stillhouse.results.row_result import RowResult
from stillhouse.session import Session
from stillhouse.task import load_task

HERE = Path(__file__).parent
EXAMPLE = HERE.parent / "examples" / "esnli"
RESPLITS, N_CALIBRATION, FEW, LEVEL = 1000, 1000, 300, level_of_look(1)
BUDGETS = (0.01, 0.02, 0.05)  # 0.02 is the default of [gate] harm
PARTS = (
    20,
    50,
)  # thresholds that BARGAIN tries: its default, and finer; the claim is held against whichever serves it better
N_TRAIN, SPEC = 4096, "encoder:minilm"
PACKAGE = "bargain==0.1.3"
ACCOUNTS = ("one batch", "from now on")


def answers(cache: Path) -> list[tuple[RowResult, RowResult]]:
    """Student's and teacher's answer to every test row; the student is trained where no earlier run left its answers."""
    from stillhouse.advice.curves import nested_subsets
    from stillhouse.experiment.arms import prompt_arm, student_arm
    from stillhouse.experiment.material import prepare
    from stillhouse.experiment.plans import student_plan

    if not (EXAMPLE / "data" / "test.jsonl").is_file():
        subprocess.run(
            [sys.executable, HERE.parent / "examples" / "prepare.py", "esnli"], check=True, stdout=subprocess.DEVNULL
        )
    with tempfile.TemporaryDirectory() as folder:  # recorded answers cost nothing: their store is not kept
        material = asyncio.run(prepare(load_task(EXAMPLE / "task.toml"), Session(store=Path(folder) / "store.db")))
    rows = material.splits.train
    (subset,) = nested_subsets(rows, [N_TRAIN], [row.target("gold") for row in rows], 0)
    whole = student_plan(material, cache, SPEC, "student", 0)
    student, prompt = student_arm(replace(whole, train=subset, out=cache / "student")), prompt_arm(material)
    assert prompt is not None  # the example names a recorded teacher
    return list(zip(student.test, prompt.test, strict=True))


class Pool:
    """The rows as arrays, surest first, and what a threshold does to them."""

    def __init__(self, pairs: Sequence[tuple[RowResult, RowResult]]) -> None:
        self.pairs = sorted(pairs, key=lambda pair: -(pair[0].confidence or 0.0))
        self.confidence = np.array([own.confidence for own, _ in self.pairs], dtype=float)
        self.harmed = np.array([own.score < other.score for own, other in self.pairs])

    def __len__(self) -> int:
        return len(self.pairs)

    def kept(self, threshold: float | None) -> np.ndarray:
        return np.zeros(len(self), dtype=bool) if threshold is None else self.confidence >= threshold


def ours(pool: Pool, chosen: np.ndarray, budget: float) -> float | None:
    found = choose_threshold(
        [pool.pairs[i][0] for i in chosen], [pool.pairs[i][1] for i in chosen], budget=budget, level=LEVEL
    )
    return found.threshold if isinstance(found, Threshold) else None


def usual(pool: Pool, chosen: np.ndarray, budget: float) -> float | None:
    """The lowest threshold whose harm on the validation rows is within the budget. The harm is taken as it is, with no bound."""
    in_order = np.sort(chosen)  # the pool is sorted by confidence
    meets = np.flatnonzero(np.cumsum(pool.harmed[in_order]) / len(chosen) <= budget)
    return float(pool.confidence[in_order[meets[-1]]]) if len(meets) else None


def resplit(pool: Pool, choose: Any, budget: float, n: int = N_CALIBRATION) -> dict[str, float]:
    """One way of choosing on n rows over all resplits, by both accounts."""
    entries = []
    for number in range(RESPLITS):
        chosen = np.random.default_rng(number).permutation(len(pool))[:n]
        kept = pool.kept(choose(pool, chosen, budget))
        rest = kept.copy()
        rest[chosen] = False
        entries.append(
            (rest.mean(), (rest & pool.harmed).sum() / len(pool), n, kept.mean(), (kept & pool.harmed).mean())
        )
    return summary(np.array(entries), budget)


def summary(entries: np.ndarray, budget: float) -> dict[str, float]:
    """Columns: share kept and harm of one batch, labels, share kept and harm from now on."""
    share, harm, labels, share_on, harm_on = entries.T
    kept_and_harm = {"one batch": (share, harm), "from now on": (share_on, harm_on)}
    found: dict[str, float] = {}
    for account, (kept, harms) in kept_and_harm.items():
        found[f"{account}: share kept"] = round(float(kept.mean()), 4)
        found[f"{account}: misses"] = round(float((harms > budget).mean()), 4)
    return with_intervals(found | {"labels, mean": round(float(labels.mean()))}, len(entries))


def with_intervals(found: dict[str, float], n: int) -> dict[str, float]:
    """A summary of n resplits with the 95 % intervals of its shares kept and of its misses, over resplits of these rows."""
    for account in ACCOUNTS:
        for what, of in (("share kept", mean_of_shares), ("misses", lambda rate, n: interval(round(rate * n), n))):
            for end, value in of(found[f"{account}: {what}"], n).items():
                found[f"{account}: {what}, {end}"] = value
    return found


def bargain(pool: Pool, folder: Path) -> dict[str, Any]:
    """Its version, and its summaries per budget and number of thresholds; or why it is absent."""
    python, problem = environment("bargain", folder, (PACKAGE, "numpy"))
    if problem:
        return {"absent": problem}
    facts = {"confidence": pool.confidence.tolist(), "harmed": pool.harmed.tolist()}
    asked = facts | {"budgets": BUDGETS, "delta": round(1 - LEVEL, 6), "parts": PARTS, "draws": RESPLITS}
    ran = subprocess.run(
        [python, HERE / "peers" / "bargain_peer.py"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        return {"absent": (ran.stderr.strip().splitlines() or ["no output"])[-1]}
    said = json.loads(ran.stdout)
    found: dict[str, Any] = {"version": said["version"]}
    for key, draws in said["found"].items():
        budget, parts = key.split()
        on = [pool.kept(lowest) for *_, lowest in draws]
        entries = [(*draw[:3], kept.mean(), (kept & pool.harmed).mean()) for draw, kept in zip(draws, on, strict=True)]
        found.setdefault(budget, {})[f"{parts} thresholds"] = summary(np.array(entries), float(budget))
    return found


def main() -> dict[str, object]:
    """All of it, per budget. `met`: whether both claims hold at every budget, against BARGAIN with the number of thresholds that serves it best."""
    cache = Path(os.environ.get("PEERS", HERE / "results" / ".peers"))
    cache.mkdir(parents=True, exist_ok=True)
    pool = Pool(answers(cache / "cascade"))
    theirs = bargain(pool, cache)
    budgets: dict[str, Any] = {}
    for budget in BUDGETS:
        mine, naive = resplit(pool, ours, budget), resplit(pool, usual, budget)
        most = int(np.flatnonzero(np.cumsum(pool.harmed) / len(pool) <= budget)[-1]) + 1
        few = resplit(pool, ours, budget, FEW)
        hindsight = round(most / len(pool), 4)
        budgets[str(budget)] = {
            "stillhouse": mine,
            f"stillhouse, {FEW} rows": few,
            "usual": naive,
            "with hindsight: share kept": hindsight,
        }
        if "absent" not in theirs:
            budgets[str(budget)] |= {"bargain": theirs[str(budget)], "met": met(mine, theirs[str(budget)].values())}
    return {
        "what": f"{RESPLITS} resplits of {len(pool)} e-SNLI test rows, {N_CALIBRATION} of them to choose on; promise: harm at most the budget with {LEVEL:.0%}",
        "student": f"{SPEC} on {N_TRAIN} gold labels, seed 0",
        "right": {
            name: round(float(np.mean([pair[at].score for pair in pool.pairs])), 4)
            for at, name in enumerate(("student", "teacher"))
        },
        "budgets": budgets,
        "versions": {
            "bargain": theirs.get("version", theirs),
            "numpy": version("numpy"),
            "scipy": version("scipy"),
            "python": sys.version.split()[0],
        },
    }


def met(mine: dict[str, float], theirs: Any) -> dict[str, bool]:
    """The two claims, by both accounts: misses are at most delta, and the share kept is at least BARGAIN's less 5 points.

    Of the shares kept, the interval's lower end is held against the upper one of theirs.
    """
    return {
        f"misses at most {1 - LEVEL:.2f}": all(mine[f"{account}: misses"] <= 1 - LEVEL + 1e-9 for account in ACCOUNTS),
        "share kept at least BARGAIN's less 5 points": all(
            mine[f"{account}: share kept, low"] >= max(their[f"{account}: share kept, high"] for their in theirs) - 0.05
            for account in ACCOUNTS
        ),
    }


def table(found: dict[str, Any]) -> str:
    """The table of docs/results.md; of BARGAIN the number of thresholds that keeps more."""
    lines = [
        "| budget | who | kept, one batch, % | misses, % of 1,000 | kept, from now on, % | misses, % of 1,000 | labels |",
        "|---|---|---|---|---|---|---|",
    ]
    for budget, of in found["budgets"].items():
        theirs = max(of.get("bargain", {}).values(), key=lambda one: one["one batch: share kept"], default=None)
        arms = {"Stillhouse": of["stillhouse"], f"Stillhouse, on {FEW} rows": of[f"stillhouse, {FEW} rows"]}
        for who, one in {**arms, "BARGAIN": theirs, "usual": of["usual"]}.items():
            if one is not None:
                cells = [_cell(one, f"{account}: {what}") for account in ACCOUNTS for what in ("share kept", "misses")]
                lines.append(
                    f"| {float(budget):.0%} | {who} | {' | '.join(cells)} | {one['labels, mean']:,} |".replace(
                        "% |", " % |", 1
                    )
                )
    return "\n".join(lines)


def _cell(one: dict[str, float], what: str) -> str:
    return f"{100 * one[what]:.1f} [{100 * one[f'{what}, low']:.1f}, {100 * one[f'{what}, high']:.1f}]"


if __name__ == "__main__":
    if sys.argv[1:] == ["table"]:
        print(table(json.loads((HERE / "results" / "cascade.json").read_text())))
    else:
        print(json.dumps(main(), indent=2))
