"""The cascade: the student answers what it is sure of, the teacher the rest, and an audit keeps watching what was kept.

The threshold and its promise come from `evaluation.cascade_threshold`. The promise holds for rows like those that the
threshold was chosen on. So a small random share of the rows that the student keeps is sent to the teacher too. When
the two agree less often, the rows have changed.
"""

import asyncio
import json
import logging
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stillhouse.clean_text import log_line
from stillhouse.errors import CannotTellError, StillhouseError, StorageError, UserError
from stillhouse.json_text import JsonError, read_json
from stillhouse.jsonl import numbered_lines
from stillhouse.llm.prompted import PromptedPredictor
from stillhouse.llm.request import kept_listener
from stillhouse.records import Estimate, Example, Prediction, Predictor
from stillhouse.runs import storage_errors
from stillhouse.student.artifact import Student

_NO_STORE = "the teacher failed: its store cannot be used; the server's log says why"
_log = logging.getLogger(__name__)


class CascadePredictor:
    """A student before a teacher, as one Predictor. `Prediction.source` says who answered: "student" or "teacher".

    A row goes to the teacher where the student has no answer, no confidence, or a confidence below `threshold`. Its
    cost and usage are then the teacher's, and its latency is the sum of both. A row that the student keeps costs 0.
    Where the teacher fails, the row fails.

    `audit` is a JSONL file. With it, a share `audit_share` of the kept rows, drawn with `seed`, is also sent to the
    teacher, after the student's answer was given, and both answers are appended to the file. What an audited row
    costs stands in the file, and in no prediction. Call `await drain()` before closing the teacher.
    """

    def __init__(
        self,
        student: Student,
        teacher: Predictor,
        threshold: float,
        *,
        name: str,
        audit_share: float = 0.01,
        audit: Path | None = None,
        seed: int = 0,
    ) -> None:
        if not math.isfinite(threshold):
            raise UserError(f"{name}: the threshold {threshold} is no number; take the one that the run chose")
        if not 0 <= audit_share <= 1:
            raise UserError(f"{name}: audit_share = {audit_share} is no share; give a number from 0 to 1")
        self.name, self.student, self.teacher, self.threshold = name, student, teacher, threshold
        self.task, self.labels = student.task, student.labels
        self.audit, self.audit_share = audit, audit_share
        self._draws = random.Random(seed)
        # Tasks under way are kept here, because the event loop holds them weakly.
        # Answers of the teacher that were paid for and given, and not kept, since its store last kept one.
        self.n_unstored = 0
        self._audits: set[asyncio.Task[None]] = set()
        self._said: set[str] = set()  # troubles that the log was told of and that are not over

    async def predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        """One prediction per input, in input order."""
        return await self.settle(inputs, await self.student.predict(inputs))

    async def settle(self, inputs: Sequence[Example], first: Sequence[Prediction]) -> list[Prediction]:
        """The cascade's answers, given the student's. For servers, which batch the student's work themselves."""
        pairs = zip(inputs, first, strict=True)
        return list(await asyncio.gather(*(self._settle(example, prediction) for example, prediction in pairs)))

    def keeps(self, first: Prediction) -> bool:
        """Whether the student's answer is given."""
        return first.output is not None and first.confidence is not None and first.confidence >= self.threshold

    async def pass_on(self, example: Example, messages: Sequence[Mapping[str, Any]] | None) -> Prediction:
        """The teacher's answer to a row that the student does not judge.

        `messages`: as the app sent them; the teacher's reply is then given as it is. None: the task's own prompt asks.
        """
        return replace(await self._ask_teacher(example, messages), source="teacher")

    async def drain(self, within_s: float | None = None) -> int:
        """Wait for the audits under way, so long at most, and give up those that are not over. Returns how many."""
        if self._audits:
            await asyncio.wait(self._audits, timeout=within_s)
        cut_off = [audit for audit in self._audits if not audit.done()]
        for audit in cut_off:
            audit.cancel()
        await asyncio.gather(*cut_off, return_exceptions=True)
        return len(cut_off)

    async def _settle(self, example: Example, first: Prediction) -> Prediction:
        if self.keeps(first):
            if self.audit is not None and self._draws.random() < self.audit_share:
                task = asyncio.create_task(self._audit(self.audit, example, first))
                self._audits.add(task)
                task.add_done_callback(self._audits.discard)
            return replace(first, source="student", cost_usd=0.0)
        second = await self._ask_teacher(example)
        latency_s = None if first.latency_s is None or second.latency_s is None else first.latency_s + second.latency_s
        return replace(second, source="teacher", latency_s=latency_s)

    async def _ask_teacher(self, example: Example, messages: Sequence[Mapping[str, Any]] | None = None) -> Prediction:
        """The teacher's answer to one row. If it fails (a spent budget, a refused key), this row alone fails."""
        unstored: list[StorageError] = []

        def hear(error: StorageError | None) -> None:
            self._note_kept(error)
            if error is not None:
                unstored.append(error)

        told = kept_listener.set(hear)
        try:
            if messages is not None and isinstance(self.teacher, PromptedPredictor):
                prediction = await self.teacher.reply_to(messages)
            else:
                (prediction,) = await self.teacher.predict([example])
        except StorageError as error:  # before the call was made; its words name a path, which is no client's concern
            self._say_once("store", f"the teacher's store: {error}")
            return Prediction(None, error=_NO_STORE, is_unstored=bool(unstored))
        except StillhouseError as error:
            # An earlier call for the row may have been paid.
            return Prediction(None, error=f"the teacher failed: {error}", is_unstored=bool(unstored))
        finally:
            kept_listener.reset(told)
        if prediction.output is None and prediction.error is None:
            return replace(prediction, error="the teacher gave no answer")
        return prediction

    def _note_kept(self, error: StorageError | None) -> None:
        """A paid answer was stored, or was given without. The log says it once, until one is stored again."""
        if error is None:
            self.n_unstored = 0
            self._said -= {"unstored", "store"}
            return
        self.n_unstored += 1
        self._say_once("unstored", f"{self.name}: answers that were paid for are given, and not kept ({error})")

    def _say_once(self, trouble: str, sentence: str) -> None:
        """Log it, but not again for every row before this trouble is over: a disk that is full would fill the log."""
        if trouble not in self._said:
            self._said.add(trouble)
            _log.error("%s", log_line(sentence))

    async def _audit(self, path: Path, example: Example, first: Prediction) -> None:
        second = await self._ask_teacher(example)
        row = {
            "id": example.id,
            "student": first.output,
            "teacher": second.output,
            "confidence": first.confidence,
            "threshold": self.threshold,
            "cost_usd": 0.0 if second.is_stored else second.cost_usd,
            "error": second.error,
        }
        try:
            _append(path, row)
        except StillhouseError as error:  # the answer is already given, and a full disk must not stop the next ones
            self._say_once("audit", f"an audited row was not recorded: {error}")
        else:
            self._said.discard("audit")


