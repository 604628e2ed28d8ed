"""`distill`: train the students of the ladder on a task, measure them against the prompt on held-out rows, and keep what may be served.

The run directory: `manifest.json`, `arms/NAME/` (each arm's answers, and `student/`, its artifact with `card.md`), `predictions.jsonl`, `result.json`,
`report.html`, and `cascade.json` where a threshold keeps its promise. A killed run goes on where it was: the teacher's answers are in the store, finished
arms in their folders, a training at its last checkpoint.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.comparison.judged_arms import judged, refuse_unjudged
from stillhouse.errors import UserError
from stillhouse.experiment.arms import StudentPlan, arm_name, prompt_arm, slug, student_arm
from stillhouse.experiment.controls import control_plans
from stillhouse.experiment.material import Material, prepare
from stillhouse.experiment.training_sets import Lesson
from stillhouse.records import Progress
from stillhouse.report.result_page import render
from stillhouse.results.learning_curves import LearningCurves
from stillhouse.results.measured_arm import MeasuredArm, write_predictions
from stillhouse.results.provenance import Provenance
from stillhouse.results.run_result import Result, load_result, to_dict
from stillhouse.runs import Run, write_atomic, write_json
from stillhouse.student.job import family_of
from stillhouse.task import Task, load_task
from stillhouse.teacher.annotate import Consent
from stillhouse.verdict.card import card
from stillhouse.verdict.findings import find

OnProgress = Callable[[Progress], None] | None


@dataclass(frozen=True)
class Finished:
    """A finished run. `serves`: a student passed its gate, or a cascade keeps its promise."""

    folder: Path
    result: Result
    report: Path

    @property
    def serves(self) -> bool:
        return self.result.verdict.kind in ("finetune", "distil", "cascade")


def distill(
    task: Path | Task,
    *,
    teacher: str | None = None,
    settings: Mapping[str, Any] | None = None,
    store: Path | None = None,
    runs: Path = Path("runs"),
    seed: int = 0,
    advice: Path | None = None,
    all_students: bool = False,
    skip_bad: bool = False,
    on_progress: OnProgress = None,
    consent: Consent | None = None,
) -> Finished:
    """Climb the ladder until a student passes its gate (`all_students`: to its end). `advice`: an `advise` run whose learning curves go into the report.

    Blocks while it trains; in a notebook call it in a thread. Raises the errors of `prepare` and `train_student`; what was paid or trained is kept.
    """
    task = task if isinstance(task, Task) else load_task(task)
    refuse_unjudged(task, "distill")
    material = asyncio.run(
        prepare(
            task,
            teacher=teacher,
            settings=settings,
            store=store,
            skip_bad=skip_bad,
            on_progress=on_progress,
            consent=consent,
        )
    )
    curves = _curves_of(advice)
    ladder = _ladder(material.task)
    facts = {
        **run_settings(material),
        "ladder": ladder,
        "seed": seed,
        "all_students": all_students,
        "advice": str(advice) if advice else None,
    }
    with Run.resume_or_create(runs, f"{material.task.name}-distill", "distill", facts) as run:
        arms = _baselines(material, run.folder, seed, ladder, on_progress)
        prompt = prompt_arm(material)
        measured = [*([prompt] if prompt else []), *arms]
        result: Result | None = None
        for spec in ladder:
            one = plan(material, run.folder, spec, "student", seed)
            student = student_arm(one, on_progress)
            trained = [student, *(student_arm(control, on_progress) for control in control_plans(one, student))]
            measured += [judged(material, prompt, arm, store, on_progress) for arm in trained]
            result = find(material, measured, _provenance(run, material, seed), curves=curves)
            if not all_students and prompt is not None and result.verdict.kind in ("finetune", "distil"):
                break  # a dearer student could not replace more than the whole prompt
        assert result is not None  # a ladder has at least one step
        return finish(run, material, measured, result)


def plan(
    material: Material, folder: Path, spec: str, kind: Any, seed: int, lesson: Lesson | None = None
) -> StudentPlan:
    """One student on all rows of a lesson; None: the task's own."""
    splits, lesson = material.splits, lesson or material.own_lesson
    return StudentPlan(
        spec=spec,
        kind=kind,
        task=material.task,
        train=lesson.train,
        validation=lesson.validation,
        test=splits.test,
        calibration=material.calibration,
        learn_from=lesson.source,
        scored_against=material.scored_against,
        seed=seed,
        out=folder / "arms" / slug(arm_name(spec, lesson.source, lesson.rows)),
        others=splits.also_test,
        rows=lesson.rows,
    )


