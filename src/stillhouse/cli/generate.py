"""`stillhouse generate`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stillhouse.clean_text import terminal_text
from stillhouse.cli.console import emit_json, err, out, progress_bar
from stillhouse.cli.options import AcceptTerms, AsJson, Buying, Rows, SkipBad, Store, Teacher, command
from stillhouse.cli.terms import once_confirmed
from stillhouse.errors import UserError
from stillhouse.event_loop import result_of
from stillhouse.numbers import usd

if TYPE_CHECKING:
    from stillhouse.commands.generate import GeneratedFiles
    from stillhouse.teacher.diversity import Verbs
    from stillhouse.teacher.generated_rows import GenerateReport
    from stillhouse.teacher.root_verbs import Parsed


@command
def generate(
    task: Annotated[
        Path | None,
        typer.Argument(help="task.toml, its folder, or a step, APP.py:STEP: new inputs in the style of its rows"),
    ] = None,
    *,
    n: Annotated[int, typer.Option("--n", "-n", help="rows to keep")] = 100,
    seeds: Annotated[
        str | None,
        typer.Option(
            help="seed tasks (JSONL), or `builtin`: new exercises with instruction, input and output, as Alpaca's"
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--out", help="where the rows go; default: generated.jsonl beside the task")
    ] = None,
    teacher: Teacher = None,
    evolve: Annotated[
        str, typer.Option(help="ways to make inputs, with commas: new, harder, rarer, rephrased")
    ] = "new",
    balance: Annotated[bool, typer.Option("--balance", help="ask for as many inputs of each class")] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(help="an Alpaca rule to switch off: length, words, program, punctuation, ascii; or refusal"),
    ] = None,
    near: Annotated[
        str,
        typer.Option(
            help="what finds near copies: rouge-l (all of them), or minhash for more than a million rows (misses some)"
        ),
    ] = "rouge-l",
    threshold: Annotated[
        float | None, typer.Option(help="the similarity above which a row is dropped; default 0.7")
    ] = None,
    shots: Annotated[int, typer.Option(help="rows shown in a prompt")] = 3,
    per_call: Annotated[int, typer.Option(help="new rows asked for in one call")] = 20,
    max_tokens: Annotated[int, typer.Option(help="longest reply")] = 3072,
    structured: Annotated[
        bool | None,
        typer.Option(
            "--structured/--no-structured",
            help="ask for JSON by a schema, where the endpoint has that; default: `structured` in [teacher]",
        ),
    ] = None,
    context_tokens: Annotated[
        int | None,
        typer.Option(
            help="the model's context, beyond which no prompt is sent; default: from the price table or the endpoint's "
            "list of models"
        ),
    ] = None,
    data: Rows = None,
    seed: Annotated[
        int,
        typer.Option(
            help="another seed asks other calls; the same one asks the same, and what was paid for comes from the store"
        ),
    ] = 0,
    buying: Buying,
    store: Store = None,
    parser: Annotated[
        str,
        typer.Option(help="who finds the root verbs for the page: spacy (extra diversity), or teacher (paid calls)"),
    ] = "spacy",
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="write a page on the rows' diversity beside them")
    ] = True,
    skip_bad: SkipBad = False,
    accept_terms: AcceptTerms = False,
    as_json: AsJson = False,
) -> None:
    """New rows by a teacher: inputs for a task, or exercises from seed tasks. Run again, it goes on: what was
    answered is never paid again.

    The first Ctrl-C or SIGTERM waits a few seconds for the calls in flight and stores their answers, the second
    leaves at once; how many were left, and may be paid again, is said. At most eight calls go ahead to tell what
    the rest will cost; then you are asked, unless --yes or a cap says so already.
    """
    from stillhouse.commands.diversity import write_page
    from stillhouse.commands.generate import generate as run
    from stillhouse.commands.step_task import task_of
    from stillhouse.teacher.generation import Wanted
    from stillhouse.teacher.generation_settings import GenerationSettings

    if parser not in ("spacy", "teacher"):
        raise UserError(f"--parser {parser}: no way to find root verbs; give spacy or teacher")
    if parser == "teacher" and not report:
        raise UserError("--parser teacher reads verbs for the page; leave out --no-report, or --parser")
    ways = tuple(way.strip() for way in evolve.split(",") if way.strip())
    wanted = Wanted(n, ways or ("new",), balance, tuple(without or ()), near, threshold)
    asking = GenerationSettings(
        shots=shots, per_call=per_call, max_tokens=max_tokens, seed=seed, context_tokens=context_tokens
    )
    if task is None and data is not None:
        raise UserError("--data goes with a step's name, APP:STEP; for exercises give your seeds with --seeds")
    target = None if task is None else task_of(task, data)
    with progress_bar() as tick:
        session = buying.session(target, tick, teacher=teacher, store=store, structured=structured)
        work = once_confirmed(lambda *arguments, **options: result_of(run(*arguments, **options)), accept_terms, tick)
        done = work(
            target,
            wanted,
            session,
            seeds=seeds,
            asking=asking,
            out=to,
            skip_bad=skip_bad,
            verbs_by_teacher=parser == "teacher",
        )
        page, verbs = write_page(done, tick) if report and done.texts else (None, None)
    _show(done, verbs, page, task, as_json)
    if not done.report.kept:
        raise typer.Exit(1)  # why is said


def _show(done: "GeneratedFiles", verbs: "Verbs | None", page: Path | None, task: Path | None, as_json: bool) -> None:
    files = [*done.files, *([page] if page is not None else [])]
    if as_json:
        diversity = {
            "verbs": None if verbs is None else asdict(verbs),
            "asked_for_verbs": None if done.parsed is None else _parsing(done.parsed),
        }
        emit_json({"out": str(done.out), "files": list(map(str, files)), **asdict(done.report), **diversity})
        return
    _print(done.report, done.out)
    _print_verbs(verbs, done.parsed)
    for path in files[1:]:
        out.print(f"  {path}")
    if task is not None and done.report.kept:
        out.print(
            f'next: in [data] of the task: unlabelled = "{done.out.name}", then stillhouse label {task}', markup=False
        )


def _print_verbs(verbs: "Verbs | None", parsed: "Parsed | None") -> None:
    from stillhouse.commands.diversity import unread_notes

    if verbs is not None:
        out.print(f"  root verbs of {verbs.n} rows found by {verbs.parser}", soft_wrap=True, highlight=False)
    for note in () if parsed is None else unread_notes(parsed):
        out.print(f"    {note}", soft_wrap=True, highlight=False)


def _parsing(parsed: "Parsed") -> dict[str, Any]:
    """How the teacher was asked for verbs; the verbs themselves are counted elsewhere."""
    return {name: value for name, value in asdict(parsed).items() if name != "pairs"}


def _context(report: "GenerateReport") -> str:
    if report.context_tokens is None:
        unknown = f"that of {report.teacher} is not known; --context-tokens says it"
        return f"prompts were not checked against a context: {unknown}"
    return f"no prompt passes the context of {report.context_tokens:,} tokens ({report.context_from})"


def _print(report: "GenerateReport", path: Path) -> None:
    stand_in = " (a stand-in, not a model)" if report.stand_in else ""
    out.print(f"{report.kept} of {report.n} rows by {report.teacher}{stand_in}: {path}")
    n_asked = sum(n for n, _ in report.curve)
    calls = f"{report.calls} calls ({report.from_store} answered from the store) asked for {n_asked} proposals"
    out.print(f"  {calls}; compared with {report.known} known rows")
    if report.held_out:
        out.print(f"  none resembles one of {report.held_out} held-out rows")
    else:
        out.print("  no held-out rows to compare with")
    out.print(f"  {_context(report)}")
    if report.filters and report.filters[0].judged:
        passed = ", ".join(f"{passing.name} {passing.passed} of {passing.judged}" for passing in report.filters)
        out.print(f"  passed: {passed}", soft_wrap=True, highlight=False)
    for reason, count in report.dropped.items():
        out.print(f"  {count} dropped: {reason}")
    paid = f"nothing paid; {report.price_snapshot or 'a model'} would have cost" if report.stand_in else "paid now:"
    out.print(f"  {paid} {usd(report.cost_usd)}")
    for warning in report.warnings:
        err.print(f"warning: {warning}", soft_wrap=True, highlight=False)
    if report.stopped != "enough":
        curve = " ".join(f"{n_kept}/{n}" for n, n_kept in report.curve[-20:])
        err.print(f"warning: stopped ({report.stopped}): {report.why}", soft_wrap=True, highlight=False)
        err.print(f"  kept of asked, call by call: {curve}", soft_wrap=True, highlight=False)
    if report.shown:
        begins = terminal_text(report.shown)
        err.print("  a reply of them begins so:", highlight=False)
        err.print(f"    {begins}".replace("\n", "\n    "), soft_wrap=True, highlight=False, markup=False)
