"""One row asked of a model: a broken JSON reply is sent back once, and several samples vote.

Nothing changes quietly. An endpoint may refuse a schema or log-probabilities: they are then left out from then on, and
the reply's `lacking` names them. It also names a sampler's setting that the client left out (`dialect`). A repair is a
call of its own: it is paid for and counted.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from stillhouse.llm.parsing import ParsedReply, parse_reply, wants_object
from stillhouse.llm.request import Completion, Model, Request
from stillhouse.llm.self_consistency import vote
from stillhouse.llm.soft_targets import label_scores
from stillhouse.records import Example, Prediction, Usage
from stillhouse.task import Task

_SENT_BACK = ", also when sent back"
# Sets of features to leave out in turn, the smallest loss first.
_FEATURES = ({"logprobs"}, {"schema"}, {"logprobs", "schema"})
_REFUSED = (400, 422)  # the statuses by which an endpoint says that it does not take a request as it is


class RowAsker:
    """Asks a model a task's rows, and remembers what its endpoint lacks."""

    def __init__(self, model: Model, task: Task, *, rationales: bool) -> None:
        self._model, self._task, self._rationales = model, task, rationales
        self._lacks: set[str] = set()

    async def row(self, example: Example, requests: Sequence[Request]) -> tuple[Prediction, ParsedReply, Completion]:
        """The answer to one example, from one request per sample.

        Raises TeacherError, BudgetError, but only after all calls under way have ended: they are paid for.
        """
        if len(requests) == 1:
            return _answered(*await self._sample(example, requests[0]))
        outcomes = await asyncio.gather(
            *(self._sample(example, request) for request in requests), return_exceptions=True
        )
        samples: list[tuple[ParsedReply, Completion]] = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            samples.append(outcome)
        return _answered(*_voted(samples, exact=self._task.output != "text"))

    def as_taken(self, request: Request) -> Request:
        """The request without what the endpoint is known to refuse."""
        return _without(request, self._lacks)

    async def _sample(self, example: Example, request: Request) -> tuple[ParsedReply, Completion]:
        request, completion = await self._complete(request, example)
        reply = self._read(example, completion)
        if reply.output is None and completion.error is None and completion.text is not None and self._wants_json:
            reply, completion = await self._repaired(example, request, reply, completion)
        settings = self._task.teacher
        features = [("logprobs", settings.soft_targets), ("schema", settings.structured)]
        left_out = [name for name, wanted in features if wanted and name in self._lacks]
        lacking = (*left_out, *completion.lacking)
        return replace(reply, lacking=lacking) if lacking else reply, completion

    async def _repaired(
        self, example: Example, request: Request, reply: ParsedReply, completion: Completion
    ) -> tuple[ParsedReply, Completion]:
        """The reply sent back once, with what is wrong with it."""
        complaint = f"That cannot be used: {reply.error}. Answer again, with the JSON alone."
        exchange = ({"role": "assistant", "content": completion.text}, {"role": "user", "content": complaint})
        second = await self._model.complete(replace(request, messages=(*request.messages, *exchange)), example)
        mended = self._read(example, second)
        mended = replace(mended, how=None if mended.output is None else "repaired", sent_back=1)
        if mended.error is not None:
            counted_as = None if mended.counted_as is None else mended.counted_as + _SENT_BACK
            mended = replace(mended, error=mended.error + _SENT_BACK, counted_as=counted_as)
        return mended, _together([completion, second], text=second)

    @property
    def _wants_json(self) -> bool:
        return self._task.output == "json" or wants_object(self._task, self._rationales)

    async def _complete(self, request: Request, example: Example) -> tuple[Request, Completion]:
        """The request as the endpoint takes it, and its completion.

        If only the plainer form of a request is in the store, the endpoint refused the full form on an earlier run.
        """
        if request.schema is None and "logprobs" not in request.parameters:
            # The request holds nothing that an endpoint may lack.
            return request, await self._model.complete(request, example)
        request = _without(request, self._lacks)
        plainer = [(fewer, plain) for fewer in _FEATURES if (plain := _without(request, fewer)) != request]
        known = self._model.known([request.hash, *(plain.hash for _, plain in plainer)]) if plainer else set()
        for fewer, plain in plainer:
            if plain.hash in known and request.hash not in known:
                self._lacks |= fewer
                return plain, await self._model.complete(plain, example)
        completion = await self._model.complete(request, example)
        if completion.status not in _REFUSED:
            return request, completion
        for fewer, plain in plainer:
            second = await self._model.complete(plain, example)
            # Other statuses mean that the row itself is refused, with the feature or without.
            if second.status not in _REFUSED:
                self._lacks |= fewer
                return plain, second
        return request, completion

    def _read(self, example: Example, completion: Completion) -> ParsedReply:
        if completion.error is not None or completion.text is None:
            return ParsedReply(None, error=completion.error or "empty reply")
        reply = parse_reply(self._task, example, completion.text, rationales=self._rationales)
        if not self._task.teacher.soft_targets or reply.output is None or reply.at is None:
            return reply
        labels = example.choices or self._task.labels
        if labels is None or completion.token_logprobs is None or completion.top_logprobs is None:
            return reply
        scores = label_scores(completion.token_logprobs, completion.top_logprobs, reply.at, labels)
        return replace(reply, scores=scores if scores and reply.output in scores else None)


