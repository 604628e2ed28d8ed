"""`stillhouse run`, `resume` and `answer`."""

import traceback
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stillhouse.addresses import without_secrets
from stillhouse.clean_text import terminal_text
from stillhouse.cli.console import emit_json, err, out
from stillhouse.cli.options import AsJson, Journal, Spending, command
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


@command
def run(
    target: Annotated[str, typer.Argument(help="FILE.py:FLOW or MODULE:FLOW")],
    *,
    arguments: Annotated[str, typer.Option("--input", help="the flow's arguments, a JSON object")] = "{}",
    run_id: Annotated[
        str | None,
        typer.Option(
            "--run-id", help="the same id goes on with a killed run, and returns a finished one; default: a new id"
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
    spending: Spending,
    as_json: AsJson = False,
) -> None:
    """Run a flow. Stopped or killed, the same command with the same id goes on where it was; only model calls in flight
    may be paid again.
    """
    from stillhouse.commands.run import run as execute

    finish(
        result_of(
            execute(
                target,
                arguments=_object(arguments),
                run_id=run_id,
                store=store,
                models=step_models(model or []),
                offline=offline,
                rerun=rerun or (),
                settings=spending.settings,
            )
        ),
        as_json,
    )


@command
def resume(
    run: Annotated[str, typer.Argument(help="the run's id, or its beginning")],
    *,
    rerun: Rerun = None,
    spending: Spending,
    store: Journal = "stillhouse.db",
    as_json: AsJson = False,
) -> None:
    """Go on with a run that was killed, failed, or waited for an answer."""
    from stillhouse.commands.run import resume as go_on
    from stillhouse.commands.run_ids import run_called

    run = run_called(run, store)
    finish(result_of(go_on(run, store=store, rerun=rerun or (), settings=spending.settings)), as_json)


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


def finish(done: "Executed", as_json: bool) -> None:
    """Tell how a sitting ended."""
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
        # An error may quote what a model or an endpoint wrote.
        err.print(
            terminal_text(without_secrets("".join(traceback.format_exception(done.failure)))),
            markup=False,
            soft_wrap=True,
            end="",
        )
        kept = done.report.ran.total() + done.report.replayed.total()
        go_on = f"mend the cause and go on with --run-id {done.run}"
        err.print(
            f"stillhouse: the run {done.run} failed; its {kept} finished steps are kept: {go_on}",
            markup=False,
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
    if as_json:
        emit_json({"run": done.run, "result": result})
        return
    out.print_json(data=result)
    err.print(
        f"run {done.run}: {done.report.ran.total()} steps ran, {done.report.replayed.total()} were in the journal"
    )


def _object(text: str) -> dict[str, Any]:
    try:
        value = read_json(text)
    except JsonError as error:
        raise UserError(f"--input {text}: not valid JSON ({error}); give an object, as in '{{\"n\": 3}}'") from None
    if not isinstance(value, dict):
        raise UserError(f"--input {text}: give an object of the flow's arguments, as in '{{\"n\": 3}}'")
    return value


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
