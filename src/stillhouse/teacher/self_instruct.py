"""Self-instruct (Wang et al. 2022, 2212.10560) as a loop: ask for proposals in rounds and screen them.

It ends when enough proposals are kept, or when going on does not pay. What to ask is the business of a `Planner`: new
exercises from seed tasks, as Stanford Alpaca did it, or new inputs for a task of one's own.

A call depends on the seed, on its number and on what was kept before its round. So a killed run that is started again
asks the same calls, finds their replies in the store and pays for the rest alone. Rounds have a fixed size for the same
reason: how many calls are in flight must not change what is asked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeGuard

from stillhouse.errors import BudgetError, StillhouseError, TeacherError
from stillhouse.llm.bulk import complete_all
from stillhouse.llm.finish import is_cut_off
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.prompted import added_usd, new_cost_usd
from stillhouse.llm.request import Completion, Request
from stillhouse.records import Estimate, Progress
from stillhouse.teacher.forecast import CallSeen, forecast
from stillhouse.teacher.numbered import Block
from stillhouse.teacher.screen import Candidate, Screen

ROUND = 8  # number of calls in a round
WINDOW = 10  # calls over which the acceptance rate is looked at
NOTHING_READ = "no numbered proposal"
_ID = "gen-"  # how the ids of generated rows begin
_REFUSED = (400, 422)  # the statuses by which an endpoint says that it does not take a request as it is
_SHOWN = 300  # most characters that are shown of a reply
COLLAPSED = 0.05  # generation ends where a smaller share than this of a window's proposals is kept


@dataclass(frozen=True)
class ProposalCall:
    """One call: what is asked, the numbers that its proposals shall have, and what is known of their origin."""

    request: Request
    first: int
    last: int
    parents: tuple[str, ...]
    how: str  # how the input was made: "new", or a kind of variant
    label: str | None = None  # the class that was asked for

    @property
    def n(self) -> int:
        return self.last - self.first + 1


class Planner(Protocol):
    """What to ask, and how to read a block of a reply."""

    def calls(self, first: int, n: int, kept: Sequence[Candidate]) -> list[ProposalCall]:
        """The calls number `first` to `first + n - 1`, given what was kept up to now."""
        ...

    def blocks(self, call: ProposalCall, reply: str, *, cut_off: bool) -> list[Block]:
        """The parts of a reply, in its order."""
        ...

    def read(self, call: ProposalCall, block: Block, id_: str) -> Candidate | str:
        """The proposal in a block, or why there is none."""
        ...


class Agree(Protocol):
    """Who is asked before many calls are paid for. Raises what stops them."""

    def before(self, n_calls: int) -> None:
        """About so many calls are to be paid for, and none has been yet."""
        ...

    def after(self, costs: Sequence[float | None], n_calls: int, cost_usd: Estimate | None = None) -> None:
        """The first round cost this much, call by call; about so many are to be paid for in all.

        `cost_usd`: what all of them cost; None: as many times the mean.
        """
        ...


@dataclass(frozen=True, slots=True)
class CallYield:
    """What one call gave: proposals asked for, proposals kept. `failed` says why a call gave no reply at all."""

    asked: int
    kept: int
    failed: str | None = None
    near: int = 0  # proposals that resembled a row kept before


@dataclass
class Generation:
    """How a generation went. `stopped`: "enough", "budget", "unreadable", "nothing new", "collapse" or "nothing left".

    `why` says it in a sentence; None where it is "enough".
    """

    curve: list[CallYield] = field(default_factory=list)  # proposals asked for and kept, call by call
    stopped: str = "enough"
    why: str | None = None
    from_store: int = 0  # number of replies that had been paid for before
    whole_usd: float | None = 0.0  # of all replies, whenever they were paid for; None: a price was unknown
    shown: str | None = None  # the beginning of a reply in which nothing could be read, where that ended it
    without: tuple[str, ...] = ()  # what the endpoint does not take, and was asked without

    @property
    def rate(self) -> float | None:
        """Kept share of the proposals of the last calls; None before there were any."""
        last = self.curve[-WINDOW:]
        n_asked = sum(call.asked for call in last)
        return sum(call.kept for call in last) / n_asked if n_asked else None


async def generate(
    model: MeteredModel,
    planner: Planner,
    screen: Screen,
    n: int,
    *,
    at_once: int = 32,
    on_progress: Callable[[Progress], None] | None = None,
    agree: Agree | None = None,
) -> Generation:
    """Ask until `n` proposals are kept in the screen, the budget ends, or acceptance collapses.

    Raises TeacherError where a whole round fails or the endpoint refuses, BudgetError where not even the first call may
    be paid for.
    """
    generation = Generation()
    spent: float | None = 0.0

    def tick() -> None:
        if on_progress is not None:
            n_calls = len(generation.curve)
            note = f"{n_calls:,} call{'' if n_calls == 1 else 's'}" if n_calls else ""
            on_progress(Progress(min(n, len(screen.kept)), n, "asking for new rows", spent, "rows kept", note))

    tick()
    while len(screen.kept) < n and generation.stopped == "enough":
        n_calls = _next_round(generation, n - len(screen.kept), planner)
        calls = planner.calls(len(generation.curve), n_calls, screen.kept)
        if not calls:
            generation.stopped, generation.why = "nothing left", "there is nothing left to ask for"
            break
        to_pay = sum(not model.has(call.request) for call in calls) if agree is not None else 0
        if agree is not None and to_pay:
            agree.before(_still_needed(generation, n - len(screen.kept), calls))
        calls = [_as_taken(call, model, generation) for call in calls]
        replies = await complete_all(model, [call.request for call in calls], at_once)
        calls, replies = await _without_schema(calls, replies, model, at_once, generation)
        for call, reply in zip(calls, replies, strict=True):
            if isinstance(reply, BudgetError):
                generation.stopped, generation.why = "budget", str(reply)
            elif isinstance(reply, StillhouseError):
                raise reply
            else:
                generation.from_store += reply.from_store
                spent = added_usd(spent, new_cost_usd(reply))
                generation.whole_usd = added_usd(generation.whole_usd, reply.cost_usd if reply.was_paid else 0.0)
                generation.curve.append(_take(call, reply, planner, screen, n))
                tick()
        _check(generation, replies, len(calls), screen)
        if agree is not None and to_pay and len(screen.kept) < n and generation.stopped == "enough":
            costs = [_paid_now(reply) for reply in replies]
            paid = [reply.cost_usd for reply in replies if _was_paid_now(reply)]
            missing = n - len(screen.kept)
            earlier: list[float | None] = [None] * (len(generation.curve) - len(costs))
            told = forecast(
                [
                    CallSeen(call.asked, call.kept, call.near, cost)
                    for call, cost in zip(generation.curve, [*earlier, *costs], strict=True)
                ],
                missing,
                COLLAPSED,
            )
            n_more = max(1, round(told.calls.value) - len(generation.curve))
            agree.after(paid, len(paid) + n_more, None if None in paid else told.cost_usd)
            agree = None
    return generation


def _was_paid_now(reply: Completion | StillhouseError) -> TypeGuard[Completion]:
    return isinstance(reply, Completion) and not reply.from_store and reply.was_paid


def _paid_now(reply: Completion | StillhouseError) -> float | None:
    return reply.cost_usd if _was_paid_now(reply) else None


def _plain(call: ProposalCall) -> ProposalCall:
    return replace(call, request=replace(call.request, schema=None))


def _as_taken(call: ProposalCall, model: MeteredModel, generation: Generation) -> ProposalCall:
    """The call without a schema where the endpoint has refused it, now or in the run whose replies are stored."""
    if call.request.schema is None:
        return call
    plain = _plain(call)
    if not generation.without and model.has(plain.request) and not model.has(call.request):
        generation.without = ("schema",)
    return plain if generation.without else call


async def _without_schema(
    calls: list[ProposalCall],
    replies: list[Completion | StillhouseError],
    model: MeteredModel,
    at_once: int,
    generation: Generation,
) -> tuple[list[ProposalCall], list[Completion | StillhouseError]]:
    """The calls and replies of a round; what the endpoint refused with a schema is asked again without one."""
    refused = [
        at
        for at, (call, reply) in enumerate(zip(calls, replies, strict=True))
        if call.request.schema is not None and isinstance(reply, Completion) and reply.status in _REFUSED
    ]
    plain = [_plain(calls[at]) for at in refused]
    again = await complete_all(model, [call.request for call in plain], at_once)
    for at, call, reply in zip(refused, plain, again, strict=True):
        if not (isinstance(reply, Completion) and reply.status in _REFUSED):
            calls[at], replies[at], generation.without = call, reply, ("schema",)
    return calls, replies


def _still_needed(generation: Generation, missing: int, calls: Sequence[ProposalCall]) -> int:
    """Calls that the missing rows will take at the rate so far. Before there is one, every proposal counts as kept."""
    per_call = (generation.rate if generation.rate is not None else 1.0) * calls[0].n
    return max(1, round(missing / max(per_call, COLLAPSED * calls[0].n)))


def _next_round(generation: Generation, missing: int, planner: Planner) -> int:
    """How many calls will do at the rate so far, at most a round. Without a rate, every proposal counts as kept."""
    n_asked = max((call.asked for call in generation.curve), default=0)
    if not n_asked:
        n_asked = sum(call.n for call in planner.calls(0, 1, ()))
    per_call = n_asked * (generation.rate if generation.rate is not None else 1.0)
    return ROUND if per_call * ROUND <= missing else max(1, round(missing / per_call))


def _take(call: ProposalCall, reply: Completion, planner: Planner, screen: Screen, n: int) -> CallYield:
    """Read one reply into the screen. What comes after the n-th kept proposal is noted as not needed."""
    cut_off = is_cut_off(reply.finish_reason)
    if reply.text is None or (reply.error is not None and not cut_off):
        reason = reply.error or "empty reply"
        screen.unreadable(call.request.hash[:12], "", f"call failed: {reason}", call.n)
        return CallYield(call.n, 0, reason)
    before, dropped = len(screen.kept), len(screen.dropped)
    proposals = planner.blocks(call, reply.text, cut_off=cut_off)
    if not proposals:
        screen.unreadable(call.request.hash[:12], reply.text[:500], NOTHING_READ, call.n)
    elif len(proposals) < call.n:
        screen.unreadable(call.request.hash[:12], "", "not in the reply", call.n - len(proposals))
    for block in proposals:
        id_ = f"{_ID}{call.request.hash[:12]}-{block.number}"
        candidate = block.problem or planner.read(call, block, id_)
        if isinstance(candidate, str):
            screen.unreadable(id_, block.text, candidate)
        elif len(screen.kept) >= n:
            screen.unreadable(id_, block.text, "not needed")
        else:
            screen.judge(candidate)
    near = sum(str(drop.resembled).startswith(_ID) for drop in screen.dropped[dropped:])
    return CallYield(call.n, len(screen.kept) - before, near=near)


def _stop_at_once(generation: Generation, screen: Screen) -> None:
    """End a generation whose first round gave no row: to go on would be to pay for more of the same."""
    n_asked = sum(call.asked for call in generation.curve)
    most = ", ".join(f"{count} {reason}" for reason, count in list(screen.reasons.items())[:3])
    judged = max(passing.judged for passing in screen.passing)
    first = next((drop for drop in screen.dropped if drop.text), None)
    generation.shown = None if first is None else first.text[:_SHOWN]
    if 2 * judged > n_asked:
        generation.stopped = "nothing new"
        remedy = "bring more or more varied seeds, or another teacher"
        generation.why = f"none of the first {n_asked} proposals was new and usable ({most}); {remedy}"
    else:
        generation.stopped = "unreadable"
        remedy = "ask with --structured where the endpoint keeps to a schema, or another teacher"
        generation.why = f"none of the first {n_asked} proposals could be read ({most}); {remedy}"


def _check(
    generation: Generation, replies: Sequence[Completion | StillhouseError], n_calls: int, screen: Screen
) -> None:
    """Stop where going on does not pay. Raises where nothing at all can come."""
    if generation.stopped == "budget":
        if not generation.curve:
            raise next(reply for reply in replies if isinstance(reply, BudgetError))
        return
    failures = [call.failed for call in generation.curve[-n_calls:] if call.failed]
    if len(failures) == n_calls and len(generation.curve) == n_calls:
        raise TeacherError(
            f"every call of the first round failed ({failures[0]}); if the prompt is too long for this model, "
            "bring shorter seeds, or ask with fewer of them (--shots) and for fewer rows a call (--per-call)"
        )
    if len(generation.curve) == n_calls and not screen.kept:
        _stop_at_once(generation, screen)
    elif len(generation.curve) >= WINDOW and (generation.rate or 0.0) < COLLAPSED:
        last = generation.curve[-WINDOW:]
        n_kept, n_asked = sum(call.kept for call in last), sum(call.asked for call in last)
        generation.stopped = "collapse"
        generation.why = (
            f"only {n_kept} of the last {n_asked} proposals were new and usable; "
            "bring more or more varied seeds, or another teacher"
        )
