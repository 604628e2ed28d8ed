"""A look: the moment at which the test rows decide a plan. It is numbered, and its number says how sure it has to be.

`k` is 1 + the other plans that share any of the test rows; the level follows from it (`evaluation.spending`). The look
is taken, and on disk, before any gate is judged: a run that is killed earlier has spent nothing, and one that is killed
later finds the look that it took. A plan's look is its own for ever, whatever other plans do meanwhile.

Where some of the test rows were looked at by other plans and some by none, those that nobody looked at decide alone, as
a first look, if they are enough (`spending.fresh_rows_suffice`); the others are then left out of the run's numbers.
Else all rows decide, at the larger k. A row whose group has a row that was looked at is not fresh. This goes by counts
alone, and inside the transaction that takes the look.

All rows decide also where they are draws of traffic, or may be: with `copies = "traffic"`, and where it is not set and
an input that was looked at comes more than once among the test rows. To leave out what was looked at would leave out
the inputs that come most often, and change what is measured.

Calibration rows are counted in the same way, by themselves: fresh test rows do not make a cascade's promise fresh that
is made on the old calibration rows.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from stillhouse.data.copies import Reading, group_keys
from stillhouse.data.splits import copy_rule
from stillhouse.doubts import Doubt, Warned
from stillhouse.evaluation.class_gates import MIN_CLASS_ROWS
from stillhouse.evaluation.margin_gate import DISCORDANCE, rows_needed, rows_of_a_class
from stillhouse.evaluation.spending import fresh_rows_suffice, level_of_look
from stillhouse.experiment.look_plans import PlanRows, plan_hash, row_hash
from stillhouse.experiment.material import Material
from stillhouse.numbers import confidence
from stillhouse.records import Example, Source
from stillhouse.results.look import ASKS_FROM, Look
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.results.run_result import load_result
from stillhouse.runs import MANIFEST, read_manifest
from stillhouse.session import Session
from stillhouse.settings import GateSettings
from stillhouse.store.address import file_of
from stillhouse.store.looks import TakenLook, open_looks
from stillhouse.task import Task


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run of `advise` or `distill` adds to its task and rows.

    `advice`: an `advise` run whose look a `distill` run repeats, where it trains the same students on the same rows.
    """

    seeds: Sequence[int]
    sizes: Sequence[int] | None = None
    with_shots: bool = False
    drop_overlap: bool = False
    advice: Path | None = None

    def hashes(self, task: Task, fingerprints: Mapping[str, str], teacher: str | None) -> list[str]:
        """The plan's own hash and, before it, that of the advice it follows."""
        shots = task.teacher.max_shots if self.with_shots else None
        rows = PlanRows(fingerprints, drop_overlap=self.drop_overlap)
        own = plan_hash(task, rows, teacher, seeds=self.seeds, sizes=self.sizes, max_shots=shots)
        if self.advice is None or list(self.seeds) != [0]:  # `advise` holds the student of seed 0 against the prompt
            return [own]
        folder = self.advice if self.advice.is_dir() else self.advice.parent
        if not (folder / MANIFEST).exists():
            return [own]
        settings = read_manifest(folder)["settings"]
        seeds, sizes = settings.get("seeds"), settings.get("sizes")
        if not isinstance(seeds, int) or sizes is not None:  # with sizes of its own its student may be another
            return [own]
        shots = settings.get("prompt", {}).get("max_shots")
        advised = plan_hash(task, rows, teacher, seeds=range(seeds), max_shots=shots)
        return [advised, own]


def take_look(material: Material, plan: Plan, session: Session) -> Material:
    """The material as the run's look has it: the rows that decide, and the level at which they do.

    It is committed to the store first. Without a prompt nothing is gated, and no look is taken. Raises StorageError.
    """
    task = material.task
    if material.teacher is None:
        return material
    test, labels = material.splits.test, material.labels
    names = plan.hashes(task, material.splits.fingerprints, teacher_name(session, task))
    hashes = {row.id: row_hash(row) for row in test}
    choose = deciding(test, task, labels, material.scored_against)
    with closing(open_looks(session.store_in(task.folder))) as looks:
        repeated = next((name for name in names if looks.taken(name) is not None), None)
        calibration = [row_hash(row) for row in material.calibration]
        taken = looks.take(repeated or names[-1], list(hashes.values()), calibration, choose)
    decides = [row for row in test if hashes[row.id] in taken.rows]
    level = level_of_look(taken.k, task.gate.level)
    n_students = 0
    if len(names) > 1 and repeated == names[0] and plan.advice is not None:
        n_students = sum(arm.kind == "student" and arm.gate is not None for arm in load_result(plan.advice).arms)
    return replace(
        material,
        task=replace(task, gate=task.gate.model_copy(update={"level": level})),
        splits=replace(material.splits, test=decides, readings=_readings_of(material, decides)),
        doubts=(
            *material.doubts,
            *(Warned(Doubt.LOOKED_AT, said) for said in _said(material, taken, len(decides))),
        ),
        look=Look(k=taken.k, level=level),
        next_level=level_of_look(taken.k + 1, task.gate.level),
        cascade_level=level_of_look(max(taken.k, taken.k_calibration), task.gate.level),
        n_students=n_students,
    )


