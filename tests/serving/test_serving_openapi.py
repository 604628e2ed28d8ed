"""GET /openapi.json, and a fuzz test of the running server against what it says of itself."""

import asyncio
import json
import threading
import urllib.request

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from stillhouse.serving.app import serve

CALLS = (("POST", "/v1/chat/completions"), ("POST", "/v1/decisions"), ("GET", "/v1/models"), ("GET", "/health"))


@pytest.fixture(scope="module")
def base(mood_folder):
    """A server in a thread of its own, since the fuzzer asks synchronously."""
    from stillhouse.student import load_student

    loop, ready = asyncio.new_event_loop(), threading.Event()
    urls, tasks = [], []

    async def run():
        tasks.append(asyncio.current_task())
        await serve({"mood": load_student(mood_folder)}, port=0, on_ready=lambda url: (urls.append(url), ready.set()))

    def work():
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(run())

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(30)
    yield urls[0].removesuffix("/v1")
    loop.call_soon_threadsafe(tasks[0].cancel)
    thread.join(30)


def test_the_document_lists_every_call(base):
    with urllib.request.urlopen(f"{base}/openapi.json") as reply:
        document = json.load(reply)
    assert {(method.upper(), path) for path, calls in document["paths"].items() for method in calls} >= set(CALLS)
    assert "messages" in document["components"]["schemas"]["ChatBody"]["properties"]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), [*CALLS, ("GET", "/v1/models/{name}")])
def test_the_server_answers_as_its_document_says_whatever_comes(base, method, path):
    schema = schemathesis.openapi.from_url(f"{base}/openapi.json")

    @given(case=schema[path][method].as_strategy(), served=st.booleans())
    @settings(
        max_examples=30,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def fuzz(case, served):
        if served and isinstance(case.body, dict):
            case.body["model"] = "mood"
        response = case.call()
        assert response.status_code < 500, response.text
        case.validate_response(
            response,
            checks=[
                schemathesis.checks.not_a_server_error,
                *_checks("status_code_conformance", "content_type_conformance", "response_schema_conformance"),
            ],
        )

    fuzz()


def _checks(*names):
    from schemathesis.specs.openapi import checks

    return [getattr(checks, name) for name in names]
