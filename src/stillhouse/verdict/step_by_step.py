"""Whether the reasons helped a student that learned step by step: what it gains over its controls. Pure.

The controls are trained in `experiment.controls`.
"""

from collections.abc import Sequence

from stillhouse.evaluation.harness import summarise
from stillhouse.evaluation.margin_gate import decide_gate
from stillhouse.experiment.material import Material
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.results.step_by_step import Control, StepByStep
from stillhouse.verdict.wording import points


def step_by_step(material: Material, arms: Sequence[MeasuredArm]) -> tuple[StepByStep, ...]:
    """What each step-by-step student gains over its controls, on the same test rows."""
    sections = []
    for arm in arms:
        controls = [
            _against(material, arm, other, other.control.lacks)
            for other in arms
            if other.control is not None and other.control.of == arm.name
        ]
        if arm.kind == "student" and controls:
            score = summarise(arm.test, material.metric).score
            agreement = material.scored_against == "teacher"
            sections.append(StepByStep(arm.name, score, *_took(arm), tuple(controls), _sentence(controls, agreement)))
    return tuple(sections)


def _against(material: Material, arm: MeasuredArm, control: MeasuredArm, lacks: str) -> Control:
    terms = material.task.gate
    difference = decide_gate(arm.test, control.test, margin=terms.margin, level=terms.level).difference
    return Control(lacks, control.name, summarise(control.test, material.metric).score, difference, *_took(control))


def _took(arm: MeasuredArm) -> tuple[int | None, float | None]:
    """(training steps, seconds of training)."""
    return (None, None) if arm.training is None else (arm.training.steps, arm.training.wall_s)


def _sentence(controls: Sequence[Control], agreement: bool) -> str:
    """Only a student that beats both controls was helped by its reasons.

    Each interval must lie above 0, so no correction for two comparisons is due (Berger 1982).
    """
    seen = "; ".join(f"{points(control.difference)} against {control.what}" for control in controls)
    if agreement:
        more = [(points(control.difference).replace(" points", "%", 1), control.what) for control in controls]
        seen = "; ".join(f"agreement with the teacher {by} over {what}" for by, what in more)
    if all(control.difference.low is not None and control.difference.low > 0 for control in controls):
        return f"the reasons help: {seen}"
    if any(control.difference.high is not None and control.difference.high < 0 for control in controls):
        return f"the reasons do not help: {seen}"
    return f"cannot tell whether the reasons help: {seen}"
