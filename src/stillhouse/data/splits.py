"""Splits: which rows are training, validation, calibration and test rows. Seeded, grouped, stratified.

Each part has one use. `train`: to learn from. `validation`: to stop early and to pick settings. `calibration`: for the
cascade's threshold, whose promise holds only on rows that nothing else used. `test`: for the numbers that are printed.

A part is the file that `[data]` names for it, or else a share of `train` (`split` in `[data]`). Rows of one group stay
together. What becomes of rows with the same text depends on what copies are (`copies` in `[data]`): `cut` says how.
Rows that are in two parts are refused by the leak rule (`leakage`).
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stillhouse.data.copies import CopyRule, Reading, group_keys, row_keys
from stillhouse.data.dataset import Dataset, load_examples
from stillhouse.data.generated import n_generated, parted, refuse_children, without_children
from stillhouse.data.group_cap import usual_cap
from stillhouse.data.leakage import NEAR, check_leakage, near_copies, without_overlap
from stillhouse.data.lone_groups import groups_in_the_way
from stillhouse.data.measured_rows import MeasuredRows, measured_rows
from stillhouse.data.row_time import times_of
from stillhouse.doubts import Doubt, Warned, in_order
from stillhouse.errors import DatasetError
from stillhouse.records import Example
from stillhouse.task import Task
from stillhouse.words import normalise

MEASURING = ("calibration", "test")  # the parts whose rows measure

_LEAST_OF_A_STRATUM = 10  # fewest rows of a class that is cut by shares; a rarer class is not


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The parts of a task's data. `fingerprints` go into the manifest.

    `doubts` are about what may make a verdict wrong; `notes` tell what was done with the rows.
    """

    train: list[Example]
    validation: list[Example]
    calibration: list[Example]
    test: list[Example]
    unlabelled: list[Example]
    # Name of a further test file, without its ending -> its rows.
    also_test: dict[str, list[Example]] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    doubts: list[Warned] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    group_cap: int | None = None  # the most rows of a group among those that measure; None: no row has a group
    # Name of a part that measures, or of a further test file -> the ways in which its rows count, where there are more
    # than one. The first is the one that numbers are about.
    readings: Mapping[str, tuple[Reading, ...]] = field(default_factory=dict)
    n_overlap: int | None = None  # rows taken out of training for they overlap with held-out ones; None: not asked for

    @property
    def n_test_generated(self) -> int:
        return n_generated(self.test)

    @property
    def warnings(self) -> list[str]:
        """The doubts as sentences, the heaviest first."""
        return list(in_order(self.doubts))


