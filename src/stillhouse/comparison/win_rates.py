"""From judged pairs to the values in `results`: the rate to go by, who judged, the checks on them, the gate. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from stillhouse.comparison.pairs import Pair
from stillhouse.evaluation import agreement as checks
from stillhouse.evaluation.metrics import by_name
from stillhouse.evaluation.proportions import mean_interval
from stillhouse.evaluation.win_rate import (
    MIN_PEOPLE,
    JudgedRow,
    WinRate,
    best_known,
    by_judge,
    by_people,
    decide_win_rate,
)
from stillhouse.results.comparison import Decided, OfRater, WeakScores, WinRates
from stillhouse.results.gates import GateResult


@dataclass(frozen=True)
class Terms:
    """What the gate demands. It is fixed before anybody looks."""

    margin: float
    level: float = 0.95


@dataclass(frozen=True)
class Judge:
    """The model that judged, and whether it is a script in a model's place."""

    name: str
    stand_in: bool = False
    usage_doubts: Mapping[str, int] = field(default_factory=dict)  # as a label report has them


def win_rates(
    names: tuple[str, str],
    pairs: Sequence[Pair],
    rows: Sequence[JudgedRow],
    *,
    judge: Judge | None = None,
    gate: Terms | None = None,
    level: float = 0.95,
    n_left_out: int = 0,
) -> tuple[WinRates, GateResult | None] | None:
    """The section and the gate's answer (None where no `gate` is asked for); None where no row is judged."""
    best = best_known(rows, gate.level if gate else level)
    if best is None:
        return None
    level = best.rate.level
    alone, machine = by_people(rows, level), by_judge(rows, level)
    raters, among = sorted({voice.rater for row in rows for voice in row.people}), checks.among_people(rows)
    agreed, of_judge, of_people = checks.agreement(rows), checks.bias_of_judge(rows), checks.bias_of_people(rows)
    decided = None
    if gate is not None:
        decided = decide_win_rate(best, margin=gate.margin, whose=_whose(best, judge, len(raters)), names=names)
    section = WinRates(
        a=names[0],
        b=names[1],
        by=best.by,
        rate=best.rate,
        tally=best.tally,
        n_rows=len(rows),
        lower_bound=best.bounds.lower(level),
        weight=best.weight,
        judge=judge.name if judge else None,
        judge_stand_in=judge is not None and judge.stand_in,
        people_alone=None if alone is None or alone.by == "nobody" else alone.rate,
        judge_alone=None if machine is None else machine.rate,
        agreement=None if agreed is None else agreed.share,
        kappa=None if agreed is None else agreed.kappa,
        people_first=None if of_people is None else of_people.first,
        judge_first=None if of_judge is None else of_judge.first,
        judge_consistent=None if of_judge is None else of_judge.consistent,
        n_same=sum(pair.settled == "tie" for pair in pairs),
        n_missing_a=sum(pair.a is None for pair in pairs),
        n_missing_b=sum(pair.b is None for pair in pairs),
        n_unread=sum(row.judge is not None and row.judge_score is None for row in rows),
        n_left_out=n_left_out,
        decided=None if decided is None else _in_section(decided),
        weak=_weak(pairs),
        notes=(),
        n_raters=len(raters),
        raters_agree=None if among is None else among.share,
        alpha=None if among is None else among.alpha,
        raters=_each(rows, raters, level) if len(raters) > 1 else (),
    )
    notes = (*_on_judging(section, rows), *_on_leaning(of_judge, of_people), *_on_left_out(section))
    return replace(section, notes=notes), decided


def _whose(best: WinRate, judge: Judge | None, n_raters: int) -> str:
    """Who judged, in the words of the gate's sentence."""
    if best.by == "judge":
        return f"by {judge.name if judge else 'a judge'}, not by people"
    if best.by == "nobody":
        return "every pair settled without asking"
    return "by people" if n_raters < 2 else f"by {n_raters} people"


def _in_section(decided: GateResult) -> Decided:
    return Decided(decided.answer, decided.margin, decided.sentence, decided.rows_needed)


