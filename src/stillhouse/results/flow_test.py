"""What `stillhouse test` found, and the one reader and writer of `tests-N.json`.

Every case's row is kept, so that a later test can be compared with this one row by row.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from stillhouse.errors import UserError
from stillhouse.records import Estimate
from stillhouse.results.gates import GateAnswer
from stillhouse.runs import read_json

FORMAT = 1

# Why a whole answer is wrong.
# `branch`: the first wrong thing in the answer's run is a decision, or the path is not the expected one.
# `step`: the first wrong thing in the answer's run is a step's result.
# `whole`: every judged step was right.
# `failed`: the flow raised an error.
# `unknown`: no step of the run was judged.
Cause = Literal["branch", "step", "whole", "failed", "unknown"]
Outcome = Literal["passed", "failed", "cannot tell"]  # "cannot tell": too few cases for what changed
CAUSES: dict[Cause, str] = {
    "branch": "wrong branch",
    "step": "wrong step result",
    "whole": "right parts, wrong whole",
    "failed": "failed with an error",
    "unknown": "wrong, and no step of it was judged",
}


@dataclass(frozen=True, slots=True)
class Missing:
    """A model call that the cassette has no answer to."""

    case: str
    step: str
    arguments: str  # canonical JSON
    why: str


@dataclass(frozen=True, slots=True)
class PairOfSteps:
    """Two steps that occur together in `n` of the runs with right parts; `n_wrong` of these have a wrong whole.

    `lift`: how many times as often the whole is wrong with the pair as over all these runs. `p`: Fisher's exact test,
    one-sided, that it is wrong more often with the pair than without, after Holm over all pairs. None where every run
    has the pair, so that nothing can be compared.
    """

    first: str
    second: str
    n: int
    n_wrong: int
    lift: float
    p: float | None


@dataclass(frozen=True)
class Gap:
    """How often right parts made a wrong whole (see `evaluation.composability`).

    `share` None: no run had all its judged steps right. `n_calls` of which `n_judged` were judged, over all runs.
    """

    share: Estimate | None
    n_runs: int
    n_calls: int
    n_judged: int
    pairs: tuple[PairOfSteps, ...]  # pairs of steps from the runs in the gap, most suspicious first

    @property
    def suspect(self) -> PairOfSteps | None:
        """The pair that stands out; None where the runs are too few, or too much alike, to tell."""
        return next((pair for pair in self.pairs if pair.p is not None and pair.p < 0.05), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """One case. `run`: its trace in the test's own journal.

    `score` None: it was not scored, because the cassette had no answer for one of its calls.
    """

    id: str
    key: str
    score: float | None
    expected: str
    output: str | None
    error: str | None
    run: str
    latency_s: float | None
    cost_usd: float | None
    path: tuple[str, ...] = ()
    cause: Cause | None = None
    at: str | None = None  # the step at fault, where the cause is one
    asked: str | None = None  # the case's input; None: an earlier version tested it


@dataclass(frozen=True, kw_only=True)
class PartResult:
    """A step, or the whole flow, over its cases. `score` None: none could be scored."""

    name: str
    kind: Literal["step", "whole"]
    metrics: tuple[str, ...]
    score: Estimate | None
    rows: tuple[CaseResult, ...]
    cost_usd_per_1000: float | None
    latency_p50_s: float | None

    @property
    def wrong(self) -> list[CaseResult]:
        return [row for row in self.rows if row.score is not None and row.score < 1]


@dataclass(frozen=True, slots=True)
class PathResult:
    """One path case; `problems` are empty where the path was as expected."""

    id: str
    path: tuple[str, ...]
    problems: tuple[str, ...]
    run: str


@dataclass(frozen=True, kw_only=True)
class Against:
    """One part against the baseline on the same cases: the gate's answer, and what it stands on."""

    name: str
    answer: GateAnswer
    difference: Estimate
    lower_bound: float
    p: float | None  # p-value of the exact McNemar test, mid-p, two-sided; None where scores are not right or wrong
    n_left_out: int  # number of cases that only one of the two tests has, or that differ between the tests
    sentence: str
    unchanged: bool = False  # every case has the answer that it had in the baseline


