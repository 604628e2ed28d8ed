"""`card.md` of a labelled data set: Hugging Face's YAML header, then in words where the labels come from.

It says what the rows' provenance says and claims nothing beyond. Where no licence was given, the header says `unknown`,
an identifier that the hub knows, and the text says what would have to be found out.
"""

import json
from pathlib import Path

from stillhouse.clean_text import markdown_line, markdown_text
from stillhouse.errors import StorageError
from stillhouse.runs import write_atomic
from stillhouse.task import Task
from stillhouse.teacher.annotate import LabelReport
from stillhouse.teacher.provenance import SELF_HOSTED, STAND_IN
from stillhouse.teacher.terms import notice_of

NAME = "card.md"
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_CATEGORIES = {"choice": "text-classification", "text": "text-generation", "json": "text-generation"}


def write_card(out: Path, task: Task, report: LabelReport) -> Path:
    """Write the card beside the labelled file `out` and return its path.

    It is `card.md`, or `NAME.card.md` where a card of another file is there already.
    """
    path = card_path(out)
    write_atomic(path, card(out.name, task, report))
    return path


def card_path(out: Path) -> Path:
    """Where the card of `out` goes: nobody else's `card.md` is overwritten."""
    card = out.with_name(NAME)
    try:
        ours = not card.exists() or _mark(out.name) in card.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise StorageError(f"{card}: cannot be read ({error.strerror}); move it away") from None
    return card if ours else out.with_suffix(".card.md")


def _mark(file: str) -> str:
    name = json.dumps(file).replace("<", "\\u003c").replace(">", "\\u003e")  # no name ends the comment
    return f"<!-- the card of {name}, written by stillhouse label -->"


def card(file: str, task: Task, report: LabelReport) -> str:
    """The card of a labelled file, as text."""
    lines = ["---", *_header(file, task, report), "---", "", _mark(file), ""]
    lines += [f"# {markdown_line(f'{task.name}: labels of {report.teacher}')}", ""]
    lines += [markdown_text(task.instruction.strip()), ""]
    lines += ["## Labels", "", *_labels(report), ""]
    lines += ["## Licence", ""]
    inputs = task.data.licence or "not stated; they keep whatever licence they came with"
    lines += [f"- The inputs: {markdown_line(inputs)}."]
    lines += [
        f"- The answers of {count:,} rows: {markdown_line(_rules(licence))}."
        for licence, count in report.licences.items()
    ]
    notice = notice_of(report.teacher)
    if notice is not None and task.teacher.licence is None:
        lines += ["", str(notice)]
    return "\n".join([*lines, ""])


def _labels(report: LabelReport) -> list[str]:
    """The list of what was labelled, how, and what was not."""
    by = f"{markdown_line(report.teacher)}{', a stand-in and no model' if report.stand_in else ''}"
    lines = [f"- {report.labelled:,} of {report.n:,} rows were labelled by {by}{_when(report)}."]
    if report.lenient:
        near = "recovered from a near form of what was asked for (`parsed` of a row says so)"
        lines.append(f"- {report.lenient:,} answers were {near}.")
    if report.sent_back:
        of_these = f"{report.repaired:,} labels came of that"
        lines.append(f"- {report.sent_back:,} replies were sent back for repair; {of_these}.")
    if report.with_scores:
        lines.append(f"- {report.with_scores:,} labels carry the teacher's probabilities (`teacher_scores`).")
    for feature, count in report.lacking.items():
        lines.append(f"- {count:,} rows were asked without {markdown_line(feature)}, which the endpoint does not have.")
    for doubt, count in report.usage_doubts.items():
        priced = "token counts that do not add up and are priced by their dearest reading"
        lines.append(f"- {count:,} answers have {priced}: {markdown_line(doubt)} (`usage` in `provenance`).")
    for reason, count in report.rejected.items():
        lines.append(f"- {count:,} rows were rejected and are not in the file: {markdown_line(reason)}.")
    facts = "the teacher, the date, the prompt's hash, the parameters and the price"
    lines.append(f"- Every row's `provenance` names {facts}.")
    return lines


def _header(file: str, task: Task, report: LabelReport) -> list[str]:
    """The YAML lines. Values are written as JSON, which is YAML: no text of the user's can break out of its line."""
    size = next((name for most, name in _SIZES if report.labelled < most), "10M<n<100M")
    split = [{"split": "train", "path": file}]
    fields = {
        "pretty_name": f"{task.name}, labelled by {report.teacher}",
        **_licence(task, report),
        "annotations_creators": ["machine-generated"],
        "task_categories": [_CATEGORIES[task.output]],
        "size_categories": [size],
        "tags": ["synthetic", "stillhouse"],
        "configs": [{"config_name": "default", "data_files": split}],
    }
    return [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]


def _licence(task: Task, report: LabelReport) -> dict[str, str]:
    """The licence where inputs and answers are stated to be under one; `other` with both names where they differ.

    Else `unknown`.
    """
    stated, answers = task.data.licence, list(report.licences)
    if stated is None or task.teacher.licence is None or answers != [task.teacher.licence]:
        return {"license": "unknown"}
    if stated == task.teacher.licence:
        return {"license": stated}
    return {"license": "other", "license_name": f"inputs: {stated}; answers: {task.teacher.licence}"}


def _rules(licence: str) -> str:
    if licence == STAND_IN:
        return "no model wrote them, so no model's licence or terms hold"
    if licence == SELF_HOSTED:
        return "the licence of the model that was hosted; look it up and set `licence` in [teacher]"
    if licence == "unknown":
        return "unknown; find out who answered before the labels are passed on"
    return f"the {licence}" if licence.startswith("terms of") else licence


def _when(report: LabelReport) -> str:
    if report.dates is None:
        return ""
    first, last = (date[:10] for date in report.dates)
    return f" on {first}" if first == last else f" between {first} and {last}"
