"""`label`: the teacher's answers to a task's rows."""

from dataclasses import dataclass, replace
from pathlib import Path

from stillhouse.data.raw_rows import Reading
from stillhouse.data.rows import StreamedRows
from stillhouse.errors import ExistsError
from stillhouse.evaluation.metrics import metric_for
from stillhouse.evaluation.proportions import clopper_pearson
from stillhouse.experiment.readiness import check_out, check_task
from stillhouse.experiment.streamed_lesson import StreamedLesson
from stillhouse.json_text import JsonError, read_json
from stillhouse.session import DEFAULT_SESSION, Session
from stillhouse.store.address import file_of
from stillhouse.task import Task
from stillhouse.teacher.annotate import LabelReport, Score
from stillhouse.teacher.annotate import label as annotate_to
from stillhouse.teacher.card import write_card
from stillhouse.teacher.terms import require_terms


@dataclass(frozen=True)
class LabelledFile:
    """Where the labels went, the report on them, and where the data set's card is."""

    out: Path
    report: LabelReport
    card: Path
    skipped: int = 0  # number of broken rows that were left out
    cut: tuple[str, ...] = ()  # of each file that could not be read to its end, a sentence
    notes: tuple[str, ...] = ()  # what was read off the files: encoding, separator, sheet


async def label(
    task: Path | Task,
    session: Session = DEFAULT_SESSION,
    *,
    data: Path | None = None,
    out: Path | None = None,
    batch: bool = False,
    reading: Reading | None = None,
    skip_bad: bool = False,
) -> LabelledFile:
    """Label `data`, or every file that the task names, into `out` (default: `teacher.jsonl` beside the task).

    `reading`: how the rows are read, where the task does not say it.

    `batch`: by the provider's batch API, at half the price.
    Raises TermsError where the provider's notice was not confirmed yet (`teacher.terms.accept_terms`).
    """
    loaded = session.open_task(task)
    name = session.teacher_for(loaded.teacher, loaded.path or loaded.name)
    out = out or loaded.folder / "teacher.jsonl"
    files = [data] if data is not None else _data_files(loaded)
    in_use = {*files, *_files_of(loaded)}
    if (store := file_of(session.store_in(loaded.folder))) is not None:
        in_use.add(store)
    if name.startswith("recorded:"):
        in_use.add(loaded.resolve(name.removeprefix("recorded:")))
    _refuse_overwriting(out, in_use)
    if data is None or loaded.student.ladder is not None:
        check_task(loaded)
    check_out(out)
    require_terms(name, loaded.folder)
    # A task that names no ladder may be labelled for whatever its rows are wanted for.
    lesson = StreamedLesson(loaded, whole=data is None) if loaded.student.ladder is not None else None
    note = None if lesson is None else lesson.note
    with StreamedRows(files, loaded, scratch=out.parent, reading=reading, skip_bad=skip_bad, note=note) as rows:
        if lesson is not None:
            lesson.check()
        report = await annotate_to(loaded, rows, session, out=out, batch=batch, score=_score_of(loaded))
    if report.gold is not None and report.gold.by_row:
        low, high = clopper_pearson(round(report.gold.score), report.gold.n)
        report = replace(report, gold=replace(report.gold, low=low, high=high))
    return LabelledFile(
        out, report, write_card(out, loaded, report), rows.skipped, tuple(rows.cut), tuple(dict.fromkeys(rows.notes))
    )


def _score_of(task: Task) -> tuple[str, bool, Score] | None:
    """How the teacher's labels are held against gold ones; None where pairs of answers would have to be judged."""
    if task.metric == "win_rate":
        return None
    metric = metric_for(task)
    return metric.name, metric.proportion, lambda label, gold, row: metric.score(label, gold, row)


def _refuse_overwriting(out: Path, in_use: set[Path]) -> None:
    """Raise ExistsError where the output, or the rejected rows beside it, would replace a file that must stay.

    These are the files in use, and files that `label` did not write.
    """
    for path in (out, out.with_suffix(".rejected.jsonl"), out.with_suffix(".differs.jsonl")):
        if path.is_dir():
            raise ExistsError(f"{path} is a folder, and a file is written there; give another --out")
        if path.resolve() in {other.resolve() for other in in_use}:
            raise ExistsError(f"{path} is a file of the task and would be overwritten; give another --out")
        if path.is_file() and not _is_ours(path):
            raise ExistsError(
                f"{path} is there already and holds something that was not labelled here; "
                "give another --out, or move it away"
            )


def _is_ours(path: Path) -> bool:
    """Whether the file's first row tells where it comes from; an empty file is nobody's."""
    try:
        with path.open("rb") as lines:
            first = lines.readline()
        return not first or "provenance" in read_json(first)
    except (OSError, JsonError, TypeError):
        return False


def _files_of(task: Task) -> list[Path]:
    """Every file of rows that the task names, and its own."""
    named = [*task.data.also_test, *([task.teacher.examples] if task.teacher.examples else [])]
    return [*_data_files(task), *(task.resolve(name) for name in named), *([task.path] if task.path else [])]


def _data_files(task: Task) -> list[Path]:
    names = [getattr(task.data, part) for part in ("train", "validation", "calibration", "test", "unlabelled")]
    return [task.resolve(name) for name in names if name is not None]
