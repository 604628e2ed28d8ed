"""`export`: a run's student as a folder that loads without Stillhouse, with its card."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stillhouse.errors import StillhouseError
from stillhouse.results.cascade_file import CASCADE, read_cascade
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
    student, doubt = student_to(run, "export", f" --to {form} --out {shlex.quote(str(out))}", unproven=unproven)
    card = _card(student)
    if doubt is not None:
        title, _, rest = card.partition("\n")
        card = f"{title}\n\n**Unproven**: {doubt}.\n{rest}"
    facts = {"unproven": doubt, "cascade": _cascade(student)}
    return export_student(student, form, out, card=card, facts=facts)


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
