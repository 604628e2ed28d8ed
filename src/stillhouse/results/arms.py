"""One system (an arm) as a row of the table of results: its score on the test rows, its speed, its price, its gate."""

from typing import Literal

from stillhouse.records import Source
from stillhouse.results.gates import GateResult
from stillhouse.results.record import Dollars, Measured, record

PROMPT = "prompt"  # the name of the arm that is the teacher, asked as the app asks it
ArmKind = Literal["prompt", "few-shot", "student", "baseline", "cascade"]


@record(kw_only=True)
class ArmResult:
    """One system measured on the test rows."""

    name: str
    kind: ArmKind
    score: Measured
    model: str | None = None
    learns_from: Source | None = None  # None: the arm learns from nothing
    n_train: int | None = None
    n_shots: int | None = None  # number of examples in the prompt
    macro_f1: float | None = None  # macro F1 over the same n rows as the score
    n_failed: int = 0  # rows without a usable answer; each scored 0
    latency_p50_s: float | None = None
    latency_p99_s: float | None = None
    size_bytes: int | None = None
    cost_usd_per_1000: Dollars | None = None  # cost of 1,000 calls in US dollars; None: no price known
    cost_note: str | None = None  # what the cost stands on, e.g. "priced as NAME of 2026-01-05, tokens estimated"
    gate: GateResult | None = None
    stand_in: bool = False  # True where a script stood in for a teacher model
