"""Many small trainings at once: one process per core, each with a single thread.

Small students do not fill a core: two threads on a busy one were measured up to eight times slower than one. Every
finished arm is on disk before it is reported, so a sweep that is killed goes on with what is missing.
"""

import contextlib
import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from stillhouse.errors import StillhouseError
from stillhouse.evaluation.gold_results import Known, known_results, learn_results
from stillhouse.experiment.arms import StudentPlan, kept_arm, student_arm
from stillhouse.records import Progress
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.stopping import stopping
from stillhouse.student.job import TRAINING

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM")
_ticks: Any = None  # a worker process sends its progress here


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sweep(
    plans: Sequence[StudentPlan], *, workers: int | None = None, on_progress: Callable[[Progress], None] | None = None
) -> list[MeasuredArm]:
    """Measure every plan, in the order given. Progress counts training rows, so that large sizes weigh what they cost.

    Raises what a training raises; arms that are finished by then are kept.
    """
    missing = [plan for plan in plans if not (plan.out / "arm.json").exists()]
    if missing:
        _train(missing, plans, min(workers or cores(), len(missing)), on_progress)
    return [kept_arm(plan.out, plan.test, plan.calibration, plan.others) for plan in plans]


def _train(
    missing: Sequence[StudentPlan],
    plans: Sequence[StudentPlan],
    workers: int,
    on_progress: Callable[[Progress], None] | None,
) -> None:
    total = sum(len(plan.train) for plan in plans)
    done = total - sum(len(plan.train) for plan in missing)
    shares: dict[int, float] = {}
    futures: dict[Future[None], int] = {}
    context = multiprocessing.get_context("spawn")  # a forked child of a process with threads may hang
    ticks = context.Queue()
    # The largest training sets go first, so that the last worker is left with a short one.
    order = sorted(range(len(missing)), key=lambda number: -len(missing[number].train))
    with (
        stopping.telling(lambda: f"{len(plans) - len(futures)} of {len(plans)} students are trained and kept"),
        single_threaded(),
        ProcessPoolExecutor(workers, context, _begin, (ticks, known_results())) as pool,
    ):
        futures.update({pool.submit(_measure, number, missing[number]): number for number in order})
        try:
            while futures:
                finished, _ = wait(futures, timeout=0.25, return_when=FIRST_COMPLETED)
                shares.update(_drain(ticks))
                for future in finished:
                    number = futures.pop(future)
                    future.result()
                    done += len(missing[number].train)
                    shares.pop(number, None)
                if on_progress is not None:
                    running = {number: shares.get(number, 0.0) for number in futures.values()}
                    under_way = sum(share * len(missing[number].train) for number, share in running.items())
                    what = f"training {len(plans):,} students"
                    note = f"{len(plans) - len(futures):,} trained"
                    on_progress(Progress(int(done + under_way), total, what, unit="training rows", note=note))
        except BrokenProcessPool:
            raise StillhouseError(
                "a training process was killed (out of memory?); "
                "run the same command again to go on, with fewer --workers"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _begin(ticks: Any, known: Known) -> None:
    global _ticks
    learn_results(known)
    for number in (signal.SIGINT, signal.SIGHUP):  # they are for the command, which ends its workers
        signal.signal(number, signal.SIG_IGN)
    _ticks = ticks


def _measure(number: int, plan: StudentPlan) -> None:
    """Measure one arm in a worker process, from training to rows on disk."""

    def tick(progress: Progress) -> None:
        if progress.total and _ticks is not None and progress.what.startswith(TRAINING):
            _ticks.put((number, min(1.0, progress.done / progress.total)))

    student_arm(plan, tick)


def _drain(ticks: Any) -> Iterator[tuple[int, float]]:
    with contextlib.suppress(queue.Empty):
        while True:
            yield ticks.get_nowait()


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Children inherit these before they import anything; the libraries read them once, at import."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1") | {"TOKENIZERS_PARALLELISM": "false"})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
