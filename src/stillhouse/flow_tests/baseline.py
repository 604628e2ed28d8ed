"""A test against an earlier one, case by case.

For each part: the paired difference with its interval, and whether the part is worse beyond the margin.
"""

from collections.abc import Mapping, Sequence

from stillhouse.errors import UserError
from stillhouse.evaluation.margin_gate import decide_gate
from stillhouse.evaluation.proportions import mcnemar_midp
from stillhouse.results.flow_test import Against, CaseResult, PartResult
from stillhouse.results.gates import GateResult
from stillhouse.results.row_result import RowResult

LEVEL = 0.95


def compare(
    parts: Sequence[PartResult], baseline: Mapping[str, Mapping[str, CaseResult]], margin: float, name: str
) -> tuple[Against, ...]:
    """Every part that both tests have, on the cases that both have alike and scored.

    The error rate of 5 % is shared by all comparisons (Bonferroni).

    Raises UserError where they have no case in common.
    """
    pairs = {part.name: _common(part, baseline.get(part.name, {})) for part in parts}
    pairs = {part: rows for part, rows in pairs.items() if rows}
    if not pairs:
        raise UserError(f"{name}: has no scored case in common with this test; give a test of the same cases")
    level = 1 - (1 - LEVEL) / len(pairs)
    return tuple(
        _against(part, pairs[part.name], baseline[part.name], margin, level) for part in parts if part.name in pairs
    )


def _common(part: PartResult, earlier: Mapping[str, CaseResult]) -> list[tuple[CaseResult, CaseResult]]:
    both = [(row, earlier[row.id]) for row in part.rows if row.id in earlier and earlier[row.id].key == row.key]
    return [(now, then) for now, then in both if now.score is not None and then.score is not None]


def _against(
    part: PartResult,
    pairs: Sequence[tuple[CaseResult, CaseResult]],
    earlier: Mapping[str, CaseResult],
    margin: float,
    level: float,
) -> Against:
    now, then = ([_row(row) for row in rows] for rows in zip(*pairs, strict=True))
    gate = decide_gate(now, then, margin=margin, level=level)
    better = sum(row.score > other.score for row, other in zip(now, then, strict=True))
    worse = sum(row.score < other.score for row, other in zip(now, then, strict=True))
    left_out = len(part.rows) + len(earlier) - 2 * len(pairs)
    return Against(
        name=part.name,
        answer=gate.answer,
        difference=gate.difference,
        lower_bound=gate.lower_bound,
        p=mcnemar_midp(better, worse) if all(row.score in (0.0, 1.0) for row in (*now, *then)) else None,
        n_left_out=left_out,
        sentence=_sentence(part.name, gate, better, worse, left_out),
    )


def _row(row: CaseResult) -> RowResult:
    assert row.score is not None  # `_common` left such rows out
    return RowResult(id=row.id, group=None, gold=row.expected, output=row.output, score=row.score)


def _sentence(name: str, gate: GateResult, better: int, worse: int, left_out: int) -> str:
    seen = f"{name}: {gate.difference.value * 100:+.1f} points on {gate.n} cases ({better} better, {worse} worse)"
    bound = f"at least {gate.lower_bound * 100:+.1f} with {100 * gate.level:.4g}% confidence"
    margin = f"the margin of {gate.margin * 100:g}"
    aside = f"; {left_out} cases that only one of the two has were left out" if left_out else ""
    if gate.answer == "pass":
        return f"{seen}, {bound}: not worse by {margin}{aside}"
    if gate.answer == "fail":
        return f"{seen}: worse by more than {margin}{aside}"
    needed = gate.rows_needed
    more = f"; about {needed} cases would tell, if the difference stays" if needed and needed > gate.n else ""
    return f"{seen}, {bound}: these cases cannot tell whether it is within {margin}{more}{aside}"
