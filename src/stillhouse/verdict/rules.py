"""The rules from evidence to one verdict, in one pure function, in the order in which they are asked.

0. The prompt to beat is the plain one, or the one with examples where these are shown to help. Students are held against that one.
1. A student passes its gate: it replaces the prompt, the first of the ladder that does (finetune on gold labels, distil on the teacher's).
2. None passes, and a cascade keeps its promise and a share of the calls worth having: cascade.
3. Examples are shown to help: few-shot.
4. The gate cannot tell for want of test rows: collect more of them. A student fails, and its curve may reach the prompt at one doubling: collect more
   training rows.
5. Every student fails: keep the prompt. Otherwise: cannot tell.

Money turns a verdict only where it is known: a student or a cascade that never pays off does not replace a prompt that is as good. Every verdict names the
contrast it stands on with interval and n, the money, what would change it, and what to buy next: never more than one doubling of what there is, because
no curve is known further ahead than that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from stillhouse.records import Estimate, Source

Kind = Literal["keep prompt", "few-shot", "finetune", "distil", "cascade", "collect more", "cannot tell"]
GateAnswer = Literal["pass", "fail", "cannot tell"]
LEAST_SHARE = 0.10  # a cascade that keeps fewer calls than this is not worth a second model in production
DRIFT = "inputs that drift away from these rows"
AUDIT = "nothing now: a label for every hundredth call of the app shows whether its rows stay like these"


@dataclass(frozen=True)
class MoneyEvidence:
    """An arm's money against a prompt's, in US dollars; None: not known. `worth_usd`: v*, what one more right answer must be worth to flip the choice."""

    usd_per_call: float | None = None
    prompt_usd_per_call: float | None = None
    fixed_usd: float | None = None
    break_even_calls: float | None = None
    break_even_day: date | None = None
    worth_usd: float | None = None
    worth_low: float | None = None  # of its interval; None: no worth is low (or high) enough to be sure
    worth_high: float | None = None
    against: str = "the prompt"


@dataclass(frozen=True)
class PromptEvidence:
    """A prompt, or a prompt with examples. `gain` (few-shot only): score minus the plain prompt's on the same rows."""

    name: str
    score: Estimate
    gain: Estimate | None = None
    money: MoneyEvidence = MoneyEvidence()


@dataclass(frozen=True)
class Contrast:
    """What the gate, and the money, said of a student against one prompt. `pays_off` None: not known."""

    against: str
    gate: GateAnswer
    gate_sentence: str
    difference: Estimate
    rows_needed: int | None
    pays_off: bool | None = None
    money: MoneyEvidence = MoneyEvidence()


@dataclass(frozen=True)
class StudentEvidence:
    """A student against the plain prompt. `pays_off` None: not known; `reach`: (training rows, highest score) that one doubling may bring.

    `against_few_shot`: gate and money against the prompt with examples; None: not compared.
    """

    name: str
    learns_from: Source
    score: Estimate
    gate: GateAnswer
    gate_sentence: str
    difference: Estimate
    margin: float
    rows_needed: int | None
    n_train: int
    pays_off: bool | None = None
    reach: tuple[int, float] | None = None
    money: MoneyEvidence = MoneyEvidence()
    against_few_shot: Contrast | None = None


@dataclass(frozen=True)
class CascadeEvidence:
    """A cascade of `student` before a prompt, the plain one where `against` is None; `refused` says why there is no threshold.

    `difference`: cascade minus that prompt on the test rows. `harm_seen`: the share of test rows kept and wrong where that prompt is right, with a one-sided
    lower bound: above the budget, the promise is broken on rows that had no say in it, so these are not like the calibration rows, or the teacher changed.
    """

    name: str
    student: str
    share_kept: Estimate | None
    score: Estimate | None
    budget: float
    level: float
    gate: GateAnswer | None = None
    refused: str | None = None
    rows_missing: int | None = None
    difference: Estimate | None = None
    harm_seen: Estimate | None = None
    pays_off: bool | None = None
    money: MoneyEvidence = MoneyEvidence()
    against: str | None = None

    @property
    def promise_broken(self) -> bool:
        return self.harm_seen is not None and (self.harm_seen.low or 0) > self.budget


