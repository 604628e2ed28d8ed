"""The rules from evidence to one verdict, in one pure function, in the order in which they are asked.

0. The prompt to beat is the plain one, or the one with examples where these are shown to help and are worth their
   money. Students are held against that one.
1. What passes: a student that passes its gate (finetune on gold labels, distil on the teacher's), and a cascade that
   keeps its promise and a share of the calls worth having. The gate is a floor that money never overrules.
2. Of these, money refuses what brings nothing. Where it is known what a right answer is worth: what has no net benefit
   over the horizon (`money.net_benefit`). Where it is not: what saves nothing and is not shown to be better. A price
   that is not known refuses nothing; it is said.
3. Of what is left the one with the greatest net benefit is taken; where that is not known, the first student of the
   ladder, and else the cascade.
4. Examples are shown to help: few-shot.
5. The gate cannot tell for want of test rows: collect more of them. A student fails, and its last gain made again would
   reach the prompt: collect more training rows, 0.41 times as many before the next look (`advice.reach`), where their
   labels are worth it (`money.more_rows`) or have no price.
6. Every student fails: keep the prompt. Otherwise: cannot tell.

Every verdict names the contrast it stands on with interval and n, the money, why what was refused was refused, what
would change it, and what to buy next: never more than one doubling of what there is, because no curve is known further
ahead than that.
"""

from collections.abc import Sequence
from dataclasses import replace

from stillhouse.advice.gain_ratios import N_TASKS
from stillhouse.advice.reach import NextRows, hoped, next_rows
from stillhouse.numbers import confidence, points_in_sentence, usd_in_sentence
from stillhouse.records import Estimate
from stillhouse.results.verdict import HalfStep, Verdict, VerdictKind
from stillhouse.verdict.evidence import CascadeEvidence, MoneyEvidence, PromptEvidence, StudentEvidence
from stillhouse.verdict.money.more_rows import in_words as rows_in_words
from stillhouse.verdict.money.more_rows import rows_money
from stillhouse.verdict.money.net_benefit import in_words
from stillhouse.verdict.wording import agreeing, points, scored
from stillhouse.verdict.wording import contrast as contrasted

LEAST_SHARE = 0.10  # a cascade that keeps fewer calls than this is not worth a second model in production
DRIFT = "inputs that drift away from these rows"
Candidate = StudentEvidence | CascadeEvidence
AUDIT = "nothing now: a label for every hundredth call of the app shows whether its rows stay like these"


def recommend(
    prompt: PromptEvidence | None,
    students: Sequence[StudentEvidence],
    *,
    few_shot: PromptEvidence | None = None,
    cascade: CascadeEvidence | None = None,
) -> Verdict:
    """`students` cheapest first. All scores are on the same test rows. `prompt` None: nothing to compare with."""
    if prompt is None:
        return _without_prompt(students)
    to_beat = prompt
    if few_shot is not None and few_shot.helps and _brings(few_shot.money) is not False:
        to_beat = few_shot
        students = [_against(student, few_shot.name) for student in students]
    stands_before = cascade is not None and (cascade.against or prompt.name) == to_beat.name
    passing: list[Candidate] = [student for student in students if student.gate == "pass"]
    if cascade is not None and stands_before and why_no_cascade(cascade) is None:
        passing.append(cascade)
    left = [candidate for candidate in passing if _refused_by_money(candidate) is None]
    taken = _most_benefit(left)
    facts = _facts(prompt, few_shot, students, cascade if stands_before else None, taken)
    if cascade is not None and not stands_before:
        facts.append(_stands_elsewhere(cascade, prompt, to_beat))
    if isinstance(taken, StudentEvidence):
        return _replace(to_beat, taken, facts)
    if taken is not None:
        return _cascade(to_beat, taken, facts)
    short = next((student for student in students if _lacks_test_rows(student)), None)
    may_reach = [(student, rows) for student in students if (rows := _rows_ahead(student, to_beat)) is not None]
    in_reach = next(((student, rows) for student, rows in may_reach if _worth_buying(student, rows)), None)
    facts += [_not_bought(student, rows) for student, rows in may_reach if not _worth_buying(student, rows)]
    if to_beat is not prompt:
        return _few_shot(prompt, to_beat, short, in_reach, facts)
    if short is not None:
        return _more_test_rows(prompt, short, facts)
    if in_reach is not None:
        return _more_training_rows(prompt, *in_reach, facts)
    if all(student.gate != "cannot tell" for student in students):
        return _keep(prompt, students, facts)
    return _cannot_tell(prompt, students, facts)


