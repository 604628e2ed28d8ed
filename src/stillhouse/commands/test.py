"""`test`: a flow against its cases: every step on its own, the paths, the whole; what made the whole wrong; and all of it against a baseline.

Traces of the test go into a journal of their own beside the result, `tests-N.db`, so that they are never taken for the app's.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stillhouse.errors import ExistsError
from stillhouse.evaluation.proportions import clopper_pearson, mean_interval
from stillhouse.flow.models import DEFAULT_STORE
from stillhouse.flow.paths import path_of
from stillhouse.flow.testing import Case, Outcome, run_cases
from stillhouse.flow.user_flow import load_flow
from stillhouse.flow_tests.attribution import JudgedRun, cause_of, gap_of, judge_run
from stillhouse.flow_tests.baseline import compare
from stillhouse.flow_tests.cases import Expectation, Suite, as_text, load_suite
from stillhouse.flow_tests.parts import Part, Parts
from stillhouse.flow_tests.recorded_runs import RecordedRuns
from stillhouse.records import Estimate, Progress
from stillhouse.report.test_page import render_test
from stillhouse.results.flow_test import CaseResult, FlowResult, PartResult, PathResult, load_rows, rows_of, to_json
from stillhouse.runs import write_atomic, write_json

OnProgress = Callable[[Progress], None] | None


@dataclass(frozen=True)
class Finished:
    """A test with the files that it wrote: the result, its page, and the journal with its traces."""

    tested: FlowResult
    file: Path
    page: Path
    journal: Path


@dataclass(frozen=True)
class _Plan:
    """What one pass over the cases needs."""

    target: str
    parts: Parts
    suite: Suite
    store: Path | str
    offline: bool
    recorded: RecordedRuns
    on_progress: OnProgress


async def test(
    target: str,
    *,
    cases: Path = Path("cases"),
    models: Mapping[str, str] | None = None,
    baseline: Path | None = None,
    baseline_models: Mapping[str, str] | None = None,
    margin: float = 0.02,
    metrics: Mapping[str, str] | None = None,
    database: Path | None = None,
    offline: bool = False,
    store: Path | str = DEFAULT_STORE,
    runs: Path = Path("runs"),
    out: Path | None = None,
    on_progress: OnProgress = None,
) -> Finished:
    """Test `APP:FLOW` on the cases of a folder. `baseline`: an earlier result; or `baseline_models`: the same cases are first run with these models.

    `offline`: the store's answers alone; what has none is listed. `metrics` names how a step's answers are scored (see `flow_tests.cases`).
    Raises UserError, DatasetError, ExistsError, StorageError.
    """
    parts = Parts(load_flow(target))
    suite = load_suite(cases, parts.find, parts.whole, metrics or {}, database)
    earlier = load_rows(baseline) if baseline is not None else None
    name = str(baseline) if baseline is not None else None
    plan = _Plan(target, parts, suite, store, offline, RecordedRuns(parts.whole.name, store), on_progress)
    if baseline_models:
        first = _free(runs, None)
        with _whole_or_nothing(first):
            before = await _pass(plan, {**(models or {}), **baseline_models}, first)
            _write(before, first)
        earlier, name = rows_of(before.parts), str(first)
    file = _free(runs, out)
    with _whole_or_nothing(file):
        tested = await _pass(plan, models or {}, file)
        if earlier is not None and name is not None:
            tested = replace(tested, baseline=name, margin=margin, against=compare(tested.parts, earlier, margin, name))
        _write(tested, file)
    return Finished(tested, file, _page(file), _journal(file))


def _free(runs: Path, out: Path | None) -> Path:
    """The file asked for, or the next free `tests-N.json`."""
    if out is not None:
        for path in (out, _page(out), _journal(out)):
            if path.exists():
                raise ExistsError(f"{path} is there already; give another --out, nothing is overwritten")
        return out
    number = 1
    while any((runs / f"tests-{number}{ending}").exists() for ending in (".json", ".html", ".db")):
        number += 1
    return runs / f"tests-{number}.json"


def _page(file: Path) -> Path:
    return file.with_suffix(".html")


def _journal(file: Path) -> Path:
    return file.with_suffix(".db")


@contextmanager
def _whole_or_nothing(file: Path) -> Iterator[None]:
    """A test that comes to no result leaves no journal behind."""
    try:
        yield
    except BaseException:
        for ending in ("", "-wal", "-shm"):
            _journal(file).with_name(_journal(file).name + ending).unlink(missing_ok=True)
        raise


def _write(tested: FlowResult, file: Path) -> None:
    if file.exists():
        raise ExistsError(f"{file} was written by another test meanwhile; run this one again")
    write_json(file, to_json(tested))
    write_atomic(_page(file), render_test(tested))


async def _pass(plan: _Plan, models: Mapping[str, str], file: Path) -> FlowResult:
    """All cases, once."""
    suite, journal = plan.suite, _journal(file)
    done, total = 0, sum(map(len, suite.steps.values())) + len(suite.paths) + len(suite.whole)

    async def run(part: Part, cases: Sequence[Case], prefix: str) -> list[Outcome]:
        nonlocal done
        before = done

        def tick(n: int) -> None:
            if plan.on_progress is not None:
                plan.on_progress(Progress(before + n, total, f"testing {part.name}"))

        found = await run_cases(
            part.flow,
            cases,
            models=models,
            store=plan.store,
            offline=plan.offline,
            journal=journal,
            prefix=prefix,
            known=suite.answer,
            recorded=plan.recorded,
            on_done=tick,
        )
        done += len(cases)
        return found

    tested: list[PartResult] = []
    missing = []
    for step, expectations in suite.steps.items():
        part = plan.parts.find(step, [{"input": one.case.input} for one in expectations])
        outcomes = await run(part, [one.case for one in expectations], step)
        missing += [miss for outcome in outcomes for miss in outcome.missing]
        tested.append(
            _summary(
                step,
                "step",
                expectations,
                [_row(one, outcome) for one, outcome in zip(expectations, outcomes, strict=True)],
            )
        )
    whole, paths = plan.parts.whole, []
    for outcome in await run(whole, suite.paths, "path"):
        missing += outcome.missing
        stopped = [f"it failed ({outcome.error})"] if outcome.error is not None and outcome.path_problems else []
        paths.append(PathResult(outcome.case.id, tuple(outcome.path), (*outcome.path_problems, *stopped), outcome.run))
    judged: list[JudgedRun] = []
    if suite.whole:
        outcomes = await run(whole, [one.case for one in suite.whole], "whole")
        missing += [miss for outcome in outcomes for miss in outcome.missing]
        rows, judged = _whole_rows(plan, outcomes)
        tested.append(_summary(whole.name, "whole", suite.whole, rows))
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    gap = gap_of(judged) if suite.whole else None
    return FlowResult(
        flow=whole.name,
        app=plan.target,
        created=created,
        models=dict(models),
        offline=plan.offline,
        parts=tuple(tested),
        paths=tuple(paths),
        gap=gap,
        missing=tuple(missing),
    )


def _row(one: Expectation, outcome: Outcome) -> CaseResult:
    """One case, scored; not where the cassette had no answer for it, for then nothing is known of the app."""
    output = None if outcome.error is not None else as_text(outcome.result)
    score = None if outcome.missing else 0.0 if outcome.error is not None else one.score(outcome.result)
    return CaseResult(
        id=one.case.id,
        key=one.key,
        score=score,
        expected=as_text(one.expected),
        output=output,
        error=outcome.error,
        run=outcome.run,
        latency_s=outcome.latency_s,
        cost_usd=outcome.cost_usd,
        path=tuple(path_of(outcome.calls)),
    )


def _whole_rows(plan: _Plan, outcomes: Sequence[Outcome]) -> tuple[list[CaseResult], list[JudgedRun]]:
    """The whole cases with the cause of each wrong one, and the runs that count for the gap: those that were scored."""
    known = plan.suite.known
    rows, judged = [], []
    for one, outcome in zip(plan.suite.whole, outcomes, strict=True):
        row = _row(one, outcome)
        if row.score is not None:
            run = judge_run(outcome, row.score >= 1, known)
            judged.append(run)
            if not run.right:
                cause, at = cause_of(run, plan.parts.decides)
                row = replace(row, cause=cause, at=at)
        rows.append(row)
    return rows, judged


def _summary(name: str, kind: Any, expectations: Sequence[Expectation], rows: Sequence[CaseResult]) -> PartResult:
    scores = [row.score for row in rows if row.score is not None]
    costs, times = [row.cost_usd for row in rows], [row.latency_s for row in rows]
    known_costs, known_times = (
        [cost for cost in costs if cost is not None],
        [took for took in times if took is not None],
    )
    return PartResult(
        name=name,
        kind=kind,
        metrics=tuple(dict.fromkeys(one.metric.name for one in expectations)),
        score=_estimate(scores) if scores else None,
        rows=tuple(rows),
        cost_usd_per_1000=1000 * sum(known_costs) / len(costs) if costs and len(known_costs) == len(costs) else None,
        latency_p50_s=statistics.median(known_times) if times and len(known_times) == len(times) else None,
    )


def _estimate(scores: Sequence[float]) -> Estimate:
    if all(score in (0.0, 1.0) for score in scores):
        right = round(sum(scores))
        return Estimate(right / len(scores), len(scores), *clopper_pearson(right, len(scores)), 0.95, "Clopper-Pearson")
    return mean_interval(scores, [str(number) for number in range(len(scores))])