@dataclass(frozen=True)
class Advice:
    """The verdict. `chosen` is the arm it recommends, None where it recommends none. `because` holds `contrast` and `money` as well."""

    kind: Kind
    sentence: str
    because: tuple[str, ...]
    would_change: tuple[str, ...]
    buy_next: str
    chosen: str | None
    contrast: str
    money: str


def recommend(
    prompt: PromptEvidence | None,
    students: Sequence[StudentEvidence],
    *,
    few_shot: PromptEvidence | None = None,
    cascade: CascadeEvidence | None = None,
) -> Advice:
    """`students` cheapest first. All scores are on the same test rows; `prompt` None: there is nothing to compare with."""
    if prompt is None:
        return _without_prompt(students)
    examples_help = few_shot is not None and few_shot.gain is not None and (few_shot.gain.low or 0) > 0
    beaten = few_shot if examples_help and few_shot is not None else prompt
    if examples_help:
        students = [_against(student, beaten.name) for student in students]
    facts = [f"{arm.name}: {_scored(arm.score)}" for arm in (prompt, few_shot) if arm is not None] + [
        f"{one.name} {one.gate_sentence}" for one in students
    ]
    if cascade is not None and cascade.refused:
        facts.append(f"no cascade: {cascade.refused}")
    if cascade is not None and cascade.promise_broken and cascade.harm_seen is not None:
        harm = cascade.harm_seen
        seen = f"it harms {harm.value:.1%} of the test rows (n = {harm.n:,}), at least {harm.low:.1%}, and the calibration rows promised {cascade.budget:.1%}"
        facts.append(f"no cascade: {seen}; the two are not alike, or the teacher has changed")
    if passing := [
        student
        for student in students
        if student.gate == "pass" and (student.pays_off is not False or _better(student))
    ]:
        return _replace(beaten, passing[0], facts)
    if cascade is not None and (cascade.against or prompt.name) == beaten.name and _worth_having(cascade):
        return _cascade(beaten, cascade, facts)
    short = next(
        (
            student
            for student in students
            if student.gate == "cannot tell" and (student.rows_needed or 0) > student.difference.n
        ),
        None,
    )
    in_reach = next((student for student in students if student.gate == "fail" and _may_reach(student, beaten)), None)
    if examples_help:
        return _few_shot(prompt, beaten, short, in_reach, facts)
    if short is not None:
        return _more_test_rows(prompt, short, facts)
    if in_reach is not None:
        return _more_training_rows(prompt, in_reach, facts)
    if all(student.gate != "cannot tell" for student in students):
        return _keep(prompt, students, facts)
    return _cannot_tell(prompt, students, facts)


def _against(student: StudentEvidence, few_shot: str) -> StudentEvidence:
    """The same student, held against the prompt with examples."""
    found = student.against_few_shot
    if found is None:
        gate_sentence, money = f"was not compared with {few_shot}", MoneyEvidence(against=few_shot)
        return replace(
            student, gate="cannot tell", gate_sentence=gate_sentence, rows_needed=None, pays_off=None, money=money
        )
    gate = replace(
        student,
        gate=found.gate,
        gate_sentence=found.gate_sentence,
        difference=found.difference,
        rows_needed=found.rows_needed,
    )
    return replace(gate, pays_off=found.pays_off, money=found.money)


def _replace(prompt: PromptEvidence, student: StudentEvidence, facts: Sequence[str]) -> Advice:
    kind: Kind = "finetune" if student.learns_from == "gold" else "distil"
    verdict = "and better than it" if _better(student) else "within the margin"
    learned = f"{student.n_train:,} {'gold' if kind == 'finetune' else 'teacher'} labels"
    sentence = f"Let {student.name}, trained on {learned}, replace the {prompt.name}: {_points(student.difference)} on the same rows, {verdict}."
    changes = [
        DRIFT,
        *(["a call of the student that costs more than assumed"] if student.pays_off is None else ["a cheaper prompt"]),
    ]
    return _advice(kind, sentence, prompt, student, facts, changes, AUDIT, student.name)


