"""One harness for prompts, students and cascades: rows in, one result per row out, kept, so that any number can be computed again."""

import json
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from stillhouse.errors import DatasetError
from stillhouse.evaluation.metrics import Metric, macro_f1
from stillhouse.evaluation.proportions import clopper_pearson, mean_interval
from stillhouse.records import Estimate, Example, Prediction, Predictor, Progress, Source
from stillhouse.runs import write_atomic


@dataclass(frozen=True, slots=True)
class RowResult:
    """One example under one arm. `gold` is the label scored against: the gold one, or the teacher's where that is what is measured.

    Raises DatasetError for a score that is no number from 0 to 1: no interval would hold for it.
    """

    id: str
    group: str | None
    gold: str
    output: str | None
    score: float
    confidence: float | None = None
    latency_s: float | None = None
    cost_usd: float | None = None
    source: str | None = None
    error: str | None = None
    raw_confidence: float | None = None  # before calibration

    def __post_init__(self) -> None:
        if not 0 <= self.score <= 1:  # NaN is neither
            raise DatasetError(
                f"row {self.id!r} has the score {self.score}, and a score is a number from 0 to 1; mend the metric, or leave the row out"
            )


@dataclass(frozen=True)
class ArmSummary:
    """An arm in numbers. Latencies are of the rows that have one; `cost_usd_per_1000` is None unless every row's cost is known."""

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
    on_progress: Callable[[Progress], None] | None = None,
) -> list[RowResult]:
    """Predict and score every example, in order. Raises DatasetError where a row has no label of that source, or an id occurs twice."""
    seen: set[str] = set()
    for example in examples:
        if example.target(source) is None:
            raise DatasetError(f"row {example.id!r} has no {source} label to score against; label it or leave it out")
        if example.id in seen:
            raise DatasetError(f"the id {example.id!r} occurs twice among the rows to evaluate; a row counts once")
        seen.add(example.id)
    rows: list[RowResult] = []
    for start in range(0, len(examples), batch_size):
        batch = examples[start : start + batch_size]
        predictions = await predictor.predict(batch)
        rows += [
            score_row(example, prediction, metric, source)
            for example, prediction in zip(batch, predictions, strict=True)
        ]
        if on_progress is not None:
            on_progress(Progress(len(rows), len(examples), f"evaluating {predictor.name}"))
    return rows


def score_row(example: Example, prediction: Prediction, metric: Metric, source: Source = "gold") -> RowResult:
    """One prediction, scored."""
    gold = example.target(source)
    assert gold is not None  # evaluate refused such rows
    return RowResult(
        example.id,
        example.group,
        gold,
        prediction.output,
        metric.score(prediction.output, gold, example),
        prediction.confidence,
        prediction.latency_s,
        prediction.cost_usd,
        prediction.source,
        prediction.error,
        prediction.raw_confidence,
    )


async def time_single(predictor: Predictor, examples: Sequence[Example], n: int = 200) -> list[float]:
    """Seconds per call when rows come one by one, as an app sends them; the first few calls warm up and do not count."""
    took = []
    for number, example in enumerate(examples[: n + 3]):
        began = time.perf_counter()
        await predictor.predict([example])
        if number >= 3:
            took.append(time.perf_counter() - began)
    return took


def summarise(
    rows: Sequence[RowResult], metric: Metric, *, level: float = 0.95, latencies_s: Sequence[float] | None = None
) -> ArmSummary:
    """The arm's numbers; `latencies_s` (from `time_single`) go before what the rows carry. Rows of a group count as one draw in the score's interval."""
    scores = [row.score for row in rows]
    value = sum(scores) / len(scores)
    groups = [f"row {row.id}" if row.group is None else f"group {row.group}" for row in rows]
    if metric.proportion and len(set(groups)) == len(rows):
        low, high = clopper_pearson(round(sum(scores)), len(scores), level)
        score = Estimate(value, len(rows), low, high, level, "Clopper-Pearson")
    else:
        score = mean_interval(scores, groups, level)
    times = sorted(
        latencies_s if latencies_s is not None else [row.latency_s for row in rows if row.latency_s is not None]
    )
    costs = [row.cost_usd for row in rows]
    known = [cost for cost in costs if cost is not None]
    return ArmSummary(
        score,
        macro_f1([row.gold for row in rows], [row.output for row in rows])
        if metric.name in ("accuracy", "macro_f1")
        else None,
        sum(row.output is None for row in rows),
        statistics.median(times) if times else None,
        times[min(len(times) - 1, int(0.99 * len(times)))] if times else None,
        1000 * sum(known) / len(known) if len(known) == len(costs) else None,
    )


def write_rows(path: Path, rows: Iterable[RowResult], **arm: Any) -> None:
    """One JSON object per row, with the arm's name (and seed, size) in each."""
    write_atomic(
        path, "".join(json.dumps({**arm, **asdict(row)}, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    )


def read_rows(path: Path) -> list[RowResult]:
    """The rows that `write_rows` wrote; what belongs to the arm is left out."""
    names = {field.name for field in fields(RowResult)}
    with path.open(encoding="utf-8") as file:
        return [RowResult(**{key: value for key, value in json.loads(line).items() if key in names}) for line in file]
