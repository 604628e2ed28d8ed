"""Splits: which rows are training, validation, calibration and test rows. Seeded, grouped, stratified.

Each part has one use. `train`: to learn from. `validation`: to stop early and to pick settings. `calibration`: for the
cascade's threshold, whose promise holds only on rows that nothing else used. `test`: for the numbers that are printed.

A part is the file that `[data]` names for it, or else a share of `train` (`split` in `[data]`). Rows of one group, and
rows with the same text, stay together. Rows that are in two parts are refused by the leak rule (`leakage`).
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stillhouse.data.copies import distinct, group_keys
from stillhouse.data.dataset import Dataset, load_examples
from stillhouse.data.group_cap import capped, usual_cap
from stillhouse.data.leakage import NEAR, check_leakage, near_copies
from stillhouse.errors import DatasetError
from stillhouse.records import Example
from stillhouse.task import Task

_LEAST_OF_A_STRATUM = 10  # fewest rows of a class that is cut by shares; a rarer class is not


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The parts of a task's data. `warnings` are sentences for the report; `fingerprints` go into the manifest."""

    train: list[Example]
    validation: list[Example]
    calibration: list[Example]
    test: list[Example]
    unlabelled: list[Example]
    # Name of a further test file, without its ending -> its rows.
    also_test: dict[str, list[Example]] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    group_cap: int | None = None  # the most rows of a group among those that measure; None: no row has a group


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
    further = {
        Path(name).stem: load_examples(task.resolve(name), task=task, skip_bad=skip_bad) for name in data.also_test
    }
    shares = {
        part: share
        for part, share in zip(("validation", "calibration", "test"), data.split, strict=True)
        if part not in loaded
    }
    parts = split_examples(loaded["train"].examples, shares, seed=data.seed)
    parts |= {part: dataset.examples for part, dataset in loaded.items() if part != "train"}
    measured = {part: distinct(parts[part]) for part in ("calibration", "test") if part in parts}
    parts |= {part: distinct_rows.rows for part, distinct_rows in measured.items()}
    also_measured = {name: distinct(dataset.examples) for name, dataset in further.items()}
    cap = data.group_cap or usual_cap((*parts["train"], *parts.get("validation", ()), *parts.get("unlabelled", ())))
    at_most = {part: capped(parts[part], cap, data.seed) for part in measured}
    parts |= {part: capped_rows.rows for part, capped_rows in at_most.items()}
    for part in ("train", "test"):
        if not parts[part]:
            n_rows = len(loaded["train"].examples)
            raise DatasetError(
                f"{task.path or task.name}: no rows are left for {part} ({n_rows} rows in {data.train}); "
                "bring more rows or change `split`"
            )
    warnings = [
        f"{len(dataset.skipped)} broken rows of {dataset.path.name} were skipped; the first: {dataset.skipped[0]}"
        for dataset in (*loaded.values(), *further.values())
        if dataset.skipped
    ]
    for part, distinct_rows in (measured | also_measured).items():
        warnings += distinct_rows.said_of(part)
    for part, capped_rows in at_most.items():
        warnings += capped_rows.said_of(part)
    _refuse_leaks(task, parts, {name: dataset.examples for name, dataset in further.items()})
    warnings += _near_copy_warning(parts)
    return Splits(
        train=parts["train"],
        validation=parts.get("validation", []),
        calibration=parts.get("calibration", []),
        test=parts["test"],
        unlabelled=parts.get("unlabelled", []),
        also_test={name: distinct_rows.rows for name, distinct_rows in also_measured.items()},
        fingerprints={part: dataset.fingerprint for part, dataset in (loaded | further).items()},
        warnings=warnings,
        group_cap=cap if any(row.group is not None for part in measured for row in parts[part]) else None,
    )


def _refuse_leaks(task: Task, parts: Mapping[str, Sequence[Example]], further: Mapping[str, Sequence[Example]]) -> None:
    """Raise LeakageError where a held-out row may be trained on. Unlabelled rows are: with the teacher's labels."""
    data = task.data
    for part in ("validation", "calibration", "test"):
        held_out = f"`{getattr(data, part) or part}`"
        check_leakage(parts["train"], parts[part], f"`{data.train}` and {held_out}")
        if "unlabelled" in parts:
            check_leakage(parts["unlabelled"], parts[part], f"`{data.unlabelled}` and {held_out}")
    for name, rows in further.items():
        for pool in ("train", "unlabelled"):
            check_leakage(parts.get(pool, ()), rows, f"`{getattr(data, pool)}` and `{name}`")


def _near_copy_warning(parts: Mapping[str, Sequence[Example]]) -> list[str]:
    copies = near_copies(parts["train"], parts["test"])
    if not copies:
        return []
    first = copies[0]
    return [
        f"{len(copies)} of {len(parts['test'])} test rows are near copies of a training row "
        f"(at least {NEAR:.0%} of three-word shingles shared), "
        f"for example {first.test_id} and {first.train_id}: the test numbers may flatter"
    ]


def split_examples(examples: Sequence[Example], shares: dict[str, float], *, seed: int) -> dict[str, list[Example]]:
    """Split off each named share; what is left is `train`. Order within a part is the order of the input.

    Which part a row falls into depends on the seed and its group (or text) alone, so adding rows moves few others.
    Strata are the labels: each class is cut by the same shares, as far as its groups allow.
    """
    if not shares:
        return {"train": list(examples)}
    keys = group_keys(examples)
    rows_of: dict[str, list[Example]] = defaultdict(list)  # key of a group -> its rows
    for example, key in zip(examples, keys, strict=True):
        rows_of[key].append(example)
    # Stratum -> its groups; a group belongs to the stratum of most of its rows.
    groups_of: dict[str, list[str]] = defaultdict(list)
    stratum = _strata(examples)
    for key, rows in rows_of.items():
        groups_of[Counter(map(stratum, rows)).most_common(1)[0][0]].append(key)
    part_of: dict[str, str] = {}  # key of a group -> the part that it falls into
    bounds = _cumulative(shares)
    for groups in groups_of.values():
        total, taken = sum(len(rows_of[key]) for key in groups), 0
        for key in sorted(groups, key=lambda key: _rank(seed, key)):
            # The group's middle decides which part the group falls into, so no part's share is systematically short.
            middle = (taken + len(rows_of[key]) / 2) / total
            part_of[key] = next((part for part, bound in bounds if middle <= bound), "train")
            taken += len(rows_of[key])
    parts: dict[str, list[Example]] = {part: [] for part in (*shares, "train")}
    for example, key in zip(examples, keys, strict=True):
        parts[part_of[key]].append(example)
    return parts


def _strata(examples: Sequence[Example]) -> Callable[[Example], str]:
    """The stratum of a row: its label, where labels are classes.

    Labels of open text, and classes too rare to cut, share one stratum.
    """
    counts = Counter(row.label or row.teacher_label or "" for row in examples)

    def stratum(row: Example) -> str:
        label = row.label or row.teacher_label or ""
        return label if counts[label] >= _LEAST_OF_A_STRATUM else ""

    return stratum


def _cumulative(shares: dict[str, float]) -> list[tuple[str, float]]:
    """Where each part ends on the line from 0 to 1; a part of share 0 ends before the line begins."""
    bounds, total = [], 0.0
    for part, share in shares.items():
        total += share
        bounds.append((part, total if share else -1.0))
    return bounds


def _rank(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{key}".encode()).digest()
