"""The commands as plain functions: `from stillhouse import label, generate, advise, distill, export`, and so on.

They block until the work is done, also inside a running event loop (a notebook), print nothing, and return records.
A task is the path of a task file or its folder, or a `Task`. Whom to ask, where replies are kept, who is asked before
money is spent and who watches stands in a `Session`. All raise `errors.StillhouseError`, in one sentence each.
"""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from stillhouse.commands.compare import ComparisonRun
from stillhouse.commands.evaluate import Evaluated
from stillhouse.commands.export import Exported
from stillhouse.commands.generate import GeneratedFiles
from stillhouse.commands.label import LabelledFile
from stillhouse.commands.reading import Columns, reading_by
from stillhouse.commands.verdict_run import VerdictRun
from stillhouse.errors import UserError
from stillhouse.event_loop import result_of
from stillhouse.session import DEFAULT_SESSION, Session
from stillhouse.task import Task
from stillhouse.teacher.generation import Wanted

TaskName = str | Path | Task


def label(
    task: TaskName,
    session: Session = DEFAULT_SESSION,
    *,
    data: str | Path | None = None,
    map: Columns | None = None,
    encoding: str | None = None,
    out: str | Path | None = None,
    batch: bool = False,
    skip_bad: bool = False,
) -> LabelledFile:
    """The teacher's answers to a task's rows, or to those of `data`, written to `out` (default: `teacher.jsonl`).

    `map`: field of a row -> column of `data`, or several of `input`. Of the task's own files `map` in `[data]` says it.
    """
    from stillhouse.commands.label import label as run

    if data is None and (map or encoding):
        raise UserError("map and encoding go with data; for the task's own files write them into [data]")
    reading = reading_by(map, encoding)
    return result_of(
        run(_task(task), session, data=_path(data), reading=reading, out=_path(out), batch=batch, skip_bad=skip_bad)
    )


def generate(
    task: TaskName | None = None,
    n: int = 100,
    session: Session = DEFAULT_SESSION,
    *,
    seeds: str | Path | None = None,
    wanted: Wanted | None = None,
    out: str | Path | None = None,
    skip_bad: bool = False,
) -> GeneratedFiles:
    """`n` new inputs like a task's or, without a task, new exercises from seed tasks. `wanted` says more than `n`."""
    from stillhouse.commands.generate import generate as run

    target = None if task is None else _task(task)
    return result_of(run(target, wanted or Wanted(n), session, seeds=_path(seeds), out=_path(out), skip_bad=skip_bad))


def advise(
    task: TaskName,
    session: Session = DEFAULT_SESSION,
    *,
    runs: str | Path = "runs",
    seeds: int = 5,
    sizes: Sequence[int] | None = None,
    workers: int | None = None,
    skip_bad: bool = False,
    drop_overlap: bool = False,
) -> VerdictRun:
    """All arms on the same test rows, learning curves, the money: one verdict, in `.result.verdict`."""
    from stillhouse.commands.advise import advise as run

    return run(
        _task(task),
        session,
        runs=Path(runs),
        seeds=seeds,
        sizes=sizes,
        workers=workers,
        skip_bad=skip_bad,
        drop_overlap=drop_overlap,
    )


def distill(
    task: TaskName,
    session: Session = DEFAULT_SESSION,
    *,
    runs: str | Path = "runs",
    seed: int = 0,
    advice: str | Path | None = None,
    all_students: bool = False,
    skip_bad: bool = False,
    drop_overlap: bool = False,
) -> VerdictRun:
    """Students up the ladder, each against the prompt on held-out rows. `.serves`: one, or a cascade, may serve."""
    from stillhouse.commands.distill import distill as run

    return run(
        _task(task),
        session,
        runs=Path(runs),
        seed=seed,
        advice=_path(advice),
        all_students=all_students,
        skip_bad=skip_bad,
        drop_overlap=drop_overlap,
    )


