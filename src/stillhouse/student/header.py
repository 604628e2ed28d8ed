"""What `student.json` may say: every key, its type and its bounds. Anything else is refused in a sentence.

A student may come from anywhere, and whoever changed a file can also write its new checksum into the header. So what is
read from the folder is checked for what it is, and not only for being the same.

Importable without torch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stillhouse.errors import ArtifactError
from stillhouse.json_text import read_json
from stillhouse.records import Source
from stillhouse.task import MetricName

FORMAT = 1
HEADER = "student.json"
CARD = "card.md"  # added later, and listed nowhere
LEARNED = "learned.hashes"  # fingerprints of the rows that it learned from: see `learned_rows`; may be missing
LIKENESS = "likeness.json"  # what its training inputs are like: see `likeness`; may be missing
Family = Literal["majority", "linear", "static", "frozen", "encoder", "prompted", "generative"]
AGAIN = "copy the student again or train it again"
_MOST_BYTES = 64 << 20  # most bytes of a header; a majority student lists every answer that it saw
_LONGEST_ANSWER = 1_000  # tokens that a student may write; `most_new_tokens` of a training is far below
_NEEDS: Mapping[str, tuple[frozenset[str], bool]] = {  # the files that a family has, and whether others may be there
    "majority": (frozenset(), False),
    "linear": (frozenset({"model.safetensors", "vocabulary.json"}), False),
    "static": (frozenset({"head.safetensors", "model.safetensors", "tokenizer.json", "vocabulary.json"}), False),
    "frozen": (frozenset({"config.json", "head.safetensors", "tokenizer_config.json", "vocabulary.json"}), True),
    "encoder": (frozenset({"config.json", "head.safetensors", "tokenizer_config.json"}), True),
    "prompted": (frozenset({"config.json", "tokenizer_config.json"}), True),
    "generative": (frozenset({"config.json", "tokenizer_config.json"}), True),
}

Text = Annotated[str, Field(max_length=100_000)]
Label = Annotated[str, Field(min_length=1, max_length=10_000)]
Labels = Annotated[list[Label], Field(min_length=1, max_length=100_000)]
Temperature = Annotated[float, Field(ge=0.001, le=1_000)]  # what is fitted lies from 0.2 to 10
Length = Annotated[int, Field(ge=1, le=1_000_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _MajoritySettings(_Strict):
    counts: Annotated[list[tuple[str, Annotated[int, Field(ge=1, le=10**12)]]], Field(min_length=1)]
    by_place: bool


class _LinearSettings(_Strict):
    c: Annotated[float, Field(gt=0)]
    temperature: Temperature
    n_features: Annotated[int, Field(ge=0, le=10_000_000)]


class _EmbeddedSettings(_LinearSettings):
    pairs: bool


class _EncoderSettings(_Strict):
    max_length: Length
    temperature: Temperature
    train: dict[str, Any]  # what it was trained with: told, and not used


class _PromptedSettings(_EncoderSettings):
    pattern: Text
    instruction: Text
    masked: bool
    words: dict[str, Annotated[list[Annotated[int, Field(ge=0, le=10**7)]], Field(min_length=1, max_length=1_000)]]
    verbalizer: dict[str, str]


class _GenerativeSettings(_Strict):
    max_length: Length
    most_new_tokens: Annotated[int, Field(ge=1, le=_LONGEST_ANSWER * 100)]
    prefixed: bool
    own: bool
    calibration: tuple[Annotated[float, Field(gt=0, le=1e6)], Annotated[float, Field(ge=-1e9, le=1e9)]] | None = None
    train: dict[str, Any]


_SETTINGS: Mapping[str, type[_Strict]] = {
    "majority": _MajoritySettings,
    "linear": _LinearSettings,
    "static": _EmbeddedSettings,
    "frozen": _EmbeddedSettings,
    "encoder": _EncoderSettings,
    "prompted": _PromptedSettings,
    "generative": _GenerativeSettings,
}


class _TaskPart(_Strict):
    name: Annotated[str, Field(min_length=1, max_length=1_000)]
    instruction: Text
    output: Literal["choice", "text", "json"]
    labels: Labels | None
    metric: MetricName


class StoredFile(_Strict):
    bytes: Annotated[int, Field(ge=0, le=1 << 50)]
    sha256: Annotated[str, Field(max_length=64)]


class StoredHeader(_Strict):
    """`student.json` as it lies on disk."""

    format: Literal[1]
    family: Family
    spec: Annotated[str, Field(min_length=1, max_length=10_000)]
    task: _TaskPart
    labels: Labels | None
    source: Source
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 64)]
    n_train: Annotated[int, Field(ge=1, le=10**12)]
    input_fields: Annotated[list[str], Field(max_length=10_000)] | None
    settings: dict[str, Any]
    versions: dict[str, str]
    files: Annotated[dict[Annotated[str, Field(min_length=1, max_length=500)], StoredFile], Field(max_length=10_000)]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.spec.partition(":")[0] != self.family:
            raise ValueError(f"spec {self.spec!r} is not of the family {self.family}")
        if (self.labels is not None) and self.task.output != "choice":
            raise ValueError(f'labels, where the output is "{self.task.output}"')
        for labels in (self.labels, self.task.labels, self.input_fields):
            if labels is not None and len(set(labels)) < len(labels):
                raise ValueError("a label or field stands twice")
        if self.labels is not None and self.task.labels is not None and set(self.labels) != set(self.task.labels):
            raise ValueError("labels are not those of task.labels")
        if self.labels is not None and self.family != "majority" and len(self.labels) < 2:
            raise ValueError("labels has one label, and a student tells at least two apart")
        return self


def parse_header(path: Path) -> StoredHeader:
    """Read and check `student.json`. Raises ArtifactError with what is wrong and the remedy."""
    raw = read_object(path, _MOST_BYTES)
    if raw.get("format") != FORMAT or isinstance(raw.get("format"), bool):
        raise ArtifactError(
            f"{path}: format {_shown(raw.get('format'))} is not known to this version, which reads format {FORMAT}; "
            "upgrade stillhouse or train it again"
        )
    family = raw.get("family")
    if isinstance(family, str) and family not in _SETTINGS:
        raise ArtifactError(
            f"{path}: the family {_shown(family)} is not known to this version; upgrade stillhouse or train it again"
        )
    try:
        header = StoredHeader.model_validate(raw)
        _SETTINGS[header.family].model_validate(_with_tuples(header.settings))
    except ValidationError as error:
        raise ArtifactError(f"{path}: {_problem(error, raw)}; {AGAIN}") from None
    _check_settings(path, header)
    return header


def check_files(path: Path, header: StoredHeader) -> None:
    """Raises ArtifactError where a file is listed that the family does not have, or one is not that it needs."""
    needed, others = _NEEDS[header.family]
    if missing := sorted(needed - set(header.files)):
        raise ArtifactError(
            f"{path}: files does not list {missing[0]}, which every {header.family} student has; {AGAIN}"
        )
    if not others and (odd := sorted(set(header.files) - needed - {LEARNED, LIKENESS})):
        raise ArtifactError(f"{path}: files lists {odd[0]!r}, which no {header.family} student has; {AGAIN}")
    if others and not any(name.endswith(".safetensors") and name != "head.safetensors" for name in header.files):
        raise ArtifactError(f"{path}: files lists no weights; {AGAIN}")


def _check_settings(path: Path, header: StoredHeader) -> None:
    """What the settings say of the labels."""
    labels = None if header.labels is None else set(header.labels)
    if header.family == "prompted" and (labels is None or set(header.settings["words"]) != labels):
        raise ArtifactError(f"{path}: settings.words are not those of the labels; {AGAIN}")
    counted = {answer for answer, _ in header.settings["counts"]} if header.family == "majority" else set()
    if labels is not None and (odd := sorted(counted - labels)):
        raise ArtifactError(f"{path}: settings.counts has {odd[0]!r}, which is no label; {AGAIN}")


def _with_tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists alone, and the strict settings have pairs."""
    pairs = dict(settings)
    if isinstance(pairs.get("calibration"), list):
        pairs["calibration"] = tuple(pairs["calibration"])
    if isinstance(pairs.get("counts"), list):
        pairs["counts"] = [tuple(pair) if isinstance(pair, list) else pair for pair in pairs["counts"]]
    return pairs


