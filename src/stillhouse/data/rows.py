"""The rows of several files one by one, for work that must not hold them all: checked once before anything is paid for, then read anew at every pass.

JSONL (also gzipped) is read line by line and Parquet by row groups; Alpaca's JSON and Arrow files are held while they are read.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from stillhouse.data.dataset import Naming, read_rows, twice
from stillhouse.data.recurring import BLOCK, Recurring
from stillhouse.errors import DatasetError
from stillhouse.records import Example
from stillhouse.task import Task

_64_BITS = 2**64 - 1


class Rows:
    """Iterate over it as often as needed. Memory does not grow with the rows: what tells equal ids and equal inputs apart is in nameless files in `scratch`."""

    def __init__(self, paths: Sequence[Path], task: Task, *, scratch: Path, skip_bad: bool = False) -> None:
        """Read all of it once. Raises DatasetError for a broken row, an empty file, or an id that occurs twice in a file or in two of them."""
        self.paths, self._task, self._skip_bad = tuple(paths), task, skip_bad
        self.skipped = self._n = 0
        self._inputs: list[_Inputs] = []
        with Recurring(scratch) as ids:
            for path in self.paths:
                self._inputs.append(inputs := _Inputs(path, scratch))
                for _ in read_rows(
                    path,
                    task=task,
                    skip_bad=skip_bad,
                    on_skip=self._skip,
                    naming=inputs.noting(lambda id_: ids.add(hash(id_) & _64_BITS)),
                ):
                    self._n += 1
                for id_ in inputs.settle():
                    ids.add(hash(id_) & _64_BITS)
            suspects = {key for keys, totals in ids.totals() for key in keys[totals > 1].tolist()}
        if suspects:
            self._refuse_twins(suspects)

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[Example]:
        return (example for _, _, example in self._all())

    def _skip(self, _: str) -> None:
        self.skipped += 1

    def _all(self) -> Iterator[tuple[Path, int, Example]]:
        for path, inputs in zip(self.paths, self._inputs, strict=True):
            for line, example in read_rows(
                path, task=self._task, skip_bad=self._skip_bad, on_skip=lambda _: None, naming=inputs.again()
            ):
                yield path, line, example

    def _refuse_twins(self, suspects: set[int]) -> None:
        """Hashes may be equal by chance, and those of skipped rows are among them: the ids themselves decide."""
        first: dict[str, tuple[Path, int]] = {}
        for path, line, example in self._all():
            if hash(example.id) & _64_BITS not in suspects:
                continue
            there, earlier = first.setdefault(example.id, (path, line))
            if there != path:
                raise DatasetError(
                    f"{path}: the id {example.id!r} is also in another file of the task; ids must be unique over all of them, so rename one"
                )
            if earlier != line:
                raise twice(path, line, example.id, earlier)

    def close(self) -> None:
        for inputs in self._inputs:
            inputs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Inputs:
    """The inputs of one file's rows without ids: equal ones are numbered as `dataset.counting` does it, and only what recurs is remembered, on disk."""

    def __init__(self, path: Path, scratch: Path) -> None:
        self._path, self._state = path, _state(path)
        self._made = Recurring(scratch)
        self._recur = False

    def noting(self, given: Callable[[str], None]) -> Naming:
        """For the first pass, in which equal inputs are found and not numbered yet: ids of the rows' own go to `given`."""

        def name(id_: str, made: bool) -> str:
            if made:
                self._made.add(_key(id_))
            else:
                given(id_)
            return id_

        return name

    def settle(self) -> Iterator[str]:
        """After the first pass: the ids that the rows without one will have, in no particular order."""
        for keys, totals in self._made.totals():
            for key, total in zip(keys.tolist(), totals.tolist(), strict=True):
                id_ = _id_of(key)
                yield id_
                if total > 1:
                    self._recur = True
                    yield from (f"{id_}-{n}" for n in range(2, total + 1))
        if not self._recur:
            self._made.close()

    def again(self) -> Naming:
        """For another pass. Raises DatasetError where the file is no longer the one that was checked."""
        if _state(self._path) != self._state:
            raise self._changed()
        return self._numbering() if self._recur else _as_it_is

    def _numbering(self) -> Naming:
        block = left = 0
        places: dict[int, int] = {}

        def name(id_: str, made: bool) -> str:
            nonlocal block, left, places
            if not made:
                return id_
            if not left:
                if block == self._made.n_blocks:
                    raise self._changed()
                places, block, left = self._made.block(block), block + 1, BLOCK
            left -= 1
            n = places.get(key := _key(id_))
            if n is None:
                return id_
            places[key] = n + 1
            return id_ if n == 1 else f"{id_}-{n}"

        return name

    def _changed(self) -> DatasetError:
        return DatasetError(f"{self._path}: changed after it was checked; run this again when it is whole")

    def close(self) -> None:
        self._made.close()


def _as_it_is(id_: str, _: bool) -> str:
    return id_


def _key(id_: str) -> int:
    """An id made of an input, as a number: `row-` and twelve hexadecimal digits."""
    return int(id_[4:], 16)


def _id_of(key: int) -> str:
    return f"row-{key:012x}"


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time; None: not there, which whoever reads it says better."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
