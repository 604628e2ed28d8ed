"""The OpenAI API in front of students, cascades and prompted models.

An app changes its base URL and its model's name, and nothing else. Served are:
- POST /v1/chat/completions, also streamed, also with `logprobs`
- POST /v1/decisions
- GET /v1/models and GET /v1/models/NAME
- GET /health, GET /metrics and GET /openapi.json

No page of another site can call it: a body must be declared as JSON, no CORS header is ever sent, and without a key
only requests to a loopback name are answered. Questions and answers are not logged.
"""

import asyncio
import contextlib
import gc
import hmac
import ipaddress
import json
import logging
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import asdict, replace
from typing import Any, Protocol, TypeVar

from aiohttp import web
from aiohttp.http_exceptions import PayloadEncodingError

from stillhouse.clean_text import log_line
from stillhouse.errors import BudgetError, TeacherError, UserError
from stillhouse.records import Example, Predictor
from stillhouse.serving.bounds import (
    MOST_BYTES,
    MOST_BYTES_OF_STUDENTS,
    MOST_PARTS,
    MOST_PARTS_OF_STUDENTS,
    check_parts,
    decimal_number,
    whole_number,
)
from stillhouse.serving.connections import Connections, host_of
from stillhouse.serving.decisions import DecisionBody, decision, decision_rows, parse_decision
from stillhouse.serving.errors import ApiError
from stillhouse.serving.inputs import Asked, answer_to, chat_row
from stillhouse.serving.lanes import INPUTS_COUNTED, Answer, Lane, OverloadedError
from stillhouse.serving.openapi import description
from stillhouse.serving.wire import (
    ChatBody,
    chunks,
    completion,
    cut,
    dumps,
    event,
    logprobs_of,
    model_object,
    parse_chat,
)
from stillhouse.stopping import counted, signals_to

DRAIN_S = 30.0  # from the signal on, until a server that stops is over
CLOSING_S = 2.0  # of that, kept for closing the models, their stores and Python itself
# The served paths, as an error lists them.
SERVED = "POST /v1/chat/completions, POST /v1/decisions, GET /v1/models, GET /health, GET /metrics, GET /openapi.json"
BODY_S = 30.0  # for a body to arrive in
LARGE_BODY = 256 * 2**10  # bytes; one that is larger is read beside few others and taken apart off the event loop
READ_AT_ONCE = 32 * 2**10  # bytes of a body whose input is looked for on the event loop; a larger one's, off it
LARGE_AT_ONCE = 32  # so many large bodies are held in memory; the next is refused
THREADS_BESIDE = 8  # beside those of the models' calls: for bodies, the store and names of hosts
SWITCH_S = 0.001  # how long Python lets one thread run before another gets its turn
INPUT_CUT = "Stillhouse-Input-Cut"  # the header of an answer to an input that the student read a part of
UNPROVEN = "x-stillhouse-unproven"  # the header, "1", of every answer where a model is served that nothing proves
UNLIKE = "Stillhouse-Unlike-Training"  # the header of an answer to an input that is unlike the training inputs
UNSTORED = "Stillhouse-Unstored"  # the header of an answer that was paid for and that the store could not keep
KEY_VARIABLE = "STILLHOUSE_SERVE_KEY"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_T = TypeVar("_T")
# The model that the request in work is for, once that is known.
_answered_by: ContextVar[str | None] = ContextVar("answered by", default=None)
_log = logging.getLogger(__name__)


class Stops(Protocol):
    stop_by: float | None  # time.monotonic() at which nothing is waited for any longer


DEADLINE: web.AppKey[Stops] = web.AppKey("stops", Stops)  # whom `serve` tells when it is to be over


