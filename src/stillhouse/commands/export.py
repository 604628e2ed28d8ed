"""`export`: a run's student as a folder that loads without Stillhouse, with its card."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stillhouse.errors import StillhouseError
from stillhouse.results.cascade_file import CASCADE, read_cascade
from stillhouse.results.run_result import load_result
from stillhouse.serving.proof import student_to
from stillhouse.serving.run_cascade import cascade_of
from stillhouse.student.artifact import read_artifact
from stillhouse.student.export import Exported as Exported
from stillhouse.student.export import export_student
from stillhouse.student.header import CARD

WITHOUT_CARD = "\n\nIts own folder was given without its run, so what it was measured to do is not known here.\n"


def export(run: Path, form: str, out: Path, *, unproven: bool = False) -> Exported:
    """Write the student of `run` (a run of distill, RUN#ARM, or a student's own folder) to the new folder `out`.

    Raises UserError for what no verdict proves, unless `unproven`, and for a student that has no such form.
    """
    half, doubt = _half_of_a_cascade(run), None
    student = half
    if student is None:
        student, doubt = student_to(run, "export", f" --to {form} --out {shlex.quote(str(out))}", unproven=unproven)
    card, cascade = _card(student), _cascade(student)
    if half is not None and cascade is not None:
        kept = f"only answers with a confidence of at least {cascade['threshold']:.6g} are to be kept"
        card = _opened(card, f"**Half of a cascade**: {kept}; the other inputs are for {cascade['teacher']}.")
    elif doubt is not None:
        card = _opened(card, f"**Unproven**: {doubt}.")
    return export_student(student, form, out, card=card, facts={"unproven": doubt, "cascade": cascade})


def _half_of_a_cascade(run: Path) -> Path | None:
    """The student before the teacher, where the run's verdict is a cascade and every pin of it fits."""
    if not (run / CASCADE).is_file() or load_result(run).verdict.kind != "cascade":
        return None
    found = cascade_of(run)
    return found.student if found.doubt is None else None


def _opened(card: str, sentence: str) -> str:
    """The card with a paragraph below its title."""
    title, _, rest = card.partition("\n")
    return f"{title}\n\n{sentence}\n{rest}"


def _card(student: Path) -> str:
    card = student / CARD
    if card.is_file():
        return card.read_text(encoding="utf-8")
    header = read_artifact(student)
    return f"# {header.task.name}: {header.spec}\n\n{header.task.instruction.strip()}{WITHOUT_CARD}"


def _cascade(student: Path) -> Mapping[str, Any] | None:
    """The threshold of the cascade that the student's run has, and its promise; None: it has none that is proven."""
    run = student.parents[2] if len(student.parents) > 2 else student
    if not (run / CASCADE).is_file():
        return None
    try:
        found = cascade_of(run)
    except StillhouseError:  # a cascade that cannot be opened here promises nothing
        return None
    if found.doubt is not None or found.student.resolve() != student.resolve():
        return None
    stored = read_cascade(run)
    return {name: getattr(stored, name) for name in ("threshold", "budget", "level", "n", "teacher")}
