"""`generate`: new exercises from seed tasks, or new inputs for a task, screened and written with their origin."""

from dataclasses import dataclass, replace
from pathlib import Path

from stillhouse.consent import Bulk, Shown
from stillhouse.data.dataset import json_rows
from stillhouse.data.splits import Splits, load_splits
from stillhouse.errors import ExistsError, UserError
from stillhouse.experiment.held_out import held_out_of, refuse_copies
from stillhouse.experiment.readiness import check_out, check_task
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.models import open_model
from stillhouse.records import Example
from stillhouse.runs import Lock
from stillhouse.session import DEFAULT_SESSION, Session
from stillhouse.settings import TeacherSettings
from stillhouse.store import open_store
from stillhouse.task import Task
from stillhouse.teacher.diversity import MOST, drawn
from stillhouse.teacher.generated_rows import GenerateReport, report_of, row_of, write_rows
from stillhouse.teacher.generation import BulkConsent, Sources, Wanted, from_seeds, from_task, with_context
from stillhouse.teacher.generation_card import write_generation_card
from stillhouse.teacher.generation_settings import GenerationSettings
from stillhouse.teacher.held_out import HeldOut
from stillhouse.teacher.root_verbs import PER_CALL, Parsed, ask_root_verbs
from stillhouse.teacher.self_instruct import generate as generate_proposals
from stillhouse.teacher.terms import require_terms

EXERCISES = "exercises"  # the rows made where there is no task are called exercises


@dataclass(frozen=True, kw_only=True)
class GeneratedFiles:
    """The files that were written and the report, with the texts that the rows' diversity is computed from."""

    out: Path
    files: list[Path]
    report: GenerateReport
    texts: list[str]
    seeds: list[str]  # the texts that the rows were made from
    made_from: str  # "seeds" or "training rows"
    parsed: Parsed | None = None  # root verbs as the teacher reads them, where the user asked for that


async def generate(
    task: Path | Task | None,
    wanted: Wanted,
    session: Session = DEFAULT_SESSION,
    *,
    seeds: Path | str | None = None,
    asking: GenerationSettings | None = None,
    out: Path | None = None,
    skip_bad: bool = False,
    verbs_by_teacher: bool = False,
) -> GeneratedFiles:
    """New rows into `out` (default: `generated.jsonl` beside the task).

    With `seeds`: exercises, and also in Alpaca's JSON; without: inputs for the task. Where the session has a `consent`,
    an endpoint that bills is asked one round, and the rest if `consent` says yes to what it will cost.
    `verbs_by_teacher`: once the rows are written, the teacher is asked for their root verbs, within the same cap.

    Raises LeakageError where rows that were generated before resemble held-out ones, TermsError where the provider's
    notice was not confirmed, BudgetError and TeacherError where nothing could be had. What was paid for is stored.
    """
    if task is None and seeds is None:
        raise UserError(
            "nothing to generate from; give a task, whose inputs are then made, or --seeds FILE (or --seeds builtin) "
            "for new exercises"
        )
    _check_cap(session)
    loaded = None if task is None else session.open_task(task)
    settings = session.over(TeacherSettings()) if loaded is None else loaded.teacher
    folder = Path.cwd() if loaded is None else loaded.folder
    name = session.teacher_for(settings, EXERCISES if loaded is None else loaded.path or loaded.name)
    if name.startswith("recorded:"):
        raise UserError(
            f"{name}: recorded answers answer rows that are there and make no new ones; name an endpoint with --teacher"
        )
    if loaded is not None:
        check_task(loaded)
    out = out or folder / "generated.jsonl"
    check_out(out)
    require_terms(name, folder)
    _refuse_overwriting(out, loaded)
    asking = await with_context(asking or GenerationSettings(), name, settings)
    sources = _sources(loaded, seeds, out, name, wanted, asking, skip_bad)
    at_once = settings.concurrency or 32
    lock = Lock(out.with_name(f".{out.name}.lock"), str(out))
    with lock, open_store(session.store_in(folder)) as store:
        ledger = Ledger(settings.max_usd)
        model = open_model(name, settings, store, ledger)
        verbs = _verb_calls(model, wanted.n) if verbs_by_teacher else None
        session = session.before(verbs)
        agree = None if session.asks is None or not model.bills else BulkConsent(model, session.asks)
        try:
            generation = await generate_proposals(
                model,
                sources.planner,
                sources.screen,
                wanted.n,
                at_once=at_once,
                on_progress=session.on_progress,
                agree=agree,
            )
            rows = [row_of(candidate, store, model, settings.licence) for candidate in sources.screen.kept]
            sources.screen.held_out.refuse([Example(row["id"], row["input"]) for row in rows], str(out))
            files = write_rows(out, rows, sources.screen, exercises=seeds is not None)
            texts, parsed = [candidate.text for candidate in sources.screen.kept], None
            session.begins(verbs)
            if verbs_by_teacher and texts:
                parsed = await ask_root_verbs(
                    model, drawn(texts), agree=agree, at_once=at_once, on_progress=session.on_progress
                )
        finally:
            await model.close()
        report = report_of(generation, sources, rows, model, asking, n=wanted.n, cost_usd=ledger.spent_usd)
        whose = (
            f"the seeds {Path(seeds).name}"
            if seeds is not None
            else f"the training rows of {'' if loaded is None else loaded.name}"
        )
        files.append(write_generation_card(out, rows, report, whose, asking))
    return GeneratedFiles(
        out=out,
        files=files,
        report=report,
        texts=texts,
        seeds=[text for _, text in sources.known],
        made_from=sources.made_from,
        parsed=parsed,
    )


