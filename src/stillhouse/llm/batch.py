"""Provider batch APIs: the same calls at half the price, answered within a day.

A batch outlives the process that sent it. What is sent is written down before it is sent, in files beside the output. A
process that crashed goes on with its batches when it is started again. If it crashed in the very moment of sending, it
then looks for the batch at the provider. A request that expired or was cancelled is sent again without the others. One
that failed is a rejection with its reason.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol

from stillhouse.errors import BudgetError, DatasetError, StillhouseError, StorageError, TeacherError, UserError
from stillhouse.jsonl import numbered_lines
from stillhouse.llm.dialect import ModelDialect
from stillhouse.llm.ledger import Ledger
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.request import Completion, Request
from stillhouse.notices import notice
from stillhouse.runs import write_atomic, write_json
from stillhouse.stopping import PaidCall, stopping

# A batch's price as a share of the list price, for OpenAI and Anthropic alike (price pages of November 2026).
SHARE = 0.5
MOST_REQUESTS, MOST_BYTES = 20_000, 64 * 2**20  # most requests and bytes in one batch; both providers take more
_TRIES = 3  # batches in which a request is sent before it is given up as unanswered
_FIRST_POLL_S, _LONGEST_POLL_S = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class BatchItem:
    """What a batch says of one request."""

    hash: str
    completion: Completion
    again: bool = False  # True where the request was not tried, so sending it again costs nothing
    refuses: str | None = None  # the parameter that the model refuses


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """How far a batch is."""

    ended: bool
    n_done: int = 0
    failed: str | None = None  # why the provider refused the whole batch


class BatchApi(Protocol):
    """One provider's batch protocol. All methods raise TeacherError for what cannot pass."""

    def line(self, request: Request) -> bytes:
        """One request as the protocol has it, as JSON."""
        ...

    async def send(self, lines: Iterable[bytes], mark: str) -> str:
        """Send a batch and give its id. `mark` tells it from others, where the protocol has room for a mark.

        Raises ConnectionError where it is not known whether the provider took the batch.
        """
        ...

    async def find(self, mark: str, n: int, since: float) -> str | None:
        """The id of the batch of `n` requests that was sent with this mark; None: there is none.

        `since`: seconds since 1970, before which it was not sent.
        """
        ...

    async def status(self, batch: str) -> BatchStatus: ...

    def results(self, batch: str) -> AsyncIterator[BatchItem]:
        """What came of the requests. A request that is missing here was not answered."""
        ...

    async def close(self) -> None: ...


@dataclass
class _SentBatch:
    """A batch as it is written down."""

    mark: str
    model: str
    n: int
    since: float  # when the batch was written down, in seconds since 1970
    id: str | None = None  # the provider's id of the batch; None: it is not known whether the provider has the batch
    refused: list[str] = field(default_factory=list)  # parameters that were known to be refused when the batch was sent