def _most_benefit(candidates: Sequence[Candidate]) -> Candidate | None:
    """The one with the greatest net benefit; where that is not known of all, the first."""
    benefits = [net.net_usd for candidate in candidates if (net := candidate.money.net) and net.net_usd is not None]
    if not candidates or len(benefits) < len(candidates):
        return next(iter(candidates), None)
    return candidates[benefits.index(max(benefits))]


def _facts(
    prompt: PromptEvidence,
    few_shot: PromptEvidence | None,
    students: Sequence[StudentEvidence],
    cascade: CascadeEvidence | None,
    taken: Candidate | None,
) -> list[str]:
    """What every verdict lists: the prompts' scores, the students' gates, and why what is not taken is not."""
    facts = [_score_of(prompt)]
    if few_shot is not None and few_shot.gain is not None and prompt.yardstick:
        facts.append(contrasted(few_shot.name, prompt.name, few_shot.gain, yardstick=True))
    elif few_shot is not None:
        facts.append(_score_of(few_shot))
    if prompt.retirement is not None:
        facts.append(f"{prompt.retirement}: its successor is another prompt, to be measured anew")
    if few_shot is not None and few_shot.helps and few_shot.money.net is not None and _brings(few_shot.money) is False:
        facts.append(f"{few_shot.name} helps, and is not worth its money: {in_words(few_shot.money.net)}")
    facts += [_gate_said(student) for student in students]
    for student in students:
        if student.gate == "pass" and student is not taken:
            facts.append(f"{student.name} is not taken: {_refused_by_money(student) or _brings_less(student, taken)}")
        elif (more := _brings_more(student, taken)) is not None:
            facts.append(f"{student.name} does not pass its gate, which money does not overrule: {more}")
    if cascade is not None and cascade is not taken:
        why = why_no_cascade(cascade) or _refused_by_money(cascade) or _brings_less(cascade, taken)
        facts.append(f"no cascade: {why}")
    return facts


def _gate_said(student: StudentEvidence) -> str:
    """The gate's sentence; it is the gate that cannot tell, and not the student."""
    who = f"{student.name}: the gate" if student.gate_sentence.startswith("cannot tell") else student.name
    return f"{who} {student.gate_sentence}"


def _stands_elsewhere(cascade: CascadeEvidence, prompt: PromptEvidence, to_beat: PromptEvidence) -> str:
    """Why a cascade before another prompt is no candidate."""
    stands = f"{cascade.name} stands before {cascade.against or prompt.name}"
    return f"no cascade: {stands}, and {to_beat.name} is what is to be beaten"


def _brings_less(candidate: Candidate, taken: Candidate | None) -> str:
    """Why a candidate that money does not refuse is behind the one that is taken."""
    assert taken is not None
    own, other = candidate.money.net, taken.money.net
    if own is not None and other is not None and own.net_usd is not None and other.net_usd is not None:
        return f"{in_words(own)}, which is less than {taken.name} brings"
    return f"{taken.name} comes before it"


def _brings_more(student: StudentEvidence, taken: Candidate | None) -> str | None:
    """What a student that is kept out by its gate would bring, where that is more than what is taken brings."""
    own, other = student.money.net, None if taken is None else taken.money.net
    if own is None or own.net_usd is None or own.net_usd <= 0:
        return None
    if taken is not None and (other is None or other.net_usd is None or own.net_usd <= other.net_usd):
        return None
    return in_words(own)


def _against(student: StudentEvidence, few_shot: str) -> StudentEvidence:
    """The same student, held against the prompt with examples."""
    contrast = student.against_few_shot
    if contrast is None:
        return replace(
            student,
            gate="cannot tell",
            gate_sentence=f"was not compared with {few_shot}",
            better=False,
            rows_needed=None,
            pays_off=None,
            money=MoneyEvidence(against=few_shot),
        )
    return replace(
        student,
        gate=contrast.gate,
        gate_sentence=contrast.gate_sentence,
        difference=contrast.difference,
        better=contrast.better,
        rows_needed=contrast.rows_needed,
        pays_off=contrast.pays_off,
        money=contrast.money,
        failing_classes=contrast.failing_classes,
    )


# One function for each verdict


