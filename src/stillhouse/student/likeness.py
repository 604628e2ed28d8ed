"""What a student's training inputs are like, so that a server can tell an input that is unlike them.

Measured on the training rows and kept in the student's folder: how long the inputs are, how many of their words the
others have, and how much of a prompt is in them: words with which prompts are written ("classify", "category", "only"),
the instruction's own and the labels', within one window. What is beyond anything that held-out rows have, with some
room, is unlike. How often the rule calls a held-out row so is measured on rows that it was not set on, and kept.

Kept are counts by the hash of a word: who has the student cannot read its rows.
"""

import base64
import math
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stillhouse.errors import ArtifactError
from stillhouse.records import Example
from stillhouse.runs import write_json
from stillhouse.student.header import AGAIN, LIKENESS, read_json_file
from stillhouse.student.wrapping import KINDS, Wrapping
from stillhouse.words import words

BUCKETS = 1 << 14  # of hashed words; a vocabulary of 30,000 words fills them six in seven, so most new words are found
_MOST_ROWS = 5_000  # rows that are measured
_MOST_WORDS = 4_000  # of one input that are read
_WINDOW = 12  # words that stand together
_WORN = 0.01  # share of the inputs from which on a kind of wrapping is theirs
_ROOM = 1.25  # times the largest value that a held-out row has
_PROMPT_WORDS = words(
    "act analyze answer answers assign assistant based below best categories categorise categorize category "
    "choose class classes classification classifier classify correct decide detect determine exactly example "
    "examples explain explanation expert following format given helpful identify input instruction "
    "instructions json label labels list must name nothing one only options output pick predict provide "
    "question read reply respond response return select single task text which whether word words your"
)
_MOST_BYTES = 1 << 20
Share = Annotated[float, Field(ge=0, le=1)]


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    format: Literal[1]
    n: Annotated[int, Field(ge=1, le=10**9)]
    counts: Annotated[str, Field(max_length=2 * BUCKETS)]
    most_words: Annotated[float, Field(ge=0, le=1e12)]
    most_unknown: Annotated[float, Field(ge=0, le=1e12)]
    most_prompt: Annotated[float, Field(ge=0, le=1e12)]
    worn: Annotated[list[Annotated[str, Field(max_length=20)]], Field(max_length=20)]
    n_held_out: Annotated[int, Field(ge=0, le=10**9)]
    n_alarms: Annotated[int, Field(ge=0, le=10**9)]


@dataclass(frozen=True)
class Likeness:
    """`counts`: of each bucket, the logarithm (base 2) of the inputs that have a word in it, and 1; 0: none has.

    `worn`: kinds of wrapping that the inputs themselves have. Of `n_held_out` rows that nothing was set on, `n_alarms`
    are called unlike.
    """

    n: int
    counts: bytes
    prompt_words: frozenset[str]
    most_words: float
    most_unknown: float
    most_prompt: float
    worn: frozenset[str] = frozenset()
    n_held_out: int = 0
    n_alarms: int = 0

    def unlike(self, text: str) -> str | None:
        """Why a text is unlike the training inputs; None: it is like them."""
        parts = words(text)
        if len(parts) > self.most_words:
            return "it is longer than any of them"
        parts = parts[:_MOST_WORDS]
        if self.prompt(parts) > self.most_prompt:
            return "it holds words of a prompt, as no training input does"
        if self.unknown(parts) > self.most_unknown:
            return "most of its words are in none of them"
        return None

    def holds_a_prompt(self, text: str) -> bool:
        return self.prompt(words(text)[:_MOST_WORDS]) > self.most_prompt

    def unknown(self, parts: Sequence[str]) -> float:
        """The share of the different words that no training input has; few words say little."""
        different = set(parts)
        return sum(self.counts[_bucket(word)] == 0 for word in different) / (len(different) + 5)

    def prompt(self, parts: Sequence[str]) -> float:
        """How much of a prompt the window has that has most: the information of its different words of prompts."""
        weights = [self._weight(word) if word in self.prompt_words else 0.0 for word in parts]
        within: Counter[str] = Counter()
        window: deque[tuple[str, float]] = deque()
        total = most = 0.0
        for word, weight in zip(parts, weights, strict=True):
            window.append((word, weight))
            within[word] += 1
            total += weight if within[word] == 1 else 0.0
            if len(window) > _WINDOW:
                gone, its = window.popleft()
                within[gone] -= 1
                total -= its if within[gone] == 0 else 0.0
            most = max(most, total)
        return most

    def _weight(self, word: str) -> float:
        """Bits: how rare the word is among the training inputs."""
        kept = self.counts[_bucket(word)]
        return max(0.0, math.log2(self.n + 1) - max(0, kept - 1) - (0 if kept else -1))


