"""Two systems judged answer against answer: the win rate, who judged, and how far the judging can be believed.

With the one reader and writer of the `result.json` of `compare`.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from stillhouse import numbers
from stillhouse.errors import UserError
from stillhouse.records import Estimate
from stillhouse.results.gates import GateAnswer
from stillhouse.results.record import Measured, record
from stillhouse.runs import MANIFEST, read_json


@record
class Tally:
    """How the rows fell, from A's side; they add up to the rows judged."""

    wins: int
    losses: int
    ties: int
    both_bad: int

    @property
    def n(self) -> int:
        return self.wins + self.losses + self.ties + self.both_bad


@record
class WeakScores:
    """A metric of shared words against the gold labels, beside the judgements: weak evidence, and called that."""

    metric: str
    a: Measured
    b: Measured


@record
class OfRater:
    """One person's win rate for A on the rows that they judged; `name` "" for who gave none."""

    name: str
    rate: Measured


@record
class Decided:
    """The gate's answer: may A replace B?"""

    answer: GateAnswer
    margin: float
    sentence: str
    rows_needed: int | None = None


@record(kw_only=True)
class WinRates:
    """A against B. `rate` is the one to go by, and `by` says who judged.

    `tally` counts the rows that the rate stands on; where people corrected a judge, the rows that people judged. A tie
    is half a win for each, and so is "both bad". Rates and biases run from 0 to 1, kappa and alpha from -1 to 1.
    """

    a: str
    b: str
    by: Literal["people", "people, judge corrected", "judge", "nobody"]
    rate: Measured
    tally: Tally
    n_rows: int  # number of rows that both systems answered
    lower_bound: float | None = None  # one-sided lower bound of the win rate, at the comparison's level
    weight: float | None = None  # the weight of the judge's choices beside the people's, 0 to 1
    judge: str | None = None
    judge_stand_in: bool = False
    people_alone: Measured | None = None
    judge_alone: Measured | None = None
    agreement: Measured | None = None  # share of alike choices by judge and people, on rows that both judged
    kappa: Measured | None = None  # Cohen's kappa: agreement of judge and people beyond chance
    people_first: Measured | None = None  # share of people's choices that fell on the answer on the left
    judge_first: Measured | None = None
    judge_consistent: Measured | None = None  # share of rows for which the judge chose the same answer in both orders
    n_same: int = 0  # number of rows whose two answers are the same: ties that nobody was asked about
    n_missing_a: int = 0
    n_missing_b: int = 0
    n_unread: int = 0  # number of rows without two usable replies of the judge
    n_left_out: int = 0  # number of rows of the data that one of the two systems was never asked
    decided: Decided | None = None
    weak: tuple[WeakScores, ...] = ()
    notes: tuple[str, ...] = ()
    n_raters: int = 0  # number of people who judged at least one of these rows
    raters_agree: Measured | None = None  # how often two people's choices for a row are the same; n: rows
    alpha: Measured | None = None  # Krippendorff's alpha: people's agreement beyond chance
    raters: tuple[OfRater, ...] = ()  # one entry for each person, where there are several

    @property
    def heading(self) -> str:
        """What the rate is called. Without people it says so."""
        people = "people" if self.n_raters < 2 else f"{self.n_raters} people"
        return {
            "people": f"win rate by {people}",
            "people, judge corrected": f"win rate by {people}, with the judge's choices corrected by theirs",
            "nobody": "win rate with every pair settled, nobody asked",
            "judge": f"win rate by {self.judge}{' (a stand-in)' if self.judge_stand_in else ''}, not by people",
        }[self.by]

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        rate, people = self.rate, ""
        if self.by == "people, judge corrected":
            people = f", {numbers.count(self.tally.n)} of them judged by people"
        wins = f"{self.a} has a win rate of {numbers.percent(rate.value)} {numbers.interval(rate)} against {self.b}"
        halves = "; a tie is half a win" if self.tally.ties or self.tally.both_bad else ""
        return f"{wins} (n = {numbers.count(rate.n)}{people}{halves})"

    @property
    def estimates(self) -> list[tuple[str, Estimate]]:
        """Every rate there is, the one to go by first."""
        rates: list[tuple[str, Estimate | None]] = [
            ("people, judge corrected (PPI++)", self.rate if self.by == "people, judge corrected" else None),
            ("people", self.people_alone),
            *((f"{rater.name or 'who gave no name'} alone", rater.rate) for rater in self.raters),
            ("every pair settled, nobody asked", self.rate if self.by == "nobody" else None),
            (f"{self.judge} alone, not corrected", self.judge_alone),
        ]
        return [(name, rate) for name, rate in rates if rate is not None]

    @property
    def checks(self) -> list[tuple[str, Estimate, str]]:
        """(what, number, how to read it) of the judge and the people."""
        of_both = "rows of both" if self.n_raters < 2 else "choices on rows of both"
        checks: list[tuple[str, Estimate | None, str]] = [
            ("two people agree", self.raters_agree, "rows of two or more"),
            ("Krippendorff's alpha", self.alpha, "the same beyond chance"),
            ("judge and people agree", self.agreement, of_both),
            ("kappa", self.kappa, "beyond chance"),
            ("judge takes the first", self.judge_first, "even: 50 %, ties left out"),
            ("judge keeps its choice", self.judge_consistent, "in both orders"),
            ("people take the left", self.people_first, "even: 50 %, ties left out"),
        ]
        return [(what, estimate, read) for what, estimate, read in checks if estimate is not None]


@record
class ComparisonResult:
    """What a run of `compare` found. `facts`: what it takes to run it again, in words."""

    comparison: WinRates
    facts: Mapping[str, str | None]
    format: int = 1


@cache
def _adapter() -> TypeAdapter[ComparisonResult]:
    return TypeAdapter(ComparisonResult)


def to_dict(result: ComparisonResult) -> dict[str, Any]:
    """The result in JSON's own types."""
    raw: dict[str, Any] = _adapter().dump_python(result, mode="json")
    return raw


def from_dict(raw: Mapping[str, Any], where: str) -> ComparisonResult:
    """Read what `to_dict` wrote. Raises UserError naming `where` and the first key that does not fit."""
    try:
        return _adapter().validate_json(json.dumps(raw, allow_nan=True), strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"])) or "the file"
        raise UserError(f"{where}: {key}: {problem['msg']}; run `stillhouse compare` again") from None


def load_comparison(run: Path) -> ComparisonResult:
    """The result in a run directory of `compare`."""
    path = run / "result.json"
    return from_dict(read_json(path), str(path))


def is_comparison(run: Path) -> bool:
    """Whether a folder is a run of `compare` that has a result."""
    manifest = run / MANIFEST
    if not manifest.is_file() or not (run / "result.json").is_file():
        return False
    return bool(read_json(manifest).get("command") == "compare")
