"""A flow's step as a task: `app.py:to_sql` in the place of a task file.

The step's code says what is asked. `steps/STEP/` holds the rest: `task.toml`, with all that a task file may say, and
the rows that were harvested.
"""

import inspect
import json
import os
import re
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from stillhouse.data.copies import CopyRule
from stillhouse.errors import UserError
from stillhouse.flow.user_flow import load_flow
from stillhouse.runs import write_atomic
from stillhouse.task import Task, load_task
from stillhouse.user_code import load_app

STEPS = Path("steps")


def task_of(target: Path | str, data: Path | None = None) -> Path | Task:
    """The task that a command works on: `target` itself where it is a task's file or folder.

    For `APP:STEP` it is the step's task with the rows of `data`, or without `data` those of `steps/STEP/`. A step that
    has no task file there gets one, so that what is trained can find its task again. Raises UserError where there is no
    such step, or no rows, or the task file asks something else than the code does.
    """
    if not names_a_step(target):
        if data is not None:
            raise UserError(
                f"{target}: --data goes with a step's name, APP:STEP; a task file names its own data in [data]"
            )
        return Path(target)
    app, _, name = str(target).rpartition(":")
    task: Task = _model_step(app, name).task()
    path = STEPS / task.name / "task.toml"
    if not path.exists():
        rows = data or STEPS / task.name / "examples.jsonl"
        if not rows.is_file():
            raise UserError(
                f"{rows}: no such data file; make it of traces with `stillhouse harvest RUNS --step {task.name}`, "
                "or give --data FILE.jsonl"
            )
        write_atomic(path, task_toml(task, os.path.relpath(rows.resolve(), path.parent.resolve())))
    written = load_task(path)
    for what in ("instruction", "output", "labels"):
        if getattr(written, what) != getattr(task, what):
            mend = "mend the file, or move the folder away and harvest again"
            raise UserError(
                f"{path}: its {what} is not that of {target} any more, so its rows may answer another question; {mend}"
            )
    if data is None:
        return written
    return replace(written, data=written.data.model_copy(update={"train": str(data.resolve())}))


def names_a_step(target: Path | str) -> bool:
    """Whether this is APP:STEP, and no file."""
    return ":" in str(target) and not Path(target).exists()


def _model_step(app: str, name: str) -> Any:
    module = load_app(app)
    step = vars(module).get(name)
    if not _is_model_step(step):
        steps = ", ".join(sorted(key for key, value in vars(module).items() if _is_model_step(value))) or "none"
        raise UserError(f"{app} has no model step {name!r}; its model steps: {steps}")
    return step


def _is_model_step(value: Any) -> bool:
    return getattr(value, "stillhouse_step", None) is not None and hasattr(value, "task")


def load_step(target: str, name: str) -> Any:
    """The step that journals as `name` in the app of the flow APP:FLOW. Raises UserError."""
    module = sys.modules[load_flow(target).function.__module__]
    steps = {
        declared.name: value
        for value in vars(module).values()
        if (declared := getattr(value, "stillhouse_step", None)) is not None
    }
    if name not in steps:
        raise UserError(
            f"{target.rpartition(':')[0]} has no step {name!r}; its steps: {', '.join(sorted(steps)) or 'none'}"
        )
    return steps[name]


def order_of(step: Callable[..., Any]) -> list[str]:
    """The names of a step's arguments, in order."""
    return list(inspect.signature(step).parameters)


def task_toml(task: Task, train: str, *, copies: CopyRule = None) -> str:
    """A step's task file. It names no teacher: the rows bring the answers along that the step's model gave."""
    lines = [
        "[task]",
        f"name = {_toml(_task_name(task.name))}",
        f"instruction = {_toml(task.instruction)}",
        f"output = {_toml(task.output)}",
    ]
    if task.labels is not None:
        lines.append(f"labels = [{', '.join(map(_toml, task.labels))}]")
    data = [f"train = {_toml(train)}", *([] if copies is None else [f"copies = {_toml(copies)}"])]
    return "\n".join([*lines, "", "[data]", *data, ""])


def _task_name(name: str) -> str:
    """A step's name as a task may be called."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", name).lstrip("-_")[:64] or "step"


def _toml(text: str) -> str:
    """A text as TOML, on several lines where it has them; tomllib reads back what was given."""
    if "\n" in text:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        several = f'"""\n{escaped}"""'
        try:
            if tomllib.loads(f"t = {several}")["t"] == text:
                return several
        except tomllib.TOMLDecodeError:  # TOML takes no raw control characters: the text is written with escapes
            pass
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