def _cascade(prompt: PromptEvidence, cascade: CascadeEvidence, facts: Sequence[str]) -> Advice:
    assert cascade.share_kept is not None
    kept = f"{cascade.share_kept.value:.0%} of the calls (n = {cascade.share_kept.n})"
    promise = f"at most {cascade.budget:.1%} of all rows are harmed, with {cascade.level:.0%} confidence"
    sentence = f"Put {cascade.student} before the {prompt.name}: it keeps {kept}, and {promise}."
    measured = [f"{cascade.name}: {_scored(cascade.score)}"] if cascade.score else []
    contrast = "its score against the prompt alone was not measured"
    if cascade.difference is not None:
        contrast = f"{cascade.name} against {prompt.name}: {_points(cascade.difference)}"
    changes = (
        "a student that passes its gate alone",
        DRIFT,
        "a teacher that changes: the threshold was chosen beside this one",
    )
    money = _money(cascade.name, cascade.money)
    return Advice(
        "cascade", sentence, (contrast, money, *facts, *measured), changes, AUDIT, cascade.name, contrast, money
    )


def _few_shot(
    plain: PromptEvidence,
    prompt: PromptEvidence,
    short: StudentEvidence | None,
    reach: StudentEvidence | None,
    facts: Sequence[str],
) -> Advice:
    assert prompt.gain is not None
    sentence = f"Add examples to the prompt: {_points(prompt.gain)} against the prompt without."
    changes = [
        "a price per input token that makes the longer prompt too dear",
        "a student that passes against the prompt with examples",
        DRIFT,
    ]
    buy = _test_rows(short) if short is not None else _training_rows(reach) if reach is not None else AUDIT
    contrast, money = f"{prompt.name} against {plain.name}: {_points(prompt.gain)}", _money(prompt.name, prompt.money)
    return Advice("few-shot", sentence, (contrast, money, *facts), tuple(changes), buy, prompt.name, contrast, money)


def _more_test_rows(prompt: PromptEvidence, student: StudentEvidence, facts: Sequence[str]) -> Advice:
    sentence = (
        f"{student.name} is near enough to the {prompt.name} that {student.difference.n:,} test rows cannot tell."
    )
    return _advice(
        "collect more",
        sentence,
        prompt,
        student,
        facts,
        ["the difference on more rows", "a wider margin"],
        _test_rows(student),
        None,
    )


def _more_training_rows(prompt: PromptEvidence, student: StudentEvidence, facts: Sequence[str]) -> Advice:
    hope = "if they bring the last doubling's gain again"  # the most to hope for, as in `curves.ahead`
    sentence = (
        f"{student.name} is still learning, and may come up to the {prompt.name} with twice the training rows, {hope}."
    )
    return _advice(
        "collect more",
        sentence,
        prompt,
        student,
        facts,
        ["a curve that flattens", "a stronger base model"],
        _training_rows(student),
        None,
    )


def _keep(prompt: PromptEvidence, students: Sequence[StudentEvidence], facts: Sequence[str]) -> Advice:
    best = max(students, key=lambda student: student.difference.value, default=None)
    if best is None:
        sentence = f"Keep the {prompt.name}: no student was measured."
        changes, buy = ["a student that is measured"], "nothing yet: name a student in [student] ladder"
        return _advice("keep prompt", sentence, prompt, None, facts, changes, buy, prompt.name)
    if best.gate == "pass":  # as good, and yet it never pays off
        sentence = f"Keep the {prompt.name}: {best.name} is as good but costs more."
        return _advice(
            "keep prompt",
            sentence,
            prompt,
            best,
            facts,
            ["a cheaper machine", "a dearer prompt", "more calls a day"],
            AUDIT,
            prompt.name,
        )
    sentence = f"Keep the {prompt.name}: the best student, {best.name}, is {_points(best.difference)} against it on the same rows."
    buy = "no rows"
    if best.reach is not None:
        most = f"{best.reach[1]:.1%} at the most, unless it gains more than it did from the last doubling"
        buy += f": with twice the training rows {best.name} would come to {most}"
    return _advice(
        "keep prompt",
        sentence,
        prompt,
        best,
        facts,
        ["a stronger base model", "many times the training rows"],
        buy,
        prompt.name,
    )


def _cannot_tell(prompt: PromptEvidence, students: Sequence[StudentEvidence], facts: Sequence[str]) -> Advice:
    best = max((one for one in students if one.gate == "cannot tell"), key=lambda student: student.difference.value)
    sentence = f"The rows do not decide between the {prompt.name} and {best.name}."
    changes = ["the difference on more rows", "a wider margin"]
    return _advice(
        "cannot tell",
        sentence,
        prompt,
        best,
        facts,
        changes,
        f"{best.difference.n:,} more labelled test rows, a doubling",
        None,
    )


