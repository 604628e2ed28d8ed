"""`stillhouse run`, `resume` and `answer`."""

import sys
from pathlib import Path
from traceback import format_exception
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stillhouse.addresses import without_secrets
from stillhouse.clean_text import terminal_text
from stillhouse.cli.console import emit_json, err, out
from stillhouse.cli.options import AsJson, Buying, EncodingName, Journal, SkipBad, Spending, command
from stillhouse.errors import UserError
from stillhouse.event_loop import result_of
from stillhouse.json_text import JsonError, read_json

if TYPE_CHECKING:
    from stillhouse.commands.run import Executed


WAITS = 3  # the exit code of a sitting that ended because the run waits for a person
Rerun = Annotated[
    list[str] | None,
    typer.Option(
        help="run this step again where it failed, or finished and its code was edited since; without it its answers "
        "are kept, for it may have effects; may be given several times"
    ),
]

Traceback = Annotated[bool, typer.Option("--traceback", help="an error of the app's own code with all its lines")]


@command
def run(
    target: Annotated[str, typer.Argument(help="FILE.py:FLOW or MODULE:FLOW")],
    *,
    arguments: Annotated[
        str | None,
        typer.Option("--input", help="the flow's arguments, a JSON object; @FILE.json holds them, @- reads stdin"),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            help="a run for each row of this file: .jsonl, .csv, .tsv, .xlsx, .parquet, .json; - is JSONL on stdin"
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="PARAMETER=COLUMN,...", help="with --inputs: which columns are the flow's parameters"
        ),
    ] = None,
    encoding: EncodingName = None,
    skip_bad: SkipBad = False,
    to: Annotated[
        Path | None, typer.Option("--out", help="with --inputs: every row with its result or error goes here (JSONL)")
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, help="with --inputs: rows under way at most")] = 8,
    retries: Annotated[
        int, typer.Option(min=0, help="with --inputs: how often rows that failed are tried again at the end")
    ] = 2,
    run_id: Annotated[
        str | None,
        typer.Option(
            "--run-id",
            help="the same id goes on with a killed run, and returns a finished one; default: a new id. With --inputs: "
            "what the rows' ids begin with; default: the flow's and the file's names",
        ),
    ] = None,
    store: Journal = "stillhouse.db",
    model: Annotated[
        list[str] | None,
        typer.Option(help="another model for a step, STEP=NAME, or for every step, NAME; may be given several times"),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="answer model calls from the store alone, and fail where it has no answer")
    ] = False,
    rerun: Rerun = None,
    traceback: Traceback = False,
    buying: Buying,
    as_json: AsJson = False,
) -> None:
    """Run a flow, once or on every row of a file. Stopped or killed, the same command goes on where it was (a single
    run: with the same id); only model calls in flight may be paid again.

    With --inputs twenty calls of models that bill go ahead; then you are told what the rest will cost, and asked.
    """
    models = step_models(model or [])
    if inputs is not None:
        from stillhouse.cli.run_rows import run_file

        if arguments is not None or rerun:
            raise UserError(f"--inputs and {'--rerun' if rerun else '--input'} do not go together: give one of them")
        run_file(
            target,
            inputs,
            buying,
            as_json,
            columns=columns or (),
            encoding=encoding,
            skip_bad=skip_bad,
            out=to,
            at_once=at_once,
            retries=retries,
            name=run_id,
            store=store,
            models=models,
            offline=offline,
        )
        return
    alone = {"--map": columns, "--encoding": encoding, "--skip-bad": skip_bad, "--out": to}
    if given := [option for option, value in alone.items() if value]:
        raise UserError(f"{given[0]} goes with --inputs, which takes the rows of a file")
    from stillhouse.commands.run import run as execute

    finish(
        result_of(
            execute(
                target,
                arguments=_object("{}" if arguments is None else arguments),
                run_id=run_id,
                store=store,
                models=models,
                offline=offline,
                rerun=rerun or (),
                settings=buying.settings,
            )
        ),
        as_json,
        traceback=traceback,
    )


@command
def resume(
    run: Annotated[str, typer.Argument(help="the run's id, or its beginning")],
    *,
    rerun: Rerun = None,
    traceback: Traceback = False,
    spending: Spending,
    store: Journal = "stillhouse.db",
    as_json: AsJson = False,
) -> None:
    """Go on with a run that was killed, failed, or waited for an answer."""
    from stillhouse.commands.run import resume as go_on
    from stillhouse.commands.run_ids import run_called

    run = run_called(run, store)
    done = result_of(go_on(run, store=store, rerun=rerun or (), settings=spending.settings))
    finish(done, as_json, traceback=traceback)