def agreement(
    path: Path, *, interval: Callable[[int, int], tuple[float, float]] | None = None, level: float = 0.95
) -> Estimate:
    """The share of audited rows on which the teacher gave the student's answer.

    Rows that the teacher did not answer are left out.
    `interval` makes (low, high) at `level` from (agreeing, n), as `evaluation.proportions.clopper_pearson` does.
    Raises UserError for a file that is no audit, CannotTellError where it holds no answered row.
    """
    rows = [row for row in _read(path) if row["teacher"] is not None]
    if not rows:
        raise CannotTellError(
            f"{path}: no audited row has a teacher's answer yet; serve more rows, or raise the audited share"
        )
    agreeing, n = sum(row["student"] == row["teacher"] for row in rows), len(rows)
    if interval is None:
        return Estimate(agreeing / n, n, level=level)
    return Estimate(agreeing / n, n, *interval(agreeing, n), level, getattr(interval, "__name__", "").replace("_", "-"))


def _append(path: Path, row: dict[str, Any]) -> None:
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            file.seek(max(0, file.seek(0, 2) - 1))
            has_torn_line = file.read(1) not in (b"", b"\n")  # a killed process may have left a torn line at the end
            line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
            file.write(b"\n" + line if has_torn_line else line)


def _read(path: Path) -> list[dict[str, Any]]:
    """The audit's rows. A line that a killed process left torn is skipped; any other that is no row is an error."""
    if not path.exists():
        raise UserError(f"{path}: no such audit file; serve a cascade with an audit first")
    rows = []
    for number, line in numbered_lines(path):
        try:
            row = read_json(line)
        except JsonError:
            continue  # a torn line is no audit
        if not isinstance(row, dict) or not {"student", "teacher"} <= row.keys():
            raise UserError(
                f"{path}:{number}: not a row of a cascade's audit; give the file that `serve --audit` wrote"
            )
        rows.append(row)
    return rows
