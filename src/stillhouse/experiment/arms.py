"""The arms of a comparison: the prompt, and students to train. Each is measured row by row and kept on disk.

So a run that is killed goes on with the arms that are missing (see `results.measured_arm`).
"""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stillhouse.errors import UserError
from stillhouse.evaluation.harness import evaluate, score_row, time_single
from stillhouse.evaluation.metrics import metric_for
from stillhouse.event_loop import result_of
from stillhouse.experiment.material import Material
from stillhouse.records import Example, Progress, Source
from stillhouse.results.arms import PROMPT, ArmKind
from stillhouse.results.measured_arm import ControlOf, MeasuredArm, Training, read_arm, write_arm
from stillhouse.results.row_result import RowResult
from stillhouse.runs import portable_name
from stillhouse.student import load_student, train_student
from stillhouse.student.job import TRAINING, TrainResult
from stillhouse.task import Task

N_TIMED = 100  # single calls that are timed per student


def prompt_arm(material: Material) -> MeasuredArm | None:
    """The prompt as it is: the teacher's answers, scored. None where there is no teacher."""
    teacher = material.teacher
    if teacher is None:
        return None

    def scored(examples: Sequence[Example]) -> list[RowResult]:
        answered = zip(examples, teacher.on(examples), strict=True)
        return [score_row(example, answer, material.metric, material.scored_against) for example, answer in answered]

    return MeasuredArm(
        name=PROMPT,
        kind="prompt",
        test=scored(material.splits.test),
        calibration=scored(material.calibration),
        others={name: scored(rows) for name, rows in material.splits.also_test.items()},
        stand_in=teacher.stand_in,
        model=portable_name(teacher.name),
    )


@dataclass(frozen=True, kw_only=True)
class StudentPlan:
    """One student to train and measure; everything that a worker process needs."""

    spec: str
    kind: ArmKind
    task: Task
    train: Sequence[Example]
    validation: Sequence[Example]
    test: Sequence[Example]
    calibration: Sequence[Example]
    learn_from: Source
    scored_against: Source
    seed: int
    out: Path  # the arm's folder: arm.json, test.jsonl, ..., and student/ where the artifact is kept
    others: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    keep: bool = True  # keep the artifact; a sweep keeps answers alone
    rows: str = ""  # which rows the student learned, where students differ in that
    control: str = ""  # what a control lacks that the student it is compared with has

    @property
    def name(self) -> str:
        return self.whole_name + (f", {self.control}" if self.control else "")

    @property
    def whole_name(self) -> str:
        """The name without what makes it a control."""
        return arm_name(self.spec, self.learn_from, self.rows)


def arm_name(spec: str, learn_from: Source, rows: str = "") -> str:
    """An arm's name in every table: the student, whose labels it learned and, if there are others, on which rows."""
    of_rows = f", {rows}" if rows else ""
    return spec if spec == "majority" else f"{portable_name(spec)} on {learn_from} labels{of_rows}"


def slug(name: str) -> str:
    """A name as a folder: letters, digits and dashes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()


def student_arm(plan: StudentPlan, on_progress: Callable[[Progress], None] | None = None) -> MeasuredArm:
    """Train, answer, score and time one student, or read what an earlier sitting left.

    Blocks; raises what `train_student` raises.
    """
    if (plan.out / "arm.json").exists():
        return kept_arm(plan.out, plan.test, plan.calibration, plan.others)
    folder = plan.out / "student"
    # The arm was trained, but killed before it was measured: no record says how, so it is trained again.
    if folder.exists():
        shutil.rmtree(folder)
    tick = None if on_progress is None else _named(plan, on_progress)
    if tick is not None:
        tick(Progress(0, None, TRAINING))
    result = train_student(
        plan.spec,
        plan.task,
        plan.train,
        plan.validation,
        source=plan.learn_from,
        seed=plan.seed,
        out=folder,
        earlier=sorted(set(plan.out.parents[2].glob(f"*/arms/{plan.out.name}")) - {plan.out}),
        on_progress=tick,
    )
    student = load_student(folder)
    metric = metric_for(plan.task)

    def measured(examples: Sequence[Example], part: str) -> list[RowResult]:
        if not examples:
            return []
        what = f"{plan.name}: answering the {part} rows"
        return result_of(
            evaluate(student, examples, metric, source=plan.scored_against, what=what, on_progress=on_progress)
        )

    timed = result_of(time_single(student, plan.test, N_TIMED, on_progress=on_progress)) if plan.keep else None
    arm = MeasuredArm(
        name=plan.name,
        kind=plan.kind,
        test=measured(plan.test, "test"),
        calibration=measured(plan.calibration, "calibration"),
        others={name: measured(rows, name) for name, rows in plan.others.items()},
        latencies_s=None if timed is None else timed.took,
        busy_s=None if timed is None else timed.busy,
        learns_from=plan.learn_from,
        rows=plan.rows,
        n_train=result.n_train,
        size_bytes=result.size_bytes,
        folder=folder if plan.keep else None,
        model=portable_name(result.spec),
        training=_training(result),
        control=ControlOf(of=plan.whole_name, lacks=plan.control) if plan.control else None,
    )
    write_arm(plan.out, arm)
    if not plan.keep:
        for leftover in (folder, *plan.out.glob(".student.checkpoint-*")):
            shutil.rmtree(leftover)
    return arm


def given_up(arms: Sequence[MeasuredArm]) -> tuple[str, ...]:
    """A sentence on each student whose training stopped because nothing was learned."""
    return tuple(
        f"{arm.name}: its training stopped after {arm.training.steps:,} steps, as no validation row was answered right "
        "in any of them; its checkpoint is kept: with give_up = false in [student] the same command goes on from it"
        for arm in arms
        if arm.training is not None and arm.training.gave_up and arm.folder is not None
    )


def _named(plan: StudentPlan, on_progress: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """The ticks of a training under its student's name."""
    return lambda progress: on_progress(replace(progress, what=f"{progress.what} {plan.name}"))


def kept_arm(
    out: Path, test: Sequence[Example], calibration: Sequence[Example], others: Mapping[str, Sequence[Example]]
) -> MeasuredArm:
    """The arm that an earlier sitting left. Raises UserError where it does not hold the answers to just these rows."""
    arm = read_arm(out)
    parts = {"test": (arm.test, test), "calibration": (arm.calibration, calibration)}
    parts |= {f"other-{name}": (arm.others.get(name, []), rows) for name, rows in others.items()}
    for part, (answered, rows) in parts.items():
        if [row.id for row in answered] != [row.id for row in rows]:
            raise UserError(
                f"{out / part}.jsonl: does not hold one answer to each of the {len(rows)} rows, in their order; "
                f"the file was changed or torn: remove {out}, and the same command measures it again"
            )
    return arm


def _training(result: TrainResult) -> Training:
    return Training(
        seed=result.seed,
        wall_s=result.wall_s,
        best_validation=result.best_validation,
        metric=result.metric,
        n_validation=result.n_validation,
        n_parameters=result.n_parameters,
        epochs=result.epochs,
        steps=result.steps,
        stopped_early=result.stopped_early,
        n_truncated=result.n_truncated,
        resumed_at=result.resumed_at,
        gave_up=result.gave_up,
    )
