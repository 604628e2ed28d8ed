"""Step-by-step's two controls, without which its gain proves nothing. What is made of them: `verdict.step_by_step`.

The same training with the reasons shuffled between the rows: is it the reasons, or more text to learn from? And labels
alone for as many training steps of as many tokens: is it the reasons, or the longer training?
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from stillhouse.experiment.arms import StudentPlan
from stillhouse.records import Example
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.student.job import family_of
from stillhouse.task import Task

SHUFFLED = "reasons shuffled between rows"
LABELS_ALONE = "labels alone for the same time"


def control_plans(whole: StudentPlan, trained: MeasuredArm) -> list[StudentPlan]:
    """The controls of a student that was trained as `whole` says.

    None where it did not learn step by step, or where no two rows have reasons to shuffle.
    """
    settings = whole.task.student
    step_by_step = settings.recipe == "step_by_step" and family_of(whole.spec) == "generative"
    if not step_by_step or sum(bool(row.teacher_rationale) for row in whole.train) < 2:
        return []
    assert trained.training is not None
    # A training step is a batch of a fixed number of tokens, whatever the rows hold. So equally many steps take equally
    # long, and the number of steps is the same on every machine.
    as_long = {"recipe": "sft", "min_steps": trained.training.steps}
    alone = replace(whole.task, student=settings.model_copy(update=as_long))
    return [
        _control(replace(whole, train=shuffled(whole.train, whole.seed)), SHUFFLED),
        _control(replace(whole, task=alone), LABELS_ALONE),
    ]


def n_judged(task: Task, ladder: Sequence[str]) -> int:
    """The most students and controls whose answers to the test rows are judged."""
    with_controls = task.student.recipe == "step_by_step"
    return sum(3 if with_controls and family_of(spec) == "generative" else 1 for spec in ladder)


def _control(plan: StudentPlan, control: str) -> StudentPlan:
    out = plan.out.with_name(f"{plan.out.name}-{'shuffled' if control == SHUFFLED else 'labels-alone'}")
    return replace(plan, kind="baseline", control=control, out=out, calibration=())


def shuffled(rows: Sequence[Example], seed: int) -> list[Example]:
    """The rows with one another's reasons: each row that has any gets those of another row.

    The rows that have reasons are put into a drawn order, and each gets those of the next.
    """
    having = [at for at, row in enumerate(rows) if row.teacher_rationale]
    random.Random(seed).shuffle(having)
    moved = dict(zip(having, having[1:] + having[:1], strict=True))
    return [
        replace(row, teacher_rationale=rows[moved[at]].teacher_rationale) if at in moved else row
        for at, row in enumerate(rows)
    ]
