"""How many test rows the gate takes, said before a teacher is asked for a single label."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stillhouse.data.copies import UNSEEN
from stillhouse.data.dataset import Dataset, load_examples
from stillhouse.data.generated import parted
from stillhouse.data.group_cap import usual_cap
from stillhouse.data.leakage import without_overlap
from stillhouse.data.measured_rows import MeasuredRows
from stillhouse.data.splits import MEASURING, copy_rule, cut_real
from stillhouse.evaluation.bound_power import expected, groups_needed
from stillhouse.evaluation.cascade_threshold import RowsInGroups, rows_for
from stillhouse.evaluation.margin_gate import DISCORDANCE, POWER, fewest_rows, rows_needed, rows_of_a_class
from stillhouse.evaluation.metrics import metric_for
from stillhouse.evaluation.spending import level_of_look
from stillhouse.evaluation.win_rate import rows_for_win_rate
from stillhouse.experiment.gold_queries import with_sound_queries
from stillhouse.experiment.look_plans import row_hash
from stillhouse.experiment.looks import Plan, classes_of, coming_look
from stillhouse.numbers import confidence
from stillhouse.session import DEFAULT_SESSION, Session
from stillhouse.task import Task


@dataclass(frozen=True, kw_only=True)
class RowsPlan:
    """The rows that there are, and the rows for a pass in four of five cases.

    The pass is by a student that is as good as the prompt and differs from it on DISCORDANCE of the rows (`_needed`).
    `n_groups`: None where every row stands alone. `per_class` holds the test rows of each class, None where gold labels
    do not tell; `needed_per_class` None: no class is tested. `pooled_below`: classes with fewer test rows are tested
    together; None: every class is tested on its own.
    """

    n_test: int
    needed: int
    fewest: int
    margin: float
    level: float
    per_class: dict[str, int] | None
    needed_per_class: int | None
    pooled_below: int | None
    look: int  # the number of the look that comes
    n_left_out: int  # test rows that decided other plans, where the others decide alone
    n_calibration: int
    fewest_calibration: int
    harm: float
    cascade_level: float
    by_agreement: bool = False  # no test row has gold: scores will be agreement with the prompt
    n_groups: int | None = None
    graded: bool = False  # scores lie in between

    @property
    def lines(self) -> list[str]:
        """A line for the whole, one for the classes, one for a cascade; and what is unusual about this run."""
        margin = f"margin {100 * self.margin:g} points"
        rows = "1 test row" if self.n_test == 1 else f"{self.n_test:,} test rows"
        lines = [f"rows for the gate: {rows} here, about {self.needed:,} needed ({margin})"]
        if self.n_groups:
            planned = "planned for such, whose rows differ apart; if alike, more"
            lines.append(f"  in {self.n_groups:,} groups: {planned}")
        if self.graded:
            lines.append(f"  as if scores differed wholly on {DISCORDANCE:.0%} of the rows; if by less, fewer")
        if self.by_agreement:
            lines.append("  no test row has gold, so agreement with the prompt counts")
        if self.needed_per_class is not None:
            lines.append(f"  each class: about {self.needed_per_class:,} needed ({self._classes})")
        lines.append(f"  a cascade: {self.fewest_calibration:,} calibration rows needed ({self.n_calibration:,} here)")
        if self.n_left_out:
            lines.append(f"  {self.n_left_out:,} more test rows have decided other plans; these decide alone")
        elif self.look > 1:
            level = confidence(self.level)
            lines.append(f"  plan {self.look} that some of these test rows decide, so with {level} confidence")
        return lines

    @property
    def _classes(self) -> str:
        """The classes that have the fewest test rows."""
        if not self.per_class:
            return "how many there are is not known yet"
        counts = sorted(self.per_class.items(), key=lambda pair: pair[1])
        few, pooled = [(label, count) for label, count in counts[:3]], self.pooled_below
        said = "here " + ", ".join(f"{label} {count:,}" for label, count in few)
        more = f" and {len(counts) - 3} more" if len(counts) > 3 else ""
        return said + more + (f"; under {pooled:,} together" if pooled is not None else "")


def rows_plan(
    task: Path | Task, session: Session = DEFAULT_SESSION, *, plan: Plan | None = None, skip_bad: bool = False
) -> RowsPlan:
    """Read and split the task's rows as `advise` and `distill` will; ask nobody. Raises what reading them raises.

    `plan`: of the run that is to come, so that one which has looked already is planned with its own look.
    """
    loaded = session.open_task(task)
    files = {
        part: _rows(loaded, part, skip_bad) for part in ("train", "validation", "calibration", "test", "unlabelled")
    }
    parts = {part: None if file is None else file.examples for part, file in files.items()}
    named = [part for part, rows in parts.items() if rows is not None]
    copies = copy_rule(loaded)
    train = parts["train"] or []
    if plan is not None and plan.drop_overlap:
        held_out = [row for part, rows in parts.items() if part not in ("train", "unlabelled") for row in rows or ()]
        for name in loaded.data.also_test:
            files[Path(name).stem] = further = load_examples(loaded.resolve(name), task=loaded, skip_bad=skip_bad)
            held_out += further.examples
        train = without_overlap(train, held_out, repeats=copies == "traffic")
    cut_off = cut_real(loaded, train, named)
    trained_on = [*cut_off.parts["train"], *(parts["unlabelled"] or ())]
    trained_on += parts["validation"] or cut_off.parts.get("validation", [])
    cap, seed = loaded.data.group_cap or usual_cap(trained_on), loaded.data.seed
    of_calibration, of_test = (
        cut_off.measured(part, parts[part] or cut_off.parts.get(part, []), copies, set(), cap=cap, seed=seed)
        for part in MEASURING
    )
    of_calibration, of_test = _scorable(loaded, of_calibration, of_test)
    gate, fingerprints = loaded.gate, {part: file.fingerprint for part, file in files.items() if file is not None}
    coming = coming_look(loaded, of_test.rows, of_calibration.rows, fingerprints, session, plan)
    groups_of, calibration = _fewest(of_test), _fewest(of_calibration)
    test = [row for row in of_test.rows if row.id in groups_of and row_hash(row) in coming.rows]
    level = level_of_look(coming.k, gate.level)
    cascade_level = level_of_look(max(coming.k, coming.k_calibration), gate.level)
    labels = classes_of(loaded, test)
    by_agreement = all(row.label is None for row in test) and loaded.metric != "win_rate"
    groups = [groups_of[row.id] or row.id for row in test]
    kind = _Kind(
        graded=loaded.metric != "win_rate" and not metric_for(loaded).proportion,
        grouped=len(set(groups)) < len(groups),
        by_agreement=by_agreement,
        judged=loaded.metric == "win_rate",
        cap=cap,
    )
    needed = _needed(kind, groups, gate.margin, level)
    per_class = needed_per_class = None
    class_margin = gate.class_margin or gate.margin
    if labels and gate.classes != "none":
        in_classes = [f"{group} {row.label}" for group, row in zip(groups, test, strict=True)]
        needed_per_class = _needed(kind, in_classes, class_margin, level, 1 - (1 - POWER) / len(labels))
        if all(row.label is not None for row in test):
            per_class = Counter(row.label for row in test if row.label is not None)
    return RowsPlan(
        n_test=len(test),
        needed=needed,
        fewest=fewest_rows(gate.margin, level),
        margin=gate.margin,
        level=level,
        look=coming.k,
        n_left_out=len(groups_of) - len(test),
        per_class=per_class,
        needed_per_class=needed_per_class,
        pooled_below=rows_of_a_class(class_margin, level) if gate.classes == "pooled" else None,
        n_calibration=len(calibration),
        fewest_calibration=_fewest_calibration(
            [group or id_ for id_, group in calibration.items()], cap, loaded, cascade_level
        ),
        harm=gate.harm,
        cascade_level=cascade_level,
        by_agreement=by_agreement,
        n_groups=len(set(groups)) if kind.grouped else None,
        graded=kind.graded,
    )


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """What decides: a test of rows that are right or wrong, or a bound for groups and for scores in between."""

    graded: bool
    grouped: bool
    by_agreement: bool
    judged: bool  # the metric is a win rate
    cap: int


def _needed(kind: _Kind, groups: Sequence[str], margin: float, level: float, power: float = POWER) -> int:
    """Rows for a pass with that power by what will decide, as far as it is known before anything is measured.

    A student is planned that is as good as the prompt and differs from it, wholly, on DISCORDANCE of the rows, each on
    its own. By agreement who differs is worse by that, so it differs on half of the margin. Of a win rate: one that
    wins half of the rows. Groups stay as large as these.
    """
    more, less = (0.0, margin / 2) if kind.by_agreement else (DISCORDANCE / 2, DISCORDANCE / 2)
    if kind.judged:
        needed = rows_for_win_rate(0.5, 0.25, margin, level, power)
    elif kind.grouped or kind.graded:
        sizes = np.array([float(n) for n in Counter(groups).values()] or [1.0])
        largest = max(float(sizes.max()), float(kind.cap)) if kind.grouped else 1.0
        n_groups = groups_needed(expected(sizes, margin, more, less), (1 - margin) * largest, level, power)
        needed = None if n_groups is None else math.ceil(n_groups * float(sizes.mean()))
    else:
        needed = rows_needed(more + less, more - less, margin, level, power)
    assert needed is not None  # the student is within every margin, so some number of rows is enough
    return needed


def _fewest_calibration(groups: Sequence[str], cap: int, task: Task, level: float) -> int:
    """The fewest rows, in groups like these, that prove a cascade's promise without a single harm."""
    if len(set(groups)) == len(groups):
        return rows_for(task.gate.harm, level)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return RowsInGroups([numbers[group] for group in groups], cap).rows_needed(task.gate.harm, level)


