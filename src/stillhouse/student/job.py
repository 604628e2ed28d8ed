"""What a student family is given (`TrainJob`) and gives back (`Trained`), and the checks on rows that all share.

Importable without torch.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast, get_args

from stillhouse.data.dataset import fingerprint
from stillhouse.errors import UserError
from stillhouse.json_labels import LabelError, json_label
from stillhouse.labels import labels_problem
from stillhouse.records import Example, Prediction, Progress, Source, Usage
from stillhouse.settings import StudentSettings
from stillhouse.student.config import TrainConfig
from stillhouse.student.header import Family
from stillhouse.task import Task

LEAST_TO_GIVE_UP = 20  # validation rows
TRAINING = "training"  # the phase's name for whoever watches


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """One student to train. The rows are checked: every one has a target that the task allows."""

    out: Path  # the folder where the student will be
    spec: str
    task: Task
    labels: tuple[str, ...] | None  # the classes; None: choices per row, or free text
    train: Sequence[Example]
    validation: Sequence[Example]
    source: Source
    seed: int
    config: TrainConfig | None  # None: the family's defaults, with what the task file sets
    on_progress: Callable[[Progress], None] | None = None

    @cached_property
    def digest(self) -> str:
        """A sha256 of all that decides what the student learns.

        Its text is what version 0.1 hashed, class names included: its checkpoints are still found.
        """
        decides = [(name, value) for name, value in self.task.student if name != "give_up"]
        of_task = ", ".join(f"{name}={value!r}" for name, value in decides)
        parts = (
            *map(repr, (self.spec, self.task.instruction, self.task.output, self.task.labels)),
            f"_Student({of_task})",
            *map(repr, (fingerprint(self.train), fingerprint(self.validation), self.source, self.seed, self.config)),
        )
        return hashlib.sha256(f"({', '.join(parts)})".encode()).hexdigest()

    @property
    def gives_up(self) -> bool:
        """Whether to stop where nothing is learned. A few validation rows may all be missed by chance."""
        return self.task.student.give_up and len(self.validation) >= LEAST_TO_GIVE_UP

    @property
    def checkpoints(self) -> Path:
        """The folder of this job's checkpoint. Its name holds the digest, so no other job goes on from it."""
        return self.out.parent / f".{self.out.name}.checkpoint-{self.digest[:12]}"

    @property
    def base(self) -> str:
        """What follows the family in the spec: "minilm", "scratch:tiny", a hub id or a folder.

        Empty for linear and majority.
        """
        return self.spec.partition(":")[2]

    def target(self, example: Example) -> str:
        target = example.target(self.source)
        assert target is not None  # check_rows refused such rows
        return json_label(target, self.task.schema) if self.task.output == "json" else target

    def distribution(self, example: Example, answers: Sequence[str]) -> list[float] | None:
        """The teacher's probabilities of these answers, summing to 1.

        None where the row has none, or where the student is not to learn them.
        An answer that the teacher did not list gets 0, and the listed ones are scaled up to sum to 1.
        """
        if not self.task.student.soft_targets or self.source != "teacher" or example.teacher_scores is None:
            return None
        listed = [example.teacher_scores.get(answer, 0.0) for answer in answers]
        total = sum(listed)
        return [probability / total for probability in listed] if total > 0 else None

    def settings(self, defaults: TrainConfig) -> TrainConfig:
        """The config to train with: the caller's, or else the family's defaults with what the task file sets."""
        return self.config or with_settings(defaults, self.task.student)


