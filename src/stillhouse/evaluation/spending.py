"""How sure a look has to be: the error that a gate may make is spent over all looks at the same test rows.

Whoever tries one plan after another on the same rows passes some student by luck in the end: of students that are
worse by exactly the margin, some of 20 looks at 95 % passed one in 55 % of the draws (`bench/verdict.py`, section
`looks`; 4.8 % as it is here). So the first look has four fifths of the error, and look k >= 2 has
6 / (pi^2 (k - 1)^2) of the last fifth. These shares sum to 1 over any number of looks, since
1 + 1/4 + 1/9 + ... = pi^2 / 6: at level 95 % the errors are 4 %, 0.61 %, 0.15 %, ..., and never more than 5 % together.
That is a union bound. It holds for students that were not chosen by these rows' scores, however many there are.

Pure: which looks there were is kept in the store (`store.looks`), and what a look is stands in `experiment.looks`.
"""

import math
from collections.abc import Mapping

FIRST = 0.8  # the share of the error that the first look has


def error_of_look(k: int, level: float = 0.95) -> float:
    """The chance of a false pass that look `k` (from 1) may have, where all looks together may have 1 - level.

    To ten digits, so that 4 % is 0.04.
    """
    if k < 1:
        raise ValueError(f"look {k}: the first look is 1")
    share = FIRST if k == 1 else (1 - FIRST) * 6 / (math.pi * (k - 1)) ** 2
    return float(f"{(1 - level) * share:.10g}")


def level_of_look(k: int, level: float = 0.95) -> float:
    """The confidence that look `k` takes: 96 % for the first, 99.39 % for the second, where `level` is 95 %."""
    return 1 - error_of_look(k, level)


def fresh_rows_suffice(
    n_fresh: int, needed: int, fresh: Mapping[str, int], everything: Mapping[str, int], needed_of_a_class: int | None
) -> bool:
    """Whether the rows that no look has seen decide alone, as a first look. By counts, before any answer is seen.

    They do where they are as many as the gate takes (`needed`, at the first look's level), and where no class is lost
    by it: each class that could be tested among all rows (`everything`: rows by class) can be among the `fresh` ones.
    `needed_of_a_class` None: no class is tested.
    """
    if n_fresh < needed:
        return False
    if needed_of_a_class is None:
        return True
    return all(fresh.get(label, 0) >= needed_of_a_class for label, n in everything.items() if n >= needed_of_a_class)
