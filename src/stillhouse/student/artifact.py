"""The student on disk: a folder of safetensors and JSON with a checksum per file, written whole or not at all.

`student.json` says what the student is: its family, its task, its labels and what it learned from. It also lists
every file with size and sha256. `model.safetensors` and the family's own files lie beside it. Nothing is unpickled,
and no code is loaded. `card.md` is added later and is not checked.

Importable without torch.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from stillhouse.errors import ArtifactError, ExistsError
from stillhouse.records import Predictor, Source
from stillhouse.runs import storage_errors, versions, write_json
from stillhouse.task import Task

FORMAT = 1
HEADER = "student.json"
MODEL = "model.safetensors"
Family = Literal["majority", "linear", "encoder", "prompted", "generative"]


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
    refuse_existing(out)
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
        try:
            write_files(partial)
            files = {
                path.relative_to(partial).as_posix(): _fingerprint(path)
                for path in sorted(partial.rglob("*"))
                if path.is_file()
            }
            write_json(partial / HEADER, {"format": FORMAT, **_header_as_json(header), "files": files})
            partial.chmod(0o755)  # mkdtemp makes folders with mode 0700, but a student is meant to be served
            partial.rename(out)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def read_artifact(folder: Path) -> Header:
    """Check every file of the artifact against its checksum and return the header.

    Raises ArtifactError naming the file and the remedy.
    """
    folder = Path(folder)
    path = folder / HEADER
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(
            f"{folder}: not a student (no {HEADER}); give a folder that `stillhouse distill` wrote"
        ) from None
    except ValueError as error:
        raise ArtifactError(f"{path}: not valid JSON ({error}); copy the student again or train it again") from None
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        version = raw.get("format") if isinstance(raw, dict) else None
        raise ArtifactError(
            f"{path}: format {version!r} is not known to this version, which reads format {FORMAT}; "
            "upgrade stillhouse or train it again"
        )
    try:
        header = _header_from_json(raw)
        files = {str(name): (int(entry["bytes"]), str(entry["sha256"])) for name, entry in raw["files"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(
            f"{path}: the key {error} is missing or wrong; copy the student again or train it again"
        ) from None
    if header.family not in get_args(Family):
        raise ArtifactError(
            f"{path}: the family {header.family!r} is not known to this version; upgrade stillhouse or train it again"
        )
    for name, (size, sha256) in files.items():
        _check(folder, name, size, sha256)
    return header


def size_bytes(folder: Path) -> int:
    """What the student weighs on disk: its own files and its header, not the card."""
    header = folder / HEADER
    listed = json.loads(header.read_text(encoding="utf-8"))["files"]
    return header.stat().st_size + sum(int(entry["bytes"]) for entry in listed.values())


def refuse_existing(out: Path) -> None:
    """Raise ExistsError where `out` exists. Called before training, so that nobody waits for what cannot be saved."""
    if out.exists():
        raise ExistsError(f"{out} is there already; choose another folder or remove it first")


def _check(folder: Path, name: str, size: int, sha256: str) -> None:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ArtifactError(
            f"{folder / HEADER}: lists {name!r}, which is outside the student's folder; do not use this student"
        )
    if not path.is_file():
        raise ArtifactError(f"{path}: missing from the student; copy the folder again or train it again")
    if path.stat().st_size != size:
        raise ArtifactError(
            f"{path}: {path.stat().st_size} bytes where {HEADER} says {size}: the copy is torn; "
            "copy the folder again or train it again"
        )
    if _fingerprint(path)["sha256"] != sha256:
        raise ArtifactError(
            f"{path}: its sha256 is not the one in {HEADER}: the file was changed; "
            "copy the folder again or train it again"
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


def _header_from_json(raw: Mapping[str, Any]) -> Header:
    task = raw["task"]
    return Header(
        family=raw["family"],
        spec=raw["spec"],
        task=Task(
            name=task["name"],
            instruction=task["instruction"],
            output=task["output"],
            labels=None if task["labels"] is None else tuple(task["labels"]),
            metric=task["metric"],
        ),
        labels=None if raw["labels"] is None else tuple(raw["labels"]),
        source=raw["source"],
        seed=raw["seed"],
        n_train=raw["n_train"],
        input_fields=None if raw["input_fields"] is None else tuple(raw["input_fields"]),
        settings=raw["settings"],
        versions=raw["versions"],
    )
