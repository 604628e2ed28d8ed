"""A test against an earlier one, case by case.

For each part: the paired difference with its interval, and whether the part is worse beyond the margin. All parts must
pass, so the pass side needs no correction (intersection-union test: Berger 1982). Any may fail, so Holm goes over the
fail side, but only over parts that answer differently than before: a part without one differing case can never fail,
and what can never be rejected takes no share of the error rate (Tarone 1990, Biometrics 46:515).

Cases are the same where input, expected answer and metric are; an id may be a line number, which moves.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
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
Baseline = Mapping[str, Mapping[str, CaseResult]]  # the earlier test's cases, by part and id
Pairs = Sequence[tuple[CaseResult, CaseResult]]  # each case now, and in the earlier test


def compare(parts: Sequence[PartResult], baseline: Baseline, margin: float, name: str) -> tuple[Against, ...]:
    """Every part that both tests have, on the cases that both have alike and scored.

    Raises UserError where they have no case in common.
    """
    check_common({part.name: [row.key for row in part.rows] for part in parts}, baseline, name)
    alike = {part.name: _alike(part, baseline.get(part.name, {})) for part in parts}
    pairs = {part: _with_scores(rows) for part, rows in alike.items()}
    pairs = {part: rows for part, rows in pairs.items() if rows}
    changed = [part for part, rows in pairs.items() if not _is_unchanged(rows)]
    alone = [Paired(*_scored(pairs[part])).p_below(-margin) for part in changed]
    p_fail = dict(zip(changed, holm(alone), strict=True)) if changed else {}
    return tuple(
        _against(
            part,
            pairs[part.name],
            margin,
            p_fail.get(part.name, 1.0),
            n_apart=len(part.rows) + len(baseline[part.name]) - 2 * len(alike[part.name]),
            n_unscored=len(alike[part.name]) - len(pairs[part.name]),
        )
        for part in parts
        if part.name in pairs
    )


def check_common(keys: Mapping[str, Sequence[str]], baseline: Baseline, name: str) -> None:
    """Raises UserError where no key of a case is in the same part of the baseline. Asked before anything is paid."""
    for part, of_part in keys.items():
        if not {row.key for row in baseline.get(part, {}).values()}.isdisjoint(of_part):
            return
    raise UserError(f"{name}: has no case in common with this test; give a test of the same cases")


def not_compared(parts: Sequence[PartResult], baseline: Baseline, against: Sequence[Against]) -> tuple[str, ...]:
    """A sentence for every part that only one of the two tests has, or of which no case could be compared."""
    compared = {one.name for one in against}
    said = []
    for part in parts:
        if part.name not in compared:
            alike = _alike(part, baseline.get(part.name, {}))
            why = "is not in the baseline" if part.name not in baseline else "has no case that is in the baseline"
            why = "has no case with a score in both tests" if alike else why
            said.append(f"{part.name}: {why}, so it is not compared; {len(part.wrong)} of {_cases(part.rows)} wrong")
    here = {part.name for part in parts}
    gone = [(name, rows) for name, rows in baseline.items() if name not in here]
    said += [f"{name}: is in the baseline alone ({_cases(rows)}), so it is not compared" for name, rows in gone]
    return tuple(said)


def _cases(rows: Collection[object]) -> str:
    return "1 case" if len(rows) == 1 else f"{len(rows):,} cases"


def _is_unchanged(pairs: Pairs) -> bool:
    return all((now.output, now.error, now.score) == (then.output, then.error, then.score) for now, then in pairs)


def _alike(part: PartResult, earlier: Mapping[str, CaseResult]) -> list[tuple[CaseResult, CaseResult]]:
    """Each case that both tests have, first by id and key, then by key in the order of the files."""
    same_id = {row.id for row in part.rows if row.id in earlier and earlier[row.id].key == row.key}
    left: dict[str, list[CaseResult]] = defaultdict(list)
    for row in earlier.values():
        if row.id not in same_id:
            left[row.key].append(row)
    both = []
    for row in part.rows:
        if row.id in same_id:
            both.append((row, earlier[row.id]))
        elif left[row.key]:
            both.append((row, left[row.key].pop(0)))
    return both


def _with_scores(pairs: Pairs) -> list[tuple[CaseResult, CaseResult]]:
    return [(now, then) for now, then in pairs if now.score is not None and then.score is not None]


def _scored(pairs: Pairs) -> tuple[list[RowResult], list[RowResult]]:
    """Now and then, each pair by the id that it has now."""
    return [_row(now) for now, _ in pairs], [replace(_row(then), id=now.id) for now, then in pairs]


def _against(part: PartResult, pairs: Pairs, margin: float, p_fail: float, *, n_apart: int, n_unscored: int) -> Against:
    now, then = _scored(pairs)
    gate = decide_gate(now, then, margin=margin, level=LEVEL)
    if gate.answer == "fail" and p_fail >= 1 - LEVEL:
        gate = replace(gate, answer="cannot tell")
    better = sum(row.score > other.score for row, other in zip(now, then, strict=True))
    worse = sum(row.score < other.score for row, other in zip(now, then, strict=True))
    unchanged = _is_unchanged(pairs)
    left_out = f"; {n_apart} cases that only one of the two has were left out" if n_apart else ""
    left_out += f"; {n_unscored} without a score in both were left out" if n_unscored else ""
    return Against(
        name=part.name,
        answer=gate.answer,
        difference=gate.difference,
        lower_bound=gate.lower_bound,
        p=mcnemar_midp(better, worse) if all(row.score in (0.0, 1.0) for row in (*now, *then)) else None,
        n_left_out=n_apart + n_unscored,
        unchanged=unchanged,
        sentence=_sentence(part.name, gate, better, worse, left_out, unchanged=unchanged),
    )


def _row(row: CaseResult) -> RowResult:
    assert row.score is not None  # `_common` left such rows out
    return RowResult(id=row.id, group=None, gold=row.expected, output=row.output, score=row.score)


def _sentence(name: str, gate: GateResult, better: int, worse: int, aside: str, *, unchanged: bool) -> str:
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
        return f"{seen}: worse by more than {margin}, with {confidence(gate.level)} confidence{aside}"
    needed = gate.rows_needed
    more = f"; about {needed:,} cases would tell, if the difference stays" if needed and needed > gate.n else ""
    return f"{seen}, {bound}: these cases cannot tell whether it is within {margin}{more}{aside}"
