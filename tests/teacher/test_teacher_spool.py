"""Lines in any order become files in input order, whole or absent."""

import itertools
import random
import tracemalloc

import pytest

from stillhouse.errors import StorageError
from stillhouse.teacher import spool as spool_module
from stillhouse.teacher.spool import Spool


@pytest.mark.parametrize("seed", range(5))
def test_lines_come_out_in_input_order_kept_apart_from_rejected(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(spool_module, "_RECENT", 1 + 20 * seed)
    monkeypatch.setattr(spool_module, "_AT_ONCE", 32)
    rows = [
        (index, f"row {index} {'x' * random.Random(index).randrange(50)}\n".encode(), index % 3 != 0)
        for index in range(200)
    ]
    shuffled = random.Random(seed).sample(rows, len(rows))
    with Spool(tmp_path / "out.jsonl") as spool:
        for index, line, kept in shuffled:
            spool.add(index, line, kept=kept)
        spool.write(tmp_path / "out.jsonl", tmp_path / "out.rejected.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == b"".join(line for _, line, kept in rows if kept)
    assert (tmp_path / "out.rejected.jsonl").read_bytes() == b"".join(line for _, line, kept in rows if not kept)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.rejected.jsonl"]


def test_no_rows_make_two_empty_files(tmp_path):
    with Spool(tmp_path / "out.jsonl") as spool:
        spool.write(tmp_path / "out.jsonl", tmp_path / "out.rejected.jsonl")
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == [b"", b""]


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(StorageError, match="cannot write"):
        Spool(tmp_path / "absent" / "out.jsonl")


def test_memory_does_not_grow_with_the_rows_though_one_is_late(tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "_RECENT", 64)
    monkeypatch.setattr(spool_module, "_AT_ONCE", 64)
    monkeypatch.setattr(spool_module, "_IN_MEMORY", 64)

    def peak(n):
        tracemalloc.start()
        with Spool(tmp_path / "out.jsonl") as spool:
            for index in itertools.chain(range(1, n), [0]):
                spool.add(index, b"%d\n" % index, kept=True)
            spool.write(tmp_path / "out.jsonl", tmp_path / "out.rejected.jsonl")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (tmp_path / "out.jsonl").read_bytes() == b"".join(b"%d\n" % index for index in range(n))
        return most

    peak(10)
    assert peak(20_000) - peak(2_000) < 18_000  # less than a byte a row
