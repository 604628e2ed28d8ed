"""Step-by-step's two controls, without which its gain proves nothing: the same training with the reasons shuffled between the rows (is it the reasons, or more
text to learn from?), and labels alone for as many training steps of as many tokens (is it the reasons, or the longer training?).
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from stillhouse.evaluation.gate import decide_gate
from stillhouse.evaluation.harness import summarise
from stillhouse.experiment.arms import MeasuredArm, StudentPlan
from stillhouse.experiment.material import Material
from stillhouse.records import Estimate, Example
from stillhouse.results import result as report
from stillhouse.student.job import family_of

SHUFFLED = "reasons shuffled between rows"
LABELS_ALONE = "labels alone for the same time"


def control_plans(whole: StudentPlan, trained: MeasuredArm) -> list[StudentPlan]:
    """The controls of a student that was trained as `whole` says; none where it did not learn step by step, or no two rows have reasons to shuffle."""
    asked = whole.task.student
    if (
        asked.recipe != "step_by_step"
        or family_of(whole.spec) != "generative"
        or sum(bool(row.teacher_rationale) for row in whole.train) < 2
    ):
        return []
    # A step is a batch of so many tokens, whatever it holds: as many steps take as long, and the number is the same on every machine.
    alone = replace(whole.task, student=asked.model_copy(update={"recipe": "sft", "min_steps": trained.facts["steps"]}))
    return [
        _control(replace(whole, train=shuffled(whole.train, whole.seed)), SHUFFLED),
        _control(replace(whole, task=alone), LABELS_ALONE),
    ]


def _control(plan: StudentPlan, control: str) -> StudentPlan:
    out = plan.out.with_name(f"{plan.out.name}-{'shuffled' if control == SHUFFLED else 'labels-alone'}")
    return replace(plan, kind="baseline", control=control, out=out, calibration=())


def shuffled(rows: Sequence[Example], seed: int) -> list[Example]:
    """The rows with one another's reasons: each row that has any gets those of another row. A cycle through all of them in a drawn order."""
    having = [at for at, row in enumerate(rows) if row.teacher_rationale]
    random.Random(seed).shuffle(having)
    moved = dict(zip(having, having[1:] + having[:1], strict=True))
    return [
        replace(row, teacher_rationale=rows[moved[at]].teacher_rationale) if at in moved else row
        for at, row in enumerate(rows)
    ]


def sections(material: Material, arms: Sequence[MeasuredArm]) -> tuple[report.StepByStep, ...]:
    """What each step-by-step student gains over its controls, on the same test rows."""
    found = []
    for arm in arms:
        controls = [one for one in arms if one.facts.get("control") and one.facts.get("control_of") == arm.name]
        if arm.kind == "student" and controls:
            compared = tuple(_against(material, arm, control) for control in controls)
            score = summarise(arm.test, material.metric).score
            found.append(
                report.StepByStep(
                    arm.name, score, arm.facts.get("steps"), arm.facts.get("wall_s"), compared, _sentence(compared)
                )
            )
    return tuple(found)


def _against(material: Material, arm: MeasuredArm, control: MeasuredArm) -> report.Control:
    gate = material.task.gate
    difference = decide_gate(arm.test, control.test, margin=gate.margin, level=gate.level).difference
    score = summarise(control.test, material.metric).score
    return report.Control(
        control.facts["control"],
        control.name,
        score,
        difference,
        control.facts.get("steps"),
        control.facts.get("wall_s"),
    )


def _sentence(controls: Sequence[report.Control]) -> str:
    """Only a student that beats both controls was helped by its reasons: each interval must lie above 0, so no correction for two is due (Berger 1982)."""
    seen = "; ".join(f"{_points(control.difference)} against {control.what}" for control in controls)
    if all(control.difference.low is not None and control.difference.low > 0 for control in controls):
        return f"the reasons help: {seen}"
    if any(control.difference.high is not None and control.difference.high < 0 for control in controls):
        return f"the reasons do not help: {seen}"
    return f"cannot tell whether the reasons help: {seen}"


def _points(difference: Estimate) -> str:
    interval = (
        ""
        if difference.low is None or difference.high is None
        else f" [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
    )
    return f"{100 * difference.value:+.1f} points{interval} (n = {difference.n:,})"
