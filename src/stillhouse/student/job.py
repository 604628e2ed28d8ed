"""What a student family is given and what it gives back, and the checks on rows that all of them share. Importable without torch."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast, get_args

from stillhouse.data.dataset import fingerprint
from stillhouse.errors import UserError
from stillhouse.records import Example, Prediction, Progress, Source, Usage
from stillhouse.student.artifact import Family
from stillhouse.student.config import TrainConfig
from stillhouse.task import Task


@dataclass(frozen=True)
class TrainJob:
    """One student to train. The rows are checked: every one has a target that the task allows."""

    spec: str
    task: Task
    labels: tuple[str, ...] | None  # the classes; None: choices per row, or free text
    train: Sequence[Example]
    validation: Sequence[Example]
    source: Source
    seed: int
    config: TrainConfig | None  # None: the family's defaults, with what the task file sets
    checkpoints: Path  # a folder of this very job: same rows, spec, seed and config
    on_progress: Callable[[Progress], None] | None = None

    @property
    def base(self) -> str:
        """What follows the family in the spec: "minilm", "scratch:tiny", a hub id or a folder; empty for linear and majority."""
        return self.spec.partition(":")[2]

    def target(self, example: Example) -> str:
        target = example.target(self.source)
        assert target is not None  # check_rows refused such rows
        return target

    def distribution(self, example: Example, answers: Sequence[str]) -> list[float] | None:
        """The teacher's probabilities of these answers, summing to 1; None where the row has none or they are not to be learned.

        The probabilities that the teacher's row lists are scaled up to sum to 1: what it did not list is not known, and gets nothing.
        """
        if not self.task.student.soft_targets or self.source != "teacher" or example.teacher_scores is None:
            return None
        listed = [example.teacher_scores.get(answer, 0.0) for answer in answers]
        total = sum(listed)
        return [probability / total for probability in listed] if total > 0 else None

    def settings(self, defaults: TrainConfig) -> TrainConfig:
        """The config to train with: the caller's whole, or the family's defaults with the epochs and learning rate that the task file sets."""
        if self.config is not None:
            return self.config
        asked = self.task.student
        if asked.epochs is not None:  # who names the epochs means them, also where they are few steps
            defaults = replace(defaults, epochs=asked.epochs, min_steps=0)
        if asked.min_steps is not None:
            defaults = replace(defaults, min_steps=asked.min_steps)
        return defaults if asked.learning_rate is None else replace(defaults, learning_rate=asked.learning_rate)


@dataclass(frozen=True)
class Trained:
    """A family's finished training: how it went, and how to write it down."""

    write_files: Callable[[Path], None]  # puts the weights and JSON files into an empty folder
    settings: Mapping[str, Any]  # what the family's loader needs beside the files; goes into student.json
    best_validation: float  # 0..1
    metric: str  # what `best_validation` is, e.g. "accuracy"
    n_parameters: int
    wall_s: float
    epochs: float = 0.0  # 0 where nothing is iterated (linear, majority)
    steps: int = 0
    stopped_early: bool = False
    n_truncated: int = 0  # training inputs or targets that were cut at max_length
    resumed_at: int | None = None  # the step of the checkpoint it went on from


@dataclass(frozen=True)
class TrainResult:
    """One trained student, for the manifest and the card."""

    folder: Path
    spec: str
    seed: int
    n_train: int
    source: Source
    best_validation: float  # on `n_validation` rows: chosen there, so it flatters; the test rows decide
    metric: str
    n_validation: int
    epochs: float
    steps: int
    wall_s: float  # of the training itself, all sittings together
    stopped_early: bool
    n_parameters: int
    n_truncated: int
    resumed_at: int | None
    size_bytes: int
    settings: Mapping[str, Any] = field(default_factory=dict)


def family_of(spec: str) -> Family:
    """The family that a spec names. Raises UserError naming the forms there are."""
    family, _, base = spec.partition(":")
    alone = family in ("majority", "linear")
    if family not in get_args(Family) or alone == bool(base):
        raise UserError(
            f"unknown student {spec!r}; use majority, linear, encoder:minilm, encoder:BASE, prompted:BASE, generative:scratch:small or "
            "generative:BASE, where BASE is a Hugging Face id or a folder"
        )
    return cast(Family, family)


