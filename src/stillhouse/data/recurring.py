"""Which keys occur more than once among millions, in the memory of a few thousand: an external sort by buckets, exact.

Keys are taken in blocks; each block is sorted, its equal keys counted, and written to a nameless file. Cut by their last byte, 256 buckets of all blocks are
then merged one after the other. On disk 12 bytes per key that differs from the others of its block; in memory a block, a bucket and 0.04 bytes a key.
"""

import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from stillhouse.runs import storage_errors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Keys = npt.NDArray[np.uint64]
    Counts = npt.NDArray[np.uint32]

BLOCK = (
    2**14
)  # keys: sorting fewer at once costs more time in calls, and remembering what recurs in a block costs 2 MB at most
_BUCKETS = 2**8
_IN_MEMORY = 2**20  # bytes, beyond which the file is one
_KEY, _COUNT = 8, 4  # bytes


class Recurring:
    """Keys of 64 bits whose last byte is evenly spread. `add` all of them; then `totals` and, after it, `block`. The file goes to `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(folder))  # noqa: SIM115  # closed in `close`
        self._keys = array("Q")
        self._blocks: list[
            tuple[int, array[int]]
        ] = []  # where it begins in the file; which of its keys begin each bucket, and their number

    @property
    def n_blocks(self) -> int:
        return len(self._blocks)

    def add(self, key: int) -> None:
        """Raises StorageError where the disk is full."""
        self._keys.append(key)
        if len(self._keys) == BLOCK:
            self._put_down()

    def totals(self) -> "Iterator[tuple[Keys, Counts]]":
        """Bucket by bucket, each key once and how often it was added."""
        if self._keys:
            self._put_down()
        for bucket in range(_BUCKETS):
            yield self._merge(bucket)

    def block(self, number: int) -> dict[int, int]:
        """Of each recurring key of this block (of `BLOCK` keys): 1 + how many there are in the blocks before. Ask when `totals` has come to its end."""
        begin, bounds = self._blocks[number]
        keys, places = self._read(begin, bounds[-1], 0, bounds[-1])
        recurs = places > 0
        return dict(zip(keys[recurs].tolist(), places[recurs].tolist(), strict=True))

    def _put_down(self) -> None:
        import numpy as np

        keys, counts = np.unique(np.frombuffer(self._keys, dtype=np.uint64), return_counts=True)
        order = np.argsort(keys % _BUCKETS, kind="stable")
        keys, counts = keys[order], counts[order].astype(np.uint32)
        bounds = array("H", np.searchsorted(keys % _BUCKETS, np.arange(_BUCKETS + 1)).tolist())
        self._keys = array("Q")
        with storage_errors(self._folder):
            if self._blocks:
                self._folder.mkdir(parents=True, exist_ok=True)  # a file is made there as soon as memory is full
            begin = self._file.seek(0, 2)
            self._file.write(keys.tobytes() + counts.tobytes())
            self._file.flush()  # a full disk is noticed here
        self._blocks.append((begin, bounds))

    def _merge(self, bucket: int) -> "tuple[Keys, Counts]":
        """The bucket's keys and totals. In the file each count gives way to a place: 1 + how many are in the blocks before; 0 for a key that occurs once."""
        import numpy as np

        parts = [self._read(begin, bounds[-1], bounds[bucket], bounds[bucket + 1]) for begin, bounds in self._blocks]
        keys = np.concatenate([np.empty(0, np.uint64), *(part for part, _ in parts)])
        counts = np.concatenate([np.empty(0, np.uint32), *(part for _, part in parts)])
        if not len(keys):
            return keys, counts
        order = np.argsort(keys, kind="stable")  # of equal keys the earlier block's stays first
        keys, counts = keys[order], counts[order]
        firsts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        of_key = np.diff(np.append(firsts, len(keys)))
        totals = np.add.reduceat(counts, firsts, dtype=np.uint32)
        before = np.cumsum(counts) - counts
        places = np.empty(len(keys), np.uint32)
        places[order] = np.where(np.repeat(totals, of_key) > 1, before - np.repeat(before[firsts], of_key) + 1, 0)
        self._write_back(bucket, places)
        return keys[firsts], totals

    def _read(self, begin: int, n: int, start: int, stop: int) -> "tuple[Keys, Counts]":
        """Keys `start` to `stop` of the block of `n` keys that begins there, and their counts or places."""
        import numpy as np

        self._file.seek(begin + _KEY * start)
        keys = np.frombuffer(self._file.read(_KEY * (stop - start)), dtype=np.uint64)
        self._file.seek(begin + _KEY * n + _COUNT * start)
        return keys, np.frombuffer(self._file.read(_COUNT * (stop - start)), dtype=np.uint32)

    def _write_back(self, bucket: int, places: "Counts") -> None:
        done = 0
        with storage_errors(self._folder):
            for begin, bounds in self._blocks:
                start, stop = bounds[bucket], bounds[bucket + 1]
                self._file.seek(begin + _KEY * bounds[-1] + _COUNT * start)
                self._file.write(places[done : done + stop - start].tobytes())
                done += stop - start
            self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