def _scorable(task: Task, calibration: MeasuredRows, test: MeasuredRows) -> tuple[MeasuredRows, MeasuredRows]:
    """These parts with the rows that will measure: where test rows have gold that can be used, those that have it."""
    parts = [
        (of_part, with_sound_queries(task, of_part.rows, f"{part} rows", needed=part == "test").rows)
        for part, of_part in zip(MEASURING, (calibration, test), strict=True)
    ]
    if all(row.label is None for row in parts[1][1]):
        return calibration, test  # the teacher's labels will score them, and are not there yet
    kept = [{row.id for row in rows if row.label is not None} for _, rows in parts]
    of_calibration, of_test = (_only(of_part, ids) for (of_part, _), ids in zip(parts, kept, strict=True))
    return of_calibration, of_test


def _only(measured: MeasuredRows, ids: Collection[str]) -> MeasuredRows:
    ways = [
        replace(way, groups={id_: group for id_, group in way.groups.items() if id_ in ids})
        for way in measured.readings
    ]
    return replace(measured, rows=[row for row in measured.rows if row.id in ids], readings=tuple(ways))


def _fewest(measured: MeasuredRows) -> Mapping[str, str | None]:
    """The rows that measure, each with its group; where copies are read in two ways, the way that has fewer rows."""
    ways = [reading.groups for reading in measured.readings if reading.name != UNSEEN]
    return min(ways, key=len) if ways else {row.id: row.group for row in measured.rows}


def _rows(task: Task, part: str, skip_bad: bool) -> Dataset | None:
    name = getattr(task.data, part)
    if name is None:
        return None
    dataset = load_examples(task.resolve(name), task=task, skip_bad=skip_bad)
    if part not in MEASURING or task.data.measure_generated:
        return dataset
    return replace(dataset, examples=parted(dataset.examples)[0])
