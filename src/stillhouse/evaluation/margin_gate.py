"""The gate: may the student replace the teacher? The margin says how much worse it may be.

The student passes if the difference (student minus teacher, same rows) is shown to be above -margin, overall and in
every class (Holm over the classes). It fails if the difference is shown to be below -margin, overall or in a class
(Holm). Else the answer is "cannot tell", with the rows it would take (see `cannot_tell`). Of several students any may
pass, so Holm goes over them as well (`among`). Margin, level and test rows are fixed before anyone looks.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from scipy import stats

from stillhouse.evaluation.cannot_tell import answer_of
from stillhouse.evaluation.exact import OUTSIDE
from stillhouse.evaluation.paired import Paired
from stillhouse.evaluation.proportions import holm
from stillhouse.results.arms import PROMPT
from stillhouse.results.gates import ClassGate, GateAnswer, GateResult
from stillhouse.results.row_result import RowResult

MIN_CLASS_ROWS = 5  # a class with fewer rows has no say: nothing could be shown of it


def decide_gate(
    student: Sequence[RowResult],
    teacher: Sequence[RowResult],
    *,
    margin: float,
    level: float = 0.95,
    labels: Sequence[str] | None = None,
    against: str = PROMPT,
) -> GateResult:
    """Compare two arms on the same rows in the same order.

    `labels` switches the per-class gate on (choice tasks). `against`: the name of the arm whose rows are `teacher`.
    """
    pairs = Paired(student, teacher)
    parts = _by_class(pairs, labels or ())
    classes = _class_gates(parts, margin, level)
    p = max([pairs.p_above(-margin), *(gate.p for gate in classes)])
    lost_a_class = any(gate.answer == "fail" for gate in classes)
    answer: GateAnswer = "fail" if lost_a_class else answer_of(p, pairs.p_below(-margin), level)
    lower = pairs.lower(level)
    needed = _rows_for_all(pairs, parts, margin, level) if answer == "cannot tell" else None
    not_passed = [gate for gate in classes if gate.answer != "pass"]
    return GateResult(
        answer=answer,
        against=against,
        difference=pairs.estimate(level),
        lower_bound=lower,
        margin=margin,
        level=level,
        rows_needed=needed,
        sentence=_sentence(answer, pairs, lower, margin, level, needed, not_passed),
        p=p,
        per_class=classes,
    )


def among(gates: Sequence[GateResult], n_students: int) -> list[GateResult]:
    """The gates of several students on the same rows, with Holm over them.

    A pass that does not survive the correction becomes "cannot tell".
    `n_students`: how many there are to be. One that is not measured yet counts as one that shows nothing.
    """
    unmeasured = [1.0] * (n_students - len(gates))
    adjusted = holm([*(gate.p for gate in gates), *unmeasured])
    corrected = []
    for gate, p in zip(gates, adjusted, strict=False):
        if gate.answer == "pass" and p >= 1 - gate.level:
            alone = f"alone it would pass, as one of {n_students} students it does not (Holm, p = {p:.2g})"
            sentence = f"{gate.sentence.replace('passes: ', 'cannot tell: ')}; {alone}"
            needed = math.ceil(gate.n * _stricter(1 - (1 - gate.level) / n_students, gate.level))
            gate = replace(gate, answer="cannot tell", rows_needed=needed, sentence=sentence)
        corrected.append(replace(gate, p=p))
    return corrected


def rows_needed(
    discordance: float, difference: float, margin: float, level: float = 0.95, power: float = 0.8
) -> int | None:
    """Paired rows for a pass with that power, if the arms really differ by `difference`.

    `discordance`: the share of rows on which only one of the two is right. Normal approximation of the score test's
    sample size, for planning alone: n = ((z_level + z_power) / (difference + margin))^2 * variance, and never fewer
    than `fewest_rows`. None where the difference is at -margin or below: then no number of rows makes it pass.
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
        both = zip(pairs.student, pairs.teacher, strict=True)
        rows = [(own, other) for own, other in both if own.gold == label]
        if len(rows) >= MIN_CLASS_ROWS:
            parts[label] = Paired(*zip(*rows, strict=True))
    return parts


def _class_gates(parts: dict[str, Paired], margin: float, level: float) -> tuple[ClassGate, ...]:
    """The gate within each gold class, at the same margin: a mean that passes may hide a class that is lost."""
    not_inferior = holm([part.p_above(-margin) for part in parts.values()])
    inferior = holm([part.p_below(-margin) for part in parts.values()])
    return tuple(
        ClassGate(label, part.estimate(level), p_pass, answer_of(p_pass, p_fail, level))
        for (label, part), p_pass, p_fail in zip(parts.items(), not_inferior, inferior, strict=True)
    )


def _rows_for_all(pairs: Paired, parts: dict[str, Paired], margin: float, level: float) -> int | None:
    """Test rows, mixed as these are, for a pass overall and in every class.

    A class whose interval holds the overall difference is planned with that one. A share of rows that differ is never
    taken for 0 or 1 because few rows were seen: one row of each kind is added.
    """
    plans = [rows_needed(_discordance(pairs), pairs.mean, margin, level)]
    for part in parts.values():
        seen = part.estimate(level)
        inside = seen.low is None or seen.high is None or seen.low <= pairs.mean <= seen.high
        difference = pairs.mean if inside else part.mean
        needed = rows_needed(_discordance(part), difference, margin, 1 - (1 - level) / len(parts))
        plans.append(None if needed is None else math.ceil(needed * pairs.n / part.n))
    known = [plan for plan in plans if plan is not None]
    return max(known) if len(known) == len(plans) else None


def _discordance(pairs: Paired) -> float:
    return (sum(pairs.discordant) + 1) / (pairs.n + 2)


def _stricter(level: float, than: float, power: float = 0.8) -> float:
    """How many times as many rows the stricter level takes."""
    z = stats.norm.ppf
    return float(((z(level) + z(power)) / (z(than) + z(power))) ** 2)


def _sentence(
    answer: GateAnswer,
    pairs: Paired,
    lower: float,
    margin: float,
    level: float,
    needed: int | None,
    not_passed: Sequence[ClassGate],
) -> str:
    rows = f"{pairs.n} rows" if pairs.n != 1 else "1 row"
    in_groups = f" in {pairs.n_groups} groups" if pairs.n_groups < pairs.n else ""
    at_least = f"at least {lower * 100:+.1f} with {level:.0%} confidence"
    seen = f"the student is {pairs.mean * 100:+.1f} points against the teacher on {rows}{in_groups}, {at_least}"
    if answer == "pass":
        return f"passes: {seen}, within the margin of {margin * 100:g}"
    classes = ", ".join(f"{gate.label} ({gate.answer}, n = {gate.difference.n})" for gate in not_passed)
    held_up = f"; classes that do not pass: {classes}" if classes else ""
    if answer == "fail":
        return f"fails: {seen}, beyond the margin of {margin * 100:g}{held_up}"
    more = f"; about {needed} test rows would tell, if the difference stays" if needed and needed > pairs.n else ""
    return f"cannot tell: {seen}, and the margin is {margin * 100:g}{held_up}{more}"
