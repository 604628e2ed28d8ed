"""Spans of runs, calls, model requests, tools and turns, by the real SDK; and that nothing of it is there unless asked for."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from stillhouse import flow, step
from stillhouse.errors import UserError
from stillhouse.flow import agent, ask_human, decide, tool
from stillhouse.flow.call import StepError
from stillhouse.flow.spans import CAPTURE, configured, model_place
from stillhouse.llm.request import Completion, ToolCall
from stillhouse.records import Prediction, Usage

pytest.importorskip(
    "opentelemetry.sdk", reason="the SDK is not here; `pip install 'stillhouse[otel]'` runs these tests"
)
SECRET = "the customer's secret"


@pytest.fixture
def spans(monkeypatch):
    """What was exported, by span name; the app has configured a provider."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return exporter.get_finished_spans


def named(finished, name):
    [found] = [span for span in finished if span.name == name]
    return found


def says(request, example):
    usage = Usage(30, 4, cached_input_tokens=10)
    if "tools" in request.parameters:
        asked = not any(message["role"] == "tool" for message in request.messages)
        calls = (ToolCall("call-1", "add", '{"a": 1, "b": 2}'),) if asked else None
        return Completion(
            None if asked else "3", tool_calls=calls, usage=usage, finish_reason="tool_calls" if asked else "stop"
        )
    if "decision" in request.parameters:
        return Completion("yes", scores={"yes": 0.9, "no": 0.1}, usage=usage, finish_reason="stop")
    return Completion(f"about {SECRET}", usage=usage, finish_reason="stop")


says.priced_as = "gpt-4o"


@tool
def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


helper = agent("You add numbers.", tools=[add], name="adder", calling="native")


@step
async def answer(question: str) -> str:
    """Answer it."""


@step
async def outer(question: str) -> str:
    return await answer(question)


@flow(name="spanned", model=f"scripted:{__name__}:says")
async def main(question: str) -> str:
    if await decide("Does it need arithmetic?", ["yes", "no"], question) == "yes":
        await helper(question)
    return await outer(question)


async def test_a_run_is_a_workflow_and_its_calls_are_spans_inside_one_another(spans):
    await main.run("one", SECRET)
    parents = {span.context.span_id: span.name for span in spans()}
    tree = sorted((span.name, None if span.parent is None else parents[span.parent.span_id]) for span in spans())
    model = f"scripted:{__name__}:says"
    assert tree == sorted(
        [
            ("invoke_workflow spanned", None),
            ("decide", "invoke_workflow spanned"),
            (f"decision {model}", "decide"),
            ("invoke_agent adder", "invoke_workflow spanned"),
            ("adder.turn", "invoke_agent adder"),
            (f"chat {model}", "adder.turn"),
            ("execute_tool add", "invoke_agent adder"),
            ("adder.turn", "invoke_agent adder"),
            (f"chat {model}", "adder.turn"),
            ("outer", "invoke_workflow spanned"),
            ("answer", "outer"),
            (f"chat {model}", "answer"),
        ]
    )
    assert len({span.context.trace_id for span in spans()}) == 1


