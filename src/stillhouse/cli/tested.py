"""A test's result for the terminal, made for 80 columns."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from stillhouse import numbers
from stillhouse.report.fitting_table import FittingTable
from stillhouse.results.flow_test import CAUSES, Against, FlowResult, Gap, PartResult

MOST = 8  # most failing paths and misses that are written out; of a part's wrong cases, half as many; the file has all
_OUTCOMES = {"passed": "green", "failed": "red", "cannot tell": "yellow"}
_STYLES = {"pass": "green", "fail": "red", "cannot tell": "yellow"}


def shown(tested: FlowResult) -> RenderableType:
    """Scores by part, paths, causes, the gap, misses, the comparison, and the answer in one word."""
    against = {part.name: part for part in tested.against}
    heads = ["cases of", "n", "right", "interval, %", "per 1,000", "p50"]
    heads += ["against the baseline"] if tested.against else []
    rows = []
    for part in tested.parts:
        style = "bold" if part.kind == "whole" else ""
        cells = [Text(part.name + (" (whole)" if part.kind == "whole" else "")), *_cells(part)]
        cells += [_difference(against.get(part.name))] if tested.against else []
        for cell in cells:
            cell.stylize_before(style)
        rows.append(cells)
    table = FittingTable(heads, rows)
    title = Text.assemble((f"{tested.app}  ", "bold"), (_models(tested), "dim"))
    first, *lines = _lines(tested)
    return Group(
        title, *([table] if tested.parts else []), first[1:] if first.plain.startswith("\n") else first, *lines
    )  # the table ends in a blank line


def _cells(part: PartResult) -> list[Text]:
    score = part.score
    latency = "–" if part.latency_p50_s is None else numbers.seconds(part.latency_p50_s)
    cells = (
        numbers.count(len(part.rows)),
        "–" if score is None else numbers.percent(score.value),
        "–" if score is None else numbers.interval(score) + (f" n = {score.n}" if score.n != len(part.rows) else ""),
        numbers.usd(part.cost_usd_per_1000),
        latency,
    )
    return [Text(cell) for cell in cells]


def _difference(against: Against | None) -> Text:
    if against is None:
        return Text("–", style="dim")
    return Text.assemble(
        f"{numbers.points(against.difference.value)} {numbers.interval(against.difference)} ",
        ("unchanged", "dim") if against.unchanged else (against.answer, _STYLES[against.answer]),
    )


def _models(tested: FlowResult) -> str:
    named = ", ".join(f"{step}: {model}" for step, model in tested.models.items()) or "the models that the app names"
    return named + ("; offline" if tested.offline else "")


def _lines(tested: FlowResult) -> Iterator[Text]:
    if tested.paths:
        wrong = [path for path in tested.paths if path.problems]
        yield Text(f"paths: {len(tested.paths) - len(wrong)} of {len(tested.paths)} as expected")
        for path in wrong[:MOST]:
            yield Text(
                f"  {path.id}: {'; '.join(path.problems)}\n    it went {' > '.join(path.path) or 'nowhere'}",
                style="red",
            )
        yield from _more(len(wrong))
    whole = tested.whole
    if whole is not None and whole.wrong:
        yield Text(f"\nwhy {len(whole.wrong)} of {len(whole.rows)} whole answers are wrong")
        for (cause, at), n in tested.causes.most_common():
            assert cause is not None
            yield Text(f"  {n:>4}  {CAUSES[cause]}{f': {at}' if at else ''}")
    if tested.gap is not None:
        yield from _gap(tested.gap)
    yield from _wrong(tested)
    if tested.missing:
        yield Text(f"\n{len(tested.missing)} calls have no stored answer", style="red")
        for miss in tested.missing[:MOST]:
            yield Text(f"  {miss.step} in case {miss.case}: {miss.arguments[:100]}")
        yield from _more(len(tested.missing))
    if tested.against or tested.not_compared:
        yield Text(f"\nagainst {tested.baseline}")
    for against in tested.against:
        yield Text(f"  {against.sentence}")
    for sentence in tested.not_compared:
        yield Text(f"  {sentence}", style="yellow")
    n_wrong = sum(len(part.wrong) for part in tested.parts)
    aside = f" against the baseline; wrong answers in all: {n_wrong}" if tested.baseline and n_wrong else ""
    yield Text.assemble("\n", (tested.outcome, f"{_OUTCOMES[tested.outcome]} bold"), aside)


def _gap(gap: Gap) -> Iterator[Text]:
    judged = f"{gap.n_judged} of {gap.n_calls} step calls judged"
    if gap.share is None:
        yield Text(
            f"\ncomposability gap: no run has all its judged steps right, so there is none to measure ({judged})"
        )
        return
    yield Text(f"\ncomposability gap: {numbers.described(gap.share)} runs with right parts ({judged})")
    if gap.suspect is not None:
        pair = gap.suspect
        alike = [other for other in gap.pairs if (other.n, other.n_wrong) == (pair.n, pair.n_wrong)]
        rate = f"wrong in {pair.n_wrong} of {pair.n}, {pair.lift:.1f} times the rate of all (p = {pair.p:.2g})"
        yield Text(f"  from {' or '.join(f'{other.first} + {other.second}' for other in alike)} together: {rate}")
    elif gap.pairs:
        pair = gap.pairs[0]
        seen = f"{pair.first} and {pair.second} are in {pair.n_wrong} of the wrong ones"
        why = "every run has the same steps" if all(other.p is None for other in gap.pairs) else "too few runs"
        yield Text(f"  which steps it comes from cannot be told ({why}); {seen}")


def _wrong(tested: FlowResult) -> Iterator[Text]:
    for part in tested.parts:
        if part.wrong:
            yield Text(f"\nwrong in {part.name}")
        for row in part.wrong[: MOST // 2]:
            answer = row.error if row.error is not None else row.output
            asked = "" if row.asked is None else f"{_short(row.asked)} -> "
            yield Text(f"  {row.id}: {asked}{_short(answer)}  (expected {_short(row.expected)})")
        yield from _more(len(part.wrong), MOST // 2)


def _more(n: int, shown: int = MOST) -> Iterator[Text]:
    if n > shown:
        yield Text(f"  and {n - shown} more in the file", style="dim")


def _short(text: str | None) -> str:
    text = " ".join((text or "").split())
    return text if len(text) <= 60 else f"{text[:57]}..."
