"""The look that a run took at its test rows: the error of the gate is spent over all looks at the same rows."""

from stillhouse import numbers
from stillhouse.results.record import record

ASKS_FROM = 3  # the look from which on fresh rows are asked for


@record(kw_only=True)
class Look:
    """`k`: 1 for rows that decided no other plan. `level`: the confidence that everything in the run is decided at.

    The rule is in `evaluation.spending`.
    """

    k: int
    level: float

    @property
    def sentence(self) -> str:
        """What the gate's confidence stands for."""
        of_all = "the first look" if self.k == 1 else f"look {self.k:,}"
        return (
            f"the gate was asked with {numbers.confidence(self.level)} confidence, as this is {of_all} at these test "
            "rows; it holds for students that were not chosen by these rows' scores"
        )
