"""How many test rows the gate takes, said before a teacher is asked for a single label."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from stillhouse.data.copies import UNSEEN, CopyRule
from stillhouse.data.dataset import load_examples
from stillhouse.data.leakage import without_overlap
from stillhouse.data.splits import MEASURING, Cut, copy_rule, cut, shares_to_cut
from stillhouse.evaluation.cascade_threshold import rows_for
from stillhouse.evaluation.margin_gate import DISCORDANCE, fewest_rows, rows_needed, rows_of_a_class
from stillhouse.records import Example
from stillhouse.task import Task, load_task


@dataclass(frozen=True, kw_only=True)
class RowsPlan:
    """The rows that there are, and the rows for a pass in four of five cases.

    The pass is by a student that is as good as the prompt and differs from it on DISCORDANCE of the rows. `per_class`
    holds the test rows of each class, None where gold labels do not tell; `needed_per_class` None: no class is tested.
    `pooled_below`: classes with fewer test rows are tested together; None: every class is tested on its own.
    """

    n_test: int
    needed: int
    fewest: int
    margin: float
    level: float
    per_class: dict[str, int] | None
    needed_per_class: int | None
    pooled_below: int | None
    n_calibration: int
    fewest_calibration: int
    harm: float

    @property
    def sentence(self) -> str:
        gate = f"rows for the gate (margin {100 * self.margin:g} points, {self.level:.0%} confidence)"
        alike = f"a student as good as the prompt that differs from it on {DISCORDANCE:.0%} of the rows"
        takes = f"{alike} takes about {self.needed:,}, one that never differs {self.fewest:,}"
        sentence = f"{gate}: {self.n_test:,} test rows here; {takes}"
        if self.needed_per_class is not None:
            have = "which are there is not known before they are labelled"
            if self.per_class is not None:
                counts = sorted(self.per_class.items(), key=lambda pair: pair[1])
                more = f" and {len(counts) - 5} more" if len(counts) > 5 else ""
                have = "here " + ", ".join(f"{label} {count:,}" for label, count in counts[:5]) + more
            sentence += f"; about {self.needed_per_class:,} of each class ({have})"
            if self.pooled_below is not None:
                sentence += f", classes with fewer than {self.pooled_below:,} tested together"
        cascade = f"a cascade takes at least {self.fewest_calibration:,} calibration rows ({self.n_calibration:,} here)"
        return f"{sentence}; {cascade}"


def rows_plan(task: Path | Task, *, skip_bad: bool = False, drop_overlap: bool = False) -> RowsPlan:
    """Read and split the task's rows as `advise` and `distill` will; ask nobody. Raises what reading them raises."""
    loaded = task if isinstance(task, Task) else load_task(task)
    parts = {part: _rows(loaded, part, skip_bad) for part in ("train", "validation", "calibration", "test")}
    named = [part for part, rows in parts.items() if rows is not None]
    copies = copy_rule(loaded)
    train = parts["train"] or []
    if drop_overlap:
        held_out = [row for part, rows in parts.items() if part != "train" for row in rows or ()]
        for name in loaded.data.also_test:
            held_out += load_examples(loaded.resolve(name), task=loaded, skip_bad=skip_bad).examples
        train = without_overlap(train, held_out, repeats=copies == "traffic")
    cut_off = cut(train, shares_to_cut(loaded, named), seed=loaded.data.seed, copies=copies)
    test, calibration = (
        _fewest(cut_off, part, parts[part] or cut_off.parts.get(part, []), copies) for part in reversed(MEASURING)
    )
    gate = loaded.gate
    labels = _classes(loaded, test)
    needed = rows_needed(DISCORDANCE, 0.0, gate.margin, gate.level)
    assert needed is not None  # a difference of 0 is within every margin, so some number of rows is enough
    per_class = needed_per_class = None
    class_margin = gate.class_margin or gate.margin
    if labels and gate.classes != "none":
        needed_per_class = rows_of_a_class(class_margin, gate.level, len(labels))
        if all(row.label is not None for row in test):
            per_class = Counter(row.label for row in test if row.label is not None)
    return RowsPlan(
        n_test=len(test),
        needed=needed,
        fewest=fewest_rows(gate.margin, gate.level),
        margin=gate.margin,
        level=gate.level,
        per_class=per_class,
        needed_per_class=needed_per_class,
        pooled_below=rows_of_a_class(class_margin, gate.level) if gate.classes == "pooled" else None,
        n_calibration=len(calibration),
        fewest_calibration=rows_for(gate.harm, gate.level),
        harm=gate.harm,
    )


def _fewest(cut_off: Cut, part: str, rows: list[Example], copies: CopyRule) -> list[Example]:
    """The rows that measure; where copies are read in two ways, those of the way that has fewer rows."""
    measured = cut_off.measured(part, rows, copies, set())
    ways = [reading.groups for reading in measured.readings if reading.name != UNSEEN]
    if not ways:
        return measured.rows
    fewest = min(ways, key=len)
    return [row for row in measured.rows if row.id in fewest]


def _rows(task: Task, part: str, skip_bad: bool) -> list[Example] | None:
    name = getattr(task.data, part)
    return None if name is None else load_examples(task.resolve(name), task=task, skip_bad=skip_bad).examples


def _classes(task: Task, test: list[Example]) -> tuple[str, ...]:
    """The classes that the gate will look at; none where rows have choices of their own, or labels are not classes."""
    if task.output != "choice" or any(row.choices for row in test):
        return ()
    return task.labels or tuple(sorted({row.label for row in test if row.label is not None}))