async def test_the_attributes_are_those_of_the_conventions(spans):
    await main.run("one", "2 + 1?")
    run, helped, called = (
        dict(named(spans(), name).attributes)
        for name in ("invoke_workflow spanned", "invoke_agent adder", "execute_tool add")
    )
    assert run == {
        **{
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.agent.name": "spanned",
            "gen_ai.workflow.name": "spanned",
            "stillhouse.run": "one",
        },
        **{"stillhouse.calls.ran": 7, "stillhouse.calls.replayed": 0},
    }
    assert (helped["gen_ai.operation.name"], helped["gen_ai.agent.name"], helped["stillhouse.tool_calling"]) == (
        "invoke_agent",
        "adder",
        "native",
    )
    assert (called["gen_ai.operation.name"], called["gen_ai.tool.name"], called["gen_ai.tool.type"]) == (
        "execute_tool",
        "add",
        "function",
    )
    asked = dict(named(spans(), f"decision scripted:{__name__}:says").attributes)
    assert asked == {
        **{
            "gen_ai.operation.name": "decision",
            "gen_ai.provider.name": "stillhouse",
            "gen_ai.request.model": f"scripted:{__name__}:says",
        },
        **{
            "gen_ai.usage.input_tokens": 30,
            "gen_ai.usage.output_tokens": 4,
            "gen_ai.usage.cache_read.input_tokens": 10,
        },
        **{"gen_ai.response.finish_reasons": ("stop",), "stillhouse.cost_usd": asked["stillhouse.cost_usd"]},
    }
    chat = [span for span in spans() if span.name.startswith("chat")][-1].attributes
    assert (chat["gen_ai.request.max_tokens"], chat["gen_ai.request.temperature"]) == (1024, 0.0)


async def test_no_content_is_in_any_span_unless_it_is_asked_for(spans, monkeypatch):
    await main.run("one", SECRET)
    assert all(SECRET not in span.to_json() for span in spans())
    monkeypatch.setenv(CAPTURE, "true")
    await main.run("two", f"another: {SECRET}")
    assert sum(SECRET in span.to_json() for span in spans()) >= 6
    chat = [span for span in spans() if span.name.startswith("chat")][-1].attributes
    assert json.loads(chat["gen_ai.input.messages"])[-1] == {
        "role": "user",
        "parts": [{"type": "text", "content": f"another: {SECRET}"}],
    }
    [said] = json.loads(chat["gen_ai.output.messages"])
    assert said == {
        "role": "assistant",
        "parts": [{"type": "text", "content": f"about {SECRET}"}],
        "finish_reason": "stop",
    }
    called = [span for span in spans() if span.name == "execute_tool add"][-1].attributes
    assert (called["gen_ai.tool.call.arguments"], called["gen_ai.tool.call.result"]) == ('{"a":1,"b":2}', "3")


async def test_what_the_journal_answers_makes_no_span_and_what_the_store_answers_used_nothing(spans):
    @flow(name="asks", model=f"scripted:{__name__}:says")
    async def asks(question: str) -> str:
        await outer(question)
        return await ask_human("Go on?")

    for _ in range(2):
        with pytest.raises(flow.Parked):
            await asks.run("one", "a")
    assert [span.name for span in spans()].count("outer") == 1
    assert spans()[-1].attributes["stillhouse.calls.replayed"] == 1
    with pytest.raises(flow.Parked):
        await asks.run("two", "a")
    chat = [span for span in spans() if span.name.startswith("chat")][-1].attributes
    assert chat["stillhouse.from_store"] is True
    assert "gen_ai.usage.input_tokens" not in chat


async def test_a_failure_marks_every_span_that_it_ends_by_its_class_and_not_by_its_words(spans):
    tried = 0

    @step(retries=1, backoff_s=0)
    async def send(text: str) -> None:
        nonlocal tried
        tried += 1
        raise ConnectionError(f"no: {text}")

    @flow(name="sends")
    async def sends(text: str) -> None:
        await send(text)

    with pytest.raises(ConnectionError):
        await sends.run("one", SECRET)
    sent, run = (named(spans(), name) for name in ("send", "invoke_workflow sends"))
    assert tried == 2
    assert sent.attributes["stillhouse.attempts"] == 2
    for span in (sent, run):
        assert (span.status.status_code.name, span.status.description, span.attributes["error.type"]) == (
            "ERROR",
            None,
            "ConnectionError",
        )
        assert span.events == ()


async def test_a_refused_request_is_an_error_by_its_code(spans):
    def refuses(request, example):
        return Completion(None, error="refused by the endpoint (429 too many requests)", status=429)

    globals()["refuses"] = refuses
    with pytest.raises(StepError):
        await main.execute("one", {"question": "a"}, models={"*": f"scripted:{__name__}:refuses"})
    assert next(span for span in spans() if span.name.startswith("decision")).attributes["error.type"] == "429"


