"""GET /openapi.json: what the server takes and gives, made from the models that read its requests."""

import functools
from typing import Any

from pydantic.json_schema import models_json_schema

from stillhouse import __version__
from stillhouse.serving.decisions import DecisionBody
from stillhouse.serving.errors import Json
from stillhouse.serving.wire import ChatBody

_WRONG = {
    "400": "something about the request is wrong; the message says what",
    "403": "without a key: the request calls this machine by another name than its own",
    "408": "the body took too long to arrive",
    "413": "the request costs too much to answer",
    "415": "the body is not declared as JSON, or is packed",
    "422": "the model has no answer to this input",
    "429": "as many requests are under way as the server takes",
    "502": "a cascade's teacher failed",
}
_NOTES = {
    "Stillhouse-Input-Cut": "the input has more tokens than the student reads, so that it read a part of it",
    "Stillhouse-Unlike-Training": "the input is unlike those that the student learned from",
    "Stillhouse-Unstored": "the teacher was paid for the answer, and the store could not keep it",
}
_UNPROVEN = {
    "description": "a model is served here that no verdict proves; see /health",
    "schema": {"type": "string", "enum": ["1"]},
}
_OBJECT, _TRUE = {"type": "object"}, {"type": "string", "enum": ["true"]}


@functools.cache  # as it takes three times what a small request takes
def description(*, needs_key: bool) -> Json:
    """The OpenAPI document."""
    _, bodies = models_json_schema(
        [(ChatBody, "validation"), (DecisionBody, "validation")], ref_template="#/components/schemas/{model}"
    )
    schemas = bodies["$defs"] | {
        "Error": {
            "type": "object",
            "required": ["error"],
            "properties": {
                "error": {
                    "type": "object",
                    "required": ["message", "type", "param", "code"],
                    "properties": {
                        "message": {"type": "string"},
                        "type": {"type": "string"},
                        "param": {"type": ["string", "null"]},
                        "code": {"type": ["string", "null"]},
                    },
                }
            },
        }
    }
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    paths: Json = {
        "/v1/chat/completions": {"post": _call("A model's answer", "404", *_WRONG, body="ChatBody", streams=True)},
        "/v1/decisions": {"post": _call("Each choice's probability", "404", *_WRONG, body="DecisionBody")},
        "/v1/models": {"get": _call("The models that are served", "400", "403")},
        "/v1/models/{name}": {"get": _call("One model", "400", "403", "404") | {"parameters": [name]}},
        "/metrics": {"get": _call("What was counted", "400", "403")},
        "/health": {"get": _call("Whether the server works", "400", "403")},
    }
    document: Json = {
        "openapi": "3.1.0",
        "info": {"title": "Stillhouse", "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if needs_key:
        schemas_of_keys = {"key": {"type": "http", "scheme": "bearer"}}
        document["components"]["securitySchemes"], document["security"] = schemas_of_keys, [{"key": []}]
        paths["/health"]["get"]["security"] = []
        for path, calls in paths.items():
            for call in calls.values():
                if path != "/health":
                    call["responses"]["401"] = _error("the key is missing or wrong")
    return document


def _call(summary: str, *errors: str, body: str | None = None, streams: bool = False) -> Json:
    answers: Json = {"application/json": {"schema": _OBJECT}}
    if streams:
        answers["text/event-stream"] = {"schema": {"type": "string"}}
    headers: Json = {"x-stillhouse-unproven": _UNPROVEN}
    if body is not None:
        headers |= {name: {"description": what, "schema": _TRUE} for name, what in _NOTES.items()}
    answer = {"description": summary, "content": answers, "headers": headers}
    call: Json = {"summary": summary, "responses": {"200": answer}}
    for status in errors:
        call["responses"][status] = _error(_WRONG.get(status, "no such model"))
    if body is not None:
        schema = {"$ref": f"#/components/schemas/{body}"}
        call["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return call


def _error(what: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": what, "content": content, "headers": {"x-stillhouse-unproven": _UNPROVEN}}
