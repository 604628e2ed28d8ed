"""What may make a verdict wrong, by what it would do to the decision: warnings are said in this order.

Part of the base: files of rows, material, looks and verdicts all warn.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, auto

SMALL = 0.01  # what concerns a smaller share of the rows moves no score by a point, and is said last


class Doubt(IntEnum):
    """The kinds of warning; what would change the decision most comes first."""

    PASSING_MEANS_NOTHING = auto()  # the prompt is not better than the commonest label
    FAILS_ELSEWHERE = auto()  # what is recommended does not pass on another test set
    OTHERS_DIFFER = auto()  # the rows without a label are not like those that score
    NOT_TRAFFIC = auto()  # rows stand for several calls, and count once
    GENERATED_TEST_ROWS = auto()  # a model wrote the test rows
    TEST_ROWS_LEFT_OUT = auto()  # test rows have no label that can be used
    CALIBRATION_ROWS_LEFT_OUT = auto()  # rows that would choose a cascade's threshold have no label that can be used
    QUERIES_DO_NOT_RUN = auto()  # labels are queries that do not run
    LOOKED_AT = auto()  # other plans have looked at these rows
    NEAR_COPIES = auto()  # test rows resemble training rows
    ROWS_NOT_LEARNED = auto()  # training rows have no label that can be used
    ROWS_SKIPPED = auto()  # broken rows of a file
    RUN_NOT_READ = auto()  # what an earlier run asked for is not known


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning as a sentence. `share` of the rows that it concerns, or how far a score is from what is wanted."""

    doubt: Doubt
    sentence: str
    share: float = 1.0


def in_order(warnings: Iterable[Warned]) -> tuple[str, ...]:
    """The sentences, what would change the decision most first; of one kind what concerns more rows."""
    ordered = sorted(warnings, key=lambda warned: (warned.share < SMALL, warned.doubt, -warned.share))
    return tuple(warned.sentence for warned in ordered)
