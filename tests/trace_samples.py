"""Rows of a journal as a run would have left them, with times that can be checked by hand. Times are seconds after `T0`."""

import json

from stillhouse.flow.trace import trace
from stillhouse.store.journal import RunRow, StepRow, key_id

T0 = 1_790_000_000.0
GPT = "openai:gpt-4o"
EVIL = "<script>alert('x')</script>"


def row(step, start, seconds, *, kind="step", of=None, given=None, gave="ok", error=None, attempts=1, nth=0, **facts):
    """One call. `of` is the row in whose body it was; `gave=None` leaves the output out."""
    output = None if error is not None or gave is None else json.dumps(gave)
    parent = None if of is None else key_id(of.key)
    arguments = json.dumps({} if given is None else given)
    return StepRow(
        key=(step, f"{start:g}", nth),
        kind=kind,
        parent=parent,
        version="v",
        arguments=arguments,
        output=output,
        error=error,
        started=T0 + start,
        seconds=seconds,
        attempts=attempts,
        facts=facts or None,
    )


def asked(n_input, n_output, cost_usd, model=GPT):
    return {"model": model, "input_tokens": n_input, "output_tokens": n_output, "cost_usd": cost_usd}


def run(status="done", *, name="letter-7", flow="letter", given=None, result="sent", error=None, ended=9.0, **facts):
    whole = None if status != "done" else json.dumps(result)
    return RunRow(
        run=name,
        flow=flow,
        input=json.dumps(given or {"items": ["kettle", "lamp"]}),
        status=status,
        result=whole,
        error=error,
        created=T0,
        ended=None if ended is None else T0 + ended,
        facts=facts,
    )


