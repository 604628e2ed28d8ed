"""What a run directory says of the run itself: what makes it another run, how to run it again, and its cascade."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stillhouse.experiment.material import IN_THE_DATA, Material
from stillhouse.experiment.task_copy import keep_task, kept_name
from stillhouse.llm.prompt_pins import task_pin, teacher_pin
from stillhouse.results.cascade_file import CASCADE, pins_of
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.results.provenance import Provenance
from stillhouse.results.run_result import Result
from stillhouse.runs import TASK_FILE, Run, file_sha256, portable_name, value_sha256, write_json
from stillhouse.student.engine import engine_of
from stillhouse.student.header import HEADER
from stillhouse.student.learned_rows import CALIBRATION, fingerprints
from stillhouse.task import Task, default_store, load_task


def run_settings(material: Material, **options: Any) -> dict[str, Any]:
    """What makes a run another run: the task as resolved, its rows, the teacher, and the command's own options.

    No absolute path is among them: a run's folder may go anywhere, and a project that was moved with its runs goes on
    with them. `identity` is the hash of all as it was given.
    """
    whole = json.loads(json.dumps(_settings(material) | options, default=str))
    portable: dict[str, Any] = _portable(whole)
    return portable | {"identity": value_sha256(whole)}


def _settings(material: Material) -> dict[str, Any]:
    task, splits = material.task, material.splits
    sections = {section: getattr(task, section).model_dump(mode="json") for section in ("data", "gate", "money")}
    sections["student"] = task.student.facts()
    return {
        "task": task.name,
        "instruction": task.instruction,
        "labels": list(material.labels) if material.labels else None,
        "metric": task.metric,
        "learn_from": material.learn_from,
        "scored_against": material.scored_against,
        "teacher": material.teacher.name if material.teacher else None,
        **sections,
        "prompt": task.teacher.model_dump(mode="json"),
        "rows": {
            "train": len(splits.train),
            "validation": len(splits.validation),
            "calibration": len(splits.calibration),
            "test": len(splits.test),
        },
        "fingerprints": dict(splits.fingerprints),
        **({} if splits.n_overlap is None else {"drop_overlap": splits.n_overlap}),
    }


def write_task(folder: Path, material: Material) -> None:
    """Write the run's own copy of its task, and of what the task names: see `task_copy`."""
    teacher = material.teacher
    keep_task(folder, material.task, None if teacher is None or teacher.name == IN_THE_DATA else teacher.name)


def provenance(run: Run, material: Material, seeds: Sequence[int]) -> Provenance:
    """How to run it again. The wall time is the manifest's: it is not known before the run ends."""
    labelling = material.teacher.report if material.teacher else None
    task = material.task.path.name if material.task.path else material.task.name
    return Provenance(
        command=f"stillhouse {run.manifest['command']} {task}",
        created=run.manifest["created"],
        run=run.folder.name,
        seeds=tuple(seeds),
        fingerprints=dict(material.splits.fingerprints),
        versions=dict(run.manifest["versions"]),
        prices=(labelling.price_snapshot,) if labelling and labelling.price_snapshot else (),
        paid=dict(material.purse.paid),
    )


def write_cascade(folder: Path, material: Material, arms: Sequence[MeasuredArm], result: Result) -> None:
    """Write what `cascade:DIR` needs: the student, the teacher and the threshold between them, pinned by hash.

    Nothing is written where no threshold keeps its promise or the verdict refuses the cascade, nor where the teacher's
    answers came with the rows and no one model is named there: then nobody is there to ask.
    """
    cascade, teacher = result.cascade, material.teacher
    if cascade is None or cascade.threshold is None or cascade.not_served is not None:
        return
    student = next((arm.folder for arm in arms if arm.name == cascade.student), None)
    if student is None or teacher is None or teacher.name == IN_THE_DATA:
        return
    task, name = load_task(folder / TASK_FILE), kept_name(teacher.name)
    (folder / CALIBRATION).write_bytes(fingerprints(material.calibration))
    promise = [cascade.threshold, cascade.budget, cascade.level, cascade.n]
    pins = pins_of(
        promise,
        task=task_pin(task),
        teacher=teacher_pin(name, task),
        student=file_sha256(student / HEADER),
        engine=engine_of(student),
    )
    facts = {
        "format": 1,
        "student": student.relative_to(folder).as_posix(),
        "threshold": cascade.threshold,
        "budget": cascade.budget,
        "level": cascade.level,
        "n": cascade.n,
        "teacher": name,
        "task_file": TASK_FILE,
        "store": _store_beside(folder, material.task),
        "pins": pins.model_dump(),
    }
    write_json(folder / CASCADE, facts)


def _store_beside(folder: Path, task: Task) -> str | None:
    """The task's store from the run's folder, where both lie in one place; else None: no path leads out of the run."""
    home, store = folder.resolve(), default_store(task.folder).resolve()
    return os.path.relpath(store, home) if store.is_relative_to(home.parent.parent) else None


def _portable(value: Any) -> Any:
    """The settings without absolute paths: of each the last part, after the kind of model where it stands for one."""
    if isinstance(value, Mapping):
        return {key: _portable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(part) for part in value]
    if not isinstance(value, str) or "\n" in value:
        return value
    return Path(value).name if Path(value).is_absolute() else portable_name(value)
