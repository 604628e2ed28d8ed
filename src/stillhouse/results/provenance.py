"""What a run stands on: what it takes to run it again, and the labels it learned."""

from collections.abc import Mapping
from dataclasses import field

from stillhouse.results.record import Dollars, Measured, record


@record(kw_only=True)
class Provenance:
    """What it takes to run this again."""

    command: str
    created: str  # when the result was made, ISO 8601, UTC
    run: str | None = None
    wall_s: float | None = None
    seeds: tuple[int, ...] = ()
    fingerprints: Mapping[str, str] = field(default_factory=dict)  # name of a data set -> its sha256
    versions: Mapping[str, str] = field(default_factory=dict)
    prices: tuple[str, ...] = ()  # one sentence per price, each with its date
    # What the run paid for in its last sitting -> US$; None: at an unknown price. What came from the store is not paid.
    paid: Mapping[str, Dollars | None] = field(default_factory=dict)

    @property
    def paid_usd(self) -> float | None:
        """All that was paid; None: a part of it at an unknown price."""
        known = [usd for usd in self.paid.values() if usd is not None]
        return sum(known, 0.0) if len(known) == len(self.paid) else None

    @property
    def bought(self) -> dict[str, float | None]:
        """What was not free."""
        return {what: usd for what, usd in self.paid.items() if usd != 0}


@record(kw_only=True)
class LabelQuality:
    """The teacher's labels: how many, how right against gold where there is any, and what was rejected why."""

    teacher: str
    n: int
    labelled: int
    accuracy: Measured | None = None
    rejected: Mapping[str, int] = field(default_factory=dict)  # reason for rejecting -> number of rows
    cost_usd: Dollars | None = None
    labelled_on: str | None = None
    stand_in: bool = False
    # What is wrong with an answer's token counts -> number of answers; they are priced by their dearest reading.
    usage_doubts: Mapping[str, int] = field(default_factory=dict)
    n_cost_unknown: int = 0  # answers without usable counts, whose cost is not known
