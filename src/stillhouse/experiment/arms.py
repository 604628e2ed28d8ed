"""The arms of a comparison, measured row by row and kept on disk, so that a run that is killed goes on with the arms that are missing."""

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from stillhouse.evaluation.gate import GateResult
from stillhouse.evaluation.harness import RowResult, evaluate, read_rows, score_row, time_single, write_rows
from stillhouse.evaluation.metrics import metric_for
from stillhouse.event_loop import result_of
from stillhouse.experiment.material import Material
from stillhouse.records import Example, Progress, Source
from stillhouse.results.comparison import WinRates
from stillhouse.results.result import ArmKind
from stillhouse.runs import read_json, write_atomic, write_json
from stillhouse.student import load_student, train_student
from stillhouse.task import Task

PROMPT = "prompt"  # the arm's name: the teacher asked as the app asks it
N_TIMED = 100  # single calls that are timed per student


@dataclass(frozen=True)
class AgainstPrompt:
    """A student judged answer against answer with the prompt (see `comparison.judged_arms`)."""

    found: WinRates
    gate: GateResult


@dataclass(frozen=True)
class MeasuredArm:
    """One system and its answers. `facts`: what its training told (spec, seed, wall_s, n_parameters, best_validation, ...), as JSON."""

    name: str
    kind: ArmKind
    test: list[RowResult]
    calibration: list[RowResult] = field(default_factory=list)
    others: Mapping[str, list[RowResult]] = field(default_factory=dict)  # test sets of their own
    latencies_s: list[float] | None = None  # of single calls
    learns_from: Source | None = None
    n_train: int | None = None
    size_bytes: int | None = None
    stand_in: bool = False
    folder: Path | None = None  # of the student's artifact
    against: AgainstPrompt | None = None  # where the metric is a win rate
    facts: Mapping[str, Any] = field(default_factory=dict)


def prompt_arm(material: Material) -> MeasuredArm | None:
    """The prompt as it is: the teacher's answers, scored. None where there is no teacher."""
    teacher = material.teacher
    if teacher is None:
        return None

    def scored(examples: Sequence[Example]) -> list[RowResult]:
        answered = zip(examples, teacher.on(examples), strict=True)
        return [score_row(example, answer, material.metric, material.scored_against) for example, answer in answered]

    others = {name: scored(rows) for name, rows in material.splits.also_test.items()}
    facts = {"spec": teacher.name}
    return MeasuredArm(
        PROMPT,
        "prompt",
        scored(material.splits.test),
        scored(material.calibration),
        others,
        stand_in=teacher.stand_in,
        facts=facts,
    )


@dataclass(frozen=True)
class StudentPlan:
    """One student to train and measure; everything that a worker process needs."""

    spec: str
    kind: ArmKind
    task: Task
    train: Sequence[Example]
    validation: Sequence[Example]
    test: Sequence[Example]
    calibration: Sequence[Example]
    learn_from: Source
    scored_against: Source
    seed: int
    out: Path  # the arm's folder: arm.json, test.jsonl, ..., and student/ where the artifact is kept
    others: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    keep: bool = True  # keep the artifact; a sweep keeps answers alone
    rows: str = ""  # which rows it learned, where students differ in that
    control: str = ""  # what it lacks of the student that it is a control of

    @property
    def name(self) -> str:
        return self.whole_name + (f", {self.control}" if self.control else "")

    @property
    def whole_name(self) -> str:
        """The name without what makes it a control."""
        return arm_name(self.spec, self.learn_from, self.rows)


def arm_name(spec: str, learn_from: Source, rows: str = "") -> str:
    """What an arm is called in every table: the student, whose labels it learned and, where that tells it from another, on which rows."""
    return spec if spec == "majority" else f"{spec} on {learn_from} labels{f', {rows}' if rows else ''}"


def slug(name: str) -> str:
    """A name as a folder: letters, digits and dashes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()


def student_arm(plan: StudentPlan, on_progress: Callable[[Progress], None] | None = None) -> MeasuredArm:
    """Train, answer, score and time one student, or read what an earlier sitting left. Blocks; raises what `train_student` raises."""
    if (plan.out / "arm.json").is_file():
        return read_arm(plan.out)
    folder = plan.out / "student"
    if folder.exists():
        shutil.rmtree(
            folder
        )  # trained, but killed before it was measured; how it was trained is not on record, so it is trained again
    result = train_student(
        plan.spec,
        plan.task,
        plan.train,
        plan.validation,
        source=plan.learn_from,
        seed=plan.seed,
        out=folder,
        on_progress=on_progress,
    )
    student = load_student(folder)
    metric = metric_for(plan.task)

    def measured(examples: Sequence[Example]) -> list[RowResult]:
        return (
            result_of(evaluate(student, examples, metric, source=plan.scored_against, on_progress=on_progress))
            if examples
            else []
        )

    arm = MeasuredArm(
        plan.name,
        plan.kind,
        measured(plan.test),
        measured(plan.calibration),
        {name: measured(rows) for name, rows in plan.others.items()},
        result_of(time_single(student, plan.test, N_TIMED)) if plan.keep else None,
        plan.learn_from,
        result.n_train,
        result.size_bytes,
        folder=folder if plan.keep else None,
        facts={
            name: value
            for name, value in asdict(result).items()
            if name not in ("folder", "settings", "source", "size_bytes")
        }
        | {"keep": plan.keep, "rows": plan.rows}
        | ({"control": plan.control, "control_of": plan.whole_name} if plan.control else {}),
    )
    write_arm(plan.out, arm)
    if not plan.keep:
        shutil.rmtree(folder)
    return arm


def write_arm(out: Path, arm: MeasuredArm) -> None:
    """Rows first, `arm.json` last: an arm with that file is whole."""
    for part, rows in {
        "test": arm.test,
        "calibration": arm.calibration,
        **{f"other-{name}": rows for name, rows in arm.others.items()},
    }.items():
        write_rows(out / f"{part}.jsonl", rows, arm=arm.name)
    facts = {
        name: getattr(arm, name)
        for name in ("name", "kind", "latencies_s", "learns_from", "n_train", "size_bytes", "stand_in", "facts")
    }
    write_json(out / "arm.json", {**facts, "others": sorted(arm.others)})


def read_arm(out: Path) -> MeasuredArm:
    """The arm that `write_arm` wrote."""
    facts = read_json(out / "arm.json")
    others = {name: read_rows(out / f"other-{name}.jsonl") for name in facts.pop("others")}
    folder = out / "student"
    arm = MeasuredArm(
        test=read_rows(out / "test.jsonl"), calibration=read_rows(out / "calibration.jsonl"), others=others, **facts
    )
    return replace(arm, folder=folder if folder.is_dir() else None)


def write_predictions(path: Path, arms: Sequence[MeasuredArm]) -> None:
    """Every arm's answers to the test rows in one file: one JSON object per row, arm and seed."""
    lines = []
    for arm in arms:
        whose = {
            "arm": arm.name,
            "seed": arm.facts.get("seed"),
            "n_train": arm.n_train,
            "n_shots": arm.facts.get("n_shots"),
        }
        lines += [json.dumps(whose | asdict(row), ensure_ascii=False) for row in arm.test]
    write_atomic(path, "\n".join(lines) + "\n")
