"""Calls that another command, or another part of this one, has claimed in the store: whoever needs one waits for it.

Nobody is waited for while he waits himself: a call is claimed just before it goes to the endpoint's limits, and given
up when it ends. So no two commands wait for one another, in whatever order they ask.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from stillhouse.errors import StillhouseError, UserError
from stillhouse.llm.request import waits
from stillhouse.notices import notice
from stillhouse.store import Store
from stillhouse.store.claims import SILENCE_S, ClaimRow, is_here, process_of

_FIRST_S, _LONGEST_S = 0.02, 0.5  # between two looks at the store; the time grows while nothing comes
_WAITED_FOR = 500  # calls that a batch waits for together


class ClaimedCalls:
    """Waits for claims to end. One look at the store serves all who wait."""

    def __init__(self, store: Store, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self._store, self._sleep = store, sleep
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._said = False
        self._taken_over_from: set[str] = set()

    async def ended(self, request_hash: str) -> None:
        """Return when the call is answered or free. A caller waits for a call alone: equal requests share one.

        Raises UserError where the call is in a batch that nobody waits for.
        """
        done = self._waiting[request_hash] = asyncio.get_running_loop().create_future()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            with waits():
                await done
        finally:
            self._waiting.pop(request_hash, None)

    async def _look(self) -> None:
        wait_s = _FIRST_S
        try:
            while self._waiting:
                await self._sleep(wait_s)
                n_waiting = len(self._waiting)
                self._tell(list(self._waiting))
                wait_s = _FIRST_S if len(self._waiting) < n_waiting else min(1.5 * wait_s, _LONGEST_S)
        finally:
            self._looking = None

    def _tell(self, hashes: list[str]) -> None:
        try:
            rows = self._store.claims_on(hashes)
        except StillhouseError as error:
            for hash_ in hashes:
                self._end(hash_, error)
            return
        claims = {row.request_hash: row for row in rows if row.held()}
        self._said = self._said or _say(list(claims.values()))
        _say_taken_over(rows, self._taken_over_from)
        for hash_ in hashes:
            claim = claims.get(hash_)
            if claim is None:
                self._end(hash_)
            elif claim.held() == "batch":
                self._end(hash_, _in_a_batch(claim))

    def _end(self, hash_: str, error: StillhouseError | None = None) -> None:
        done = self._waiting.pop(hash_, None)
        if done is None or done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)


async def until_unclaimed(store: Store, hashes: Sequence[str], sleep: Callable[[float], Awaitable[object]]) -> None:
    """Wait for calls that others have claimed; of many, for the first part.

    Raises UserError where one is in a batch that nobody waits for.
    """
    wait_s, said, taken_over_from = _FIRST_S, False, set[str]()
    while True:
        rows = store.claims_on(hashes[:_WAITED_FOR])
        _say_taken_over(rows, taken_over_from)
        if not (claims := [row for row in rows if row.held()]):
            return
        said = said or _say(claims, len(hashes))
        if (claim := next((claim for claim in claims if claim.held() == "batch"), None)) is not None:
            raise _in_a_batch(claim)
        await sleep(wait_s)
        wait_s = min(1.5 * wait_s, _LONGEST_S)


def _say(claims: Sequence[ClaimRow], n: int | None = None) -> bool:
    """Say what is waited for, if another process makes it. `n`: of so many calls these are the first."""
    others = [claim.owner for claim in claims if claim.held() == "process" and not is_here(claim.owner)]
    if not others:
        return False
    processes = sorted({process_of(owner) for owner in others})
    n = n or len(others)
    calls, commands = "1 call" if n == 1 else f"{n:,} calls", "another command (process"
    if len(processes) > 1:
        commands = "other commands (processes"
    is_are = "is" if len(processes) == 1 else "are"
    notice(f"waiting for {calls} that {commands} {', '.join(processes)}) {is_are} making")
    return True


def _say_taken_over(claims: Sequence[ClaimRow], known: set[str]) -> None:
    """Say it once of each owner whose calls are made here, as it was not heard of for too long."""
    silent = {claim.owner for claim in claims if claim.fell_silent and claim.held() is None}
    for owner in sorted(owner for owner in silent - known if not is_here(owner)):
        known.add(owner)
        notice(
            f"another command (process {process_of(owner)}) was not heard of for {SILENCE_S:.0f} s, so its calls are "
            "made here; if it is only paused, end it (kill -9), for it may pay for them too"
        )


def _in_a_batch(claim: ClaimRow) -> UserError:
    host, _, path = (claim.batch or "").partition(":")
    return UserError(
        f"a call is in a batch that a command on {host} sent and that nobody waits for now; fetch it with --batch and "
        f"the --out it was sent for, or remove {path} to pay for it again"
    )
