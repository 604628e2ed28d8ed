"""Random flows with concurrent branches and equal arguments, stopped at random moments and resumed: is each answer its own branch's, and is nothing done twice?

A program is drawn from `gather`, `TaskGroup`, `as_completed`, `flow.map`, `create_task`, `wait_for`, flows inside flows, steps inside steps, questions to a
person and unlabelled uuids, failures that are caught, times that are over and groups that a failure ends, with few different arguments and random latencies. The journal knows only the arguments. The program itself knows at which place
each call stands, and every answer holds a number of its own, so that an answer from another place is seen, and so is a call that runs although it has one.
Most are stopped inside this process: the row that would be written next is never written and all tasks are dropped. `python -m bench.flow_programs SEED FOLDER`
is one sitting as a process, to be killed with SIGKILL.
"""

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from stillhouse import flow, step
from stillhouse.flow import Parked, ask_human
from stillhouse.flow.engine import Flow
from stillhouse.flow.human import answer, open_questions
from stillhouse.store.journal import open_journal
from stillhouse.store.sqlite_journal import SqliteJournal

N = int(os.environ.get("N", "1000"))
SEED0 = int(os.environ.get("SEED0", "0"))  # the first program's seed
WAYS = ("gather", "group", "map", "tasks", "completed", "wait_for", "nested", "body", "broken")
Program = list[Any]  # moves: ["call", TEXT], ["declined", TEXT], ["late"], ["uuid"], ["ask"], or [a way, PROGRAM, ...]


def drawn(draw: random.Random, depth: int = 0) -> Program:
    """A random program."""
    moves: Program = []
    for _ in range(draw.randint(1, 3)):
        kind = draw.random()
        if kind < 0.12:
            moves.append(["declined", draw.choice("ab")])
        elif kind < 0.18:
            moves.append(["late"])
        elif kind < 0.5 or depth == 2:
            moves.append(["call", draw.choice("ab")])
        elif kind < 0.56:
            moves.append(["uuid"])
        elif kind < 0.6:
            moves.append(["ask"])
        else:
            moves.append([draw.choice(WAYS), *(drawn(draw, depth + 1) for _ in range(draw.randint(1, 3)))])
    return moves


class World:
    """What was done outside: a number for each time that a call's body ran, and the place of that call."""

    def __init__(self, file: Path | None = None) -> None:
        self.file, self.places = file, list[str]()  # the place of each number
        if file is not None and file.exists():
            self.places = file.read_text().splitlines()
        self.finished: set[str] = set()  # places that have a journaled answer
        self.problems: list[str] = []
        self.is_dead = False  # the sitting was killed: what its tasks do until they are gone did not happen

    def did(self, place: str) -> int:
        if place in self.finished:
            self.problems.append(f"{place} is done again")
        self.places.append(place)
        if self.file is not None:
            with self.file.open("a") as log:
                log.write(f"{place}\n")
        return len(self.places) - 1

    def check(self, place: str, number: int) -> None:
        if self.places[number] != place:
            self.problems.append(f"{place} gets the answer of {self.places[number]}")

    def look_at(self, store: Path) -> None:
        """Read from the journal what is finished."""
        journal = open_journal(store)
        for row in journal.steps("r"):
            if row.output is not None and row.kind == "step" and row.key[0] == "act":
                place = self.places[json.loads(row.output)]
                self.finished |= {place, place.removesuffix("!")}  # what it was done instead of is over
            elif row.key[0] == "decline" and row.ended_nth is not None and (row.error or "").startswith("Declined"):
                self.finished.add(self.places[int((row.error or "").rpartition(" ")[2])])
        journal.close()


world = World()
here: ContextVar[str] = ContextVar("place")
uuids: dict[str, str] = {}


@step
async def act(text: str) -> int:
    number = world.did(here.get())
    if (waits := random.choice((None, None, 0, 0, 0.001, 0.003))) is not None:  # in each sitting another order
        await asyncio.sleep(waits)
    return number


@step
async def decline(text: str) -> None:
    raise Declined(world.did(here.get()))


@step
async def hang() -> None:
    world.did(here.get())
    await asyncio.sleep(60)


