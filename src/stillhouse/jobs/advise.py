"""`advise`: learning curves of the ladder's students over sizes and seeds, held against the prompt on the same test rows: one verdict.

The run directory: `manifest.json`, `arms/` (every student's answers), `predictions.jsonl`, `result.json`, `report.html`. A killed run goes on.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse.advice.curves import Measured, ahead, crossing, curve_points, nested_subsets, sizes_for
from stillhouse.errors import UserError
from stillhouse.evaluation.harness import RowResult, summarise
from stillhouse.jobs.arms import PROMPT, MeasuredArm, StudentPlan, arm_name, prompt_arm, slug, write_predictions
from stillhouse.jobs.distill import Finished, OnProgress, plan, provenance, run_settings
from stillhouse.jobs.findings import find
from stillhouse.jobs.judged_arms import refuse_unjudged
from stillhouse.jobs.material import Material, prepare
from stillhouse.jobs.sweep import sweep
from stillhouse.report.page import render
from stillhouse.report.result import Ahead, Crossover, Curve, CurvePoint, LearningCurves, Line, Result, load_result, to_dict
from stillhouse.runs import Run, write_atomic, write_json
from stillhouse.student.job import family_of
from stillhouse.task import Task, load_task

MIN_SEEDS = 3


def advise(
    task: Path | Task,
    *,
    teacher: str | None = None,
    settings: Mapping[str, Any] | None = None,
    store: Path | None = None,
    runs: Path = Path("runs"),
    seeds: int = 5,
    sizes: Sequence[int] | None = None,
    workers: int | None = None,
    skip_bad: bool = False,
    on_progress: OnProgress = None,
) -> Finished:
    """Train every student of the ladder (and the linear baseline) at every size with every seed, and say what the numbers say.

    `sizes` default: doubling from max(16, 4 x classes) to all training rows. At least 3 seeds: with fewer there is no interval. Raises as `distill` does.
    """
    if seeds < MIN_SEEDS:
        raise UserError(f"--seeds {seeds}: an interval over seeds needs at least {MIN_SEEDS}")
    task = task if isinstance(task, Task) else load_task(task)
    refuse_unjudged(task, "advise")
    material = asyncio.run(prepare(task, teacher=teacher, settings=settings, store=store, skip_bad=skip_bad, on_progress=on_progress))
    n_rows = len(material.splits.train)
    chosen = _sizes(sizes, n_rows, material)
    facts = {**run_settings(material), "seeds": seeds, "sizes": chosen}
    with Run.resume_or_create(runs, f"{material.task.name}-advise", "advise", facts) as run:
        plans = [one for spec, kind in _specs(material) for one in _plans(material, run.folder, spec, kind, chosen, seeds)]
        measured = dict(zip(((one.name, len(one.train), one.seed) for one in plans), sweep(plans, workers=workers, on_progress=on_progress), strict=True))
        prompt = prompt_arm(material)
        curves = _learning_curves(material, measured, chosen, seeds, prompt)
        full = [measured[name, chosen[-1], 0] for name in dict.fromkeys(one.name for one in plans)]  # seed 0 at the largest size, fixed before looking
        arms = [*([prompt] if prompt else []), *sorted(full, key=lambda arm: arm.kind != "baseline")]
        result = find(material, arms, provenance(run, material, "stillhouse advise", tuple(range(seeds))), curves=curves)
        return _finish(run, result, [*([prompt] if prompt else []), *measured.values()])


def _sizes(asked: Sequence[int] | None, n_rows: int, material: Material) -> list[int]:
    if asked is None:
        return sizes_for(n_rows, len(material.labels) if material.labels else None)
    sizes = sorted(set(asked))
    if not sizes or sizes[0] < 2 or sizes[-1] > n_rows:
        raise UserError(f"--sizes {','.join(map(str, asked))}: give sizes from 2 to {n_rows}, the number of training rows")
    return sizes


def _specs(material: Material) -> list[tuple[str, Any]]:
    """The ladder's students; the linear baseline before them where it is none of them and the task is a choice."""
    ladder = [(spec, "student") for spec in material.task.ladder]
    for spec, _ in ladder:
        family_of(spec)
    linear = [("linear", "baseline")] if material.task.output == "choice" and "linear" not in material.task.ladder else []
    return [*linear, *ladder]


def _plans(material: Material, folder: Path, spec: str, kind: Any, sizes: Sequence[int], seeds: int) -> list[StudentPlan]:
    """One plan per seed and size; the subsets of a seed are nested, and seed 0 at the largest size is measured in full."""
    rows = material.splits.train
    targets = [row.target(material.learn_from) if material.labels else None for row in rows]
    whole, plans = plan(material, folder, spec, kind, 0), []
    for seed in range(seeds):
        for n, subset in zip(sizes, nested_subsets(rows, sizes, targets, seed), strict=True):
            out = folder / "arms" / f"{slug(arm_name(spec, material.learn_from))}-{n}-{seed}"
            one = replace(whole, train=subset, seed=seed, out=out)
            in_full = seed == 0 and n == sizes[-1]
            plans.append(one if in_full else replace(one, keep=False, calibration=(), others={}))
    return plans


def _learning_curves(
    material: Material, measured: Mapping[tuple[str, int, int], MeasuredArm], sizes: Sequence[int], seeds: int, prompt: MeasuredArm | None
) -> LearningCurves:
    curves, crossovers = [], []
    for name in dict.fromkeys(name for name, _, _ in measured):
        scores = np.array([[[row.score for row in measured[name, n, seed].test] for seed in range(seeds)] for n in sizes])
        of_sizes = Measured(tuple(sizes), scores, _groups(measured[name, sizes[-1], 0].test))
        points = curve_points(of_sizes)
        next_ = ahead(points)
        curves.append(
            Curve(
                name,
                tuple(CurvePoint(point.n, point.mean, point.low, point.high, point.scores) for point in points),
                scores.shape[2],
                material.learn_from,
                None if next_ is None else Ahead(*next_),
            )
        )
        if prompt is not None:
            found = crossing(of_sizes, np.array([row.score for row in prompt.test]))
            crossovers.append(Crossover(name, PROMPT, found.n_star, found.low, found.high, found.censored, found.level, found.n_seeds, found.n_rows))
    lines = () if prompt is None else (Line(PROMPT, summarise(prompt.test, material.metric).score),)
    return LearningCurves(tuple(curves), lines, tuple(crossovers))


def _groups(rows: Sequence[RowResult]) -> Any:
    numbers: dict[str, int] = defaultdict(lambda: len(numbers))
    return np.array([numbers[row.group or f"row {row.id}"] for row in rows])


def _finish(run: Run, result: Result, arms: Sequence[MeasuredArm]) -> Finished:
    write_predictions(run.folder / "predictions.jsonl", arms)
    write_json(run.folder / "result.json", to_dict(result))
    result = load_result(run.folder)
    page = run.folder / "report.html"
    write_atomic(page, render(result))
    run.save(verdict=result.verdict.kind, chosen=result.chosen)
    return Finished(run.folder, result, page)