def with_settings(config: TrainConfig, settings: StudentSettings) -> TrainConfig:
    """A family's defaults with what `[student]` sets."""
    if settings.epochs is not None:  # a user who names the epochs gets just these, however few steps they are
        config = replace(config, epochs=settings.epochs, min_steps=0)
    if settings.min_steps is not None:
        config = replace(config, min_steps=settings.min_steps)
    if settings.learning_rate is not None:
        config = replace(config, learning_rate=settings.learning_rate)
    return config


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A family's finished training: how it went, and how to write it down."""

    write_files: Callable[[Path], None]  # writes the weights and JSON files into an empty folder
    settings: Mapping[str, Any]  # what the family's loader needs beside the files; goes into student.json
    best_validation: float  # score on the validation rows, 0 to 1
    metric: str  # name of the metric that `best_validation` is, e.g. "accuracy"
    n_parameters: int
    wall_s: float
    # Number of passes over the training rows; 0 for students that are not iterated (linear, majority).
    epochs: float = 0.0
    steps: int = 0
    stopped_early: bool = False
    n_truncated: int = 0  # training inputs or targets that were cut at max_length
    resumed_at: int | None = None  # the step of the checkpoint that training went on from
    gave_up: bool = False  # it stopped because nothing was learned, and its checkpoint is kept


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """One trained student, for the manifest and the card."""

    folder: Path
    spec: str
    seed: int
    n_train: int
    source: Source
    best_validation: float  # score on `n_validation` rows; the weights were chosen on them, so it is too high
    metric: str
    n_validation: int
    epochs: float
    steps: int
    wall_s: float  # seconds of the training itself, all sittings together
    stopped_early: bool
    n_parameters: int
    n_truncated: int
    resumed_at: int | None
    size_bytes: int
    gave_up: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


def result_of(job: TrainJob, trained: Trained, size_bytes: int) -> TrainResult:
    """What is told of a job whose student is saved and weighs `size_bytes`."""
    how_it_went = {name: value for name, value in vars(trained).items() if name != "write_files"}
    return TrainResult(
        folder=job.out,
        spec=job.spec,
        seed=job.seed,
        n_train=len(job.train),
        source=job.source,
        n_validation=len(job.validation),
        size_bytes=size_bytes,
        **how_it_went,
    )


def family_of(spec: str) -> Family:
    """The family that a spec names. Raises UserError naming the forms there are."""
    family, _, base = spec.partition(":")
    alone = family in ("majority", "linear")
    if family not in get_args(Family) or alone == bool(base):
        raise UserError(
            f"unknown student {spec!r}; use majority, linear, encoder:minilm, static:wordllama, frozen:BASE, "
            "encoder:BASE, prompted:BASE, generative:scratch:small or generative:BASE, where BASE is a hub id, "
            "a folder, minilm or smollm2"
        )
    return cast(Family, family)


def check_rows(
    task: Task, train: Sequence[Example], validation: Sequence[Example], source: Source, *, one_class: bool = False
) -> tuple[str, ...] | None:
    """Check that every row can be learned from, and return the classes. Raises UserError naming the row.

    None instead of classes: the rows have choices of their own, or the output is text.
    """
    for part, rows in (("training", train), ("validation", validation)):
        if not rows:
            raise UserError(f"no {part} rows for {task.name}; give some, or change `split` in [data]")
        _check_targets(part, rows, source)
        if task.output == "json":
            _check_json(task, rows, source)
    if task.output != "choice":
        return None
    rows = [*train, *validation]
    if any(example.choices is not None for example in rows):
        _check_choices(rows, source)
        return None
    targets = {target for example in rows if (target := example.target(source)) is not None}
    labels = task.labels or tuple(sorted(targets))
    if task.labels is None and (problem := labels_problem(labels)):
        raise UserError(f"the labels of {task.name}: {problem}; mend the rows, or name `labels` in [task]")
    for example in rows:
        target = example.target(source)
        if target not in labels:
            raise UserError(
                f"row {example.id}: {_named(source)} {target!r} is not one of the task's labels "
                f"({', '.join(labels)}); mend the row or the labels"
            )
    learned = {example.target(source) for example in train}
    if len(learned) < 2 and not one_class:
        raise UserError(
            f"all {len(train)} training rows of {task.name} have the label {next(iter(learned))!r}; "
            "a student needs rows of at least two classes"
        )
    return labels


