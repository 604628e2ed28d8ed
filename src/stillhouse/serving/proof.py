"""What of a run may be served without a word, and what is served as unproven alone, with the reason.

Proven is the student that the verdict chose, an arm that passed its gate (named as RUN#ARM), and a cascade whose pins
all fit: each from its run's folder, for the run's verdict is the proof. All else that can be opened is unproven.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stillhouse.errors import UserError
from stillhouse.results.arm_file import read_arm_file
from stillhouse.results.arms import ArmResult
from stillhouse.results.cascade_file import CASCADE
from stillhouse.results.run_result import Result, load_result
from stillhouse.runs import file_sha256
from stillhouse.serving.run_cascade import Doubt, arm_student, cascade_of
from stillhouse.student.header import HEADER

Verb = Literal["serve", "export"]


@dataclass(frozen=True)
class Served:
    """A model to serve, by the name that `open_predictor` takes. `unproven`: why it is; None: it is proven."""

    model: str
    unproven: str | None


def to_serve(folder: Path, *, cascade: bool = False, unproven: bool = False) -> Served:
    """What to serve of a run's folder, of RUN#ARM, or of a student's own folder.

    Raises UserError for what is not proven, unless `unproven`: the sentence says why, and how to serve it all the same.
    """
    if cascade:
        return Served(
            f"cascade:{folder}", _why_unproven(folder, "serve", " --cascade", "it", cascade_of(folder).doubt, unproven)
        )
    student, why = student_to(folder, "serve", unproven=unproven)
    return Served(f"student:{student}", why)


def student_to(folder: Path, verb: Verb, options: str = "", *, unproven: bool = False) -> tuple[Path, str | None]:
    """The folder of the student to serve or to export, and why it is unproven (None: it is proven).

    `options`: of the command, as they were given. Raises UserError for what is not proven, unless `unproven`.
    """
    student, doubt = _student_and_doubt(folder, verb)
    what = "it" if student == folder else str(student)
    return student, _why_unproven(folder, verb, options, what, doubt, unproven)


def _why_unproven(folder: Path, verb: Verb, options: str, what: str, doubt: Doubt | None, unproven: bool) -> str | None:
    if doubt is None:
        return None
    if not unproven:
        command = f"stillhouse {verb} {shlex.quote(str(folder))}{options} --unproven"
        raise UserError(f"{doubt.sentence}, or {verb} {what} unproven: {command}")
    return doubt.why


def _student_and_doubt(folder: Path, verb: Verb) -> tuple[Path, Doubt | None]:
    place, mark, arm = str(folder).partition("#")
    run = Path(place) if mark and not folder.exists() else folder
    if not (run / "result.json").is_file():
        # What is no student at all is said when it is opened.
        doubt = Doubt(place=run, why="a student's own folder, without its run's verdict", remedy=f"{verb} its run")
        return run, doubt if (run / HEADER).is_file() else None
    result = load_result(run)
    students = [each for each in result.arms if each.kind == "student"]
    if run is not folder:
        named = next((each for each in students if each.name == arm), None)
        if named is None:
            kept = ", ".join(each.name for each in students)
            raise UserError(f"{run}: has no student {arm!r}; it has {kept or 'none'}")
        return _with_pin(run, named, None if _passed(named) else _not_passed(run, named))
    chosen = next((each for each in students if each.name == result.chosen), None)
    if chosen is not None:
        return _with_pin(run, chosen, None if _passed(chosen) else _not_passed(run, chosen))
    best = max(students, key=lambda each: each.score.value, default=None)
    if best is None:
        raise UserError(f"{run}: holds no student; give a run of distill")
    return arm_student(run, best.name), Doubt(
        place=run, why=none_chosen(result), remedy=_instead(run, result, students, verb)
    )


def none_chosen(result: Result) -> str:
    """That the verdict chose no student, and what it says instead."""
    passed = any(arm.kind == "student" and _passed(arm) for arm in result.arms)
    none = "the verdict chose no student" if passed else "no student of this run passed its gate"
    return f'{none} (the verdict is "{result.verdict.called}": {result.verdict.sentence.rstrip(".")})'


def _instead(run: Path, result: Result, students: list[ArmResult], verb: Verb) -> str:
    """What the verdict would have served or exported."""
    if result.verdict.kind == "cascade" and (run / CASCADE).is_file():
        return f"serve its cascade: stillhouse serve {shlex.quote(str(run))} --cascade"
    passed = next((each.name for each in students if _passed(each)), None)
    if passed is not None:
        return f"{verb} the one that passed: stillhouse {verb} {shlex.quote(f'{run}#{passed}')}"
    has_prompt = any(arm.kind == "prompt" for arm in result.arms)
    return "keep the prompt" if has_prompt else result.verdict.buy_next or "measure a prompt"


def _passed(arm: ArmResult) -> bool:
    return arm.gate is not None and arm.gate.answer == "pass"


def _not_passed(run: Path, arm: ArmResult) -> Doubt:
    answer = "there was no prompt to pass a gate against" if arm.gate is None else f"its gate says {arm.gate.answer!r}"
    return Doubt(place=run, why=f"{arm.name} is not proven: {answer}", remedy="keep the prompt")


def _with_pin(run: Path, arm: ArmResult, doubt: Doubt | None) -> tuple[Path, Doubt | None]:
    """The arm's student, and the doubt; a student that is not the measured one is not proven by its scores."""
    student = arm_student(run, arm.name)
    if doubt is not None:
        return student, doubt
    pinned = read_arm_file(student.parent / "arm.json").student
    if pinned is None:
        return student, Doubt(
            place=run, why="an earlier version made it and pinned no student", remedy="run `stillhouse distill` again"
        )
    if not (student / HEADER).is_file() or file_sha256(student / HEADER) != pinned:
        return student, Doubt(
            place=student,
            why=f"not the student that was measured (pinned is sha256 {pinned[:12]})",
            remedy="put back what was changed, or run `stillhouse distill` again",
        )
    return student, None
