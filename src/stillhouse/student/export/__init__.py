"""A student as a folder that loads without Stillhouse: ONNX, or files of `transformers` ("hf").

Beside the weights lie `about.json` (labels, lengths, temperature, the cascade's threshold, every file's sha256) and
`README.md`: the student's card, and the twenty lines of Python that load the folder (`loading`). What no tokenizer's
file can say lies beside them in a file of Python that needs the standard library alone: the student's own code.

Nothing is pickled. Importing this package loads nothing heavy.
"""

import importlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from stillhouse.errors import MissingExtraError, UserError
from stillhouse.runs import file_sha256, write_atomic, write_json
from stillhouse.student import load_student
from stillhouse.student.artifact import Header, read_artifact, refuse_existing, whole_folder
from stillhouse.student.export import reading
from stillhouse.student.header import HEADER, Family

FORMS = ("hf", "onnx")
FORMAT = 1
ABOUT, README, READING = "about.json", "README.md", "reading.py"
_FORMS: Mapping[Family, tuple[str, ...]] = {
    "majority": (),
    "linear": ("onnx",),
    "static": (),
    "frozen": (),
    "encoder": ("hf", "onnx"),
    "prompted": (),
    "generative": ("hf", "onnx"),
}
_WHY_NOT: Mapping[Family, str] = {
    "majority": "a majority student gives one answer to all, so there is nothing to load",
    "linear": "a linear student is no model of transformers",
    "static": "a static student averages vectors, which neither form holds",
    "frozen": "a frozen student has a regression beside its base, which neither form holds",
    "prompted": "a prompted student asks through its own pattern, which neither form holds",
}


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A folder that loads without Stillhouse."""

    folder: Path
    form: str  # "hf" or "onnx"
    student: Path
    files: tuple[str, ...]
    size_bytes: int  # of all files


def export_student(student: Path, form: str, out: Path, *, card: str, facts: Mapping[str, Any]) -> Exported:
    """Write the folder `out`, whole or not at all. `card` opens its README, and `facts` go into its `about.json`.

    Raises UserError where the student has no such form, ExistsError, ArtifactError, MissingExtraError, StorageError.
    """
    header = read_artifact(student)
    _check_form(student, header.family, form)
    refuse_existing(out)
    writer = getattr(_module(header.family, form), f"to_{form}")
    opened = load_student(student)
    with whole_folder(out) as folder:
        about = writer(opened, header, student, folder)
        if header.family != "linear":
            shutil.copyfile(reading.__file__, folder / READING)
        told = {"format": FORMAT, **_told(student, header), **about, **facts}
        write_json(folder / ABOUT, {**told, "files": {path.name: _fingerprint(path) for path in _files(folder)}})
        write_atomic(folder / README, _readme(card, header.family, form, folder))
        names = tuple(path.name for path in _files(folder))
        size = sum(path.stat().st_size for path in _files(folder))
    return Exported(folder=out, form=form, student=student, files=names, size_bytes=size)


def _check_form(student: Path, family: Family, form: str) -> None:
    if form not in FORMS:
        raise UserError(f"--to {form}: no such form; it is {' or '.join(FORMS)}")
    if form not in _FORMS[family]:
        can = ", ".join(f"{name} (--to {' or --to '.join(forms)})" for name, forms in _FORMS.items() if forms)
        raise UserError(f"{student}: {_WHY_NOT[family]}; what can be exported is {can}")


def _module(family: Family, form: str) -> Any:
    try:
        if form == "onnx":
            importlib.import_module("onnx")
        return importlib.import_module(f"stillhouse.student.export.{family}")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "stillhouse":
            raise
        extras = "export" if family == "linear" else "train,export"
        raise MissingExtraError(
            f"to export {family} students to {form} needs {error.name}; install it with "
            f"`pip install 'stillhouse[{extras}]'`"
        ) from None


def loading_code(family: Family, form: str) -> str:
    """The lines of Python that load such a folder, from within it."""
    return (files(__package__) / "loading" / f"{family}_{form}.py").read_text(encoding="utf-8")


def _told(student: Path, header: Header) -> dict[str, Any]:
    return {
        "task": header.task.name,
        "instruction": header.task.instruction,
        "output": header.task.output,
        "labels": None if header.labels is None else list(header.labels),
        "input_fields": None if header.input_fields is None else list(header.input_fields),
        "student": {
            "spec": header.spec,
            "learned_from": header.source,
            "n_train": header.n_train,
            "seed": header.seed,
            "sha256": file_sha256(student / HEADER),
        },
    }


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _fingerprint(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def _readme(card: str, family: Family, form: str, folder: Path) -> str:
    hashes = "\n".join(
        f"| `{path.name}` | {path.stat().st_size:,} | `{file_sha256(path)}` |" for path in _files(folder)
    )
    return f"""{card.rstrip()}

## How to load it

Stillhouse is not needed. From within this folder:

```python
{loading_code(family, form).rstrip()}
```

`answer` takes the input as the training rows had it. Labels, lengths, what confidence is made with, and the cascade's
threshold stand in `{ABOUT}`.

## Files

| file | bytes | sha256 |
|---|---|---|
{hashes}
"""