def _each(rows: Sequence[JudgedRow], raters: Sequence[str], level: float) -> tuple[OfRater, ...]:
    """What each person's choices say alone, of the rows that they judged."""
    rates = []
    for name in raters:
        voices = [tuple(voice for voice in row.people if voice.rater == name) for row in rows]
        theirs = [replace(row, people=own) for row, own in zip(rows, voices, strict=True) if own]
        if (alone := by_people(theirs, level)) is not None:
            rates.append(OfRater(name, alone.rate))
    return tuple(rates)


def _on_judging(section: WinRates, rows: Sequence[JudgedRow]) -> list[str]:
    """What has to be said beside the numbers of how much was judged, and by how many."""
    tally = section.tally
    n_people, n_asked = sum(bool(row.people) for row in rows), sum(row.settled is None for row in rows)
    notes = [f"both bad: {tally.both_bad} of {tally.n} rows, counted as ties"] if tally.both_bad else []
    if section.by == "people" and n_people < n_asked:
        notes.append(f"{n_people} of {n_asked} pairs are judged, in random order")
        if section.judge is not None and n_people < MIN_PEOPLE:
            notes.append(
                f"below {MIN_PEOPLE} rows judged by people, "
                "the judge's choices are not corrected by theirs and stand apart"
            )
    if section.by == "people, judge corrected":
        notes.append(
            f"PPI++ listens to the judge with weight {section.weight:.2f}; "
            f"{n_people} of {n_asked} pairs are judged by people"
        )
    if section.n_raters > 1:
        several = sum(len(row.people) > 1 for row in rows)
        notes.append(
            f"{several} of {n_people} rows are judged by more than one person; each counts once, by the mean of "
            "their choices, and the interval is about rows: it takes these people as they are"
        )
    return notes


def _on_leaning(of_judge: checks.PositionBias | None, of_people: checks.PositionBias | None) -> list[str]:
    """What has to be said of a judge or of people who prefer one place."""
    notes = []
    if of_judge is not None and of_judge.first is not None and of_judge.shown:
        side = "first" if of_judge.first.value > 0.5 else "second"
        notes.append(
            f"the judge leans to the answer shown {side}; "
            "it saw every pair in both orders, so the lean cancels in the rate"
        )
    if of_people is not None and of_people.first is not None and of_people.shown:
        side = "left" if of_people.first.value > 0.5 else "right"
        notes.append(f"people lean to the {side}; sides are drawn, so the lean widens the interval and favours nobody")
    return notes


def _on_left_out(section: WinRates) -> list[str]:
    """What has to be said of rows that nobody was asked about."""
    n, n_data = section.n_rows, section.n_rows + section.n_left_out
    missing = "an answer is better than none, and none on both sides is both bad"
    counted = (
        (section.n_same, n, "rows have the same answer on both sides: ties that nobody was asked about"),
        (section.n_missing_a, n, f"rows have no answer of {section.a}; {missing}"),
        (section.n_missing_b, n, f"rows have no answer of {section.b}; {missing}"),
        (section.n_unread, n, "rows have no two usable replies of the judge, and no part in its rate"),
        (section.n_left_out, n_data, "rows of the data are left out: one side was not asked"),
    )
    return [f"{count} of {of} {words}" for count, of, words in counted if count]


def _weak(pairs: Sequence[Pair]) -> tuple[WeakScores, ...]:
    """ROUGE-L and token F1 of both sides on the rows with a gold label."""
    labelled = [(pair, pair.example.label) for pair in pairs if pair.example.label is not None]
    if not labelled:
        return ()
    groups = [pair.group or pair.example.id for pair, _ in labelled]
    scores = []
    for name, metric in (("ROUGE-L", by_name("rouge_l")), ("token F1", by_name("token_f1"))):
        a = [metric.score(pair.a, label, pair.example) for pair, label in labelled]
        b = [metric.score(pair.b, label, pair.example) for pair, label in labelled]
        scores.append(WeakScores(name, mean_interval(a, groups), mean_interval(b, groups)))
    return tuple(scores)
