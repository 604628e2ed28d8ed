"""The demo's two tasks as a user would have them: a folder with the shop's database, and for each task its files.

FOLDER/app.py   the assistant itself, a flow
FOLDER/shop.db  pages/
FOLDER/route/    task.toml  train.jsonl  test.jsonl  handwritten.jsonl
FOLDER/to_sql/   the same
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from stillhouse.data.dataset import write_examples
from stillhouse.demo import shop
from stillhouse.demo.grammar import TaskName, make_rows
from stillhouse.errors import ExistsError
from stillhouse.records import Example
from stillhouse.runs import write_atomic

# Rows to train on (before the split), and rows to test on.
SIZES: Mapping[TaskName, tuple[int, int]] = {"route": (4000, 2000), "to_sql": (4000, 1000)}


def write_project(
    folder: Path, *, sizes: Mapping[TaskName, tuple[int, int]] = SIZES, seed: int = 0
) -> dict[TaskName, Path]:
    """Write the demo's project into a new or empty folder; returns each task's `task.toml`.

    All rows carry gold labels; task.toml says that students learn from the teacher's labels. Raises ExistsError where
    the folder holds anything.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ExistsError(f"{folder}: is not empty; give a new folder, or remove this one")
    shop.build(folder / "shop.db", seed)
    write_atomic(folder / "app.py", files(__package__).joinpath("app.py").read_text(encoding="utf-8"))
    for page in files(__package__).joinpath("pages").iterdir():
        write_atomic(folder / "pages" / page.name, page.read_text(encoding="utf-8"))
    written = {}
    for task, (n_train, n_test) in sizes.items():
        place = folder / task
        write_examples(place / "train.jsonl", make_rows(task, n_train, seed, "train"))
        write_examples(place / "test.jsonl", make_rows(task, n_test, seed, "test"))
        write_examples(place / "handwritten.jsonl", handwritten(task))
        written[task] = place / "task.toml"
        write_atomic(written[task], files(__package__).joinpath(f"{task}.toml").read_text(encoding="utf-8"))
    return written


@cache
def handwritten(task: TaskName) -> tuple[Example, ...]:
    """The questions that were written one by one, outside the grammar; for `to_sql` those that the database answers."""
    lines = files(__package__).joinpath("handwritten.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    if task == "route":
        return tuple(Example(row["id"], row["input"], row["route"], extra=_ground(row)) for row in rows)
    return tuple(Example(row["id"], row["input"], row["sql"]) for row in rows if row["route"] == "sql")


def _ground(row: Mapping[str, Any]) -> dict[str, Any]:
    """The route, and what the answer rests on."""
    return {key: row[key] for key in ("route", "sql", "page") if key in row}