def load_splits(task: Task, *, skip_bad: bool = False, drop_overlap: bool = False) -> Splits:
    """Load every file that `[data]` names, split off `train` what is not named, and check for leakage.

    `drop_overlap`: rows to train on that overlap with a file of held-out rows are left out, counted and said. Raises
    DatasetError for files and rows, LeakageError where a test row is also trained on.
    """
    data, copies = task.data, copy_rule(task)
    loaded: dict[str, Dataset] = {}
    for part in ("train", "validation", "calibration", "test", "unlabelled"):
        name = getattr(data, part)
        if name is not None:
            loaded[part] = load_examples(task.resolve(name), task=task, skip_bad=skip_bad)
    further = {
        Path(name).stem: load_examples(task.resolve(name), task=task, skip_bad=skip_bad) for name in data.also_test
    }
    notes_on_made: list[str] = []
    if not data.measure_generated:
        loaded, further, notes_on_made = _measuring_real_rows(loaded, further)
    pools: dict[str, list[Example]] = {
        part: loaded[part].examples for part in ("train", "unlabelled") if part in loaded
    }
    n_overlap = None
    if drop_overlap:
        held_out = [dataset for part, dataset in loaded.items() if part not in pools] + list(further.values())
        pools, n_overlap = _without_overlap(pools, [row for dataset in held_out for row in dataset.examples], copies)
    cut_off = cut_real(task, pools["train"], loaded)
    parts = cut_off.parts | {part: dataset.examples for part, dataset in loaded.items() if part not in pools}
    if "unlabelled" in pools:
        unlabelled: dict[str, list[Example]] = {"unlabelled": pools["unlabelled"]}
        if n_overlap is not None:  # rows that were cut off are held out, too
            cut_out = [row for part, rows in cut_off.parts.items() if part != "train" for row in rows]
            unlabelled, n_more = _without_overlap(unlabelled, cut_out, copies)
            n_overlap += n_more
        parts |= unlabelled
    held = [row for part in ("validation", *MEASURING) for row in parts.get(part, ())]
    held_ids = {row.id for row in (*held, *(row for dataset in further.values() for row in dataset.examples))}
    if n_overlap is not None:
        for part in pools:
            kept = without_children(parts[part], held_ids)
            parts[part], n_overlap = kept, n_overlap + len(parts[part]) - len(kept)
    for part in pools:
        refuse_children(parts[part], held_ids, f"`{getattr(data, part)}`")
    trained_on = [*parts["train"], *parts.get("validation", ()), *parts.get("unlabelled", ())]
    cap = data.group_cap or usual_cap(trained_on)
    trained_texts = {normalise(row.text) for row in trained_on}
    measured = {
        part: cut_off.measured(part, parts[part], copies, trained_texts, cap=cap, seed=data.seed)
        for part in MEASURING
        if part in parts
    }
    also_measured = {
        name: measured_rows(name, rows, rows, copies, trained_texts=trained_texts)
        for name, rows in ((name, dataset.examples) for name, dataset in further.items())
    }
    parts |= {part: of_part.rows for part, of_part in measured.items()}
    for part in ("train", "test"):
        if not parts[part]:
            rows = loaded["train"].examples
            why = groups_in_the_way(rows, part, lambda alone: cut_as_asked(task, alone, loaded))
            if n_made := 0 if data.measure_generated else n_generated(rows):
                why = (
                    f"{n_made} of them were generated and measure nothing; "
                    "bring real rows, or set measure_generated = true in [data] to measure on generated ones"
                )
            raise DatasetError(
                f"{task.path or task.name}: no rows are left for {part} ({len(rows)} rows in {data.train}); "
                f"{why or 'bring more rows or change `split`'}"
            )
    warnings = [
        Warned(
            Doubt.ROWS_SKIPPED,
            f"{len(dataset.skipped)} broken rows of {dataset.path.name} were skipped; the first: {dataset.skipped[0]}",
            len(dataset.skipped) / (len(dataset.skipped) + len(dataset.examples)),
        )
        for dataset in (*loaded.values(), *further.values())
        if dataset.skipped
    ]
    overlap = f"{n_overlap} rows to train on overlap with held-out rows and were left out (--drop-overlap)"
    of_files = dict.fromkeys(note for dataset in (*loaded.values(), *further.values()) for note in dataset.notes)
    notes = [*of_files, *notes_on_made, *([overlap] if n_overlap else []), *cut_off.notes]
    for of_part in (*measured.values(), *also_measured.values()):
        notes += of_part.notes
    warnings += _merged_by_harvest(copies, [row for of_part in measured.values() for row in of_part.rows])
    _refuse_leaks(task, parts, {name: dataset.examples for name, dataset in further.items()}, copies, cut_off)
    new = [row for row in measured["test"].as_drawn if normalise(row.text) not in trained_texts]
    warnings += _near_copy_warning(parts["train"], new)
    warnings += _generated_warning(parts["test"])
    return Splits(
        train=parts["train"],
        validation=parts.get("validation", []),
        calibration=parts.get("calibration", []),
        test=parts["test"],
        unlabelled=parts.get("unlabelled", []),
        also_test={name: of_part.rows for name, of_part in also_measured.items()},
        fingerprints={part: dataset.fingerprint for part, dataset in (loaded | further).items()},
        doubts=warnings,
        notes=notes,
        group_cap=cap if any(map(_has_groups, measured.values())) else None,
        readings={name: of_part.readings for name, of_part in (measured | also_measured).items() if of_part.readings},
        n_overlap=n_overlap,
    )


def copy_rule(task: Task) -> CopyRule:
    """What copies are in this task. Answers that are judged in pairs are judged once for each input."""
    return "files" if task.metric == "win_rate" else task.data.copies


def shares_to_cut(task: Task, named: Iterable[str]) -> dict[str, float]:
    """The share of `train` that each part takes which has no file of its own."""
    shares = zip(("validation", "calibration", "test"), task.data.split, strict=True)
    return {part: share for part, share in shares if part not in named}


def cut_as_asked(task: Task, rows: Sequence[Example], named: Iterable[str]) -> Mapping[str, Sequence[Example]]:
    """The parts that `[data]` cuts off these rows; `named`: those that have a file of their own."""
    return cut_real(task, rows, named).parts


