"""Pictures of a flow: `source` reads one from the flow's code, `executed` from a run's trace, `mermaid` writes either as text; `report.flow_graph` draws them.

A picture is a tree and not a net: Python's control flow nests, and what nests can be drawn without a line that crosses another.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from stillhouse.flow.trace import Used

Outcome = Literal[
    "done", "failed", "handled", "waiting", "unfinished"
]  # failed: and the run with it; handled: the run went on; the others as in the trace


@dataclass(frozen=True, slots=True)
class Ran:
    """How the calls behind a box went. Seconds are per call: the median, and the slowest."""

    calls: int
    at_once: int  # how many at the same time, at most
    failed: int
    used: Used  # with that of the calls in their bodies
    p50_s: float | None
    max_s: float | None
    outcome: Outcome  # the worst of them
    error: str | None = None  # of one that failed


@dataclass(frozen=True, slots=True)
class Box:
    """A step, and what its body calls. `ran` is None in a picture of source."""

    name: str
    kind: str  # of the journal; "flow" for one that is called as a part of another
    notes: tuple[str, ...] = ()  # what was decided, asked, or which model answers; one line each
    inside: tuple["Part", ...] = ()
    ran: Ran | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """A part that repeats, or that something is held around; `title` says what."""

    title: str
    body: tuple["Part", ...]


@dataclass(frozen=True, slots=True)
class Lanes:
    """Parts that run side by side."""

    lanes: tuple[tuple["Part", ...], ...]


@dataclass(frozen=True, slots=True)
class Arm:
    label: str
    body: tuple["Part", ...] = ()


@dataclass(frozen=True, slots=True)
class Branch:
    """One of several arms is taken."""

    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class End:
    """The flow, the loop or the helper ends here: return, raise, break or continue."""

    word: str


Part: TypeAlias = Box | Frame | Lanes | Branch | End


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole picture. `lines` stand below the title."""

    title: str
    parts: tuple[Part, ...]
    lines: tuple[str, ...] = ()


def ends(parts: tuple[Part, ...]) -> bool:
    """Whether nothing can follow: the parts leave in every arm."""
    if not parts:
        return False
    last = parts[-1]
    return isinstance(last, End) or (isinstance(last, Branch) and all(ends(arm.body) for arm in last.arms))
