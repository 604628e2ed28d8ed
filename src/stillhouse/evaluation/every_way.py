"""One gate over several ways to count the same rows: all of them must pass, any of them may fail.

That all must pass needs no correction (intersection-union test: Berger 1982, Technometrics 24:295). That any may fail
does: `decide_gate` is told the number of ways. In which ways rows can be counted is told in `data.copies`.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from stillhouse.results.gates import GateAnswer, GateResult, WayGate


def every_way(gates: Mapping[str, GateResult | None]) -> GateResult:
    """The gate of all ways together; its difference is the first one's. None: no row counts in that way."""
    known = [gate for gate in gates.values() if gate is not None]
    first = known[0]
    parts = tuple(_part(name, gate) for name, gate in gates.items())
    answers = {part.answer for part in parts}
    answer: GateAnswer = "fail" if "fail" in answers else "cannot tell" if "cannot tell" in answers else "pass"
    without_rows = len(known) < len(parts)
    p = 1.0 if without_rows else max(gate.p for gate in known)
    p_better = [1.0 if gate.p_better is None else gate.p_better for gate in known]
    if answer == "pass":
        decided = [max(parts, key=lambda part: part.p).name]
    else:
        decided = [part.name for part in parts if part.answer == answer]
    return replace(
        first,
        answer=answer,
        rows_needed=_rows_needed(first, gates) if answer == "cannot tell" else None,
        sentence=_sentence(answer, gates, decided),
        p=p,
        p_better=1.0 if without_rows else max(p_better),
        ways=parts,
        decided_by=tuple(decided),
    )


def _part(name: str, gate: GateResult | None) -> WayGate:
    if gate is None:
        return WayGate(name=name, answer="cannot tell")
    return WayGate(name, gate.answer, gate.difference, gate.lower_bound, gate.p)


def _rows_needed(first: GateResult, gates: Mapping[str, GateResult | None]) -> int | None:
    """Rows of the first way, mixed as these are, until every way that cannot tell would pass; None: no number would."""
    needed = 0
    for gate in gates.values():
        if gate is None or (gate.answer == "cannot tell" and gate.rows_needed is None):
            return None
        if gate.answer == "cannot tell" and gate.rows_needed is not None:
            needed = max(needed, math.ceil(gate.rows_needed * first.n / gate.n))
    return needed


def _sentence(answer: GateAnswer, gates: Mapping[str, GateResult | None], decided: list[str]) -> str:
    verb = {"pass": "passes", "fail": "fails", "cannot tell": "cannot tell"}[answer]
    parts = []
    for name, gate in gates.items():
        seen = "no row counts so" if gate is None else gate.sentence.partition(": ")[2]
        parts.append(f"{name}: {seen}")
    why = f"it passes in every way, and is least sure with {decided[0]}"
    if answer != "pass":
        why = f"decided by {' and by '.join(decided)}"
    return f"{verb}: {'; '.join(parts)}; {why}"
