"""Lines in any order become files in input order, whole or absent."""

import random

import pytest

from stillhouse.errors import StorageError
from stillhouse.teacher.spool import Spool


@pytest.mark.parametrize("seed", range(5))
def test_lines_come_out_in_input_order_kept_apart_from_rejected(tmp_path, seed):
    rows = [(index, f"row {index} {'x' * random.Random(index).randrange(50)}\n".encode(), index % 3 != 0) for index in range(200)]
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