@dataclass(frozen=True, kw_only=True)
class FlowResult:
    """A whole test."""

    flow: str
    app: str
    created: str
    models: Mapping[str, str]
    offline: bool
    parts: tuple[PartResult, ...]
    paths: tuple[PathResult, ...]
    gap: Gap | None  # None: no whole case was run
    missing: tuple[Missing, ...]
    baseline: str | None = None
    margin: float | None = None
    against: tuple[Against, ...] = ()
    not_compared: tuple[str, ...] = ()  # a sentence for each part that has nothing to be compared with

    @property
    def whole(self) -> PartResult | None:
        return next((part for part in self.parts if part.kind == "whole"), None)

    @property
    def causes(self) -> Counter[tuple[Cause, str | None]]:
        """How often each cause, and each step that it names, made the whole wrong."""
        return Counter((row.cause, row.at) for part in self.parts for row in part.rows if row.cause is not None)

    @property
    def outcome(self) -> Outcome:
        """What all of it comes to.

        Without a baseline it passes where nothing is wrong. With one, every part must be unchanged or shown to be not
        worse by the margin, and a part that cannot be compared must have nothing wrong; it fails where a part is shown
        to be worse. Paths must be as expected and every call answered in any case.
        """
        if self.missing or any(path.problems for path in self.paths):
            return "failed"
        if self.baseline is None:
            return "failed" if any(part.wrong for part in self.parts) else "passed"
        if any(part.answer == "fail" for part in self.against):
            return "failed"
        shown = {part.name for part in self.against if part.unchanged or part.answer == "pass"}
        compared = {part.name for part in self.against}
        proved = all(part.name in shown or (part.name not in compared and not part.wrong) for part in self.parts)
        return "passed" if shown and proved else "cannot tell"

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


def to_json(tested: FlowResult) -> dict[str, Any]:
    """The result as its file has it."""
    causes = [{"cause": cause, "at": at, "n": n} for (cause, at), n in tested.causes.most_common()]
    return {"format": FORMAT, **asdict(tested), "causes": causes, "outcome": tested.outcome, "passed": tested.passed}


def load_tested(path: Path) -> FlowResult:
    """What `stillhouse test` wrote. Raises UserError where the file is none."""
    raw = read_json(path)
    if not isinstance(raw, dict) or raw.get("format") != FORMAT or "flow" not in raw:
        raise UserError(f"{path}: is no result of `stillhouse test` of this version; give a tests-N.json")
    known = {field.name: raw[field.name] for field in fields(FlowResult) if field.name in raw}
    try:
        return TypeAdapter(FlowResult).validate_python(known)
    except ValidationError as error:
        problem = error.errors()[0]
        raise UserError(
            f"{path}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}; was it edited? test again"
        ) from None


def load_rows(path: Path) -> dict[str, dict[str, CaseResult]]:
    """The rows of an earlier test, by part and case. Raises UserError where the file is none."""
    raw = read_json(path)
    try:
        if raw["format"] != FORMAT:
            raise UserError(f"{path}: written by another version of Stillhouse; run the baseline's test again")
        parts = {part["name"]: [_case(row, path) for row in part["rows"]] for part in raw["parts"]}
    except (KeyError, TypeError):
        raise UserError(f"{path}: is no result of `stillhouse test`; give a tests-N.json") from None
    for name, rows in parts.items():
        if twice := [id_ for id_, n in Counter(row.id for row in rows).items() if n > 1]:
            raise UserError(f"{path}: {name} has the case {twice[0]} twice; was it edited? test again")
    return {name: {row.id: row for row in rows} for name, rows in parts.items()}


@cache
def _case_adapter() -> TypeAdapter[CaseResult]:
    return TypeAdapter(CaseResult)


def _case(row: Any, path: Path) -> CaseResult:
    """One row of an earlier test. Raises UserError where it is none."""
    try:
        case = _case_adapter().validate_json(json.dumps(row), strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "a case"
        raise UserError(f"{path}: {where}: {problem['msg']}; was it edited? test again") from None
    if case.score is not None and not 0 <= case.score <= 1:
        score = f"the score {case.score:g}, which is not from 0 to 1"
        raise UserError(f"{path}: the case {case.id} has {score}; was it edited? test again")
    return case


def rows_of(parts: Sequence[PartResult]) -> dict[str, dict[str, CaseResult]]:
    """The rows as `load_rows` gives them."""
    return {part.name: {row.id: row for row in part.rows} for part in parts}
