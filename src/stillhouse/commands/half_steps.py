"""The training rows that earlier `advise` runs of a task asked for: the next run looks as they said that it would."""

import re
from pathlib import Path

from stillhouse.errors import StillhouseError
from stillhouse.results.run_result import load_result
from stillhouse.results.verdict import HalfStep
from stillhouse.task import Task


def half_steps(runs: Path, task: Task, *, besides: Path) -> tuple[list[HalfStep], list[str]]:
    """(what finished runs of the same task in `runs` asked for, a warning for each that cannot be read).

    The same task has its name, instruction and metric. `besides`: the run that looks now.
    """
    steps, unread = [], []
    for folder in sorted(runs.glob("*")) if runs.is_dir() else ():
        path = folder / "result.json"
        if folder == besides or not re.fullmatch(rf"{re.escape(task.name)}-advise-\d+", folder.name):
            continue
        if not path.is_file():  # a run that was killed, and said nothing
            continue
        try:
            result = load_result(path)
        except StillhouseError as error:
            unread.append(f"whether {folder} asked for training rows is not known: {error}")
            continue
        same = (result.task, result.instruction, result.metric) == (task.name, task.instruction, task.metric)
        if same and result.verdict.half_step is not None:
            steps.append(result.verdict.half_step)
    return steps, unread
