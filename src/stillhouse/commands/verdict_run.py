"""What `advise` and `distill` leave: a run directory with a verdict, its numbers and its report."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stillhouse.report.result_page import render
from stillhouse.results.cascade_file import CASCADE
from stillhouse.results.measured_arm import MeasuredArm, write_predictions
from stillhouse.results.run_result import Result, load_result, to_dict
from stillhouse.runs import Run, write_atomic, write_json

WEIGHING = "weighing what was measured"  # the phase's name for whoever watches


@dataclass(frozen=True)
class VerdictRun:
    """A finished run. `serves`: a student passed its gate, or a cascade keeps its promise."""

    folder: Path
    result: Result
    report: Path

    @property
    def serves(self) -> bool:
        return self.result.verdict.kind in ("finetune", "distil", "cascade")

    @property
    def serve_command(self) -> str | None:
        """The command that serves what the verdict recommends; None: it recommends nothing that can be served.

        A cascade whose teacher's answers came with the rows has nobody to ask.
        """
        is_cascade = self.result.verdict.kind == "cascade"
        if not self.serves or (is_cascade and not (self.folder / CASCADE).is_file()):
            return None
        return f"stillhouse serve {shlex.quote(str(self.folder))}{' --cascade' if is_cascade else ''}"


def write_verdict(run: Run, result: Result, arms: Sequence[MeasuredArm]) -> VerdictRun:
    """Write what the run found: every arm's answers, the result, the report. What is shown is what is on disk."""
    write_predictions(run.folder / "predictions.jsonl", arms)
    write_json(run.folder / "result.json", to_dict(result))
    result = load_result(run.folder)
    page = run.folder / "report.html"
    write_atomic(page, render(result))
    run.save(verdict=result.verdict.kind, chosen=result.chosen)
    return VerdictRun(run.folder, result, page)
