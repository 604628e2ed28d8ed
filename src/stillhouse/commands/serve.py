"""`serve`: what a run chose, behind the OpenAI API."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from stillhouse.errors import UserError
from stillhouse.records import Predictor
from stillhouse.serving.app import serve as serve_models
from stillhouse.serving.predictors import open_predictor
from stillhouse.serving.proof import to_serve
from stillhouse.task import Task


async def serve(
    folders: list[Path],
    *,
    cascade: bool = False,
    host: str = "127.0.0.1",
    port: int = 8000,
    key: str | None = None,
    store: Path | str | None = None,
    audit: Path | None = None,
    unproven: bool = False,
    on_ready: Callable[[str, Mapping[str, str | None]], None] | None = None,
) -> None:
    """Serve runs or students until SIGTERM, each under its task's name.

    `cascade` puts each run's student before its teacher. `audit`: a file that notes both answers to 1 % of kept rows.
    `unproven` serves also what no verdict proves, and every answer then says so. `on_ready` gets the base URL and the
    names served, each with why it is unproven (None: it is proven). Raises UserError, ArtifactError, KeyMissingError.
    """
    async with AsyncExitStack() as stack:
        models: dict[str, Predictor] = {}
        doubts: dict[str, str | None] = {}
        for folder in folders:
            served = to_serve(folder, cascade=cascade, unproven=unproven)
            opened = await stack.enter_async_context(
                open_predictor(served.model, store=store, audit=audit, unproven=unproven)
            )
            task = getattr(opened, "task", None)
            name = task.name if isinstance(task, Task) else folder.name
            if name in models:
                raise UserError(
                    f"{folder}: a model for the task {name!r} is served already; serve one of the two on another port"
                )
            models[name], doubts[name] = opened, served.unproven
        await serve_models(
            models,
            host=host,
            port=port,
            key=key,
            unproven={name: why for name, why in doubts.items() if why is not None},
            on_ready=lambda url: on_ready(url, doubts) if on_ready else None,
        )
