"""All that a run of `advise` or `distill` found: the shape of `result.json`, with its one reader and its one writer.

A section that a run did not measure is None or empty, and the report leaves it out or says why. Scores, shares and
confidences run from 0 to 1, money is US dollars, time is seconds. A measured number is an `Estimate` and so carries its
n. This room knows nothing of HTML.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from stillhouse.errors import UserError
from stillhouse.records import Source
from stillhouse.results.arms import ArmResult
from stillhouse.results.cascade import CascadePromise, ThresholdCurve
from stillhouse.results.comparison import WinRates
from stillhouse.results.error_analysis import Confusion, Disagreements, PerClass, Reliability
from stillhouse.results.learning_curves import LearningCurves
from stillhouse.results.look import Look
from stillhouse.results.money import Money
from stillhouse.results.provenance import LabelQuality, Provenance
from stillhouse.results.record import Measured, record
from stillhouse.results.step_by_step import StepByStep
from stillhouse.results.verdict import Verdict
from stillhouse.runs import read_json
from stillhouse.task import WEAK_METRICS


@record
class OtherTest:
    """An arm on a test set of its own, e.g. the hand-written questions."""

    name: str
    arm: str
    score: Measured
    note: str | None = None


@record(kw_only=True)
class Result:
    """All that a run found. `scored_against` "teacher" means there is no gold."""

    task: str
    instruction: str
    metric: str
    n_train: int
    n_test: int
    verdict: Verdict
    arms: tuple[ArmResult, ...]
    provenance: Provenance
    scored_against: Source = "gold"
    n_validation: int | None = None
    n_calibration: int | None = None
    curves: LearningCurves | None = None
    money: Money | None = None
    confusion: Confusion | None = None  # counts of labels given for labels wanted; None for open outputs
    per_class: PerClass | None = None
    disagreements: Disagreements | None = None
    reliability: Reliability | None = None
    threshold_curve: ThresholdCurve | None = None
    cascade: CascadePromise | None = None
    label_quality: LabelQuality | None = None
    other_tests: tuple[OtherTest, ...] = ()
    step_by_step: tuple[StepByStep, ...] = ()
    win_rates: tuple[WinRates, ...] = ()  # the students' win rates against the prompt, where that is the metric
    warnings: tuple[str, ...] = ()  # what may make the verdict wrong, what would change it most first
    notes: tuple[str, ...] = ()  # what was done with the rows
    n_test_generated: int = 0  # test rows that a model generated: there are some only where the user asked for it
    look: Look | None = None  # None: nothing was gated, or a version that did not count wrote it
    format: Literal[1] = 1

    @property
    def chosen(self) -> str | None:
        """The arm that the verdict recommends."""
        return self.verdict.chosen

    @property
    def heading(self) -> str:
        """What the scores are called: the metric, or "agreement with the teacher" where there is no gold."""
        if self.win_rates:  # one answer is judged against another: labels play no part
            return self.win_rates[0].heading + self._on_generated
        scores = "agreement with the teacher" if self.scored_against == "teacher" else self.metric.replace("_", " ")
        return scores + self._on_generated

    @property
    def _on_generated(self) -> str:
        n, of = self.n_test_generated, self.n_test
        return "" if not n else " on generated rows" if n == of else f" on rows of which {n:,} of {of:,} were generated"

    @property
    def right(self) -> str:
        """What an answer that scores is called: without gold it is no more than the teacher's."""
        return "right" if self.scored_against == "gold" else "as the teacher"

    @property
    def by_agreement(self) -> bool:
        """Whether scores are agreement with the prompt itself, as there is no gold."""
        return self.scored_against == "teacher" and not self.win_rates

    def is_yardstick(self, arm: ArmResult) -> bool:
        """Whether the scores are agreement with this very arm, so that its own says nothing."""
        return self.by_agreement and arm.kind == "prompt"

    @property
    def weak(self) -> str | None:
        """What has to be said of a metric that rewards shared words; None where there is nothing to say."""
        return WEAK_METRICS.get(self.metric)


@cache
def _adapter() -> TypeAdapter[Result]:
    # Built on first use: building takes tens of milliseconds that `--help` need not wait for.
    return TypeAdapter(Result)


def to_dict(result: Result) -> dict[str, Any]:
    """The result in JSON's own types, as `result.json` holds it."""
    raw: dict[str, Any] = _adapter().dump_python(result, mode="json")
    return raw | {"chosen": raw["verdict"].pop("chosen")}


def from_dict(raw: Mapping[str, Any], where: str = "result.json") -> Result:
    """Read what `to_dict` wrote. Raises UserError naming `where` and the first key that is unknown or wrong."""
    try:
        return _adapter().validate_json(json.dumps(_in_places(raw), allow_nan=True), strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"] if part != "function-before") or "the file"
        raise UserError(
            f"{where}: {key}: {problem['msg'].removeprefix('Value error, ')}; "
            "was it written by another version? run the command again"
        ) from None


def _in_places(raw: Any) -> Any:
    """`result.json` names the chosen arm beside the verdict; in the records it is a part of the verdict."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("verdict"), Mapping):
        return raw
    rest = {name: value for name, value in raw.items() if name != "chosen"}
    return rest | {"verdict": {**raw["verdict"], "chosen": raw.get("chosen")}}


def load_result(path: Path) -> Result:
    """The result in a file, or in the run directory that holds `result.json`."""
    path = path / "result.json" if path.is_dir() else path
    return from_dict(read_json(path), where=str(path))
