"""Every case of a suite, run once and scored: the steps on their own, the paths, the whole and what made it wrong."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from stillhouse.evaluation.proportions import clopper_pearson, mean_interval
from stillhouse.flow.paths import path_of
from stillhouse.flow.testing import Case, Outcome, run_cases
from stillhouse.flow_tests.attribution import JudgedRun, cause_of, gap_of, judge_run
from stillhouse.flow_tests.cases import Expectation, Suite, as_text
from stillhouse.flow_tests.parts import Part, Parts
from stillhouse.flow_tests.recorded_runs import RecordedRuns
from stillhouse.records import Estimate
from stillhouse.results.flow_test import CaseResult, FlowResult, Missing, PartResult, PathResult
from stillhouse.session import OnProgress, Session


@dataclass(frozen=True, kw_only=True)
class SuiteRun:
    """What one run of all cases needs. `offline`: the store's answers alone; what has none is listed."""

    target: str  # APP:FLOW
    parts: Parts
    suite: Suite
    store: Path | str
    offline: bool
    recorded: RecordedRuns
    on_progress: OnProgress | None

    @property
    def n_cases(self) -> int:
        suite = self.suite
        return sum(map(len, suite.steps.values())) + len(suite.paths) + len(suite.whole)

    async def result(self, models: Mapping[str, str], journal: Path) -> FlowResult:
        """Run and score every case with these models. The traces go into `journal`."""
        suite, whole = self.suite, self.parts.whole
        cases = _Cases(self, models, journal)
        parts: list[PartResult] = []
        for step, expectations in suite.steps.items():
            part = self.parts.find(step, [{"input": expectation.case.input} for expectation in expectations])
            outcomes = await cases.run(part, [expectation.case for expectation in expectations], step)
            rows = [scored(*pair) for pair in zip(expectations, outcomes, strict=True)]
            parts.append(part_result(step, "step", expectations, rows))
        paths = [_path_result(outcome) for outcome in await cases.run(whole, suite.paths, "path")]
        judged: list[JudgedRun] = []
        if suite.whole:
            outcomes = await cases.run(whole, [expectation.case for expectation in suite.whole], "whole")
            rows, judged = self._whole_rows(outcomes)
            parts.append(part_result(whole.name, "whole", suite.whole, rows))
        return FlowResult(
            flow=whole.name,
            app=self.target,
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            models=dict(models),
            offline=self.offline,
            parts=tuple(parts),
            paths=tuple(paths),
            gap=gap_of(judged) if suite.whole else None,
            missing=tuple(cases.missing),
        )

    def _whole_rows(self, outcomes: Sequence[Outcome]) -> tuple[list[CaseResult], list[JudgedRun]]:
        """The whole cases with the cause of each wrong one, and the runs that count for the gap: those with a score."""
        known = self.suite.known
        rows, judged = [], []
        for expectation, outcome in zip(self.suite.whole, outcomes, strict=True):
            row = scored(expectation, outcome)
            if row.score is not None:
                run = judge_run(outcome, row.score >= 1, known)
                judged.append(run)
                if not run.right:
                    cause, at = cause_of(run, self.parts.decides)
                    row = replace(row, cause=cause, at=at)
            rows.append(row)
        return rows, judged


class _Cases:
    """Runs cases under way, with the progress over all of them and the calls that had no stored answer."""

    def __init__(self, plan: SuiteRun, models: Mapping[str, str], journal: Path) -> None:
        self._plan, self._models, self._journal = plan, models, journal
        self._session = Session(on_progress=plan.on_progress)
        self._total = plan.n_cases
        self._done = 0
        self.missing: list[Missing] = []

    async def run(self, part: Part, cases: Sequence[Case], prefix: str) -> list[Outcome]:
        before = self._done
        outcomes = await run_cases(
            part.flow,
            cases,
            models=self._models,
            store=self._plan.store,
            offline=self._plan.offline,
            journal=self._journal,
            prefix=prefix,
            known=self._plan.suite.answer,
            recorded=self._plan.recorded,
            on_done=lambda n: self._session.report(
                before + n, self._total, "testing", unit="cases", note=f"of {part.name}"
            ),
        )
        self._done += len(cases)
        self.missing += [miss for outcome in outcomes for miss in outcome.missing]
        return outcomes


def scored(expectation: Expectation, outcome: Outcome) -> CaseResult:
    """One case. It has no score where the store had no answer for it, for then nothing is known of the app."""
    failed = outcome.error is not None
    score = None if outcome.missing else 0.0 if failed else expectation.score(outcome.result)
    return CaseResult(
        id=expectation.case.id,
        key=expectation.key,
        score=score,
        expected=as_text(expectation.expected),
        output=None if failed else as_text(outcome.result),
        error=outcome.error,
        run=outcome.run,
        latency_s=outcome.latency_s,
        cost_usd=outcome.cost_usd,
        path=tuple(path_of(outcome.calls)),
        asked=as_text(_alone(expectation.case.input)),
    )


def _alone(arguments: Mapping[str, Any]) -> Any:
    """The one argument, where there is but one."""
    return next(iter(arguments.values())) if len(arguments) == 1 else dict(arguments)


def _path_result(outcome: Outcome) -> PathResult:
    stopped = [f"it failed ({outcome.error})"] if outcome.error is not None and outcome.path_problems else []
    return PathResult(outcome.case.id, tuple(outcome.path), (*outcome.path_problems, *stopped), outcome.run)


def part_result(
    name: str, kind: Literal["step", "whole"], expectations: Sequence[Expectation], rows: Sequence[CaseResult]
) -> PartResult:
    """A part over its cases. Cost and latency are known where those of every case are."""
    scores = [row.score for row in rows if row.score is not None]
    costs = [row.cost_usd for row in rows if row.cost_usd is not None]
    times = [row.latency_s for row in rows if row.latency_s is not None]
    return PartResult(
        name=name,
        kind=kind,
        metrics=tuple(dict.fromkeys(expectation.metric.name for expectation in expectations)),
        score=_estimate(scores) if scores else None,
        rows=tuple(rows),
        cost_usd_per_1000=1000 * sum(costs) / len(rows) if rows and len(costs) == len(rows) else None,
        latency_p50_s=statistics.median(times) if rows and len(times) == len(rows) else None,
    )


def _estimate(scores: Sequence[float]) -> Estimate:
    if all(score in (0.0, 1.0) for score in scores):
        right = round(sum(scores))
        return Estimate(right / len(scores), len(scores), *clopper_pearson(right, len(scores)), 0.95, "Clopper-Pearson")
    return mean_interval(scores, [str(number) for number in range(len(scores))])
