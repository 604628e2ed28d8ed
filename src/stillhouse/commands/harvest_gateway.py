"""`harvest gateway:STEP`: the calls of a step that went through the gateway, as a data set and its task.

Each call is a row, in the order of time: an input weighs as much as it comes, and the task says that repeats are
traffic. Calls of one conversation, or of one user where the client names them, are a group.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stillhouse.commands.harvest import HarvestedFiles, write_harvest
from stillhouse.commands.step_task import STEPS
from stillhouse.data.dataset import load_examples
from stillhouse.data.feedback import read_feedback
from stillhouse.data.harvest import Feedback, Traced
from stillhouse.data.harvest import harvest as harvest_calls
from stillhouse.data.harvest_groups import NOWHERE, Where
from stillhouse.data.prompt_frame import framed
from stillhouse.errors import ExistsError, UserError
from stillhouse.flow.models import DEFAULT_STORE
from stillhouse.flow.step_calls import moment
from stillhouse.gateway.steps import COLUMNS, PROMPTS, Step, key_of, keyed_steps
from stillhouse.gateway.templates import templates_in
from stillhouse.store.gateway_calls import BARE_INPUT, open_gateway_calls
from stillhouse.task import Task
from stillhouse.user_code import load_hook

PREFIX = "gateway:"
_READ = (
    "id", "began", "model", "step", "constant", "upstream", "cost_usd", "session", "input", "output", "no_row",
    "status", BARE_INPUT,
)  # fmt: skip


def harvest_gateway(
    step: str,
    *,
    store: Path | str = DEFAULT_STORE,
    out: Path | None = None,
    since: str | None = None,
    redact: str | None = None,
    feedback: Path | None = None,
    exclude: Sequence[Path] = (),
    group_by: str | None = None,
) -> HarvestedFiles:
    """The rows of this step (a name that `steps` shows), written to `out` (default `steps/STEP/examples.jsonl`).

    Raises UserError, DatasetError, ExistsError; nothing is written then.
    """
    start = 0.0 if since is None else moment(since)
    with open_gateway_calls(store, make=False) as calls:
        templates = templates_in(calls.rows(PROMPTS, "began >= ?", (start,)))
        found = keyed_steps(calls.rows(COLUMNS, "began >= ?", (start,)), templates)
        named = {known.name: key for key, known in found.items()}
        if step not in named:
            known_names = ", ".join(named) or "none"
            raise UserError(f"{store} has no step {step!r} among the gateway's calls; its steps: {known_names}")
        key = named[step]
        rows = [
            row
            for values in calls.rows(_READ, "began >= ?", (start,))
            if key_of(row := dict(zip(_READ, values, strict=True)), templates) == key
        ]
        said = [Feedback(call, call, None if ok is None else bool(ok), answer) for call, ok, answer in calls.feedback()]
    about = found[key]
    out = out or STEPS / _folder(step) / "examples.jsonl"
    if out.exists():
        raise ExistsError(f"{out} is there already; give another --out, or move it away: nothing is overwritten")
    task = _task(step, about)
    labels = task.labels if task is not None else None
    usable = [row for row in rows if row["no_row"] is None]
    made = harvest_calls(
        [_traced(row, about.template) for row in usable],
        feedback=_of_calls(said, usable) + ([] if feedback is None else read_feedback(feedback, step, labels)),
        exclude=[row for path in exclude for row in load_examples(path).examples],
        redact=None if redact is None else load_hook(redact, "--redact"),
        labels=labels,
        group_by=group_by,
        every_call=True,
    )
    left_out = Counter(row["no_row"] for row in rows if row["no_row"] is not None)
    if not made.examples:
        reasons = ", ".join(f"{n}: {why}" for why, n in {**left_out, **made.left_out}.items())
        raise UserError(f"none of the {len(rows)} calls of {step} can be used ({reasons})")
    costs = [row["cost_usd"] for row in rows]
    return write_harvest(
        made,
        out,
        task,
        no_task="the calls have no instruction in common; write its task.toml, and name these rows in it",
        copies="traffic",
        left_out=left_out,
        n_calls=len(rows),
        models=Counter(str(row["model"]) for row in rows),
        cost_usd=None if None in costs else sum(costs),
    )


def _of_calls(said: Sequence[Feedback], rows: Sequence[dict[str, Any]]) -> list[Feedback]:
    """What was said of these calls."""
    ids = {row["id"] for row in rows}
    return [one for one in said if one.run in ids]


def _traced(row: dict[str, Any], template: str | None) -> Traced:
    """The call as a row may be made of it; its input is what stands in the template."""
    return Traced(
        run=row["id"],
        key=row["id"],
        input=row["input"] if template is None else framed(row["input"], template) or row["input"],
        output=row["output"],
        model=_model(row),
        created=row["began"],
        version=row["constant"] or "",
        cost_usd=row["cost_usd"],
        where=NOWHERE if row["session"] is None else Where({"conversation": row["session"]}),
    )


def _model(row: dict[str, Any]) -> str | None:
    """The model's name as Stillhouse has it: `openai:NAME`, or `http://host#NAME`."""
    if row["model"] is None:
        return None
    joint = ":" if row["upstream"] in ("openai", "anthropic") else "/v1#"
    return f"{row['upstream']}{joint}{row['model']}"


def _task(step: str, about: Step) -> Task | None:
    """The step's task, as far as its calls show it; None where they have no instruction."""
    if about.instruction is None or about.output is None:
        return None
    labels = None if about.labels is None else tuple(sorted(about.labels))
    output = about.output if about.output != "choice" or labels is not None else "text"
    return Task(step, about.instruction, output, labels)


def _folder(step: str) -> str:
    """The step's name as a folder's."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in step).strip("-")[:80] or "step"
