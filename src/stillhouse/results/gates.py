"""The gate's answer: may one arm replace another? "cannot tell" is an answer, and comes with the rows it would take.

The rule is in `evaluation.margin_gate`, and what the three words mean in `evaluation.cannot_tell`.
"""

from typing import Literal

from stillhouse.results.record import Measured, record

GateAnswer = Literal["pass", "fail", "cannot tell"]


@record
class ClassGate:
    """The gate of one class, or of several rare ones together.

    `p` is against "worse by the margin or more". A class that is not `tested` is too rare to be shown as good: it need
    not pass, and can only fail. `none_right`: the arm is right on none of its rows, and the other arm on some.
    `upper_bound`: of a class that fails, what its difference is at most, corrected as the answer is.
    """

    label: str
    difference: Measured
    p: float
    answer: GateAnswer
    tested: bool = True
    none_right: bool = False
    upper_bound: float | None = None


@record
class WayGate:
    """The gate with the rows counted in one way (see `data.copies`). Without a difference no row counts so."""

    name: str
    answer: GateAnswer
    difference: Measured | None = None
    lower_bound: float | None = None
    p: float = 1.0


@record(kw_only=True)
class GateResult:
    """May an arm replace the arm `against`? `difference` is the arm's score minus the other's, on the same rows.

    `lower_bound` is one-sided at `level`. `upper_bound`: where all rows together fail, what they fail by, one-sided at
    `level` over all the ways in which a gate can fail. `p` is against "worse by the margin or more, overall or in a
    class". `p_better` is against "not better": below half of 1 - level the arm is shown to be better, as the two-sided
    interval of `difference` has it. None: written by a version that did not test it.
    `rows_needed`: test rows for a pass with power 0.8, if differences and discordance stay as they were seen.
    It is None where the answer is known already, or where no number of rows would do.

    `yardstick`: there is no gold, and scores are agreement with the arm `against` itself.

    `ways`: where the rows can be counted in several ways, the gate of each. All must pass, and `decided_by` names those
    that gave the answer; of a pass the least sure one. The other numbers are of the first way.
    """

    answer: GateAnswer
    against: str = "prompt"
    difference: Measured
    lower_bound: float
    upper_bound: float | None = None
    margin: float
    level: float = 0.95
    rows_needed: int | None = None
    sentence: str = ""
    p: float = 1.0
    p_better: float | None = None
    class_margin: float | None = None  # the margin within a class; None: `margin`
    per_class: tuple[ClassGate, ...] = ()
    ways: tuple[WayGate, ...] = ()
    decided_by: tuple[str, ...] = ()
    yardstick: bool = False

    @property
    def better(self) -> bool:
        """Whether the arm is shown to be better than the other."""
        if self.p_better is None:
            return (self.difference.low or 0) > 0
        return self.p_better < (1 - self.level) / 2

    @property
    def n(self) -> int:
        """The rows that both arms answered."""
        return self.difference.n
