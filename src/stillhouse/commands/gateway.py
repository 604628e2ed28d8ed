"""`gateway`: forward an app's calls, and keep them. `steps`: what the kept calls show."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from stillhouse.flow.models import DEFAULT_STORE
from stillhouse.flow.step_calls import moment
from stillhouse.gateway.recorder import CallRecorder
from stillhouse.gateway.server import Gateway, check_exposed
from stillhouse.gateway.steps import COLUMNS, PROMPTS, Step, steps_of
from stillhouse.gateway.templates import templates_in
from stillhouse.stopping import signals_to
from stillhouse.store.gateway_calls import open_gateway_calls


async def gateway(
    upstreams: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8100,
    store: Path | str = DEFAULT_STORE,
    key: str | None = None,
    texts: bool = True,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Forward calls to these upstreams until SIGTERM or SIGINT, and keep each in the store.

    `upstreams`: "openai", "anthropic" or base URLs. `port` 0 takes a free one. `key`: what clients must send in the
    header X-Stillhouse-Key; their provider's own key goes through and is kept nowhere. `texts` False: instructions,
    inputs and answers are not kept. `on_ready` gets the address. Raises UserError, StorageError.
    """
    check_exposed(host, key)
    recorder = CallRecorder(open_gateway_calls(store), texts=texts)
    try:
        stop = asyncio.Event()
        heard = threading.current_thread() is threading.main_thread()
        with signals_to(stop.set) if heard else contextlib.nullcontext():
            served = Gateway(upstreams, recorder, key=key)
            await served.serve(host, port, stop, on_ready or (lambda _: None))
    finally:
        await asyncio.to_thread(recorder.close)


def steps(store: Path | str = DEFAULT_STORE, *, since: str | None = None) -> list[Step]:
    """The steps of the calls in this store, by money at stake. `since`: a date or time, ISO 8601. Raises UserError."""
    start = 0.0 if since is None else moment(since)
    with open_gateway_calls(store, make=False) as calls:
        templates = templates_in(calls.rows(PROMPTS, "began >= ?", (start,)))
        return steps_of(calls.rows(COLUMNS, "began >= ?", (start,)), templates)
