"""OpenTelemetry spans of runs, calls and model requests, after the GenAI semantic conventions.

They follow open-telemetry/semantic-conventions-genai v0.1.0. Where that changed a name, the name in v1.41.0 of
semantic-conventions is given too: most backends read the old one.

Off unless the app has configured a tracer provider, or the environment names an exporter (OTEL_TRACES_EXPORTER,
OTEL_EXPORTER_OTLP_ENDPOINT). When off, nothing is imported, and tracing is looked for once a run. What was said to a
model, and what it said, is in a span only if OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT asks for it. Answers
out of the journal make no spans: nothing ran.
"""

import json
import os
import sys
import warnings
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from stillhouse import __version__
from stillhouse.addresses import without_secrets
from stillhouse.flow.call import Active, RunningCall, active_run, encode
from stillhouse.llm.request import Completion, Request
from stillhouse.records import Prediction, Usage

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

T = TypeVar("T")
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_CAPTURING = ("true", "1", "span_only", "span_and_event")
_EXPORTERS = ("otlp", "console")
# The facts of a call that hold no content.
_NOTED = ("model", "cost_usd", "confidence", "source", "repairs", "from_store", "tool_calling")


async def run_spanned(active: Active, body: Awaitable[T]) -> T:
    """Execute a run's sitting, in a span where tracing is on."""
    active.tracing = configured(os.environ)
    if active.tracing is None:
        return await body
    return await active.tracing.run(active, body)


async def request_spanned(request: Request, body: Awaitable[Completion]) -> Completion:
    """Ask a model, in a span where the run around is traced."""
    active = active_run.get()
    if active is None or active.tracing is None:
        return await body
    return await active.tracing.request(request, body)


async def prediction_spanned(model: str, body: Awaitable[list[Prediction]]) -> list[Prediction]:
    """Ask a student or another predictor, in a span where the run around is traced."""
    active = active_run.get()
    if active is None or active.tracing is None:
        return await body
    return await active.tracing.prediction(model, body)


def configured(environ: Mapping[str, str]) -> "Tracing | None":
    """The tracing that the app or the environment asks for; None where neither does.

    What is asked for and cannot be had is a warning: no run fails for it.
    """
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    capture = environ.get(CAPTURE, "").lower() in _CAPTURING
    api = sys.modules.get("opentelemetry.trace")
    if api is not None and not isinstance(provider := api.get_tracer_provider(), api.ProxyTracerProvider):
        return Tracing(provider.get_tracer("stillhouse", __version__), capture)
    exporter = _wanted(environ)
    if exporter is None or (tracer := _own_tracer(exporter, _is_named(environ))) is None:
        return None
    return Tracing(tracer, capture)


def _wanted(environ: Mapping[str, str]) -> str | None:
    named = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if named:
        return None if named == "none" else named
    endpoint = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return "otlp" if endpoint else None


def _is_named(environ: Mapping[str, str]) -> bool:
    return bool(environ.get("OTEL_SERVICE_NAME")) or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")


@cache
def _own_tracer(exporter: str, named: bool) -> "Tracer | None":
    """A tracer with an exporter of its own, flushed when the process ends.

    The process's global provider is left to the app.
    """
    if exporter not in _EXPORTERS:
        remedy = f"give one of {', '.join(_EXPORTERS)}, or configure a provider in the app"
        warnings.warn(f"OTEL_TRACES_EXPORTER={exporter}: no spans are sent; {remedy}", stacklevel=2)
        return None
    try:
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor

        provider = TracerProvider(resource=Resource.create(None if named else {SERVICE_NAME: "stillhouse"}))
        if exporter == "console":
            processor: SpanProcessor = SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr))
        else:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            processor = BatchSpanProcessor(OTLPSpanExporter())
    except ImportError as error:
        lacks = f"{error.name} is not installed: pip install 'stillhouse[otel]'"
        warnings.warn(f"the environment asks for spans and none are sent, for {lacks}", stacklevel=2)
        return None
    provider.add_span_processor(processor)
    return provider.get_tracer("stillhouse", __version__)


