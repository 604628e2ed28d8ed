"""`serve`: what a run chose, behind the OpenAI API."""

from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from stillhouse.errors import UserError
from stillhouse.llm.worked import worked_examples
from stillhouse.records import Example, Predictor
from stillhouse.serving.app import serve as serve_models
from stillhouse.serving.predictors import open_predictor, task_of_model
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
        shots: dict[str, Sequence[Example]] = {}
        teachers: dict[str, str | None] = {}
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
            asked_as = task_of_model(served.model)
            if asked_as is not None:
                shots[name] = worked_examples(asked_as)
                teachers[name] = asked_as.teacher.model
        await serve_models(
            models,
            host=host,
            port=port,
            key=key,
            shots=shots,
            also=_names_of_teachers(teachers, models),
            unproven={name: why for name, why in doubts.items() if why is not None},
            on_ready=lambda url: on_ready(url, doubts) if on_ready else None,
        )


def _names_of_teachers(teachers: Mapping[str, str | None], served: Container[str]) -> dict[str, str]:
    """The name by which an app calls each task's large model, with the task that answers in its place.

    A name that two tasks have in common, or that is a task's own, stands for none.
    """
    names: dict[str, list[str]] = {}
    for task, teacher in teachers.items():
        if teacher is None or teacher.startswith(("scripted:", "recorded:")):
            continue
        name = teacher.rpartition("#")[2] if "://" in teacher else teacher.partition(":")[2]
        names.setdefault(name, []).append(task)
    return {name: tasks[0] for name, tasks in names.items() if name and len(tasks) == 1 and name not in served}
