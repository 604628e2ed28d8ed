"""Splits: seeded, grouped, stratified; and the check that nothing of the test rows was trained on.

Four parts, each with one use: `train` to learn from, `validation` to stop early and pick settings, `calibration` for the cascade's threshold
(whose promise holds only on rows that nothing else used), `test` for the numbers that are printed. Rows of one group, and rows with the same
text, stay together.
"""

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stillhouse.data.dataset import Dataset, load_examples
from stillhouse.errors import DatasetError, LeakageError
from stillhouse.records import Example
from stillhouse.task import Task

NEAR = 0.9  # Jaccard similarity of three-word shingles from which two texts count as near copies


@dataclass(frozen=True)
class Splits:
    """The parts of a task's data. `warnings` are sentences for the report; `fingerprints` go into the manifest."""

    train: list[Example]
    validation: list[Example]
    calibration: list[Example]
    test: list[Example]
    unlabelled: list[Example]
    also_test: dict[str, list[Example]] = field(default_factory=dict)  # by the file's name without its ending
    fingerprints: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class NearCopy:
    """A test row and the training row that it nearly repeats."""

    test_id: str
    train_id: str
    similarity: float


def load_splits(task: Task, *, skip_bad: bool = False) -> Splits:
    """Load every file that `[data]` names, split off `train` what is not named, and check for leakage.

    Raises DatasetError for files and rows, LeakageError where a test row is also trained on.
    """
    data = task.data
    loaded: dict[str, Dataset] = {}
    for part in ("train", "validation", "calibration", "test", "unlabelled"):
        name = getattr(data, part)
        if name is not None:
            loaded[part] = load_examples(task.resolve(name), task=task, skip_bad=skip_bad)
    missing = [part for part in ("validation", "calibration", "test") if part not in loaded]
    shares = {
        part: share
        for part, share in zip(("validation", "calibration", "test"), data.split, strict=True)
        if part in missing
    }
    parts = split_examples(loaded["train"].examples, shares, seed=data.seed)
    parts |= {part: dataset.examples for part, dataset in loaded.items() if part != "train"}
    further = {
        Path(name).stem: load_examples(task.resolve(name), task=task, skip_bad=skip_bad) for name in data.also_test
    }
    measured = {part: distinct(parts[part]) for part in ("calibration", "test") if part in parts}
    parts |= {part: found.rows for part, found in measured.items()}
    also = {name: distinct(dataset.examples) for name, dataset in further.items()}
    for part in ("train", "test"):
        if not parts[part]:
            n_rows = len(loaded["train"].examples)
            raise DatasetError(
                f"{task.path or task.name}: no rows are left for {part} ({n_rows} rows in {data.train}); bring more rows or change `split`"
            )
    warnings = [
        f"{len(dataset.skipped)} broken rows of {dataset.path.name} were skipped; the first: {dataset.skipped[0]}"
        for dataset in (*loaded.values(), *further.values())
        if dataset.skipped
    ]
    warnings += [said for part, found in (measured | also).items() for said in found.said_of(part)]
    for part in ("validation", "calibration", "test"):
        where = f"`{data.train}` and `{getattr(data, part) or part}`"
        check_leakage(parts["train"], parts[part], where)
        if "unlabelled" in parts:  # trained on as well, with the teacher's labels
            check_leakage(parts["unlabelled"], parts[part], f"`{data.unlabelled}` and `{getattr(data, part) or part}`")
    for name, dataset in further.items():
        for pool in ("train", "unlabelled"):
            check_leakage(parts.get(pool, ()), dataset.examples, f"`{getattr(data, pool)}` and `{name}`")
    near = near_copies(parts["train"], parts["test"])
    if near:
        first = near[0]
        warnings.append(
            f"{len(near)} of {len(parts['test'])} test rows are near copies of a training row (at least {NEAR:.0%} of three-word shingles shared), "
            f"for example {first.test_id} and {first.train_id}: the test numbers may flatter"
        )
    return Splits(
        train=parts["train"],
        validation=parts.get("validation", []),
        calibration=parts.get("calibration", []),
        test=parts["test"],
        unlabelled=parts.get("unlabelled", []),
        also_test={name: found.rows for name, found in also.items()},
        fingerprints={part: dataset.fingerprint for part, dataset in (loaded | further).items()},
        warnings=warnings,
    )


