"""JSONL: one JSON value a line. Blank lines are passed over, and a file whose name ends in .gz is unpacked."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stillhouse.errors import DatasetError
from stillhouse.json_text import JsonError, read_json

_UNREADABLE = (OSError, EOFError, ValueError, zlib.error)  # ValueError: a null character in the name
_MARK = b"\xef\xbb\xbf"  # the byte order mark, which some editors put first


def numbered_lines(
    path: Path, remedy: str = "copy or make the file again", what: str = "cannot be read to its end"
) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers from 1. For readers with words of their own for a bad line.

    Raises DatasetError for a file that is not there, or cannot be read to its end.
    """
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as file:
            for line, text in enumerate(file, start=1):
                if line == 1:
                    text = text.removeprefix(_MARK)
                if text.strip():
                    yield line, text
    except _UNREADABLE as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise DatasetError(f"{path}: {what} ({reason}); {remedy}") from None


def read_jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    """The values with the numbers of their lines; numbers are exact, as `json_text` says.

    Raises DatasetError, which names the file and the line.
    """
    remedy = "give JSONL in UTF-8, or the same gzipped"
    for line, text in numbered_lines(path, remedy, "cannot be read"):
        try:
            value = read_json(text.decode(), exact=True)
        except UnicodeDecodeError as error:
            raise DatasetError(f"{path}: cannot be read ({error}, on line {line}); {remedy}") from None
        except JsonError as error:
            raise DatasetError(f"{path}:{line}: not valid JSON ({error}); mend the row") from None
        yield line, value
