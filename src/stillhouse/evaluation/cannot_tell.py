"""Pass, fail, or cannot tell: what the three answers mean, and the one rule that gives them.

A question is asked against a line, such as "worse by the margin". Two one-sided tests look at it from both sides.

- "pass": the rows show that the truth is above the line.
- "fail": the rows show that it is below.
- "cannot tell": they show neither. It says nothing of either system: the rows are too few for a difference so near to
  the line. More rows may decide.

Each of "pass" and "fail" is wrong in at most 1 - level of all cases.
"""

from stillhouse.results.gates import GateAnswer


def answer_of(p_not_above: float, p_not_below: float, level: float) -> GateAnswer:
    """`p_not_above`: the p-value of "at the line or below it"; `p_not_below`: of "at the line or above it"."""
    if p_not_above < 1 - level:
        return "pass"
    return "fail" if p_not_below < 1 - level else "cannot tell"