def _check_targets(part: str, rows: Sequence[Example], source: Source) -> None:
    missing = [example.id for example in rows if example.target(source) is None]
    if missing:
        remedies = {
            "teacher": "run `stillhouse label` or leave such rows out",
            "gold": "add labels, leave such rows out, or learn from the teacher",
            "mixed": "run `stillhouse label` or leave such rows out",
        }
        raise UserError(
            f"{len(missing)} of {len(rows)} {part} rows have no {_named(source)} (the first is {missing[0]}); "
            f"{remedies[source]}"
        )


def _check_json(task: Task, rows: Sequence[Example], source: Source) -> None:
    for example in rows:
        try:
            json_label(example.target(source), task.schema)
        except LabelError as error:
            raise UserError(f"row {example.id}: its {_named(source)} {error}; mend the row") from None


def _check_choices(rows: Sequence[Example], source: Source) -> None:
    for example in rows:
        if example.choices is None:
            raise UserError(
                f"row {example.id} has no `choices` while other rows have; "
                "give every row its choices, or none and name `labels` in the task"
            )
        target = example.target(source)
        if target not in example.choices:
            raise UserError(
                f"row {example.id}: {_named(source)} {target!r} is not one of its choices "
                f"({', '.join(example.choices)}); mend the row"
            )


def _named(source: Source) -> str:
    return {"gold": "gold label", "teacher": "teacher label", "mixed": "label"}[source]


def check_soft_targets(task: Task, family: Family, train: Sequence[Example], source: Source) -> None:
    """Raise UserError where soft targets are asked for and there is nothing that could be learned from them."""
    if not task.student.soft_targets or family == "majority":
        return
    where = f"{task.name}: [student] soft_targets = true"
    if family == "generative":
        raise UserError(
            f"{where} is for students that pick among labels, and a generative one writes text; "
            "take it out, or use linear or encoder:BASE"
        )
    if source == "gold" and task.student.learn_from == "auto":
        return  # "auto" trains on both: this student of gold labels is there for the others to be compared with
    if source == "gold":
        raise UserError(
            f"{where} learns the teacher's probabilities, and these students learn gold labels; "
            'take it out, or set learn_from = "teacher"'
        )
    if not any(example.teacher_scores for example in train):
        remedy = "label with [teacher] soft_targets = true, or with samples"
        raise UserError(
            f"{where} needs rows with the teacher's probabilities, and none of {len(train)} has `teacher_scores`; "
            f"{remedy}"
        )


def input_fields(rows: Sequence[Example]) -> tuple[str, ...] | None:
    """The names of the inputs' fields, in order; () where the inputs are plain texts, None where the rows differ.

    A server needs them to read a prompt as the training rows were read.
    """
    forms = {() if isinstance(example.input, str) else tuple(example.input) for example in rows}
    return forms.pop() if len(forms) == 1 else None


def choice_predictions(
    inputs: Sequence[Example],
    labels: Sequence[str] | None,
    scored: Iterable[tuple[Sequence[float], Sequence[float], Usage | None]],
    latency_s: float,
) -> list[Prediction]:
    """One prediction per input.

    `scored` has probabilities, raw probabilities and usage of each input that has answers to choose from.
    """
    left, predictions = iter(scored), []
    for example in inputs:
        answers = labels or example.choices
        if answers:
            probabilities, raw, usage = next(left)
            predictions.append(_choice_prediction(answers, probabilities, raw, usage, latency_s))
        else:
            predictions.append(no_choices(example))
    return predictions


def _choice_prediction(
    answers: Sequence[str],
    probabilities: Sequence[float],
    raw: Sequence[float],
    usage: Usage | None,
    latency_s: float,
) -> Prediction:
    """The likeliest answer. `raw` are the probabilities before calibration.

    Both may be longer than `answers`: a row with fewer choices than others is padded, and the padding is not read.
    """
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
