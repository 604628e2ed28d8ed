"""The demo's whole app, run on questions with known answers: with the teacher in every step, and with the students in theirs.

Each question is a run of its own, so a measurement that was stopped goes on where it was. What is right is judged from the journal: each step by its own gold
answer, the whole by whether the reply names what it must.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from stillhouse.demo.gold import Gold, gold, holds, rows_of
from stillhouse.errors import UserError
from stillhouse.evaluation.composability import Composed, Gap, composability_gap
from stillhouse.evaluation.proportions import clopper_pearson
from stillhouse.evaluation.sql import Database, same_result
from stillhouse.flow.app import load_flow
from stillhouse.flow.call import StepError
from stillhouse.flow.engine import Flow, bounded_map
from stillhouse.records import Estimate, Progress
from stillhouse.store.journal import StepRow, open_journal

AT_ONCE = 16


@dataclass(frozen=True)
class Judgement:
    """One question: whether each judged step, and the whole, was right, and what it took."""

    question: str
    route: str
    steps: tuple[str, ...]
    judged: Mapping[str, bool]
    right: bool
    cost_usd: float | None
    seconds: float


@dataclass(frozen=True)
class AppMeasured:
    """The app on `n` questions with one set of models. Costs are per 1,000 questions; None: a part of them is not known."""

    models: Mapping[str, str]
    right: Estimate
    steps_right: Mapping[str, Estimate]
    gap: Gap
    cost_usd_per_1000: float | None
    latency_p50_s: float
    judgements: tuple[Judgement, ...]


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

    `usd_per_call` is what a call of a step costs where its model reports no cost of its own: a student on one's own machine.
    """
    flow, store = load_flow(f"{app}:main"), app.parent / "app.db"
    database = Database(app.parent / "shop.db")
    done = 0

    async def judge(question: str) -> Judgement:
        nonlocal done
        judgement = await _ask(flow, store, question, models, usd_per_call, database)
        done += 1
        if on_progress is not None:
            on_progress(Progress(done, len(questions), what))
        return judgement

    found = await bounded_map(judge, questions, at_once=AT_ONCE)
    composed = [
        Composed(_run_id(one.question, models), one.steps, tuple(one.judged.values()), one.right) for one in found
    ]
    costs = [one.cost_usd for one in found]
    return AppMeasured(
        dict(models),
        _share([one.right for one in found]),
        {step: _share([one.judged[step] for one in found if step in one.judged]) for step in _judged_steps(found)},
        composability_gap(composed, n_calls=sum(len(one.steps) for one in found)),
        None if any(cost is None for cost in costs) else 1000 * sum(cost or 0.0 for cost in costs) / len(costs),
        median(one.seconds for one in found),
        tuple(found),
    )


async def _ask(
    flow: Flow[Any, Any],
    store: Path,
    question: str,
    models: Mapping[str, str],
    usd_per_call: Mapping[str, float | None],
    database: Database,
) -> Judgement:
    known = gold(question)
    if known is None:
        raise UserError(
            f"{question!r} is no question of the demo, so nobody knows its answer; ask it with `stillhouse run` instead"
        )
    run = _run_id(question, models)
    with contextlib.suppress(
        StepError
    ):  # a step that came to no answer leaves the whole wrong, and the journal says which
        await flow.execute(
            run, {"question": question}, store=store, models=models, app=str(store.parent / "app.py") + ":main"
        )
    with contextlib.closing(open_journal(store)) as journal:
        row, steps = journal.run(run), journal.steps(run)
        reply = None if row is None or row.result is None else json.loads(journal.text(row.result))
    judged = _judge_steps(known, steps, database)
    called = tuple(step.key[0] for step in steps)
    costs = [_cost(step, usd_per_call) for step in steps if step.kind == "model"]
    cost = None if any(one is None for one in costs) else sum(one or 0.0 for one in costs)
    return Judgement(
        question, known.route, called, judged, reply is not None and _right(known, reply), cost, _seconds(steps)
    )


def _run_id(question: str, models: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([question, dict(models)], sort_keys=True).encode()).hexdigest()[:20]


def _judge_steps(known: Gold, steps: Sequence[StepRow], database: Database) -> dict[str, bool]:
    """Right or wrong for each step whose right answer is known; a step of a wrong branch is not judged, for there is none."""
    by_name: dict[str, StepRow] = {step.key[0]: step for step in steps}  # of several tries the last
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
    """Whether the whole is right: it went the right way, and its text names every value of the right rows, or the right page."""
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
    return max((step.started + step.seconds for step in steps), default=time.time()) - min(
        (step.started for step in steps), default=time.time()
    )


def _share(right: Sequence[bool]) -> Estimate:
    n = len(right)
    return Estimate(sum(right) / n, n, *clopper_pearson(sum(right), n, 0.95), 0.95, "Clopper-Pearson")


def _judged_steps(found: Sequence[Judgement]) -> list[str]:
    return sorted({step for one in found for step in one.judged}, key=("route", "to_sql", "pages").index)