def _replace(prompt: PromptEvidence, student: StudentEvidence, facts: Sequence[str]) -> Verdict:
    kind: VerdictKind = "finetune" if student.learns_from == "gold" else "distil"
    outcome = "and better than it" if _better(student) else "within the margin"
    labels = f"{student.n_train:,} {student.learns_from} labels"
    seen = f"{_held_against(prompt, student.difference)} on the same rows, {outcome}"
    sentence = f"Let {student.name}, trained on {labels}, replace the {prompt.name}: {seen}."
    price = "a call of the student that costs more than assumed" if student.pays_off is None else "a cheaper prompt"
    changes = (DRIFT, price, *_worth_that_flips(student.money))
    return _verdict(kind, sentence, prompt, student, facts, changes=changes, buy=AUDIT, chosen=student.name)


def _cascade(prompt: PromptEvidence, cascade: CascadeEvidence, facts: Sequence[str]) -> Verdict:
    assert cascade.share_kept is not None
    kept = f"{cascade.share_kept.value:.0%} of the calls (n = {cascade.share_kept.n})"
    harmed, harms = ("harmed", "harms") if not prompt.yardstick else ("answered otherwise", "answers otherwise")
    promise = f"at most {cascade.budget:.1%} of all rows are {harmed}, with {confidence(cascade.level)} confidence"
    measured = [f"{cascade.name}: {scored(cascade.score)}"] if cascade.score and not prompt.yardstick else []
    if cascade.gate == "cannot tell":
        measured.append(
            f"{cascade.name}: the gate on the test rows cannot tell; it is taken by its promise, which is tested on "
            f"calibration rows: what {harms} at most {cascade.budget:.1%} of all rows loses no more than that"
        )
    contrast = "its score against the prompt alone was not measured"
    if cascade.difference is not None:
        contrast = contrasted(cascade.name, prompt.name, cascade.difference, yardstick=prompt.yardstick)
    changed_teacher = "a teacher that changes: the threshold was chosen beside this one"
    return Verdict(
        kind="cascade",
        sentence=f"Put {cascade.student} before the {prompt.name}: it keeps {kept}, and {promise}.",
        because=(contrast, _money(cascade.name, cascade.money), *facts, *measured),
        would_change=(
            "a student that passes its gate alone",
            DRIFT,
            changed_teacher,
            *_worth_that_flips(cascade.money),
        ),
        buy_next=AUDIT,
        chosen=cascade.name,
    )


def _few_shot(
    plain: PromptEvidence,
    prompt: PromptEvidence,
    short: StudentEvidence | None,
    in_reach: tuple[StudentEvidence, NextRows] | None,
    facts: Sequence[str],
) -> Verdict:
    assert prompt.gain is not None
    contrast = f"{prompt.name} against {plain.name}: {points(prompt.gain)}"
    buy = _training_rows(in_reach[1]) if in_reach is not None else AUDIT
    return Verdict(
        kind="few-shot",
        sentence=f"Add examples to the prompt: {points(prompt.gain)} against the prompt without.",
        because=(contrast, _money(prompt.name, prompt.money), *facts),
        would_change=(
            "a price per input token that makes the longer prompt too dear",
            "a student that passes against the prompt with examples",
            DRIFT,
        ),
        buy_next=_test_rows(short) if short is not None else buy,
        chosen=prompt.name,
        half_step=_half_step(in_reach[1]) if in_reach is not None and short is None else None,
    )


def _more_test_rows(prompt: PromptEvidence, student: StudentEvidence, facts: Sequence[str]) -> Verdict:
    n = f"{student.difference.n:,} test rows"
    sentence = f"{student.name} is near enough to the {prompt.name} that {n} cannot tell."
    changes = ("the difference on more rows", "a wider margin")
    return _verdict("collect more", sentence, prompt, student, facts, changes=changes, buy=_test_rows(student))


def _more_training_rows(
    prompt: PromptEvidence, student: StudentEvidence, rows: NextRows, facts: Sequence[str]
) -> Verdict:
    last = "last doubling" if rows.go_on_from is not None else "half step"
    may = f"may come up to the {prompt.name} at {rows.until:,} training rows, if the {last}'s gain comes again"
    sentence = f"{student.name} is still learning, and {may}."
    changes = ("a curve that flattens", "a stronger base model")
    facts = [*facts, _chance(rows), _rows_money_in_words(student, rows)]
    verdict = _verdict("collect more", sentence, prompt, student, facts, changes=changes, buy=_training_rows(rows))
    return replace(verdict, half_step=_half_step(rows))