def _verb_calls(model: MeteredModel, n: int) -> Bulk:
    """The calls about the root verbs of the rows, each at most at the price of one that asks for rows."""
    n_calls = -(-min(n, MOST) // PER_CALL)

    def cost_usd(shown: Shown) -> float | None:
        return None if shown.usd_per_call is None else n_calls * shown.usd_per_call

    return Bulk(n_calls, model.name, model.price_snapshot, cost_usd)


def _check_cap(session: Session) -> None:
    cap = session.settings.get("max_usd")
    if cap is not None and cap <= 0:
        raise UserError(f"--max-usd {cap:g} pays for no call; give what you would spend, or leave it out for no cap")


def _refuse_overwriting(out: Path, task: Task | None) -> None:
    """Raise ExistsError where the output is a file of the task, or holds something that `generate` did not write."""
    if task is not None:
        data = task.data
        names = [data.train, data.validation, data.calibration, data.test, *data.also_test]
        in_use = {task.resolve(name) for name in names if name is not None}
        if out.resolve() in in_use or out.resolve() == task.path:
            raise ExistsError(f"{out} is a file of the task and would be overwritten; give another --out")
    if out.is_dir():
        raise ExistsError(f"{out} is a folder, and a file is written there; give another --out")
    if out.exists() and not all("lineage" in row for _, row in json_rows(out)):
        raise ExistsError(f"{out} is there already and holds rows that were not generated; give another --out")


def _sources(
    task: Task | None,
    seeds: Path | str | None,
    out: Path,
    model: str,
    wanted: Wanted,
    asking: GenerationSettings,
    skip_bad: bool,
) -> Sources:
    """From seeds where they are given, else from the task's rows. Nothing generated may resemble a held-out row."""
    if task is None:
        assert seeds is not None
        return from_seeds(seeds, HeldOut(), model, wanted, asking)
    splits = _splits(task, out, skip_bad)
    held_out = held_out_of(splits)
    if seeds is None:
        return from_task(task, splits, held_out, model, wanted, asking)
    sources = from_seeds(seeds, held_out, model, wanted, asking)
    return replace(sources, warnings=[*splits.warnings, *splits.notes, *sources.warnings])


def _splits(task: Task, out: Path, skip_bad: bool) -> Splits:
    """The task's rows without what an earlier generation wrote to this output: it is made anew."""
    if task.data.unlabelled is not None and task.resolve(task.data.unlabelled) == out.resolve():
        task = replace(task, data=task.data.model_copy(update={"unlabelled": None}))
    splits = load_splits(task, skip_bad=skip_bad)
    refuse_copies(splits)  # refuse copies of rows from earlier generations before anything more is paid for
    return splits