def split_examples(examples: Sequence[Example], shares: dict[str, float], *, seed: int) -> dict[str, list[Example]]:
    """Split off each named share; what is left is `train`. Order within a part is the order of the input.

    Which part a row falls into depends on the seed and its group (or text) alone, so adding rows moves few others. Strata are the labels:
    each class is cut by the same shares, as far as its groups allow.
    """
    names = [*shares, "train"]
    parts: dict[str, list[Example]] = {name: [] for name in names}
    if not shares:
        return {"train": list(examples)}
    groups: dict[str, list[Example]] = defaultdict(list)
    for example, key in zip(examples, _group_keys(examples), strict=True):
        groups[key].append(example)
    strata: dict[str, list[str]] = defaultdict(list)
    stratum = _strata(examples)
    for key, rows in groups.items():
        strata[Counter(map(stratum, rows)).most_common(1)[0][0]].append(key)
    place: dict[str, str] = {}
    for keys in strata.values():
        total, taken = sum(len(groups[key]) for key in keys), 0
        bounds = _cumulative(shares)
        for key in sorted(keys, key=lambda key: _rank(seed, key)):
            middle = (
                taken + len(groups[key]) / 2
            ) / total  # where the group's middle falls decides, so no share is systematically short
            place[key] = next((name for name, bound in bounds if middle <= bound), "train")
            taken += len(groups[key])
    for example, key in zip(examples, _group_keys(examples), strict=True):
        parts[place[key]].append(example)
    return parts


def _strata(examples: Sequence[Example]) -> Callable[[Example], str]:
    """The stratum of a row: its label, where labels are classes. Labels of open text, and classes too rare to cut, share one stratum."""
    counts = Counter(row.label or row.teacher_label or "" for row in examples)

    def stratum(row: Example) -> str:
        label = row.label or row.teacher_label or ""
        return label if counts[label] >= 10 else ""

    return stratum


def _cumulative(shares: dict[str, float]) -> list[tuple[str, float]]:
    bounds, total = [], 0.0
    for name, share in shares.items():
        total += share
        bounds.append((name, total if share else -1.0))
    return bounds


