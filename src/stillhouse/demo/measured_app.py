"""The demo's whole app, run on questions with known answers: with the teacher in every step, or with students.

Each question is a run of its own, so a measurement that was stopped goes on where it was. What is right is judged from
the journal: each step by its own gold answer, the whole by whether the reply names what it must.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from stillhouse.demo.gold import Gold, gold, holds, rows_of
from stillhouse.errors import UserError
from stillhouse.evaluation.composability import Composed, composability_gap
from stillhouse.evaluation.gold_results import same_result
from stillhouse.evaluation.proportions import clopper_pearson
from stillhouse.evaluation.sql import ReadOnlyDatabase
from stillhouse.flow.call import StepError
from stillhouse.flow.engine import Flow, bounded_map
from stillhouse.flow.user_flow import load_flow
from stillhouse.records import Estimate, Progress
from stillhouse.results.flow_test import Gap
from stillhouse.store.journal import StepRow, open_journal

AT_ONCE = 16  # questions that are answered at the same time


@dataclass(frozen=True, kw_only=True)
class JudgedQuestion:
    """One question: whether each judged step, and the whole, was right, and what it took."""

    question: str
    route: str
    steps: tuple[str, ...]
    judged: Mapping[str, bool]
    right: bool
    cost_usd: float | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class AppMeasured:
    """The app on `n` questions with one set of models. Costs are per 1,000 questions; None: a part is not known."""

    models: Mapping[str, str]
    right: Estimate
    steps_right: Mapping[str, Estimate]
    gap: Gap
    cost_usd_per_1000: float | None
    latency_p50_s: float
    judgements: tuple[JudgedQuestion, ...]


async def measure_app(
    app: Path,
    questions: Sequence[str],
    *,
    models: Mapping[str, str],
    usd_per_call: Mapping[str, float | None],
    on_progress: Callable[[Progress], None] | None = None,
    what: str = "asking the app",
) -> AppMeasured:
    """Ask the app's flow each question, with these models in these steps ("*": every step), and judge the journal.

    `usd_per_call`: what a call of a step costs where its model reports no cost, as a student on one's own machine.
    """
    flow, store = load_flow(f"{app}:main"), app.parent / "app.db"
    database = ReadOnlyDatabase(app.parent / "shop.db")
    n_done = 0

    async def ask(question: str) -> JudgedQuestion:
        nonlocal n_done
        judged = await _ask(flow, store, question, models, usd_per_call, database)
        n_done += 1
        if on_progress is not None:
            on_progress(Progress(n_done, len(questions), what, unit="questions"))
        return judged

    return _measured(await bounded_map(ask, questions, at_once=AT_ONCE), models)


def _measured(answers: Sequence[JudgedQuestion], models: Mapping[str, str]) -> AppMeasured:
    runs = [
        Composed(_run_id(each.question, models), each.steps, tuple(each.judged.values()), each.right)
        for each in answers
    ]
    steps_right = {
        step: _share([each.judged[step] for each in answers if step in each.judged])
        for step in _JUDGED_STEPS
        if any(step in each.judged for each in answers)
    }
    cost = _sum_known([each.cost_usd for each in answers])
    return AppMeasured(
        models=dict(models),
        right=_share([each.right for each in answers]),
        steps_right=steps_right,
        gap=composability_gap(runs, n_calls=sum(len(each.steps) for each in answers)),
        cost_usd_per_1000=None if cost is None else 1000 * cost / len(answers),
        latency_p50_s=median(each.seconds for each in answers),
        judgements=tuple(answers),
    )


def _sum_known(costs: Sequence[float | None]) -> float | None:
    """The sum; None where a part is not known."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


async def _ask(
    flow: Flow[Any, Any],
    store: Path,
    question: str,
    models: Mapping[str, str],
    usd_per_call: Mapping[str, float | None],
    database: ReadOnlyDatabase,
) -> JudgedQuestion:
    known = gold(question)
    if known is None:
        raise UserError(
            f"{question!r} is no question of the demo, so nobody knows its answer; ask it with `stillhouse run` instead"
        )
    run, app = _run_id(question, models), f"{store.parent / 'app.py'}:main"
    with contextlib.suppress(StepError):  # a failed step makes the whole answer wrong, and the journal says why
        await flow.execute(run, {"question": question}, store=store, models=models, app=app)
    with contextlib.closing(open_journal(store)) as journal:
        row, steps = journal.run(run), journal.steps(run)
        reply = None if row is None or row.result is None else json.loads(journal.text(row.result))
    return JudgedQuestion(
        question=question,
        route=known.route,
        steps=tuple(step.key[0] for step in steps),
        judged=_judge_steps(known, steps, database),
        right=reply is not None and _right(known, reply),
        cost_usd=_sum_known([_cost(step, usd_per_call) for step in steps if step.kind == "model"]),
        seconds=_seconds(steps),
    )


def _run_id(question: str, models: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([question, dict(models)], sort_keys=True).encode()).hexdigest()[:20]


_JUDGED_STEPS = ("route", "to_sql", "pages")


def _judge_steps(known: Gold, steps: Sequence[StepRow], database: ReadOnlyDatabase) -> dict[str, bool]:
    """Right or wrong for each step whose right answer is known. In a wrong branch no step has a right answer."""
    # Step name -> its row; after several tries of a step the last one's row.
    by_name: dict[str, StepRow] = {step.key[0]: step for step in steps}
    judged = {"route": _output(by_name.get("route")) == known.route}
    if not judged["route"]:
        return judged
    if known.query is not None and "to_sql" in by_name:
        last = by_name.get("mend_sql") or by_name["to_sql"]
        query = _output(last)
        judged["to_sql"] = isinstance(query, str) and same_result(database, query, known.query)
    if known.page is not None and "pages" in by_name:
        judged["pages"] = known.page in str(_output(by_name["pages"]))
    return judged


def _right(known: Gold, reply: Mapping[str, Any]) -> bool:
    """Whether the whole is right: by the right route, and its text names every value of the right rows, or the page."""
    if reply["route"] != known.route:
        return False
    if known.query is not None:
        return holds(reply["text"], rows_of(known.query))
    return known.page is None or known.page in reply["text"]


def _output(step: StepRow | None) -> Any:
    return None if step is None or step.output is None else json.loads(step.output)


def _cost(step: StepRow, usd_per_call: Mapping[str, float | None]) -> float | None:
    known = (step.facts or {}).get("cost_usd")
    return usd_per_call.get(step.key[0]) if known is None else known


def _seconds(steps: Sequence[StepRow]) -> float:
    """From the first step's beginning to the last one's end."""
    if not steps:
        return 0.0
    return max(step.started + step.seconds for step in steps) - min(step.started for step in steps)


def _share(right: Sequence[bool]) -> Estimate:
    n = len(right)
    return Estimate(sum(right) / n, n, *clopper_pearson(sum(right), n, 0.95), 0.95, "Clopper-Pearson")
