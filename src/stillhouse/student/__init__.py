"""Students: small models that learn a task from gold or teacher labels, and are then a Predictor like any other.

Families: `majority` (the floor), `linear` (TF-IDF + logistic regression), `encoder` (a finetuned encoder with a head), `prompted` (the same finetuning through
the base's own language-model head), `generative` (sequence to sequence, or decoder-only). Importing this package loads nothing heavy; torch is loaded where a
family needs it.
"""

import importlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stillhouse.errors import MissingExtraError, UserError
from stillhouse.records import Example, Progress, Source
from stillhouse.student.artifact import (
    Family,
    Header,
    Student,
    read_artifact,
    refuse_existing,
    save_artifact,
    size_bytes,
)
from stillhouse.student.config import TrainConfig
from stillhouse.student.job import (
    TrainJob,
    TrainResult,
    check_rows,
    check_soft_targets,
    family_of,
    input_fields,
    job_digest,
)
from stillhouse.task import Task

__all__ = ["Student", "TrainConfig", "TrainResult", "load_student", "train_student"]


def train_student(
    spec: str,
    task: Task,
    train: Sequence[Example],
    validation: Sequence[Example],
    *,
    source: Source,
    seed: int,
    out: Path,
    config: TrainConfig | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Train one student and write its artifact to the folder `out`, which must not exist yet.

    `spec`: "majority", "linear", "encoder:BASE", "prompted:BASE" or "generative:BASE"; BASE is "minilm", "scratch:tiny", a Hugging Face id or a folder.
    Validation rows pick the best weights and set the temperature, so they must be no test rows. Without `config` the family's defaults hold, with what
    `[student]` of the task sets; `majority` and `linear` have no such settings. A killed training goes on from its last checkpoint when called again with
    the same arguments.

    Raises UserError for rows that cannot be learned from, ExistsError, MissingExtraError, StorageError.
    """
    out = Path(out)
    family = family_of(spec)
    refuse_existing(out)
    if family in ("linear", "encoder", "prompted") and task.output != "choice":
        raise UserError(
            f'{spec} picks among choices, and {task.name} has output = "{task.output}"; use a generative student'
        )
    check_soft_targets(task, family, train, source)
    labels = check_rows(task, train, validation, source, one_class=family == "majority")
    # The digest in the name makes sure that a checkpoint is never continued with other rows or settings.
    checkpoints = (
        out.parent / f".{out.name}.checkpoint-{job_digest(spec, task, train, validation, source, seed, config)[:12]}"
    )
    job = TrainJob(spec, task, labels, train, validation, source, seed, config, checkpoints, on_progress)
    trained = _family(family).train(job)
    header = Header(family, spec, task, labels, source, seed, len(train), input_fields(train), trained.settings)
    save_artifact(out, header, trained.write_files)
    shutil.rmtree(checkpoints, ignore_errors=True)  # the student is saved; a leftover costs disk, nothing else
    how = {name: value for name, value in vars(trained).items() if name not in ("write_files", "settings")}
    return TrainResult(
        folder=out,
        spec=spec,
        seed=seed,
        n_train=len(train),
        source=source,
        n_validation=len(validation),
        size_bytes=size_bytes(out),
        settings=trained.settings,
        **how,
    )


def load_student(folder: str | Path) -> Student:
    """Load a student after checking every file of it. Raises ArtifactError on a torn, changed or unknown artifact."""
    folder = Path(folder)
    header = read_artifact(folder)
    student: Student = _family(header.family).load(folder, header)
    return student


def _family(family: Family) -> Any:
    """The module of a family: each has `train(job) -> Trained` and `load(folder, header) -> Student`."""
    try:
        return importlib.import_module(f"stillhouse.student.{family}")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "stillhouse":
            raise
        raise MissingExtraError(
            f"{family} students need {error.name}; install it with `pip install 'stillhouse[train]'`"
        ) from None
