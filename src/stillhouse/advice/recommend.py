"""The rules from evidence to one verdict, in one pure function, in the order in which they are asked.

1. A student passes its gate: it replaces the prompt, the first of the ladder that does (finetune on gold labels, distil on the teacher's).
2. None passes, and a cascade keeps its promise and a share of the calls worth having: cascade.
3. The gate cannot tell for want of test rows: collect more of them. The curve may reach the prompt at one doubling: collect more training rows.
4. Every student fails: keep the prompt; a few-shot prompt if it is better than the prompt as it is.
5. Otherwise: cannot tell.
Money turns a verdict only where it is known: a student that never pays off does not replace a prompt that is as good.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stillhouse.records import Estimate, Source

Kind = Literal["keep prompt", "few-shot", "finetune", "distil", "cascade", "collect more", "cannot tell"]
LEAST_SHARE = 0.10  # a cascade that keeps fewer calls than this is not worth a second model in production


@dataclass(frozen=True)
class PromptEvidence:
    """A prompt, or a prompt with examples. `gain` (few-shot only): score minus the plain prompt's on the same rows."""

    name: str
    score: Estimate
    gain: Estimate | None = None


@dataclass(frozen=True)
class StudentEvidence:
    """A student against the prompt. `pays_off` None: not known; `reach`: (training rows, highest score) that one doubling may bring."""

    name: str
    learns_from: Source
    score: Estimate
    gate: Literal["pass", "fail", "cannot tell"]
    gate_sentence: str
    difference: Estimate
    margin: float
    rows_needed: int | None
    n_train: int
    pays_off: bool | None = None
    reach: tuple[int, float] | None = None


@dataclass(frozen=True)
class CascadeEvidence:
    """A cascade of `student` before the prompt; `refused` says why there is no threshold."""

    name: str
    student: str
    share_kept: Estimate | None
    score: Estimate | None
    budget: float
    level: float
    gate: Literal["pass", "fail", "cannot tell"] | None = None
    refused: str | None = None
    rows_missing: int | None = None


@dataclass(frozen=True)
class Advice:
    """The verdict. `chosen` is the arm it recommends, None where it recommends none."""

    kind: Kind
    sentence: str
    because: tuple[str, ...]
    would_change: tuple[str, ...]
    buy_next: str | None
    chosen: str | None


def recommend(
    prompt: PromptEvidence | None,
    students: Sequence[StudentEvidence],
    *,
    few_shot: PromptEvidence | None = None,
    cascade: CascadeEvidence | None = None,
) -> Advice:
    """`students` cheapest first. All scores are on the same test rows; `prompt` None: there is nothing to compare with."""
    if prompt is None:
        best = max(students, key=lambda student: student.score.value, default=None)
        seen = (f"{best.name}: {_scored(best.score)}",) if best else ()
        sentence = "No prompt was measured, so nothing can be said for or against replacing it."
        return Advice("cannot tell", sentence, seen, (), "name a teacher in [teacher]", None)
    facts = (f"{prompt.name}: {_scored(prompt.score)}", *(f"{student.name} {student.gate_sentence}" for student in students))
    passing = [student for student in students if student.gate == "pass" and (student.pays_off is not False or _better(student))]
    if passing:
        return _replace(prompt, passing[0], facts)
    if cascade is not None and cascade.share_kept is not None and cascade.gate != "fail" and (cascade.share_kept.low or 0) >= LEAST_SHARE:
        return _cascade(prompt, cascade, facts)
    refusal = (f"no cascade: {cascade.refused}",) if cascade is not None and cascade.refused else ()
    if short := [student for student in students if student.gate == "cannot tell" and (student.rows_needed or 0) > student.difference.n]:
        return _more_test_rows(short[0], facts + refusal)
    if in_reach := [student for student in students if student.gate != "pass" and _may_reach(student, prompt)]:
        return _more_training_rows(prompt, in_reach[0], facts + refusal)
    if few_shot is not None and few_shot.gain is not None and (few_shot.gain.low or 0) > 0:
        return Advice("few-shot", f"Add examples to the prompt: {_points(few_shot.gain)} against the prompt without.", facts, (), None, few_shot.name)
    if all(student.gate != "cannot tell" for student in students):
        return _keep(prompt, students, facts + refusal)
    return Advice("cannot tell", "The rows do not decide between the prompt and a student.", facts + refusal, (), None, None)


