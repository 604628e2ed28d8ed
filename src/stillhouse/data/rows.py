"""The rows of several files one by one, for work that must not hold them all.

They are checked once before anything is paid for, then read anew at every pass. JSONL and CSV (also gzipped) are read
line by line, Excel row by row and Parquet by row groups; JSON and Arrow files are held while they are read.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from stillhouse.data.dataset import Naming, numbered, read_rows, twice
from stillhouse.data.raw_rows import Reading, say_nothing
from stillhouse.data.repeats import Repeats
from stillhouse.data.workbook import sheet_of
from stillhouse.errors import DatasetError
from stillhouse.records import Example
from stillhouse.task import Task


class StreamedRows:
    """Iterate over it as often as needed. Memory does not grow with the rows: what repeats is remembered on disk."""

    def __init__(
        self,
        paths: Sequence[Path],
        task: Task,
        *,
        scratch: Path,
        reading: Reading | None = None,
        skip_bad: bool = False,
        note: Callable[[Example], None] | None = None,
    ) -> None:
        """Read all of it once; `scratch` is a folder with room for some 40 bytes a row. `note` is given each row.
        `reading` None: as the task's files are read.

        Raises DatasetError for a broken row, an empty file, or an id that occurs twice in a file or in two of them.
        """
        self.paths, self._task, self._reading, self._skip_bad = tuple(paths), task, reading, skip_bad
        self.skipped = self._n = 0
        self.notes: list[str] = []  # what was read off the files: encodings, sheets
        self.cut: list[str] = []  # of each file that could not be read to its end, a sentence
        self._states: list[tuple[int, int] | None] = []
        self._n_made: list[int] = []  # for each file, the number of rows whose id is made from their input
        self._repeats = Repeats(scratch)
        try:
            self._check(note)
        except BaseException:
            self.close()
            raise

    def _check(self, note: Callable[[Example], None] | None) -> None:
        """The first pass."""
        for file, path in enumerate(self.paths):
            self._states.append(_state(path))
            self._n_made.append(0)
            for _, example in self._read(
                path, self._count_inputs(file), self._skip, self.cut.append, self.notes.append
            ):
                self._n += 1
                if note is not None:
                    note(example)
                self._repeats.note_id(hash(example.id))
        if suspects := self._repeats.repeated_ids():
            self._refuse_twins(suspects)

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[Example]:
        return (example for _, _, example in self._all())

    def _skip(self, _: str) -> None:
        self.skipped += 1

    def _read(
        self,
        path: Path,
        naming: Naming,
        on_skip: Callable[[str], None],
        on_cut: Callable[[str], None],
        on_note: Callable[[str], None] = say_nothing,
    ) -> Iterator[tuple[int, Example]]:
        task, skip_bad = self._task, self._skip_bad
        how: dict[str, Any] = {"on_skip": on_skip, "on_cut": on_cut, "naming": naming, "on_note": on_note}
        how["reading"] = self._reading
        return read_rows(path, task=task, skip_bad=skip_bad, **how)

    def _all(self) -> Iterator[tuple[Path, int, Example]]:
        for file, path in enumerate(self.paths):
            for line, example in self._read(path, self._counted_inputs(file), say_nothing, say_nothing):
                yield path, line, example

    def _count_inputs(self, file: int) -> Naming:
        """Name rows in the first pass: equal inputs of a file are numbered as `dataset.counting` numbers them."""

        def name(id_: str, made: bool) -> str:
            if not made:
                return id_
            place = self._n_made[file]
            self._n_made[file] += 1
            return numbered(id_, self._repeats.count(file, place, _key(id_)))

        return name

    def _counted_inputs(self, file: int) -> Naming:
        """Name rows in a later pass as in the first. Raises DatasetError where the file is not the one checked."""
        path, place = self.paths[file], -1
        if _state(path) != self._states[file]:
            raise _changed(path)
        repeats = self._repeats.in_file(file)
        upcoming = next(repeats, None)

        def name(id_: str, made: bool) -> str:
            nonlocal place, upcoming
            if not made:
                return id_
            place += 1
            if place == self._n_made[file]:
                raise _changed(path)
            if upcoming is None or place != upcoming[0]:
                return id_
            n, upcoming = upcoming[1], next(repeats, None)
            return numbered(id_, n)

        return name

    def _refuse_twins(self, suspects: set[int]) -> None:
        """Raise DatasetError for the first id that came before. Hashes may be equal by chance: the ids decide."""
        first: dict[str, tuple[Path, int]] = {}
        for path, line, example in self._all():
            if hash(example.id) not in suspects:
                continue
            first_path, first_line = first.setdefault(example.id, (path, line))
            if first_path != path:
                raise DatasetError(
                    f"{path}: the id {example.id!r} is also in another file of the task; "
                    "ids must be unique over all of them, so rename one"
                )
            if first_line != line:
                raise twice(path, line, example.id, first_line)

    def close(self) -> None:
        self._repeats.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _changed(path: Path) -> DatasetError:
    return DatasetError(f"{path}: changed after it was checked; run this again when it is whole")


def _key(id_: str) -> int:
    """An id made of an input, as a number: `row-` and twelve hexadecimal digits."""
    return int(id_[4:], 16)


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of change; None: the file is not there, which whoever reads it says better."""
    try:
        facts = sheet_of(path)[0].stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns
