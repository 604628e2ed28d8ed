"""`compare`: two systems answer the same rows, and people, a judge model or both say whose answer is better.

The run directory: `manifest.json`, `comparisons.jsonl` (every row with both answers and every choice), `result.json`, `report.html`. What people chose is in
`judgements.jsonl` beside the task (or the data), and counts in any later run with the same answers; the judge's replies are in the store.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stillhouse.comparison.answers import Answers, answers_of
from stillhouse.comparison.judge import ask_judge
from stillhouse.comparison.judgements import Judgements
from stillhouse.comparison.pairs import Pair, pairs_of
from stillhouse.comparison.rating_session import Sitting, people_on
from stillhouse.comparison.win_rates import Judge, Terms, win_rates
from stillhouse.data.dataset import Dataset, load_examples
from stillhouse.errors import UserError
from stillhouse.evaluation.win_rate import JudgedRow
from stillhouse.llm.ledger import Ledger
from stillhouse.records import Progress
from stillhouse.report.comparison_page import render_comparison
from stillhouse.results.comparison import ComparisonResult, WinRates, to_dict
from stillhouse.results.gates import GateResult
from stillhouse.runs import Run, write_atomic, write_json
from stillhouse.store import open_store
from stillhouse.task import Task, load_task, teacher_name

People = Callable[
    [Sitting], Awaitable[None]
]  # a page or a terminal at which a person judges until there is no more, or no more time
OnProgress = Callable[[Progress], None] | None
LONGEST_NAME = 60


@dataclass(frozen=True)
class CompareDone:
    """A finished comparison. `found` None: no row is judged yet. `cost_usd`: paid in this run; None: at an unknown price."""

    folder: Path
    judgements: Path
    found: WinRates | None
    gate: GateResult | None
    report: Path | None
    cost_usd: float | None


def compare(
    a: str,
    b: str,
    data: Path,
    *,
    task: Path | Task | None = None,
    judge: str | None = None,
    people: People | None = None,
    rater: str = "",
    judgements: Path | None = None,
    gate: Terms | None = None,
    settings: Mapping[str, Any] | None = None,
    store: Path | None = None,
    runs: Path = Path("runs"),
    skip_bad: bool = False,
    on_progress: OnProgress = None,
) -> CompareDone:
    """Compare `a` with `b` on the rows of `data`. Their answers, the judge's replies and the people's choices are kept as they come: the same command goes on.

    `task`: for prompted models, and its instruction is shown with every pair. One cap in dollars (`max_usd` in `settings`, or the task's) holds for
    everything that is asked. `rater`: the name of who judges at `people`; each name has a sitting and choices of its own, and all count. Raises UserError where
    the two have no row in common, and what models raise.
    """
    if rater and not (rater.isprintable() and rater == rater.strip() and len(rater) <= LONGEST_NAME):
        raise UserError(
            f"--rater {rater!r}: give a name of 1 to {LONGEST_NAME} printable characters, without spaces around it"
        )
    loaded = task if isinstance(task, Task) or task is None else load_task(task)
    given = {name: value for name, value in (settings or {}).items() if value is not None}
    prices = (loaded or Task("compare", "compare", "text")).with_teacher(**given)
    loaded = None if loaded is None else prices
    rows = load_examples(data, task=loaded, skip_bad=skip_bad)
    home = loaded.folder if loaded is not None else data.parent
    kept_in = judgements or (home / "judgements.jsonl" if loaded is None else loaded.resolve(loaded.gate.judgements))
    facts: dict[str, Any] = {
        "a": a,
        "b": b,
        "judge": judge,
        "rater": rater,
        "data": str(data),
        "fingerprint": rows.fingerprint,
        "judgements": str(kept_in),
    }
    facts |= {"task": str(loaded.path) if loaded and loaded.path else None, "gate": asdict(gate) if gate else None}
    with Run.resume_or_create(
        runs, f"{loaded.name if loaded else data.name.partition('.')[0]}-compare", "compare", facts
    ) as run:
        job = _Job(a, b, rows, loaded, prices, judge, rater, kept_in, store or home / "stillhouse.db", on_progress)
        return asyncio.run(_run(job, run, people, gate))


def against_teacher(
    model: str, data: Path, task: Task, *, store: Path | None, skip_bad: bool, on_progress: OnProgress
) -> CompareDone:
    """`evaluate` where the task's metric is a win rate: the model against the task's teacher, by its judge and what people chose, with its gate."""
    judgements = task.resolve(task.gate.judgements)
    if task.gate.judge is None and not judgements.is_file():
        raise UserError(
            f'{task.path or task.name}: metric = "win_rate" needs judgements; name a `judge` in [gate], or judge with `stillhouse compare`'
        )
    return compare(
        model,
        teacher_name(task, None),
        data,
        task=task,
        judge=task.gate.judge,
        judgements=judgements,
        gate=Terms(task.gate.margin, task.gate.level),
        store=store,
        skip_bad=skip_bad,
        on_progress=on_progress,
    )


@dataclass(frozen=True)
class _Job:
    """What is compared, resolved."""

    a: str
    b: str
    rows: Dataset
    task: Task | None
    prices: Task
    judge: str | None
    rater: str
    kept_in: Path
    store: Path
    on_progress: OnProgress


async def _run(job: _Job, run: Run, people: People | None, gate: Terms | None) -> CompareDone:
    ledger = Ledger(job.prices.teacher.max_usd)
    try:
        sides = [
            await answers_of(name, job.rows.examples, job.task, job.store, ledger, job.on_progress)
            for name in (job.a, job.b)
        ]
        pairs = pairs_of(job.rows.examples, *sides)
        if not pairs:
            raise UserError(
                f"{job.a} and {job.b} have no row of {job.rows.path} in common; give the data whose ids they answer"
            )
        with Judgements(job.kept_in) as kept:
            judged, judge = await _judged(job, pairs, ledger)
            if people is not None:
                await people(
                    Sitting(pairs, kept, job.task.instruction if job.task else None, job.on_progress, job.rater)
                )
            rows = [replace(row, judge=one.judge) for row, one in zip(people_on(pairs, kept), judged, strict=True)]
    finally:
        run.save(cost_usd=ledger.spent_usd)
    return _finish(job, run, sides, pairs, rows, judge, gate, ledger.spent_usd)


async def _judged(job: _Job, pairs: list[Pair], ledger: Ledger) -> tuple[list[JudgedRow], Judge | None]:
    blank = [JudgedRow(pair.example.id) for pair in pairs]
    if job.judge is None:
        return blank, None
    instruction = job.task.instruction if job.task else None
    with open_store(job.store) as store:
        rows, stand_in = await ask_judge(
            job.judge, pairs, blank, instruction, job.prices, store, ledger, job.on_progress
        )
    return rows, Judge(job.judge, stand_in)


def _finish(
    job: _Job,
    run: Run,
    sides: list[Answers],
    pairs: list[Pair],
    rows: list[JudgedRow],
    judge: Judge | None,
    gate: Terms | None,
    cost_usd: float | None,
) -> CompareDone:
    lines = [
        {**asdict(row), "input": pair.example.input, "a": pair.a, "b": pair.b}
        for pair, row in zip(pairs, rows, strict=True)
    ]
    write_atomic(
        run.folder / "comparisons.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    )
    names = (_called(sides[0]), _called(sides[1]))
    found = win_rates(names, pairs, rows, judge=judge, gate=gate, n_left_out=len(job.rows.examples) - len(pairs))
    if found is None:
        return CompareDone(run.folder, job.kept_in, None, None, None, cost_usd)
    section, decided = found
    options = (f" --judge {job.judge}" if job.judge else "") + (f" --gate --margin {gate.margin:g}" if gate else "")
    facts = {
        "command": f"stillhouse compare {job.a} {job.b} {job.rows.path}{options}",
        "data": job.rows.path.name,
        "sha256": job.rows.fingerprint,
        "instruction": job.task.instruction if job.task else None,
        "judge": job.judge,
        "created": run.manifest["created"],
        "run": str(run.folder),
        "paid now": _paid(cost_usd, judge),
        "versions": ", ".join(f"{name} {number}" for name, number in run.manifest["versions"].items()),
    }
    result = ComparisonResult(section, facts)
    write_json(run.folder / "result.json", to_dict(result))
    report = run.folder / "report.html"
    write_atomic(report, render_comparison(result))
    run.save(gate=decided.answer if decided else None)
    return CompareDone(run.folder, job.kept_in, section, decided, report, cost_usd)


def _paid(cost_usd: float | None, judge: Judge | None) -> str:
    if cost_usd is not None:
        return f"${cost_usd:.4f}"
    return (
        "unknown at a model's price; a stand-in is not paid"
        if judge is not None and judge.stand_in
        else "at an unknown price"
    )


def _called(side: Answers) -> str:
    return f"{side.name} (a stand-in)" if side.stand_in else side.name
