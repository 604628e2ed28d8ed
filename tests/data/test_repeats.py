"""What repeats among many rows, found on disk, against counting it in a dictionary."""

import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from stillhouse.data import repeats as repeats_module
from stillhouse.data.repeats import Repeats
from stillhouse.errors import StorageError


@pytest.mark.parametrize(
    ("seed", "n", "kinds"), [(1, 0, 1), (2, 1, 1), (3, 32, 5), (4, 500, 1), (5, 500, 40), (6, 1000, 2000)]
)
def test_counts_and_places_are_those_of_the_naive_count(tmp_path, seed, n, kinds):
    draw = random.Random(seed)
    values = [draw.randrange(2**48) for _ in range(kinds)]
    files = [[draw.choice(values) for _ in range(n)] for _ in range(3)]
    repeats = Repeats(tmp_path)
    for file, keys in enumerate(files):
        counts = [repeats.count(file, place, key) for place, key in enumerate(keys)]
        assert counts == [keys[: place + 1].count(key) for place, key in enumerate(keys)]
    for file, keys in enumerate(files):
        wanted = [(place, keys[: place + 1].count(key)) for place, key in enumerate(keys) if key in keys[:place]]
        assert list(repeats.in_file(file)) == wanted
    repeats.close()


def test_hashes_of_64_bits_that_came_twice_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(repeats_module, "_AT_ONCE", 2)
    repeats = Repeats(tmp_path)
    for id_hash in [7, -(2**63), 2**63 - 1, 8, -(2**63), 7, 0, 9, 9]:
        repeats.note_id(id_hash)
    assert repeats.repeated_ids() == {7, -(2**63), 9}
    repeats.close()


def test_the_file_has_no_name_and_no_folder_is_made_for_it(tmp_path):
    repeats = Repeats(tmp_path / "not yet" / "there")
    repeats.note_id(1)
    assert repeats.repeated_ids() == set()
    assert list(tmp_path.iterdir()) == []
    repeats.close()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        Repeats(tmp_path / "file" / "folder")


MANY = """
import resource, signal, sys
from pathlib import Path
from stillhouse.data.repeats import Repeats
n, most_bytes = int(sys.argv[1]), int(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
repeats = Repeats(Path("."))
for place in range(n):
    repeats.count(0, place, hash(str(place)) % 2**48)
    repeats.note_id(hash(str(place)))
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


def many(folder, n, most_bytes=resource.RLIM_INFINITY):
    command = [sys.executable, "-c", MANY, str(n), str(most_bytes)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="getrusage's peak would begin with the parent's")
def test_memory_does_not_grow_beyond_the_cache_of_pages(tmp_path):
    few, lots = (int(many(tmp_path, n).stdout) for n in (1_000, 200_000))  # KiB; 200,000 take 6 MiB on disk
    assert lots - few < repeats_module._CACHE_KIB + 2048


def test_a_full_disk_is_one_sentence(tmp_path):
    done = many(tmp_path, 200_000, most_bytes=2**16)
    assert "StorageError: .: cannot write (" in done.stderr
    assert "free space or choose another place" in done.stderr
