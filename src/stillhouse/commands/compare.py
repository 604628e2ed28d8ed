"""`compare`: two systems answer the same rows, and people, a judge model or both say whose answer is better.

The run directory: `manifest.json`, `comparisons.jsonl` (every row with both answers and every choice), `result.json`,
`report.html`. What people chose is in `judgements.jsonl` beside the task (or the data), and counts in any later run
with the same answers. The judge's replies are in the store.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from stillhouse.comparison.answers import Answers
from stillhouse.comparison.head_to_head import HeadToHead, JudgedPairs, People, judged_pairs
from stillhouse.comparison.win_rates import Judge, Terms, win_rates
from stillhouse.data.dataset import load_examples
from stillhouse.data.raw_rows import Reading
from stillhouse.errors import UserError
from stillhouse.event_loop import result_of
from stillhouse.llm.ledger import Ledger
from stillhouse.report.comparison_page import render_comparison
from stillhouse.results.comparison import ComparisonResult, WinRates, to_dict
from stillhouse.results.gates import GateResult
from stillhouse.runs import Run, write_atomic, write_json
from stillhouse.session import DEFAULT_SESSION, Session
from stillhouse.settings import GateSettings, TeacherSettings
from stillhouse.task import Task

LONGEST_NAME = 60


@dataclass(frozen=True)
class ComparisonRun:
    """A finished comparison. `win_rates` None: no row is judged yet.

    `cost_usd`: paid in this run; None: at an unknown price.
    """

    folder: Path
    judgements: Path
    win_rates: WinRates | None
    gate: GateResult | None
    report: Path | None
    cost_usd: float | None
    # What is wrong with an answer's token counts -> number of answers. They are priced by their dearest reading.
    usage_doubts: Mapping[str, int] = field(default_factory=dict)


def compare(
    a: str,
    b: str,
    data: Path,
    session: Session = DEFAULT_SESSION,
    *,
    task: Path | Task | None = None,
    judge: str | None = None,
    people: People | None = None,
    rater: str = "",
    judgements: Path | None = None,
    gate: bool = False,
    margin: float | None = None,
    level: float | None = None,
    runs: Path = Path("runs"),
    reading: Reading | None = None,
    skip_bad: bool = False,
) -> ComparisonRun:
    """Compare `a` with `b` on the rows of `data`.

    Their answers, the judge's replies and the people's choices are kept as they come: the same command goes on.
    `task`: for prompted models, and its instruction is shown with every pair. One cap in dollars (`max_usd` in the
    session's settings, or the task's) holds for everything that is asked. `rater`: the name of who judges at `people`;
    each name has a sitting and choices of its own, and all count. `gate`: may A replace B? `margin` and `level` are the
    gate's; None: the task's. Raises UserError where the two have no row in common, and what models raise.
    """
    _check_name(rater)
    loaded = None if task is None else session.open_task(task)
    settings = session.over(TeacherSettings()) if loaded is None else loaded.teacher
    terms = _terms(GateSettings() if loaded is None else loaded.gate, margin, level) if gate else None
    rows = load_examples(data, task=loaded, reading=reading, skip_bad=skip_bad)
    home = data.parent if loaded is None else loaded.folder
    kept_in = judgements or (home / "judgements.jsonl" if loaded is None else loaded.resolve(loaded.gate.judgements))
    job = HeadToHead(
        a=a,
        b=b,
        rows=rows,
        task=loaded,
        settings=settings,
        judge=judge,
        people=people,
        rater=rater,
        judgements=kept_in,
        session=replace(session, store=session.store_in(home)),
    )
    name = f"{loaded.name if loaded else data.name.partition('.')[0]}-compare"
    with Run.resume_or_create(runs, name, "compare", _run_settings(job, data, terms)) as run:
        ledger = Ledger(settings.max_usd)
        try:
            judged = result_of(judged_pairs(job, ledger))
        finally:
            run.save(cost_usd=ledger.spent_usd)
        return _finish(job, run, judged, terms, ledger.spent_usd)


def against_teacher(
    model: str,
    data: Path,
    task: Task,
    session: Session,
    *,
    runs: Path = Path("runs"),
    reading: Reading | None = None,
    skip_bad: bool = False,
) -> ComparisonRun:
    """`evaluate` where the task's metric is a win rate: the model against the task's teacher, with the task's gate.

    The task's judge and what people chose decide.
    """
    judgements = task.resolve(task.gate.judgements)
    if task.gate.judge is None and not judgements.is_file():
        raise UserError(
            f'{task.path or task.name}: metric = "win_rate" needs judgements; name a `judge` in [gate], '
            "or judge with `stillhouse compare`"
        )
    return compare(
        model,
        session.teacher_for(task.teacher, task.path or task.name),
        data,
        session,
        task=task,
        judge=task.gate.judge,
        judgements=judgements,
        gate=True,
        runs=runs,
        reading=reading,
        skip_bad=skip_bad,
    )


def _check_name(rater: str) -> None:
    if rater and not (rater.isprintable() and rater == rater.strip() and len(rater) <= LONGEST_NAME):
        raise UserError(
            f"--rater {rater!r}: give a name of 1 to {LONGEST_NAME} printable characters, without spaces around it"
        )


def _terms(settings: GateSettings, margin: float | None, level: float | None) -> Terms:
    """What the gate demands: what was asked for, else the task's."""
    margin = settings.margin if margin is None else margin
    level = settings.level if level is None else level
    if not 0 < margin < 0.5:
        raise UserError(f"--margin {margin:g}: must lie between 0 and 0.5, as in 0.05 for a win rate of 45 %")
    if not 0.5 < level < 1:
        raise UserError(f"--level {level:g}: must lie between 0.5 and 1")
    return Terms(margin, level)