def _half_step(rows: NextRows) -> HalfStep:
    return HalfStep(rows.arm, rows.begun_at, rows.until)


def _chance(rows: NextRows) -> str:
    """How often curves of real tasks did what is hoped here, and whose curves they are."""
    curves = f"(n = {rows.n_curve_points} points of curves of {N_TASKS} tasks, Le Scao & Rush 2021; yours may differ)"
    if rows.go_on_from is None:
        return f"after half steps like this one the doubling reached what was wanted in {rows.reach:.0%} {curves}"
    by_plan = f"{rows.found:.0%} where rows are bought in two parts"
    return f"real curves gained as much with their next doubling in {rows.reach:.0%}, {by_plan} {curves}"


def _keep(prompt: PromptEvidence, students: Sequence[StudentEvidence], facts: Sequence[str]) -> Verdict:
    best = max(students, key=lambda student: student.difference.value, default=None)
    changes: tuple[str, ...]
    if best is None:
        why, changes = "no student was measured", ("a student that is measured",)
        buy = "nothing yet: name a student in [student] ladder"
    elif best.gate == "pass":  # the student is as good as the prompt, and money refuses it
        alike = "agrees with it as is wanted" if prompt.yardstick else "is as good"
        why = f"{best.name} {alike}, and brings nothing: {_refused_by_money(best)}"
        dearer = ("a cheaper machine", "a dearer prompt", "more calls a day", *_worth_that_flips(best.money))
        changes, buy = dearer, AUDIT
    else:
        seen = f"is {points(best.difference)} against it"
        if prompt.yardstick:
            seen = f"agrees with it to no more than {agreeing(best.difference)}"
        lost = f", and {_in_classes('fails', best.failing_classes)}" if _fails_in_a_class_alone(best) else ""
        why = f"the best student, {best.name}, {seen} on the same rows{lost}"
        more = "many times the training rows"
        if _fails_in_a_class_alone(best) and best.failing_classes:
            more = _in_classes("more training rows", best.failing_classes)
        changes, buy = ("a stronger base model", more), "no rows"
        if best.climb is not None:
            buy += _no_more_rows(best, prompt)
    sentence = f"Keep the {prompt.name}: {why}."
    if prompt.retirement is not None:
        sentence = f"{sentence[:-1]}; {prompt.retirement}."
        changes, buy = (*changes, "the model that comes after it"), f"the answers of its successor to these rows; {buy}"
    return _verdict("keep prompt", sentence, prompt, best, facts, changes=changes, buy=buy, chosen=prompt.name)


def _cannot_tell(prompt: PromptEvidence, students: Sequence[StudentEvidence], facts: Sequence[str]) -> Verdict:
    undecided = [student for student in students if student.gate == "cannot tell"]
    best = max(undecided, key=lambda student: student.difference.value)
    sentence = f"The rows do not decide between the {prompt.name} and {best.name}."
    changes = ("the difference on more rows", "a wider margin")
    buy = f"{best.difference.n:,} more labelled test rows, a doubling"
    return _verdict("cannot tell", sentence, prompt, best, facts, changes=changes, buy=buy)


def _without_prompt(students: Sequence[StudentEvidence]) -> Verdict:
    best = max(students, key=lambda student: student.score.value, default=None)
    contrast = f"{best.name}, against nothing: {scored(best.score)}" if best else "nothing was measured"
    return Verdict(
        kind="cannot tell",
        sentence="No prompt was measured, so nothing can be said for or against replacing it.",
        because=(contrast, _money("the prompt", MoneyEvidence())),
        would_change=("a prompt to compare with",),
        buy_next="name a teacher in [teacher]",
    )


def _verdict(
    kind: VerdictKind,
    sentence: str,
    prompt: PromptEvidence,
    student: StudentEvidence | None,
    facts: Sequence[str],
    *,
    changes: tuple[str, ...],
    buy: str,
    chosen: str | None = None,
) -> Verdict:
    """A verdict that stands on one student against the prompt or, where that is None, on the prompt alone."""
    if student is None:
        contrast, money = _score_of(prompt, "against nothing"), _money(prompt.name, prompt.money)
    else:
        contrast = contrasted(student.name, prompt.name, student.difference, yardstick=prompt.yardstick)
        money = _money(student.name, student.money)
    return Verdict(kind, sentence, (contrast, money, *facts), changes, buy, chosen)


