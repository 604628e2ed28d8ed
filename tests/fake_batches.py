"""OpenAI's and Anthropic's batch APIs for tests, as their documentation describes them, on an aiohttp server of the test's own. Stand-ins for the providers.

`Fake.plan` says what becomes of each request, in the order in which they come: "ok", "expired", "error" (refused for good), "500" (failed for now), "garbage"
(its line in the results is torn), "lost" (no line at all), "other" (a line for an id that nobody sent). Beyond the plan all is "ok".
"""

import asyncio
import contextlib
import json
import threading
import time

from aiohttp import web

# What stands in the place of a reply with status 200, by its fate.
NO_REPLY = {"page": "<html>502 Bad Gateway</html>", "null": None, "blank": " ", "{}": {}}


class Fake:
    def __init__(self, plan=(), polls=1, refuses=None):
        self.refuses = refuses  # a parameter that the model does not take
        self.change = lambda reply: reply  # what becomes of each completion or message before it is sent
        self.plan, self.polls = list(plan), polls  # polls: how often a batch is in progress before it has ended
        self.files, self.batches, self.asked, self.headers = {}, {}, [], []
        self.fail_next = (
            None  # a status, or "drop": the next creation of a batch is done, and the connection then broken
        )
        self.pages = []  # what the next downloads of results are instead of results, with status 200
        self.invalid = None  # why the next batch fails as a whole
        self.hold = None  # a threading.Event: the next batch is made when it is set
        self.held = threading.Event()  # a batch is about to be made

    async def may_be_made(self):
        self.held.set()
        if self.hold is not None:
            await asyncio.to_thread(self.hold.wait, 60)

    def fate(self, row):
        self.asked.append(row["custom_id"])
        if self.refuses in row.get("body", row.get("params")):
            return "refuses"
        return self.plan.pop(0) if self.plan else "ok"

    def made(self, n_fates):
        """The id of a new batch, and whether the connection is to be broken now."""
        id_ = f"batch_{len(self.batches) + 1}"
        self.batches[id_] = n_fates
        drop, self.fail_next = self.fail_next == "drop", None
        return id_, drop


def text_of(messages):
    return "good" if "good" in messages[-1]["content"] else "bad"


def _moment(later_s):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + later_s))


async def _dropped(request):
    request.transport.abort()
    return web.Response()