def _answered(reply: ParsedReply, completion: Completion) -> tuple[Prediction, ParsedReply, Completion]:
    confidence = (reply.scores or {}).get(reply.output or "") if reply.agreement is None else reply.agreement
    prediction = Prediction(
        reply.output,
        confidence=confidence,
        usage=completion.usage,
        cost_usd=completion.cost_usd,
        latency_s=completion.latency_s,
        scores=reply.scores,
        source="teacher",
        rationale=reply.rationale,
        error=reply.error,
        is_stored=completion.from_store,
        is_unstored=completion.is_unstored,
    )
    return prediction, reply, completion


def _without(request: Request, features: set[str]) -> Request:
    if "logprobs" in features:
        kept = {name: value for name, value in request.parameters.items() if name not in ("logprobs", "top_logprobs")}
        request = replace(request, parameters=kept)
    return replace(request, schema=None) if "schema" in features else request


def variants(request: Request) -> list[Request]:
    """The request, and its plainer forms without what an endpoint may lack."""
    return [request, *(plain for fewer in _FEATURES if (plain := _without(request, fewer)) != request)]


def _voted(samples: Sequence[tuple[ParsedReply, Completion]], *, exact: bool) -> tuple[ParsedReply, Completion]:
    replies = [reply for reply, _ in samples]
    elected = vote(replies, exact=exact)
    whole = replace(elected, sent_back=sum(reply.sent_back for reply in replies), lacking=replies[-1].lacking, at=None)
    return whole, _together([completion for _, completion in samples], text=samples[0][1])


def _together(completions: Sequence[Completion], *, text: Completion) -> Completion:
    """Several calls as one, with the text of one of them.

    Each call was priced by itself, and their costs are added; one unknown cost makes the sum unknown. The latency is
    the sum of the calls'.
    """
    usages = [completion.usage for completion in completions]
    latencies = [completion.latency_s for completion in completions]
    costs = [completion.cost_usd for completion in completions]
    snapshots = dict.fromkeys(completion.price_snapshot for completion in completions if completion.price_snapshot)
    return replace(
        text,
        usage=_usage([usage for usage in usages if usage is not None]) if None not in usages else None,
        cost_usd=None if None in costs else sum(cost for cost in costs if cost is not None),
        price_snapshot=" + ".join(snapshots) or None,
        latency_s=None if None in latencies else sum(latency for latency in latencies if latency is not None),
        is_unstored=any(completion.is_unstored for completion in completions),
        from_store=all(completion.from_store for completion in completions),
        thinking="\n\n".join(completion.thinking for completion in completions if completion.thinking) or None,
        created=max((completion.created for completion in completions if completion.created), default=None),
    )


def _usage(usages: Sequence[Usage]) -> Usage:
    def total(name: str) -> int | None:
        counts = [getattr(usage, name) for usage in usages]
        return None if None in counts else sum(counts)

    doubts = dict.fromkeys(usage.doubt for usage in usages if usage.doubt is not None)
    return Usage(
        total("input_tokens"),
        total("output_tokens"),
        total("cached_input_tokens"),
        total("reasoning_tokens"),
        estimated=any(usage.estimated for usage in usages),
        written_input_tokens=total("written_input_tokens"),
        doubt="; ".join(doubts) or None,
        unplaced_tokens=sum(usage.unplaced_tokens for usage in usages),
    )
