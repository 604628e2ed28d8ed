"""Text files that somebody else wrote, opened in one way: UTF-8, with or without a byte order mark.

Windows editors and spreadsheets put the mark before the first character; it is no part of the text. Whatever cannot be
read (a folder in the file's place, other bytes, no right to read) is one sentence.
"""

from pathlib import Path

from stillhouse.errors import UserError


def read_text(path: Path, remedy: str, error: type[UserError] = UserError, *, kept: bool = False) -> str:
    """The file's text, its line ends as they are. Raises FileNotFoundError, and `error` for what is no text file.

    `kept`: bytes that are no UTF-8 are kept as halves of surrogate pairs, to be refused where they stand.
    """
    try:
        return path.read_bytes().decode("utf-8-sig", "surrogateescape" if kept else "strict")
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as problem:
        line = problem.object[: problem.start].count(b"\n") + 1
        raise error(f"{path}: not valid UTF-8 (on line {line}); {remedy}") from None
    except (OSError, ValueError) as problem:  # ValueError: a null character in the name
        reason = problem.strerror if isinstance(problem, OSError) else problem
        raise error(f"{path}: cannot be read ({reason or problem}); {remedy}") from None
