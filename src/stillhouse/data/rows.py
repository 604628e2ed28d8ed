"""The rows of several files one by one, for work that must not hold them all: checked once before anything is paid for, then read anew at every pass."""

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

from stillhouse.data.dataset import read_rows, twice
from stillhouse.errors import DatasetError
from stillhouse.records import Example
from stillhouse.task import Task


class Rows:
    """Iterate over it as often as needed. In memory: 8 bytes a row while it is made, and what rows without an id of their own need to get one."""

    def __init__(self, paths: Sequence[Path], task: Task, *, skip_bad: bool = False) -> None:
        """Read all of it once. Raises DatasetError for a broken row, an empty file, or an id that occurs twice in a file or in two of them."""
        self.paths, self._task, self._skip_bad = tuple(paths), task, skip_bad
        self.skipped = 0
        keys = array("q", (hash(example.id) for _, _, example in self._all(count=True)))
        self._n = len(keys)
        self._refuse_twins(keys)

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[Example]:
        return (example for _, _, example in self._all())

    def _all(self, count: bool = False) -> Iterator[tuple[Path, int, Example]]:
        def skip(_: str) -> None:
            self.skipped += count

        for path in self.paths:
            for line, example in read_rows(path, task=self._task, skip_bad=self._skip_bad, on_skip=skip):
                yield path, line, example

    def _refuse_twins(self, keys: "array[int]") -> None:
        import numpy as np

        ordered = np.sort(np.frombuffer(keys, dtype=np.int64))
        suspects = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
        if not suspects:
            return
        first: dict[str, tuple[Path, int]] = {}
        for path, line, example in self._all():  # hashes may be equal by chance: the ids themselves decide
            if hash(example.id) not in suspects:
                continue
            there, earlier = first.setdefault(example.id, (path, line))
            if there != path:
                raise DatasetError(f"{path}: the id {example.id!r} is also in another file of the task; ids must be unique over all of them, so rename one")
            if earlier != line:
                raise twice(path, line, example.id, earlier)
