"""`label`: the teacher's answers to a task's rows."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.data.rows import StreamedRows
from stillhouse.errors import ExistsError
from stillhouse.records import Progress
from stillhouse.task import Task, default_store, load_task, teacher_name
from stillhouse.teacher.annotate import Consent, LabelReport
from stillhouse.teacher.annotate import label as annotate_to
from stillhouse.teacher.card import write_card
from stillhouse.teacher.terms import require_terms


@dataclass(frozen=True)
class Labelled:
    """Where the labels went, the report on them, and where the data set's card is."""

    out: Path
    report: LabelReport
    card: Path
    skipped: int = 0  # broken rows that were left out


async def label(
    task: Path | Task,
    *,
    data: Path | None = None,
    out: Path | None = None,
    teacher: str | None = None,
    settings: Mapping[str, Any] | None = None,
    store: Path | None = None,
    skip_bad: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    consent: Consent | None = None,
    batch: bool = False,
) -> Labelled:
    """Label `data`, or every file that the task names, into `out` (default: `teacher.jsonl` beside the task). Values of None in `settings` change nothing.

    Raises TermsError where the teacher's provider has a notice that was not confirmed yet (`teacher.terms.accept_terms`).
    """
    loaded = task if isinstance(task, Task) else load_task(task)
    loaded = loaded.with_teacher(**{name: value for name, value in (settings or {}).items() if value is not None})
    name = teacher_name(loaded, teacher)
    out = out or loaded.folder / "teacher.jsonl"
    files = [data] if data is not None else _data_files(loaded)
    stored = store or default_store(loaded)
    _refuse_overwriting(
        out,
        {
            *files,
            *_files_of(loaded),
            stored,
            *([loaded.resolve(name.removeprefix("recorded:"))] if name.startswith("recorded:") else []),
        },
    )
    require_terms(name, loaded.folder)
    with StreamedRows(files, loaded, scratch=out.parent, skip_bad=skip_bad) as rows:
        report = await annotate_to(
            name, loaded, rows, out=out, store_path=stored, on_progress=on_progress, consent=consent, batch=batch
        )
    return Labelled(out, report, write_card(out, loaded, report), rows.skipped)


def _refuse_overwriting(out: Path, used: set[Path]) -> None:
    """Raise ExistsError where the output, or the rejected rows beside it, would replace a file in use or one that `label` did not write."""
    for path in (out, out.with_suffix(".rejected.jsonl")):
        if path.resolve() in {other.resolve() for other in used}:
            raise ExistsError(f"{path} is a file of the task and would be overwritten; give another --out")
        if path.is_file() and not _is_ours(path):
            raise ExistsError(
                f"{path} is there already and holds something that was not labelled here; give another --out, or move it away"
            )


def _is_ours(path: Path) -> bool:
    """Whether the file's first row tells where it comes from; an empty file is nobody's."""
    try:
        with path.open(encoding="utf-8") as lines:
            first = lines.readline()
        return not first or "provenance" in json.loads(first)
    except (OSError, ValueError, TypeError):
        return False


def _files_of(task: Task) -> list[Path]:
    """Every file of rows that the task names, and its own."""
    named = [*task.data.also_test, *([task.teacher.examples] if task.teacher.examples else [])]
    return [*_data_files(task), *(task.resolve(name) for name in named), *([task.path] if task.path else [])]


def _data_files(task: Task) -> list[Path]:
    names = [getattr(task.data, part) for part in ("train", "validation", "calibration", "test", "unlabelled")]
    return [task.resolve(name) for name in names if name is not None]
