"""Whether the rows without a gold label are like those with one: a score on the latter says little of other rows."""

from collections import Counter
from collections.abc import Sequence
from statistics import median

from stillhouse.records import Example

LEAST = 10  # rows of each kind; with fewer nothing can be told
DOUBT = 0.01  # p-value from which on the two kinds are said to differ


def how_others_differ(rows: Sequence[Example], has_teacher: bool) -> list[str]:
    """A sentence for each way in which rows without a gold label differ from those with one, or that nothing was found.

    Compared are the length of the input (Mann-Whitney) and, where there are any, the teacher's answers (chi-squared).
    """
    with_gold = [row for row in rows if row.label is not None]
    others = [row for row in rows if row.label is None]
    if min(len(with_gold), len(others)) < LEAST:
        few = f"{len(others)} row{'s' if len(others) != 1 else ''} without and {len(with_gold)} with a gold label"
        return [f"whether the rows without a gold label are like the others cannot be told ({few})"] if others else []
    from scipy import stats  # imported late, because it is slow to load

    sentences = []
    lengths = [[len(row.text) for row in part] for part in (with_gold, others)]
    if (p := float(stats.mannwhitneyu(*lengths).pvalue)) < DOUBT:
        longer = "longer" if median(lengths[1]) > median(lengths[0]) else "shorter"
        sizes = f"median {median(lengths[1]):,.0f} against {median(lengths[0]):,.0f} characters"
        sentences.append(
            f"the rows without a gold label are {longer} ({sizes}, p = {p:.2g}): the score is not for them"
        )
    if has_teacher and (found := _answered_differently(with_gold, others)) is not None:
        sentences.append(found)
    nothing = f"in length{' and in the answers of the teacher' if has_teacher else ''} they are like the others"
    return sentences or [f"the {len(others)} rows without a gold label were compared with the rest: {nothing}"]


def _answered_differently(with_gold: Sequence[Example], others: Sequence[Example]) -> str | None:
    counts = [Counter(row.teacher_label for row in part if row.teacher_label) for part in (with_gold, others)]
    totals = [counted.total() for counted in counts]
    labels = [label for label, n in (counts[0] + counts[1]).most_common() if n >= 5]
    if min(totals) < LEAST or not 1 < len(labels) <= 100:
        return None
    table = [[counted[label] for label in labels] for counted in counts]
    from scipy import stats

    p = float(stats.chi2_contingency(table).pvalue)
    if p >= DOUBT:
        return None
    shares = {
        label: [counted[label] / total for counted, total in zip(counts, totals, strict=True)] for label in labels
    }
    label, (known, unknown) = max(shares.items(), key=lambda item: abs(item[1][0] - item[1][1]))
    seen = f"{label!r} on {unknown:.0%} of them against {known:.0%}, p = {p:.2g}"
    return f"the teacher answers the rows without a gold label differently ({seen}): the score is not for them"