def _rank(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{key}".encode()).digest()


def _group_keys(examples: Sequence[Example]) -> list[str]:
    """One key per row: rows that share a group or a text are linked, over any number of steps, and get the same key."""
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    texts = [f"text\0{normalise(example.text)}" for example in examples]
    for example, text in zip(examples, texts, strict=True):
        if example.group is not None:
            parent[root(text)] = root(f"group\0{example.group}")
    return [root(text) for text in texts]


def normalise(text: str) -> str:
    """Case, spacing and punctuation do not make a text new; the order of words and every sign of arithmetic or comparison does."""
    return " ".join(re.findall(r"\w+|[^\w\s.,;:!?'\"]", text.casefold()))


@dataclass(frozen=True)
class Distinct:
    """Rows to measure on. `n_dropped` repeated another row whole; `n_linked` share an input with a row that has another label."""

    rows: list[Example]
    n_dropped: int
    n_linked: int

    def said_of(self, part: str) -> list[str]:
        """A sentence for each count that is not zero."""
        total, found = len(self.rows) + self.n_dropped, []
        if self.n_dropped:
            found.append(
                f"{self.n_dropped} of {total} {part} rows repeat the input and label of another and were left out: a copy is no new evidence"
            )
        if self.n_linked:
            found.append(
                f"{self.n_linked} of {total} {part} rows have the input of another row and a different label; rows of one input count as one draw"
            )
        return found


def distinct(examples: Sequence[Example]) -> Distinct:
    """Rows to measure on, without copies, which would narrow every interval.

    A row with the input and the labels of an earlier one is dropped. Rows with the same input and other labels stay, in one group: which label is right is not
    ours to guess, and they are one draw of the inputs all the same.
    """
    kept: dict[tuple[object, ...], Example] = {}
    for example in examples:
        kept.setdefault((normalise(example.text), example.choices, example.label, example.teacher_label), example)
    rows = list(kept.values())
    twins = Counter((normalise(row.text), row.choices) for row in rows)
    twin = [twins[normalise(row.text), row.choices] > 1 for row in rows]
    keys = _group_keys(rows)
    first: dict[str, str] = {}  # of the keys with a twin: the id of their first row
    for row, key, is_twin in zip(rows, keys, twin, strict=True):
        if is_twin:
            first.setdefault(key, row.id)
    linked = [
        replace(row, group=f"rows with the input of {first[key]}") if key in first else row
        for row, key in zip(rows, keys, strict=True)
    ]
    return Distinct(linked, len(examples) - len(rows), sum(twin))


def check_leakage(train: Iterable[Example], held_out: Iterable[Example], where: str = "train and test") -> None:
    """Raise LeakageError where a held-out row's id, group or text is also in training."""
    ids, groups, texts = set(), set(), {}
    for row in train:
        ids.add(row.id)
        groups.add(row.group)
        texts[normalise(row.text)] = row.id
    leaks = []
    for row in held_out:
        if (twin := texts.get(normalise(row.text))) is not None:
            leaks.append(f"row {row.id!r} has the same input as training row {twin!r}")
        elif row.id in ids:
            leaks.append(f"the id {row.id!r} is in both")
        elif row.group is not None and row.group in groups:
            leaks.append(f"row {row.id!r} belongs to group {row.group!r}, which is in training")
    if leaks:
        more = f" (and {len(leaks) - 1} more)" if len(leaks) > 1 else ""
        raise LeakageError(
            f"{where} overlap: {leaks[0]}{more}; remove such rows from one of the two, for numbers on rows that were trained on mean nothing"
        )


def near_copies(train: Sequence[Example], test: Sequence[Example], threshold: float = NEAR) -> list[NearCopy]:
    """Test rows that share at least `threshold` (Jaccard) of their three-word shingles with some training row.

    Exact, by prefix filtering (Chaudhuri et al. 2006, "A primitive operator for similarity joins"): two sets that similar must share one of
    their rarest shingles, so only rows that share one are compared.
    """
    train_shingles = [_shingles(row.text) for row in train]
    test_shingles = [_shingles(row.text) for row in test]
    frequency = Counter(shingle for shingles in (*train_shingles, *test_shingles) for shingle in shingles)

    def prefix(shingles: frozenset[str]) -> list[str]:
        kept = len(shingles) - math.ceil(threshold * len(shingles) - 1e-9) + 1  # 0.9 * 30 is a hair over 27
        return sorted(shingles, key=lambda shingle: (frequency[shingle], shingle))[:kept]

    index: dict[str, list[int]] = defaultdict(list)
    for number, shingles in enumerate(train_shingles):
        for shingle in prefix(shingles):
            index[shingle].append(number)
    found = []
    for row, shingles in zip(test, test_shingles, strict=True):
        best = NearCopy(row.id, "", 0.0)
        for number in {number for shingle in prefix(shingles) for number in index.get(shingle, ())}:
            other = train_shingles[number]
            similarity = len(shingles & other) / len(shingles | other)
            if similarity > best.similarity:
                best = NearCopy(row.id, train[number].id, similarity)
        if best.similarity >= threshold:
            found.append(best)
    return found


def _shingles(text: str) -> frozenset[str]:
    words = normalise(text).split()
    return frozenset(" ".join(words[start : start + 3]) for start in range(max(1, len(words) - 2)))
