"""A student, a cascade or any other Predictor as a pydantic-ai model: an agent names it in `model=`, and nothing else.

The student's input is the prompt of the run. It is read as the server reads a chat message (`serving.inputs`): choices
below it, fields, JSON. Instructions and system prompts are not read, because a student knows its one task. It answers
in text, and in structured output (native, prompted or by an output tool) where its task is JSON, or where one field
takes its answer. The rest is refused in one sentence, as a ModelAPIError, so that a FallbackModel goes on to its next
model.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import (
    CachePoint,
    ModelMessage,
    ModelResponse,
    ModelResponsePart,
    RetryFeedbackPart,
    StructuredContent,
    TextContent,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.models import CompletedStreamedResponse, Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext
from pydantic_ai.usage import RequestUsage
from pydantic_core import to_json

from stillhouse.errors import ModelNameError, StillhouseError
from stillhouse.interop.pydantic_ai.filling import Refused, Schema, choices_of, fill
from stillhouse.records import Predictor
from stillhouse.serving.errors import ApiError
from stillhouse.serving.inputs import answer_to, chat_row
from stillhouse.serving.lanes import Answer, Lane
from stillhouse.serving.predictors import open_predictor
from stillhouse.serving.wire import CutAnswer, cut, ours, parse_chat
from stillhouse.task import Output

SYSTEM = "stillhouse"
_PROFILE = ModelProfile(
    supports_json_schema_output=True,
    supports_json_object_output=True,
    default_structured_output_mode="native",
    supports_image_input=False,
    supports_document_input=False,
    supports_audio_file_input=False,
    supports_video_input=False,
)


class NoAnswerError(StillhouseError, ModelAPIError):
    """A student cannot take this request, or has no answer to it. A FallbackModel goes on to its next model."""

    def __init__(self, model: str, message: str) -> None:
        ModelAPIError.__init__(self, model, message)


class StudentModel(Model):
    """`Agent(model=StudentModel("student:DIR"))`; also `cascade:DIR`, or a Predictor that is open already.

    A model given by name is opened by the first request, and closed by whoever entered the agent (`async with agent:`)
    or the model. `store` is where a cascade keeps what its teacher answered, by default beside its task. Requests of
    the same moment share one batch.

    A response's `provider_details` hold `confidence` (0 to 1, None: not known), `source` (who of a cascade answered),
    `cost_usd`, `usage_estimated`, and `scores` per class where the student has them. `model_settings` takes
    `max_tokens`, `stop_sequences`, and `extra_body={"choices": [...]}` for a student that picks among each input's own
    choices.
    """

    unsupported_settings = frozenset({"timeout", "max_retries", "extra_headers"})

    def __init__(
        self, model: str | Predictor, *, store: str | Path | None = None, settings: ModelSettings | None = None
    ) -> None:
        super().__init__(settings=settings, profile=_PROFILE)
        if isinstance(model, str) and not model.startswith(("student:", "cascade:")):
            raise ModelNameError(
                f"{model!r} names no student; "
                "give student:DIR or cascade:DIR, and any other model to pydantic-ai itself"
            )
        self._model, self._store = model, None if store is None else Path(store)
        self._lane: Lane | None = None
        self._opening, self._open, self._entered = asyncio.Lock(), AsyncExitStack(), 0

    @property
    def model_name(self) -> str:
        return self._model if isinstance(self._model, str) else self._model.name

    @property
    def system(self) -> str:
        return SYSTEM

    @property
    def provider(self) -> None:
        return None

    async def __aenter__(self) -> Self:
        self._entered += 1
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._entered -= 1
        if self._entered == 0:
            self._lane = None
            await self._open.aclose()

    def prepare_messages(
        self, messages: list[ModelMessage], model_request_parameters: ModelRequestParameters | None = None
    ) -> list[ModelMessage]:
        """The messages as they are: notes for language models would become part of the prompt that a student reads."""
        return messages

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The student's answer.

        Raises NoAnswerError where the student cannot be asked so or has no answer; ArtifactError, UserError where it
        cannot be opened.
        """
        settings, parameters = self.prepare_request(model_settings, model_request_parameters)
        try:
            schema, prompt = _schema(parameters), _prompt(messages)
            lane = await self._opened()
            body = parse_chat(_body(lane, prompt, settings or {}, schema))
            answer = await answer_to(lane, chat_row(lane, body, "request"))
            if answer.text is None:
                raise Refused(f"it has no answer ({answer.error})")
            reply = cut(answer, body.stops, body.most_tokens)
            text = reply.text
            if schema is not None:
                text = json.dumps(fill(schema, text, _output(lane)), ensure_ascii=False)
        except (ApiError, Refused) as error:
            raise NoAnswerError(self.model_name, f"{self.model_name} cannot answer: {error}") from None
        part: ModelResponsePart = TextPart(text)
        if parameters.output_tools:
            part = ToolCallPart(parameters.output_tools[0].name, text)
        return self._response(answer, reply, part)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncIterator[StreamedResponse]:
        """The answer in one piece: students answer in batches, at once."""
        response = await self.request(messages, model_settings, model_request_parameters)
        yield CompletedStreamedResponse(response, model_request_parameters=model_request_parameters, replay_events=True)

    async def _opened(self) -> Lane:
        async with self._opening:
            if self._lane is None:
                predictor = self._model
                if isinstance(predictor, str):
                    predictor = await self._open.enter_async_context(open_predictor(predictor, store=self._store))
                self._lane = Lane(self.model_name, predictor, most_waiting=sys.maxsize, most_per_batch=32, wait_s=0.002)
            return self._lane

    def _response(self, answer: Answer, reply: CutAnswer, part: ModelResponsePart) -> ModelResponse:
        used = RequestUsage()
        if answer.usage is not None:
            used = RequestUsage(
                input_tokens=answer.usage.input_tokens or 0, output_tokens=answer.usage.output_tokens or 0
            )
        details = ours(answer) | ({} if answer.scores is None else {"scores": dict(answer.scores)})
        return ModelResponse(
            [part],
            usage=used,
            model_name=self.model_name,
            provider_name=SYSTEM,
            provider_details=details,
            finish_reason=reply.finish_reason,
        )


