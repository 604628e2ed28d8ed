"""A chat-completions endpoint for tests, in a process of its own: it counts what it is asked in a file, and fails in the way the model's name says.

Run: `python fake_endpoint.py ROOT`; it writes its port to ROOT/fake-endpoint-port. A test with the folder ROOT/NAME has the address /NAME/v1 and a line
per call, the last user message as JSON, in ROOT/NAME/calls: one process serves a whole session, and no test sees another's calls.
It is a stand-in for a provider: the answer to a text is "good" where the text says so, else "bad".
"""

import asyncio
import atexit
import contextlib
import functools
import json
import math
import random
import re
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web


@dataclass(frozen=True)
class Endpoint:
    """A running fake. `url("MODE")` is a model's name for Stillhouse."""

    folder: Path
    port: int

    def url(self, mode: str = "ok") -> str:
        return f"http://127.0.0.1:{self.port}/{self.folder.name}/v1#{mode}"

    def calls(self) -> Counter[str]:
        path = self.folder / "calls"
        whole, _, _ = (
            path.read_text().rpartition("\n") if path.exists() else ("", "", "")
        )  # the last line may be half written at this moment
        return Counter(json.loads(line) for line in whole.splitlines())


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Endpoint]:
    """The fake with its counts in `folder`. Its process starts with the first test that asks for it and ends with the session."""
    yield Endpoint(folder, _port(folder.parent))


@functools.cache
def _port(root: Path) -> int:
    """The port of a new process that ends with this one."""
    process = subprocess.Popen([sys.executable, __file__, str(root)])
    atexit.register(process.wait)
    atexit.register(process.kill)  # before the wait: the last that is registered runs first
    port = root / "fake-endpoint-port"
    for _ in range(600):
        if port.exists() and port.read_text():
            return int(port.read_text())
        assert process.poll() is None, "the fake endpoint did not start"
        time.sleep(0.02)
    raise AssertionError("the fake endpoint did not start within 12 seconds")


def completion(text, finish="stop"):
    return {
        "id": "fake",
        "object": "chat.completion",
        "created": 0,
        "model": "fake",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22},
    }


def _json_200(value):
    return web.json_response(value, headers={"Retry-After": "0"})


# What comes with status 200 the first time, and is no reply.
_ONCE = {
    "page-once": lambda: web.Response(text="<html>502 Bad Gateway</html>", content_type="text/html"),
    "empty-once": lambda: web.Response(body=b""),
    "blank-once": lambda: web.Response(text=" \r\n", content_type="application/json"),
    "null-once": lambda: _json_200(None),
    "{}-once": lambda: _json_200({}),
    "error-502-once": lambda: _json_200({"error": {"message": "upstream is down", "code": 502}}),
    "error-type-once": lambda: _json_200({"error": {"message": "down", "type": "server_error", "code": None}}),
    "stream-error-once": lambda: web.Response(
        text='data: {"choices": [null], "error": {"message": "down", "code": 502}}\n\ndata: [DONE]\n\n',
        content_type="text/event-stream",
    ),
}