def cut_real(task: Task, rows: Sequence[Example], named: Iterable[str]) -> "Cut":
    """Cut the parts that have no file of their own off these rows; generated rows are for training, unless asked."""
    shares, copies = shares_to_cut(task, named), copy_rule(task)
    real, made = (list(rows), []) if task.data.measure_generated else parted(rows)
    if not real:
        return Cut({part: [] for part in shares} | {"train": made})
    cut_off = cut(real, shares, seed=task.data.seed, copies=copies)
    return replace(cut_off, parts={**cut_off.parts, "train": [*cut_off.parts["train"], *made]}) if made else cut_off


def _measuring_real_rows(
    loaded: dict[str, Dataset], further: dict[str, Dataset]
) -> tuple[dict[str, Dataset], dict[str, Dataset], list[str]]:
    """The files without the generated rows among those that measure, and what to say of generated rows."""
    notes = []
    if "train" in loaded and (n := n_generated(loaded["train"].examples)):
        said = f"{n:,} of {len(loaded['train'].examples):,} rows of {loaded['train'].path.name} were generated"
        notes.append(f"{said}: they are learned from and never measured (measure_generated in [data])")

    def real(dataset: Dataset) -> Dataset:
        kept, made = parted(dataset.examples)
        if not made:
            return dataset
        if not kept:
            raise DatasetError(
                f"{dataset.path}: all of its {len(made):,} rows were generated, and numbers on them say nothing of "
                "real ones; give real rows, or set measure_generated = true in [data] to measure on them all the same"
            )
        notes.append(
            f"{len(made):,} of {len(dataset.examples):,} rows of {dataset.path.name} were generated and were left out "
            "(measure_generated in [data])"
        )
        return replace(dataset, examples=kept)

    measuring = {part: real(dataset) if part in MEASURING else dataset for part, dataset in loaded.items()}
    return measuring, {name: real(dataset) for name, dataset in further.items()}, notes


def _generated_warning(test: Sequence[Example]) -> list[Warned]:
    n, of = n_generated(test), len(test)
    if not n:
        return []
    said = f"{n:,} of {of:,} test rows were generated by a model: the numbers are for such rows, not for real ones"
    return [Warned(Doubt.GENERATED_TEST_ROWS, said, n / of)]


def _has_groups(measured: MeasuredRows) -> bool:
    of_readings = any(group is not None for reading in measured.readings for group in reading.groups.values())
    return of_readings or any(row.group is not None for row in measured.rows)


def _without_overlap(
    pools: Mapping[str, list[Example]], held_out: Sequence[Example], copies: CopyRule
) -> tuple[dict[str, list[Example]], int]:
    """(the rows that may be trained on, by pool; the number of those left out)."""
    kept = {name: without_overlap(rows, held_out, repeats=copies == "traffic") for name, rows in pools.items()}
    return kept, sum(map(len, pools.values())) - sum(map(len, kept.values()))


def _merged_by_harvest(copies: CopyRule, rows: Sequence[Example]) -> list[Warned]:
    """A sentence where a row stands for several calls: then the rows do not weigh what calls weigh."""
    calls = []
    for row in rows:
        provenance = row.extra.get("provenance")
        n_calls = provenance.get("n_calls") if isinstance(provenance, dict) else None
        if isinstance(n_calls, int) and n_calls > 1:
            calls.append(n_calls)
    if not calls or copies == "files":
        return []
    return [
        Warned(
            Doubt.NOT_TRAFFIC,
            f"{len(calls)} of {len(rows)} rows that measure stand for {sum(calls):,} calls (`n_calls`): each counts "
            "once, so the numbers are for inputs and not for traffic; `harvest --every-call` gives each call a row",
            sum(calls) / (len(rows) - len(calls) + sum(calls)),
        )
    ]