def _replace(prompt: PromptEvidence, student: StudentEvidence, facts: tuple[str, ...]) -> Advice:
    kind: Kind = "finetune" if student.learns_from == "gold" else "distil"
    verdict = "and better than it" if _better(student) else "within the margin"
    learned = f"{student.n_train:,} {'gold' if kind == 'finetune' else 'teacher'} labels"
    sentence = f"Let {student.name}, trained on {learned}, replace the {prompt.name}: {_points(student.difference)} on the same rows, {verdict}."
    changes = ("inputs that drift away from these rows", *(("a call of the student that costs more than assumed",) if student.pays_off is None else ()))
    return Advice(kind, sentence, facts, changes, None, student.name)


def _cascade(prompt: PromptEvidence, cascade: CascadeEvidence, facts: tuple[str, ...]) -> Advice:
    assert cascade.share_kept is not None
    kept = f"{cascade.share_kept.value:.0%} of the calls (n = {cascade.share_kept.n})"
    promise = f"at most {cascade.budget:.1%} of all rows are harmed, with {cascade.level:.0%} confidence"
    sentence = f"Put {cascade.student} before the {prompt.name}: it keeps {kept}, and {promise}."
    measured = (f"{cascade.name}: {_scored(cascade.score)}",) if cascade.score else ()
    return Advice("cascade", sentence, facts + measured, ("a student that passes its gate alone", "inputs that drift away from these rows"), None, cascade.name)


def _more_test_rows(student: StudentEvidence, facts: tuple[str, ...]) -> Advice:
    assert student.rows_needed is not None
    missing = student.rows_needed - student.difference.n
    sentence = f"{student.name} is near enough to the prompt that {student.difference.n:,} test rows cannot tell."
    return Advice("collect more", sentence, facts, ("the difference on more rows",), f"about {missing:,} more labelled test rows", None)


def _more_training_rows(prompt: PromptEvidence, student: StudentEvidence, facts: tuple[str, ...]) -> Advice:
    assert student.reach is not None
    n, _ = student.reach
    sentence = f"{student.name} is still learning, and may come up to the {prompt.name} with twice the training rows."
    return Advice("collect more", sentence, facts, ("a curve that flattens",), f"{n - student.n_train:,} more training rows", None)


def _keep(prompt: PromptEvidence, students: Sequence[StudentEvidence], facts: tuple[str, ...]) -> Advice:
    best = max(students, key=lambda student: student.difference.value, default=None)
    if best is None:
        return Advice("keep prompt", f"Keep the {prompt.name}: no student was measured.", facts, (), None, prompt.name)
    if best.gate == "pass":  # as good, and yet it never pays off
        return Advice("keep prompt", f"Keep the {prompt.name}: {best.name} is as good but costs more.", facts, ("a cheaper machine",), None, prompt.name)
    sentence = f"Keep the {prompt.name}: the best student, {best.name}, is {_points(best.difference)} against it on the same rows."
    return Advice("keep prompt", sentence, facts, ("a stronger base model", "many times the training rows"), None, prompt.name)


def _may_reach(student: StudentEvidence, prompt: PromptEvidence) -> bool:
    return student.reach is not None and student.reach[1] >= prompt.score.value - student.margin


def _better(student: StudentEvidence) -> bool:
    return (student.difference.low or 0) > 0


def _scored(score: Estimate) -> str:
    interval = "" if score.low is None or score.high is None else f" [{score.low * 100:.1f}, {score.high * 100:.1f}]"
    return f"{score.value * 100:.1f} %{interval} (n = {score.n:,})"


def _points(difference: Estimate) -> str:
    interval = "" if difference.low is None or difference.high is None else f" [{difference.low * 100:+.1f}, {difference.high * 100:+.1f}]"
    return f"{difference.value * 100:+.1f} points{interval} (n = {difference.n:,})"
