"""The gate: may the student replace the teacher? Only where the rows say so: "cannot tell" is an answer, and comes with the rows it would take.

The student passes if the one-sided lower bound of the paired difference (student minus teacher, same rows) is above -margin, overall and in every
class (Holm over the classes). It fails if the upper bound is below -margin. Margin, level and test rows are fixed before anyone looks.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from stillhouse.evaluation.harness import RowResult
from stillhouse.evaluation.proportions import bca, holm, tango_interval, tango_lower, tango_z
from stillhouse.records import Estimate

Answer = Literal["pass", "fail", "cannot tell"]
MIN_CLASS_ROWS = 5  # a class with fewer rows has no say: nothing could be shown of it


@dataclass(frozen=True)
class ClassGate:
    """One class of the gate; `p` is Holm's adjusted p-value against "worse by the margin or more"."""

    label: str
    difference: Estimate
    p: float
    answer: Answer


@dataclass(frozen=True)
class GateResult:
    """The gate's answer on n paired rows. `rows_needed`: for a pass at the difference and discordance seen, with power 0.8; None: no number would do."""

    answer: Answer
    difference: Estimate
    lower_bound: float
    margin: float
    level: float
    n: int
    per_class: tuple[ClassGate, ...]
    rows_needed: int | None
    sentence: str


def decide_gate(
    student: Sequence[RowResult],
    teacher: Sequence[RowResult],
    *,
    margin: float,
    level: float = 0.95,
    labels: Sequence[str] | None = None,
) -> GateResult:
    """Compare two arms on the same rows in the same order. `labels` switches the per-class gate on (choice tasks)."""
    if [row.id for row in student] != [row.id for row in teacher] or not student:
        raise ValueError("the two arms must be measured on the same rows, at least one")
    difference, lower, upper = _paired(student, teacher, level)
    classes = _class_gates(student, teacher, margin, level, labels or ())
    if upper < -margin or any(gate.answer == "fail" for gate in classes):
        answer: Answer = "fail"
    elif lower > -margin and all(gate.answer == "pass" for gate in classes):
        answer = "pass"
    else:
        answer = "cannot tell"
    b, c = _discordant(student, teacher)
    needed = rows_needed((b + c) / len(student), difference.value, margin, level) if answer == "cannot tell" else None
    sentence = _sentence(answer, difference, lower, margin, level, len(student), needed, [gate for gate in classes if gate.answer != "pass"])
    return GateResult(answer, difference, lower, margin, level, len(student), classes, needed, sentence)


def rows_needed(discordance: float, difference: float, margin: float, level: float = 0.95, power: float = 0.8) -> int | None:
    """Paired rows for a pass with that power, if the arms really differ by `difference` and disagree in correctness on a share `discordance` of rows.

    Normal approximation of the score test's sample size (for planning alone): n = ((z_level + z_power) / (difference + margin))^2 * variance. None where
    the difference is at the margin or below: then no number of rows makes it pass.
    """
    if difference + margin <= 0:
        return None
    variance = max(discordance - difference**2, 1e-4)
    z = float(stats.norm.ppf(level) + stats.norm.ppf(power))
    return math.ceil(variance * (z / (difference + margin)) ** 2)


def _paired(student: Sequence[RowResult], teacher: Sequence[RowResult], level: float) -> tuple[Estimate, float, float]:
    """(two-sided estimate, one-sided lower bound, one-sided upper bound) of the mean difference."""
    n = len(student)
    scores = [(one.score, other.score) for one, other in zip(student, teacher, strict=True)]
    value = sum(one - other for one, other in scores) / n
    grouped = len({row.group or row.id for row in student}) < n
    if not grouped and all(score in (0.0, 1.0) for pair in scores for score in pair):
        b, c = _discordant(student, teacher)
        low, high = tango_interval(b, c, n, level)
        return Estimate(value, n, low, high, level, "Tango"), tango_lower(b, c, n, level), -tango_lower(c, b, n, level)
    totals: dict[str, list[float]] = defaultdict(list)
    for row, (one, other) in zip(student, scores, strict=True):
        totals[row.group or row.id].append(one - other)
    sums, sizes = np.array([sum(part) for part in totals.values()]), np.array([float(len(part)) for part in totals.values()])
    two_sided = bca(sums, sizes, level, np.random.default_rng(n))
    one_sided = bca(sums, sizes, 2 * level - 1, np.random.default_rng(n))
    if two_sided is None or one_sided is None:  # rows that never differ, or one group alone: nothing to estimate a spread from
        return Estimate(value, n, level=level), -1.0, 1.0
    return Estimate(value, n, *two_sided, level, "BCa bootstrap over groups"), *one_sided


def _discordant(student: Sequence[RowResult], teacher: Sequence[RowResult]) -> tuple[int, int]:
    b = sum(one.score > other.score for one, other in zip(student, teacher, strict=True))
    c = sum(one.score < other.score for one, other in zip(student, teacher, strict=True))
    return b, c


def _class_gates(
    student: Sequence[RowResult], teacher: Sequence[RowResult], margin: float, level: float, labels: Sequence[str]
) -> tuple[ClassGate, ...]:
    """Non-inferiority within each gold class, at the same margin: a mean that passes may hide a class that is lost."""
    parts = {}
    for label in labels:
        rows = [(one, other) for one, other in zip(student, teacher, strict=True) if one.gold == label]
        if len(rows) >= MIN_CLASS_ROWS:
            parts[label] = rows
    found = []
    for rows in parts.values():
        b, c = _discordant(*zip(*rows, strict=True))
        found.append((b, c, len(rows)))
    not_inferior = holm([_p_not_inferior(b, c, n, margin) for b, c, n in found])
    inferior = holm([_p_inferior(b, c, n, margin) for b, c, n in found])
    gates = []
    for label, (b, c, n), p_pass, p_fail in zip(parts, found, not_inferior, inferior, strict=True):
        low, high = tango_interval(b, c, n, level)
        answer: Answer = "pass" if p_pass < 1 - level else "fail" if p_fail < 1 - level else "cannot tell"
        gates.append(ClassGate(label, Estimate((b - c) / n, n, low, high, level, "Tango"), p_pass, answer))
    return tuple(gates)


def _p_not_inferior(b: int, c: int, n: int, margin: float) -> float:
    """One-sided p-value of the score test of "the difference is -margin or less"."""
    return float(stats.norm.sf(tango_z(b, c, n, -margin)))


def _p_inferior(b: int, c: int, n: int, margin: float) -> float:
    """One-sided p-value of the score test of "the difference is -margin or more"."""
    return float(stats.norm.cdf(tango_z(b, c, n, -margin)))


def _sentence(
    answer: Answer, difference: Estimate, lower: float, margin: float, level: float, n: int, needed: int | None, classes: Sequence[ClassGate]
) -> str:
    seen = f"the student is {difference.value * 100:+.1f} points against the teacher on {n} rows, at least {lower * 100:+.1f} with {level:.0%} confidence"
    if answer == "pass":
        return f"passes: {seen}, within the margin of {margin * 100:g}"
    held_up = f"; classes that do not pass: {', '.join(f'{gate.label} ({gate.answer}, n = {gate.difference.n})' for gate in classes)}" if classes else ""
    if answer == "fail":
        return f"fails: {seen}, beyond the margin of {margin * 100:g}{held_up}"
    more = f"; about {needed} test rows would tell, if the difference stays" if needed and needed > n else ""
    return f"cannot tell: {seen}, and the margin is {margin * 100:g}{held_up}{more}"