def evaluate(
    model: str | Path,
    data: str | Path,
    session: Session = DEFAULT_SESSION,
    *,
    task: TaskName | None = None,
    map: Columns | None = None,
    encoding: str | None = None,
    out: str | Path | None = None,
    skip_bad: bool = False,
    anyway: bool = False,
) -> Evaluated:
    """Any model (a name, or a student's or a run's folder) on any labelled rows, `map` as in `label`.

    Rows that a student learned from, or was chosen by, are refused with a UserError; `anyway` measures them as well.
    """
    from stillhouse.commands.evaluate import evaluate as run

    of = None if task is None else _task(task)
    return run(
        str(model),
        Path(data),
        session,
        task=of,
        out=_path(out),
        reading=reading_by(map, encoding),
        skip_bad=skip_bad,
        anyway=anyway,
    )


def compare(
    a: str,
    b: str,
    data: str | Path,
    session: Session = DEFAULT_SESSION,
    *,
    task: TaskName | None = None,
    map: Columns | None = None,
    encoding: str | None = None,
    judge: str | None = None,
    judgements: str | Path | None = None,
    gate: bool = False,
    margin: float | None = None,
    level: float | None = None,
    runs: str | Path = "runs",
    skip_bad: bool = False,
) -> ComparisonRun:
    """Two systems answer against answer: by a judge model, and by what people have chosen so far (`judgements`).

    `map`: as in `label`.
    """
    from stillhouse.commands.compare import compare as run

    return run(
        a,
        b,
        Path(data),
        session,
        task=None if task is None else _task(task),
        reading=reading_by(map, encoding),
        judge=judge,
        judgements=_path(judgements),
        gate=gate,
        margin=margin,
        level=level,
        runs=Path(runs),
        skip_bad=skip_bad,
    )


def serve(
    *folders: str | Path,
    cascade: bool = False,
    host: str = "127.0.0.1",
    port: int = 8000,
    key: str | None = None,
    store: str | Path | None = None,
    unproven: bool = False,
) -> "Server":
    """Runs or students behind the OpenAI API, from a thread of its own; `port` 0 takes a free one.

    Returns when requests are answered. Use it as a context manager, or call `stop`. What no verdict proves is refused
    with a UserError; `unproven` serves it, and every answer then says so in a header.
    """
    return Server([Path(folder) for folder in folders], cascade, host, port, key, _path(store), unproven)


def export(run: str | Path, to: str, out: str | Path, *, unproven: bool = False) -> Exported:
    """A student as the new folder `out`, which loads without Stillhouse; `to` is "onnx" or "hf".

    What no verdict proves is refused with a UserError; `unproven` exports it, and its card then says so.
    """
    from stillhouse.commands.export import export as run_export

    return run_export(Path(run), to, Path(out), unproven=unproven)


class Server:
    """A server that runs: `base_url` is what clients are given, `names` are the models that they may ask for."""

    def __init__(
        self,
        folders: list[Path],
        cascade: bool,
        host: str,
        port: int,
        key: str | None,
        store: Path | None,
        unproven: bool = False,
    ) -> None:
        self.base_url, self.names = "", list[str]()
        self._unproven: dict[str, str] = {}
        self._settled = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: asyncio.Task[None] | None = None

        from stillhouse.commands.serve import serve as serve_until_stopped

        async def run() -> None:
            self._loop, self._work = asyncio.get_running_loop(), asyncio.current_task()
            await serve_until_stopped(
                folders,
                cascade=cascade,
                host=host,
                port=port,
                key=key,
                store=store,
                unproven=unproven,
                on_ready=self._ready,
            )

        def in_a_loop() -> None:
            try:
                asyncio.run(run())
            except asyncio.CancelledError:
                pass  # `stop` was called
            except BaseException as error:
                self._failure = error
            finally:
                self._settled.set()

        self._thread = threading.Thread(target=in_a_loop, name="stillhouse-serve", daemon=True)
        self._thread.start()
        self._settled.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def _ready(self, base_url: str, served: Mapping[str, str | None]) -> None:
        self.base_url, self.names = base_url, list(served)
        self._unproven = {name: why for name, why in served.items() if why is not None}
        self._settled.set()

    @property
    def unproven(self) -> dict[str, str]:
        """Of the models that no verdict proves, why."""
        return self._unproven

    def wait(self) -> None:
        """Until the server ends. Raises what ended it."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Finish the requests under way, and end."""
        if self._thread.is_alive() and self._loop is not None and self._work is not None:
            self._loop.call_soon_threadsafe(self._work.cancel)
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _task(task: TaskName) -> Path | Task:
    return Path(task) if isinstance(task, str) else task


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
