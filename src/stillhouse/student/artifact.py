"""The student on disk: a folder of safetensors and JSON with a checksum per file, written whole or not at all.

`student.json` says what the student is: its family, its task, its labels and what it learned from (`header`). It also
lists every file with size and sha256, and a file that it does not list is refused. `model.safetensors` and the family's
own files lie beside it, and are checked for what they are when they are opened (`opening`). Nothing is unpickled, and
no code is loaded. `card.md` is added later and is not checked.

Importable without torch.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, runtime_checkable

from stillhouse.errors import ArtifactError, ExistsError
from stillhouse.records import Predictor, Source
from stillhouse.runs import storage_errors, versions, write_json
from stillhouse.student.header import AGAIN, CARD, FORMAT, HEADER, LEARNED, LIKENESS, Family, check_files, parse_header
from stillhouse.task import Task

MODEL = "model.safetensors"


@runtime_checkable
class Student(Predictor, Protocol):
    """A trained student: a Predictor that also knows what it is."""

    name: str
    family: str
    task: Task
    labels: tuple[str, ...] | None  # None: the choices differ per row, or the output is text
    input_fields: tuple[str, ...] | None  # the input's fields, in order; empty: plain text; None: the rows differed
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Header:
    """What `student.json` says, its list of files aside."""

    family: Family
    spec: str  # as the user named it, e.g. "encoder:minilm"
    task: Task
    labels: tuple[str, ...] | None
    source: Source  # whose labels the student learned: gold or the teacher's
    seed: int
    n_train: int
    input_fields: tuple[str, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # what the family's loader needs beside the weights
    versions: Mapping[str, str] = field(default_factory=versions)


def save_artifact(out: Path, header: Header, write_files: Callable[[Path], None]) -> None:
    """Write the folder `out`, whole or not at all.

    `write_files` puts the family's files into an empty folder beside it. The header follows, and a rename gives the
    folder its name. Raises ExistsError where `out` is there already, StorageError where the disk refuses.
    """
    with whole_folder(out) as partial:
        write_files(partial)
        files = {
            path.relative_to(partial).as_posix(): _fingerprint(path)
            for path in sorted(partial.rglob("*"))
            if path.is_file()
        }
        write_json(partial / HEADER, {"format": FORMAT, **_header_as_json(header), "files": files})


@contextlib.contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """An empty folder beside `out` to write into, which gets its name at the end; on any error it is removed.

    Raises ExistsError where `out` is there already, StorageError where the disk refuses.
    """
    refuse_existing(out)
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
        try:
            yield partial
            partial.chmod(0o755)  # mkdtemp makes folders with mode 0700, but a student is meant to be served
            partial.rename(out)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def read_artifact(folder: Path) -> Header:
    """Check the header and every file of the artifact, and return the header.

    Raises ArtifactError naming the file and the remedy.
    """
    folder = Path(folder)
    path = folder / HEADER
    try:
        if path.is_symlink():
            raise ArtifactError(f"{path}: a link, and a student is made of files alone; {AGAIN}")
        stored = parse_header(path)
    except FileNotFoundError:
        raise ArtifactError(
            f"{folder}: not a student (no {HEADER}); give a folder that `stillhouse distill` wrote"
        ) from None
    for name in stored.files:
        _check_name(folder, name)
    check_files(path, stored)
    for name, file in stored.files.items():
        _check(folder, name, file.bytes, file.sha256)
    _check_nothing_else(folder, {HEADER, CARD, *stored.files})
    task = stored.task
    return Header(
        family=stored.family,
        spec=stored.spec,
        task=Task(
            name=task.name,
            instruction=task.instruction,
            output=task.output,
            labels=None if task.labels is None else tuple(task.labels),
            metric=task.metric,
        ),
        labels=None if stored.labels is None else tuple(stored.labels),
        source=stored.source,
        seed=stored.seed,
        n_train=stored.n_train,
        input_fields=None if stored.input_fields is None else tuple(stored.input_fields),
        settings=stored.settings,
        versions=stored.versions,
    )


def size_bytes(folder: Path) -> int:
    """What the student weighs on disk: its header and what it answers with; what is known of its rows is left out."""
    header = folder / HEADER
    listed = json.loads(header.read_text(encoding="utf-8"))["files"]
    return header.stat().st_size + sum(
        int(entry["bytes"]) for name, entry in listed.items() if name not in (LEARNED, LIKENESS)
    )


def refuse_existing(out: Path) -> None:
    """Raise ExistsError where `out` exists. Called before training, so that nobody waits for what cannot be saved."""
    if out.exists():
        raise ExistsError(f"{out} is there already; choose another folder or remove it first")


def _check_name(folder: Path, name: str) -> None:
    path = folder / name
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or parts.as_posix() != name or "\0" in name or "\\" in name:
        raise ArtifactError(
            f"{folder / HEADER}: lists {name!r}, which is outside the student's folder; do not use this student"
        )
    if link := next((each for each in (path, *path.parents[: len(parts.parts) - 1]) if each.is_symlink()), None):
        raise ArtifactError(f"{link}: a link, and a student is made of files alone; {AGAIN}")


def _check(folder: Path, name: str, size: int, sha256: str) -> None:
    path = folder / name
    if not path.is_file():
        what = "not a file" if path.exists() else "missing from the student"
        raise ArtifactError(f"{path}: {what}; copy the folder again or train it again")
    if path.stat().st_size != size:
        raise ArtifactError(
            f"{path}: {path.stat().st_size} bytes where {HEADER} says {size}: the copy is torn; "
            "copy the folder again or train it again"
        )
    try:
        found = _fingerprint(path)["sha256"]
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror or error}); {AGAIN}") from None
    if found != sha256:
        raise ArtifactError(
            f"{path}: its sha256 is not the one in {HEADER}: the file was changed; "
            "copy the folder again or train it again"
        )


def _check_nothing_else(folder: Path, known: Set[str]) -> None:
    """A file that the header does not list was put there by somebody else, and some loaders read what lies there."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or (name not in known and not path.is_dir()) or (path.is_dir() and name in known):
            raise ArtifactError(
                f"{path}: not one of the files that {HEADER} lists; remove it, or {AGAIN.replace('student', 'folder')}"
            )


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": digest}


def _header_as_json(header: Header) -> dict[str, Any]:
    task = header.task
    fields = {name: value for name, value in asdict(header).items() if name != "task"}
    fields["task"] = {
        "name": task.name,
        "instruction": task.instruction,
        "output": task.output,
        "labels": task.labels,
        "metric": task.metric,
    }
    return fields
