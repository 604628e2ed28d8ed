"""`new --data`: a project of the user's own rows, as they were inferred and agreed to.

The file is copied into the project as it is, so that the folder is whole and what becomes of the original changes no
verdict. `task.toml` says how it is read (`map`, `encoding`), and `app.py` asks about its first row.
"""

import json
import re
import shutil
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from stillhouse.column_map import ColumnMap
from stillhouse.commands.new import check_new_folder
from stillhouse.data.inference import Inference
from stillhouse.data.workbook import sheet_of
from stillhouse.errors import UserError
from stillhouse.llm.prompted import CHOICES
from stillhouse.runs import storage_errors, write_atomic
from stillhouse.task import load_task

SAMPLE_QUESTION = '"how many orders were sent to Lisbon?"'  # as the sample's app has it
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def new_from_rows(folder: Path, found: Inference) -> list[Path]:
    """Write `task.toml`, `app.py` and a copy of the rows into a new folder; the files' paths.

    Raises UserError where something is left that the user has to say, ExistsError where the folder is there already.
    """
    check_new_folder(folder)
    if found.unsure:
        raise UserError(f"{found.path}: {'; '.join(found.unsure)}")
    source, sheet = sheet_of(found.path)
    name = source.name if sheet is None else f"{source.name}#{sheet}"
    partial = folder.with_name(f".{folder.name}.partial")
    with storage_errors(folder):
        shutil.rmtree(partial, ignore_errors=True)
        try:
            write_atomic(partial / "task.toml", task_toml(folder.name, name, found))
            write_atomic(partial / "app.py", _app(folder.name, found))
            shutil.copyfile(source, partial / source.name)
            load_task(partial)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return [folder / "task.toml", folder / "app.py", folder / source.name]


def task_toml(task: str, train: str, found: Inference) -> str:
    """The task file, with the keys that a user changes first."""
    what = "choice | text | json" if found.kind else "no label tells: choice (with labels = [...]) | text | json"
    first = "is what the rows hold" if found.instruction_is_own else "is a first one: put your own prompt in its place"
    lines = [f"# Inferred from the rows. The instruction {first}."]
    lines += ["", "[task]", f"name = {_toml(task)}", f"instruction = {_toml(found.instruction)}"]
    lines += [f"output = {_toml(found.output)}  # {what}"]
    if found.labels:
        lines.append(f"labels = {_list(found.labels)}")
    lines += [f"metric = {_toml(found.metric)}", "", "[data]"]
    lines.append(f"train = {_toml(train)}  # other parts are split off, unless you name files for them")
    if (columns := shown_map(found)) != "{}":
        lines.append(f"map = {columns}  # field of a row = the file's column")
    if found.template is not None:
        lines.append(f"template = {_toml(found.template)}  # what stands around each input, and is taken off")
    for key, value in (("encoding", found.encoding), ("delimiter", found.delimiter)):
        lines += [] if value is None else [f"{key} = {_toml(value)}"]
    lines += [
        '# copies = "files"  # rows of one input: "files", a mistake, so one counts; "traffic", draws that all count',
        "",
        "[teacher]",
        '# model = "openai:MODEL"  # or anthropic:MODEL, http://host:port/v1#MODEL, recorded:FILE.jsonl',
        "",
    ]
    if found.output == "choice":
        ladder = 'ladder = ["linear"]  # cheapest first; with the extras train and minilm also "encoder:minilm"'
        lines += ["[student]", ladder, ""]
    lines += ["[gate]", "margin = 0.05  # how much worse than the teacher a student may be", ""]
    return "\n".join(lines)


def shown_map(found: Inference) -> str:
    """The map as TOML, without the fields that are called as their columns are."""
    return inline({field: named for field, named in found.mapping.items() if named != field})


def inline(columns: ColumnMap) -> str:
    """A map as TOML writes it on one line."""
    pairs = []
    for field, named in columns.items():
        value = _toml(named) if isinstance(named, str) else f"[{', '.join(map(_toml, named))}]"
        pairs.append(f"{field if _BARE.fullmatch(field) else _toml(field)} = {value}")
    return f"{{{', '.join(pairs)}}}"


def _list(texts: Iterable[str]) -> str:
    written = [_toml(text) for text in texts]
    line = f"[{', '.join(written)}]"
    return line if len(line) <= 100 else "[\n" + "".join(f"    {text},\n" for text in written) + "]"


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _app(task: str, found: Inference) -> str:
    """The sample's app, which asks about the shortest of the rows shown instead."""
    template = files("stillhouse.commands").joinpath("project", "app.py.txt").read_text(encoding="utf-8")
    row = min(found.rows, key=lambda row: len(row.text))
    text = row.text if row.choices is None else row.text + CHOICES + "\n".join(f"- {choice}" for choice in row.choices)
    assert SAMPLE_QUESTION in template
    return template.replace("NAME", task).replace(SAMPLE_QUESTION, json.dumps(text))
