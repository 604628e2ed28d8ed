"""JSONL: one JSON value a line. Blank lines are passed over, and a file whose name ends in .gz is unpacked."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stillhouse.errors import DatasetError

UNREADABLE = (OSError, EOFError, zlib.error, UnicodeDecodeError)  # what reading may raise where a file is damaged


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers from 1. For readers with words of their own for a bad line.

    Raises what `UNREADABLE` lists, the file's absence included.
    """
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for line, text in enumerate(file, start=1):
            if text.strip():
                yield line, text


def read_jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    """The values with the numbers of their lines. Raises DatasetError, which names the file and the line."""
    try:
        for line, text in numbered_lines(path):
            try:
                value = json.loads(text)
            except json.JSONDecodeError as error:
                raise DatasetError(f"{path}:{line}: not valid JSON ({error}); mend the row") from None
            yield line, value
    except UNREADABLE as error:
        raise DatasetError(f"{path}: cannot be read ({error}); give JSONL in UTF-8, or the same gzipped") from None