def measure(
    train: Sequence[Example], held_out: Sequence[Example], *, instruction: str, labels: Sequence[str] | None
) -> Likeness:
    """What these inputs are like. The bounds are set on a fifth of the training rows, and tried on the held-out."""
    texts = [row.text for row in train[:_MOST_ROWS]]
    read = [words(text) for text in texts]
    lengths = [len(parts) for parts in read]
    cut = [parts[:_MOST_WORDS] for parts in read]
    prompt_words = prompt_words_of(instruction, labels)
    # Groups and copies lie side by side in many files, so every fifth row would have its twin among the others.
    n_set = max(1, len(cut) // 5)
    base, aside = (cut[:-n_set], cut[-n_set:]) if len(cut) > 1 else (cut, cut)
    first = Likeness(len(base), _counts(base), prompt_words, math.inf, math.inf, math.inf)
    worn, wrapping = Counter[str](), Wrapping(words(instruction))
    for text in texts:
        worn.update(wrapping.off(text)[1])
    found = Likeness(
        n=len(cut),
        counts=_counts(cut),
        prompt_words=prompt_words,
        most_words=2.0 * max(lengths) + 20,
        most_unknown=_ROOM * max(map(first.unknown, aside)) + 0.1,
        most_prompt=_ROOM * max(map(first.prompt, aside)) + 4.0,
        worn=frozenset(kind for kind in KINDS if worn[kind] > _WORN * len(texts)),
    )
    tried = [row.text for row in held_out[:_MOST_ROWS]]
    alarms = sum(found.unlike(text) is not None for text in tried)
    return Likeness(**{**vars(found), "n_held_out": len(tried), "n_alarms": alarms})


def prompt_words_of(instruction: str, labels: Sequence[str] | None) -> frozenset[str]:
    """The words that a prompt of this task is likely to have."""
    return frozenset((*_PROMPT_WORDS, *words(instruction), *(word for label in labels or () for word in words(label))))


def write(folder: Path, likeness: Likeness) -> None:
    kept = {name: value for name, value in vars(likeness).items() if name != "prompt_words"}
    counts, worn = base64.b64encode(likeness.counts).decode(), sorted(likeness.worn)
    write_json(folder / LIKENESS, {"format": 1, **kept, "counts": counts, "worn": worn})


def read(folder: Path, *, instruction: str, labels: Sequence[str] | None) -> Likeness | None:
    """What the student's folder says; None: an earlier version made it, and kept nothing of the kind.

    Raises ArtifactError where the file is damaged.
    """
    path = folder / LIKENESS
    try:
        stored = _Stored.model_validate(read_json_file(path, _MOST_BYTES))
        counts = base64.b64decode(stored.counts, validate=True)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(map(str, problem["loc"])) or "the file"
        raise ArtifactError(f"{path}: the key {place[:200]!r} is missing or wrong; {AGAIN}") from None
    except ValueError:
        raise ArtifactError(f"{path}: counts is no base64; {AGAIN}") from None
    if len(counts) != BUCKETS:
        raise ArtifactError(f"{path}: counts has {len(counts):,} entries, and {BUCKETS:,} are needed; {AGAIN}")
    kept = stored.model_dump(exclude={"format", "counts", "worn"})
    worn = frozenset(stored.worn)
    return Likeness(**kept, counts=counts, worn=worn, prompt_words=prompt_words_of(instruction, labels))


def _counts(inputs: Iterable[Sequence[str]]) -> bytes:
    """Of each bucket the number of inputs that have a word in it, as a logarithm."""
    numbers = [0] * BUCKETS
    for parts in inputs:
        for bucket in {_bucket(word) for word in parts}:
            numbers[bucket] += 1
    return bytes(number.bit_length() for number in numbers)


def _bucket(word: str) -> int:
    return zlib.crc32(word.encode(errors="surrogatepass")) % BUCKETS
