"""Keys that occur more than once, found on disk, against counting them in a dictionary."""

import random
from collections import Counter

import pytest

from stillhouse.data import recurring
from stillhouse.data.recurring import Recurring
from stillhouse.errors import StorageError


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(recurring, "BLOCK", 32)
    monkeypatch.setattr(recurring, "_IN_MEMORY", 600)  # bytes: two blocks make the file one


@pytest.mark.parametrize(
    ("seed", "n", "kinds"), [(1, 0, 1), (2, 1, 1), (3, 32, 5), (4, 500, 1), (5, 500, 40), (6, 1000, 2000)]
)
def test_totals_and_places_are_those_of_the_naive_count(tmp_path, small, seed, n, kinds):
    draw = random.Random(seed)
    values = [draw.randrange(2**64) for _ in range(kinds)]
    keys = [draw.choice(values) for _ in range(n)]
    with Recurring(tmp_path / "made when needed") as found:
        for key in keys:
            found.add(key)
        totals = [
            pair for bucket, counts in found.totals() for pair in zip(bucket.tolist(), counts.tolist(), strict=True)
        ]
        blocks = [found.block(number) for number in range(found.n_blocks)]
    wanted = Counter(keys)
    assert sorted(totals) == sorted(wanted.items())
    starts = range(0, n, 32)
    assert blocks == [
        {key: 1 + keys[:start].count(key) for key in keys[start : start + 32] if wanted[key] > 1} for start in starts
    ]
    assert (tmp_path / "made when needed").exists() == (n > 32)
    assert not list(tmp_path.rglob("*.*"))  # the file has no name


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, small):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"), Recurring(tmp_path / "file" / "folder") as found:
        for key in range(100):
            found.add(key)
