"""The page on how varied generated rows are: computed from their texts, written beside them."""

from collections.abc import Sequence
from pathlib import Path

from stillhouse.commands.generate import GeneratedFiles
from stillhouse.errors import MissingExtraError
from stillhouse.records import Progress
from stillhouse.report.diversity_page import render_diversity
from stillhouse.results.diversity import Diversity, Histogram
from stillhouse.runs import write_atomic
from stillhouse.session import OnProgress
from stillhouse.teacher.diversity import Verbs, count_verbs, drawn, nearest_scores, open_parser, word_counts
from stillhouse.teacher.root_verbs import Parsed

_BINS = 20


def write_page(generated: GeneratedFiles, on_progress: OnProgress | None = None) -> tuple[Path, Verbs | None]:
    """Write `OUT.html` beside the rows; its path, and the verbs on it.

    Without a parser (extra `diversity`) the page says that verbs are missing; the rest is there.
    """
    path = generated.out.with_suffix(".html")
    verbs, missing = _verbs(generated, on_progress)
    write_atomic(path, render_diversity(diversity_of(generated, verbs, missing)))
    return path, verbs


def diversity_of(generated: GeneratedFiles, verbs: Verbs | None, missing: str = "") -> Diversity:
    """The page's facts; without `verbs`, `missing` says why."""
    report = generated.report
    texts, seeds = drawn(generated.texts), drawn(generated.seeds)
    stopped = None if report.stopped == "enough" else f"stopped: {report.stopped}"
    return Diversity(
        title=generated.out.stem,
        teacher=report.teacher,
        stand_in=report.stand_in,
        kept=report.kept,
        wanted=report.n,
        asked=sum(n for n, _ in report.curve),
        calls=report.calls,
        cost_usd=report.cost_usd,
        stopped=stopped,
        dropped=tuple(report.dropped.items()),
        filters=tuple((passing.name, passing.judged, passing.passed) for passing in report.filters),
        held_out=report.held_out,
        curve=tuple(report.curve),
        lengths=_lengths(texts, seeds),
        nearest=_nearest(texts, seeds) if seeds else None,
        made_from=generated.made_from,
        verbs=() if verbs is None else tuple((verb.verb, verb.n, verb.objects) for verb in verbs.top),
        verb_notes=(missing,) if verbs is None else _notes(verbs, generated),
        warnings=(*report.warnings, *([report.why] if report.why else [])),
    )


def _verbs(generated: GeneratedFiles, on_progress: OnProgress | None) -> tuple[Verbs | None, str]:
    """The verbs as the teacher reads them where it was asked, else as spaCy does; or why there are none."""
    if generated.parsed is not None:
        return count_verbs(generated.parsed.pairs, generated.parsed.parser), ""
    texts = drawn(generated.texts)

    def tick(done: int) -> None:
        if on_progress is not None:
            on_progress(Progress(done, len(texts), "parsing the new rows", unit="rows"))

    try:
        parse, name = open_parser(tick)
    except MissingExtraError as error:
        return None, f"Not drawn: {error}."
    return count_verbs(parse(texts), name), ""


def _notes(verbs: Verbs, generated: GeneratedFiles) -> tuple[str, ...]:
    n_all, parsed = len(generated.texts), generated.parsed
    read = f"{verbs.n:,} of {n_all:,}" if n_all > verbs.n else f"{verbs.n:,}"
    how = f"Parsed by {verbs.parser}; a parser errs, most of all on fragments, and reads English alone"
    if parsed:
        how = f"Read by {verbs.parser}, which may err"
    counted = (
        f"Of {read} rows, {verbs.n_verb:,} have a root verb and {verbs.n_object:,} a noun as its direct object, "
        f"in {verbs.n_pairs:,} different pairs. {how}."
    )
    return (counted, *unread_notes(parsed)) if parsed is not None else (counted,)


def unread_notes(parsed: Parsed) -> tuple[str, ...]:
    """What the teacher's reading of the verbs lacks, reason by reason, and what ended it early."""
    lacking = tuple(f"{count:,} rows are not in it: {reason}." for reason, count in parsed.unread.items())
    return lacking if parsed.why is None else (*lacking, f"It ended early: {parsed.why}.")


def _lengths(texts: Sequence[str], seeds: Sequence[str]) -> Histogram:
    ours, theirs = word_counts(texts), word_counts(seeds)
    # A few very long texts would flatten the rest: they go into the last bin.
    top = max(sorted(ours + theirs)[int(0.99 * (len(ours) + len(theirs) - 1))], 5)
    width = max(1, -(-top // _BINS))
    edges = tuple(float(edge) for edge in range(0, top + width, width))
    return Histogram(edges, _shares(ours, edges), len(ours), _shares(theirs, edges) if seeds else None, len(theirs))


def _nearest(texts: Sequence[str], seeds: Sequence[str]) -> Histogram:
    edges = tuple(round(step / 20, 2) for step in range(21))
    return Histogram(edges, _shares(nearest_scores(texts, seeds), edges), len(texts), None, len(seeds))


def _shares(values: Sequence[float], edges: Sequence[float]) -> tuple[float, ...]:
    """Share of the values in each bin [low, high); what lies beyond the last edge counts to the last bin."""
    counts = [0] * (len(edges) - 1)
    for value in values:
        place = next((bin for bin, high in enumerate(edges[1:]) if value < high), len(counts) - 1)
        counts[place] += 1
    return tuple(count / len(values) for count in counts) if values else tuple(0.0 for _ in counts)