def make_app(
    models: Mapping[str, Predictor],
    *,
    key: str | None = None,
    unproven: Mapping[str, str] | None = None,
    shots: Mapping[str, Sequence[Example]] | None = None,
    also: Mapping[str, str] | None = None,
    most_waiting: int = 1024,
    most_per_batch: int = 32,
    batch_wait_s: float = 0.002,
) -> web.Application:
    """The server as an aiohttp application; `models` maps the names that requests use to what answers.

    `unproven`: of those models that nothing proves, why. Every answer of theirs says so in a header, and so does every
    answer that is no model's, such as an error.

    `shots`: worked examples that a model's prompt has, by the model's name; they are no part of an input. `also`: other
    names that apps call the models by, such as that of the large model whose place one has taken.

    With `key`, every call but /health needs it as bearer token. A model that has `most_waiting` requests under way
    answers the next one 429.
    """
    if not models:
        raise UserError("there is no model to serve; give at least one")
    lanes = {
        name: Lane(
            name,
            predictor,
            most_waiting=most_waiting,
            most_per_batch=most_per_batch,
            wait_s=batch_wait_s,
            shots=(shots or {}).get(name, ()),
        )
        for name, predictor in models.items()
    }
    server = _Server(lanes, key, dict(unproven or {}), dict(also or {}))
    app = web.Application(client_max_size=server.most_bytes, middlewares=[server.errors, server.authorise])
    app.router.add_get("/health", server.health)
    app.router.add_get("/metrics", server.metrics)
    app.router.add_get("/openapi.json", server.openapi)
    app.router.add_get("/v1/models", server.list_models)
    app.router.add_get("/v1/models/{name:.+}", server.show_model)
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_post("/v1/decisions", server.decide)
    app.on_response_prepare.append(server.say_unproven)
    app.on_cleanup.append(server.drain)
    app[DEADLINE] = server
    return app


