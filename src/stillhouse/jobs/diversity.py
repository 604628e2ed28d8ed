"""The page on how varied generated rows are: computed from their texts, written beside them."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from stillhouse.errors import MissingExtraError
from stillhouse.jobs.generate import Generated
from stillhouse.records import Progress
from stillhouse.report.diversity import DiversityPage, Spread, render_diversity
from stillhouse.runs import write_atomic
from stillhouse.teacher.diversity import Verbs, count_verbs, nearest_scores, open_parser, word_counts

MOST = 5_000  # texts of each side that are parsed and compared; more are drawn from, and the page says so
_BINS = 20


def write_page(generated: Generated, on_progress: Callable[[Progress], None] | None = None) -> Path:
    """`OUT.html` beside the rows. Without a parser (extra `diversity`) it says that verbs are missing; the rest is there."""
    path = generated.out.with_suffix(".html")
    write_atomic(path, render_diversity(page_of(generated, on_progress)))
    return path


def page_of(generated: Generated, on_progress: Callable[[Progress], None] | None = None) -> DiversityPage:
    """The page's facts."""
    report = generated.report
    texts, seeds = _drawn(generated.texts), _drawn(generated.seeds)
    verbs, missing = None, ""
    try:
        verbs = _verbs(texts, on_progress)
    except MissingExtraError as error:
        missing = f"Not drawn: {error}."
    stopped = None if report.stopped == "enough" else f"stopped: {report.stopped}"
    return DiversityPage(
        title=generated.out.stem,
        teacher=report.teacher,
        stand_in=report.stand_in,
        kept=report.kept,
        wanted=report.n,
        asked=sum(asked for asked, _ in report.curve),
        calls=report.calls,
        cost_usd=report.cost_usd,
        stopped=stopped,
        dropped=tuple(report.dropped.items()),
        filters=tuple((one.name, one.judged, one.passed) for one in report.filters),
        held_out=report.held_out,
        curve=tuple(report.curve),
        lengths=_lengths(texts, seeds),
        nearest=_nearest(texts, seeds) if seeds else None,
        made_from=generated.made_from,
        verbs=() if verbs is None else tuple((one.verb, one.n, one.objects) for one in verbs.top),
        verb_notes=(missing,) if verbs is None else _notes(verbs, len(generated.texts)),
        warnings=(*report.warnings, *([report.why] if report.why else [])),
    )


def _drawn(texts: Sequence[str]) -> list[str]:
    return list(texts) if len(texts) <= MOST else random.Random(0).sample(list(texts), MOST)


def _verbs(texts: Sequence[str], on_progress: Callable[[Progress], None] | None) -> Verbs:
    def tick(done: int) -> None:
        if on_progress is not None:
            on_progress(Progress(done, len(texts), "parsing"))

    parse, name = open_parser(tick)
    return count_verbs(parse(texts), name)


def _notes(verbs: Verbs, n_all: int) -> tuple[str, ...]:
    drawn = f" drawn from {n_all:,}" if n_all > verbs.n else ""
    return (
        f"Of {verbs.n:,} rows{drawn}, {verbs.n_verb:,} have a root verb and {verbs.n_object:,} a noun as its direct object, in {verbs.n_pairs:,} different "
        f"pairs. Parsed by {verbs.parser}; a parser errs, most of all on fragments, and reads English alone.",
    )


def _lengths(texts: Sequence[str], seeds: Sequence[str]) -> Spread:
    ours, theirs = word_counts(texts), word_counts(seeds)
    top = max(sorted(ours + theirs)[int(0.99 * (len(ours) + len(theirs) - 1))], 5)  # a few very long texts would flatten the rest: they go into the last bin
    width = max(1, -(-top // _BINS))
    edges = tuple(float(edge) for edge in range(0, top + width, width))
    return Spread(edges, _shares(ours, edges), len(ours), _shares(theirs, edges) if seeds else None, len(theirs))


def _nearest(texts: Sequence[str], seeds: Sequence[str]) -> Spread:
    edges = tuple(round(step / 20, 2) for step in range(21))
    return Spread(edges, _shares(nearest_scores(texts, seeds), edges), len(texts), None, len(seeds))


def _shares(values: Sequence[float], edges: Sequence[float]) -> tuple[float, ...]:
    """Share of the values in each bin [low, high); what lies beyond the last edge counts to the last bin."""
    counts = [0] * (len(edges) - 1)
    for value in values:
        place = next((bin for bin, high in enumerate(edges[1:]) if value < high), len(counts) - 1)
        counts[place] += 1
    return tuple(count / len(values) for count in counts) if values else tuple(0.0 for _ in counts)
