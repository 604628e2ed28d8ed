"""Which rows a student has learned from, or was chosen by: its folder keeps a fingerprint of each.

A score on such rows says nothing of new ones. Kept are 8 bytes a row, of the input's text without case and punctuation:
who has the student cannot read its rows, only ask whether a text was among them.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from stillhouse.records import Example
from stillhouse.student.header import LEARNED
from stillhouse.words import normalise

CALIBRATION = "calibration.hashes"  # in a run's folder: the rows that chose its cascade's threshold
BYTES = 8  # of a fingerprint: among a million rows, a text that was not learned has one in common with chance 5e-14


def fingerprints(rows: Sequence[Example]) -> bytes:
    """The fingerprints of all different inputs, in order."""
    return b"".join(sorted({_fingerprint(row) for row in rows}))


def learned_among(folder: Path, rows: Sequence[Example], file: str = LEARNED) -> list[Example] | None:
    """Those of the rows that the student in this folder has learned from or was chosen by; None: not known.

    Earlier versions kept no fingerprints. With `CALIBRATION`: those that chose the threshold of this run's cascade.
    """
    path = folder / file
    if not path.is_file():
        return None
    kept = path.read_bytes()
    known = {kept[start : start + BYTES] for start in range(0, len(kept), BYTES)}
    return [row for row in rows if _fingerprint(row) in known]


def _fingerprint(row: Example) -> bytes:
    return hashlib.blake2b(normalise(row.text).encode(errors="surrogatepass"), digest_size=BYTES).digest()
