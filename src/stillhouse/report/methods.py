"""How each kind of number in a result was made: the interval's method and level, and the test that decided."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from stillhouse import numbers
from stillhouse.records import Estimate
from stillhouse.results.run_result import Result

# What an estimate is called, by the record and the field that hold it. Others go by their field's name.
_CALLED = {
    "ArmResult.score": "score of an arm",
    "GateResult.difference": "difference of two arms",
    "ClassGate.difference": "difference within a class",
    "CascadePromise.share_kept": "share that the cascade keeps",
    "CascadePromise.harm": "harm of the cascade",
    "ReliabilityBin.accuracy": "score within a bin of confidence",
    "LevelLine.score": "score of an arm",
    "OtherTest.score": "score on another test set",
    "LabelQuality.accuracy": "the teacher against gold",
}
BY_ROWS_AND_SEEDS = "bootstrap over rows and seeds"
BY_WEIGHTS = "weights at random over groups, and one unseen"


@dataclass(frozen=True, slots=True)
class MethodLine:
    """One kind of number: how its interval was made, at which level, and on how many rows at least and at most."""

    what: str
    method: str
    level: float
    n_least: int
    n_most: int


def interval_methods(result: Result) -> list[MethodLine]:
    """Every kind of interval that the result holds, in the order in which the page shows them."""
    rows: dict[tuple[str, str, float], tuple[int, int]] = {}
    for what, estimate in _estimates(result, ""):
        if estimate.low is None and estimate.high is None:
            continue
        key = (what, estimate.method or "not recorded", estimate.level)
        least, most = rows.get(key, (estimate.n, estimate.n))
        rows[key] = min(least, estimate.n), max(most, estimate.n)
    lines = [MethodLine(*key, *counts) for key, counts in rows.items()]
    return [*lines, *dict.fromkeys((*_of_curves(result), *_of_money(result)))]


def _of_curves(result: Result) -> Iterator[MethodLine]:
    """Bands and crossings of learning curves; a curve over few rows or one seed has none."""
    curves = result.curves
    for curve in curves.curves if curves else ():
        if any(point.low is not None for point in curve.points):
            yield MethodLine("band of a learning curve", BY_ROWS_AND_SEEDS, 0.95, curve.n_rows, curve.n_rows)
    for cross in curves.crossovers if curves else ():
        if cross.low is not None or cross.high is not None:
            n = cross.n_rows
            yield MethodLine("training rows that meet the prompt", BY_ROWS_AND_SEEDS, cross.level, n, n)


def _of_money(result: Result) -> Iterator[MethodLine]:
    """Savings, net benefits, and worths of an answer."""
    money = result.money
    for net in money.net if money else ():
        yield MethodLine("saving over the horizon", BY_WEIGHTS, net.level, net.n, net.n)
        if net.net_low is not None:
            yield MethodLine("net benefit over the horizon, lower bound", BY_WEIGHTS, net.level, net.n, net.n)
    for worth in money.worth if money else ():
        if worth.low is not None or worth.high is not None:
            yield MethodLine("worth at which the choice flips", BY_WEIGHTS, worth.level, worth.n, worth.n)


def deciding_tests(result: Result) -> list[str]:
    """The tests that decided pass, fail or cannot tell, as sentences."""
    told: list[str] = []
    for gate in (arm.gate for arm in result.arms if arm.gate is not None):
        test = _test(gate.difference.method)
        told.append(
            f"The gate is {test}, one-sided, at {numbers.confidence_in_table(gate.level)}, with Holm over the students."
        )
        if gate.per_class:
            told.append("In a class it is the same test; every tested class must pass, and Holm is over what may fail.")
    if (cascade := result.cascade) is not None:
        told.append(
            f"The cascade's threshold keeps its budget at {numbers.confidence_in_table(cascade.level)}, "
            "thresholds tried in a fixed order."
        )
    return list(dict.fromkeys(told))


def _test(method: str) -> str:
    """The test behind an interval of a difference (see `evaluation.paired`)."""
    if not method:
        return "a test that an earlier version did not write down"
    return "an exact test of paired proportions" if method.startswith("exact") else "a bound with one unseen group"


def _estimates(value: Any, where: str) -> Iterator[tuple[str, Estimate]]:
    """Every estimate below a record, with what it is called."""
    if isinstance(value, Estimate):
        yield _CALLED.get(where, where.partition(".")[2].replace("_", " ")), value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _estimates(part, where)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _estimates(getattr(value, field.name), f"{type(value).__name__}.{field.name}")
