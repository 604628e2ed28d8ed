"""A person in the loop.

The question is journaled, the run is parked, and the process may end. The answer is journaled too, and the resumed run
goes on from there.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

from stillhouse.errors import UserError
from stillhouse.flow.call import active_run, canonical_json
from stillhouse.flow.parking import Parking
from stillhouse.steady_clock import steady_time
from stillhouse.store.journal import Journal, StepRow, last_end


async def ask_human(question: str, options: Sequence[str] | None = None) -> str:
    """The answer of a person. Where there is none yet the run is parked: its status is `waiting`.

    After `stillhouse answer` the resumed run finds the answer and goes on. `options` are the answers that are taken;
    None takes any text. Raises UserError outside a run.
    """
    active = active_run.get()
    if active is None:
        raise UserError(
            "ask_human() is called outside a run, and an answer could not find its way back; call it in a flow"
        )
    facts = {"question": question, "options": None if options is None else list(options)}
    arguments = canonical_json(facts)
    call = active.pending("ask_human", arguments)
    call.branch.calls += 1
    active.unanswered.n_begun += 1
    answered = active.replay.answer_to(call)
    if answered is not None:
        if answered.end is not None:
            await active.in_turn(answered.end, call.branch)
        return str(json.loads(answered.output or "null"))
    active.unanswered.begins()
    row = StepRow(
        key=call.key,
        kind="human",
        parent=call.parent,
        version="",
        arguments=arguments,
        output=None,
        error=None,
        started=steady_time(),
        seconds=0.0,
        attempts=1,
        facts=facts,
        place=call.place,
        frame=call.frame,
    )
    active.journal.write(active.run, row)
    parked = Parking(active.run, question)
    active.park(parked)
    raise parked


def open_questions(journal: Journal, run: str) -> list[StepRow]:
    """What the run waits for, in the order in which it was asked."""
    return [row for row in journal.steps(run) if _is_open(row)]


def _is_open(row: StepRow) -> bool:
    return row.kind == "human" and row.output is None


def answer(journal: Journal, run: str, text: str, question: str | None = None) -> str:
    """Journal a person's answer to the run's first open question, or to the one named; returns the question.

    Raises UserError where nothing is asked, or the answer is not one of the options.
    """
    if journal.run(run) is None:
        raise UserError(f"there is no run {run!r} in {journal.url}; `stillhouse runs` lists them")
    rows = journal.steps(run)
    waiting = [row for row in rows if _is_open(row) and (question is None or (row.facts or {})["question"] == question)]
    if not waiting:
        like = "" if question is None else f" like {question!r}"
        raise UserError(f"the run {run} asks nothing{like}; `stillhouse runs` shows what waits for an answer")
    row = waiting[0]
    facts = dict(row.facts or {})
    if facts["options"] is not None and text not in facts["options"]:
        options = ", ".join(facts["options"])
        raise UserError(f"{text!r} is not an answer to {facts['question']!r}; give one of: {options}")
    with journal.own(run):
        ended = 1 + last_end(row.ended_nth for row in rows)
        journal.write(run, replace(row, output=canonical_json(text), ended_nth=ended))
    return str(facts["question"])
