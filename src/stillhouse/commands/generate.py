"""`generate`: new exercises from seed tasks, or new inputs for a task, screened and written as dataset rows with their origin."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stillhouse.data.dataset import json_rows, label_set
from stillhouse.data.splits import Splits, load_splits
from stillhouse.errors import ExistsError, UserError
from stillhouse.experiment.held_out import held_out_of, refuse_copies
from stillhouse.llm.context import context_window, listed_window
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.models import endpoint, open_model
from stillhouse.records import Example, Progress
from stillhouse.runs import Lock, storage_errors, write_atomic, write_json
from stillhouse.store import Store, open_store
from stillhouse.task import Task, default_store, load_task, teacher_name
from stillhouse.teacher.annotate import Consent
from stillhouse.teacher.diversity import drawn
from stillhouse.teacher.filters import THRESHOLD, RougeFilter
from stillhouse.teacher.generation_settings import GenerationSettings
from stillhouse.teacher.held_out import HeldOut
from stillhouse.teacher.inputs import NEW, TaskInputs
from stillhouse.teacher.instructions import Exercises, load_seeds
from stillhouse.teacher.lsh import LshFilter
from stillhouse.teacher.pilot import Quote, total_cost
from stillhouse.teacher.provenance import licence_class, prompt_hash, provenance
from stillhouse.teacher.root_verbs import Parsed, ask_root_verbs
from stillhouse.teacher.rules import switched
from stillhouse.teacher.screen import Candidate, Passing, Screen
from stillhouse.teacher.self_instruct import Generation, Planner
from stillhouse.teacher.self_instruct import generate as generate_proposals
from stillhouse.teacher.terms import require_terms

NEAR: dict[str, type[RougeFilter | LshFilter]] = {"rouge-l": RougeFilter, "minhash": LshFilter}


@dataclass(frozen=True)
class Wanted:
    """What to generate and what to refuse."""

    n: int = 100
    ways: tuple[str, ...] = (NEW,)  # of a task's inputs: new ones, and kinds of variants
    balance: bool = False  # as many inputs for each class
    rules_off: tuple[str, ...] = ()  # of Alpaca's rules
    near: str = (
        "rouge-l"  # compares with every row; "minhash" with those that MinHash proposes, for more than a million rows
    )
    threshold: float | None = None  # of ROUGE-L's F; None: Alpaca's

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UserError(f"n = {self.n} asks for no row; give 1 or more")
        if self.near not in NEAR:
            raise UserError(f"{self.near!r} is no measure of nearness; give {' or '.join(NEAR)}")


@dataclass(frozen=True)
class GenerateReport:
    """What a generation gave. `cost_usd` is what this command paid; None: a price was unknown. `dropped`: reason -> proposals."""

    teacher: str
    n: int
    kept: int
    stopped: str
    why: str | None
    calls: int
    from_store: int
    dropped: dict[str, int]
    curve: list[tuple[int, int]]  # per call: proposals asked for, proposals kept
    held_out: int  # rows that nothing generated may resemble
    known: int  # seeds or training rows that nothing generated may repeat
    filters: list[Passing]  # in the order in which they judged: proposals that came to each, and that went on
    context_tokens: int | None = (
        None  # of the model, which no prompt may pass; None: not known, so the prompts were not checked
    )
    context_from: str | None = None  # who says so
    cost_usd: float | None = None
    price_snapshot: str | None = None
    stand_in: bool = False
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Generated:
    """The files that were written, the report, and what the diversity of the rows is computed from: their texts, and those they were made from."""

    out: Path
    files: list[Path]
    report: GenerateReport
    texts: list[str]
    seeds: list[str]
    made_from: str  # "seeds" or "training rows"
    parsed: Parsed | None = None  # root verbs as the teacher reads them, where it was asked for them


@dataclass(frozen=True)
class _Sources:
    """What is shown to the teacher, and what is known before it is asked."""

    planner: Planner
    screen: Screen
    known: list[tuple[str, str]]  # id, text
    warnings: list[str]


async def generate(
    task: Path | Task | None,
    wanted: Wanted,
    *,
    seeds: Path | str | None = None,
    asking: GenerationSettings | None = None,
    out: Path | None = None,
    teacher: str | None = None,
    settings: Mapping[str, Any] | None = None,
    store: Path | None = None,
    skip_bad: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    consent: Consent | None = None,
    verbs_by_teacher: bool = False,
) -> Generated:
    """New rows into `out` (default: `generated.jsonl` beside the task). With `seeds`: exercises, and also in Alpaca's JSON; without: inputs for the task.

    With `consent`, an endpoint that bills is asked one round, and the rest where `consent` says yes to what it will cost. `verbs_by_teacher`: once the rows are
    written, the teacher is asked for their root verbs, within the same cap.

    Raises UserError for what cannot be asked, LeakageError where rows that were generated before resemble held-out ones, TermsError where the provider's
    notice was not confirmed, BudgetError and TeacherError where nothing could be had; what was paid for is in the store.
    """
    loaded = _task(task, seeds)
    changes = {name: value for name, value in (settings or {}).items() if value is not None}
    if (cap := changes.get("max_usd")) is not None and cap <= 0:
        raise UserError(f"--max-usd {cap:g} pays for no call; give what you would spend, or leave it out for no cap")
    loaded = loaded.with_teacher(**changes)
    name = teacher_name(loaded, teacher)
    if name.startswith("recorded:"):
        raise UserError(
            f"{name}: recorded answers answer rows that are there and make no new ones; name an endpoint with --teacher"
        )
    require_terms(name, loaded.folder)
    out = _out(out or loaded.folder / "generated.jsonl", loaded)
    asking = await _with_context(asking or GenerationSettings(), name, loaded)
    if asking.reasoning_effort is None:
        asking = replace(asking, reasoning_effort=loaded.teacher.reasoning_effort)
    sources = _sources(loaded, None if task is None else _splits(loaded, out, skip_bad), seeds, name, wanted, asking)
    with storage_errors(out):
        lock = Lock(out.with_name(f".{out.name}.lock"), str(out))
    with lock, open_store(store or default_store(loaded)) as opened:
        ledger = Ledger(loaded.teacher.max_usd)
        model = open_model(name, loaded, opened, ledger)
        try:
            at_once = loaded.teacher.concurrency or 32
            agree = None if consent is None or not model.bills else _Agreement(model, consent)
            generation = await generate_proposals(
                model, sources.planner, sources.screen, wanted.n, at_once=at_once, on_progress=on_progress, agree=agree
            )
            rows = [_row(candidate, opened, model, loaded) for candidate in sources.screen.kept]
            sources.screen.held_out.refuse([Example(row["id"], row["input"]) for row in rows], str(out))
            files = _write(out, rows, sources.screen, exercises=seeds is not None)
            texts, parsed = [candidate.text for candidate in sources.screen.kept], None
            if verbs_by_teacher and texts:
                parsed = await ask_root_verbs(
                    model, drawn(texts), agree=agree, at_once=at_once, on_progress=on_progress
                )
        finally:
            await model.close()
        report = _report(name, wanted, generation, sources, ledger, model, rows, asking)
    known = [text for _, text in sources.known]
    return Generated(out, files, report, texts, known, "training rows" if seeds is None else "seeds", parsed)


def _task(task: Path | Task | None, seeds: Path | str | None) -> Task:
    if task is not None:
        return task if isinstance(task, Task) else load_task(task)
    if seeds is None:
        raise UserError(
            "nothing to generate from; give a task, whose inputs are then made, or --seeds FILE (or --seeds builtin) for new exercises"
        )
    return Task("exercises", "Do the exercise.", "text", folder=Path.cwd())


async def _with_context(asking: GenerationSettings, name: str, task: Task) -> GenerationSettings:
    """The settings with the model's context, from the first that knows it: the user, the table of models, the endpoint's own list."""
    if asking.context_tokens is not None:
        return asking
    if task.teacher.context_tokens is not None:
        return replace(asking, context_tokens=task.teacher.context_tokens, context_from="context_tokens in [teacher]")
    if (window := context_window(name)) is not None:
        return replace(asking, context_tokens=window, context_from=f"genai-prices {version('genai-prices')}")
    if name.startswith(("http://", "https://")) and (window := await listed_window(*endpoint(name))) is not None:
        return replace(asking, context_tokens=window, context_from="the endpoint's list of models")
    return asking


def _out(out: Path, task: Task) -> Path:
    """The output's path. Raises ExistsError where it holds something that `generate` did not write."""
    data = task.data
    used = [getattr(data, part) for part in ("train", "validation", "calibration", "test")] + list(data.also_test)
    if out.resolve() in {task.resolve(name) for name in used if name is not None} or (
        task.path is not None and out.resolve() == task.path
    ):
        raise ExistsError(f"{out} is a file of the task and would be overwritten; give another --out")
    if out.exists() and not all("lineage" in row for _, row in json_rows(out)):
        raise ExistsError(f"{out} is there already and holds rows that were not generated; give another --out")
    return out


