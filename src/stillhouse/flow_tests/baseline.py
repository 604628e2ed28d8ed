"""A test against an earlier one, case by case.

For each part: the paired difference with its interval, and whether the part is worse beyond the margin. All parts must
pass, so the pass side needs no correction (intersection-union test: Berger 1982). Any may fail, so Holm goes over the
fail side, but only over parts that answer differently than before: a part without one differing case can never fail,
and what can never be rejected takes no share of the error rate (Tarone 1990, Biometrics 46:515).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stillhouse.errors import UserError
from stillhouse.evaluation.margin_gate import decide_gate
from stillhouse.evaluation.paired import Paired
from stillhouse.evaluation.proportions import holm, mcnemar_midp
from stillhouse.numbers import confidence, points_in_sentence
from stillhouse.results.flow_test import Against, CaseResult, PartResult
from stillhouse.results.gates import GateResult
from stillhouse.results.row_result import RowResult

LEVEL = 0.95
Pairs = Sequence[tuple[CaseResult, CaseResult]]  # each case now, and in the earlier test


def compare(
    parts: Sequence[PartResult], baseline: Mapping[str, Mapping[str, CaseResult]], margin: float, name: str
) -> tuple[Against, ...]:
    """Every part that both tests have, on the cases that both have alike and scored.

    Raises UserError where they have no case in common.
    """
    pairs = {part.name: _common(part, baseline.get(part.name, {})) for part in parts}
    pairs = {part: rows for part, rows in pairs.items() if rows}
    if not pairs:
        raise UserError(f"{name}: has no scored case in common with this test; give a test of the same cases")
    changed = [part for part, rows in pairs.items() if not _is_unchanged(rows)]
    alone = [Paired(*_scored(pairs[part])).p_below(-margin) for part in changed]
    p_fail = dict(zip(changed, holm(alone), strict=True)) if changed else {}
    return tuple(
        _against(part, pairs[part.name], baseline[part.name], margin, p_fail.get(part.name, 1.0))
        for part in parts
        if part.name in pairs
    )


def _is_unchanged(pairs: Pairs) -> bool:
    return all((now.output, now.error, now.score) == (then.output, then.error, then.score) for now, then in pairs)


def _common(part: PartResult, earlier: Mapping[str, CaseResult]) -> list[tuple[CaseResult, CaseResult]]:
    both = [(row, earlier[row.id]) for row in part.rows if row.id in earlier and earlier[row.id].key == row.key]
    return [(now, then) for now, then in both if now.score is not None and then.score is not None]


def _scored(pairs: Pairs) -> tuple[list[RowResult], list[RowResult]]:
    return [_row(now) for now, _ in pairs], [_row(then) for _, then in pairs]


def _against(
    part: PartResult, pairs: Pairs, earlier: Mapping[str, CaseResult], margin: float, p_fail: float
) -> Against:
    now, then = _scored(pairs)
    gate = decide_gate(now, then, margin=margin, level=LEVEL)
    if gate.answer == "fail" and p_fail >= 1 - LEVEL:
        gate = replace(gate, answer="cannot tell")
    better = sum(row.score > other.score for row, other in zip(now, then, strict=True))
    worse = sum(row.score < other.score for row, other in zip(now, then, strict=True))
    left_out, unchanged = len(part.rows) + len(earlier) - 2 * len(pairs), _is_unchanged(pairs)
    return Against(
        name=part.name,
        answer=gate.answer,
        difference=gate.difference,
        lower_bound=gate.lower_bound,
        p=mcnemar_midp(better, worse) if all(row.score in (0.0, 1.0) for row in (*now, *then)) else None,
        n_left_out=left_out,
        unchanged=unchanged,
        sentence=_sentence(part.name, gate, better, worse, left_out, unchanged=unchanged),
    )


def _row(row: CaseResult) -> RowResult:
    assert row.score is not None  # `_common` left such rows out
    return RowResult(id=row.id, group=None, gold=row.expected, output=row.output, score=row.score)


def _sentence(name: str, gate: GateResult, better: int, worse: int, left_out: int, *, unchanged: bool) -> str:
    aside = f"; {left_out} cases that only one of the two has were left out" if left_out else ""
    if unchanged:
        return f"{name}: the same answers as before in all of {gate.n} cases{aside}"
    seen = (
        f"{name}: {points_in_sentence(gate.difference.value)} points on {gate.n} cases ({better} better, {worse} worse)"
    )
    bound = f"at least {points_in_sentence(gate.lower_bound)} with {confidence(gate.level)} confidence"
    margin = f"the margin of {gate.margin * 100:g}"
    if gate.answer == "pass":
        return f"{seen}, {bound}: not worse by {margin}{aside}"
    if gate.answer == "fail":
        return f"{seen}: worse by more than {margin}{aside}"
    needed = gate.rows_needed
    more = f"; about {needed} cases would tell, if the difference stays" if needed and needed > gate.n else ""
    return f"{seen}, {bound}: these cases cannot tell whether it is within {margin}{more}{aside}"
