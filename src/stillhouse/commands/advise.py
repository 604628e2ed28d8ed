"""`advise`: the prompt, the prompt with examples, and learning curves of the ladder's students over sizes and seeds, on the same test rows: one verdict.

The run directory: `manifest.json`, `arms/` (every arm's answers), `predictions.jsonl`, `curves.csv` (for `stillhouse curves`), `result.json`, `report.html`.
A killed run goes on: what was asked is in the store, and a finished arm is read from its folder.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stillhouse.advice.curves import nested_subsets, sizes_for
from stillhouse.commands.distill import Finished, OnProgress, plan, provenance, run_settings
from stillhouse.comparison.judged_arms import refuse_unjudged
from stillhouse.errors import UserError
from stillhouse.experiment import few_shot as shots
from stillhouse.experiment.arms import StudentPlan, prompt_arm, slug, student_arm
from stillhouse.experiment.controls import control_plans
from stillhouse.experiment.material import Material, prepare
from stillhouse.experiment.sweep import sweep
from stillhouse.report.result_page import render
from stillhouse.results.measured_arm import MeasuredArm, write_predictions
from stillhouse.results.run_result import Result, load_result, to_dict
from stillhouse.runs import Run, write_atomic, write_json
from stillhouse.student.job import family_of
from stillhouse.task import Task, default_store, load_task
from stillhouse.teacher.annotate import Consent
from stillhouse.verdict import learning_curves
from stillhouse.verdict.findings import find

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
    consent: Consent | None = None,
) -> Finished:
    """Train every student of the ladder (and the linear baseline) at every size with every seed, and say what the numbers say.

    `sizes` default: doubling from max(16, 4 x classes) to all training rows. At least 3 seeds: with fewer there is no interval. `learn_from = "auto"` in
    the task measures students on gold labels and on the teacher's, where the rows allow both. Raises as `distill` does.
    """
    if seeds < MIN_SEEDS:
        raise UserError(f"--seeds {seeds}: an interval over seeds needs at least {MIN_SEEDS}")
    task = task if isinstance(task, Task) else load_task(task)
    refuse_unjudged(task, "advise")
    material = asyncio.run(
        prepare(
            task,
            teacher=teacher,
            settings=settings,
            store=store,
            skip_bad=skip_bad,
            every_lesson=True,
            on_progress=on_progress,
            consent=consent,
        )
    )
    specs = _specs(material)
    _check_sizes(sizes, material)
    facts = {**run_settings(material), "seeds": seeds, "sizes": list(sizes) if sizes else None}
    facts["lessons"] = [(lesson.source, lesson.rows, len(lesson.train)) for lesson in material.lessons]
    with Run.resume_or_create(runs, f"{material.task.name}-advise", "advise", facts) as run:
        prompt = prompt_arm(material)
        few_shot = asyncio.run(
            shots.measure(material, run.folder, store or default_store(material.task), on_progress, consent)
        )
        majority = (
            [student_arm(plan(material, run.folder, "majority", "baseline", 0))] if material.labels is not None else []
        )
        plans = list(_plans(material, run.folder, specs, sizes, seeds))
        trained = sweep(plans, workers=workers, on_progress=on_progress)
        curves = learning_curves.curves_of(material, trained, prompt, few_shot, majority)
        in_full = [
            arm for one, arm in zip(plans, trained, strict=True) if one.keep
        ]  # seed 0 at the largest size, fixed before looking
        controls = [
            student_arm(control, on_progress)
            for one, arm in zip(plans, trained, strict=True)
            if one.keep
            for control in control_plans(one, arm)
        ]
        prompts = [*([prompt] if prompt else []), *(few_shot.of(k)[0] for k in few_shot.sizes)]
        arms = [*prompts, *majority, *controls, *sorted(in_full, key=lambda arm: arm.kind != "baseline")]
        result = find(
            material, arms, provenance(run, material, "stillhouse advise", tuple(range(seeds))), curves=curves
        )
        write_atomic(run.folder / "curves.csv", learning_curves.as_csv(trained))
        return _finish(run, result, [*([prompt] if prompt else []), *few_shot.arms, *majority, *controls, *trained])


def _check_sizes(asked: Sequence[int] | None, material: Material) -> None:
    most = max(len(lesson.train) for lesson in material.lessons)
    if asked is not None and (not asked or min(asked) < 2 or max(asked) > most):
        raise UserError(
            f"--sizes {','.join(map(str, asked))}: give sizes from 2 to {most}, the number of training rows"
        )


def _sizes(asked: Sequence[int] | None, n_rows: int, material: Material) -> list[int]:
    """The sizes of one lesson: those asked for that it has rows for, else the usual ones."""
    if asked is None:
        return sizes_for(n_rows, len(material.labels) if material.labels else None)
    return sorted({size for size in asked if size <= n_rows}) or [n_rows]


def _specs(material: Material) -> list[tuple[str, Any]]:
    """The ladder's students; the linear baseline before them where it is none of them and the task is a choice."""
    ladder = [(spec, "student") for spec in material.task.ladder]
    for spec, _ in ladder:
        family_of(spec)
    linear = (
        [("linear", "baseline")] if material.task.output == "choice" and "linear" not in material.task.ladder else []
    )
    return [*linear, *ladder]


def _plans(
    material: Material, folder: Path, specs: Sequence[tuple[str, Any]], asked: Sequence[int] | None, seeds: int
) -> Iterator[StudentPlan]:
    """One plan per student, lesson, seed and size; the subsets of a seed are nested, and seed 0 at the largest size is measured in full."""
    for spec, kind in specs:
        for lesson in material.lessons if kind == "student" else [material.own_lesson]:
            sizes = _sizes(asked, len(lesson.train), material)
            targets = [row.target(lesson.source) if material.labels else None for row in lesson.train]
            whole = plan(material, folder, spec, kind, 0, lesson)
            for seed in range(seeds):
                for n, subset in zip(sizes, nested_subsets(lesson.train, sizes, targets, seed), strict=True):
                    one = replace(
                        whole, train=subset, seed=seed, out=folder / "arms" / f"{slug(whole.name)}-{n}-{seed}"
                    )
                    in_full = seed == 0 and n == sizes[-1]
                    yield one if in_full else replace(one, keep=False, calibration=(), others={})


def _finish(run: Run, result: Result, arms: Sequence[MeasuredArm]) -> Finished:
    write_predictions(run.folder / "predictions.jsonl", arms)
    write_json(run.folder / "result.json", to_dict(result))
    result = load_result(run.folder)
    page = run.folder / "report.html"
    write_atomic(page, render(result))
    run.save(verdict=result.verdict.kind, chosen=result.chosen)
    return Finished(run.folder, result, page)