def _splits(task: Task, out: Path, skip_bad: bool) -> Splits:
    """The task's rows without what an earlier generation wrote to this output: it is made anew."""
    if task.data.unlabelled is not None and task.resolve(task.data.unlabelled) == out.resolve():
        task = replace(task, data=task.data.model_copy(update={"unlabelled": None}))
    splits = load_splits(task, skip_bad=skip_bad)
    refuse_copies(splits)  # of earlier generations; before anything more is paid for
    return splits


def _sources(
    task: Task, splits: Splits | None, seeds: Path | str | None, model: str, wanted: Wanted, asking: GenerationSettings
) -> _Sources:
    near = NEAR[wanted.near](THRESHOLD if wanted.threshold is None else wanted.threshold)
    held_out = HeldOut() if splits is None else held_out_of(splits)
    screen = Screen(rules={}, near=near, near_name=wanted.near, held_out=held_out)
    warnings = [] if splits is None else list(splits.warnings)
    if seeds is not None:
        if wanted.balance or wanted.ways != (NEW,):
            raise UserError("--balance and --evolve make inputs for a task; leave them out with --seeds")
        tasks, left_out = load_seeds(seeds)
        screen.rules = switched(wanted.rules_off)
        known = [(seed.id, seed.instruction) for seed in tasks]
        planner: Planner = Exercises(model, tasks, asking)
        warnings += left_out
    else:
        assert splits is not None
        if wanted.rules_off:
            raise UserError(
                "Alpaca's rules judge instructions; a task's inputs are not judged by them, so leave --without out"
            )
        pool = [*splits.train, *splits.unlabelled]
        rows = [row for row in pool if "lineage" not in row.extra]  # real rows alone are parents
        if not rows:
            raise UserError(
                f"{task.path or task.name}: all training rows were generated, and none is left to show; add real ones"
            )
        labels = label_set(rows, task) if wanted.balance else ()
        if wanted.balance and task.output != "choice":
            raise UserError(f'--balance needs classes, and the output of {task.name} is "{task.output}"; leave it out')
        planner = TaskInputs(model, task, rows, asking, ways=wanted.ways, labels=labels)
        known = [(row.id, row.text) for row in pool]
    for id_, text in known:
        screen.know(text, id_)
    return _Sources(planner, screen, known, warnings)


