"""`advise`: the prompt, the prompt with examples, and learning curves of the ladder's students: one verdict.

All are measured on the same test rows; the students over sizes and seeds. The run directory: `manifest.json`, `arms/`
(every arm's answers), `task/` (the run's own copy of its task), `predictions.jsonl`, `curves.csv` (for `stillhouse
curves`), `result.json`, `report.html`. A killed run goes on: what was asked is in the store, and a finished arm is read
from its folder.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stillhouse.commands.half_steps import half_steps
from stillhouse.commands.verdict_run import WEIGHING, VerdictRun, write_verdict
from stillhouse.comparison.judged_arms import refuse_unjudged
from stillhouse.data.splits import load_splits
from stillhouse.doubts import Doubt, Warned
from stillhouse.errors import UserError
from stillhouse.event_loop import result_of
from stillhouse.experiment import few_shot as shots
from stillhouse.experiment.arms import given_up, prompt_arm, student_arm
from stillhouse.experiment.controls import control_plans
from stillhouse.experiment.forecast import forecast
from stillhouse.experiment.looks import Plan, check_looks, of_look, take_look
from stillhouse.experiment.material import prepare
from stillhouse.experiment.plans import curve_plans, student_plan
from stillhouse.experiment.readiness import check_sizes, check_training
from stillhouse.experiment.run_folder import provenance, run_settings, write_task
from stillhouse.experiment.sweep import sweep
from stillhouse.notices import notice
from stillhouse.runs import Run, write_atomic
from stillhouse.session import DEFAULT_SESSION, Session
from stillhouse.task import Task
from stillhouse.verdict import learning_curves
from stillhouse.verdict.findings import find

MIN_SEEDS = 3


def advise(
    task: Path | Task,
    session: Session = DEFAULT_SESSION,
    *,
    runs: Path = Path("runs"),
    seeds: int = 5,
    sizes: Sequence[int] | None = None,
    workers: int | None = None,
    skip_bad: bool = False,
    drop_overlap: bool = False,
) -> VerdictRun:
    """Train every student of the ladder (and the linear baseline) at every size with every seed, and say what follows.

    `sizes` default: doubling from max(16, 4 x classes), then half an octave below all training rows, and all. At least
    3 seeds: with fewer there is no interval. Training rows that an earlier run in `runs` asked for are looked at as it
    said (`advice.reach`). `learn_from = "auto"` in the task measures students on gold labels and on the teacher's,
    where the rows allow both. `workers`: trainings at a time; None: one per core. `drop_overlap`, and what is raised:
    as in `distill`.
    """
    if seeds < MIN_SEEDS:
        raise UserError(f"--seeds {seeds}: an interval over seeds needs at least {MIN_SEEDS}")
    task = session.open_task(task)
    refuse_unjudged(task, "advise")
    check_training(task, runs)
    shots.check_tokenizer(task)
    splits = load_splits(task, skip_bad=skip_bad, drop_overlap=drop_overlap)
    session.report(0, None, "timing a few rows of each training")
    asks = (session.teacher or task.teacher.model) is not None
    notice(forecast(task, splits, asks=asks, sizes=sizes, seeds=seeds, workers=workers).sentence)
    material = result_of(
        prepare(
            task,
            session,
            skip_bad=skip_bad,
            drop_overlap=drop_overlap,
            every_lesson=True,
            sizes=sizes,
            later=lambda splits: [shots.calls_to_come(session.teacher or task.teacher.model, task, splits)],
        )
    )
    check_looks(material, session)
    check_sizes(sizes, max(len(lesson.train) for lesson in material.lessons))
    settings = run_settings(
        material,
        seeds=seeds,
        sizes=list(sizes) if sizes else None,
        lessons=[(lesson.source, lesson.rows, len(lesson.train)) for lesson in material.lessons],
    )
    with Run.resume_or_create(runs, f"{task.name}-advise", "advise", settings) as run:
        write_task(run.folder, material)
        prompt = prompt_arm(material)
        material.session.begins(*material.later)
        few_shot = result_of(shots.measure(material, run.folder, material.session))
        majority = []
        if material.labels is not None:
            majority = [student_arm(student_plan(material, run.folder, "majority", "baseline", 0))]
        run.check()
        plans = list(curve_plans(material, run.folder, sizes, seeds))
        trained = sweep(plans, workers=workers, on_progress=session.on_progress)
        run.check()
        kept = [(plan, arm) for plan, arm in zip(plans, trained, strict=True) if plan.keep]
        controls = [
            student_arm(control, session.on_progress) for plan, arm in kept for control in control_plans(plan, arm)
        ]
        # All is measured and nothing is judged: the look is spent here.
        material = take_look(
            material, Plan(seeds=range(seeds), sizes=sizes, with_shots=True, drop_overlap=drop_overlap), session
        )
        prompt = of_look(material, prompt) if prompt else None
        few_shot = replace(few_shot, arms=tuple(of_look(material, arm) for arm in few_shot.arms))
        majority, controls, trained = (
            [of_look(material, arm) for arm in arms] for arms in (majority, controls, trained)
        )
        kept = [(plan, of_look(material, arm)) for plan, arm in kept]
        in_full = sorted((arm for _, arm in kept), key=lambda arm: arm.kind != "baseline")
        prompts = [prompt] if prompt else []
        first_draws = [few_shot.of(k)[0] for k in few_shot.sizes]
        bought, unread = half_steps(runs, task, besides=run.folder)
        not_read = [Warned(Doubt.RUN_NOT_READ, said) for said in unread]
        notes = (*material.notes, *given_up([*controls, *in_full]))
        material = replace(material, doubts=(*material.doubts, *not_read), notes=notes)
        session.report(0, None, WEIGHING)
        result = find(
            material,
            [*prompts, *first_draws, *majority, *controls, *in_full],
            provenance(run, material, range(seeds)),
            curves=learning_curves.curves_of(material, trained, prompt, few_shot, majority),
            bought=bought,
        )
        write_atomic(run.folder / "curves.csv", learning_curves.as_csv(trained))
        return write_verdict(run, result, [*prompts, *few_shot.arms, *majority, *controls, *trained])
