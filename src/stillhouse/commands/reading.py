"""How the library's functions are told to read rows whose columns have other names."""

from collections.abc import Mapping, Sequence

from stillhouse.column_map import map_problem
from stillhouse.data.raw_rows import Reading
from stillhouse.errors import UserError

Columns = Mapping[str, str | Sequence[str]]


def reading_by(columns: Columns | None, encoding: str | None) -> Reading | None:
    """The reading; None: as the task says. Raises UserError."""
    if columns is None and encoding is None:
        return None
    named = {field: of if isinstance(of, str) else tuple(of) for field, of in (columns or {}).items()}
    if (problem := map_problem(named)) is not None:
        raise UserError(f"map={columns}: {problem}")
    return Reading(columns=named, encoding=encoding)
