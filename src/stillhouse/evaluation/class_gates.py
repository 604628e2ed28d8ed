"""The gate within classes: a mean that passes may hide a class that is lost.

Every class that is tested must pass, so the pass side needs no correction (intersection-union test: Berger 1982,
Technometrics 24:295). Any class may fail, so Holm goes over the fail side, with the mean over all rows among it.

A class with few rows can never pass, and one such class would hold up a good student for ever. So rare classes are
tested together, as one. Which these are is decided by the number of rows alone, before any answer is seen. Each of them
can still fail by itself.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from stillhouse.evaluation.cannot_tell import answer_of
from stillhouse.evaluation.paired import Paired
from stillhouse.evaluation.proportions import holm
from stillhouse.numbers import points_in_sentence
from stillhouse.results.gates import ClassGate

ClassRule = Literal["all", "pooled", "none"]
MOST_NAMED = 5  # classes without an answer that a sentence names
MIN_CLASS_ROWS = 5  # under the rule "all", a class with fewer rows need not pass: nothing could be shown of it


@dataclass(frozen=True)
class ClassParts:
    """The rows of two arms by gold class.

    `tested` must pass: name -> rows, the pool of rare classes among them where there is one. `rare`: classes that can
    only fail. `pool`: the labels that are tested together.
    """

    tested: Mapping[str, Paired]
    rare: Mapping[str, Paired]
    pool: tuple[str, ...] = ()


def too_rare(counts: Mapping[str, int], least: int) -> tuple[str, ...]:
    """The classes to test together, rarest first, so that whatever is tested has `least` rows.

    Those with fewer rows; where these have fewer than `least` together, the next rarest join them.
    """
    pool: list[str] = []
    rows = 0
    for label in sorted(counts, key=lambda label: (counts[label], label)):
        if counts[label] >= least and (not pool or rows >= least):
            break
        pool.append(label)
        rows += counts[label]
    return tuple(pool)


def class_parts(pairs: Paired, labels: Sequence[str], rule: ClassRule, least: int) -> ClassParts:
    """The parts of `pairs` that the rule looks at. `least`: rows that a class takes to be tested on its own."""
    if rule == "none":
        return ClassParts({}, {})
    counts = Counter(row.gold for row in pairs.student)
    present = {label: counts[label] for label in labels if counts[label]}
    if rule == "all":
        alone = [label for label, n in present.items() if n >= MIN_CLASS_ROWS]
        rare = [label for label, n in present.items() if n < MIN_CLASS_ROWS]
        tested, untested = ({label: pairs.of_gold({label}) for label in part} for part in (alone, rare))
        return ClassParts(tested, untested)
    pool = too_rare(present, least)
    tested = {label: pairs.of_gold({label}) for label in present if label not in pool}
    if tested and pool:  # without another class the pool is all rows, and these are tested anyway
        tested[_pool_name(pool)] = pairs.of_gold(set(pool))
    return ClassParts(tested, {label: pairs.of_gold({label}) for label in pool}, pool)


def class_gates(
    parts: ClassParts, p_all_below: float, margin: float, level: float, n_ways: int = 1
) -> tuple[tuple[ClassGate, ...], float]:
    """(each class's gate, the p-value against "all rows together are worse by less than the margin").

    `p_all_below` is that p-value on its own; what is given back is adjusted for all the ways in which a gate can fail.
    `n_ways`: the number of gates on these rows, of which any may fail.
    """
    whole = [*parts.tested.items(), *parts.rare.items()]
    every_p = [p_all_below, *(part.p_below(-margin) for _, part in whole)]
    inferior = holm([min(1.0, n_ways * p) for p in every_p])
    gates = []
    for (label, part), p_alone, p_fail in zip(whole, every_p[1:], inferior[1:], strict=True):
        p_pass = part.p_above(-margin)
        answer = answer_of(p_pass, p_fail, level)
        gates.append(
            ClassGate(
                label,
                part.estimate(level),
                p_pass,
                answer,
                tested=label in parts.tested,
                none_right=not any(row.score for row in part.student) and any(row.score for row in part.teacher),
                upper_bound=part.upper(level_alone(p_alone, p_fail, level)) if answer == "fail" else None,
            )
        )
    return tuple(gates), inferior[0]


def level_alone(p: float, corrected: float, level: float) -> float:
    """The level at which a bound on its own says what the corrected p-value says at `level`."""
    return level if p <= 0 else 1 - (1 - level) * min(1.0, p / corrected)


def classes_in_words(
    gates: Sequence[ClassGate], parts: ClassParts, least: int, margin: float, *, yardstick: bool = False
) -> str:
    """What the classes did, as the end of a sentence; "" where none was looked at. `margin`: within a class."""
    words = []
    good, right = ("near", "as the teacher") if yardstick else ("good", "right")
    failing = [gate for gate in gates if gate.answer == "fail"]
    unsure = [gate for gate in gates if gate.tested and gate.answer == "cannot tell"]
    if held_up := [*failing, *unsure[:MOST_NAMED]]:
        more = f" and {len(unsure) - MOST_NAMED} more that cannot tell" if len(unsure) > MOST_NAMED else ""
        listed = ", ".join(f"{gate.label} ({_class_answer(gate, margin, yardstick)})" for gate in held_up)
        words.append(f"classes that do not pass: {listed}{more}")
    if len(parts.pool) > 1:
        n = sum(gate.difference.n for gate in gates if gate.label in parts.pool)
        together = "are tested together" if parts.tested else "are not tested one by one"
        words.append(
            f"{len(parts.pool)} classes {together} (n = {n:,}): one alone takes {least:,} rows to be shown as {good}"
        )
    if lost := [gate for gate in gates if gate.none_right and gate.answer != "fail" and gate.label in parts.rare]:
        words.append(f"not one {right} in " + ", ".join(f"{gate.label} (n = {gate.difference.n})" for gate in lost))
    return "".join(f"; {part}" for part in words)


def _class_answer(gate: ClassGate, margin: float, yardstick: bool) -> str:
    """The answer with n, and of a class that fails the bound by which it does."""
    answer = f"{gate.answer}, n = {gate.difference.n}"
    if gate.upper_bound is None:
        return answer
    if yardstick:
        agrees = f"agrees to {1 + gate.difference.value:.1%}, at most {max(0.0, 1 + gate.upper_bound):.1%}"
        return f"{answer}: {agrees}, short of {100 - margin * 100:g}%"
    seen = f"{points_in_sentence(gate.difference.value)} points, at most {points_in_sentence(gate.upper_bound)}"
    return f"{answer}: {seen}, beyond {margin * 100:g}"


def _pool_name(pool: Sequence[str]) -> str:
    return f"{len(pool)} rarer classes" if len(pool) > 1 else pool[0]