def _run_settings(job: HeadToHead, data: Path, terms: Terms | None) -> dict[str, Any]:
    """What makes a comparison another run."""
    return {
        "a": job.a,
        "b": job.b,
        "judge": job.judge,
        "rater": job.rater,
        "data": str(data),
        "fingerprint": job.rows.fingerprint,
        "judgements": str(job.judgements),
        "task": str(job.task.path) if job.task and job.task.path else None,
        "gate": asdict(terms) if terms else None,
    }


def _finish(
    job: HeadToHead, run: Run, judged: JudgedPairs, terms: Terms | None, cost_usd: float | None
) -> ComparisonRun:
    """Write every row with its choices and, where any row is judged, the result and the report."""
    lines = [
        json.dumps({**asdict(row), "input": pair.example.input, "a": pair.a, "b": pair.b}, ensure_ascii=False)
        for pair, row in zip(judged.pairs, judged.rows, strict=True)
    ]
    write_atomic(run.folder / "comparisons.jsonl", "".join(line + "\n" for line in lines))
    names = (_called(judged.sides[0]), _called(judged.sides[1]))
    n_left_out = len(job.rows.examples) - len(judged.pairs)
    rates_and_gate = win_rates(names, judged.pairs, judged.rows, judge=judged.judge, gate=terms, n_left_out=n_left_out)
    if rates_and_gate is None:
        return ComparisonRun(run.folder, job.judgements, None, None, None, cost_usd, judged.usage_doubts)
    rates, decided = rates_and_gate
    result = ComparisonResult(rates, _facts(job, run, terms, _paid(cost_usd, judged.judge)))
    write_json(run.folder / "result.json", to_dict(result))
    report = run.folder / "report.html"
    write_atomic(report, render_comparison(result))
    run.save(gate=decided.answer if decided else None)
    return ComparisonRun(run.folder, job.judgements, rates, decided, report, cost_usd, judged.usage_doubts)


def _facts(job: HeadToHead, run: Run, terms: Terms | None, paid: str) -> dict[str, str | None]:
    """How to run it again, for the report."""
    options = (f" --judge {job.judge}" if job.judge else "") + (f" --gate --margin {terms.margin:g}" if terms else "")
    return {
        "command": f"stillhouse compare {job.a} {job.b} {job.rows.path}{options}",
        "data": job.rows.path.name,
        "sha256": job.rows.fingerprint,
        "instruction": job.instruction,
        "judge": job.judge,
        "created": run.manifest["created"],
        "run": str(run.folder),
        "paid now": paid,
        "versions": ", ".join(f"{name} {number}" for name, number in run.manifest["versions"].items()),
    }


def _paid(cost_usd: float | None, judge: Judge | None) -> str:
    if cost_usd is not None:
        return f"${cost_usd:.4f}"
    if judge is not None and judge.stand_in:
        return "unknown at a model's price; a stand-in is not paid"
    return "at an unknown price"


def _called(side: Answers) -> str:
    return f"{side.name} (a stand-in)" if side.stand_in else side.name