def _agent(body, refuses):
    """Adds 1 and 2 with the tool `add`, then says what the tool said."""
    last = body["messages"][-1]
    if refuses and "tools" in body:
        return web.json_response({"error": {"message": "tools are not supported"}}, status=400)
    if last["role"] == "tool":
        return web.json_response(completion(f"The sum is {last['content']}"))
    if str(last["content"]).startswith("Observation:"):
        return web.json_response(
            completion(f"Thought: that is it\nFinal Answer: The sum is {last['content'].removeprefix('Observation: ')}")
        )
    if "tools" not in body:
        return web.json_response(completion('Thought: add them\nAction: add\nAction Input: {"a": 1, "b": 2}'))
    reply = completion(None, "tool_calls")
    call = {"id": "call-1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
    reply["choices"][0]["message"]["tool_calls"] = [call]
    return web.json_response(reply)


def _refusal(body, mode):
    """What a model that takes fewer parameters says of the first that it does not take; None where it takes them all."""
    if mode == "reasoning" and "max_tokens" in body:
        said = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        return {
            "message": said,
            "type": "invalid_request_error",
            "param": "max_tokens",
            "code": "unsupported_parameter",
        }
    if mode == "reasoning" and body.get("temperature", 1) != 1:
        said = f"Unsupported value: 'temperature' does not support {body['temperature']} with this model. Only the default (1) value is supported."
        return {"message": said, "type": "invalid_request_error", "param": "temperature", "code": "unsupported_value"}
    if (
        mode != "reasoning"
        and (name := next((one for one in ("temperature", "top_p") if one in body), None)) is not None
    ):
        return {
            "message": f"`{name}` is deprecated for this model.",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
    return None


def _place(body, mode):
    """JSON for a place: at once where a schema is sent, after one repair where none is, never."""
    if mode == "place-plain" and "response_format" in body:
        return web.json_response({"error": {"message": "response_format is not supported"}}, status=400)
    if mode == "place" or (mode == "place-plain" and len(body["messages"]) > 2):
        return web.json_response(completion('{"city": "Porto", "orders": 3}'))
    return web.json_response(completion('{"city": "Porto", "orders": "many"}'))


def _in_json(body):
    """Ten exercises or inputs, as the schema has them."""
    (name, part), *_ = body["response_format"]["json_schema"]["schema"]["properties"].items()
    draw = random.Random(body["messages"][-1]["content"])
    texts = [" ".join(f"word{draw.randrange(500)}" for _ in range(8)) for _ in range(10)]
    is_text = part["items"]["type"] == "string"
    exercises = [{"instruction": f"Explain {text}.", "input": "", "output": "Done."} for text in texts]
    return completion(json.dumps({name: texts if is_text else exercises}))


def _proposals(body, mode):
    """Numbered exercises or inputs, made of the prompt; "proposals-few" has four wordings in all, "proposals-cut" stops in the middle of the last."""
    system, shown = body["messages"][0]["content"], body["messages"][-1]["content"]
    if "grammarian" in system:  # of each text its first word, and no object; the third line of a reply is prose
        words = [re.match(r"(\d+)\. (\S+)", line).groups() for line in shown.splitlines()]
        return completion(
            "\n".join(f"{number}: {word} | <none>" if number != "3" else "I cannot tell." for number, word in words)
        )
    first, last = map(int, re.search(r"from (\d+) to (\d+)", system).groups())
    draw = random.Random(shown)
    parts = []
    for number in range(first, last + 1):
        words = (
            [f"word{draw.randrange(500)}" for _ in range(8)]
            if mode != "proposals-few"
            else ["the", "same", "old", "exercise", f"again{draw.randrange(4)}"]
        )
        text = " ".join(words)
        parts.append(
            f"## {number}\n"
            + (f"Instruction: Explain {text}.\nInput: <none>\nOutput: Done." if "Instruction:" in shown else text)
        )
    reply = "\n\n".join(parts)
    return completion(reply[:-5], "length") if mode == "proposals-cut" else completion(reply)


async def _stream(request, body, mode):
    if not body.get("stream"):
        return web.json_response(completion("not streamed"))
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for piece in () if mode == "stream-early" else ("Good ", "morning"):
        chunk = {"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
    if mode == "stream":
        await response.write(b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n')
        await response.write(b'data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}\n\n')
        await response.write(b"data: [DONE]\n\n")
    else:
        assert request.transport is not None
        request.transport.abort()
    return response


def serve(root: Path) -> None:
    seen: Counter[tuple[str, str, str]] = Counter()

    async def chat(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        test, mode, text = request.match_info["test"], body["model"], body["messages"][-1]["content"]
        with (root / test / "calls").open("a") as calls:
            calls.write(json.dumps(text) + "\n")
        seen[test, mode, text] += 1
        answer = completion("good" if "good" in text else "bad")
        match mode:
            case "ok":
                return web.json_response(answer)
            case "moody" if "so-so" in text:  # no rule of the text: nothing can be learned of these
                return web.json_response(completion("good" if zlib.crc32(text.encode()) % 2 else "bad"))
            case "moody":
                return web.json_response(answer)
            case "slow":
                await asyncio.sleep(0.02)
                return web.json_response(answer)
            case "401":
                return web.json_response(
                    {"error": {"message": f"wrong key {request.headers.get('Authorization')}"}}, status=401
                )
            case "401-long":  # the key stands where a short message would be cut through it
                return web.json_response(
                    {"error": {"message": "x" * 180 + " " + request.headers.get("Authorization", "")}}, status=401
                )
            case "error-200-long":
                return web.json_response({"error": "x" * 180 + " " + request.headers.get("Authorization", "")})
            case "html-long":
                return web.Response(text="x" * 60 + request.headers.get("Authorization", ""), content_type="text/html")
            case "echo":
                return web.json_response(completion(f"good, {request.headers.get('Authorization')}"))
            case "404":
                return web.json_response({"error": {"message": "no such model"}}, status=404)
            case "400":
                return web.json_response({"error": {"message": "too long"}}, status=400)
            case "429-once" | "429-now" | "429-nan" | "500-once" | "close-once" if seen[test, mode, text] > 1:
                return web.json_response(answer)
            case "429-once":
                return web.json_response(
                    {"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "0.01"}
                )
            case "429-now" | "429-nan":
                return web.json_response(
                    {}, status=429, headers={"Retry-After": {"429-now": "0", "429-nan": "nan"}[mode]}
                )
            case "500-once" | "500":
                return web.Response(status=500, text="oops", headers={"Retry-After": "0.001"})
            case "close-once":
                response = web.StreamResponse(headers={"Content-Length": "1000"})
                await response.prepare(request)
                await response.write(b'{"choices": [')
                assert request.transport is not None
                request.transport.abort()
                return response
            case "huge":
                return web.Response(body=b"x" * 30_000_000, content_type="application/json")
            case "stream-garbage":
                return web.Response(body=b"data: {\x00\xff\n\n" * 3, content_type="text/event-stream")
            case "stream-unasked":
                chunk = {"choices": [{"index": 0, "delta": {"content": "good"}, "finish_reason": "stop"}]}
                return web.Response(
                    text=f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n", content_type="text/event-stream"
                )
            case "null-choice":
                return web.json_response({**answer, "choices": [None]})
            case "nan-logprobs":
                answer["choices"][0]["logprobs"] = {"content": [{"token": "good", "logprob": math.nan}]}
                return web.json_response(answer)
            case "quota":
                return web.json_response(
                    {"error": {"message": "you exceeded your quota", "code": "insufficient_quota"}}, status=429
                )
            case "context-long":
                said = {"message": "maximum context length is 8192 tokens", "code": "context_length_exceeded"}
                return web.json_response({"error": said}, status=400) if len(text) > 1000 else web.json_response(answer)
            case once if once in _ONCE:
                return _ONCE[mode]() if seen[test, mode, text] == 1 else web.json_response(answer)
            case "stream-untyped":
                chunk = {"choices": [{"index": 0, "delta": {"content": "good"}, "finish_reason": "stop"}]}
                return web.Response(text=f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n", content_type="text/plain")
            case "409-once" | "425-once" | "408-once" if seen[test, mode, text] > 1:
                return web.json_response(answer)
            case "409-once" | "425-once" | "408-once":
                return web.json_response({}, status=int(mode[:3]), headers={"Retry-After": "0"})
            case "garbage":
                return web.Response(body=b"\x00\xff{", content_type="application/json")
            case "nested":
                return web.Response(text="[" * 200_000, content_type="application/json")
            case "half-character":
                return web.json_response(completion("good \ud800"))
            case "html":
                return web.Response(text="<html>maintenance</html>", content_type="text/html")
            case "error-200":
                return web.json_response({"error": {"message": "overloaded"}})
            case "no-choices":
                return web.json_response({**answer, "choices": []})
            case "judge":
                return web.json_response(completion("first"))
            case "empty":
                return web.json_response(completion("  "))
            case "length":
                return web.json_response(completion("go", "length"))
            case "filter":
                return web.json_response(completion(None, "content_filter"))
            case "some-nonsense" if int(text.split()[1]) % 3:  # of "day 6 was good" two thirds
                return web.json_response(answer)
            case "nonsense" | "some-nonsense":
                return web.json_response(completion("I would rather not say"))
            case "reasoning" | "no-sampler" | "no-sampler-proposals" if (refusal := _refusal(body, mode)) is not None:
                return web.json_response({"error": refusal}, status=400)
            case "reasoning" | "no-sampler":
                return web.json_response(answer)
            case "plain-only" if "logprobs" in body or "temperature" in body:
                lacks = "logprobs" if "logprobs" in body else "temperature"
                return web.json_response({"error": {"message": f"{lacks} is not supported"}}, status=400)
            case "plain-only":
                return web.json_response(answer)
            case "too-many-tokens":
                said = "max_tokens is too large: 5. This model supports at most 4 completion tokens."
                return web.json_response(
                    {"error": {"message": said, "param": "max_tokens", "code": "invalid_value"}}, status=400
                )
            case "agent" | "agent-text":
                return _agent(body, refuses=mode == "agent-text")
            case "place" | "place-plain" | "place-bad":
                return _place(body, mode)
            case "logprobs" if body.get("logprobs"):
                pieces = [{"token": "ye", "logprob": math.log(0.9)}, {"token": "s", "logprob": math.log(0.5)}]
                reply = completion("yes")
                reply["choices"][0]["logprobs"] = {"content": pieces}
                return web.json_response(reply)
            case "no-logprobs" if body.get("logprobs"):
                return web.json_response({"error": {"message": "logprobs are not supported"}}, status=400)
            case "no-logprobs" | "decisions":
                return web.json_response(completion("yes"))
            case (
                "proposals"
                | "no-sampler-proposals"
                | "proposals-listed"
                | "proposals-plain"
                | "proposals-schema"
                | "proposals-few"
                | "proposals-cut"
                | "proposals-slow"
            ):
                await asyncio.sleep(0.1 if mode == "proposals-slow" else 0)
                if "response_format" in body and mode == "proposals-plain":
                    return web.json_response({"error": {"message": "response_format is not supported"}}, status=400)
                if "response_format" in body and mode == "proposals-schema":
                    return web.json_response(_in_json(body))
                return web.json_response(_proposals(body, mode))
            case "context-short":
                said = "This model's maximum context length is 512 tokens; your messages have 900."
                return web.json_response({"error": {"message": said, "code": "context_length_exceeded"}}, status=400)
            case "stream" | "stream-broken" | "stream-early":
                return await _stream(request, body, mode)
        return web.json_response({"error": {"message": f"no mode {mode}"}}, status=400)

    async def decisions(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        with (root / request.match_info["test"] / "calls").open("a") as calls:
            calls.write(json.dumps(f"decision: {body['questions'][0]['instructions']}") + "\n")
        if body["model"] != "decisions":
            return web.json_response({"error": {"message": "not found"}}, status=404)
        first, *others = (choice["value"] for choice in body["questions"][0]["choices"])
        shares = [
            {"value": first, "probability": 0.7},
            *({"value": value, "probability": 0.3 / len(others)} for value in others),
        ]
        answer = {"type": "choice", "name": "decision", "choice": first, "confidence": 0.7, "probabilities": shares}
        return web.json_response(
            {
                "model": "decisions",
                "answers": [answer],
                "usage": {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10},
            }
        )

    async def models(request: web.Request) -> web.StreamResponse:
        """As vLLM lists a model of 4,096 tokens; of the others no more than OpenAI's form says."""
        listed = [
            {"id": "proposals", "object": "model"},
            {"id": "proposals-listed", "object": "model", "max_model_len": 4096},
        ]
        return web.json_response({"object": "list", "data": listed})

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/{test}/v1/models", models)
        app.router.add_post("/{test}/v1/decisions", decisions)
        app.router.add_post("/{test}/v1/chat/completions", chat)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        (root / "fake-endpoint-port").write_text(str(runner.addresses[0][1]))
        await asyncio.Event().wait()

    asyncio.run(main())


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
