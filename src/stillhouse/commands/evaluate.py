"""`evaluate`: any predictor on any dataset, with intervals."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stillhouse.data.copies import distinct
from stillhouse.data.dataset import load_examples
from stillhouse.errors import ExistsError, UserError
from stillhouse.evaluation.harness import ArmSummary, summarise
from stillhouse.evaluation.harness import evaluate as evaluate_rows
from stillhouse.evaluation.metrics import metric_for
from stillhouse.records import Progress, Source
from stillhouse.results.row_result import RowResult, write_rows
from stillhouse.serving.predictors import open_predictor
from stillhouse.task import Task, load_task


@dataclass(frozen=True)
class Evaluated:
    """A model on a dataset. `scored_against` "teacher": the rows have no gold labels, so the score is agreement with the teacher."""

    model: str
    metric: str
    scored_against: Source
    summary: ArmSummary
    rows: list[RowResult]
    warnings: tuple[str, ...] = ()


def evaluate(
    model: str,
    data: Path,
    *,
    task: Path | Task | None = None,
    store: Path | None = None,
    skip_bad: bool = False,
    out: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Evaluated:
    """Measure `model` (a name, or a student's or run's folder) on `data`. `task` is needed for prompted models and for `sql_execution`."""
    if out is not None and out.exists():
        raise ExistsError(f"{out} is there already; give another file, nothing is overwritten")
    loaded = task if isinstance(task, Task) or task is None else load_task(task)
    name = f"student:{model}" if ":" not in model and Path(model).is_dir() else model
    return asyncio.run(_evaluate(name, data, loaded, store, skip_bad, out, on_progress))


async def _evaluate(
    name: str,
    data: Path,
    task: Task | None,
    store: Path | None,
    skip_bad: bool,
    out: Path | None,
    on_progress: Callable[[Progress], None] | None,
) -> Evaluated:
    async with open_predictor(name, task, store=store) as predictor:
        of_task = task or getattr(predictor, "task", None)
        if not isinstance(of_task, Task):
            raise UserError(f"{name}: the task is not known; give --task")
        if of_task.metric == "win_rate":
            raise UserError(
                f"{of_task.name} is scored by a win rate against its teacher; give --task, whose file names teacher and judge"
            )
        if of_task.metric == "sql_execution" and of_task.database is None:
            raise UserError(f"{of_task.name} is scored by running queries; give --task, whose file names the database")
        rows_of = distinct(load_examples(data, task=of_task, skip_bad=skip_bad).examples)
        examples = rows_of.rows
        source: Source = "gold" if all(row.label is not None for row in examples) else "teacher"
        metric = metric_for(of_task)
        rows = await evaluate_rows(predictor, examples, metric, source=source, on_progress=on_progress)
        if out is not None:
            write_rows(out, rows, arm=predictor.name)
        return Evaluated(
            predictor.name, metric.name, source, summarise(rows, metric), rows, tuple(rows_of.said_of("given"))
        )
