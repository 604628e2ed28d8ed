"""Pictures of a flow, as data.

`source` reads one from the flow's code, `executed` from a run's trace. `mermaid` writes either as text, and
`report.flow_graph` draws it. A picture is a tree and not a net: Python's control flow nests, and what nests can be
drawn without lines that cross.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from stillhouse.flow.trace import Used

# failed: the call and the run failed; handled: the call failed, and the run went on; the others: as in the trace
CallOutcome = Literal["done", "failed", "handled", "waiting", "unfinished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How the calls behind a box went. Seconds are per call: the median, and the slowest."""

    calls: int
    at_once: int  # the most calls that ran at the same time
    failed: int
    used: Used  # what these calls used, together with the calls in their bodies
    p50_s: float | None
    max_s: float | None
    outcome: CallOutcome  # the worst outcome among the calls
    error: str | None = None  # the error of a call that failed


@dataclass(frozen=True, slots=True)
class CallBox:
    """A call in the flow, and what its body calls. `ran` is None in a picture of source."""

    name: str
    kind: str  # the call's kind in the journal; "flow" for a flow that is called as a part of another
    notes: tuple[str, ...] = ()  # what was decided or asked, or which model answers; one line each
    inside: tuple["PicturePart", ...] = ()
    ran: Ran | None = None


@dataclass(frozen=True, slots=True)
class Enclosure:
    """Parts with a title around them: the body of a loop, what `limits` holds, the turns of an agent."""

    title: str
    body: tuple["PicturePart", ...]


@dataclass(frozen=True, slots=True)
class Lanes:
    """Parts that run side by side."""

    lanes: tuple[tuple["PicturePart", ...], ...]


@dataclass(frozen=True, slots=True)
class BranchArm:
    """One way that a branch can go; `label` says when."""

    label: str
    body: tuple["PicturePart", ...] = ()


@dataclass(frozen=True, slots=True)
class Branch:
    """One of several arms is taken."""

    arms: tuple[BranchArm, ...]


@dataclass(frozen=True, slots=True)
class End:
    """The flow, the loop or the helper ends here: by return, raise, break or continue, or as the run did."""

    word: str


PicturePart: TypeAlias = CallBox | Enclosure | Lanes | Branch | End


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole picture. `lines` stand below the title."""

    title: str
    parts: tuple[PicturePart, ...]
    lines: tuple[str, ...] = ()


def ends(parts: tuple[PicturePart, ...]) -> bool:
    """Whether nothing can follow these parts: every arm leaves."""
    if not parts:
        return False
    last = parts[-1]
    return isinstance(last, End) or (isinstance(last, Branch) and all(ends(arm.body) for arm in last.arms))
