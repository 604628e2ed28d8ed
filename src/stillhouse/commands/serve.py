"""`serve`: what a run chose, behind the OpenAI API."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from stillhouse.errors import UserError
from stillhouse.records import Predictor
from stillhouse.serving.app import serve as serve_models
from stillhouse.serving.predictors import open_predictor
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
    on_ready: Callable[[str, list[str]], None] | None = None,
) -> None:
    """Serve runs or students until SIGTERM, each under its task's name.

    `cascade` puts each run's student before its teacher. `audit`: a file that notes both answers to 1 % of kept rows.
    `on_ready` gets the base URL and the names served. Raises UserError, ArtifactError, KeyMissingError.
    """
    async with AsyncExitStack() as stack:
        models: dict[str, Predictor] = {}
        for folder in folders:
            opened = await stack.enter_async_context(
                open_predictor(f"{'cascade' if cascade else 'student'}:{folder}", store=store, audit=audit)
            )
            task = getattr(opened, "task", None)
            name = task.name if isinstance(task, Task) else folder.name
            if name in models:
                raise UserError(
                    f"{folder}: a model for the task {name!r} is served already; serve one of the two on another port"
                )
            models[name] = opened
        await serve_models(
            models,
            host=host,
            port=port,
            key=key,
            on_ready=lambda url: on_ready(url, list(models)) if on_ready else None,
        )
