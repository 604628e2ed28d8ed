"""The majority student: always the commonest answer of the training rows. Every other student must beat it."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from stillhouse.records import Example, Prediction
from stillhouse.student.artifact import Header, size_bytes
from stillhouse.student.job import Trained, TrainJob, no_choices


class MajorityStudent:
    """Answers with the commonest label. With choices per row: with the choice in the place that was commonest.

    Confidence is the answer's share of the training rows.
    """

    family = "majority"

    def __init__(self, header: Header, folder: Path) -> None:
        self.name = f"{header.task.name}/{header.spec}"
        self.task, self.labels, self.input_fields = header.task, header.labels, header.input_fields
        self.size_bytes = size_bytes(folder)
        self._counts = [(str(answer), int(count)) for answer, count in header.settings["counts"]]
        self._by_place = bool(header.settings["by_place"])

    async def predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        return [self._predict(example) for example in inputs]

    def _predict(self, example: Example) -> Prediction:
        began = time.perf_counter()
        total = sum(count for _, count in self._counts)
        shares = {answer: count / total for answer, count in self._counts}
        if self._by_place:
            if not example.choices:
                return no_choices(example)
            shares = {choice: shares.get(str(place), 0.0) for place, choice in enumerate(example.choices)}
        output = max(shares, key=lambda answer: shares[answer])  # among equally frequent answers, the first
        return Prediction(
            output=output, confidence=shares[output], scores=shares, latency_s=time.perf_counter() - began
        )


def train(job: TrainJob) -> Trained:
    began = time.perf_counter()
    by_place = job.task.output == "choice" and job.labels is None

    def answer(example: Example) -> str:
        target = job.target(example)
        return str(example.choices.index(target)) if by_place and example.choices else target

    counts = Counter(answer(example) for example in job.train).most_common()
    right = sum(answer(example) == counts[0][0] for example in job.validation)
    return Trained(
        write_files=lambda folder: None,
        settings={"counts": counts, "by_place": by_place},
        best_validation=right / len(job.validation),
        metric="accuracy",
        n_parameters=0,
        wall_s=time.perf_counter() - began,
    )


def load(folder: Path, header: Header) -> MajorityStudent:
    return MajorityStudent(header, folder)