def _score_of(prompt: PromptEvidence, what: str = "") -> str:
    name = f"{prompt.name}, {what}" if what else prompt.name
    if prompt.yardstick:
        return f"{name}: the yardstick, as there is no gold; scores are agreement with its answers"
    return f"{name}: {scored(prompt.score)}"


def _held_against(prompt: PromptEvidence, difference: Estimate) -> str:
    return f"it agrees with it to {agreeing(difference)}" if prompt.yardstick else points(difference)


# What to buy next: one doubling at the most, and of training rows half an octave


def _test_rows(student: StudentEvidence) -> str:
    assert student.rows_needed is not None
    n, missing = student.difference.n, student.rows_needed - student.difference.n
    if missing <= n:
        return f"about {missing:,} more labelled test rows"
    in_all = f"about {student.rows_needed:,} in all would tell if the difference stays"
    return f"{n:,} more labelled test rows, a doubling; {in_all}, so look again after these"


def _training_rows(rows: NextRows) -> str:
    n = f"{rows.n_rows:,} more training rows"
    if rows.go_on_from is None:
        return f"{n}, the rest of the doubling from {rows.begun_at:,}"
    look = f"then look: go on to {rows.until:,} only if {rows.arm} comes to {rows.go_on_from:.1%} or more with them"
    return f"{n}, {rows.n_rows / rows.n:.2f} times as many as now; {look}"


def _no_more_rows(student: StudentEvidence, prompt: PromptEvidence) -> str:
    """Why no training rows are asked for, by the student's own curve."""
    climb = student.climb
    assert climb is not None
    wanted = f"and {max(0.0, prompt.score.value - student.margin):.1%} is wanted"
    if _rows_ahead(student, prompt) is not None:
        return f": more training rows for {student.name} are not worth their labels"
    if climb.step is not None:
        step = f"from {climb.step.n:,} to {climb.n:,} training rows {student.name}"
        if (gained := points_in_sentence(climb.gained)) == "+0.0":
            return f": {step} gained nothing, {wanted}"
        if climb.gained < 0:
            return f": {step} lost {gained[1:]} points, {wanted}"
        return f": {step} gained {gained} points; as much again would come to {hoped(climb):.1%}, {wanted}"
    if student.difference.value >= -student.margin:
        return ""
    if climb.gain == 0:
        return f": the last doubling gained {student.name} nothing, {wanted}"
    return f": the last doubling's gain made again would bring {student.name} to {hoped(climb):.1%}, {wanted}"


# What the rules ask of a student and of a cascade


def _lacks_test_rows(student: StudentEvidence) -> bool:
    return student.gate == "cannot tell" and (student.rows_needed or 0) > student.difference.n


def why_no_cascade(cascade: CascadeEvidence) -> str | None:
    """Why the cascade is no candidate, whatever it saves; None: it keeps its promise and a share worth having."""
    if cascade.refused:
        return cascade.refused
    if cascade.share_kept is None:
        return "it was not measured"
    if cascade.promise_broken and cascade.harm_seen is not None:
        harm = cascade.harm_seen
        rows = f"{harm.value:.1%} of the test rows (n = {harm.n:,})"
        does = f"it answers {rows} otherwise than the prompt" if cascade.yardstick else f"it harms {rows}"
        seen = f"{does}, at least {harm.low:.1%}"
        promised = f"the calibration rows promised {cascade.budget:.1%}"
        return f"{seen}, and {promised}; the two are not alike, or the teacher has changed"
    if cascade.gate == "fail":
        shown = "agree with the prompt too little" if cascade.yardstick else "be worse than the prompt"
        if not cascade.failing_classes:
            return f"it is shown to {shown}, overall or in a class{_points_of(cascade)}"
        lost = _in_classes(f"it is shown to {shown}", cascade.failing_classes)
        return f"{lost}{_points_of(cascade, ', over all rows')}"
    if (cascade.share_kept.low or 0) < LEAST_SHARE:
        kept = f"{cascade.share_kept.value:.1%} of the calls (n = {cascade.share_kept.n:,})"
        return f"it keeps {kept}, and at least {LEAST_SHARE:.0%} must be sure for a second model to be worth having"
    return None


def _fails_in_a_class_alone(student: StudentEvidence) -> bool:
    return student.gate == "fail" and student.difference.value >= -student.margin


