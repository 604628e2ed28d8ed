"""`evaluate`: any predictor on any dataset, with intervals."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stillhouse.data.copies import Distinct, distinct
from stillhouse.data.dataset import load_examples
from stillhouse.data.generated import n_generated
from stillhouse.data.raw_rows import Reading
from stillhouse.errors import ExistsError, UserError
from stillhouse.evaluation.harness import ArmSummary, summarise, time_single
from stillhouse.evaluation.harness import evaluate as evaluate_rows
from stillhouse.evaluation.metrics import Metric, metric_for
from stillhouse.event_loop import result_of
from stillhouse.experiment.gold_queries import with_sound_queries
from stillhouse.experiment.readiness import check_out
from stillhouse.experiment.rows_without_gold import how_others_differ
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.prompted import PromptedPredictor
from stillhouse.llm.recorded import RecordedTeacher
from stillhouse.records import Example, Predictor, Source
from stillhouse.results.row_result import RowResult, write_rows
from stillhouse.serving.cascade import CascadePredictor
from stillhouse.serving.predictors import agree_to, folder_of_student, open_predictor, task_of_model
from stillhouse.session import DEFAULT_SESSION, Session
from stillhouse.student import Student
from stillhouse.student.learned_rows import CALIBRATION, learned_among
from stillhouse.task import Task
from stillhouse.verdict.wording import scored as in_words


@dataclass(frozen=True)
class Evaluated:
    """A model on a dataset.

    `scored_against` "teacher": the rows have no gold labels, so the score is agreement with the teacher.
    """

    model: str
    metric: str
    scored_against: Source
    summary: ArmSummary
    rows: list[RowResult]
    warnings: tuple[str, ...] = ()
    paid_usd: float | None = 0.0  # for the calls made now; None: at an unknown price


def evaluate(
    model: str,
    data: Path,
    session: Session = DEFAULT_SESSION,
    *,
    task: Path | Task | None = None,
    out: Path | None = None,
    reading: Reading | None = None,
    skip_bad: bool = False,
    anyway: bool = False,
) -> Evaluated:
    """Measure `model` (a name, or a student's or run's folder) on `data`, which is read as `reading` or the task says.

    `task` is needed for prompted models and for `sql_execution`. With `out` every row's answer and score go there. Rows
    that a student learned from, or was chosen by, are refused; `anyway` measures them all the same, and says so.
    """
    if out is not None and out.exists():
        raise ExistsError(f"{out} is there already; give another file, nothing is overwritten")
    loaded = None if task is None else session.open_task(task)
    name = f"student:{model}" if ":" not in model and Path(model).is_dir() else model
    return result_of(_evaluate(name, data, loaded, session, out, reading, skip_bad, anyway))


async def _evaluate(
    name: str,
    data: Path,
    task: Task | None,
    session: Session,
    out: Path | None,
    reading: Reading | None,
    skip_bad: bool,
    anyway: bool,
) -> Evaluated:
    async with open_predictor(name, task, store=session.store, over=session.open_task) as predictor:
        scored_by = _task_of(name, task or task_of_model(name) or getattr(predictor, "task", None))
        loaded = load_examples(data, task=scored_by, reading=reading, skip_bad=skip_bad)
        copies = scored_by.data.copies
        read = Distinct(list(loaded.examples), 0, 0) if copies == "traffic" else distinct(loaded.examples)
        unanswered = _unanswered(predictor, read.rows)
        source: Source = "gold" if any(row.label is not None for row in read.rows) else "teacher"
        sound = with_sound_queries(scored_by, read.rows, of="gold" if source == "gold" else "teacher")
        scored = [row for row in sound.rows if row.target(source) is not None]
        if not scored:
            raise UserError(
                f"{data}: none of its {len(read.rows):,} rows has a label to score against; "
                "give rows with `label`, or with `teacher_label` for the agreement with a teacher"
            )
        seen, learned = _learned(name, scored, anyway, traffic=copies == "traffic")
        metric = metric_for(scored_by)
        if out is not None:
            check_out(out)
        await agree_to(predictor, scored, session)
        rows = await evaluate_rows(predictor, scored, metric, source=source, on_progress=session.on_progress)
        if out is not None:
            write_rows(out, rows, arm=predictor.name)
        drawn = _with_copies(read, loaded.examples, rows, metric) if copies is None else []
        if copies == "traffic" and 0 < len(learned) < len(rows):
            new = summarise([row for row in rows if row.id not in learned], metric).score
            drawn = [f"on rows whose input the student did not learn from it scores {in_words(new)}"]
        others: list[str] = []
        if dropped := len(sound.rows) - len(scored):
            have, were = ("has", "was") if dropped == 1 else ("have", "were")
            left_out = f"{dropped:,} of {len(sound.rows):,} rows {have} no {source} label and {were} left out"
            others = [left_out, *how_others_differ(sound.rows, has_teacher=True)]
        n_skipped, first = len(loaded.skipped), next(iter(loaded.skipped), None)
        skipped = [f"{n_skipped} broken rows were skipped; the first: {first}"] if n_skipped else []
        # In the order in which they say how far the score can be believed (`doubts`).
        if n_made := n_generated(scored):
            seen = [f"{n_made:,} of {len(scored):,} rows were generated by a model: the score is for such rows", *seen]
        warnings = (*seen, *others, *drawn, *sound.warnings, *unanswered, *read.said_of("given"), *skipped)
        warnings = (*warnings, *_doubts(rows), *loaded.notes)
        # A student answers many rows at once. An app sends them one by one.
        one_by_one = None
        if isinstance(predictor, Student):
            one_by_one = await time_single(predictor, scored, on_progress=session.on_progress)
        summary = summarise(rows, metric, latencies_s=one_by_one.took if one_by_one else None)
        return Evaluated(predictor.name, metric.name, source, summary, rows, warnings, _paid(predictor))


def _with_copies(read: Distinct, every: Sequence[Example], rows: Sequence[RowResult], metric: Metric) -> list[str]:
    """The score if copies are traffic, where there are any: a copy scores as the row that it repeats."""
    by_id = {row.id: row for row in rows}
    kept = [(row, by_id.get(read.kept_for.get(row.id, row.id))) for row in every]
    drawn = [replace(scored_row, id=row.id, group=row.group) for row, scored_row in kept if scored_row is not None]
    if len(drawn) == len(rows):
        return []
    return [f"if copies are traffic, each of them weighs, and the score is {in_words(summarise(drawn, metric).score)}"]


def _paid(predictor: Predictor) -> float | None:
    """What the calls made now cost, US$; None: unknown."""
    asked = predictor.teacher if isinstance(predictor, CascadePredictor) else predictor
    if not isinstance(asked, PromptedPredictor) or not isinstance(asked.model, MeteredModel):
        return 0.0
    ledger = asked.model.ledger
    return ledger.spent_usd if isinstance(ledger, Ledger) else None


def _learned(name: str, rows: Sequence[Example], anyway: bool, *, traffic: bool) -> tuple[list[str], set[str]]:
    """(what to say of rows that the student behind this name has learned from, their ids).

    Raises UserError where there are any. In traffic inputs come again, and it is raised where no row is new.
    """
    folder = folder_of_student(name)
    if folder is None:
        return [], set()
    learned = learned_among(folder, rows)
    kind, _, run = name.partition(":")
    of_threshold = (learned_among(Path(run), rows, CALIBRATION) or []) if kind == "cascade" else []
    if learned is None and not of_threshold:
        return ["which rows the student learned from is not known: an earlier version trained it"], set()
    known = {row.id: row for row in (*(learned or ()), *of_threshold)}
    if not known:
        return [], set()
    learned, ids = list(known.values()), set(known)
    those = f"those that the student learned from or was chosen by{', or its threshold' if of_threshold else ''}"
    seen = f"{len(learned):,} of {len(rows):,} rows {'is' if len(learned) == 1 else 'are'} among {those}"
    if traffic and len(learned) < len(rows):
        return [f"{seen}, as repeats in traffic are"], ids
    if not anyway:
        raise UserError(
            f"{folder}: {seen} (the first is {learned[0].id}), so its score says nothing of new rows; "
            "give held-out rows, or --anyway to measure these all the same"
        )
    return [f"measured anyway: {seen}; the score says nothing of new rows"], ids


def _doubts(rows: Sequence[RowResult]) -> list[str]:
    """A sentence for each way in which the provider's token counts do not add up, with the number of answers."""
    counts = Counter(row.usage_doubt for row in rows if row.usage_doubt is not None)
    return [f"{n} answers are priced by their dearest reading: {doubt}" for doubt, n in counts.most_common(3)]


def _unanswered(predictor: object, rows: Sequence[Example]) -> list[str]:
    """What to say of rows that a recorded model has no answer to. Raises DatasetError where it has none to any."""
    missing = predictor.check(rows) if isinstance(predictor, RecordedTeacher) else None
    return [] if missing is None else [missing]


def _task_of(name: str, task: object) -> Task:
    """The task that says how answers are scored: the one given, else the student's own. Raises UserError."""
    if not isinstance(task, Task):
        raise UserError(f"{name}: the task is not known; give --task")
    if task.metric == "win_rate":
        raise UserError(
            f"{task.name} is scored by a win rate against its teacher; give --task, whose file names teacher and judge"
        )
    if task.metric == "sql_execution" and task.database is None:
        raise UserError(f"{task.name} is scored by running queries; give --task, whose file names the database")
    return task