def _baselines(
    material: Material, folder: Path, seed: int, ladder: tuple[str, ...], on_progress: OnProgress
) -> list[MeasuredArm]:
    """Majority class and TF-IDF + logistic regression, always, where the task is a choice: what a student has to be better than."""
    if material.task.output != "choice":
        return []
    specs = [
        spec
        for spec in ("majority", "linear")
        if spec not in ladder and (spec == "linear" or material.labels is not None)
    ]
    return [student_arm(plan(material, folder, spec, "baseline", seed), on_progress) for spec in specs]


def finish(run: Run, material: Material, measured: list[MeasuredArm], result: Result) -> Finished:
    """Write what the run found: answers, result, report, cards, and the cascade's threshold."""
    write_predictions(run.folder / "predictions.jsonl", measured)
    write_json(run.folder / "result.json", to_dict(result))
    result = load_result(run.folder)  # what is shown is what is on disk
    for arm in measured:
        if arm.folder is not None:
            write_atomic(arm.folder / "card.md", card(result, arm))
    _write_cascade(run.folder, material, measured, result)
    page = run.folder / "report.html"
    write_atomic(page, render(result))
    cost_usd = result.label_quality.cost_usd if result.label_quality else None
    run.save(
        cost_usd=cost_usd, prices=list(result.provenance.prices), verdict=result.verdict.kind, chosen=result.chosen
    )
    return Finished(run.folder, result, page)


def _write_cascade(folder: Path, material: Material, measured: list[MeasuredArm], result: Result) -> None:
    """What `cascade:DIR` needs: the student, the teacher and the threshold between them."""
    found = result.cascade
    student = next((arm for arm in measured if found is not None and arm.name == found.student), None)
    if (
        found is None
        or found.threshold is None
        or student is None
        or student.folder is None
        or material.teacher is None
    ):
        return
    facts = {
        "format": 1,
        "student": student.folder.relative_to(folder).as_posix(),
        "threshold": found.threshold,
        "budget": found.budget,
        "level": found.level,
        "n": found.n,
        "teacher": material.teacher.name,
        "task_file": str(material.task.path) if material.task.path else None,
    }
    write_json(folder / "cascade.json", facts)


def run_settings(material: Material) -> dict[str, Any]:
    """What makes a run another run: the task as resolved, its rows, and the teacher."""
    task = material.task
    return {
        "task": task.name,
        "task_file": str(task.path) if task.path else None,
        "instruction": task.instruction,
        "labels": list(material.labels) if material.labels else None,
        "metric": task.metric,
        "learn_from": material.learn_from,
        "scored_against": material.scored_against,
        "teacher": material.teacher.name if material.teacher else None,
        **{section: getattr(task, section).model_dump(mode="json") for section in ("data", "student", "gate", "money")},
        "prompt": task.teacher.model_dump(mode="json"),
        "rows": {
            "train": len(material.splits.train),
            "validation": len(material.splits.validation),
            "calibration": len(material.splits.calibration),
            "test": len(material.splits.test),
        },
        "fingerprints": dict(material.splits.fingerprints),
    }


def _ladder(task: Task) -> tuple[str, ...]:
    for spec in task.ladder:
        family_of(spec)  # a misspelt step is refused before anything is trained
    if not task.ladder:
        raise UserError(f"{task.path or task.name}: the ladder is empty; name a student in [student] ladder")
    return task.ladder


def _curves_of(advice: Path | None) -> LearningCurves | None:
    if advice is None:
        return None
    curves = load_result(advice).curves
    if curves is None:
        raise UserError(f"{advice}: holds no learning curves; give a run of `stillhouse advise`")
    return curves


def _provenance(run: Run, material: Material, *seeds: int) -> Provenance:
    return provenance(run, material, "stillhouse distill", seeds)


def provenance(run: Run, material: Material, command: str, seeds: tuple[int, ...]) -> Provenance:
    """How to run it again. The wall time is the manifest's: it is not known before the run ends."""
    asked = material.teacher.report if material.teacher else None
    task = material.task.path.name if material.task.path else material.task.name
    return Provenance(
        command=f"{command} {task}",
        created=run.manifest["created"],
        run=str(run.folder),
        seeds=seeds,
        fingerprints=dict(material.splits.fingerprints),
        versions=dict(run.manifest["versions"]),
        prices=(asked.price_snapshot,) if asked and asked.price_snapshot else (),
    )
