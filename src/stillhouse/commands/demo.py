"""`demo`: the whole story on the built-in shop assistant, without a key.

Labels, students, verdicts, reports, answers over HTTP, and the app before and after. Of the app's steps two are
distilled: `route` decides what answers a question, `to_sql` writes the query. The teacher is a stand-in (a script that
knows the answers and errs on 3 % of them) unless a real model is named.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.commands.advise import advise
from stillhouse.commands.distill import distill
from stillhouse.commands.label import label
from stillhouse.commands.serve import serve
from stillhouse.commands.verdict_run import VerdictRun
from stillhouse.demo.gold import questions
from stillhouse.demo.measured_app import AppMeasured, measure_app
from stillhouse.demo.over_http import Answered, ask_app
from stillhouse.demo.tasks import write_project
from stillhouse.event_loop import result_of
from stillhouse.session import DEFAULT_SESSION, Session

TASKS = ("route", "to_sql")
SEEDS = 3
APP_QUESTIONS = 300
QUESTIONS = (
    "how many orders were delivered in Portugal?",
    "can I send back a kettle without the receipt?",
    "which five products sell best?",
)
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What the demo made. `advice` has the learning curves of `route`."""

    folder: Path
    advice: VerdictRun
    distilled: dict[str, VerdictRun]
    answered: list[Answered]
    base_url: str
    before: AppMeasured
    after: AppMeasured
    stand_in: bool  # True where no real teacher was named


def demo(folder: Path, session: Session = DEFAULT_SESSION, *, say: Say = lambda _: None) -> Demo:
    """Run the story in `folder`. `say` gets a line as each part begins.

    A second run goes on from its files: labels are in the store and cost nothing again.
    """
    if (folder / "shop.db").is_file():
        say(f"1 of 6: the shop in {folder} is there already; its questions, answers and paid labels are used again")
    else:
        say(
            "1 of 6: a shop with 12,000 orders, its assistant in app.py, questions in hundreds of wordings, and two of "
            "its steps as tasks: route and to_sql"
        )
        write_project(folder)
    say("2 of 6: the teacher's labels, each stored before the next is asked for")
    for name in TASKS:
        result_of(label(folder / name, session))
    say("3 of 6: route: learning curves of the small student, held against the prompt")
    runs = folder / "runs"
    advice = advise(folder / "route", session, runs=runs, seeds=SEEDS)
    say("4 of 6: students for both tasks, measured on wordings that they never saw (to_sql takes a few minutes)")
    distilled = {
        "route": distill(folder / "route", session, runs=runs, advice=advice.folder),
        "to_sql": distill(folder / "to_sql", session, runs=runs),
    }
    say("5 of 6: the students answer over HTTP, as an app would ask them")
    base_url, answered = result_of(_answers(distilled))
    say(
        f"6 of 6: the whole app on {APP_QUESTIONS} questions: with the teacher in every step, "
        "and with the students in theirs"
    )
    before, after = result_of(_app(folder, distilled, session))
    return Demo(
        folder=folder,
        advice=advice,
        distilled=distilled,
        answered=answered,
        base_url=base_url,
        before=before,
        after=after,
        stand_in=session.teacher is None,
    )


async def _app(folder: Path, distilled: dict[str, VerdictRun], session: Session) -> tuple[AppMeasured, AppMeasured]:
    """The app before and after, on the same questions."""
    test_questions = questions(APP_QUESTIONS)
    all_steps = {} if session.teacher is None else {"*": session.teacher}
    before = await measure_app(
        folder / "app.py",
        test_questions,
        models=all_steps,
        usd_per_call={},
        on_progress=session.on_progress,
        what="the app with the teacher",
    )
    after = await measure_app(
        folder / "app.py",
        test_questions,
        models={**all_steps, **{name: model_name(done) for name, done in distilled.items() if done.serves}},
        usd_per_call={name: _usd_per_call(done) for name, done in distilled.items()},
        on_progress=session.on_progress,
        what="the app with the students",
    )
    return before, after


def model_name(done: VerdictRun) -> str:
    """What the verdict of a run puts into the app, as a model's name."""
    kind = "cascade" if done.result.verdict.kind == "cascade" else "student"
    return f"{kind}:{done.folder}"


def _usd_per_call(done: VerdictRun) -> float | None:
    """What a call of the chosen arm costs on average, by the run's own measurement."""
    lines = () if done.result.money is None else done.result.money.lines
    return next((line.usd_per_call for line in lines if line.name == done.result.chosen), None)


async def _answers(distilled: dict[str, VerdictRun]) -> tuple[str, list[Answered]]:
    """Serve on a free port of loopback what the verdicts allow, and ask."""
    servers: list[asyncio.Task[None]] = []
    urls: dict[str, str] = {}
    try:
        for name, done in distilled.items():
            if done.serves:
                urls[name] = await _started(done, servers)
        answered = [await ask_app(urls, question) for question in QUESTIONS] if "route" in urls else []
    finally:
        for server in servers:
            server.cancel()
        await asyncio.gather(*servers, return_exceptions=True)
    return urls.get("route", ""), answered


async def _started(done: VerdictRun, servers: list[asyncio.Task[None]]) -> str:
    """Start one server, add it to `servers`, and wait for its base URL."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    cascade = done.result.verdict.kind == "cascade"
    server = asyncio.create_task(
        serve([done.folder], cascade=cascade, port=0, on_ready=lambda url, _: ready.set_result(url))
    )
    servers.append(server)
    waiting: set[asyncio.Future[Any]] = {server, ready}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if server.done():
        await server  # the server did not come up: awaiting it raises its own error, which says why
    return ready.result()