class Declined(Exception):
    """A failure that the flow lives with; with the number of the call."""


@step
async def with_a_body(moves: list[Any]) -> list[Any]:
    return await played(moves)


@flow
async def inside(moves: list[Any]) -> list[Any]:
    return await played(moves)


async def played(moves: Program) -> list[Any]:
    """Play the moves in order. The result says what an undisturbed run says, too."""
    place, results = here.get(), list[Any]()
    for number, (kind, *parts) in enumerate(moves):
        here.set(f"{place}/{number}")
        if kind == "call":
            world.check(here.get(), await act(*parts))
            results.append(parts[0])
        elif kind == "declined":
            try:
                await decline(*parts)
            except Declined as error:
                world.check(here.get(), error.args[0])
                here.set(f"{here.get()}!")
                world.check(here.get(), await act("instead"))
            results.append(kind)
        elif kind == "late":
            try:
                async with asyncio.timeout(0.003):
                    await hang()
            except TimeoutError:
                here.set(f"{here.get()}!")
                world.check(here.get(), await act("instead"))
            results.append(kind)
        elif kind == "uuid":
            made = flow.uuid()
            if world.is_dead:  # nobody will have seen it
                pass
            elif uuids.setdefault(here.get(), made) != made and not any("body" in one for one in moves):
                world.problems.append(f"{here.get()} gets another uuid")
        elif kind == "ask":
            results.append(await ask_human("go on?"))
        else:
            results.append(await branched(kind, parts))
        here.set(place)
    return results


async def at(place: str, moves: Program, play: Callable[[Program], Awaitable[list[Any]]] = played) -> list[Any]:
    token = here.set(place)
    try:
        return await play(moves)
    finally:
        here.reset(token)


async def declined_after_all(place: str) -> None:
    here.set(f"{place}/0")
    world.check(here.get(), await act("first"))
    here.set(place)
    await decline("a")


async def branched(kind: str, programs: list[Program]) -> list[Any]:
    """Play the programs side by side, each as a branch."""
    place = here.get()
    places = [f"{place}.{index}" for index in range(len(programs))]
    if kind == "gather":
        return list(await asyncio.gather(*map(at, places, programs)))
    if kind == "group":
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(at(*pair)) for pair in zip(places, programs, strict=True)]
        return [task.result() for task in tasks]
    if kind == "broken":
        try:
            async with asyncio.TaskGroup() as group:
                for pair in zip(places, programs, strict=True):
                    group.create_task(at(*pair))
                group.create_task(declined_after_all(f"{place}.none"))
        except* Declined:
            here.set(f"{place}.none!")
            world.check(here.get(), await act("instead"))
        return [kind]
    if kind == "map":
        return list(await flow.map(lambda pair: at(*pair), list(zip(places, programs, strict=True)), at_once=2))
    if kind == "tasks":
        tasks = []
        for pair in zip(places, programs, strict=True):
            tasks.append(asyncio.create_task(at(*pair)))
            await asyncio.sleep(0)
        return [await task for task in tasks]
    if kind == "wait_for":
        return [await asyncio.wait_for(at(*pair), 60) for pair in zip(places, programs, strict=True)]
    if kind == "nested":
        return [await at(*pair, inside) for pair in zip(places, programs, strict=True)]
    if kind == "body":
        return [await at(*pair, with_a_body) for pair in zip(places, programs, strict=True)]

    async def told(place: str, moves: Program) -> tuple[str, list[Any]]:
        return place, await at(place, moves)

    results: dict[str, list[Any]] = {}
    for done in asyncio.as_completed(list(map(told, places, programs))):
        branch, result = await done
        here.set(f"{branch}!")  # an equal call after each, in the order in which they ended
        world.check(here.get(), await act("then"))
        results[branch] = result
    return [results[place] for place in places]


def undisturbed(moves: Program) -> list[Any]:
    results: list[Any] = []
    for kind, *parts in moves:
        if kind == "call":
            results.append(parts[0])
        elif kind == "ask":
            results.append("yes")
        elif kind in ("declined", "late"):
            results.append(kind)
        elif kind == "broken":
            results.append([kind])
        elif kind != "uuid":
            results.append([undisturbed(moves) for moves in parts])
    return results