class Tracing:
    """The tracer of a sitting. `capture`: what was given and answered goes into the spans too."""

    def __init__(self, tracer: "Tracer", capture: bool = False) -> None:
        self.tracer, self.capture = tracer, capture

    async def run(self, active: Active, body: Awaitable[T]) -> T:
        """A run, which the conventions call a workflow."""
        attributes = {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.agent.name": active.flow,
            "gen_ai.workflow.name": active.flow,  # the attribute's name up to v1.41.0
            "stillhouse.run": active.run,
        }
        with self._span(f"invoke_workflow {active.flow}", attributes) as span:
            try:
                return await body
            finally:
                span.set_attribute("stillhouse.calls.ran", active.report.ran.total())
                span.set_attribute("stillhouse.calls.replayed", active.report.replayed.total())

    async def frame(self, active: Active, name: str, body: Awaitable[T]) -> T:
        """A flow inside the flow, which is a workflow too."""
        attributes = {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.agent.name": name,
            "gen_ai.workflow.name": name,
            "stillhouse.run": active.run,
        }
        with self._span(f"invoke_workflow {name}", attributes):
            return await body

    async def call(self, name: str, kind: str, arguments: str, call: RunningCall, body: Awaitable[T]) -> T:
        """A step, decision, agent, turn or tool, with all its tries."""
        attributes = {"stillhouse.run": call.run, "stillhouse.step": name, "stillhouse.kind": kind}
        title = name
        arguments_name, output_name = "stillhouse.arguments", "stillhouse.output"
        if kind == "agent":
            title = f"invoke_agent {name}"
            attributes |= {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}
        elif kind == "tool":
            title = f"execute_tool {name}"
            attributes |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name}
            attributes["gen_ai.tool.type"] = "function"
            arguments_name, output_name = "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"
        if self.capture:
            attributes[arguments_name] = arguments
        with self._span(title, attributes) as span:
            try:
                value = await body
            finally:
                _note(span, call)
            if self.capture:
                output = value if isinstance(value, str) else encode(value, f"the result of the step {name}")
                span.set_attribute(output_name, output)
            return value

    async def request(self, request: Request, body: Awaitable[Completion]) -> Completion:
        """A request to a model. One that the store answered used nothing now, and says so."""
        from opentelemetry.trace import SpanKind, StatusCode

        place = model_place(request.model)
        operation = "decision" if "decision" in request.parameters else "chat"
        attributes = {"gen_ai.operation.name": operation, **place, **_settings(request)}
        if self.capture:
            messages = [_message(message) for message in request.messages]
            attributes["gen_ai.input.messages"] = json.dumps(messages, ensure_ascii=False)
        remote = "server.address" in place or request.model.startswith("openai:")
        kind = SpanKind.CLIENT if remote else SpanKind.INTERNAL
        with self._span(f"{operation} {place['gen_ai.request.model']}", attributes, kind) as span:
            completion = await body
            if completion.from_store:
                span.set_attribute("stillhouse.from_store", True)
            else:
                _use(span, completion.usage, completion.cost_usd)
            if completion.finish_reason is not None:
                span.set_attribute("gen_ai.response.finish_reasons", [completion.finish_reason])
            if completion.error is not None:
                span.set_attribute("error.type", "_OTHER" if completion.status is None else str(completion.status))
                span.set_status(StatusCode.ERROR)
            if self.capture and completion.text is not None:
                reply = {
                    **_message({"role": "assistant", "content": completion.text}),
                    "finish_reason": completion.finish_reason or "",
                }
                span.set_attribute("gen_ai.output.messages", json.dumps([reply], ensure_ascii=False))
            return completion

    async def prediction(self, model: str, body: Awaitable[list[Prediction]]) -> list[Prediction]:
        """A question to a predictor in this process."""
        place = model_place(model)
        with self._span(f"chat {place['gen_ai.request.model']}", {"gen_ai.operation.name": "chat", **place}) as span:
            predictions = await body
            for prediction in predictions[:1]:
                _use(span, prediction.usage, prediction.cost_usd)
            return predictions

    @contextmanager
    def _span(self, name: str, attributes: Mapping[str, Any], kind: Any = None) -> "Iterator[Span]":
        """A span around a block. An exception marks it by its class.

        The exception's words are left out unless content is asked for: they may quote a reply.
        """
        from opentelemetry.trace import SpanKind, StatusCode

        kind = kind or SpanKind.INTERNAL
        around = self.tracer.start_as_current_span(
            name, None, kind, dict(attributes), record_exception=False, set_status_on_exception=False
        )
        with around as span:
            try:
                yield span
            except Exception as error:
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(StatusCode.ERROR, without_secrets(str(error)[:1000])[:500] if self.capture else None)
                raise


def model_place(name: str) -> dict[str, Any]:
    """Provider, model and server of a model's name.

    It is `openai:NAME`, `http(s)://host/v1#NAME` (the OpenAI format, wherever it is spoken), or one of our own.
    """
    if name.startswith(("http://", "https://")):
        url = urlsplit(name)
        port = url.port or (443 if url.scheme == "https" else 80)
        return {
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": url.fragment,
            "server.address": url.hostname or "",
            "server.port": port,
        }
    provider, _, model = name.partition(":")
    if provider == "openai":
        return {"gen_ai.provider.name": "openai", "gen_ai.request.model": model}
    return {"gen_ai.provider.name": "stillhouse", "gen_ai.request.model": name}


def _settings(request: Request) -> dict[str, Any]:
    parameters = request.parameters
    settings = {
        f"gen_ai.request.{name}": parameters[name]
        for name in ("max_tokens", "temperature", "top_p")
        if isinstance(parameters.get(name), int | float)
    }
    if isinstance(stop := parameters.get("stop"), list):
        settings["gen_ai.request.stop_sequences"] = stop
    return settings | ({"gen_ai.output.type": "json"} if request.schema is not None else {})


def _use(span: "Span", usage: Usage | None, cost_usd: float | None) -> None:
    """Tokens and cost, as far as they are known."""
    if usage is not None:
        counts = {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cache_read.input_tokens": usage.cached_input_tokens,
            "reasoning.output_tokens": usage.reasoning_tokens,
        }
        for name, value in counts.items():
            if value is not None:
                span.set_attribute(f"gen_ai.usage.{name}", value)
    if cost_usd is not None:
        span.set_attribute("stillhouse.cost_usd", cost_usd)


def _note(span: "Span", call: RunningCall) -> None:
    """What the journal will know of the call, but for its content."""
    if call.attempt > 1:
        span.set_attribute("stillhouse.attempts", call.attempt)
    for name in _NOTED:
        value = call.facts.get(name)
        if value is not None:
            span.set_attribute(f"stillhouse.{name}", value)


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message in the form of the conventions' JSON schemas for messages."""
    text = message.get("content")
    if message.get("role") == "tool":
        return {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": message.get("tool_call_id"), "response": text}],
        }
    parts: list[dict[str, Any]] = [{"type": "text", "content": text}] if text else []
    parts += [
        {"type": "tool_call", "id": call.get("id"), **call["function"]} for call in message.get("tool_calls") or ()
    ]
    return {"role": message.get("role"), "parts": parts}
