"""`harvest`: a step's traces in a journal as a data set, and the task that it is a data set of.

`advise` and `distill` work on both at once.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stillhouse.commands.step_task import STEPS, load_step, order_of, task_toml
from stillhouse.data.copies import CopyRule
from stillhouse.data.dataset import load_examples, write_examples
from stillhouse.data.feedback import read_feedback
from stillhouse.data.harvest import Harvest, Traced
from stillhouse.data.harvest import harvest as harvest_calls
from stillhouse.data.harvest_groups import Where
from stillhouse.errors import ExistsError, UserError
from stillhouse.flow.models import DEFAULT_STORE
from stillhouse.flow.step_calls import chosen_runs, step_calls
from stillhouse.json_labels import canonical_text
from stillhouse.runs import write_atomic
from stillhouse.store.journal import RunRow, StepRow, existing_journal, key_id
from stillhouse.task import Task
from stillhouse.user_code import load_hook


@dataclass(frozen=True, kw_only=True)
class HarvestedFiles:
    """What was written. `task_file` None: there is one that says otherwise, or the step's task is not known.

    `no_task` then says which. `n_failed` calls had no answer; `n_by_students` were answered by a student, which nothing
    should learn from.
    """

    out: Path
    task_file: Path | None
    no_task: str | None
    harvest: Harvest
    n_runs: int | None  # None: the calls went through the gateway, and belong to no run
    n_failed: int
    n_by_students: int
    models: Mapping[str, int]
    n_versions: int
    cost_usd: float | None


def harvest(
    runs: Sequence[str],
    *,
    step: str,
    store: Path | str = DEFAULT_STORE,
    out: Path | None = None,
    app: str | None = None,
    since: str | None = None,
    redact: str | None = None,
    feedback: Path | None = None,
    exclude: Sequence[Path] = (),
    group_by: str | None = None,
    every_call: bool = False,
) -> HarvestedFiles:
    """Harvest the calls of `step` in these runs (ids, a flow's name, or "all"), and write the step's task beside them.

    `out` default: `steps/STEP/examples.jsonl`, with `task.toml` beside it. `app`: FILE.py:FLOW, where the runs do not
    say; `redact`: module:function; `group_by`: what rows share that belong together, a field, "run" or "call" (see
    `data.harvest_groups` for the default); `every_call`: each call is a row, and the task file says that repeats are
    traffic. Raises UserError, DatasetError, ExistsError; nothing is written then.
    """
    out = out or STEPS / step / "examples.jsonl"
    if out.exists():
        raise ExistsError(f"{out} is there already; give another --out, or move it away: nothing is overwritten")
    with closing(existing_journal(store)) as journal:
        calls = step_calls(journal, chosen_runs(journal, runs, since, store), step, store)
    task, arguments, schema = _task_of(calls.kind, calls.rows, step, app)
    labels = task.labels if task is not None else None
    made = harvest_calls(
        [_traced(run, call, calls.kind, task, arguments, calls.outermost) for run, call in calls.rows],
        feedback=[] if feedback is None else read_feedback(feedback, step, labels, schema=schema),
        exclude=[row for path in exclude for row in load_examples(path).examples],
        redact=None if redact is None else load_hook(redact, "--redact"),
        labels=labels,
        group_by=group_by,
        every_call=every_call,
    )
    if not made.examples:
        reasons = ", ".join(f"{n}: {reason}" for reason, n in made.left_out.items())
        raise UserError(f"none of the {made.n_calls} calls of {step} can be used ({reasons}); give other runs")
    costs = [(call.facts or {}).get("cost_usd") for _, call in calls.rows]
    return write_harvest(
        made,
        out,
        task,
        no_task="the step's task is not known; give --app FILE.py:FLOW where it is a model step",
        copies="traffic" if every_call else None,
        n_runs=calls.n_runs,
        n_failed=calls.n_failed,
        n_by_students=calls.n_by_students,
        models=Counter(str((call.facts or {}).get("model")) for _, call in calls.rows),
        n_versions=len({call.version for _, call in calls.rows}),
        cost_usd=None if None in costs else sum(cost for cost in costs if cost is not None),
    )


def write_harvest(
    made: Harvest,
    out: Path,
    task: Task | None,
    *,
    no_task: str,
    copies: CopyRule,
    models: Mapping[str, int],
    cost_usd: float | None,
    n_runs: int | None = None,
    n_calls: int | None = None,
    n_failed: int = 0,
    n_by_students: int = 0,
    n_versions: int = 1,
    left_out: Mapping[str, int] | None = None,
) -> HarvestedFiles:
    """Write rows and task. `no_task`: why there is no task file where `task` is None. `left_out`: calls by reason."""
    written = None if task is None else task_toml(task, out.name, copies=copies)
    task_file, why = _task_file(written, out, no_task)
    write_examples(out, made.examples)
    if written is not None and task_file is not None and not task_file.exists():
        write_atomic(task_file, written)
    return HarvestedFiles(
        out=out,
        task_file=task_file,
        no_task=why,
        harvest=replace(
            made,
            n_calls=made.n_calls if n_calls is None else n_calls,
            left_out={**(left_out or {}), **made.left_out},
        ),
        n_runs=n_runs,
        n_failed=n_failed,
        n_by_students=n_by_students,
        models=models,
        n_versions=n_versions,
        cost_usd=cost_usd,
    )


def _task_of(
    kind: str, rows: Sequence[tuple[RunRow, StepRow]], step: str, app: str | None
) -> tuple[Task | None, Sequence[str] | None, Mapping[str, Any] | None]:
    """The step's task, its arguments' names in order, and its answer's JSON schema; None for what is not known."""
    if kind == "decide":
        return _decision_task(step, rows), None, None
    code: Any = _step_in_code(app, [run for run, _ in rows], step)
    if code is None:
        return None, None, None
    if not hasattr(code, "task"):
        return None, order_of(code), None
    return code.task(), order_of(code), code.answer_schema()


def _step_in_code(app: str | None, runs: Sequence[RunRow], step: str) -> Any:
    """The step in the app's code; None where it is not known.

    Without `app` it is looked for in the app that the newest run was started with. Where that was moved or edited
    since, the app counts as unknown, and what needs it says so.
    """
    if app is not None:
        return load_step(app, step)
    apps = [run.facts["app"] for run in runs if run.facts.get("app")]
    if not apps:
        return None
    try:
        return load_step(apps[-1], step)
    except UserError:
        return None


def _decision_task(step: str, rows: Sequence[tuple[RunRow, StepRow]]) -> Task:
    """The task of a decision, from its journaled arguments.

    Options that differ from call to call are choices of the row.
    """
    decisions = [json.loads(call.arguments) for _, call in rows]
    questions = list(dict.fromkeys(decision["question"] for decision in decisions))
    if len(questions) > 1:
        first, second = questions[:2]
        raise UserError(
            f"decisions called {step} ask {len(questions)} different questions ({first!r}, {second!r}); "
            "give each a name of its own: name=..."
        )
    options = {tuple(decision["options"]) for decision in decisions}
    return Task(step, questions[0], "choice", options.pop() if len(options) == 1 else None)


def _is_json(task: Task | None) -> bool:
    return task is not None and task.output == "json"


def _traced(
    run: RunRow,
    call: StepRow,
    kind: str,
    task: Task | None,
    arguments: Sequence[str] | None,
    outermost: Mapping[tuple[str, str], str],
) -> Traced:
    """A journaled call as a row of the data set may be made of it."""
    values, output = json.loads(call.arguments), json.loads(call.output or "null")
    choices = None
    if kind == "decide":
        about = values["question"] if values["about"] is None else values["about"]
        text = about if isinstance(about, str | dict) else json.dumps(about, ensure_ascii=False)
        output = output["option"]
        choices = tuple(values["options"]) if task is not None and task.labels is None else None
    else:
        text = _input(call.key[0], values, arguments)
    facts = call.facts or {}
    return Traced(
        run=run.run,
        key=key_id(call.key),
        input=text,
        output=output if isinstance(output, str) and not _is_json(task) else canonical_text(output),
        model=facts.get("model"),
        created=call.started,
        version=call.version,
        cost_usd=facts.get("cost_usd"),
        choices=choices,
        where=Where(json.loads(run.input), outermost.get((run.run, key_id(call.key)))),
    )


def _input(step: str, values: Mapping[str, Any], arguments: Sequence[str] | None) -> Any:
    """The row's input as `ModelStep.example` makes it: the one text, or the object of arguments in the step's order.

    That order is the prompt's. The journal's arguments are sorted by name: a student that learned from those would be
    asked in another order.
    """
    only = next(iter(values.values())) if len(values) == 1 else None
    if isinstance(only, str):
        return only
    if arguments is None and len(values) > 1:
        raise UserError(
            f"{step} takes {', '.join(values)}, and in which order its prompt has them only its code says; "
            "give --app FILE.py:FLOW"
        )
    return values if arguments is None else {name: values[name] for name in (*arguments, *values) if name in values}


def _task_file(written: str | None, out: Path, no_task: str) -> tuple[Path | None, str | None]:
    """Where the task's file is, or goes; or why there is none."""
    path = out.parent / "task.toml"
    if written is None:
        return None, no_task
    if path.exists() and path.read_text(encoding="utf-8") != written:
        return None, f"{path} is there already and says something else; it was left as it is"
    return path, None
