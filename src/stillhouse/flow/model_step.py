"""Model steps: an async function without a body, answered by a model.

The docstring is the instruction, the parameters are the input, and the return annotation is the output: `Literal[...]`,
an Enum or bool is one of these (see `choice_types`), `str` is text, anything else JSON by its schema. A model step is a
Task, so it can be labelled, advised on, distilled, and answered by a student. JSON that does not fit its type is sent
back once, with what is wrong with it. What still does not fit is refused with its reason, never guessed.
"""

import dis
import functools
import hashlib
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_type_hints

from stillhouse.errors import UserError
from stillhouse.flow.answer_schema import strict_schema
from stillhouse.flow.answer_type import AnswerType
from stillhouse.flow.call import (
    Active,
    Attempts,
    StepError,
    canonical_json,
    current_call,
    encode,
    perform,
    unreadable,
)
from stillhouse.flow.models import Chat, ModelName, Models, name_of, used_by
from stillhouse.flow.spans import prediction_spanned
from stillhouse.llm.parsing import parse_reply
from stillhouse.llm.prompted import build_messages
from stillhouse.llm.request import Completion, Request
from stillhouse.records import Example, Prediction, Predictor
from stillhouse.task import Task

REPAIRS = 1  # how often a reply that is no valid JSON is sent back for repair


def is_model_step(function: Callable[..., Any], name: str, model: ModelName | None) -> bool:
    """Whether a model answers the step: it holds nothing but a docstring, `...` or `pass`, and returns something.

    This is told by the compiled code, so no source is needed. Raises UserError where that and the rest of the
    declaration do not go together.
    """
    empty = _code(function) == _code(_empty)
    if not empty and model is not None:
        raise UserError(
            f"the step {name} has a body, so no model answers it; take model= away, or leave only the docstring"
        )
    if not empty:
        return False
    if "return" not in function.__annotations__ and (function.__doc__ or model is not None):
        raise UserError(
            f"the step {name} has no body, so a model answers it, and no annotation says what the answer is; "
            "write `-> str`, or the type that it is (`-> None`: nobody is asked)"
        )
    if get_return(function) in (None, type(None), "None"):
        if model is not None:
            raise UserError(
                f"the step {name} returns None, so no model answers it; write `-> str`, or take model= away"
            )
        return False
    return True


def _code(function: Callable[..., Any]) -> list[tuple[str, Any]]:
    return [
        (instruction.opname, instruction.argval if instruction.opname == "LOAD_CONST" else None)
        for instruction in dis.get_instructions(function)
    ]


async def _empty() -> None:
    """What the code of a function without a body looks like."""


def get_return(function: Callable[..., Any]) -> Any:
    return function.__annotations__.get("return")