def teacher_name(session: Session, task: Task) -> str | None:
    """The teacher that a run of this session asks; None: its answers come with the rows."""
    return session.teacher or task.teacher.model


def check_looks(material: Material, session: Session) -> None:
    """Raise StorageError, before anything is trained, where no look could be taken."""
    if material.teacher is not None:
        open_looks(session.store_in(material.task.folder)).close()


def coming_look(
    task: Task,
    test: Sequence[Example],
    calibration: Sequence[Example],
    fingerprints: Mapping[str, str],
    session: Session,
    plan: Plan | None = None,
) -> TakenLook:
    """The look that a run would take now; a plan that has looked takes none, and repeats its own. `plan` None: any."""
    source: Source = "gold" if any(row.label is not None for row in test) else "teacher"
    choose = deciding(test, task, classes_of(task, test), source)
    names = [] if plan is None else plan.hashes(task, fingerprints, teacher_name(session, task))
    if (store := file_of(session.store_in(task.folder))) is not None and not store.exists():
        return TakenLook(k=1, k_calibration=1, rows=frozenset(map(row_hash, test)), n_before=0)
    with closing(open_looks(session.store_in(task.folder))) as looks:
        taken = [look for name in names if (look := looks.taken(name)) is not None]
        if taken:
            return taken[0]
        return looks.coming([row_hash(row) for row in test], [row_hash(row) for row in calibration], choose)


def classes_of(task: Task, rows: Sequence[Example]) -> tuple[str, ...]:
    """The classes that the gate will look at; none where rows have choices of their own, or labels are not classes."""
    if task.output != "choice" or any(row.choices for row in rows):
        return ()
    return task.labels or tuple(sorted({row.label for row in rows if row.label is not None}))


def deciding(
    rows: Sequence[Example], task: Task, labels: Sequence[str] | None, scored_against: Source
) -> Callable[[Set[str]], list[str]]:
    """From the hashes of the rows that other plans looked at to the hashes of the rows that decide."""
    hashes, keys, gate = [row_hash(row) for row in rows], group_keys(rows), task.gate
    n_of_input, copies = Counter(hashes), copy_rule(task)

    def choose(looked_at: Set[str]) -> list[str]:
        repeats = any(n_of_input[hash_] > 1 for hash_ in looked_at)
        if copies == "traffic" or (copies is None and repeats):
            return hashes
        touched = {key for key, hash_ in zip(keys, hashes, strict=True) if hash_ in looked_at}
        fresh = [place for place, key in enumerate(keys) if key not in touched]
        by_class = Counter(row.target(scored_against) or "" for row in rows)
        fresh_by_class = Counter(rows[place].target(scored_against) or "" for place in fresh)
        needed = fresh_rows_needed(gate)
        suffice = fresh_rows_suffice(len(fresh), needed, fresh_by_class, by_class, _of_a_class(gate, labels))
        return [hashes[place] for place in fresh] if suffice and len(fresh) < len(rows) else hashes

    return choose


def fresh_rows_needed(gate: GateSettings) -> int:
    """Rows that no plan has looked at and that decide alone: what a first look is planned with."""
    needed = rows_needed(DISCORDANCE, 0.0, gate.margin, level_of_look(1, gate.level))
    assert needed is not None  # a difference of 0 is within every margin
    return needed


def _of_a_class(gate: GateSettings, labels: Sequence[str] | None) -> int | None:
    if not labels or gate.classes == "none":
        return None
    if gate.classes == "all":
        return MIN_CLASS_ROWS
    return rows_of_a_class(gate.class_margin or gate.margin, level_of_look(1, gate.level))


def _said(material: Material, taken: TakenLook, n_deciding: int) -> list[str]:
    """What has to be said of a look at rows that others had looked at."""
    gate, n_test, sentences = material.task.gate, len(material.splits.test), []
    if n_deciding < n_test:
        sentences.append(
            f"{n_test - n_deciding:,} of {n_test:,} test rows have decided other plans and are left out: "
            f"the {n_deciding:,} that no plan has looked at decide alone"
        )
    elif taken.k >= ASKS_FROM:
        sentences.append(
            f"{taken.k - 1:,} other plans have looked at these test rows, so this one takes "
            f"{confidence(level_of_look(taken.k, gate.level))} confidence; bring about {fresh_rows_needed(gate):,} "
            f"fresh test rows, which decide alone with {confidence(level_of_look(1, gate.level))}"
        )
    if taken.k_calibration > taken.k:
        level = level_of_look(taken.k_calibration, gate.level)
        sentences.append(
            f"{taken.k_calibration - 1:,} other plans have used these calibration rows, so a cascade's promise takes "
            f"{confidence(level)} confidence; bring fresh calibration rows"
        )
    return sentences


def _readings_of(material: Material, decides: Sequence[Example]) -> dict[str, tuple[Reading, ...]]:
    """The ways in which rows count, of the test rows those that decide."""
    ids = {row.id for row in decides}
    return {
        part: tuple(
            replace(way, groups={id_: group for id_, group in way.groups.items() if part != "test" or id_ in ids})
            for way in ways
        )
        for part, ways in material.splits.readings.items()
    }


def of_look(material: Material, arm: MeasuredArm) -> MeasuredArm:
    """The arm on the test rows that decide."""
    decides = {row.id for row in material.splits.test}
    return replace(arm, test=[row for row in arm.test if row.id in decides])
