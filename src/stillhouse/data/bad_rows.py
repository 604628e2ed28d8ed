"""Why one row cannot be used, and why a file cannot be read to its end. Whoever reads the file adds file and line."""

from stillhouse.errors import DatasetError


class BadRow(Exception):
    """Why one row cannot be used."""


class CutOff(BadRow):
    """Why a file cannot be read to its end, with the file: the rows before that are good."""

    def __init__(self, refusal: DatasetError, line: int) -> None:
        super().__init__(str(refusal))
        self.line = line  # the last line that was read
