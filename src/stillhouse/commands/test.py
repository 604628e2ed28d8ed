"""`test`: a flow against its cases: every step on its own, the paths, the whole, and all of it against a baseline.

Traces of the test go into a journal of their own beside the result, `tests-N.db`, so that they are never taken for the
app's.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from stillhouse.errors import ExistsError
from stillhouse.experiment.readiness import check_out, check_writable
from stillhouse.flow.allowance import Allowance, allowing
from stillhouse.flow.models import DEFAULT_STORE
from stillhouse.flow.user_flow import load_flow
from stillhouse.flow_tests.baseline import check_common, compare, not_compared
from stillhouse.flow_tests.cases import load_suite
from stillhouse.flow_tests.parts import Parts
from stillhouse.flow_tests.recorded_runs import RecordedRuns
from stillhouse.flow_tests.suite_run import SuiteRun
from stillhouse.records import Progress
from stillhouse.report.test_page import render_test
from stillhouse.results.flow_test import FlowResult, load_rows, rows_of, to_json
from stillhouse.runs import write_atomic, write_json
from stillhouse.session import DEFAULT_SESSION, OnProgress, Session
from stillhouse.settings import TeacherSettings


@dataclass(frozen=True)
class FlowTestRun:
    """A test with the files that it wrote: the result, its page, and the journal with its traces."""

    tested: FlowResult
    file: Path
    page: Path
    journal: Path


async def test(
    target: str,
    *,
    cases: Path = Path("cases"),
    models: Mapping[str, str] | None = None,
    baseline: Path | None = None,
    baseline_models: Mapping[str, str] | None = None,
    margin: float = 0.02,
    metrics: Mapping[str, str] | None = None,
    database: Path | None = None,
    offline: bool = False,
    store: Path | str = DEFAULT_STORE,
    runs: Path = Path("runs"),
    out: Path | None = None,
    session: Session = DEFAULT_SESSION,
) -> FlowTestRun:
    """Test `APP:FLOW` on the cases of a folder.

    `baseline`: an earlier result; or `baseline_models`: the same cases are first run with these models. `offline`: the
    store's answers alone; what has none is listed. `metrics` names how a step's answers are scored (see
    `flow_tests.cases`). Of the `session` hold the prices, the cap and the consent: twenty calls are made before it is
    asked. Raises UserError, DatasetError, ExistsError, StorageError, BudgetError.
    """
    parts = Parts(load_flow(target))
    suite_run = SuiteRun(
        target=target,
        parts=parts,
        suite=load_suite(cases, parts.find, parts.whole, metrics or {}, database),
        store=store,
        offline=offline,
        recorded=RecordedRuns(parts.whole.name, store),
        on_progress=session.on_progress,
    )
    if out is None:
        check_writable(runs)
    else:
        check_out(out)
    sittings = _Sittings(suite_run.n_cases * (2 if baseline_models else 1), session.on_progress)
    suite_run = replace(suite_run, on_progress=sittings.tick)
    n_least = 0 if offline else sittings.n_cases
    settings = session.over(TeacherSettings())
    allowance = Allowance(settings, session.asks, n_least=n_least, share_done=sittings.share_done)
    earlier = load_rows(baseline) if baseline is not None else None
    name = str(baseline) if baseline is not None else None
    if earlier is not None and name is not None:
        check_common(suite_run.suite.keys(parts.whole.name), earlier, name)
    if baseline_models:
        first = _free(runs, None)
        with _whole_or_nothing(first), allowing(allowance):
            before = await suite_run.result({**(models or {}), **baseline_models}, _journal(first))
            allowance.check()
            _write(before, first)
        earlier, name = rows_of(before.parts), str(first)
        sittings.before = suite_run.n_cases
    file = _free(runs, out)
    with _whole_or_nothing(file), allowing(allowance):
        tested = await suite_run.result(models or {}, _journal(file))
        allowance.check()
        if earlier is not None and name is not None:
            against = compare(tested.parts, earlier, margin, name)
            apart = not_compared(tested.parts, earlier, against)
            tested = replace(tested, baseline=name, margin=margin, against=against, not_compared=apart)
        _write(tested, file)
    return FlowTestRun(tested, file, _page(file), _journal(file))


class _Sittings:
    """How far one or two sittings of the same cases are."""

    def __init__(self, n_cases: int, on_progress: OnProgress | None) -> None:
        self.n_cases, self.before = n_cases, 0  # `before`: cases of the first sitting, when it is over
        self._on_progress, self._n_done = on_progress, 0

    def tick(self, progress: Progress) -> None:
        self._n_done = self.before + progress.done
        if self._on_progress is not None:
            self._on_progress(replace(progress, done=self._n_done, total=self.n_cases))

    def share_done(self) -> float:
        return self._n_done / self.n_cases if self.n_cases else 0.0


def _free(runs: Path, out: Path | None) -> Path:
    """The file asked for, or the next free `tests-N.json`."""
    if out is not None:
        for path in (out, _page(out), _journal(out)):
            if path.exists():
                raise ExistsError(f"{path} is there already; give another --out, nothing is overwritten")
        return out
    number = 1
    while any((runs / f"tests-{number}{ending}").exists() for ending in (".json", ".html", ".db")):
        number += 1
    return runs / f"tests-{number}.json"


def _page(file: Path) -> Path:
    return file.with_suffix(".html")


def _journal(file: Path) -> Path:
    return file.with_suffix(".db")


@contextmanager
def _whole_or_nothing(file: Path) -> Iterator[None]:
    """A test that comes to no result leaves no journal behind."""
    try:
        yield
    except BaseException:
        for ending in ("", "-wal", "-shm"):
            _journal(file).with_name(_journal(file).name + ending).unlink(missing_ok=True)
        raise


def _write(tested: FlowResult, file: Path) -> None:
    if file.exists():
        raise ExistsError(f"{file} was written by another test meanwhile; run this one again")
    write_json(file, to_json(tested))
    write_atomic(_page(file), render_test(tested))
