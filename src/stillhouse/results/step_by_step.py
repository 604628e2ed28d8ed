"""Whether the reasons helped a student that learned step by step: its score beside those of its controls."""

from stillhouse.results.record import Measured, record


@record
class Control:
    """A control of a step-by-step student. `difference` is the student minus its control on the same rows."""

    what: str
    arm: str
    score: Measured
    difference: Measured
    steps: int | None = None
    wall_s: float | None = None


@record
class StepByStep:
    """What a student that learned step by step gains over its controls."""

    arm: str
    score: Measured
    steps: int | None
    wall_s: float | None
    controls: tuple[Control, ...]
    sentence: str
