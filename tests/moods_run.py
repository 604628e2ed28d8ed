"""Runs of distill on a tiny task, made in a second: a cascade that keeps its promise, and one whose test rows break it."""

import json

from mood_task import MOOD
from stillhouse.commands.distill import distill

WORDS = {"good": ("lovely", "bright", "warm", "kind"), "bad": ("awful", "grim", "cold", "rude")}
LABELS = ("good", "bad")
TASK = (
    MOOD.replace('train = "rows.jsonl"', 'train = "rows.jsonl"\ntest = "test.jsonl"\nsplit = [0.1, 0.4, 0.0]')
    + '[teacher]\nmodel = "{teacher}"\nexamples = "shown.jsonl"\n[gate]\nmargin = {margin}\n'
)
TEACHER = """
ASKED = []

def answer(request, example):
    ASKED.append(request.messages[0]["content"])
    text = request.messages[-1]["content"]
    if "so-so" in text:
        return "bad"
    return "good" if any(word in text for word in ("lovely", "bright", "warm", "kind")) else "bad"
"""


def rows(n, what, broken=0.0, vague=0.0):
    """`broken`: so large a share of rows means the opposite of its words, which the teacher alone knows.

    `vague`: so large a share has no word that tells.
    """
    made = []
    for i in range(n):
        label = LABELS[i % 2]
        text = f"{what} {i} {WORDS[label][i % 4]}"
        if broken and (i // 2) % round(1 / broken) == 0:
            label = LABELS[1 - i % 2]
        if i % 10 < 10 * vague:
            text, label = f"{what} {i} so-so", LABELS[i * 7919 % 13 % 2]
        made.append({"id": f"{what}{i}", "input": text, "label": label})
    return made


def lines(some):
    return "".join(json.dumps(row) + "\n" for row in some)


def made_run(
    folder, *, broken=0.0, vague=0.0, teacher="recorded:answers.jsonl", margin=0.02, prompt=True, in_the_rows=False
):
    """The run in `folder`/runs, of the task in `folder`/task."""
    task = folder / "task"
    task.mkdir()
    text = TASK.format(teacher=teacher, margin=margin)
    asks = prompt and not in_the_rows
    (task / "task.toml").write_text(text if asks else text.replace(f'model = "{teacher}"\n', ""))
    days, nights = rows(600, "day", vague=vague), rows(400, "night", broken, vague)
    if in_the_rows:
        days, nights = ([{**row, "teacher_label": row["label"]} for row in some] for some in (days, nights))
    (task / "rows.jsonl").write_text(lines(days))
    (task / "test.jsonl").write_text(lines(nights))
    (task / "shown.jsonl").write_text(lines([{"input": "what a kind soul", "label": "good"}]))
    answered = [{**row, "teacher_label": row["label"]} for row in days + nights]
    answered += [{"input": f"so-so {i}", "teacher_label": "bad"} for i in range(9)]
    (task / "answers.jsonl").write_text(lines(answered))
    return distill(task, runs=folder / "runs")
