"""Students: small models that learn a task from gold or teacher labels, and are then a Predictor like any other.

The families, from the cheapest up:
- `majority`: always the commonest label. The floor.
- `linear`: TF-IDF and logistic regression.
- `static`, `frozen`: a regression on embeddings of a pretrained base that is not trained.
- `encoder`: a finetuned encoder with a new head.
- `prompted`: the same finetuning, through the base's own language-model head.
- `generative`: a finetuned model that writes its answer, sequence to sequence or decoder-only.

Importing this package loads nothing heavy. Torch is loaded by the families that need it.
"""

import importlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stillhouse.errors import MissingExtraError
from stillhouse.records import Example, Progress, Source
from stillhouse.runs import portable_name, storage_errors
from stillhouse.student import likeness
from stillhouse.student.artifact import (
    Header,
    Student,
    read_artifact,
    refuse_existing,
    save_artifact,
    size_bytes,
)
from stillhouse.student.config import TrainConfig
from stillhouse.student.header import LEARNED, Family
from stillhouse.student.job import (
    Trained,
    TrainJob,
    TrainResult,
    check_rows,
    check_soft_targets,
    family_of,
    input_fields,
    result_of,
    with_settings,
)
from stillhouse.student.learned_rows import fingerprints
from stillhouse.student.opening import as_damage
from stillhouse.student.readiness import check_can_learn
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
    earlier: Sequence[Path] = (),
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Train one student and write its artifact to the folder `out`, which must not exist yet.

    `spec` is "majority", "linear", "static:wordllama", "frozen:BASE", "encoder:BASE", "prompted:BASE" or
    "generative:BASE"; static and frozen ones may end in "+tfidf".
    BASE is "minilm", "smollm2", "scratch:tiny", "gguf:FILE", a Hugging Face id or a folder.

    The validation rows pick the best weights and set the temperature, so none of them may be a test row.

    Without `config` the family's defaults hold, with what `[student]` of the task sets.
    Only the families that are finetuned have such settings.

    A killed training goes on from its last checkpoint when it is called again with the same arguments; so does one that
    stopped because nothing was learned, where [student] says give_up = false. `earlier`: folders in which checkpoints
    of the same training may lie beside another `out`.

    Raises UserError for rows that cannot be learned from, ExistsError, MissingExtraError, StorageError.
    """
    out = Path(out)
    family = check_can_learn(spec, task)
    refuse_existing(out)
    check_soft_targets(task, family, train, source)
    job = TrainJob(
        out=out,
        spec=spec,
        task=task,
        labels=check_rows(task, train, validation, source, one_class=family == "majority"),
        train=train,
        validation=validation,
        source=source,
        seed=seed,
        config=config,
        on_progress=on_progress,
    )
    _take_over_checkpoint(job, earlier)
    trained: Trained = _family(family).train(job)
    header = Header(
        family=family,
        spec=portable_name(spec),
        task=task,
        labels=job.labels,
        source=source,
        seed=seed,
        n_train=len(train),
        input_fields=input_fields(train),
        settings=trained.settings,
    )

    def write_files(folder: Path) -> None:
        trained.write_files(folder)
        (folder / LEARNED).write_bytes(fingerprints([*train, *validation]))
        like = likeness.measure(train, validation, instruction=task.instruction, labels=job.labels)
        likeness.write(folder, like)

    save_artifact(out, header, write_files)
    if not trained.gave_up:
        shutil.rmtree(job.checkpoints, ignore_errors=True)  # the student is saved; a leftover costs disk, nothing else
    return result_of(job, trained, size_bytes(out))


def _take_over_checkpoint(job: TrainJob, earlier: Sequence[Path]) -> None:
    """Begin with a checkpoint that an earlier run left: its name holds the hash of all that decides the training."""
    kept = next((place for folder in earlier if (place := folder / job.checkpoints.name).is_dir()), None)
    if kept is not None and not job.checkpoints.exists():
        with storage_errors(job.checkpoints):
            shutil.copytree(kept, job.checkpoints)


def config_of(spec: str, task: Task) -> TrainConfig | None:
    """The config that `train_student` would train with; None: the family is not trained in passes."""
    family = family_of(spec)
    if family in ("majority", "linear", "static", "frozen"):
        return None
    return with_settings(_family(family).defaults(spec.partition(":")[2]), task.student)


def load_student(folder: str | Path) -> Student:
    """Load a student after checking every file of it. Raises ArtifactError on a torn, changed or unknown artifact."""
    folder = Path(folder)
    header = read_artifact(folder)
    family = _family(header.family)
    with as_damage(folder):
        student: Student = family.load(folder, header)
    # Of all families alike, and of no other student than ours: so it is no part of what a Student has to be.
    student.likeness = likeness.read(  # type: ignore[attr-defined]
        folder, instruction=header.task.instruction, labels=header.labels
    )
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