@dataclass(frozen=True)
class _Agreement:
    """The user's consent to calls in bulk, of which the first round is the pilot."""

    model: MeteredModel
    consent: Consent

    def before(self, n_calls: int) -> None:
        self.consent.before(Quote(n_calls, self.model.name, price_snapshot=self.model.price_snapshot))

    def after(self, costs: Sequence[float | None], n_calls: int) -> None:
        known = [cost for cost in costs if cost is not None]
        if len(known) < len(costs) or not known:
            self.consent.after(Quote(n_calls, self.model.name))
        else:
            self.consent.after(
                Quote(n_calls, self.model.name, total_cost(known, n_calls), sum(known), self.model.price_snapshot)
            )


def _row(candidate: Candidate, store: Store, model: MeteredModel, task: Task) -> dict[str, Any]:
    """The dataset row with its origin. The date and the price are those of the paid call, also where it was paid for long ago."""
    stored = store.get(candidate.row["lineage"]["request"])
    assert stored is not None  # it was read a moment ago
    without = {"without": stored.response["lacking"]} if "lacking" in stored.response else {}
    origin = provenance(
        model.name,
        date=stored.created,
        prompt_hash=prompt_hash([message for message in stored.request["messages"] if message["role"] == "system"]),
        parameters={**stored.request["parameters"], **without},
        price_snapshot=stored.price_snapshot,
        licence=licence_class(model.name, stand_in=model.stand_in, stated=task.teacher.licence),
    )
    return {**candidate.row, "provenance": origin}


def _report(
    name: str,
    wanted: Wanted,
    generation: Generation,
    sources: _Sources,
    ledger: Ledger,
    model: MeteredModel,
    rows: Sequence[Mapping[str, Any]],
    asking: GenerationSettings,
) -> GenerateReport:
    screen = sources.screen
    without = sorted({name for row in rows for name in row["provenance"]["parameters"].get("without", ())})
    told = [f"{name} takes no {' and no '.join(without)}: rows were asked at its own default"] if without else []
    return GenerateReport(
        teacher=name,
        n=wanted.n,
        kept=len(screen.kept),
        stopped=generation.stopped,
        why=generation.why,
        calls=len(generation.curve),
        from_store=generation.from_store,
        dropped=screen.reasons,
        curve=[(point.asked, point.kept) for point in generation.curve],
        held_out=len(screen.held_out),
        known=len(sources.known),
        filters=screen.passing,
        context_tokens=asking.context_tokens,
        context_from=asking.context_from if asking.context_tokens is not None else None,
        cost_usd=ledger.spent_usd,
        price_snapshot=next(
            (row["provenance"]["price_snapshot"] for row in rows if row["provenance"]["price_snapshot"]), None
        ),
        stand_in=model.stand_in,
        warnings=[*sources.warnings, *told],
    )


def _write(out: Path, rows: Sequence[Mapping[str, Any]], screen: Screen, *, exercises: bool) -> list[Path]:
    """The rows, what was dropped and why, and exercises in Alpaca's JSON as well."""
    dropped = out.with_suffix(".dropped.jsonl")
    write_atomic(out, _lines(rows))
    write_atomic(dropped, _lines([asdict(drop) for drop in screen.dropped]))
    if not exercises:
        return [out, dropped]
    alpaca = out.with_suffix(".alpaca.json")
    write_json(alpaca, [_alpaca(row) for row in rows])
    return [out, dropped, alpaca]


def _alpaca(row: Mapping[str, Any]) -> dict[str, str]:
    asked = row["input"]
    parts = {"instruction": asked, "input": ""} if isinstance(asked, str) else dict(asked)
    return {**parts, "output": row["teacher_label"]}


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