async def test_a_student_is_asked_in_this_process(spans):
    class Student:
        name = "student:runs/route-1"

        async def predict(self, inputs):
            return [Prediction("done", confidence=0.8, cost_usd=None) for _ in inputs]

    @flow(name="small")
    async def small(question: str) -> str:
        return await answer(question)

    await small.run("one", "a", models={"answer": Student()})
    found = named(spans(), "chat student:runs/route-1")
    assert found.kind.name == "INTERNAL"
    assert found.attributes["gen_ai.provider.name"] == "stillhouse"
    assert named(spans(), "answer").attributes["stillhouse.confidence"] == 0.8


def test_a_models_name_says_provider_and_server():
    assert model_place("openai:gpt-4o") == {"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
    assert model_place("https://host/v1#small") == {
        **{"gen_ai.provider.name": "openai", "gen_ai.request.model": "small"},
        **{"server.address": "host", "server.port": 443},
    }
    assert model_place("http://127.0.0.1:8000/v1#small")["server.port"] == 8000


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    ],
)
def test_off_is_the_default_and_can_be_said(environ):
    assert configured(environ) is None


def test_an_exporter_that_is_unknown_is_a_warning_and_no_failure():
    with pytest.warns(UserWarning, match="OTEL_TRACES_EXPORTER=zipkin: no spans are sent"):
        assert configured({"OTEL_TRACES_EXPORTER": "zipkin"}) is None


APP = """
import sys
from stillhouse import flow, step

@step
async def double(n: int) -> int:
    return 2 * n

@flow
async def main(n: int) -> list[str]:
    await double(n)
    return sorted(name for name in sys.modules if name.startswith("opentelemetry"))
"""


def ran(folder, **environ):
    (folder / "app.py").write_text(APP)
    command = [sys.executable, "-m", "stillhouse", "run", "app.py:main", "--input", '{"n": 1}', "--json"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env={**kept, **environ})
    return json.loads(done.stdout)["result"]


def test_a_run_that_nobody_traces_imports_nothing_of_it(tmp_path):
    assert ran(tmp_path) == []


@pytest.mark.slow
def test_spans_reach_an_otlp_endpoint_before_the_process_ends(tmp_path):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    received = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        assert (
            ran(
                tmp_path,
                OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{server.server_port}",
                OTEL_EXPORTER_OTLP_COMPRESSION="none",
            )
            != []
        )
        server.shutdown()
    assert {path for path, _ in received} == {"/v1/traces"}
    resources = [resource for _, request in received for resource in request.resource_spans]
    assert {span.name for one in resources for scope in one.scope_spans for span in scope.spans} == {
        "invoke_workflow main",
        "double",
    }
    assert {"service.name": "stillhouse"}.items() <= {
        one.key: one.value.string_value for one in resources[0].resource.attributes
    }.items()


async def test_a_mistake_of_the_user_is_marked_like_any_failure(spans):
    @step
    async def odd(n: int) -> object:
        return object()

    @flow(name="odd")
    async def oddly(n: int) -> None:
        await odd(n)

    with pytest.raises(UserError):
        await oddly.run("one", 1)
    assert named(spans(), "invoke_workflow odd").attributes["error.type"] == "UserError"


async def test_a_flow_inside_a_flow_is_a_workflow_span_around_its_calls(spans, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    @step
    async def double(n: int) -> int:
        return 2 * n

    @flow
    async def inside(n: int) -> int:
        return await double(n)

    @flow
    async def around() -> int:
        return await inside(4)

    assert await around.run("one") == 8
    outer, inner, call = (
        named(spans(), name) for name in ("invoke_workflow around", "invoke_workflow inside", "double")
    )
    assert (call.parent.span_id, inner.parent.span_id) == (inner.context.span_id, outer.context.span_id)
    assert inner.attributes["gen_ai.agent.name"] == "inside"