def _refuse_leaks(
    task: Task,
    parts: Mapping[str, Sequence[Example]],
    further: Mapping[str, Sequence[Example]],
    copies: CopyRule,
    cut_off: "Cut",
) -> None:
    """Raise LeakageError where a held-out row may be trained on. Unlabelled rows are: with the teacher's labels.

    Traffic repeats itself. And rows that were cut off `train` have inputs in it only where the cut means them to.
    """
    data, traffic = task.data, copies == "traffic"
    for part in ("validation", "calibration", "test"):
        held_out, repeats = f"`{getattr(data, part) or part}`", traffic or part in cut_off.draws
        check_leakage(parts["train"], parts[part], f"`{data.train}` and {held_out}", repeats=repeats)
        if "unlabelled" in parts:
            check_leakage(parts["unlabelled"], parts[part], f"`{data.unlabelled}` and {held_out}", repeats=traffic)
    for name, rows in further.items():
        for pool in ("train", "unlabelled"):
            check_leakage(parts.get(pool, ()), rows, f"`{getattr(data, pool)}` and `{name}`", repeats=traffic)


def _near_copy_warning(train: Sequence[Example], test: Sequence[Example]) -> list[Warned]:
    copies = near_copies(train, test)
    if not copies:
        return []
    first = copies[0]
    return [
        Warned(
            Doubt.NEAR_COPIES,
            f"{len(copies)} of {len(test)} test rows are near copies of a training row "
            f"(at least {NEAR:.0%} of three-word shingles shared), "
            f"for example {first.test_id} and {first.train_id}: the test numbers may flatter",
            len(copies) / len(test),
        )
    ]


# Cutting one file into parts


@dataclass(frozen=True)
class Cut:
    """Rows by part. `notes`: sentences for the report.

    Where one cut serves both readings of copies: `draws` and `inputs` are, of each part that measures, the ids of the
    rows that a cut by row gives it, and of those that a cut by input gives it. Rows that are neither are in no part.
    """

    parts: dict[str, list[Example]]
    draws: Mapping[str, frozenset[str]] = field(default_factory=dict)
    inputs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def measured(
        self,
        part: str,
        rows: Sequence[Example],
        copies: CopyRule,
        trained_texts: set[str],
        *,
        cap: int | None = None,
        seed: int = 0,
    ) -> MeasuredRows:
        """The rows of a part that measures, whether it was cut here or has a file of its own."""
        draws = [row for row in rows if part not in self.draws or row.id in self.draws[part]]
        inputs = [row for row in rows if part not in self.inputs or row.id in self.inputs[part]]
        return measured_rows(part, draws, inputs, copies, trained_texts=trained_texts, cap=cap, seed=seed)


def cut(examples: Sequence[Example], shares: dict[str, float], *, seed: int, copies: CopyRule) -> Cut:
    """Cut parts off a file of rows, as what copies are asks for.

    "files": by input, so that rows of one input are in one part. "traffic": by time where all rows have one, the newest
    rows for test, else by row; an input may then come in several parts. None: `_cut_both`.
    """
    if copies == "files" or not shares:
        return Cut(split_examples(examples, shares, seed=seed))
    if copies is None:
        return _cut_both(examples, shares, seed)
    times, note = times_of(examples)
    notes = () if note is None else (note,)
    if times is None:
        return Cut(
            _by_part(examples, _parts_at_random(examples, row_keys(examples), shares, seed), shares), notes=notes
        )
    return Cut(_by_part(examples, _parts_by_time(examples, times, shares, seed), shares), notes=notes)


def _cut_both(examples: Sequence[Example], shares: dict[str, float], seed: int) -> Cut:
    """One cut that is right whether copies are draws of traffic or mistakes of the file.

    Rows whose input comes once are cut once. The others are cut twice, by row and by input. A row that either cut gives
    to a part that measures is measured there, in its way, and is not trained on. So what is trained on has neither a
    row of the first cut nor an input of the second, and what measures are draws, and inputs, at random.
    """
    units, inputs = row_keys(examples), group_keys(examples)
    units_of: dict[str, set[str]] = defaultdict(set)
    for unit, key in zip(units, inputs, strict=True):
        units_of[key].add(unit)
    copied = [len(units_of[key]) > 1 for key in inputs]
    if not any(copied):
        return Cut(split_examples(examples, shares, seed=seed))

    def at_random(keys: Sequence[str], among_copied: bool) -> list[str]:
        chosen = [
            (row, key) for row, key, is_copied in zip(examples, keys, copied, strict=True) if is_copied is among_copied
        ]
        return _parts_at_random([row for row, _ in chosen], [key for _, key in chosen], shares, seed) if chosen else []

    alone, by_row, by_input = (
        iter(at_random(keys, many)) for keys, many in ((inputs, False), (units, True), (inputs, True))
    )
    parts: dict[str, list[Example]] = {part: [] for part in (*shares, "train")}
    draws: dict[str, set[str]] = {part: set() for part in MEASURING if part in shares}
    own_inputs: dict[str, set[str]] = {part: set() for part in draws}
    n_held_out = 0
    for row, is_copied in zip(examples, copied, strict=True):
        if not is_copied:
            of_row = of_input = next(alone)
        else:
            of_row, of_input = next(by_row), next(by_input)
        part = of_row if of_row in draws else of_input
        parts[part].append(row)
        if of_row in draws:
            draws[part].add(row.id)
        if of_input == part and part in draws:
            own_inputs[part].add(row.id)
            n_held_out += of_row not in draws
    notes = []
    if n_held_out:
        notes.append(
            f"{n_held_out} of {len(examples)} rows have the input of another row and were held out of training so that "
            'each input can be counted once; with copies = "traffic" or "files" in [data] more rows are trained on'
        )
    return Cut(
        parts,
        {part: frozenset(ids) for part, ids in draws.items()},
        {part: frozenset(ids) for part, ids in own_inputs.items()},
        tuple(notes),
    )


