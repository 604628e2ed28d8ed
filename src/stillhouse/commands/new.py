"""`new`: a project to start from, whose sample task runs at once, without a key."""

from importlib.resources import files
from pathlib import Path

from stillhouse.data.dataset import write_examples
from stillhouse.demo.grammar import make_rows
from stillhouse.errors import ExistsError, UserError
from stillhouse.runs import write_atomic

N_EXAMPLES = 3000


def new(folder: Path) -> list[Path]:
    """Write `task.toml`, `examples.jsonl` and `app.py` into a new folder named for the task; the files' paths.

    Raises ExistsError where the folder is there already.
    """
    check_new_folder(folder)
    name = folder.name
    written = []
    for file in ("task.toml", "app.py"):
        template = files("stillhouse.commands").joinpath("project", f"{file}.txt").read_text(encoding="utf-8")
        write_atomic(folder / file, template.replace("NAME", name))
        written.append(folder / file)
    write_examples(folder / "examples.jsonl", make_rows("route", N_EXAMPLES, 0, "train"))
    return [*written, folder / "examples.jsonl"]


def check_new_folder(folder: Path) -> None:
    """Raise UserError where the folder's name is no task's, ExistsError where it is there already."""
    name = folder.name
    if not name.replace("-", "").replace("_", "").isalnum():
        raise UserError(f"{name!r} cannot name a task; use letters, digits, - and _")
    if folder.exists():
        raise ExistsError(f"{folder}: is already there; give another name, nothing is overwritten")