def _problem(error: ValidationError, raw: Mapping[str, Any]) -> str:
    problem = error.errors(include_url=False)[0]
    place = ".".join(map(str, problem["loc"]))
    if error.title != StoredHeader.__name__:
        place = f"settings.{place}"
    if not place:
        return problem["msg"].removeprefix("Value error, ")
    kind = problem["type"]
    if kind == "extra_forbidden":
        return f"the key {place[:200]!r} is not known to this version"
    why = "" if kind == "missing" else f" ({problem['msg']}, not {_shown(problem['input'])})"
    return f"the key {place[:200]!r} is missing or wrong{why}"


def _shown(value: Any) -> str:
    try:
        shown = repr(value)
    except (RecursionError, ValueError):  # ValueError: a number of more digits than Python writes
        return f"a {type(value).__name__}"
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def read_json_file(path: Path, most_bytes: int) -> Any:
    """A JSON file of a stranger's folder. Raises ArtifactError, and FileNotFoundError where it is not there."""
    try:
        if path.is_file() and path.stat().st_size > most_bytes:
            raise ArtifactError(
                f"{path}: {path.stat().st_size:,} bytes, and more than {most_bytes:,} are not read; {AGAIN}"
            )
        return read_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror or error}); {AGAIN}") from None
    except ValueError as error:
        raise ArtifactError(f"{path}: not valid JSON ({error}); {AGAIN}") from None


def read_object(path: Path, most_bytes: int) -> dict[str, Any]:
    value = read_json_file(path, most_bytes)
    if not isinstance(value, dict):
        raise ArtifactError(f"{path}: a JSON {type(value).__name__}, where an object is needed; {AGAIN}")
    return value
