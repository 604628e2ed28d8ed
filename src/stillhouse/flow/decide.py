"""Branches and loops that a model decides.

`decide` picks one of the options, with its probability; `until` ends a loop. An endpoint that has the decisions API is
asked through it. Another is asked by a chat completion: the log-probabilities of its tokens give the probability of the
reply. A student or a cascade gives a probability of its own. Where nothing gives one it is None, which meets no
threshold.
"""

import hashlib
import json
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self

from stillhouse.errors import UserError
from stillhouse.flow.call import StepError, active_run, current_call, encode, perform, unreadable
from stillhouse.flow.model_step import note, usable
from stillhouse.flow.models import Chat, ModelName, Models, name_of, used_by
from stillhouse.flow.spans import prediction_spanned
from stillhouse.llm.decisions import NO_DECISIONS_STATUSES
from stillhouse.llm.parsing import parse_reply
from stillhouse.llm.prompted import build_messages
from stillhouse.llm.request import Request
from stillhouse.records import Example
from stillhouse.task import Task

# Statuses for "no decisions here"; 400: the endpoint has the decisions API, but not for this model.
_LACKING = (400, *NO_DECISIONS_STATUSES)


class Choice(str):
    """The option that was taken: a string with its `probability` (None: unknown).

    `otherwise`: the threshold was not met, and this is the option for that case.
    """

    probability: float | None
    otherwise: bool

    def __new__(cls, option: str, probability: float | None = None, otherwise: bool = False) -> Self:
        choice = super().__new__(cls, option)
        choice.probability, choice.otherwise = probability, otherwise
        return choice


async def decide(
    question: str,
    options: Sequence[str],
    about: Any = None,
    *,
    model: ModelName | None = None,
    threshold: float | None = None,
    otherwise: str | None = None,
    name: str = "decide",
) -> Choice:
    """Let a model pick one of `options` for `about` (text, or any JSON value); journaled like a step, under `name`.

    With a `threshold`, an option whose probability is below it, or unknown, gives way to `otherwise`, which need not be
    among the options.
    Raises StepError where the reply names no option, UserError for options that are no choice.
    """
    options = tuple(options)
    if len(set(options)) < 2 or len(set(options)) != len(options):
        raise UserError(
            f"decide({question!r}): the options {list(options)} are no choice; give two or more different texts"
        )
    if (threshold is None) != (otherwise is None):
        raise UserError(
            f"decide({question!r}): a threshold needs an `otherwise` for what falls below it, "
            "and `otherwise` a threshold; give both or neither"
        )
    task = Task(name, question, "choice", options)
    subject = question
    if about is not None:
        subject = json.loads(encode(about, f"what decide({question!r}) is about", canonical=True))
    row_input = subject if isinstance(subject, str | dict) else json.dumps(subject, ensure_ascii=False)
    active = active_run.get()

    async def ask(models: Models) -> dict[str, Any]:
        call = current_call.get()
        opened = await models.open(models.of(name, model))
        example = Example("call" if call is None else call.id, row_input)
        option, probability = await _asked(opened, task, example, 0 if call is None else call.sample_index)
        note("options", list(options))
        note("choice", option)
        if probability is not None:
            note("confidence", probability)
        return {"option": option, "probability": probability}

    if active is None:
        async with Models() as models:
            taken = await ask(models)
    else:
        run = active
        arguments = {"question": question, "options": options, "about": about}
        canonical = encode(arguments, f"the arguments of {name}", canonical=True)
        version = hashlib.sha256(name_of(run.models.of(name, model)).encode()).hexdigest()[:16]
        taken = json.loads(await perform(run, name, "decide", version, canonical, lambda: ask(run.models)))
    probability = taken["probability"]
    if threshold is not None and otherwise is not None and (probability is None or probability < threshold):
        return Choice(otherwise, probability, otherwise=True)
    return Choice(taken["option"], probability)


async def _asked(opened: Any, task: Task, example: Example, sample_index: int) -> tuple[str, float | None]:
    if isinstance(opened, Chat):
        request = _decision(opened, task, example, sample_index)
        if not opened.without("decisions", request):
            completion = await opened.complete(request, example)
            if completion.status not in _LACKING:
                option = usable(completion, task.name)
                return _an_option(option, task), (completion.scores or {}).get(option)
            opened.lacks.add("decisions")
        return await _by_reply(opened, task, example, sample_index)
    prediction = (await prediction_spanned(opened.name, opened.predict([example])))[0]
    used_by(prediction, opened.name)
    if prediction.output is None:
        raise StepError(f"{task.name}: {opened.name} gives no answer ({prediction.error})")
    scored = (prediction.scores or {}).get(prediction.output, prediction.confidence)
    return _an_option(prediction.output, task), scored


def _an_option(option: str, task: Task) -> str:
    if option not in (task.labels or ()):
        raise unreadable(
            f"{task.name}: the answer {option[:100]!r} is none of the options {', '.join(task.labels or ())}"
        )
    return option


def _decision(chat: Chat, task: Task, example: Example, sample_index: int) -> Request:
    decision = {"instructions": task.instruction, "choices": list(task.labels or ())}
    return Request(chat.name, ({"role": "user", "content": example.text},), {"decision": decision}, None, sample_index)


async def _by_reply(chat: Chat, task: Task, example: Example, sample_index: int) -> tuple[str, float | None]:
    messages, plain = build_messages(task, example), {"temperature": 0.0, "max_tokens": 64}
    request = Request(chat.name, messages, {**plain, "logprobs": True}, None, sample_index)
    if chat.without("logprobs", request):
        request = Request(chat.name, messages, plain, None, sample_index)
    completion = await chat.complete(request, example)
    if completion.status == 400 and "logprobs" in request.parameters:
        chat.lacks.add("logprobs")
        return await _by_reply(chat, task, example, sample_index)
    text = usable(completion, task.name)
    reply = parse_reply(task, example, text)
    if reply.output is None:
        raise unreadable(f"{task.name}: the reply of {chat.name} cannot be read ({reply.error}): {text[:200]!r}")
    logprobs = completion.token_logprobs
    # The probability of the whole reply is a lower bound for the probability of the option.
    probability = math.exp(math.fsum(value for _, value in logprobs)) if logprobs else None
    return reply.output, probability


class LoopTurn(int):
    """The number of a loop's turn, from 0; `show` says what the model is to judge after it."""

    shown: Any = None

    def show(self, value: Any) -> None:
        """Put before the model what this turn made: text, or any JSON value."""
        self.shown = value


async def until(
    question: str, *, at_most: int, model: ModelName | None = None, threshold: float | None = None, name: str = "until"
) -> AsyncIterator[LoopTurn]:
    """A loop that ends when a model says so.

        async for turn in until("Is the draft complete?", at_most=5):
            draft = await improve(draft)
            turn.show(draft)

    After each turn the model is asked the question about what was shown. A yes ends the loop; so do `at_most` turns.
    With a `threshold` a less probable yes counts as no. Raises UserError where a turn shows nothing.
    """
    if at_most < 1:
        raise UserError(f"until({question!r}): at_most = {at_most} leaves no turn; give 1 or more")
    otherwise = None if threshold is None else "no"
    for number in range(at_most):
        turn = LoopTurn(number)
        yield turn
        if number + 1 == at_most:
            return
        if turn.shown is None:
            raise UserError(
                f"until({question!r}): turn {number} showed nothing to judge; call turn.show(...) in the loop"
            )
        answer = await decide(
            question, ("yes", "no"), turn.shown, model=model, threshold=threshold, otherwise=otherwise, name=name
        )
        if answer == "yes":
            return
