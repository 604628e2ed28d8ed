"""The tables and pictures of docs/results.md, from a finished run of `advise` or `distill`.

python -m bench.evidence RUN NAME FOLDER     prints Markdown; writes FOLDER/results-NAME-curves.svg, -threshold.svg and -reliability.svg
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from stillhouse import numbers
from stillhouse.evaluation.margin_gate import decide_gate
from stillhouse.records import Estimate
from stillhouse.report import plots
from stillhouse.report.html import standalone
from stillhouse.report.result_page import series_colours
from stillhouse.results.row_result import RowResult, read_rows
from stillhouse.results.run_result import Result, load_result
from stillhouse.verdict.cascade import cascade_rows

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # kept by the student: the rows of the threshold's table


def learning_table(result: Result) -> str:
    assert result.curves is not None
    curves = result.curves.curves
    lines = [
        f"| {result.curves.curves[0].learns_from} labels | {' | '.join(curve.name for curve in curves)} |",
        "|---|" + "---|" * len(curves),
    ]
    for at, point in enumerate(curves[0].points):
        cells = [
            f"{numbers.bare(curve.points[at].mean)} {_band(curve.points[at].low, curve.points[at].high)}"
            for curve in curves
        ]
        lines.append(f"| {point.n:,} | {' | '.join(cells)} |")
    seeds = len(curves[0].points[0].scores)
    lines.append(
        f"\nMeans over {seeds} seeds, bands by the two-way bootstrap over seeds and rows (n = {curves[0].n_rows:,})."
    )
    for one in result.curves.crossovers:
        met = f"{one.n_star:,.0f}" if one.n_star is not None else f"{one.censored} the sizes tried"
        lines.append(
            f"- {one.curve} meets the prompt at {met} [{one.low and round(one.low)}, {one.high and round(one.high)}]"
        )
    return "\n".join(lines)


def _band(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{numbers.bare(low)}, {numbers.bare(high)}]"


def arms_table(result: Result) -> str:
    lines = [
        f"| arm | {result.heading}, % (n = {result.n_test:,}) | against the prompt, points | gate |",
        "|---|---|---|---|",
    ]
    for arm in result.arms:
        gate = arm.gate
        difference = "" if gate is None else f"{_points(gate.difference)}, at least {numbers.points(gate.lower_bound)}"
        trained = "" if arm.n_train is None or arm.kind == "cascade" else f", {arm.n_train:,} rows"
        lines.append(
            f"| {arm.name}{trained} | {numbers.bare(arm.score.value)} {numbers.interval(arm.score)} | {difference} | {gate.answer if gate else ''} |"
        )
    return "\n".join(
        [
            *lines,
            "",
            f"**{result.verdict.kind}**: {result.verdict.sentence}",
            *(f"- {fact}" for fact in result.verdict.because),
        ]
    )


def _points(difference: Estimate) -> str:
    ends = (
        ""
        if difference.low is None or difference.high is None
        else f" [{numbers.points(difference.low)}, {numbers.points(difference.high)}]"
    )
    return numbers.points(difference.value) + ends


def threshold_table(result: Result, student: Sequence[RowResult], teacher: Sequence[RowResult]) -> str:
    """A line for each of some evenly spaced shares kept, for the chosen threshold and for the best one.

    Differences from the student and from the teacher are paired, with Tango's interval.
    """
    curve = result.threshold_curve
    assert curve is not None
    chosen = result.cascade.threshold if result.cascade else None
    named: dict[float, str] = {
        min(curve.points, key=lambda point: abs(point.share_kept - share)).threshold: "" for share in SHARES
    }
    if curve.best_of_both is not None:
        named[curve.best_of_both.threshold] = "best here"
    if chosen is not None:
        named[chosen] = "chosen on calibration rows"
    lines = [
        f"| threshold | kept by the student, % | still asked of the teacher, % | right, % (n = {curve.n:,}) | against the student | against the teacher | |",
        "|---|---|---|---|---|---|---|",
    ]
    for threshold, name in sorted(named.items()):
        rows = cascade_rows(student, teacher, threshold)
        kept = sum(row.source == "student" for row in rows) / len(rows)
        versus = [_points(decide_gate(rows, part, margin=0.01).difference) for part in (student, teacher)]
        right = sum(row.score for row in rows) / len(rows)
        lines.append(
            f"| {threshold:.3f} | {numbers.bare(kept)} | {numbers.bare(1 - kept)} | {numbers.bare(right)} | {' | '.join(versus)} | {name} |"
        )
    return "\n".join(lines)


def rows_of(run: Path, result: Result, arm: str) -> list[RowResult]:
    """An arm's test rows. A sweep measures an arm for each seed and size; these are the rows that the result shows, of seed 0 at the largest size."""
    shown = next((one.n_train for one in result.arms if one.name == arm), None)
    for folder in sorted((run / "arms").glob("*")):
        facts = json.loads((folder / "arm.json").read_text(encoding="utf-8"))
        if facts["name"] == arm and facts["n_train"] == shown and facts["facts"].get("seed") == 0:
            return read_rows(folder / "test.jsonl")
    with (run / "predictions.jsonl").open(encoding="utf-8") as file:
        found = [json.loads(line) for line in file if f'"arm": "{arm}"' in line]
    names = set(RowResult.__dataclass_fields__)
    return [RowResult(**{key: value for key, value in row.items() if key in names}) for row in found]


def main(run: Path, name: str, folder: Path) -> None:
    result = load_result(run)
    colours = series_colours(result)
    if result.curves is not None:
        print(learning_table(result), end="\n\n")
        drawing = plots.learning_curves(result.curves, result.heading, colours, plots.WIDE)
        (folder / f"results-{name}-curves.svg").write_text(standalone(drawing), encoding="utf-8")
    print(arms_table(result), end="\n\n")
    curve = result.threshold_curve
    if curve is not None:
        print(threshold_table(result, rows_of(run, result, curve.student), rows_of(run, result, curve.teacher)))
        drawing = plots.threshold_curve(curve, result.cascade, colours, plots.WIDE)
        (folder / f"results-{name}-threshold.svg").write_text(standalone(drawing), encoding="utf-8")
    if result.reliability is not None:
        print(
            f"\nExpected calibration error {result.reliability.ece}, before calibration {result.reliability.ece_before} (n = {result.reliability.n:,})"
        )
        (folder / f"results-{name}-reliability.svg").write_text(
            standalone(plots.reliability(result.reliability, colours)), encoding="utf-8"
        )


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
