"""bespokelabs-curator's `LLM` over a dataset, with its cache on disk. Arguments: port, calls, in flight."""

import json
import os
import resource
import sys
import tempfile
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

port, n, in_flight = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
folder = tempfile.TemporaryDirectory()
os.environ |= {
    "CURATOR_CACHE_DIR": folder.name,
    "TELEMETRY_ENABLED": "false",
    "CURATOR_VIEWER": "0",
    "HF_HUB_OFFLINE": "1",
    "OPENAI_API_KEY": "none",
}

# Its token counter wants a vocabulary from the network; litellm, which it brings, has the same file in its package.
os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(find_spec("litellm").origin).parent / "litellm_core_utils" / "tokenizers")

from bespokelabs import curator  # noqa: E402  # its settings are read as it is imported


class Label(curator.LLM):
    def prompt(self, row):
        return [{"role": "system", "content": "Is it good?"}, {"role": "user", "content": row["text"]}]

    def parse(self, row, response):
        return {"label": response}


def cpu_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def once(n, word):
    limits = {
        "max_requests_per_minute": 10_000_000,
        "max_tokens_per_minute": 1_000_000_000,
        "max_concurrent_requests": in_flight,
    }
    params = {"base_url": f"http://127.0.0.1:{port}/v1", "api_key": "none", **limits}
    model = Label(
        model_name="m",
        backend="openai",
        backend_params=params,
        generation_params={"temperature": 0.0, "max_tokens": 512},
    )
    began, used = time.perf_counter(), cpu_s()
    found = model([{"text": f"{word} {i} was a good one"} for i in range(n)])
    rows = getattr(found, "dataset", found)
    assert len(rows) == n and set(rows["label"]) == {"good"}
    return n / (time.perf_counter() - began), n / (cpu_s() - used)


once(50, "warm")
per_s, per_cpu_s = once(n, "day number")
print("\n" + json.dumps({"version": version("bespokelabs-curator"), "per_s": per_s, "per_cpu_s": per_cpu_s}))
os._exit(0)
