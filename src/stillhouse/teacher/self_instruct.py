"""Self-instruct (Wang et al. 2022, 2212.10560) as a loop: ask for proposals in rounds, screen them, until enough are kept or it does not pay any more.

What to ask is the business of a `Planner`: new exercises from seed tasks, as Stanford Alpaca did it, or new inputs for a task of one's own. A call depends on
the seed, its number and what was kept before its round, so a killed run that is started again asks the same calls, finds their replies in the store and pays
for the rest alone. Rounds have a fixed size for the same reason: how many calls are in flight must not change what is asked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stillhouse.errors import BudgetError, StillhouseError, TeacherError
from stillhouse.llm.bulk import complete_all
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.request import Completion, Request
from stillhouse.records import Progress
from stillhouse.teacher.numbered import Block, blocks
from stillhouse.teacher.screen import Candidate, Screen

ROUND = 8  # calls
WINDOW = 10  # calls over which the acceptance rate is looked at
COLLAPSED = 0.05  # share of the proposals of a window


@dataclass(frozen=True)
class Call:
    """One call: what is asked, the numbers that its proposals shall have, and what is known of their origin."""

    request: Request
    first: int
    last: int
    parents: tuple[str, ...]
    how: str  # "new", or a kind of variant
    label: str | None = None  # the class that was asked for

    @property
    def n(self) -> int:
        return self.last - self.first + 1


class Planner(Protocol):
    """What to ask, and how to read a block of a reply."""

    def calls(self, first: int, n: int, kept: Sequence[Candidate]) -> list[Call]:
        """The calls number `first` to `first + n - 1`, given what was kept up to now."""
        ...

    def read(self, call: Call, block: Block, id_: str) -> Candidate | str:
        """The proposal in a block, or why there is none."""
        ...


class Agree(Protocol):
    """Who is asked before a bulk is paid for. Raises what stops it."""

    def before(self, n_calls: int) -> None:
        """About so many calls are to be paid for, and none has been yet."""
        ...

    def after(self, costs: Sequence[float | None], n_calls: int) -> None:
        """The first round cost this much, call by call; about so many are to be paid for in all."""
        ...


@dataclass(frozen=True, slots=True)
class Point:
    """One call on the curve: proposals asked for, proposals kept. `failed` says why a call gave no reply at all."""

    asked: int
    kept: int
    failed: str | None = None


@dataclass
class Harvest:
    """How a generation went. `stopped`: "enough", "budget" or "collapse"; `why` is the sentence for the latter two."""

    curve: list[Point] = field(default_factory=list)
    stopped: str = "enough"
    why: str | None = None
    from_store: int = 0  # replies that had been paid for before

    @property
    def rate(self) -> float | None:
        """Kept share of the proposals of the last calls; None before there were any."""
        last = self.curve[-WINDOW:]
        asked = sum(point.asked for point in last)
        return sum(point.kept for point in last) / asked if asked else None


async def generate(
    model: MeteredModel,
    planner: Planner,
    screen: Screen,
    n: int,
    *,
    at_once: int = 32,
    on_progress: Callable[[Progress], None] | None = None,
    agree: Agree | None = None,
) -> Harvest:
    """Ask until `n` proposals are kept in the screen, the budget ends, or acceptance collapses.

    Raises TeacherError where a whole round fails or the endpoint refuses; BudgetError where not even the first call may be paid for.
    """
    harvest = Harvest()
    spent = 0.0
    while len(screen.kept) < n and harvest.stopped == "enough":
        calls = planner.calls(len(harvest.curve), _next_round(harvest, n - len(screen.kept), planner), screen.kept)
        if not calls:
            harvest.stopped, harvest.why = "nothing left", "there is nothing left to ask for"
            break
        to_pay = sum(not model.has(call.request) for call in calls) if agree is not None else 0
        if agree is not None and to_pay:
            agree.before(_still_needed(harvest, n - len(screen.kept), calls))
        replies = await complete_all(model, [call.request for call in calls], at_once)
        for call, reply in zip(calls, replies, strict=True):
            if isinstance(reply, BudgetError):
                harvest.stopped, harvest.why = "budget", str(reply)
            elif isinstance(reply, StillhouseError):
                raise reply
            else:
                harvest.from_store += reply.from_store
                spent += 0.0 if reply.from_store else reply.cost_usd or 0.0
                harvest.curve.append(_take(call, reply, planner, screen, n))
                if on_progress is not None:
                    on_progress(Progress(min(n, len(screen.kept)), n, "asking for new rows", spent))
        _check(harvest, replies, len(calls))
        if agree is not None and to_pay and len(screen.kept) < n and harvest.stopped == "enough":
            costs = [
                reply.cost_usd
                for reply in replies
                if isinstance(reply, Completion) and not reply.from_store and reply.usage is not None
            ]
            agree.after(costs, len(costs) + _still_needed(harvest, n - len(screen.kept), calls))
            agree = None
    return harvest


def _still_needed(harvest: Harvest, missing: int, calls: Sequence[Call]) -> int:
    """Calls that the missing rows will take by the rate so far; before there is one, by that of a teacher whose every proposal is kept."""
    per_call = (harvest.rate if harvest.rate is not None else 1.0) * calls[0].n
    return max(1, round(missing / max(per_call, COLLAPSED * calls[0].n)))


def _next_round(harvest: Harvest, missing: int, planner: Planner) -> int:
    """As many calls as will do by the rate so far, at most a round; at first by that of a teacher whose every proposal is kept."""
    asked = max((point.asked for point in harvest.curve), default=0) or sum(call.n for call in planner.calls(0, 1, ()))
    per_call = asked * (harvest.rate if harvest.rate is not None else 1.0)
    return ROUND if per_call * ROUND <= missing else max(1, round(missing / per_call))


def _take(call: Call, reply: Completion, planner: Planner, screen: Screen, n: int) -> Point:
    """Read one reply into the screen. What comes after the n-th kept proposal is noted as not needed."""
    cut_off = reply.finish_reason == "length"
    if reply.text is None or (reply.error is not None and not cut_off):
        reason = reply.error or "empty reply"
        screen.unreadable(call.request.hash[:12], "", f"call failed: {reason}")
        return Point(call.n, 0, reason)
    before = len(screen.kept)
    found = blocks(reply.text, call.first, call.last, cut_off=cut_off)
    if not found:
        screen.unreadable(call.request.hash[:12], reply.text[:500], "no numbered proposal")
    for block in found:
        id_ = f"gen-{call.request.hash[:12]}-{block.number}"
        read = block.problem or planner.read(call, block, id_)
        if isinstance(read, str):
            screen.unreadable(id_, block.text, read)
        elif len(screen.kept) >= n:
            screen.unreadable(id_, block.text, "not needed")
        else:
            screen.judge(read)
    return Point(call.n, len(screen.kept) - before)


def _check(harvest: Harvest, replies: Sequence[Completion | StillhouseError], n_calls: int) -> None:
    """Stop where going on does not pay. Raises where nothing at all can come."""
    if harvest.stopped == "budget":
        if not harvest.curve:
            raise next(reply for reply in replies if isinstance(reply, BudgetError))
        return
    failed = [point.failed for point in harvest.curve[-n_calls:] if point.failed]
    if len(failed) == n_calls and len(harvest.curve) == n_calls:
        raise TeacherError(
            f"every call of the first round failed ({failed[0]}); if the prompt is too long for this model, bring shorter seeds, or ask with "
            "fewer of them (--shots) and for fewer rows a call (--per-call)"
        )
    if len(harvest.curve) >= WINDOW and (harvest.rate or 0.0) < COLLAPSED:
        kept, asked = (sum(getattr(point, name) for point in harvest.curve[-WINDOW:]) for name in ("kept", "asked"))
        harvest.stopped = "collapse"
        harvest.why = f"only {kept} of the last {asked} proposals were new and usable; bring more or more varied seeds, or another teacher"
