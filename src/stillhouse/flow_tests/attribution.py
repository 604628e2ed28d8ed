"""Whole runs judged by their parts. Pure.

Which calls of steps were right, why a wrong whole is wrong, and how often a whole of right parts was wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stillhouse.evaluation.composability import Composed, composability_gap
from stillhouse.flow.paths import answer_of, on_the_path
from stillhouse.flow.testing import Outcome
from stillhouse.flow_tests.cases import Expectation
from stillhouse.results.flow_test import Cause, Gap
from stillhouse.store.journal import StepRow

Gold = Mapping[str, Callable[[str], Any]]  # step name -> a function from canonical arguments to the right answer


@dataclass(frozen=True)
class JudgedRun:
    """One whole case, run: its step calls, each with whether it was right (None: not judged)."""

    outcome: Outcome
    calls: tuple[tuple[StepRow, bool | None], ...]
    right: bool  # whether the whole answer is right


def judge_run(outcome: Outcome, right: bool, known: Mapping[tuple[str, str], Expectation]) -> JudgedRun:
    """A call is right where it answers as the case of the same step and arguments expects.

    Without such a case nothing is known of the call.
    """
    return JudgedRun(outcome, tuple((call, _judged(call, known)) for call in on_the_path(outcome.calls)), right)


def _judged(call: StepRow, known: Mapping[tuple[str, str], Expectation]) -> bool | None:
    case = known.get((call.key[0], call.arguments))
    if case is None:
        return None
    return call.output is not None and case.score(answer_of(call)) >= 1


def cause_of(run: JudgedRun, decides: Callable[[str, str], bool]) -> tuple[Cause, str | None]:
    """Why a wrong whole is wrong, and the step where it began.

    `decides`: whether a step's calls, by name and kind, take a branch.
    """
    first_wrong = next((call for call, right in run.calls if right is False), None)
    if first_wrong is not None:
        name = first_wrong.key[0]
        return ("branch" if decides(name, first_wrong.kind) else "step"), name
    if run.outcome.path_problems:
        return "branch", None
    if run.outcome.error is not None:
        failed = next((call.key[0] for call, _ in reversed(run.calls) if call.error is not None), None)
        return "failed", failed
    return ("whole" if any(right for _, right in run.calls) else "unknown"), None


def gap_of(runs: Sequence[JudgedRun], level: float = 0.95) -> Gap:
    """The composability gap over these runs."""
    composed = [
        Composed(
            run.outcome.run,
            tuple(call.key[0] for call, _ in run.calls),
            tuple(right for _, right in run.calls if right is not None),
            run.right,
        )
        for run in runs
    ]
    return composability_gap(composed, n_calls=sum(len(run.calls) for run in runs), level=level)
