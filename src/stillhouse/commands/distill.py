"""`distill`: train the students of the ladder, measure them against the prompt, and keep what may be served.

The run directory: `manifest.json`, `arms/NAME/` (each arm's answers, and `student/`, its artifact with `card.md`),
`predictions.jsonl`, `result.json`, `report.html`, `task/` (the run's own copy of its task: what is served), and
`cascade.json` where the verdict lets a cascade be served. A run's folder may be copied or moved anywhere. A killed run
goes on where it was: the teacher's answers are in the store, finished arms in their folders, a training at its last
checkpoint.
"""

from dataclasses import replace
from pathlib import Path

from stillhouse.commands.verdict_run import WEIGHING, VerdictRun, write_verdict
from stillhouse.comparison.judged_arms import judge_calls, judged, refuse_unjudged
from stillhouse.errors import UserError
from stillhouse.event_loop import result_of
from stillhouse.experiment.arms import given_up, prompt_arm, student_arm
from stillhouse.experiment.controls import control_plans, n_judged
from stillhouse.experiment.looks import Plan, check_looks, of_look, take_look
from stillhouse.experiment.material import Material, prepare
from stillhouse.experiment.plans import baseline_plans, student_plan
from stillhouse.experiment.readiness import check_training, ladder_of
from stillhouse.experiment.run_folder import provenance, run_settings, write_cascade, write_task
from stillhouse.results.learning_curves import LearningCurves
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.results.run_result import Result, load_result
from stillhouse.runs import Run, write_atomic
from stillhouse.session import DEFAULT_SESSION, Session
from stillhouse.task import Task
from stillhouse.verdict.card import card
from stillhouse.verdict.findings import find


def distill(
    task: Path | Task,
    session: Session = DEFAULT_SESSION,
    *,
    runs: Path = Path("runs"),
    seed: int = 0,
    advice: Path | None = None,
    all_students: bool = False,
    skip_bad: bool = False,
    drop_overlap: bool = False,
) -> VerdictRun:
    """Climb the ladder until a student passes its gate (`all_students`: to its end).

    `advice`: an `advise` run whose learning curves go into the report. `drop_overlap`: training rows that overlap with
    held-out ones are left out and counted, and not refused. Blocks while it trains. Raises the errors of
    `prepare` and `train_student`; what was paid or trained is kept.
    """
    task = session.open_task(task)
    refuse_unjudged(task, "distill")
    check_training(task, runs)
    curves = _curves_of(advice)
    ladder = ladder_of(task)
    material = result_of(
        prepare(
            task,
            session,
            skip_bad=skip_bad,
            drop_overlap=drop_overlap,
            later=lambda splits: [judge_calls(task, splits.test, n_judged(task, ladder))],
        )
    )
    check_looks(material, session)
    material.agree_to_the_rest()
    settings = run_settings(
        material, ladder=ladder, seed=seed, all_students=all_students, advice=str(advice) if advice else None
    )
    with Run.resume_or_create(runs, f"{task.name}-distill", "distill", settings) as run:
        write_task(run.folder, material)
        baselines = [student_arm(plan, session.on_progress) for plan in baseline_plans(material, run.folder, seed)]
        prompt = prompt_arm(material)
        arms = [*([prompt] if prompt else []), *baselines]
        result: Result | None = None
        looked: Material | None = None
        for spec in ladder:
            run.check()
            plan = student_plan(material, run.folder, spec, "student", seed)
            student = student_arm(plan, session.on_progress)
            controls = [student_arm(control, session.on_progress) for control in control_plans(plan, student)]
            if looked is None:  # a student is measured and nothing is judged: the look is spent here
                looked = take_look(material, Plan(seeds=[seed], advice=advice, drop_overlap=drop_overlap), session)
                arms = [of_look(looked, arm) for arm in arms]
                prompt = arms[0] if prompt else None
            looked = replace(looked, notes=(*looked.notes, *given_up([student, *controls])))
            arms += [judged(looked, prompt, of_look(looked, arm), material.session) for arm in (student, *controls)]
            session.report(0, None, WEIGHING)
            result = find(looked, arms, provenance(run, looked, [seed]), curves=curves)
            if not all_students and prompt is not None and result.verdict.kind in ("finetune", "distil"):
                break  # a dearer student could not replace more than the whole prompt
        assert result is not None and looked is not None  # a ladder has at least one step
        return _finish(run, looked, arms, result)


def _finish(run: Run, material: Material, arms: list[MeasuredArm], result: Result) -> VerdictRun:
    """Write the verdict, a card for each student that is kept, and the cascade's threshold."""
    done = write_verdict(run, result, arms)
    for arm in arms:
        if arm.folder is not None:
            write_atomic(arm.folder / "card.md", card(done.result, arm))
    write_cascade(run.folder, material, arms, done.result)
    run.save(cost_usd=done.result.provenance.paid_usd, prices=list(done.result.provenance.prices))
    return done


def _curves_of(advice: Path | None) -> LearningCurves | None:
    if advice is None:
        return None
    curves = load_result(advice).curves
    if curves is None:
        raise UserError(f"{advice}: holds no learning curves; give a run of `stillhouse advise`")
    return curves
