"""A run's result as a short table for the terminal."""

from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from stillhouse import numbers
from stillhouse.records import Estimate
from stillhouse.report.comparison_terminal import comparison_text
from stillhouse.report.fitting_table import FittingTable
from stillhouse.report.key_arms import key_break_evens
from stillhouse.results.agreement import agreement_of
from stillhouse.results.arms import ArmResult
from stillhouse.results.gates import GateResult
from stillhouse.results.run_result import Result

_GATE_STYLES = {"pass": "green", "fail": "red", "cannot tell": "yellow"}


def terminal(result: Result, report: Path | None = None) -> RenderableType:
    """The result after a command, in 80 columns: every arm's numbers, the verdict, and where the report lies."""
    return Group(_table(result), *_lines(result, report))


def _table(result: Result) -> FittingTable:
    # Each comparison's heading says whose win rate is shown.
    heading = "win rate" if result.win_rates else result.heading
    heads = ("arm", heading, "interval, %", "per 1,000 calls", "p50 / p99 latency", "size", "gate")
    rows = []
    for arm in result.arms:
        style = "bold" if arm.name == result.chosen else ""
        name = Text(arm.name + (" (stand-in)" if arm.stand_in else ""), style=style)
        rows.append([name, *(Text(cell, style=style) for cell in _cells(arm, result)), _gate(arm)])
    return FittingTable(heads, rows, wrapping=(0, 6), left=(6,))


def _gate(arm: ArmResult) -> Text:
    return Text("–", style="dim") if arm.gate is None else Text(arm.gate.answer, style=_GATE_STYLES[arm.gate.answer])


def _cells(arm: ArmResult, result: Result) -> tuple[str, ...]:
    """An arm's numbers. An interval is marked where it is not at 95 % or not on all test rows."""
    marks = [f"at {numbers.confidence_in_table(arm.score.level)}"] if arm.score.level != 0.95 else []
    marks += [f"n = {numbers.count(arm.score.n)}"] if arm.score.n != result.n_test else []
    latency = "/".join(numbers.seconds(value) for value in (arm.latency_p50_s, arm.latency_p99_s) if value is not None)
    scored = numbers.percent(arm.score.value), " ".join([numbers.interval(arm.score), *marks])
    return (
        *(("–", "the yardstick") if result.is_yardstick(arm) else scored),
        numbers.usd(arm.cost_usd_per_1000),
        latency or numbers.UNKNOWN,
        numbers.size(arm.size_bytes) if arm.size_bytes is not None else "–",
    )


def _ways(name: str, gate: GateResult) -> Text:
    """The gate in every way in which the rows are counted, and which of them decided."""
    parts = []
    for way in gate.ways:
        seen = "no row counts so" if way.difference is None else _held_against(way.difference, gate.yardstick)
        n = "" if way.difference is None else f" (n = {numbers.count(way.difference.n)})"
        parts.append(f"{way.name} {seen}{n}, {way.answer}")
    decided = " and ".join(gate.decided_by)
    return Text(f"{name} against the {gate.against}: {'; '.join(parts)}; decided by {decided}")


def _held_against(difference: Estimate, yardstick: bool) -> str:
    if yardstick:
        return f"agrees to {numbers.percent(agreement_of(difference).value)}"
    return f"{numbers.points(difference.value)} points"


def _lines(result: Result, report: Path | None) -> list[RenderableType]:
    """What stands below the table."""
    verdict = result.verdict
    rows = "1 test row" if result.n_test == 1 else f"{numbers.count(result.n_test)} test rows"
    lines: list[RenderableType] = [
        Text(
            f"{rows}; intervals at 95 % unless marked",
            style="dim",
        )
    ]
    lines += [_ways(arm.name, arm.gate) for arm in result.arms if arm.gate is not None and arm.gate.ways]
    lines += [Text(f"Look: {result.look.sentence}", style="dim")] if result.look else []
    lines += [Text(result.weak, style="yellow")] if result.weak else []
    lines += [comparison_text(win_rates) for win_rates in result.win_rates]
    lines += [Text(f"{test.name}: {test.arm} {numbers.described(test.score)}") for test in result.other_tests]
    lines += [Text(f"{reasons.arm}: {reasons.sentence}") for reasons in result.step_by_step]
    lines += [Text.assemble("\n", ("Verdict: ", "dim"), (verdict.called, "bold"), ". ", verdict.sentence)]
    lines += [Text.assemble(("Buy next: ", "dim"), verdict.buy_next)] if verdict.buy_next else []
    lines += [Text.assemble(("Money: ", "dim"), even.sentence) for even in key_break_evens(result)]
    lines += [Text.assemble(("Warning: ", "yellow"), warning) for warning in result.warnings]
    lines += [Text.assemble(("Note: ", "dim"), note) for note in result.notes]
    if bought := result.provenance.bought:
        parts = ", ".join(f"{what} {numbers.usd(usd)}" for what, usd in bought.items())
        paid = numbers.usd(result.provenance.paid_usd)
        lines.append(Text.assemble(("Paid now: ", "dim"), f"{paid} ({parts})" if len(bought) > 1 else paid))
    # A path stays whole, to be copied.
    lines += (
        [] if report is None else [Text.assemble(("Report: ", "dim"), str(report), no_wrap=True, overflow="ignore")]
    )
    return lines