class Batches:
    """The batches of one output.

    While they are under way they are written down at `path`, and the requests of each in a file beside it.
    """

    def __init__(
        self,
        model: MeteredModel,
        ledger: Ledger,
        api: BatchApi,
        path: Path,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
        on_done: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._model, self._ledger, self._api, self._path = model, ledger, api, path
        self._sleep, self._clock, self._on_done = sleep, clock, on_done
        self._sent = _read(path, model.name)
        self._tries: dict[str, int] = {}
        self._reserved: dict[str, float] = {}
        self._elsewhere: list[str] = []  # requests that were not sent because another command has claimed them
        self.n_new = 0  # number of answers that this process fetched

    async def run(self, requests: Callable[[], Iterable[Request]]) -> None:
        """Get an answer into the store for every request, or give it up with a reason.

        Each call of `requests` gives the requests that have neither yet. Raises BudgetError where the cap has no room
        for what is left, TeacherError where the provider takes none of it. What was sent stays written down.
        """
        with stopping.telling(self._told):
            await self._run(requests)

    def _told(self) -> str | None:
        n = sum(sent.n for sent in self._sent)
        return None if n == 0 else f"{n} calls are in batches under way, which the same command fetches"

    async def _run(self, requests: Callable[[], Iterable[Request]]) -> None:
        await self._go_on()
        # Under a cap, first fetch what an earlier process sent. This process has reserved nothing for it, so the cap
        # could be passed if more were sent beside it.
        while self._sent and self._ledger.max_usd is not None:
            await self._collect()
        while True:
            capped = await self._send_all(self._missing(requests()))
            if self._sent:
                await self._collect()
            elif capped is not None:
                raise capped
            elif self._elsewhere:
                await self._model.until_unclaimed(self._elsewhere, self._sleep)
            elif not any(True for _ in self._missing(requests())):
                return

    def check(self, request: Request) -> None:
        """Raise UserError for a request that this protocol has no form for."""
        self._api.line(request)

    def _missing(self, requests: Iterable[Request]) -> Iterator[Request]:
        """The requests that are in no batch. One that was sent too often without an answer is given up here."""
        under_way = {hash_ for sent in self._sent for hash_ in self._requests(sent)}
        for request in requests:
            if request.hash in under_way or request.hash in self._model.given_up:
                continue
            if self._tries.get(request.hash, 0) >= _TRIES:
                self._model.given_up[request.hash] = Completion(None, error=f"unanswered in {_TRIES} batches")
                continue
            yield request

    async def _go_on(self) -> None:
        """Take up what an earlier process sent, with its claims."""
        for sent in list(self._sent):
            await self._model.claim_batch(list(self._requests(sent)), self._path)
            if sent.id is None:
                sent.id = await self._api.find(sent.mark, sent.n, self._since(sent))
            if sent.id is None:
                self._forget(sent)  # the process that wrote this batch down died before the provider had it
        self._write()

    async def _send_all(self, missing: Iterable[Request]) -> BudgetError | None:
        """Send what the cap has room for. Gives the error that says for what it has none; None: all was sent.

        What another command has claimed is not sent.
        """
        self._elsewhere = []
        for part, capped in self._parts(missing):
            ours = await self._model.claim_batch(list(part), self._path)
            for hash_ in part.keys() - ours:
                self._ledger.release(self._reserved.pop(hash_, 0.0))
                self._elsewhere.append(hash_)
            if ours:
                await self._send({hash_: of_call for hash_, of_call in part.items() if hash_ in ours})
            if capped is not None:
                return capped
        return None

    def _parts(
        self, requests: Iterable[Request]
    ) -> Iterator[tuple[dict[str, tuple[Request, bytes]], BudgetError | None]]:
        """The requests, by their hash, in parts that one batch takes; the worst case of each is reserved.

        With the last part comes the error that ended them, if the cap did.
        """
        part: dict[str, tuple[Request, bytes]] = {}
        n_bytes = 0
        for request in requests:
            if request.hash in part:
                continue
            try:
                self._reserved[request.hash] = self._ledger.reserve_now(request, self._model.price_for(request), SHARE)
            except BudgetError as error:
                yield part, error
                return
            line = self._api.line(request)
            part[request.hash] = (request, line)
            n_bytes += len(line)
            if len(part) == MOST_REQUESTS or n_bytes > MOST_BYTES:
                yield part, None
                part, n_bytes = {}, 0
        yield part, None

    async def _send(self, part: Mapping[str, tuple[Request, bytes]]) -> None:
        sent = _SentBatch(
            secrets.token_hex(8),
            self._model.name,
            len(part),
            self._clock(),
            refused=sorted(self._model.dialect.refused),
        )
        with PaidCall(sends_batch=True) as call:
            await call.begins()
            write_atomic(
                self._beside(sent),
                "".join(json.dumps(request.to_dict(), ensure_ascii=False) + "\n" for request, _ in part.values()),
            )
            self._sent.append(sent)
            self._write()
            try:
                sent.id = await self._taken(sent, [line for _, line in part.values()])
            except StillhouseError:
                self._forget(sent)
                raise
            self._write()

    async def _taken(self, sent: _SentBatch, lines: Sequence[bytes]) -> str:
        for _ in range(_TRIES):
            try:
                return await self._api.send(lines, sent.mark)
            except ConnectionError:
                if (id_ := await self._api.find(sent.mark, sent.n, self._since(sent))) is not None:
                    return id_
        raise TeacherError(
            f"{self._model.name}: the endpoint did not take a batch in {_TRIES} tries; "
            "run this again when it is back: nothing is sent twice"
        )

    def _since(self, sent: _SentBatch) -> float:
        """Before which it was not sent. Where the clock was set back since, nothing is known of that."""
        return sent.since if sent.since <= self._clock() else 0.0

    async def _collect(self) -> None:
        """Wait until one of the batches has ended, and store what it brought."""
        wait_s, said = _FIRST_POLL_S, False
        while True:
            n_done = 0
            for sent in self._sent:
                assert sent.id is not None
                status = await self._api.status(sent.id)
                if status.failed is not None:
                    self._forget(sent)
                    raise TeacherError(
                        f"{self._model.name}: the batch {sent.id} was refused ({status.failed}); "
                        "mend that and run this again"
                    )
                if status.ended:
                    await self._store(sent, sent.id)
                    self._forget(sent)
                    return
                n_done += status.n_done
            self._on_done(self.n_new + n_done)
            if not said:
                n = sum(sent.n for sent in self._sent)
                notice(f"waiting for {'1 call' if n == 1 else f'{n:,} calls'} in batches; stopped, this goes on later")
                said = True
            await self._sleep(wait_s)
            wait_s = min(_LONGEST_POLL_S, wait_s * 1.5)

    async def _store(self, sent: _SentBatch, batch: str) -> None:
        """Store each answer under its own request.

        An answer to a request that was not in the batch is dropped. A request without an answer may be sent again.
        """
        unanswered, as_sent = self._requests(sent), ModelDialect(sent.model, sent.refused)
        failures: list[StillhouseError] = []
        async with asyncio.TaskGroup() as writing:
            async for item in self._until_failure(batch, failures):
                completion = item.completion
                if item.hash in unanswered and item.refuses is not None and item.refuses not in sent.refused:
                    # The request stays unanswered, and is sent again without the refused parameter, or under its other
                    # name.
                    self._model.dialect.refuse(item.refuses)
                    continue
                if item.again or (request := unanswered.pop(item.hash, None)) is None:
                    continue
                if not completion.was_paid:
                    self._model.given_up[item.hash] = completion
                    continue
                self.n_new += 1
                completion = replace(completion, lacking=as_sent.lacking(request.parameters))
                writing.create_task(self._pay(request, completion, failures))
        if failures:  # raised when everything that came before it is stored
            raise failures[0]
        for hash_ in unanswered:
            self._tries[hash_] = self._tries.get(hash_, 0) + 1
        self._on_done(self.n_new)

    async def _until_failure(self, batch: str, failures: list[StillhouseError]) -> AsyncIterator[BatchItem]:
        try:
            async for item in self._api.results(batch):
                yield item
        except StillhouseError as error:
            failures.append(error)

    async def _pay(self, request: Request, completion: Completion, failures: list[StillhouseError]) -> None:
        try:
            cost_usd = await self._model.store_batched(request, completion, SHARE)
        except StillhouseError as error:
            failures.append(error)
            return
        await self._ledger.settle(self._reserved.pop(request.hash, 0.0), cost_usd, paid=True)

    async def close(self) -> None:
        await self._api.close()

    def _beside(self, sent: _SentBatch) -> Path:
        return self._path.with_name(f"{self._path.name}.{sent.mark}")

    def _requests(self, sent: _SentBatch) -> dict[str, Request]:
        try:
            rows = [json.loads(line) for _, line in numbered_lines(self._beside(sent))]
            requests = [Request(**{**row, "messages": tuple(row["messages"])}) for row in rows]
        except (DatasetError, OSError, ValueError, TypeError, KeyError) as error:
            raise StorageError(
                f"{self._beside(sent)}: the requests of batch {sent.id} cannot be read ({error}); "
                "mend the file and run this again"
            ) from None
        return {request.hash: request for request in requests}

    def _forget(self, sent: _SentBatch) -> None:
        for hash_ in self._requests(sent):
            self._ledger.release(self._reserved.pop(hash_, 0.0))
            self._model.release(hash_)
        self._sent.remove(sent)
        self._write()
        self._beside(sent).unlink(missing_ok=True)

    def _write(self) -> None:
        if self._sent:
            write_json(self._path, [asdict(sent) for sent in self._sent])
        else:
            self._path.unlink(missing_ok=True)


def _read(path: Path, model: str) -> list[_SentBatch]:
    batches = under_way(path)
    if other := next((sent.model for sent in batches if sent.model != model), None):
        raise UserError(
            f"{path}: batches of {other} are under way for this output; "
            f"fetch them with --teacher {other} --batch, or give another --out"
        )
    return batches


def under_way(path: Path) -> list[_SentBatch]:
    """The batches that were sent and not fetched."""
    if not path.exists():
        return []
    try:
        return [_SentBatch(**sent) for sent in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise StorageError(
            f"{path}: the list of batches under way cannot be read ({error}); "
            "mend it, or remove it to send all of them again"
        ) from None