def check_rows(
    task: Task, train: Sequence[Example], validation: Sequence[Example], source: Source, *, one_class: bool = False
) -> tuple[str, ...] | None:
    """The classes to learn (None: choices per row, or free text), after every row is found fit to learn from. Raises UserError naming the row."""
    for part, rows in (("training", train), ("validation", validation)):
        if not rows:
            raise UserError(f"no {part} rows for {task.name}; give some, or change `split` in [data]")
        _check_targets(part, rows, source)
    if task.output != "choice":
        return None
    everything = [*train, *validation]
    per_row = [example for example in everything if example.choices is not None]
    if per_row:
        _check_choices(everything, source)
        return None
    targets = {example.target(source) for example in train}
    labels = task.labels or tuple(
        sorted({target for example in everything if (target := example.target(source)) is not None})
    )
    for example in everything:
        target = example.target(source)
        if target not in labels:
            raise UserError(
                f"row {example.id}: {_named(source)} {target!r} is not one of the task's labels ({', '.join(labels)}); mend the row or the labels"
            )
    if len(targets) < 2 and not one_class:
        raise UserError(
            f"all {len(train)} training rows of {task.name} have the label {next(iter(targets))!r}; a student needs rows of at least two classes"
        )
    return labels


def _check_targets(part: str, rows: Sequence[Example], source: Source) -> None:
    missing = [example.id for example in rows if example.target(source) is None]
    if missing:
        remedy = (
            "run `stillhouse label` or leave such rows out"
            if source == "teacher"
            else "add labels, leave such rows out, or learn from the teacher"
        )
        raise UserError(
            f"{len(missing)} of {len(rows)} {part} rows have no {_named(source)} (the first is {missing[0]}); {remedy}"
        )


def _check_choices(rows: Sequence[Example], source: Source) -> None:
    for example in rows:
        if example.choices is None:
            raise UserError(
                f"row {example.id} has no `choices` while other rows have; give every row its choices, or none and name `labels` in the task"
            )
        target = example.target(source)
        if target not in example.choices:
            raise UserError(
                f"row {example.id}: {_named(source)} {target!r} is not one of its choices ({', '.join(example.choices)}); mend the row"
            )


def _named(source: Source) -> str:
    return "gold label" if source == "gold" else "teacher label"


def check_soft_targets(task: Task, family: Family, train: Sequence[Example], source: Source) -> None:
    """Raise UserError where soft targets are asked for and there is nothing that could be learned from them."""
    if not task.student.soft_targets or family == "majority":
        return
    where = f"{task.name}: [student] soft_targets = true"
    if family == "generative":
        raise UserError(
            f"{where} is for students that pick among labels, and a generative one writes text; take it out, or use linear or encoder:BASE"
        )
    if source == "gold" and task.student.learn_from == "auto":
        return  # beside students of the teacher's probabilities, one of gold labels is there to be compared with
    if source == "gold":
        raise UserError(
            f'{where} learns the teacher\'s probabilities, and these students learn gold labels; take it out, or set learn_from = "teacher"'
        )
    if not any(example.teacher_scores for example in train):
        remedy = "label with [teacher] soft_targets = true, or with samples"
        raise UserError(
            f"{where} needs rows with the teacher's probabilities, and none of {len(train)} has `teacher_scores`; {remedy}"
        )


def input_fields(rows: Sequence[Example]) -> tuple[str, ...] | None:
    """The names of the inputs' fields, in order: a server needs them to read a prompt as the training rows were read. None where the rows differ."""
    found = {() if isinstance(example.input, str) else tuple(example.input) for example in rows}
    return found.pop() if len(found) == 1 else None


def job_digest(
    spec: str,
    task: Task,
    train: Sequence[Example],
    validation: Sequence[Example],
    source: Source,
    seed: int,
    config: TrainConfig | None,
) -> str:
    """What tells one training from another: a checkpoint is only ever continued by the very same job."""
    parts = (
        spec,
        task.instruction,
        task.output,
        task.labels,
        task.student,
        fingerprint(train),
        fingerprint(validation),
        source,
        seed,
        config,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def choice_prediction(
    answers: Sequence[str],
    probabilities: Sequence[float],
    raw: Sequence[float],
    latency_s: float,
    usage: Usage | None = None,
) -> Prediction:
    """The likeliest answer. `probabilities`, and `raw` before calibration, may be longer than `answers`: the padding of rows with fewer choices falls off."""
    scores = {answer: float(probability) for answer, probability in zip(answers, probabilities, strict=False)}
    output = max(scores, key=lambda answer: scores[answer])
    before = float(raw[answers.index(output)])
    return Prediction(
        output=output, confidence=scores[output], raw_confidence=before, scores=scores, usage=usage, latency_s=latency_s
    )


def no_choices(example: Example) -> Prediction:
    return Prediction(
        output=None, error=f"row {example.id} has no choices, and this student picks among each row's own"
    )
