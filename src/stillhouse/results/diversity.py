"""How varied a set of generated rows is, and what became of the other proposals: what `generate` found, as values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Histogram:
    """Shares of a set over bins, 0 to 1, and of the set that it is compared with. `edges` has one more than the bins.

    `others` None: there is nothing to compare with.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    n: int
    others: tuple[float, ...] | None = None
    n_others: int = 0


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """What a run of `generate` made. `verbs`: (verb, texts, (object, texts) pairs).

    Where the verbs are not known, `verbs` is empty and `verb_notes` says why.
    """

    title: str
    teacher: str
    stand_in: bool
    kept: int
    wanted: int
    asked: int
    calls: int
    cost_usd: float | None
    stopped: str | None  # why making rows stopped early; None: as many rows were made as were asked for
    dropped: tuple[tuple[str, int], ...]
    filters: tuple[tuple[str, int, int], ...]  # (name, proposals that came to it, proposals that went on), in order
    held_out: int
    curve: tuple[tuple[int, int], ...]  # for each call: (proposals asked for, proposals kept)
    lengths: Histogram
    nearest: Histogram | None
    made_from: str  # "seeds" or "training rows"
    verbs: tuple[tuple[str, int, tuple[tuple[str, int], ...]], ...] = ()
    verb_notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
