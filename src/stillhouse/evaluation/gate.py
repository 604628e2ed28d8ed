"""The gate: may the student replace the teacher? Only where the rows say so: "cannot tell" is an answer, and comes with the rows it would take.

The student passes if the difference (student minus teacher, same rows) is shown to be above -margin, overall and in every class (Holm over the classes). It
fails if it is shown to be below -margin, overall or in a class (Holm). Of several students any may pass, so Holm goes over them as well (`among`).
Margin, level and test rows are fixed before anyone looks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scipy import stats

from stillhouse.evaluation.exact import OUTSIDE
from stillhouse.evaluation.harness import RowResult
from stillhouse.evaluation.paired import Paired
from stillhouse.evaluation.proportions import holm
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
    """The gate's answer on n paired rows. `p`: against "worse by the margin or more, overall or in a class".

    `rows_needed`: test rows for a pass at the differences and discordance seen, with power 0.8; None: decided already, or no number would do.
    """

    answer: Answer
    difference: Estimate
    lower_bound: float
    margin: float
    level: float
    n: int
    per_class: tuple[ClassGate, ...]
    rows_needed: int | None
    sentence: str
    p: float = 1.0


def decide_gate(
    student: Sequence[RowResult],
    teacher: Sequence[RowResult],
    *,
    margin: float,
    level: float = 0.95,
    labels: Sequence[str] | None = None,
) -> GateResult:
    """Compare two arms on the same rows in the same order. `labels` switches the per-class gate on (choice tasks)."""
    pairs = Paired(student, teacher)
    parts = _by_class(pairs, labels or ())
    classes = _class_gates(parts, margin, level)
    p = max([pairs.p_above(-margin), *(gate.p for gate in classes)])
    if pairs.p_below(-margin) < 1 - level or any(gate.answer == "fail" for gate in classes):
        answer: Answer = "fail"
    else:
        answer = "pass" if p < 1 - level else "cannot tell"
    difference, lower = pairs.estimate(level), pairs.lower(level)
    needed = _rows_for_all(pairs, parts, margin, level) if answer == "cannot tell" else None
    sentence = _sentence(
        answer, pairs, lower, margin, level, needed, [gate for gate in classes if gate.answer != "pass"]
    )
    return GateResult(answer, difference, lower, margin, level, pairs.n, classes, needed, sentence, p)


def among(gates: Sequence[GateResult], n_students: int) -> list[GateResult]:
    """The gates of several students on the same rows, with Holm over them: a pass that does not survive becomes "cannot tell".

    `n_students`: how many there are to be, also those that are not measured yet; each of these counts as one that shows nothing.
    """
    unmeasured = [1.0] * (n_students - len(gates))
    adjusted = holm([*(gate.p for gate in gates), *unmeasured])
    found = []
    for gate, p in zip(gates, adjusted, strict=False):
        if gate.answer == "pass" and p >= 1 - gate.level:
            lost = f"{gate.sentence.replace('passes: ', 'cannot tell: ')}; alone it would pass, as one of {n_students} students it does not (Holm, p = {p:.2g})"
            needed = math.ceil(gate.n * _stricter(1 - (1 - gate.level) / n_students, gate.level))
            gate = replace(gate, answer="cannot tell", rows_needed=needed, sentence=lost)
        found.append(replace(gate, p=p))
    return found


def rows_needed(
    discordance: float, difference: float, margin: float, level: float = 0.95, power: float = 0.8
) -> int | None:
    """Paired rows for a pass with that power, if the arms really differ by `difference` and disagree in correctness on a share `discordance` of rows.

    Normal approximation of the score test's sample size (for planning alone): n = ((z_level + z_power) / (difference + margin))^2 * variance; never fewer than
    `fewest_rows`. None where the difference is at the margin or below: then no number of rows makes it pass.
    """
    if difference + margin <= 0:
        return None
    variance = max(discordance - difference**2, 0.0)
    z = float(stats.norm.ppf(level) + stats.norm.ppf(power))
    return max(fewest_rows(margin, level), math.ceil(variance * (z / (difference + margin)) ** 2))


def fewest_rows(margin: float, level: float = 0.95) -> int:
    """Rows that two arms without a single difference take to pass: fewer can show nothing."""
    return math.ceil(math.log(1 - level - OUTSIDE) / math.log(1 - margin))


def _by_class(pairs: Paired, labels: Sequence[str]) -> dict[str, Paired]:
    parts = {}
    for label in labels:
        rows = [(one, other) for one, other in zip(pairs.student, pairs.teacher, strict=True) if one.gold == label]
        if len(rows) >= MIN_CLASS_ROWS:
            parts[label] = Paired(*zip(*rows, strict=True))
    return parts


def _class_gates(parts: dict[str, Paired], margin: float, level: float) -> tuple[ClassGate, ...]:
    """Non-inferiority within each gold class, at the same margin: a mean that passes may hide a class that is lost."""
    not_inferior = holm([part.p_above(-margin) for part in parts.values()])
    inferior = holm([part.p_below(-margin) for part in parts.values()])
    gates = []
    for (label, part), p_pass, p_fail in zip(parts.items(), not_inferior, inferior, strict=True):
        answer: Answer = "pass" if p_pass < 1 - level else "fail" if p_fail < 1 - level else "cannot tell"
        gates.append(ClassGate(label, part.estimate(level), p_pass, answer))
    return tuple(gates)


def _rows_for_all(pairs: Paired, parts: dict[str, Paired], margin: float, level: float) -> int | None:
    """Test rows, mixed as these are, for a pass overall and in every class. A class whose interval holds the overall difference is planned with that one.

    A share of rows that differ is never taken for 0 or 1 because few rows were seen: one row of each kind is added.
    """
    plans = [rows_needed(_discordance(pairs), pairs.mean, margin, level)]
    for part in parts.values():
        seen = part.estimate(level)
        inside = seen.low is None or seen.high is None or seen.low <= pairs.mean <= seen.high
        needed = rows_needed(
            _discordance(part), pairs.mean if inside else part.mean, margin, 1 - (1 - level) / len(parts)
        )
        plans.append(None if needed is None else math.ceil(needed * pairs.n / part.n))
    known = [plan for plan in plans if plan is not None]
    return max(known) if len(known) == len(plans) else None


def _discordance(pairs: Paired) -> float:
    return (sum(pairs.discordant) + 1) / (pairs.n + 2)


def _stricter(level: float, than: float, power: float = 0.8) -> float:
    """By how much more rows the stricter level takes."""
    z = stats.norm.ppf
    return float(((z(level) + z(power)) / (z(than) + z(power))) ** 2)


def _sentence(
    answer: Answer,
    pairs: Paired,
    lower: float,
    margin: float,
    level: float,
    needed: int | None,
    classes: Sequence[ClassGate],
) -> str:
    rows = f"{pairs.n} rows" if pairs.n != 1 else "1 row"
    in_groups = f" in {pairs.n_groups} groups" if pairs.n_groups < pairs.n else ""
    at_least = f"at least {lower * 100:+.1f} with {level:.0%} confidence"
    seen = f"the student is {pairs.mean * 100:+.1f} points against the teacher on {rows}{in_groups}, {at_least}"
    if answer == "pass":
        return f"passes: {seen}, within the margin of {margin * 100:g}"
    held_up = (
        f"; classes that do not pass: {', '.join(f'{gate.label} ({gate.answer}, n = {gate.difference.n})' for gate in classes)}"
        if classes
        else ""
    )
    if answer == "fail":
        return f"fails: {seen}, beyond the margin of {margin * 100:g}{held_up}"
    more = f"; about {needed} test rows would tell, if the difference stays" if needed and needed > pairs.n else ""
    return f"cannot tell: {seen}, and the margin is {margin * 100:g}{held_up}{more}"