@contextlib.asynccontextmanager
async def serving(fake):
    """(address without /v1) of both APIs."""
    app = web.Application(client_max_size=2**30)
    _openai(app, fake)
    _anthropic(app, fake)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _openai(app, fake):
    async def upload(request):
        fake.headers.append(request.headers.get("Authorization"))
        form = await request.post()
        assert form["purpose"] == "batch"
        id_ = f"file-{len(fake.files) + 1}"
        fake.files[id_] = form["file"].file.read()
        about = {
            "id": id_,
            "object": "file",
            "purpose": "batch",
            "bytes": len(fake.files[id_]),
            "created_at": int(time.time()),
        }
        return web.json_response(about | {"filename": form["file"].filename, "status": "processed"})

    async def create(request):
        body = await request.json()
        await fake.may_be_made()
        assert (body["endpoint"], body["completion_window"]) == ("/v1/chat/completions", "24h")
        rows = [json.loads(line) for line in fake.files[body["input_file_id"]].splitlines()]
        assert all((row["method"], row["url"]) == ("POST", "/v1/chat/completions") for row in rows)
        if fake.fail_next == 503:
            fake.fail_next = None
            return web.json_response({"error": {"message": "overloaded"}}, status=503)
        fates = [] if fake.invalid else [(row, fake.fate(row)) for row in rows]
        made = {
            "kind": "openai",
            "fates": fates,
            "n": len(rows),
            "polls": fake.polls,
            "metadata": body["metadata"],
            "created_at": int(time.time()),
        }
        made["input_file_id"] = body["input_file_id"]
        made["failed"], fake.invalid = fake.invalid, None
        id_, drop = fake.made(made)
        return await _dropped(request) if drop else web.json_response(shown(id_))

    def shown(id_):
        batch = fake.batches[id_]
        body = {
            "id": id_,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "metadata": batch["metadata"],
            "created_at": batch["created_at"],
        }
        body |= {
            "completion_window": "24h",
            "input_file_id": batch["input_file_id"],
            "expires_at": batch["created_at"] + 86400,
        }
        counts = {"total": batch["n"], "completed": 0, "failed": 0}
        if batch["failed"]:
            errors = {
                "object": "list",
                "data": [{"code": "invalid", "message": batch["failed"], "line": 1, "param": None}],
            }
            return body | {"status": "failed", "errors": errors, "request_counts": counts}
        if batch["polls"] > 0:
            return body | {"status": "in_progress", "request_counts": counts}
        expired = any(fate == "expired" for _, fate in batch["fates"])
        good = [fate for _, fate in batch["fates"] if fate in ("ok", "garbage", "lost", "other", *NO_REPLY)]
        files = {
            "output_file_id": f"{id_}-out" if good else None,
            "error_file_id": f"{id_}-err" if len(good) < batch["n"] else None,
        }
        counts |= {"completed": len(good), "failed": batch["n"] - len(good)}
        return body | files | {"status": "expired" if expired else "completed", "request_counts": counts}

    async def get(request):
        id_ = request.match_info["id"]
        reply = shown(id_)
        fake.batches[id_]["polls"] -= 1
        return web.json_response(reply)

    async def listed(request):
        return web.json_response(
            {"object": "list", "data": [shown(id_) for id_ in reversed(fake.batches)], "has_more": False}
        )

    def line(row, fate):
        message = {"role": "assistant", "content": text_of(row["body"]["messages"]), "refusal": None}
        completion = {
            "id": "chatcmpl-fake",
            "object": "chat.completion",
            "created": 0,
            "model": row["body"]["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22},
        }
        response = {"status_code": 200, "request_id": "req_fake", "body": fake.change(completion)}
        whole = {"id": "batch_req", "custom_id": row["custom_id"], "response": response, "error": None}
        match fate:
            case "expired":
                return whole | {
                    "response": None,
                    "error": {
                        "code": "batch_expired",
                        "message": "This request could not be executed before the window ended.",
                    },
                }
            case "error":
                return whole | {
                    "response": {
                        "status_code": 400,
                        "body": {"error": {"message": "maximum context length is 8192 tokens"}},
                    }
                }
            case "500":
                return whole | {"response": {"status_code": 500, "body": {"error": {"message": "oops"}}}}
            case "other":
                return whole | {"custom_id": "nobody-sent-this"}
            case nothing if nothing in NO_REPLY:
                return whole | {"response": {**response, "body": NO_REPLY[fate]}}
            case "refuses":
                said = {
                    "message": f"Unsupported parameter: '{fake.refuses}' is not supported with this model.",
                    "type": "invalid_request_error",
                }
                said |= {"param": fake.refuses, "code": "unsupported_parameter"}
                return whole | {"response": {"status_code": 400, "request_id": "req_fake", "body": {"error": said}}}
        return whole

    async def content(request):
        if fake.pages:
            return web.Response(text=fake.pages.pop(0), content_type="text/html")
        id_, _, which = request.match_info["id"].rpartition("-")
        wanted = ("ok", "garbage", "other", *NO_REPLY) if which == "out" else ("expired", "error", "500", "refuses")
        lines = [
            json.dumps(line(row, fate))[: 40 if fate == "garbage" else None]
            for row, fate in reversed(fake.batches[id_]["fates"])  # in any order, as documented
            if fate in wanted
        ]
        return web.Response(text="\n".join(lines) + "\n", content_type="application/octet-stream")

    app.router.add_post("/v1/files", upload)
    app.router.add_get("/v1/files/{id}/content", content)
    app.router.add_post("/v1/batches", create)
    app.router.add_get("/v1/batches", listed)
    app.router.add_get("/v1/batches/{id}", get)


def _anthropic(app, fake):
    async def create(request):
        fake.headers.append((request.headers.get("x-api-key"), request.headers.get("anthropic-version")))
        if fake.fail_next == 503:
            fake.fail_next = None
            return web.json_response(
                {"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}}, status=503
            )
        rows = (await request.json())["requests"]
        await fake.may_be_made()
        for row in rows:
            assert len(row["custom_id"]) <= 64 and row["params"]["max_tokens"] > 0
            assert {message["role"] for message in row["params"]["messages"]} <= {"user", "assistant"}
        fates = [(row, fake.fate(row)) for row in rows]
        made = {
            "kind": "anthropic",
            "fates": fates,
            "polls": fake.polls,
            "created_at": _moment(0),
            "expires_at": _moment(86400),
        }
        made["address"] = str(request.url.origin())
        id_, drop = fake.made(made)
        return await _dropped(request) if drop else web.json_response(shown(id_))

    def shown(id_):
        batch = fake.batches[id_]
        ended, n = batch["polls"] <= 0, len(batch["fates"])
        of = [
            {"expired": "expired", "error": "errored", "500": "errored", "refuses": "errored"}.get(fate, "succeeded")
            for _, fate in batch["fates"]
        ]
        kinds = ("succeeded", "errored", "canceled", "expired")  # all zero until the whole batch has ended
        counts = {"processing": 0 if ended else n} | {kind: of.count(kind) if ended else 0 for kind in kinds}
        body = {
            "id": id_,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": counts,
        }
        body |= {
            "created_at": batch["created_at"],
            "expires_at": batch["expires_at"],
            "ended_at": batch["created_at"] if ended else None,
        }
        body |= {"archived_at": None, "cancel_initiated_at": None}
        return body | {"results_url": f"{batch['address']}/v1/messages/batches/{id_}/results" if ended else None}

    async def get(request):
        reply = shown(request.match_info["id"])
        fake.batches[request.match_info["id"]]["polls"] -= 1
        return web.json_response(reply)

    async def listed(request):
        ids = list(reversed(fake.batches))
        return web.json_response(
            {
                "data": list(map(shown, ids)),
                "has_more": False,
                "first_id": ids[0] if ids else None,
                "last_id": ids[-1] if ids else None,
            }
        )

    def line(row, fate):
        message = {
            "id": "msg_fake",
            "type": "message",
            "model": row["params"]["model"],
            "stop_sequence": None,
            "role": "assistant",
            "content": [{"type": "text", "text": text_of(row["params"]["messages"])}],
            "stop_reason": "end_turn",
            "usage": {
                "input_tokens": 15,
                "cache_read_input_tokens": 5,
                "cache_creation_input_tokens": 0,
                "output_tokens": 2,
            },
        }
        match fate:
            case "expired":
                result = {"type": "expired"}
            case "error":
                result = {
                    "type": "errored",
                    "error": {
                        "type": "error",
                        "error": {"type": "invalid_request_error", "message": "prompt is too long"},
                    },
                }
            case "500":
                result = {
                    "type": "errored",
                    "error": {"type": "error", "error": {"type": "api_error", "message": "oops"}},
                }
            case "refuses":
                said = f"`{fake.refuses}` is deprecated for this model."
                result = {
                    "type": "errored",
                    "error": {"type": "error", "error": {"type": "invalid_request_error", "message": said}},
                }
            case _:
                result = {"type": "succeeded", "message": NO_REPLY.get(fate, fake.change(message))}
        return {"custom_id": "nobody-sent-this" if fate == "other" else row["custom_id"], "result": result}

    async def results(request):
        if fake.pages:
            return web.Response(text=fake.pages.pop(0), content_type="text/html")
        lines = [
            json.dumps(line(row, fate))[: 40 if fate == "garbage" else None]
            for row, fate in reversed(fake.batches[request.match_info["id"]]["fates"])
            if fate != "lost"
        ]
        return web.Response(text="\n".join(lines), content_type="application/x-jsonl")

    app.router.add_post("/v1/messages/batches", create)
    app.router.add_get("/v1/messages/batches", listed)
    app.router.add_get("/v1/messages/batches/{id}", get)
    app.router.add_get("/v1/messages/batches/{id}/results", results)