class ModelStep:
    """A model step as it was declared."""

    def __init__(
        self,
        function: Callable[..., Awaitable[Any]],
        name: str,
        model: ModelName | None,
        *,
        max_tokens: int,
        temperature: float,
    ) -> None:
        self.function, self.name, self.model = function, name, model
        self.max_tokens, self.temperature = max_tokens, temperature
        self.instruction = inspect.cleandoc(function.__doc__ or "")
        if not self.instruction:
            raise UserError(
                f"the step {name} has neither a body nor a docstring; write what it does, or what a model is to do"
            )
        hints = functools.partial(get_type_hints, function, include_extras=True)
        self.answer = AnswerType(lambda: hints().get("return", str), f"the step {name}")
        self.answer.check()

    def task(self) -> Task:
        """This step as a task: what `label`, `advise` and `distill` work on."""
        instruction = "\n\n".join(filter(None, (self.instruction, self.answer.asked())))
        return Task(self.name, instruction, self.answer.output, self.answer.labels)

    def example(self, bound: Mapping[str, Any], row_id: str) -> Example:
        """The arguments as an example: one text is the input itself, anything else an object of fields."""
        fields = json.loads(encode(dict(bound), f"the arguments of the step {self.name}"))
        only = next(iter(fields.values())) if len(fields) == 1 else None
        return Example(row_id, only if isinstance(only, str) else fields)

    async def run(self, active: Active, bound: Mapping[str, Any], attempts: Attempts) -> Any:
        arguments = encode(bound, f"the arguments of the step {self.name}", canonical=True)
        model = active.models.of(self.name, self.model)
        version = self._version(model)
        output = await perform(
            active, self.name, "model", version, arguments, lambda: self.ask(active.models, bound), attempts
        )
        return self.answer.adapter.validate_json(output)

    def _version(self, model: ModelName) -> str:
        """A hash of what decides the answer: where one of these changes, the step runs again."""
        declared = [
            self.instruction,
            self.answer.adapter.json_schema(),
            self.max_tokens,
            self.temperature,
            name_of(model),
        ]
        return hashlib.sha256(encode(declared, self.name).encode()).hexdigest()[:16]

    async def ask(self, models: Models, bound: Mapping[str, Any]) -> Any:
        """The model's answer as its type. Raises StepError where the reply cannot be read."""
        call = current_call.get()
        task = self.task()
        opened = await models.open(models.of(self.name, self.model))
        args_hash = "call" if call is None else call.id.rpartition("/")[0].rpartition("/")[2]
        example = self.example(bound, args_hash[:16])
        if isinstance(opened, Chat):
            return await self._ask_chat(opened, task, example, 0 if call is None else call.sample_index)
        return self.answer.typed(await _predicted(opened, example, self.name))

    async def _ask_chat(self, chat: Chat, task: Task, example: Example, sample_index: int) -> Any:
        messages: tuple[Mapping[str, Any], ...] = build_messages(task, example)
        for attempt in range(REPAIRS + 1):
            parameters = {"temperature": self.temperature, "max_tokens": self.max_tokens}
            request = Request(chat.name, messages, parameters, strict_schema(self.answer.schema), sample_index)
            completion = await complete_with_schema(chat, request, example)
            text = usable(completion, self.name)
            reply = parse_reply(task, example, text)
            try:
                if reply.output is None:
                    raise StepError(
                        f"the step {self.name}: the reply of {chat.name} cannot be read ({reply.error}): {text[:200]!r}"
                    )
                return self.answer.typed(self.answer.bare(reply.output))
            except StepError as error:
                if task.output != "json" or attempt == REPAIRS:
                    raise unreadable(str(error)) from None
                note("repairs", attempt + 1)
                mend = f"That cannot be used: {error}\nAnswer again, with the JSON value alone."
                messages = (*messages, {"role": "assistant", "content": text}, {"role": "user", "content": mend})
        raise AssertionError("unreachable")


async def _predicted(predictor: Predictor, example: Example, step: str) -> str:
    """A student's (or a cascade's, or a recording's) answer."""
    prediction: Prediction = (await prediction_spanned(predictor.name, predictor.predict([example])))[0]
    used_by(prediction, predictor.name)
    for name, value in (("confidence", prediction.confidence), ("source", prediction.source)):
        if value is not None:
            note(name, value)
    if prediction.output is None:
        raise StepError(f"the step {step}: {predictor.name} gives no answer ({prediction.error})")
    return prediction.output


def note(name: str, value: Any) -> None:
    """Add a fact to the call that is running, for the trace."""
    call = current_call.get()
    if call is not None:
        call.facts[name] = value


def usable(completion: Completion, step: str) -> str:
    """The reply's text. Raises StepError where there is none, or where it is cut off or filtered."""
    if completion.text is None or completion.error is not None:
        raise not_usable(completion, f"the step {step} got no usable reply: {completion.error or 'empty reply'}")
    return completion.text


def not_usable(completion: Completion, message: str) -> StepError:
    """The error for a reply that cannot be used; of one that was paid for, the resume asks for another."""
    parts = (completion.finish_reason, completion.usage, completion.text, completion.tool_calls)
    return StepError(message) if all(part is None for part in parts) else unreadable(message)


async def complete_with_schema(chat: Chat, request: Request, example: Example | None) -> Completion:
    """Structured output where the endpoint has it.

    An endpoint that refuses a schema is asked without this one from then on, and the call's facts say so.
    """
    if request.schema is not None:
        this_schema = f"schema {hashlib.sha256(canonical_json(request.schema).encode()).hexdigest()}"
        if not chat.without(this_schema, request):
            completion = await chat.complete(request, example)
            if completion.status != 400:
                return completion
            chat.lacks.add(this_schema)
        note("structured_output", False)
    return await chat.complete(
        Request(request.model, request.messages, request.parameters, None, request.sample_index), example
    )
