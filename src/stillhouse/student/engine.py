"""What besides a student's own files decides its answers: the code that reads them. Importable without torch."""

from pathlib import Path

from stillhouse.student.header import FORMAT, HEADER, Family, parse_header

# Raised by one whenever the code of a family would answer the same files otherwise.
ANSWERS: dict[Family, int] = {
    "majority": 1,
    "linear": 1,
    "static": 1,
    "frozen": 1,
    "encoder": 1,
    "prompted": 1,
    "generative": 1,
}
NUMBERS = "float32"  # what weights are loaded as, by every family


def engine_of(student: Path) -> dict[str, str | int]:
    """The engine of the student in this folder, as `cascade.json` pins it by hash. Raises ArtifactError."""
    family = parse_header(student / HEADER).family
    return {"family": family, "format": FORMAT, "answers": ANSWERS[family], "numbers": NUMBERS}