def _schema(parameters: ModelRequestParameters) -> Schema | None:
    """What the answer must fill; None: it is a text. Raises Refused for what no student does."""
    if parameters.function_tools or parameters.native_tools:
        tools = ", ".join(tool.name for tool in parameters.function_tools) or "native tools"
        raise Refused(f"it does one task and calls no tools ({tools}); give an agent that has tools another model")
    if len(parameters.output_tools) > 1 or (parameters.output_tools and parameters.allow_text_output):
        raise Refused("it answers in one form, and the output type is a union; ask for one type")
    if parameters.output_tools:
        return dict(parameters.output_tools[0].parameters_json_schema)
    return None if parameters.output_object is None else dict(parameters.output_object.json_schema)


def _prompt(messages: Sequence[ModelMessage]) -> str:
    """The run's prompt, which is the student's input. Raises Refused where there is none, or more than that."""
    if any(_is_retry(part) for part in messages[-1].parts):
        raise Refused(
            "its answer was not taken, and to the same input it has no other; "
            "loosen the output type, or let another model follow it"
        )
    if any(isinstance(message, ModelResponse) for message in messages):
        raise Refused(
            "it answers one prompt by itself, and these messages go on with a conversation; "
            "run it without message_history"
        )
    prompts = [part for message in messages for part in message.parts if isinstance(part, UserPromptPart)]
    if len(prompts) != 1:
        raise Refused(f"it answers one prompt, and there are {len(prompts)}; give its input as the prompt of the run")
    content = prompts[0].content
    return content if isinstance(content, str) else "".join(map(_text, content))


def _is_retry(part: object) -> bool:
    return isinstance(part, RetryFeedbackPart) or (isinstance(part, ToolReturnPart) and part.outcome == "retried")


def _text(item: UserContent) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, StructuredContent):
        return item.value if isinstance(item.value, str) else to_json(item.value).decode()
    if isinstance(item, TextContent):
        return str(item.content)
    if isinstance(item, CachePoint):
        return ""
    raise Refused(f"it reads text alone, and the prompt holds a part of type {type(item).__name__}; leave it out")


def _output(lane: Lane) -> Output:
    """The form of its answers; of a Predictor that does not say, text."""
    return "text" if lane.task is None else lane.task.output


def _body(lane: Lane, prompt: str, settings: Mapping[str, object], schema: Schema | None) -> dict[str, Any]:
    """The request as the server would get it. Raises Refused where the student's classes are not the output's."""
    body: dict[str, Any] = {"model": lane.name, "messages": [{"role": "user", "content": prompt}]}
    for name, theirs in (("max_tokens", "max_tokens"), ("stop_sequences", "stop")):
        if name in settings:
            body[theirs] = settings[name]
    extra = settings.get("extra_body")
    body |= extra if isinstance(extra, Mapping) else {}
    choices = None if schema is None or _output(lane) != "choice" else choices_of(schema)
    if choices is None:
        return body
    if lane.labels is None:
        return {"choices": list(choices), **body}
    if missing := [label for label in lane.labels if label not in choices]:
        raise Refused(
            f"it may answer {', '.join(missing)}, which the output is not ready for ({', '.join(choices)}); "
            "add it to the output's type"
        )
    return body