def _in_classes(what: str, classes: Sequence[str]) -> str:
    """That it does so in these classes, as far as they are known."""
    if not classes:
        return f"{what} in a class"
    named = ", ".join(classes[:5]) + (f" and {len(classes) - 5} more" if len(classes) > 5 else "")
    return f"{what} in the class{'es' if len(classes) > 1 else ''} {named}"


def _points_of(cascade: CascadeEvidence, of: str = "") -> str:
    if cascade.difference is None:
        return ""
    return f"{of}: {agreeing(cascade.difference) if cascade.yardstick else points(cascade.difference)}"


def _brings(money: MoneyEvidence) -> bool | None:
    """Whether the arm is shown to bring a net benefit; None: not known."""
    return None if money.net is None else money.net.brings


def _refused_by_money(candidate: Candidate) -> str | None:
    """Why money refuses what passes; None: it does not, or a price is not known."""
    net = candidate.money.net
    if net is not None and net.brings is not None:
        return None if net.brings else f"{in_words(net)}, so no benefit is shown"
    if candidate.pays_off is not False or candidate.better:
        return None
    if net is None:
        return "it costs more"
    least = f", and {usd_in_sentence(net.least_usd)} is the least that counts" if net.least_usd else ""
    return f"{in_words(net)}, so no saving is shown{least}"


def _worth_that_flips(money: MoneyEvidence) -> tuple[str, ...]:
    """The worth of a right answer at which the choice turns, where the user named none and there is one."""
    if money.worth_usd is None or (money.net is not None and money.net.worth_usd is not None):
        return ()
    return (f"{_a(money.unit)} that is worth more, or less, than {usd_in_sentence(money.worth_usd)}",)


def _a(unit: str) -> str:
    return f"{'an' if unit[0] in 'aeiou' else 'a'} {unit}"


def _rows_ahead(student: StudentEvidence, prompt: PromptEvidence) -> NextRows | None:
    """The training rows to buy next where the student fails by its mean, and this may rise far enough.

    A student that fails in a class alone is not told to buy rows: its curve says nothing of that class. One that has
    half of a doubling comes nearer, and the gate may no longer be sure that it fails: the plan goes on all the same.
    """
    climb = student.climb
    if climb is None or student.difference.value >= -student.margin:
        return None
    if student.gate != "fail" and (climb.step is None or student.gate != "cannot tell"):
        return None
    return next_rows(student.name, climb, prompt.score.value - student.margin)


def _worth_buying(student: StudentEvidence, rows: NextRows) -> bool:
    """Whether the labels are worth their price; a price that is not known refuses nothing."""
    money = rows_money(student.money, student.label_usd, rows)
    return money is None or money.pays


def _not_bought(student: StudentEvidence, rows: NextRows) -> str:
    refused = f"{student.name} may come up with more training rows, and they are not worth it"
    return f"{refused}: {_rows_money_in_words(student, rows)}; {_chance(rows)}"


def _rows_money_in_words(student: StudentEvidence, rows: NextRows) -> str:
    money = rows_money(student.money, student.label_usd, rows)
    if money is None:
        return f"more training rows for {student.name}: what they cost, or would save, is not known"
    return f"more training rows for {student.name}: {rows_in_words(money)}"


def _better(student: StudentEvidence) -> bool:
    return student.better


def _money(name: str, money: MoneyEvidence) -> str:
    """What is known of an arm's money, and what is not."""
    other = f"one of {money.against} {usd_in_sentence(money.prompt_usd_per_call)}"
    parts = [
        f"a call of {name} costs {usd_in_sentence(money.usd_per_call)}, {other}",
        f"spent once: {usd_in_sentence(money.fixed_usd)}",
    ]
    if money.break_even_calls is None:
        parts.append(f"break-even: {'never' if money.never_breaks_even else 'unknown'}")
    elif money.break_even_calls == 0:
        parts.append("break-even: at once")
    else:
        day = f", {money.break_even_day.isoformat()}" if money.break_even_day else ""
        parts.append(f"break-even: {money.break_even_calls:,.0f} calls{day}")
    if money.net is not None:
        parts.append(in_words(money.net))
    if money.pays_below is not None:
        parts.append(money.pays_below)
    if money.worth_usd is not None:
        ends = (usd_in_sentence(end, unknown="no limit") for end in (money.worth_low, money.worth_high))
        flips = f"{usd_in_sentence(money.worth_usd)} [{', '.join(ends)}]"
        parts.append(f"the choice flips where one more {money.unit} is worth {flips}")
    return "money: " + "; ".join(parts)
