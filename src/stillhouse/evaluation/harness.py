"""One harness for prompts, students and cascades: rows in, one result per row out, to compute any number from."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stillhouse.errors import DatasetError
from stillhouse.evaluation.metrics import Metric, macro_f1
from stillhouse.evaluation.proportions import clopper_pearson, mean_interval
from stillhouse.records import Estimate, Example, Prediction, Predictor, Progress, Source, WatchedPredictor
from stillhouse.results.row_result import RowResult


@dataclass(frozen=True)
class ArmSummary:
    """An arm in numbers. Latencies are of the rows that have one; the cost is None unless every row's is known."""

    score: Estimate
    macro_f1: float | None
    n_failed: int
    latency_p50_s: float | None
    latency_p99_s: float | None
    cost_usd_per_1000: float | None


async def evaluate(
    predictor: Predictor,
    examples: Sequence[Example],
    metric: Metric,
    *,
    source: Source = "gold",
    batch_size: int = 256,
    what: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> list[RowResult]:
    """Predict and score every example, in order. `what`: the phase's name for whoever watches.

    Raises DatasetError where a row has no label of that source, or an id occurs twice.
    """
    seen: set[str] = set()
    for example in examples:
        if example.target(source) is None:
            raise DatasetError(f"row {example.id!r} has no {source} label to score against; label it or leave it out")
        if example.id in seen:
            raise DatasetError(f"the id {example.id!r} occurs twice among the rows to evaluate; a row counts once")
        seen.add(example.id)
    rows: list[RowResult] = []
    what = what or f"evaluating {predictor.name}"

    paid: float | None = 0.0  # for the batches before this one; None: at an unknown price
    now: float | None = 0.0

    def tick(done: int, cost_usd: float | None = 0.0) -> None:
        nonlocal now
        now = None if paid is None or cost_usd is None else paid + cost_usd
        if on_progress is not None:
            on_progress(Progress(done, len(examples), what, now, unit="rows"))

    tick(0)
    for start in range(0, len(examples), batch_size):
        batch = examples[start : start + batch_size]
        predictions = await predicted(predictor, batch, tick, len(rows))
        answered = zip(batch, predictions, strict=True)
        rows += [score_row(example, prediction, metric, source) for example, prediction in answered]
        paid = now
        tick(len(rows))
    return rows


async def predicted(
    predictor: Predictor, batch: Sequence[Example], tick: Callable[[int, float | None], None], before: int
) -> list[Prediction]:
    """The predictions. Where the predictor tells, `tick` is told row by row how many are answered, with the `before` of
    earlier batches, and what this batch cost so far.
    """
    if isinstance(predictor, WatchedPredictor):
        watched: WatchedPredictor = predictor
        return await watched.predict_watched(batch, lambda progress: tick(before + progress.done, progress.cost_usd))
    return await predictor.predict(batch)


def score_row(example: Example, prediction: Prediction, metric: Metric, source: Source = "gold") -> RowResult:
    """One prediction, scored."""
    gold = example.target(source)
    assert gold is not None  # `evaluate` refused rows without a gold answer
    return RowResult(
        id=example.id,
        group=example.group,
        gold=gold,
        output=prediction.output,
        score=metric.score(prediction.output, gold, example),
        confidence=prediction.confidence,
        latency_s=prediction.latency_s,
        cost_usd=prediction.cost_usd,
        source=prediction.source,
        error=prediction.error,
        raw_confidence=prediction.raw_confidence,
        usage_doubt=None if prediction.usage is None else prediction.usage.doubt,
    )


@dataclass(frozen=True)
class SingleCalls:
    """Seconds of calls that came one by one: `took` by the clock, `busy` of this process's processor time."""

    took: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)


async def time_single(
    predictor: Predictor,
    examples: Sequence[Example],
    n: int = 200,
    *,
    on_progress: Callable[[Progress], None] | None = None,
) -> SingleCalls:
    """How long calls take when rows come one by one, as an app sends them; the first three warm up and do not count."""
    calls = SingleCalls()
    for number, example in enumerate(examples[: n + 3]):
        began, worked = time.perf_counter(), time.process_time()
        await predictor.predict([example])
        if number >= 3:
            calls.took.append(time.perf_counter() - began)
            calls.busy.append(time.process_time() - worked)
        if on_progress is not None:
            what = f"timing {predictor.name}, one call at a time"
            on_progress(Progress(number + 1, min(len(examples), n + 3), what, unit="calls"))
    return calls


def summarise(
    rows: Sequence[RowResult], metric: Metric, *, level: float = 0.95, latencies_s: Sequence[float] | None = None
) -> ArmSummary:
    """The arm's numbers. `latencies_s` (from `time_single`) go before what the rows carry.

    Rows of a group count as one draw in the score's interval.
    """
    scores = [row.score for row in rows]
    value = sum(scores) / len(scores)
    groups = [f"row {row.id}" if row.group is None else f"group {row.group}" for row in rows]
    if metric.proportion and len(set(groups)) == len(rows):
        low, high = clopper_pearson(round(sum(scores)), len(scores), level)
        score = Estimate(value, len(rows), low, high, level, "Clopper-Pearson")
    else:
        score = mean_interval(scores, groups, level)
    if latencies_s is None:
        latencies_s = [row.latency_s for row in rows if row.latency_s is not None]
    times = sorted(latencies_s)
    costs = [row.cost_usd for row in rows if row.cost_usd is not None]
    of_classes = metric.name in ("accuracy", "macro_f1")
    return ArmSummary(
        score=score,
        macro_f1=macro_f1([row.gold for row in rows], [row.output for row in rows]) if of_classes else None,
        n_failed=sum(row.output is None for row in rows),
        latency_p50_s=statistics.median(times) if times else None,
        latency_p99_s=times[min(len(times) - 1, int(0.99 * len(times)))] if times else None,
        cost_usd_per_1000=1000 * sum(costs) / len(costs) if len(costs) == len(rows) else None,
    )
