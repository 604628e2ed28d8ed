"""The gate's answer: may one arm replace another? "cannot tell" is an answer, and comes with the rows it would take.

The rule is in `evaluation.margin_gate`, and what the three words mean in `evaluation.cannot_tell`.
"""

from typing import Literal

from stillhouse.results.record import Measured, record

GateAnswer = Literal["pass", "fail", "cannot tell"]


@record
class ClassGate:
    """The gate of one class. `p` is Holm's adjusted p-value against "worse by the margin or more"."""

    label: str
    difference: Measured
    p: float
    answer: GateAnswer


@record(kw_only=True)
class GateResult:
    """May an arm replace the arm `against`? `difference` is the arm's score minus the other's, on the same rows.

    `lower_bound` is one-sided at `level`. `p` is against "worse by the margin or more, overall or in a class".
    `rows_needed`: test rows for a pass with power 0.8, if differences and discordance stay as they were seen.
    It is None where the answer is known already, or where no number of rows would do.
    """

    answer: GateAnswer
    against: str = "prompt"
    difference: Measured
    lower_bound: float
    margin: float
    level: float = 0.95
    rows_needed: int | None = None
    sentence: str = ""
    p: float = 1.0
    per_class: tuple[ClassGate, ...] = ()

    @property
    def n(self) -> int:
        """The rows that both arms answered."""
        return self.difference.n
