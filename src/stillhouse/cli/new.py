"""`stillhouse new`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stillhouse.cli.console import emit_json, out
from stillhouse.cli.options import AsJson, Columns, EncodingName, command
from stillhouse.column_map import SLOT
from stillhouse.errors import UserError

if TYPE_CHECKING:
    from stillhouse.data.inference import Inference

_MOST_LABELS = 12
_MOST_CHARACTERS = 60  # of a cell that is shown


@command
def new(
    name: Annotated[Path, typer.Argument(help="the project's folder; its last part names the task")],
    *,
    data: Annotated[
        Path | None, typer.Option(help="your rows: .csv, .tsv, .xlsx (or rows.xlsx#SHEET), .jsonl, .json, .parquet")
    ] = None,
    columns: Columns = None,
    encoding: EncodingName = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="write what was inferred without asking")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a project: task.toml, app.py and the rows, a sample that runs at once or your own (--data).

    Of your own rows it is inferred which column is what, which answers are wanted and how they are scored. You see it
    with five rows, and nothing is written before your yes.
    """
    if data is None:
        if columns or encoding:
            raise UserError("--map and --encoding say how rows are read; give the rows with --data")
        _sample(name, as_json)
        return
    from stillhouse.column_map import parse_map
    from stillhouse.commands.new import check_new_folder
    from stillhouse.commands.project_of_rows import new_from_rows
    from stillhouse.data.inference import as_json as facts_of
    from stillhouse.data.inference import infer

    check_new_folder(name)
    found = infer(data, columns=parse_map(columns or ()), encoding=encoding)
    if not as_json:
        _show(found)
    if found.unsure:
        raise UserError(f"{data}: {'; '.join(found.unsure)}")
    if not yes:
        if as_json or not may_ask():
            raise UserError("nothing is written without a yes, and nobody can be asked here; give --yes")
        if not typer.confirm("Write this project?"):
            raise UserError("nothing is written; say --map FIELD=COLUMN for what is wrong")
    written = new_from_rows(name, found)
    then = _next(name, found)
    if as_json:
        emit_json({"written": [str(path) for path in written], "next": then, "inferred": facts_of(found)})
        return
    for path in written:
        out.print(f"wrote {path}{' (a copy)' if path is written[-1] else ''}")
    do = "look at the instruction in {}" if found.instruction_is_own else "put your prompt into {} as the instruction"
    name_it = " and name your model in its [teacher]" if found.n_labelled else ""  # else the command names it
    out.print(f"next: {do.format(written[0])}{name_it}, then: {then}")


def may_ask() -> bool:
    """Whether somebody sees what is shown, and can answer."""
    return sys.stdin.isatty() and out.is_terminal


def _sample(name: Path, as_json: bool) -> None:
    from stillhouse.commands.new import new as run

    written = run(name)
    if as_json:
        emit_json({"written": [str(path) for path in written]})
        return
    for path in written:
        out.print(f"wrote {path}")
    out.print(f"next: put your rows into {written[-1]}, or try the sample: stillhouse label {name}")


def _next(name: Path, found: "Inference") -> str:
    skip = " --skip-bad" if found.n_skipped else ""
    if not found.n_labelled:
        return f"stillhouse label {name} --teacher openai:MODEL{skip}"
    return f"stillhouse distill {name}{skip}"


def _show(found: "Inference") -> None:
    """What was inferred, as a page of short lines."""
    labelled = "" if not found.n_labelled else f", {found.n_labelled:,} of them with a label"
    s = "" if found.n_rows == 1 else "s"
    out.print(f"{found.path}: {found.n_rows:,} row{s}{labelled}")
    for note in found.notes:
        out.print(f"  {note}")
    width = max((len(field) for field in found.mapping), default=0)
    for field, named in found.mapping.items():
        column = named if isinstance(named, str) else " + ".join(named)
        out.print(f"  {field:{width}} = {column or '(no column)'}: {found.why.get(field, '')}")
    if found.template is not None:
        before, _, behind = found.template.partition(SLOT)
        around = [repr(_short(part.strip())) for part in (before, behind) if part.strip()]
        out.print(f"  around each input, and taken off: {' and '.join(around)}")
    if found.unused:
        out.print(f"  not used: {_listed(found.unused, 8)}")
    if found.rows:
        out.print(f"output: {found.kind or 'cannot tell, for no label tells it'}{_classes(found)}")
        out.print(f"metric: {found.metric}")
        own = " (as the rows have it)" if found.instruction_is_own else ""
        out.print(f"instruction{own}: {found.instruction}")
        out.print(f"the first {len(found.rows)} rows:" if len(found.rows) > 1 else "the row:")
    for row in found.rows:
        label = "(no label)" if row.label is None else _short(row.label)
        text = row.input if isinstance(row.input, str) else " | ".join(map(str, row.input.values()))
        group = "" if row.group is None else f"  [{_short(row.group)}]"
        out.print(f"  {_short(text)} -> {label}{group}")
    for warning in found.warnings:
        out.print(f"warning: {warning}")


def _classes(found: "Inference") -> str:
    if not found.labels:
        return ""
    counts = [f"{_short(label)} {count:,}" for label, count in found.labels.items()]
    return f" of {len(counts)} labels: {_listed(counts, _MOST_LABELS)}"


def _listed(texts: Sequence[str], most: int) -> str:
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
