"""The gate: may the student replace the teacher? The margin says how much worse it may be.

The student passes if the difference (student minus teacher, same rows) is shown to be above -margin, overall and in
every class that is tested (see `class_gates`). It fails if the difference is shown to be below -margin, overall or in a
class (Holm over these). Else the answer is "cannot tell", with the rows it would take (see `cannot_tell`). Of several
students any may pass, so Holm goes over them as well (`among`). Margin, level and test rows are fixed before anyone
looks.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

from scipy import special

from stillhouse.evaluation import gate_power
from stillhouse.evaluation.bound_power import groups_needed, moments
from stillhouse.evaluation.cannot_tell import answer_of
from stillhouse.evaluation.class_gates import ClassRule, class_gates, class_parts, classes_in_words, level_alone
from stillhouse.evaluation.exact import exact_p, outside_of
from stillhouse.evaluation.paired import Paired
from stillhouse.evaluation.proportions import holm
from stillhouse.numbers import confidence, points_in_sentence
from stillhouse.results.arms import PROMPT
from stillhouse.results.gates import GateAnswer, GateResult
from stillhouse.results.row_result import RowResult

POWER = 0.8  # the chance of a pass that rows are planned for
MANY = 5_000  # rows from which on a normal approximation plans well enough
# The share of rows on which only one of the two is right, assumed before anything was measured. The students of the
# demo and of e-SNLI differ from their teachers on 8 to 15 %.
DISCORDANCE = 0.10


def decide_gate(
    student: Sequence[RowResult],
    teacher: Sequence[RowResult],
    *,
    margin: float,
    level: float = 0.95,
    labels: Sequence[str] | None = None,
    classes: ClassRule = "pooled",
    class_margin: float | None = None,
    group_cap: int | None = None,
    against: str = PROMPT,
    n_ways: int = 1,
    next_level: float | None = None,
    yardstick: bool = False,
) -> GateResult:
    """Compare two arms on the same rows in the same order.

    `labels` switches the gate within classes on (choice tasks), and `classes` says which of these are tested (see
    `class_gates`), at `class_margin` (None: `margin`). `group_cap`: the most rows that a group has (see `bounded`).
    `against`: the name of the arm whose rows are `teacher`. `n_ways`: in how many ways the rows are counted, each with
    a gate that may fail (Bonferroni; see `every_way`). `next_level`: the level that a further look at these rows would
    take, which the rows for an answer are planned with (see `spending`); None: `level`. `yardstick`: there is no gold,
    and scores are agreement with the teacher's answers; the sentence then says so.
    """
    pairs = Paired(student, teacher, group_cap, level)
    within = margin if class_margin is None else class_margin
    least = rows_of_a_class(within, level)
    parts = class_parts(pairs, labels or (), classes, least)
    p_below = pairs.p_below(-margin)
    gates, p_fail = class_gates(parts, p_below, within, level, n_ways)
    p = max([pairs.p_above(-margin), *(gate.p for gate in gates if gate.tested)])
    lost_a_class = any(gate.answer == "fail" for gate in gates)
    of_all = answer_of(p, p_fail, level)
    answer: GateAnswer = "fail" if lost_a_class else of_all
    lower = pairs.lower(level)
    upper = pairs.upper(level_alone(p_below, p_fail, level)) if of_all == "fail" else None
    needed = (
        _rows_for_all(pairs, parts.tested, margin, within, next_level or level) if answer == "cannot tell" else None
    )
    return GateResult(
        answer=answer,
        against=against,
        difference=pairs.estimate(level),
        lower_bound=lower,
        upper_bound=upper,
        margin=margin,
        level=level,
        rows_needed=needed,
        sentence=_sentence(answer, pairs, (lower, upper), margin, level, yardstick)
        + classes_in_words(gates, parts, least, within, yardstick=yardstick)
        + _rows_in_words(needed, pairs.n),
        yardstick=yardstick,
        p=p,
        p_better=pairs.p_above(0.0),
        class_margin=class_margin,
        per_class=gates,
    )


def among(gates: Sequence[GateResult], n_students: int, next_level: float | None = None) -> list[GateResult]:
    """The gates of several students on the same rows, with Holm over them.

    A pass that does not survive the correction becomes "cannot tell".
    `n_students`: how many there are to be. One that is not measured yet counts as one that shows nothing.
    """
    unmeasured = [1.0] * (n_students - len(gates))
    adjusted = holm([*(gate.p for gate in gates), *unmeasured])
    better = holm([*(1.0 if gate.p_better is None else gate.p_better for gate in gates), *unmeasured])
    corrected = []
    for gate, p, p_better in zip(gates, adjusted, better, strict=False):
        if gate.answer == "pass" and p >= 1 - gate.level:
            alone = f"alone it would pass, as one of {n_students} students it does not (Holm, p = {p:.2g})"
            sentence = f"{gate.sentence.replace('passes: ', 'cannot tell: ')}; {alone}"
            of_all = 1 - (1 - (next_level or gate.level)) / n_students
            needed = math.ceil(gate.n * _stricter(of_all, gate.level))
            gate = replace(gate, answer="cannot tell", rows_needed=needed, sentence=sentence)
        corrected.append(replace(gate, p=p, p_better=p_better))
    return corrected


def rows_needed(
    discordance: float, difference: float, margin: float, level: float = 0.95, power: float = 0.8
) -> int | None:
    """Paired rows for a pass with that power, if the arms really differ by `difference`.

    `discordance`: the share of rows on which only one of the two is right. The exact test's own power (`gate_power`),
    for planning alone, and never fewer than `fewest_rows`. None where the difference is at -margin or below: then no
    number of rows makes it pass. Where a normal approximation asks for more than MANY rows, it is near enough.
    """
    n = normal_rows_needed(discordance, difference, margin, level, power)
    if n is None:
        return None
    n, spread = max(fewest_rows(margin, level), n), max(discordance, abs(difference))
    few, seen = n, gate_power.power(n, spread, difference, margin, level) if n <= MANY else 1.0
    while n <= MANY and seen < power:
        missing = power - seen
        few, n = n, math.ceil(n * (1.02 if missing < 0.03 else 1.06 if missing < 0.1 else 1.2))
        seen = gate_power.power(n, spread, difference, margin, level)
    while n > math.ceil(1.06 * few):
        middle = (few + n) // 2
        enough = gate_power.power(middle, spread, difference, margin, level) >= power
        few, n = (few, middle) if enough else (middle, n)
    return n


def normal_rows_needed(
    discordance: float, difference: float, margin: float, level: float, power: float = 0.8
) -> int | None:
    """The same by the normal approximation: n = ((z_level + z_power) / (difference + margin))^2 * variance."""
    if difference + margin <= 0:
        return None
    variance = max(discordance - difference**2, 0.0)
    z = float(special.ndtri(level) + special.ndtri(power))
    return math.ceil(variance * (z / (difference + margin)) ** 2)


@cache
def fewest_rows(margin: float, level: float = 0.95) -> int:
    """Rows that two arms without a single difference take to pass: fewer can show nothing.

    (1 - margin)^n must be below the error. At strict levels the share of rows that differ might be larger than seen, so
    the test asks for a few more.
    """
    fewest = math.ceil(math.log(1 - level - outside_of(level)) / math.log(1 - margin))
    if _passes_without_a_difference(fewest, margin, level):
        return fewest
    enough = fewest
    while not _passes_without_a_difference(enough, margin, level):
        fewest, enough = enough, 2 * enough
    while enough - fewest > 1:
        middle = (fewest + enough) // 2
        fewest, enough = (fewest, middle) if _passes_without_a_difference(middle, margin, level) else (middle, enough)
    return enough


def _passes_without_a_difference(n: int, margin: float, level: float) -> bool:
    return exact_p(0, 0, n, -margin, outside_of(level)) < 1 - level


def rows_of_a_class(margin: float, level: float = 0.95, n_classes: int = 1) -> int:
    """Rows of each of several classes for a pass in all of them in four of five cases.

    That is if the student is as good as the teacher, and differs from it on DISCORDANCE of the rows. The chance of
    missing is shared by the classes, so each is planned with power 1 - 0.2 / n_classes.
    """
    needed = rows_needed(DISCORDANCE, 0.0, margin, level, 1 - (1 - POWER) / n_classes)
    assert needed is not None  # a difference of 0 is within every margin
    return needed


def _rows_for_all(
    pairs: Paired, tested: Mapping[str, Paired], margin: float, class_margin: float, level: float
) -> int | None:
    """Test rows, mixed as these are, for a pass overall and in every tested class, in four of five cases.

    A class whose interval holds the overall difference is planned with that one. A share of rows that differ is never
    taken for 0 or 1 because few rows were seen: one row of each kind is added.
    """
    power = 1 - (1 - POWER) / max(1, len(tested))
    plans = [_rows_for(pairs, pairs.mean, margin, level, power)]
    for part in tested.values():
        seen = part.estimate(level)
        inside = seen.low is None or seen.high is None or seen.low <= pairs.mean <= seen.high
        difference = pairs.mean if inside else part.mean
        needed = _rows_for(part, difference, class_margin, level, power)
        plans.append(None if needed is None else math.ceil(needed * pairs.n / part.n))
    known = [plan for plan in plans if plan is not None]
    return max(known) if len(known) == len(plans) else None


def _rows_for(pairs: Paired, difference: float, margin: float, level: float, power: float) -> int | None:
    """Rows like these for a pass, by the power of the test that decides on them."""
    if pairs.exact:
        return rows_needed(_discordance(pairs), difference, margin, level, power)
    sums, sizes = pairs.groups
    of_groups = moments(sums + margin * sizes, (difference + margin) * float(sizes.mean()))
    groups = groups_needed(of_groups, (1 - margin) * pairs.largest, level, power)
    return None if groups is None else math.ceil(groups * float(sizes.mean()))


def _discordance(pairs: Paired) -> float:
    return (sum(pairs.discordant) + 1) / (pairs.n + 2)


def _stricter(level: float, than: float, power: float = POWER) -> float:
    """How many times as many rows the stricter level takes."""
    z = special.ndtri
    return float(((z(level) + z(power)) / (z(than) + z(power))) ** 2)


def _sentence(
    answer: GateAnswer,
    pairs: Paired,
    bounds: tuple[float, float | None],
    margin: float,
    level: float,
    yardstick: bool,
) -> str:
    """The answer with the bound that gives it: a lower one, or an upper one where all rows together fail."""
    lower, upper = bounds
    verb = {"pass": "passes", "fail": "fails" if upper is not None else "fails in a class"}.get(answer, "cannot tell")
    end, side = (lower, "least") if upper is None else (upper, "most")
    rows = f"{pairs.n} rows" if pairs.n != 1 else "1 row"
    in_groups = f" in {pairs.n_groups} groups" if pairs.n_groups < pairs.n else ""
    sure = f"with {confidence(level)} confidence"
    if yardstick:
        agrees = f"the student agrees with the teacher to {(1 + pairs.mean) * 100:.1f}% on {rows}{in_groups}"
        seen, wanted = f"{agrees}, at {side} {max(0.0, 1 + end) * 100:.1f}% {sure}", f"{100 - margin * 100:g}%"
        ends = {"passes": f"and {wanted} is wanted", "fails": f"short of the {wanted} that is wanted"}
        return f"{verb}: {seen}, {ends.get(verb, f'and {wanted} has to be shown')}"
    against = f"the student is {points_in_sentence(pairs.mean)} points against the teacher on {rows}{in_groups}"
    seen, whole = f"{against}, at {side} {points_in_sentence(end)} {sure}", f"{margin * 100:g}"
    ends = {"passes": f"within the margin of {whole}", "fails": f"beyond the margin of {whole}"}
    return f"{verb}: {seen}, {ends.get(verb, f'and the margin is {whole}')}"


def _rows_in_words(needed: int | None, n: int) -> str:
    return f"; about {needed} test rows would tell, if the difference stays" if needed and needed > n else ""