def letter():
    """A fan-out of two steps over six items, two at once; a decision; an agent beside a model step; a loop until a model is content; a person."""
    rows = []
    for item in range(6):
        start = (item // 2) * 0.5 + (item % 2) * 0.01
        kind = "kitchen" if item == 0 else "lighting"
        rows.append(
            row(
                "category", start, 0.2, kind="model", given={"item": f"thing {item}"}, gave=kind, **asked(40, 2, 0.0001)
            )
        )
        tries = {"attempts": 2, "failures": ["ConnectionError: the warehouse did not answer"]} if item == 3 else {}
        rows.append(row("stock", start + 0.2005, 0.25, given={"item": f"thing {item}"}, gave=item, **tries))
    question = {"question": "Does this need arithmetic?", "options": ["yes", "no"], "about": "six things"}
    decided = {"options": ["yes", "no"], "choice": "yes", "confidence": 0.93}
    rows.append(
        row(
            "decide",
            2,
            0.3,
            kind="decide",
            given=question,
            gave={"option": "yes", "probability": 0.93},
            **decided,
            **asked(50, 1, 0.0002),
        )
    )
    helper = row("adder", 2.5, 1.5, kind="agent", given={"task": "add them all"}, gave="10", tool_calling="native")
    call = {"refused": False, "text": "I must add.", "final": None, "actions": [["1", "add", '{"a": 1, "b": 2}']]}
    last = {"refused": False, "text": "Done.", "final": "10", "actions": []}
    rows.append(helper)
    rows.append(
        row("category", 2.6, 0.2, kind="model", given={"item": "lamp post"}, gave="lighting", **asked(42, 2, 0.0001))
    )
    rows.append(
        row(
            "adder.turn",
            2.55,
            0.4,
            kind="turn",
            of=helper,
            given={"turn": 0, "transcript": "a"},
            gave=call,
            **asked(90, 12, 0.0004),
        )
    )
    rows.append(row("add", 3.0, 0.1, kind="tool", of=helper, given={"a": 1, "b": 2}, gave="3"))
    rows.append(
        row(
            "adder.turn",
            3.2,
            0.4,
            kind="turn",
            of=helper,
            given={"turn": 1, "transcript": "b"},
            gave=last,
            **asked(120, 8, 0.0005),
        )
    )
    for turn in range(5):
        start = 4.5 + turn
        content = "yes" if turn == 4 else "no"
        judged = {"question": "Is the draft complete?", "options": ["yes", "no"], "about": f"draft {turn}"}
        rows.append(row("improve", start, 0.4, given={"draft": f"draft {turn}"}, gave=f"draft {turn + 1}"))
        answer = {"option": content, "probability": 0.9}
        rows.append(
            row(
                "until",
                start + 0.5,
                0.3,
                kind="decide",
                given=judged,
                gave=answer,
                confidence=0.9,
                **asked(30, 1, 0.0001),
            )
        )
    rows.append(
        row(
            "ask_human",
            9.5,
            0,
            kind="human",
            given={"question": "Send this?"},
            gave="yes",
            question="Send this?",
            options=["yes", "no"],
        )
    )
    return trace(run(app="app.py:main", models={"category": GPT}), sorted(rows, key=lambda one: one.started))


def failed():
    """A query that the database refused once and that was mended, and then a letter that could not be sent, in the body of a step."""
    refused = "ToolError: no such column: totl"
    bounced = f"ConnectionError: 550 {EVIL} is no address"
    rows = [
        row("route", 0, 0.4, kind="model", given={"question": "how many orders?"}, gave="sql", **asked(210, 1, 0.0006)),
        row(
            "to_sql",
            0.5,
            0.8,
            kind="model",
            given={"question": "how many orders?"},
            gave="SELECT totl FROM orders",
            **asked(400, 20, None),
        ),
        row("shop", 1.4, 0.01, kind="tool", given={"query": "SELECT totl FROM orders"}, error=refused),
        row(
            "mend_sql",
            1.5,
            0.7,
            kind="model",
            given={"query": "SELECT totl", "problem": refused},
            gave="SELECT total FROM orders",
            **asked(420, 20, None),
        ),
        row("shop", 2.3, 0.02, kind="tool", given={"query": "SELECT total FROM orders"}, gave=f"total\n{EVIL}"),
    ]
    sending = row("deliver", 2.5, 0.3, given={"text": EVIL * 3, "to": "somewhere@example.org"}, error=bounced)
    rows += [
        sending,
        row(
            "smtp", 2.6, 0.1, kind="tool", of=sending, given={"to": "somewhere@example.org"}, error=bounced, attempts=3
        ),
    ]
    return trace(
        run("failed", name="shop-2", flow="main", error=bounced, ended=2.9, given={"question": "how many orders?"}),
        rows,
    )


def waiting():
    """Two steps an hour apart, for the process was stopped; then a question that nobody has answered."""
    rows = [
        row("draft", 0, 1.0, gave="Dear customer,"),
        row("check", 3600, 1.0, gave=True),
        row(
            "ask_human",
            3601,
            0,
            kind="human",
            given={"question": f"Send this? {EVIL}"},
            gave=None,
            question=f"Send this? {EVIL}",
            options=None,
        ),
    ]
    return trace(run("waiting", name="w-1", ended=None), rows)


def killed():
    """The process died in the body of `deliver`: two calls in it had ended, its own row was never written."""
    lost = row("deliver", 1, 1)
    rows = [row("draft", 0, 0.5, gave="Dear customer,"), row("stamp", 1, 0.2, of=lost), row("smtp", 1.5, 0.5, of=lost)]
    return trace(run("killed", name="k-1", ended=None), rows)


def empty():
    return trace(run("running", name="e-1", ended=None), [])


def stress():
    """What real runs bring: words without spaces, hostile texts, deep nesting, a hundred branches, huge outputs."""
    long = "x" * 300
    rows = [row(f"step_with_a_very_long_name_{'n' * 40}", 0, 1, given={EVIL: long}, gave=long)]
    rows += [
        row("price", 2 + number / 1000, 1, given={"item": f"{EVIL}{number}"}, gave="y" * 30_000)
        for number in range(100)
    ]
    parent = row("level_0", 10, 9)
    rows.append(parent)
    for depth in range(1, 9):
        child = row(f"level_{depth}", 10 + depth / 10, 9 - depth / 10, of=parent, gave=EVIL)
        rows.append(child)
        parent = child
    question = {"question": f"{EVIL} {long}?", "options": [EVIL, long], "about": [EVIL] * 50}
    rows.append(
        row(
            "decide",
            20,
            1,
            kind="decide",
            given=question,
            gave={"option": long, "probability": None},
            **asked(None, None, None, model=f"http://h/v1#{long}"),
        )
    )
    rows += [row(f"branch_{number}", 22 + number / 1000, 1, gave=EVIL) for number in range(9)]
    return trace(run(name="s" * 60, flow="f" * 60, result={EVIL: [long] * 20}, given={"q": EVIL * 40}), rows)