@command
def answer(
    run: Annotated[str, typer.Argument(help="the run that waits: its id, or its beginning")],
    text: Annotated[str, typer.Argument(metavar="ANSWER", help="the answer")],
    question: Annotated[
        str | None, typer.Option(help="which question, where the run asks several; default: the first")
    ] = None,
    store: Journal = "stillhouse.db",
    as_json: AsJson = False,
) -> None:
    """Answer what a run asks a person; then `stillhouse resume RUN` goes on with it."""
    from stillhouse.commands.run import answer as give
    from stillhouse.commands.run_ids import run_called

    run = run_called(run, store)
    answered = give(run, text, question=question, store=store)
    if as_json:
        emit_json({"run": run, "question": answered, "answer": text})
        return
    out.print(f"{answered} -> {text}\nnext: stillhouse resume {run}", markup=False)


def finish(done: "Executed", as_json: bool, *, traceback: bool = False) -> None:
    """Tell how a sitting ended. `traceback`: an error of the app's own with all its lines."""
    from pydantic_core import to_jsonable_python

    if done.report.kept:
        err.print(
            f"edited since they ran, and not run again, for they may have effects: {_counted(done.report.kept)}; "
            "--rerun STEP runs one again"
        )
    if done.waits_for is not None:
        if as_json:
            emit_json({"run": done.run, "waits_for": done.waits_for})
        else:
            answer_it = f"answer it with: stillhouse answer {done.run} ANSWER"
            out.print(f"the run {done.run} waits for a person: {done.waits_for}\n{answer_it}", markup=False)
        raise typer.Exit(WAITS)
    if done.failure is not None:
        if traceback:  # an error may quote what a model or an endpoint wrote
            lines = "".join(format_exception(done.failure))
            err.print(terminal_text(without_secrets(lines)), soft_wrap=True, highlight=False, end="")
        kept = done.report.ran.total() + done.report.replayed.total()
        go_on = f"mend the cause and go on with --run-id {done.run}"
        go_on += "" if traceback else " (--traceback: all of it)"
        err.print(
            f"stillhouse: the run {done.run} failed: {done.why}; its {kept} finished steps are kept: {go_on}",
            soft_wrap=True,
            highlight=False,
        )
        raise typer.Exit(1)
    result = to_jsonable_python(done.result)
    if done.report.changed:
        err.print(f"run again because they were edited: {_counted(done.report.changed)}")
    if done.report.moved:
        moved = _counted(done.report.moved)
        err.print(f"answers of branches that the code had before it was edited, after the same call: {moved}")
    if done.report.unused:
        unused = _counted(done.report.unused)
        err.print(f"journaled answers that nothing asked for (drifted arguments, or an edited flow): {unused}")
    if done.report.was_done:
        err.print(f"the run {done.run} was done before: nothing was run again, and this is its result", soft_wrap=True)
    if as_json:
        emit_json({"run": done.run, "result": result, **({"was_done": True} if done.report.was_done else {})})
        return
    out.print_json(data=result)
    if done.report.was_done:
        return
    err.print(
        f"run {done.run}: {done.report.ran.total()} steps ran, {done.report.replayed.total()} were in the journal"
    )


def _object(text: str) -> dict[str, Any]:
    """The arguments that --input gives: JSON, @FILE or @- for stdin."""
    given: str | bytes = _from_file(text.removeprefix("@")) if text.startswith("@") else text
    named = f"--input {text[:200]}"
    try:
        value = read_json(given)
    except JsonError as error:
        raise UserError(f"{named}: not valid JSON ({error}); give an object, as in '{{\"n\": 3}}'") from None
    if isinstance(value, list) and text.startswith("@"):
        raise UserError(f"{named}: holds a list; --inputs {text[1:]} makes a run of each row in it")
    if not isinstance(value, dict):
        raise UserError(f"{named}: give an object of the flow's arguments, as in '{{\"n\": 3}}'")
    return value


def _from_file(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--input @{name}: cannot be read ({reason}); give a file that holds a JSON object") from None


def step_models(texts: list[str]) -> dict[str, str]:
    """STEP=NAME pairs; a name alone is for every step.

    The step's name ends at the first = before which there is no colon or slash, as models' names hold.
    """
    named = {}
    for text in texts:
        step, equals, model = text.partition("=")
        if not equals or not step.replace("_", "").replace("-", "").replace(".", "").isalnum():
            step, model = "*", text
        if not model:
            raise UserError(
                f"--model {text}: names no model; write STEP=NAME, as in to_sql=student:runs/to_sql-distill-1"
            )
        named[step] = model
    return named


def _counted(counts: Any) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