def split_examples(examples: Sequence[Example], shares: dict[str, float], *, seed: int) -> dict[str, list[Example]]:
    """Split off each named share; what is left is `train`. Order within a part is the order of the input.

    Which part a row falls into depends on the seed and its group (or text) alone, so adding rows moves few others.
    Strata are the labels: each class is cut by the same shares, as far as its groups allow.
    """
    if not shares:
        return {"train": list(examples)}
    return _by_part(examples, _parts_at_random(examples, group_keys(examples), shares, seed), shares)


def _by_part(examples: Sequence[Example], part_of: Sequence[str], shares: dict[str, float]) -> dict[str, list[Example]]:
    parts: dict[str, list[Example]] = {part: [] for part in (*shares, "train")}
    for example, part in zip(examples, part_of, strict=True):
        parts[part].append(example)
    return parts


def _parts_at_random(
    examples: Sequence[Example], keys: Sequence[str], shares: dict[str, float], seed: int
) -> list[str]:
    """The part of every row; rows of one key fall into one part."""
    rows_of: dict[str, list[Example]] = defaultdict(list)  # key -> its rows
    for example, key in zip(examples, keys, strict=True):
        rows_of[key].append(example)
    # Stratum -> its keys; a key belongs to the stratum of most of its rows.
    keys_of: dict[str, list[str]] = defaultdict(list)
    stratum = _strata(examples)
    for key, rows in rows_of.items():
        keys_of[Counter(map(stratum, rows)).most_common(1)[0][0]].append(key)
    part_of: dict[str, str] = {}
    for of_stratum in keys_of.values():
        in_order = sorted(of_stratum, key=lambda key: _rank(seed, key))
        part_of |= _along_the_line(in_order, {key: len(rows_of[key]) for key in of_stratum}, _cumulative(shares))
    return [part_of[key] for key in keys]


def _parts_by_time(
    examples: Sequence[Example], times: Sequence[float], shares: dict[str, float], seed: int
) -> list[str]:
    """The part of every row: the oldest rows are trained on, the newest are test rows.

    A group is as old as its newest row, so that no training row is newer than a group that is tested.
    """
    keys = row_keys(examples)
    sizes, newest = Counter(keys), dict[str, float]()
    for key, time in zip(keys, times, strict=True):
        newest[key] = max(time, newest.get(key, time))
    newest_first = sorted(sizes, key=lambda key: (-newest[key], _rank(seed, key)))
    bounds = _cumulative({part: shares[part] for part in ("test", "calibration", "validation") if part in shares})
    part_of = _along_the_line(newest_first, sizes, bounds)
    return [part_of[key] for key in keys]


def _along_the_line(
    keys: Sequence[str], sizes: Mapping[str, int], bounds: Sequence[tuple[str, float]]
) -> dict[str, str]:
    """The part of every key, when they are laid out in this order from 0 to 1; what is beyond the bounds is `train`."""
    total, taken, part_of = sum(sizes[key] for key in keys), 0, {}
    for key in keys:
        # The middle decides which part a key falls into, so no part's share is systematically short.
        middle = (taken + sizes[key] / 2) / total
        part_of[key] = next((part for part, bound in bounds if middle <= bound), "train")
        taken += sizes[key]
    return part_of


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
