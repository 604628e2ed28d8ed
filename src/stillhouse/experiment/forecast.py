"""How many trainings `advise` will make, and about how long they will take, said before any of them begins.

Each student of the ladder is trained once on a few rows, on one thread, as the sweep trains it, and answers a few. What
that took tells what the rest will: training goes by rows and passes, answering by rows.
"""

import math
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

from stillhouse.data.dataset import label_set
from stillhouse.data.splits import Splits
from stillhouse.errors import StillhouseError
from stillhouse.event_loop import result_of
from stillhouse.experiment.material import lessons_to_come
from stillhouse.experiment.plans import on_curves, sizes_of
from stillhouse.experiment.sweep import cores, single_threaded
from stillhouse.experiment.training_sets import Lesson
from stillhouse.records import Example
from stillhouse.student import config_of, load_student, train_student
from stillhouse.student.pace import Pace
from stillhouse.task import Task

_ROWS = {"linear": 400}  # rows of the trial; of the others so many:
_FEW = 48
_ANSWERED = 16  # rows that are answered, and that validate


@dataclass(frozen=True)
class Forecast:
    """The trainings to come. `seconds` None: not known before there are answers to learn."""

    n: int
    students: tuple[str, ...]
    at_once: int
    seconds: float | None

    @property
    def sentence(self) -> str:
        head = f"{self.n:,} training{'' if self.n == 1 else 's'} of {', '.join(self.students)}"
        if self.seconds is None:
            return f"{head}; how long they take is known when there are labels"
        return f"{head}, {_about(self.seconds)} with {self.at_once} at a time"


def _about(seconds: float) -> str:
    if seconds < 90:
        return "about a minute" if seconds >= 45 else "less than a minute"
    minutes = seconds / 60
    if minutes < 120:
        return f"about {minutes:.0f} minutes" if minutes < 10 else f"about {5 * round(minutes / 5):.0f} minutes"
    return f"about {minutes / 60:.1f} hours"


def forecast(
    task: Task, splits: Splits, *, asks: bool, sizes: Sequence[int] | None, seeds: int, workers: int | None
) -> Forecast:
    """Count the trainings of `curve_plans`, and time each student on a few rows. `asks`: there is a teacher to ask."""
    lessons = lessons_to_come(task, splits, asks=asks)
    own = next((lesson for lesson in lessons if lesson.train), None)
    known = [*splits.train, *splits.validation, *splits.calibration, *splits.test]
    labels = label_set(known, task) if task.output == "choice" and not any(row.choices for row in known) else None
    trainings: list[tuple[str, int]] = []
    for spec, kind in on_curves(task):
        for lesson in lessons if kind == "student" else lessons[:1]:
            trainings += [(spec, n) for n in sizes_of(sizes, len(lesson.train), labels) for _ in range(seeds)]
    students = tuple(dict.fromkeys(spec for spec, _ in trainings))
    at_once = max(1, min(workers or cores(), len(trainings)))
    has_answers = task.labels or any(row.label or row.teacher_label for row in splits.train)
    seconds = None
    if own is not None and has_answers:
        paces = _paces(task, own, splits.test, students)
        if paces is not None:
            took = [paces[spec].seconds(n, len(own.validation), len(splits.test)) for spec, n in trainings]
            seconds = max(math.fsum(took) / at_once, *took)
    return Forecast(len(trainings), students, at_once, seconds)


def _paces(task: Task, lesson: Lesson, test: Sequence[Example], students: Sequence[str]) -> dict[str, Pace] | None:
    """Each student's pace; None where one cannot be told. Torch stays out of this process, where it has threads."""
    paces: dict[str, Pace] = {}
    try:
        for spec in students:
            if spec == "linear":
                paces[spec] = _pace(spec, task, lesson, test)
        others = [spec for spec in students if spec not in paces]
        if others:
            context = multiprocessing.get_context("spawn")
            with single_threaded(), ProcessPoolExecutor(1, context) as pool:
                for spec in others:
                    paces[spec] = pool.submit(_pace, spec, task, lesson, test[:_ANSWERED]).result()
    except (StillhouseError, BrokenProcessPool):
        return None  # what is wrong is said where the student is trained
    return paces


def _pace(spec: str, task: Task, lesson: Lesson, test: Sequence[Example]) -> Pace:
    rows, validation = _mixed(lesson, _ROWS.get(spec, _FEW)), lesson.validation[:_ANSWERED]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "student"
        config = config_of(spec, task)
        trial = None if config is None else replace(config, epochs=1.0, min_steps=0, max_validations=1)
        trained = train_student(spec, task, rows, validation, source=lesson.source, seed=0, out=out, config=trial)
        student = load_student(out)
        began = time.perf_counter()
        result_of(student.predict(list(test[:_ANSWERED])))
        answer_s = (time.perf_counter() - began) / max(1, len(test[:_ANSWERED]))
    train_s = max(0.0, trained.wall_s - len(validation) * answer_s)
    return Pace(len(rows), train_s, trained.steps, answer_s, config)


def _mixed(lesson: Lesson, n: int) -> list[Example]:
    """The first rows, and one of each class that is not among them."""
    first = list(lesson.train[:n])
    seen = {row.target(lesson.source) for row in first}
    for row in lesson.train[n:]:
        if (target := row.target(lesson.source)) not in seen:
            seen.add(target)
            first.append(row)
    return first
