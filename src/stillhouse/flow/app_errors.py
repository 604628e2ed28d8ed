"""An exception out of the user's app in one sentence: what it says, and where in the app's own code it came from."""

import sysconfig
import traceback
from pathlib import Path

from stillhouse.flow.call import error_line

_HERE = str(Path(__file__).resolve().parent.parent)
_NOT_THE_APP = tuple(
    {_HERE, *(str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib"))}
)


def told(error: BaseException) -> str:
    """`KeyError: 'name' (app.py:12, in lookup)`, with what was noted on it; a group by the first that it holds."""
    inner = error
    while isinstance(inner, BaseExceptionGroup) and inner.exceptions:
        inner = inner.exceptions[0]
    place = place_of(inner)
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    return " ".join(f"{error_line(inner)}{f' ({place})' if place else ''}{notes}".split())


def place_of(error: BaseException) -> str | None:
    """The innermost line of code that is neither ours, nor Python's, nor an installed package's."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        file = Path(frame.f_code.co_filename)
        if file.is_file() and not str(file.resolve()).startswith(_NOT_THE_APP):
            return f"{file.name}:{line}, in {frame.f_code.co_name}"
    return None
