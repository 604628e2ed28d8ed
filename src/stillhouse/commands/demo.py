"""`demo`: the whole story on the built-in shop assistant, without a key: labels, students, verdicts, reports, answers over HTTP, and the app before and after.

Of the app's steps two are distilled: `route` decides what answers a question, `to_sql` writes the query. The teacher is a stand-in (a script that knows the
answers and errs on 3 % of them) unless a real model is named.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from stillhouse.commands.advise import advise
from stillhouse.commands.distill import Finished, distill
from stillhouse.commands.label import label
from stillhouse.commands.serve import serve
from stillhouse.demo.gold import questions
from stillhouse.demo.measured_app import AppMeasured, measure_app
from stillhouse.demo.tasks import write_project
from stillhouse.records import Progress

TASKS = ("route", "to_sql")
SEEDS = 3
APP_QUESTIONS = 300
ASKED = (
    "how many orders were delivered in Portugal?",
    "can I send back a kettle without the receipt?",
    "which five products sell best?",
)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Answered:
    """One question put to the running server."""

    question: str
    route: str
    answer: str | None  # the query, where the question is one for the database


@dataclass(frozen=True)
class Demo:
    """What the demo made. `advice` has the learning curves of `route`."""

    folder: Path
    advice: Finished
    distilled: dict[str, Finished]
    answered: list[Answered]
    base_url: str
    before: AppMeasured
    after: AppMeasured
    stand_in: bool  # no real teacher was named


def demo(
    folder: Path, *, teacher: str | None = None, say: Say, on_progress: Callable[[Progress], None] | None = None
) -> Demo:
    """Run the story in `folder`; a second run goes on from its files: labels are in the store and cost nothing again."""
    project = folder / "shop.db"
    if project.is_file():
        say(f"1 of 6: the shop in {folder} is there already; its questions, answers and paid labels are used again")
    else:
        say(
            "1 of 6: a shop with 12,000 orders, its assistant in app.py, questions in hundreds of wordings, and two of its steps as tasks: route and to_sql"
        )
        write_project(folder)
    say("2 of 6: the teacher's labels, each stored before the next is asked for")
    for name in TASKS:
        asyncio.run(label(folder / name, teacher=teacher, on_progress=on_progress))
    say("3 of 6: route: learning curves of the small student, held against the prompt")
    runs = folder / "runs"
    advice = advise(folder / "route", teacher=teacher, runs=runs, seeds=SEEDS, on_progress=on_progress)
    say("4 of 6: students for both tasks, measured on wordings that they never saw (to_sql takes a few minutes)")
    distilled = {
        "route": distill(folder / "route", teacher=teacher, runs=runs, advice=advice.folder, on_progress=on_progress),
        "to_sql": distill(folder / "to_sql", teacher=teacher, runs=runs, on_progress=on_progress),
    }
    say("5 of 6: the students answer over HTTP, as an app would ask them")
    base_url, answered = asyncio.run(_answers(distilled))
    say(
        f"6 of 6: the whole app on {APP_QUESTIONS} questions: with the teacher in every step, and with the students in theirs"
    )
    before, after = asyncio.run(_app(folder, distilled, teacher, on_progress))
    return Demo(folder, advice, distilled, answered, base_url, before, after, teacher is None)


async def _app(
    folder: Path, distilled: dict[str, Finished], teacher: str | None, on_progress: Callable[[Progress], None] | None
) -> tuple[AppMeasured, AppMeasured]:
    """The app before and after, on the same questions."""
    asked = questions(APP_QUESTIONS)
    all_steps = {} if teacher is None else {"*": teacher}
    swapped = {name: model_name(done) for name, done in distilled.items() if done.serves}
    prices = {name: _usd_per_call(done) for name, done in distilled.items()}
    before = await measure_app(
        folder / "app.py",
        asked,
        models=all_steps,
        usd_per_call={},
        on_progress=on_progress,
        what="the app with the teacher",
    )
    after = await measure_app(
        folder / "app.py",
        asked,
        models={**all_steps, **swapped},
        usd_per_call=prices,
        on_progress=on_progress,
        what="the app with the students",
    )
    return before, after


def model_name(done: Finished) -> str:
    """What the verdict of a run puts into the app, as a model's name."""
    kind = "cascade" if done.result.verdict.kind == "cascade" else "student"
    return f"{kind}:{done.folder}"


def _usd_per_call(done: Finished) -> float | None:
    """What a call of the chosen arm costs on average, by the run's own measurement."""
    lines = () if done.result.money is None else done.result.money.lines
    return next((line.usd_per_call for line in lines if line.name == done.result.chosen), None)


async def _answers(distilled: dict[str, Finished]) -> tuple[str, list[Answered]]:
    """Serve on a free port of loopback what the verdicts allow, and ask."""
    able = {name: done for name, done in distilled.items() if done.serves}
    servers: list[asyncio.Task[None]] = []
    urls: dict[str, str] = {}
    try:
        for name, done in able.items():
            urls[name] = await _started(done, servers)
        answered = [await _ask_app(urls, question) for question in ASKED] if "route" in urls else []
    finally:
        for server in servers:
            server.cancel()
        await asyncio.gather(*servers, return_exceptions=True)
    return urls.get("route", ""), answered


async def _started(done: Finished, servers: list[asyncio.Task[None]]) -> str:
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
        await server  # it did not come up: its own error says why
    return ready.result()


async def _ask_app(urls: dict[str, str], question: str) -> Answered:
    route = await _ask(urls["route"], "route", question)
    query = await _ask(urls["to_sql"], "to_sql", question) if route == "sql" and "to_sql" in urls else None
    return Answered(question, route, query)


async def _ask(base_url: str, model: str, question: str) -> str:
    async with aiohttp.ClientSession() as session:
        body = {"model": model, "messages": [{"role": "user", "content": question}]}
        async with session.post(f"{base_url}/chat/completions", json=body) as response:
            reply = await response.json()
            if response.status != 200:
                return f"no answer ({reply['error']['message']})"
            return str(reply["choices"][0]["message"]["content"])