async def serve(
    models: Mapping[str, Predictor],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    key: str | None = None,
    unproven: Mapping[str, str] | None = None,
    shots: Mapping[str, Sequence[Example]] | None = None,
    also: Mapping[str, str] | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT (or cancellation), finish the requests under way, and return; see `make_app`.

    A second signal does not wait for them. Signals are heard in the main thread alone; in another thread, cancel it.
    `port` 0 takes a free port. `on_ready` gets the base URL for clients, e.g. "http://127.0.0.1:8000/v1".

    Raises UserError for an address that others can reach without a key, or that cannot be listened on.
    """
    if key is not None and key.strip() and (key != key.strip() or not key.isprintable()):
        raise UserError(
            f"the key in {KEY_VARIABLE} has spaces around it or a character that no header carries, "
            "so that no client could send it; set it again without"
        )
    if key is not None and not key.strip():
        raise UserError(f"the key is empty; set {KEY_VARIABLE} to a long random text, or unset it")
    if key is None and not _is_loopback(host):
        raise UserError(
            f"{host} can be reached from other machines, and no key is set; "
            f"set {KEY_VARIABLE} to a long random text, or serve on 127.0.0.1"
        )
    app = make_app(models, key=key, unproven=unproven, shots=shots, also=also)
    connections = Connections(app, {UNPROVEN: "1"} if unproven else {})
    stop = asyncio.Event()
    heard = threading.current_thread() is threading.main_thread()  # Python delivers signals to the main thread only
    # Each model has a call of short rows and one of long rows in work; none of them may take another's thread.
    asyncio.get_running_loop().set_default_executor(
        ThreadPoolExecutor(2 * len(models) + THREADS_BESIDE, thread_name_prefix="serve")
    )
    switch_interval_s = sys.getswitchinterval()
    # A student's work in a thread keeps the event loop waiting so long whenever it comes back from the network.
    sys.setswitchinterval(SWITCH_S)
    # What is loaded stays. Looking through it for garbage, as a body of many values starts it, holds all threads up:
    # 125 ms with a linear student, 9 without it.
    gc.freeze()
    try:
        bound_port = await connections.listen(host, port, remedy="choose another --port or --host")
        with signals_to(stop.set) if heard else contextlib.nullcontext():
            if on_ready is not None:
                on_ready(f"http://{f'[{host}]' if ':' in host else host}:{bound_port}/v1")
            await stop.wait()
    finally:
        within_s = max(0.0, DRAIN_S - CLOSING_S)
        app[DEADLINE].stop_by = time.monotonic() + within_s
        with counted() as left:
            await connections.stop(within_s)
        if left:
            _log.warning("stopped: %s", left.sentence())
        sys.setswitchinterval(switch_interval_s)
        gc.unfreeze()


def _has_key(request: web.Request, key: str) -> bool:
    """Whether the request carries this very key. The comparison takes as long for a near miss as for any other key."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    sent = token.strip().encode("utf-8", "surrogateescape")
    return scheme.lower() == "bearer" and hmac.compare_digest(sent, key.encode())


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


class _Server:
    def __init__(
        self, lanes: Mapping[str, Lane], key: str | None, unproven: Mapping[str, str], also: Mapping[str, str]
    ) -> None:
        self._lanes, self._key, self._created, self._unproven = lanes, key, int(time.time()), unproven
        self._also = also
        only_students = all(lane.most_characters is not None for lane in lanes.values())
        self.most_bytes = MOST_BYTES_OF_STUDENTS if only_students else MOST_BYTES
        self._most_parts = MOST_PARTS_OF_STUDENTS if only_students else MOST_PARTS
        self._n_large = 0
        self._one_large = asyncio.Lock()  # one large body is taken apart at a time
        self.stop_by: float | None = None

    # Around every call

    @web.middleware
    async def errors(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Every error in the API's own shape."""
        _answered_by.set(None)  # one task answers all requests of a kept connection
        try:
            return await handler(request)
        except ApiError as error:
            return _error(error)
        except OverloadedError:
            message = "the server has more requests than it can answer; try again"
            return _error(ApiError(429, message, code="overloaded", retry_after_s=1))
        except web.HTTPRequestEntityTooLarge:
            message = f"the body is over {self.most_bytes:,} bytes; send a shorter input"
            return _error(ApiError(413, message, code="body_too_large"))
        except web.HTTPException as error:
            message = f"{request.method} {request.path}: {error.reason}; served are {SERVED}"
            return _error(ApiError(error.status, message))
        except (BudgetError, TeacherError) as error:
            # Only prompted models raise this: a cascade makes its teacher's failure the error of the row.
            return _error(ApiError(502, f"the teacher failed: {error}", code="teacher_failed"))
        except Exception:
            _log.exception("%s %s broke", request.method, log_line(request.path))
            return _error(ApiError(500, "the server failed at this request; its log says why", code="internal_error"))

    @web.middleware
    async def authorise(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """With a key, let in who has it; without one, who calls this machine by a loopback name."""
        host = host_of(request)
        if self._key is None:
            # Another host name may be that of a web page, pointed at this machine by the page's owner (DNS rebinding).
            if not _is_loopback(host or ""):
                message = (
                    f"without a key only this machine is served; call 127.0.0.1 or localhost, or set {KEY_VARIABLE}"
                )
                raise ApiError(403, message, code="wrong_host")
        elif request.path != "/health" and not _has_key(request, self._key):
            message = "the API key is missing or wrong; send the server's key as bearer token"
            raise ApiError(401, message, code="invalid_api_key")
        return await handler(request)

    async def say_unproven(self, _: web.Request, response: web.StreamResponse) -> None:
        """The header of whatever is answered, before it is sent. Only an answer of a proven model goes without."""
        name = _answered_by.get()
        if self._unproven and (name is None or name in self._unproven):
            response.headers[UNPROVEN] = "1"

    async def drain(self, _: web.Application) -> None:
        """Wait for what the lanes still do after their answers were given: a cascade's audits."""
        left_s = DRAIN_S if self.stop_by is None else max(0.0, self.stop_by - time.monotonic())
        cut_off = sum(await asyncio.gather(*(lane.drain(left_s) for lane in self._lanes.values())))
        if cut_off:
            _log.warning("%d audits were still waiting for the teacher; they are not recorded", cut_off)

    # The calls

    async def health(self, _: web.Request) -> web.Response:
        state: dict[str, Any]
        n_unstored = {name: lane.n_unstored for name, lane in self._lanes.items() if lane.n_unstored}
        if n_unstored:
            why = "answers of the teacher were given and not kept, so that they are paid again; free disk space"
            state = {"status": "degraded", "unstored_answers": n_unstored, "reason": why}
        else:
            state = {"status": "ok"}
        noted = {name: lane.inputs for name, lane in self._lanes.items()}
        if counts := {name: asdict(seen) for name, seen in noted.items() if seen.taken_out or seen.unlike_training}:
            state["inputs"] = counts
        if self._unproven:
            state["unproven"] = dict(self._unproven)
        return web.json_response(state, dumps=dumps)

    async def metrics(self, _: web.Request) -> web.Response:
        """What was counted, in the text format that Prometheus reads."""
        lines = []
        for count, what in INPUTS_COUNTED.items():
            lines += [f"# HELP stillhouse_{count}_total {what}", f"# TYPE stillhouse_{count}_total counter"]
            for name, lane in self._lanes.items():
                model = json.dumps(name, ensure_ascii=False)
                lines.append(f"stillhouse_{count}_total{{model={model}}} {getattr(lane.inputs, count)}")
        return web.Response(text="\n".join([*lines, ""]), content_type="text/plain", charset="utf-8")

    async def openapi(self, _: web.Request) -> web.Response:
        return web.json_response(description(needs_key=self._key is not None), dumps=dumps)

    async def list_models(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"object": "list", "data": [model_object(name, self._created) for name in self._lanes]}, dumps=dumps
        )

    async def show_model(self, request: web.Request) -> web.Response:
        return web.json_response(model_object(self._lane(request.match_info["name"]).name, self._created), dumps=dumps)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        reply_id, created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())

        def read(raw: bytearray) -> tuple[ChatBody, Lane, Asked]:
            body = parse_chat(_json(raw))
            lane = self._lane(body.model)
            _check_format(lane, body)
            return body, lane, chat_row(lane, body, reply_id)

        body, lane, asked = await self._read(request, read)
        _answered_by.set(lane.name)
        answer = await _answer(lane, asked)
        reply = cut(answer, body.stops, body.most_tokens)
        if body.wants_json and not _is_json(reply.text):
            message = f"{lane.name}: the answer is not valid JSON"
            raise ApiError(422, message, code="no_answer", headers=_notes(answer))
        logprobs = logprobs_of(reply, answer.scores, body.top_logprobs or 0) if body.logprobs else None
        headers = _notes(answer)
        if not body.stream:
            told = completion(reply_id, created, lane.name, answer, reply, logprobs)
            return web.json_response(told, headers=headers, dumps=dumps)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache", **headers}
        )
        events = chunks(reply_id, created, lane.name, answer, reply, logprobs, include_usage=body.includes_usage)
        with contextlib.suppress(ConnectionResetError):  # the client has gone
            await response.prepare(request)
            await response.write(b"".join(map(event, events)) + b"data: [DONE]\n\n")
            await response.write_eof()
        return response

    async def decide(self, request: web.Request) -> web.Response:
        row_id = f"decision-{uuid.uuid4().hex}"

        def read(raw: bytearray) -> tuple[DecisionBody, Lane, list[Asked]]:
            body = parse_decision(_json(raw))
            lane = self._lane(body.model)
            return body, lane, decision_rows(lane, body, row_id)

        body, lane, rows = await self._read(request, read)
        _answered_by.set(lane.name)
        lane.note(rows[0].taken, rows[0].unlike)  # one input, however many questions
        answers = [
            replace(answer, is_unlike=row.unlike is not None)
            for row, answer in zip(rows, await lane.answer_all([row.row for row in rows]), strict=True)
        ]
        return web.json_response(decision(lane.name, body, answers), headers=_notes(*answers), dumps=dumps)

    async def _read(self, request: web.Request, read: Callable[[bytearray], _T]) -> _T:
        """What `read` makes of the body: in a thread where the body is large, so that others are answered meanwhile.

        A page of another site cannot send a body that is declared as JSON unless the server allows it.
        """
        if request.content_type != "application/json":
            message = f"the body is declared as {request.content_type}; send it with Content-Type: application/json"
            raise ApiError(415, message)
        length = request.content_length
        if length is not None and length > self.most_bytes:  # before any of it is read
            raise web.HTTPRequestEntityTooLarge(max_size=self.most_bytes, actual_size=length)
        async with self._body(request) as raw:
            check_parts(raw, self._most_parts)
            if len(raw) <= READ_AT_ONCE:
                return read(raw)
            async with self._one_large:
                return await asyncio.to_thread(read, raw)

    @contextlib.asynccontextmanager
    async def _body(self, request: web.Request) -> AsyncIterator[bytearray]:
        """The body. While it is used, a large one is counted among those that are held in memory."""
        raw, is_large = bytearray(), False
        try:
            try:
                async with asyncio.timeout(BODY_S):
                    async for piece in request.content.iter_any():
                        raw += piece
                        if len(raw) > self.most_bytes:
                            raise web.HTTPRequestEntityTooLarge(max_size=self.most_bytes, actual_size=len(raw))
                        if len(raw) > LARGE_BODY and not is_large:
                            if self._n_large >= LARGE_AT_ONCE:
                                raise OverloadedError
                            self._n_large, is_large = self._n_large + 1, True
            except TimeoutError:
                raise ApiError(408, f"the body took longer than {BODY_S:g} s to arrive; send it again") from None
            except (ConnectionError, PayloadEncodingError, web.RequestPayloadError):
                raise ApiError(400, "the body breaks off before its end; send it again") from None
            yield raw
        finally:
            self._n_large -= is_large

    def _lane(self, name: str) -> Lane:
        lane = self._lanes.get(name) or self._lanes.get(self._also.get(name, ""))
        if lane is None:
            message = f"the model {name[:100]!r} is not served here; served are {', '.join(self._lanes)}"
            raise ApiError(404, message, param="model", code="model_not_found")
        return lane


