"""An arm as it was measured, row by row: what the verdict is computed from, and what a killed run goes on with.

On disk an arm is a folder: `arm.json`, its answers to the test rows, to the calibration rows and to every further test
set, and `student/`, the student's artifact where it was kept.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from stillhouse.records import Source
from stillhouse.results.arm_file import read_arm_file
from stillhouse.results.arms import ArmKind
from stillhouse.results.comparison import WinRates
from stillhouse.results.gates import GateResult
from stillhouse.results.row_result import RowResult, read_rows, write_rows
from stillhouse.runs import file_sha256, write_atomic, write_json


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a student was trained.

    `best_validation` (of `metric`, on `n_validation` rows) chose the student, so it flatters; the test rows decide.
    """

    seed: int
    wall_s: float  # training time over all sittings together, in seconds
    best_validation: float
    metric: str
    n_validation: int
    n_parameters: int
    # Number of passes over the training rows; 0 for students that are not iterated (linear, majority).
    epochs: float = 0.0
    steps: int = 0
    stopped_early: bool = False
    n_truncated: int = 0  # training inputs or targets that were cut at max_length
    resumed_at: int | None = None  # the step of the checkpoint that training went on from
    gave_up: bool = False  # it stopped because nothing was learned


@dataclass(frozen=True)
class ShownExamples:
    """The examples in a prompt: `k` training rows, whose ids are `shots`, after the task's own worked examples."""

    k: int
    seed: int  # the seed that the examples were drawn with
    n_shots: int  # number of examples: `k` drawn ones plus the task's own
    shots: tuple[str, ...]
    unanswered: int = 0  # number of test rows whose calls brought nothing; they count as wrong


@dataclass(frozen=True)
class ControlOf:
    """A control is trained as the arm `of` was, but for what it `lacks`."""

    of: str
    lacks: str


@dataclass(frozen=True)
class AgainstPrompt:
    """A student judged answer against answer with the prompt (see `comparison.judged_arms`)."""

    win_rates: WinRates
    gate: GateResult


@dataclass(frozen=True, kw_only=True)
class MeasuredArm:
    """One system and its answers."""

    name: str
    kind: ArmKind
    test: list[RowResult]
    calibration: list[RowResult] = field(default_factory=list)
    # Name of a further test set -> the arm's rows there.
    others: Mapping[str, list[RowResult]] = field(default_factory=dict)
    latencies_s: list[float] | None = None  # seconds that single calls took
    busy_s: list[float] | None = None  # and of each the processor's; None: an earlier version did not measure them
    learns_from: Source | None = None
    rows: str = ""  # which rows the arm learned from, where that tells it from another arm
    n_train: int | None = None
    size_bytes: int | None = None
    stand_in: bool = False
    folder: Path | None = None  # folder of the student's artifact
    model: str | None = None  # the teacher's name, or the student's spec
    training: Training | None = None  # how a student was trained; None for other arms
    examples: ShownExamples | None = None  # the examples in the prompt, where there are any
    control: ControlOf | None = None  # None: this arm is no control
    against: AgainstPrompt | None = None  # the student judged against the prompt, where the metric is a win rate

    @property
    def seed(self) -> int | None:
        """The seed of the student's training, or of the draw of examples."""
        return self.training.seed if self.training else self.examples.seed if self.examples else None


@dataclass(frozen=True)
class FewShotArms:
    """Prompts with examples that were measured, by k and draw, all draws of a k or none.

    `notes` are sentences: what bounded the arms, or why there are none.
    """

    arms: tuple[MeasuredArm, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(arm.examples.k for arm in self.arms if arm.examples))

    def of(self, k: int) -> list[MeasuredArm]:
        return [arm for arm in self.arms if arm.examples and arm.examples.k == k]


STUDENT_HEADER = "student.json"  # in a student's folder: it lists every file with its sha256
_PLAIN = ("name", "kind", "latencies_s", "busy_s", "learns_from", "n_train", "size_bytes", "stand_in")


def write_arm(out: Path, arm: MeasuredArm) -> None:
    """Rows first, `arm.json` last: an arm with that file is whole."""
    parts = {"test": arm.test, "calibration": arm.calibration}
    parts |= {f"other-{name}": rows for name, rows in arm.others.items()}
    for part, rows in parts.items():
        write_rows(out / f"{part}.jsonl", rows, arm=arm.name)
    plain = {name: getattr(arm, name) for name in _PLAIN if name != "busy_s" or arm.busy_s is not None}
    pin = {} if arm.folder is None else {"student": file_sha256(arm.folder / STUDENT_HEADER)}
    write_json(out / "arm.json", {**plain, "facts": _facts(arm), "others": sorted(arm.others), **pin})


def _facts(arm: MeasuredArm) -> dict[str, Any]:
    """What `arm.json` holds of the model, the training, the examples and the control: all in one object."""
    facts: dict[str, Any] = {"spec": arm.model}
    if arm.training is not None:
        facts |= asdict(arm.training) | {"rows": arm.rows}
        if not arm.training.gave_up:  # as arms were written before any could
            del facts["gave_up"]
    if arm.examples is not None:
        facts |= asdict(arm.examples)
    if arm.control is not None:
        facts |= {"control": arm.control.lacks, "control_of": arm.control.of}
    return facts


def read_arm(out: Path) -> MeasuredArm:
    """The arm that `write_arm` wrote, also that of an earlier version. Raises UserError where a file is damaged."""
    raw, student = read_arm_file(out / "arm.json"), out / "student"
    facts = raw.facts
    trained = facts.of(*(field.name for field in fields(Training))) if facts.best_validation is not None else None
    shown = facts.of("k", "seed", "n_shots", "shots", "unanswered") if facts.k is not None else None
    return MeasuredArm(
        **{name: getattr(raw, name) for name in _PLAIN},
        test=read_rows(out / "test.jsonl"),
        calibration=read_rows(out / "calibration.jsonl"),
        others={name: read_rows(out / f"other-{name}.jsonl") for name in raw.others},
        rows=facts.rows,
        folder=student if student.is_dir() else None,
        model=facts.spec,
        training=None if trained is None else Training(**trained),
        examples=None if shown is None else ShownExamples(**{**shown, "shots": tuple(shown["shots"])}),
        control=ControlOf(str(facts.control_of), facts.control) if facts.control else None,
    )


def write_predictions(path: Path, arms: Sequence[MeasuredArm]) -> None:
    """Every arm's answers to the test rows in one file: one JSON object per row, arm and seed."""
    lines = []
    for arm in arms:
        n_shots = arm.examples.n_shots if arm.examples else None
        whose = {"arm": arm.name, "seed": arm.seed, "n_train": arm.n_train, "n_shots": n_shots}
        lines += [json.dumps(whose | asdict(row), ensure_ascii=False) for row in arm.test]
    write_atomic(path, "\n".join(lines) + "\n")