def _without_prompt(students: Sequence[StudentEvidence]) -> Advice:
    best = max(students, key=lambda student: student.score.value, default=None)
    contrast = f"{best.name}, against nothing: {_scored(best.score)}" if best else "nothing was measured"
    sentence = "No prompt was measured, so nothing can be said for or against replacing it."
    money = _money("the prompt", MoneyEvidence())
    return Advice(
        "cannot tell",
        sentence,
        (contrast, money),
        ("a prompt to compare with",),
        "name a teacher in [teacher]",
        None,
        contrast,
        money,
    )


def _advice(
    kind: Kind,
    sentence: str,
    prompt: PromptEvidence,
    student: StudentEvidence | None,
    facts: Sequence[str],
    changes: Sequence[str],
    buy: str,
    chosen: str | None,
) -> Advice:
    """A verdict that stands on one student against the prompt, or, with None, on the prompt alone."""
    if student is None:
        contrast, money = f"{prompt.name}, against nothing: {_scored(prompt.score)}", _money(prompt.name, prompt.money)
    else:
        contrast, money = (
            f"{student.name} against {prompt.name}: {_points(student.difference)}",
            _money(student.name, student.money),
        )
    return Advice(kind, sentence, (contrast, money, *facts), tuple(changes), buy, chosen, contrast, money)


# What to buy next: one doubling at the most


def _test_rows(student: StudentEvidence) -> str:
    assert student.rows_needed is not None
    n, missing = student.difference.n, student.rows_needed - student.difference.n
    if missing <= n:
        return f"about {missing:,} more labelled test rows"
    return f"{n:,} more labelled test rows, a doubling; about {student.rows_needed:,} in all would tell if the difference stays, so look again after these"


def _training_rows(student: StudentEvidence) -> str:
    assert student.reach is not None
    return f"{student.reach[0] - student.n_train:,} more training rows, a doubling"


def _worth_having(cascade: CascadeEvidence) -> bool:
    """It keeps its promise, a share of the calls, and is not dearer than the prompt; nor have the test rows shown it, or a class under it, to be worse."""
    if cascade.share_kept is None or cascade.gate == "fail" or cascade.promise_broken or cascade.pays_off is False:
        return False
    return (cascade.share_kept.low or 0) >= LEAST_SHARE


def _may_reach(student: StudentEvidence, prompt: PromptEvidence) -> bool:
    """Its mean is what fails, and may rise far enough. One that fails in a class alone is not told to buy rows: its curve says nothing of that class."""
    if student.reach is None or student.difference.value >= -student.margin:
        return False
    return student.reach[1] >= prompt.score.value - student.margin


def _better(student: StudentEvidence) -> bool:
    return (student.difference.low or 0) > 0


# Numbers, each with its interval and n


def _scored(score: Estimate) -> str:
    interval = "" if score.low is None or score.high is None else f" [{score.low * 100:.1f}, {score.high * 100:.1f}]"
    return f"{score.value * 100:.1f} %{interval} (n = {score.n:,})"


def _points(difference: Estimate) -> str:
    interval = (
        ""
        if difference.low is None or difference.high is None
        else f" [{difference.low * 100:+.1f}, {difference.high * 100:+.1f}]"
    )
    return f"{difference.value * 100:+.1f} points{interval} (n = {difference.n:,})"


def _money(name: str, money: MoneyEvidence) -> str:
    """What is known of an arm's money, and what is not."""
    other = f"one of {money.against} {_usd(money.prompt_usd_per_call)}"
    parts = [f"a call of {name} costs {_usd(money.usd_per_call)}, {other}", f"spent once: {_usd(money.fixed_usd)}"]
    if money.break_even_calls is None:
        parts.append("break-even: unknown or never")
    else:
        day = f", {money.break_even_day.isoformat()}" if money.break_even_day else ""
        parts.append(f"break-even: {money.break_even_calls:,.0f} calls{day}")
    if money.worth_usd is not None:
        low, high = _usd(money.worth_low, "no limit"), _usd(money.worth_high, "no limit")
        parts.append(f"the choice flips where one more right answer is worth {_usd(money.worth_usd)} [{low}, {high}]")
    return "money: " + "; ".join(parts)


def _usd(amount: float | None, otherwise: str = "unknown") -> str:
    return otherwise if amount is None else f"${amount:,.2f}" if abs(amount) >= 1 or amount == 0 else f"${amount:.2g}"
