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
        once = "the first plan that these test rows decide"
        if self.k > 1:
            once = f"plan {self.k:,} that some of these test rows decide"
        return (
            f"{once[0].upper()}{once[1:]}, with {numbers.confidence(self.level)} confidence; "
            "it holds for students that were not chosen by these rows' scores"
        )
