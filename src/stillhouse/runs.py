"""Run directories: `runs/NAME-N/`, made once, owned by one live process, never edited by a later stage.

`manifest.json` says what was run and on what (settings, seeds, data fingerprints, versions, prices, wall time, cost).
Files are written to a temporary name and renamed, so a killed process leaves a whole file or none.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import os
import platform
import tempfile
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Self

from stillhouse import __version__, json_text
from stillhouse.addresses import without_secrets
from stillhouse.errors import RunBusyError, StillhouseError, StorageError, UserError
from stillhouse.json_text import JsonError
from stillhouse.steady_clock import steady_time
from stillhouse.text_files import read_text

MANIFEST = "manifest.json"
TASK_FILE = "task/task.toml"  # a run's own copy of its task, beside the files that the task names
_MOST = 2**64  # no count and no seed in a run's files is larger
_MANIFEST_KEYS = {"command": str, "name": str, "created": str, "status": str, "settings": dict, "versions": dict}


class Lock:
    """An exclusive lock on a file, held while the process lives: the kernel drops it on any death, SIGKILL included.

    Raises RunBusyError while another process has it, StorageError where the disk refuses.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what, self._fd = path, what, -1
        try:
            with storage_errors(path):
                self._take()
        except BaseException:
            self.release()
            raise

    def _take(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._fd, 64, 0).decode(errors="replace").strip() or "unknown"
            raise RunBusyError(
                f"{self.what} is in use by process {owner}; wait for it or stop it, then run this again"
            ) from None
        os.truncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def is_there(self) -> bool:
        """Whether the path still names the file that we have locked."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._fd))
        except OSError:
            return False

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write (full disk, no permission) into one sentence that names the path."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(
            f"{path}: cannot write ({reason}); "
            "free space or choose another place and run this again: what was stored is kept"
        ) from error


def refuse_device(path: Path) -> None:
    """Raise UserError where a device, a pipe or a socket stands: a file that is renamed to it would take its place."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path}: is a device or a pipe, and a whole file is put there in its place; give a file")


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A temporary file beside `path`, for what is too long for memory.

    At the end it is flushed to disk and renamed; on any error it is removed. Raises UserError for a device or a pipe.
    """
    refuse_device(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(fd, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)  # mkstemp makes files with mode 0600, but a run is meant to be read
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write to a temporary name beside `path`, flush to disk, rename."""
    with atomic(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def portable_name(model: str) -> str:
    """A model's name without the folders of a file or base that it names from the root: a run goes anywhere."""
    kind, colon, place = model.partition(":")
    return f"{kind}:{Path(place).name}" if colon and not place.startswith("//") and Path(place).is_absolute() else model


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def value_sha256(value: Any) -> str:
    """The hash of a value of JSON's own types."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def read_json(path: Path) -> Any:
    """A JSON file of a run's folder. Raises UserError with what is wrong."""
    changed = "the file was changed or torn"
    try:
        return json_text.read_json(read_text(path, changed), most=_MOST)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; is {path.parent} a run of this version?") from None
    except JsonError as error:
        raise UserError(f"{path}: not valid JSON ({error}); {changed}") from None


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a run's `manifest.json` says, with the keys that a run goes on with checked. Raises UserError."""
    path = folder / MANIFEST
    manifest = read_json(path)
    if not isinstance(manifest, dict):
        raise UserError(f"{path}: holds no JSON object; the file was changed or torn")
    wall_s = manifest.get("wall_s", 0)
    sound = {key: isinstance(manifest.get(key), kind) for key, kind in _MANIFEST_KEYS.items()}
    sound["wall_s"] = isinstance(wall_s, int | float) and not isinstance(wall_s, bool) and wall_s >= 0
    sound["created"] = sound["created"] and _is_moment(manifest["created"])
    sound["versions"] = sound["versions"] and all(isinstance(each, str) for each in manifest["versions"].values())
    if wrong := next((key for key, is_sound in sound.items() if not is_sound), None):
        raise UserError(f"{path}: the key {wrong!r} is missing or wrong; the file was changed or torn")
    return manifest


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


class Run:
    """One run directory, open for writing by this process alone."""

    def __init__(self, folder: Path, lock: Lock, manifest: dict[str, Any], clock: Callable[[], float]) -> None:
        self.folder, self.manifest = folder, manifest
        self._lock, self._clock = lock, clock
        self._began = clock()

    @classmethod
    def create(
        cls, root: Path, name: str, command: str, settings: Mapping[str, Any], clock: Callable[[], float] = steady_time
    ) -> Self:
        """Make the next free `root/NAME-N` and write its first manifest."""
        with storage_errors(root):
            root.mkdir(parents=True, exist_ok=True)
            number = 1
            while True:  # mkdir decides which process gets a number: two commands at once never share one
                folder = root / f"{name}-{number}"
                try:
                    folder.mkdir()
                    break
                except FileExistsError:
                    number += 1
        run = cls(folder, Lock(folder / ".lock", str(folder)), {}, clock)
        run.manifest = {
            "command": command,
            "name": folder.name,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(clock())),
            "status": "running",
            "settings": dict(settings),
            "versions": versions(),
        }
        run.save()
        return run

    @classmethod
    def reopen(cls, folder: Path, clock: Callable[[], float] = steady_time) -> Self:
        """Take over a run that was stopped. Raises RunBusyError while its owner lives."""
        if not (folder / MANIFEST).exists():
            raise UserError(f"{folder}: not a run directory (no {MANIFEST}); give one of runs/*")
        lock = Lock(folder / ".lock", str(folder))
        return cls(folder, lock, read_manifest(folder), clock)

    @classmethod
    def resume_or_create(
        cls, root: Path, name: str, command: str, settings: Mapping[str, Any], clock: Callable[[], float] = steady_time
    ) -> Self:
        """Go on with the newest unfinished run of the same command and settings, or begin a new one.

        Settings hold the data's fingerprints, so other rows are another run. Raises RunBusyError while such a run's
        owner lives.
        """
        wanted = json.loads(json.dumps(dict(settings), default=str))
        folders = sorted(root.glob(f"{name}-*"), key=lambda folder: -_number(folder)) if root.is_dir() else []
        for folder in folders:
            if not (folder / MANIFEST).exists():
                continue
            manifest = read_manifest(folder)
            same = manifest.get("command") == command and manifest.get("settings") == wanted
            if same and manifest.get("status") != "done":
                return cls.reopen(folder, clock)
        return cls.create(root, name, command, wanted, clock)

    def check(self) -> None:
        """Raise StorageError where the folder was deleted or moved meanwhile.

        What was written there since is made a run again, so that the same command goes on with it.
        """
        if self._lock.is_there():
            return
        go_on = "the same command begins again"
        if self.folder.is_dir() and not self._lock.path.exists():  # else it is another's by now
            with contextlib.suppress(StorageError):
                write_json(self.folder / MANIFEST, self.manifest | {"status": "failed", "error": "the folder was gone"})
                go_on = "the same command goes on with what was trained since"
        raise StorageError(
            f"{self.folder}: the folder was deleted or moved while this command wrote to it; {go_on}, and what was "
            "paid for comes from the store"
        )

    def save(self, **facts: Any) -> None:
        """Merge facts into the manifest and write it."""
        self.check()
        self.manifest.update(facts)
        write_json(self.folder / MANIFEST, self.manifest)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Record how it ended and let go of the lock."""
        wall_s = round(self.manifest.get("wall_s", 0) + self._clock() - self._began, 3)
        status = (
            "done"
            if kind is None
            else ("stopped" if issubclass(kind, KeyboardInterrupt | CancelledError) else "failed")
        )
        reason = {} if kind is None else {"error": without_secrets(f"{kind.__name__}: {error}")}
        try:
            if kind is not None and issubclass(kind, OSError | StillhouseError):
                self.check()  # a folder that is gone is the reason for what came of it
            # A full disk must not hide the error that is already on its way up.
            with contextlib.nullcontext() if kind is None else contextlib.suppress(StorageError):
                self.save(status=status, wall_s=wall_s, **reason)
        finally:
            self._lock.release()


def _number(folder: Path) -> int:
    digits = folder.name.rpartition("-")[2]
    return int(digits) if digits.isdigit() else -1


def versions() -> dict[str, str]:
    """What a number in this run depends on: ours, Python's and the libraries' that are installed."""
    numbers = {"stillhouse": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for library in ("numpy", "scipy", "scikit-learn", "torch", "transformers", "tokenizers", "genai-prices"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            numbers[library] = importlib.metadata.version(library)
    return numbers