async def _answer(lane: Lane, asked: Asked) -> Answer:
    """The answer; ApiError where there is none.

    502: a cascade's teacher failed, and it is worth trying again. 422: a student has no answer to this input, and will
    never have one.
    """
    answer = await answer_to(lane, asked)
    if answer.text is None:
        status, code = (502, "teacher_failed") if answer.source == "teacher" else (422, "no_answer")
        raise ApiError(status, f"{lane.name}: {answer.error or 'no answer'}", code=code, headers=_notes(answer))
    return answer


def _notes(*answers: Answer) -> dict[str, str]:
    """What a client should know of its answer and the API has no place for, as headers."""
    notes = {
        INPUT_CUT: any(answer.is_input_cut for answer in answers),
        UNSTORED: any(answer.is_unstored for answer in answers),
        UNLIKE: any(answer.is_unlike for answer in answers),
    }
    return {name: "true" for name, is_so in notes.items() if is_so}


def _check_format(lane: Lane, body: ChatBody) -> None:
    """Refuse a `response_format` that the answer might not have.

    `json_object` is taken for a student that answers in JSON, and its answer is checked. A schema is always refused.
    """
    wanted = body.response_format.type if body.response_format else "text"
    if wanted == "text" or (wanted == "json_object" and lane.task is not None and lane.task.output == "json"):
        return
    reason = "the schema would not be enforced" if wanted == "json_schema" else "this model does not answer so"
    message = f"response_format {wanted} is not supported by {lane.name}: {reason}; leave it out"
    raise ApiError(400, message, param="response_format", code="unsupported_parameter")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _json(raw: bytearray) -> Any:
    try:
        return json.loads(raw, parse_int=whole_number, parse_float=decimal_number)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise ApiError(400, f"the body is not valid JSON ({reason}); mend it", code="invalid_json") from None


def _error(error: ApiError) -> web.Response:
    headers = error.headers | ({} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)})
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.json_response(error.body, status=error.status, headers=headers, dumps=dumps)
