"""A run's own copy of its task: `task/` in the run's folder, with every file that the task's text names.

Whoever opens the run asks with this copy, so a run that is copied or moved answers the same, and a change of the
original task file changes nothing of what is served. It holds what answering and scoring need: the prompt, its schema
and worked examples, the teacher with its parameters and recorded answers, the database of `sql_execution`. It holds no
rows and no path out of the run.
"""

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from stillhouse.errors import UserError
from stillhouse.llm.prompt_pins import recorded_file
from stillhouse.runs import TASK_FILE, storage_errors, write_atomic
from stillhouse.sqlite_walls import connect
from stillhouse.task import Task

_HEAD = "# The task as this run asked it: its own copy, which is what is served. `stillhouse distill` wrote it.\n\n"


def keep_task(run: Path, task: Task, teacher: str | None) -> None:
    """Write the copy; `teacher` is the model that was asked, by name. Raises UserError for a file that cannot be read.

    A run that is gone on with has its copy already: it is written again from the same task.
    """
    path = run / TASK_FILE
    teacher_section = _set(task.teacher.model_dump(mode="json", exclude={"examples", "tokenizer"}))
    teacher_section |= {} if teacher is None else {"model": _kept_teacher(path.parent, task, teacher)}
    if task.teacher.examples is not None:
        teacher_section["examples"] = _copy(task.resolve(task.teacher.examples), path.parent / "worked.jsonl")
    if task.teacher.tokenizer is not None:
        given = task.resolve(task.teacher.tokenizer)
        teacher_section["tokenizer"] = _copy(
            given / "tokenizer.json" if given.is_dir() else given, path.parent / "tokenizer.json"
        )
    sections = {
        "task": _set(_asked(path.parent, task)),
        "teacher": teacher_section,
        "gate": _set(task.gate.model_dump(mode="json", exclude={"judgements"})),
        "money": _set(task.money.model_dump(exclude_none=True)),
    }
    write_atomic(path, _HEAD + tomli_w.dumps(sections))


def _asked(out: Path, task: Task) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "name": task.name,
        "instruction": task.instruction,
        "output": task.output,
        "labels": None if task.labels is None else list(task.labels),
        "metric": task.metric,
    }
    if task.schema is not None:
        write_atomic(out / "schema.json", json.dumps(task.schema, indent=2, ensure_ascii=False) + "\n")
        asked["json_schema"] = "schema.json"
    if task.database is not None:
        asked["database"] = _copy_database(task.database, out / "database.db")
    return asked


def kept_name(teacher: str) -> str:
    """The teacher's name as a run's own copy of its task has it: recorded answers lie beside the copy."""
    kind, _, place = teacher.partition(":")
    return f"recorded:recorded/{Path(place).name}" if kind == "recorded" else teacher


def _kept_teacher(out: Path, task: Task, teacher: str) -> str:
    name = kept_name(teacher)
    if name != teacher:
        _copy(recorded_file(teacher.removeprefix("recorded:"), task), out / name.removeprefix("recorded:"))
    return name


def _set(section: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that are set; TOML has no null."""
    return {key: value for key, value in section.items() if value is not None}


def _copy(file: Path, to: Path) -> str:
    """Copy a file that the task names. Returns its name in the copy."""
    try:
        content = file.open("rb")
    except OSError as error:
        raise UserError(
            f"{file}: cannot be read ({error.strerror}), and the run keeps a copy of it; mend its name in the task file"
        ) from None
    with content, storage_errors(to):
        to.parent.mkdir(parents=True, exist_ok=True)
        partial = to.with_name(f".{to.name}.partial")
        with partial.open("wb") as copied:
            shutil.copyfileobj(content, copied)
        partial.replace(to)
    return to.name


def _copy_database(database: Path, to: Path) -> str:
    """By SQLite itself, so that what its log still holds is in the copy."""
    if not database.is_file():
        raise UserError(f"{database}: no such database, and the run keeps a copy of it; mend `database` in [task]")
    partial = to.with_name(f".{to.name}.partial")
    with storage_errors(to):
        to.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        try:
            with (
                contextlib.closing(connect(database)) as source,
                contextlib.closing(sqlite3.connect(partial)) as copied,
            ):
                source.backup(copied)
        except sqlite3.Error as error:
            raise UserError(
                f"{database}: cannot be copied into the run ({error}); give a SQLite file that can be read"
            ) from None
        partial.replace(to)
    return to.name
