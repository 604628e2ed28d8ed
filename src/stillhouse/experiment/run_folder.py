"""What a run directory says of the run itself: what makes it another run, how to run it again, and its cascade."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stillhouse.experiment.material import Material
from stillhouse.results.cascade_file import CASCADE
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.results.provenance import Provenance
from stillhouse.results.run_result import Result
from stillhouse.runs import Run, write_json


def run_settings(material: Material) -> dict[str, Any]:
    """What makes a run another run: the task as resolved, its rows, and the teacher."""
    task, splits = material.task, material.splits
    sections = {
        section: getattr(task, section).model_dump(mode="json") for section in ("data", "student", "gate", "money")
    }
    return {
        "task": task.name,
        "task_file": str(task.path) if task.path else None,
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


def provenance(run: Run, material: Material, seeds: Sequence[int]) -> Provenance:
    """How to run it again. The wall time is the manifest's: it is not known before the run ends."""
    labelling = material.teacher.report if material.teacher else None
    task = material.task.path.name if material.task.path else material.task.name
    return Provenance(
        command=f"stillhouse {run.manifest['command']} {task}",
        created=run.manifest["created"],
        run=str(run.folder),
        seeds=tuple(seeds),
        fingerprints=dict(material.splits.fingerprints),
        versions=dict(run.manifest["versions"]),
        prices=(labelling.price_snapshot,) if labelling and labelling.price_snapshot else (),
    )


def write_cascade(folder: Path, material: Material, arms: Sequence[MeasuredArm], result: Result) -> None:
    """Write what `cascade:DIR` needs: the student, the teacher and the threshold between them.

    Nothing is written where no threshold keeps its promise.
    """
    cascade, teacher = result.cascade, material.teacher
    if cascade is None or cascade.threshold is None or teacher is None:
        return
    student = next((arm.folder for arm in arms if arm.name == cascade.student), None)
    if student is None:
        return
    facts = {
        "format": 1,
        "student": student.relative_to(folder).as_posix(),
        "threshold": cascade.threshold,
        "budget": cascade.budget,
        "level": cascade.level,
        "n": cascade.n,
        "teacher": teacher.name,
        "task_file": str(material.task.path) if material.task.path else None,
    }
    write_json(folder / CASCADE, facts)