def as_flow(moves: Program) -> Flow[..., list[Any]]:
    async def program() -> list[Any]:
        here.set("")
        return await played(moves)

    made: Flow[..., list[Any]] = flow(program)
    return made


@asynccontextmanager
async def dying_after(n: int | None) -> AsyncIterator[asyncio.Event]:
    """In this block, no more than `n` answers are journaled: the event is set when one more would be."""
    dead, written, write, later = asyncio.Event(), 0, SqliteJournal.write, SqliteJournal.write_later

    def while_alive(journal: SqliteJournal, run: str, row: Any) -> None:
        if not dead.is_set():
            write(journal, run, row)

    async def counted(journal: SqliteJournal, run: str, row: Any) -> None:
        nonlocal written
        if written == n:
            dead.set()
            world.is_dead = True
            await asyncio.Future()
        written += 1
        write(journal, run, row)

    SqliteJournal.write, SqliteJournal.write_later = while_alive, counted  # type: ignore[method-assign]
    try:
        yield dead
    finally:
        SqliteJournal.write, SqliteJournal.write_later = write, later  # type: ignore[method-assign]


async def sitting(made: Flow[..., list[Any]], store: Path, after: int | None) -> list[Any] | str:
    """One sitting: the result, or how it ended."""
    before = asyncio.all_tasks()
    world.is_dead = False
    async with dying_after(after) as dead:
        running = asyncio.create_task(made.run("r", store=store))
        dies = asyncio.create_task(dead.wait())
        await asyncio.wait({running, dies}, return_when=asyncio.FIRST_COMPLETED)
        if dead.is_set():
            while not running.done():
                for task in asyncio.all_tasks() - before:
                    task.cancel()
                await asyncio.sleep(0)
            running.cancelled() or running.exception()
            return "killed"
        dies.cancel()
        try:
            return await running
        except Parked:
            return "parked"


def problems_of(moves: Program, stops: Iterator[int], folder: Path) -> list[str]:
    """Run a program, stop it as often as `stops` says, each after so many answers, and go on; what went wrong."""
    global world
    world = World()
    uuids.clear()
    made, store = as_flow(moves), folder / "journal.db"

    async def all_sittings() -> list[Any] | str:
        while True:
            ended = await sitting(made, store, next(stops, None))
            world.look_at(store)
            if isinstance(ended, list):
                return ended
            answer_one(store)

    result = asyncio.run(asyncio.wait_for(all_sittings(), 60))
    if result != undisturbed(moves):
        world.problems.append(f"the result is {result}")
    return world.problems


def answer_one(store: Path) -> None:
    journal = open_journal(store)
    if open_questions(journal, "r"):
        answer(journal, "r", "yes")
    journal.close()


def main() -> dict[str, object]:
    """Play N programs, each stopped up to five times."""
    wrong, again, other, began = 0, 0, 0, time.monotonic()
    for seed in range(SEED0, SEED0 + N):
        draw = random.Random(seed)
        moves = drawn(draw)
        stops = iter([draw.randint(0, 8) for _ in range(draw.randint(1, 5))])
        with tempfile.TemporaryDirectory() as folder:
            problems = problems_of(moves, stops, Path(folder))
        if problems:
            print(seed, problems[:2], file=sys.stderr)
        wrong += bool(problems)
        again += sum("again" in problem for problem in problems)
        other += sum("gets" in problem for problem in problems)
    return {
        "what": "random flows with equal arguments, failures and timeouts in concurrent branches, stopped up to five times and resumed",
        "programs": N,
        "first seed": SEED0,
        "programs with anything wrong": wrong,
        "calls that got the answer of another place": other,
        "finished calls that ran again": again,
        "seconds": round(time.monotonic() - began, 1),
    }


if __name__ == "__main__":
    seed, folder = int(sys.argv[1]), Path(sys.argv[2])
    world = World(folder / "done.txt")
    if (folder / "journal.db").exists():
        world.look_at(folder / "journal.db")
    result = asyncio.run(as_flow(drawn(random.Random(seed))).run("r", store=folder / "journal.db"))
    print(json.dumps({"result": result, "problems": world.problems}))
