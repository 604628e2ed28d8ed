"""Anybody's training runs as CSV, one run a line: columns arm, n (training rows), seed, score.

An empty score is a run that is missing.

What is no number is refused with its line; nothing is guessed, because a score that was read wrong is a wrong
advantage.
"""

import csv
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

from stillhouse.advice.curves import RunScores
from stillhouse.errors import DatasetError

COLUMNS = ("arm", "n", "seed", "score")
MOST = 1e12  # no count of training rows and no score is larger; arithmetic would begin to lose digits
# float() also takes nan, inf and 1_000, which are no scores.
_NUMBER = re.compile(r"[-+]?(\d+(?:\.\d*)?|\.\d+)([eE][-+]?\d+)?")


@dataclass(frozen=True)
class ScoreFile:
    """`arms` in the order in which the file names them. `notes`: what was left out, as sentences."""

    path: Path
    arms: dict[str, RunScores]
    notes: tuple[str, ...]


def read_scores(path: Path) -> ScoreFile:
    """Raises DatasetError, naming file and line, where the file is not what this module's first line says."""
    rows = _rows(path)
    if not rows:
        raise DatasetError(f"{path}: is empty; give a CSV file with the columns {', '.join(COLUMNS)}")
    places = _places(path, rows[0][1])
    runs: dict[str, dict[int, dict[str, float]]] = {}
    first_line: dict[tuple[str, int, str], int] = {}
    missing: list[str] = []
    for line, cells in rows[1:]:
        if len(cells) != len(rows[0][1]):
            there = f"{len(cells)} cells where the header has {len(rows[0][1])}"
            raise DatasetError(f"{path}:{line}: {there}; quote a cell that holds a comma")
        arm, n, seed, score = (cells[places[name]].strip() for name in COLUMNS)
        if not arm or not seed:
            raise DatasetError(f"{path}:{line}: the column {'arm' if not arm else 'seed'} is empty; name it")
        key = (arm, _size(path, line, n), seed)
        if key in first_line:
            twice = f"{arm}, n = {key[1]}, seed {seed} is there twice (first on line {first_line[key]})"
            raise DatasetError(f"{path}:{line}: {twice}; keep one")
        first_line[key] = line
        of_arm = runs.setdefault(arm, {})
        if score:
            of_arm.setdefault(key[1], {})[seed] = _score(path, line, score)
        else:
            missing.append(f"{arm} at n = {key[1]:,} with seed {seed}")
    if empty := [arm for arm, of_arm in runs.items() if not of_arm]:
        raise DatasetError(f"{path}: {empty[0]} has no score at all; fill its column score, or remove its lines")
    if not runs:
        raise DatasetError(f"{path}: holds no run; add lines below the header")
    return ScoreFile(path, {arm: RunScores(arm, of_arm) for arm, of_arm in runs.items()}, _notes(rows[0][1], missing))


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """The lines with anything on them, each with its number."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DatasetError(
            f"{path}:{line}: not valid UTF-8; save the file as UTF-8, or copy it again if it was cut off"
        ) from None
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror}); give a CSV file with the columns {', '.join(COLUMNS)}"
        ) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)  # a line ends at \n or \r alone
    try:
        return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise DatasetError(f"{path}:{reader.line_num}: not valid CSV ({error}); mend the quotes") from None


def _places(path: Path, header: list[str]) -> dict[str, int]:
    names = [cell.strip() for cell in header]
    if absent := [name for name in COLUMNS if name not in names]:
        more = f" and {len(names) - 6:,} more" if len(names) > 6 else ""
        there = ", ".join(name or "(no name)" for name in names[:6]) + more
        raise DatasetError(
            f"{path}: lacks the column {' and '.join(absent)}; it has {there}, and {', '.join(COLUMNS)} are needed"
        )
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        raise DatasetError(f"{path}: has the column {twice[0]} twice; keep one")
    return {name: names.index(name) for name in COLUMNS}


def _size(path: Path, line: int, text: str) -> int:
    """Training rows: a whole number, also as a spreadsheet writes one ("32.0")."""
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not (0 <= value <= MOST and value.is_integer()):
        raise DatasetError(
            f"{path}:{line}: n = {text!r} is no number of training rows; give a whole number, from 0 to {MOST:,.0f}"
        )
    return int(value)


def _score(path: Path, line: int, text: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not abs(value) <= MOST:  # NaN is refused by this test, too
        raise DatasetError(
            f"{path}:{line}: score = {text!r} is no score; "
            "give a number, or leave the cell empty where the run is missing"
        )
    return value


def _notes(header: list[str], missing: list[str]) -> tuple[str, ...]:
    others = [cell.strip() for cell in header if cell.strip() not in COLUMNS]
    notes = [f"columns that were not read: {', '.join(others)}"] if others else []
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        notes.append(f"runs without a score: {', '.join(missing[:3])}{more}")
    return tuple(notes)
