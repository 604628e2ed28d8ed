"""From measured arms to a `Result`: summaries, gates, the cascade, the money, the verdict. Pure: nothing is trained, asked or written here."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from stillhouse.evaluation.deferral import NoThreshold, Threshold
from stillhouse.evaluation.gate import GateResult, among, decide_gate
from stillhouse.evaluation.harness import summarise
from stillhouse.evaluation.proportions import clopper_pearson
from stillhouse.experiment.arms import PROMPT, MeasuredArm
from stillhouse.experiment.controls import sections
from stillhouse.experiment.material import Material
from stillhouse.records import Estimate
from stillhouse.results import result as report
from stillhouse.results.money import Money
from stillhouse.verdict import rules
from stillhouse.verdict.costs import known_sum, student_cost_note
from stillhouse.verdict.error_analysis import class_table, confusion, disagreements, reliability, threshold_curve
from stillhouse.verdict.gated import CascadeFound, Judged, cascade_rows, find_cascade, harm_on, judge
from stillhouse.verdict.money import evidence, money_of, pays_off


def find(
    material: Material,
    arms: Sequence[MeasuredArm],
    provenance: report.Provenance,
    *,
    curves: report.LearningCurves | None = None,
) -> report.Result:
    """The result of a run. `arms`: the prompt first (if any), baselines, then the students, cheapest first; all on the same test rows."""
    prompt = next((judge(material, arm, None) for arm in arms if arm.kind == "prompt"), None)
    others = _one_of_many(
        [judge(material, arm, prompt) for arm in arms if arm.kind != "prompt"], len(material.task.ladder)
    )
    students = [judged for judged in others if judged.arm.kind == "student"]
    cascade = find_cascade(material, prompt, students)
    start = date.fromisoformat(provenance.created[:10])
    rivals = [judged for judged in others if judged.arm.kind in ("few-shot", "student")]
    money = money_of(material, prompt, rivals, cascade, start)
    best = _best_few_shot(others, curves)
    against = _against_few_shot(material, students, best, start)
    measured = [
        _student_evidence(judged, money, curves) for judged in students if judged.gate is not None or prompt is None
    ]
    few_shot = _few_shot_evidence(material, prompt, best, sum(judged.arm.kind == "few-shot" for judged in others))
    behind = _cascade_evidence(material, cascade, prompt)
    advice = rules.recommend(
        _prompt_evidence(prompt),
        [replace(student, against_few_shot=against.get(student.name)) for student in measured],
        few_shot=None if few_shot is None else replace(few_shot, money=evidence(money, few_shot.name)),
        cascade=None
        if behind is None
        else replace(behind, pays_off=pays_off(money, behind.name), money=evidence(money, behind.name)),
    )
    fallback = cascade.student if cascade else students[-1] if students else None
    shown = next((judged for judged in students if judged.arm.name == advice.chosen), fallback)
    found = report.Result(
        task=material.task.name,
        instruction=material.task.instruction,
        metric=material.metric.name,
        n_train=len(material.splits.train),
        n_validation=len(material.splits.validation),
        n_calibration=len(material.splits.calibration),
        n_test=len(material.splits.test),
        scored_against=material.scored_against,
        verdict=report.Verdict(advice.kind, advice.sentence, advice.because, advice.would_change, advice.buy_next),
        chosen=advice.chosen,
        arms=tuple(
            _arm(material, judged)
            for judged in (prompt, *others, cascade.judged if cascade else None)
            if judged is not None
        ),
        provenance=provenance,
        curves=curves,
        money=money,
        label_quality=_label_quality(material),
        win_rates=tuple(judged.arm.against.found for judged in students if judged.arm.against is not None),
        other_tests=_other_tests(material, [*([prompt] if prompt else []), *students]),
        cascade=_cascade_section(material, cascade, prompt),
        step_by_step=sections(material, arms),
        warnings=(*material.warnings, *_warnings_elsewhere(material, advice.chosen, prompt, students, cascade)),
    )
    return found if shown is None else _with_details(found, material, shown, prompt, cascade)


# The verdict's evidence


def _one_of_many(judged: Sequence[Judged], n_students: int) -> list[Judged]:
    """The arms with Holm over the students' gates; those of the ladder that are not measured yet count as well."""
    gates = [one.gate for one in judged if one.gate is not None]
    corrected = iter(among(gates, max(n_students, len(gates))))
    return [one if one.gate is None else replace(one, gate=next(corrected)) for one in judged]


def _prompt_evidence(prompt: Judged | None) -> rules.PromptEvidence | None:
    return None if prompt is None else rules.PromptEvidence(prompt.arm.name, prompt.summary.score)


def _best_few_shot(others: Sequence[Judged], curves: report.LearningCurves | None) -> Judged | None:
    """The first draw of the number of examples that is best on average over its draws."""
    shots = {judged.arm.facts["k"]: judged for judged in others if judged.arm.kind == "few-shot"}
    if not shots or curves is None or curves.few_shot is None:
        return None
    return shots[max(curves.few_shot.points, key=lambda point: point.mean).n]


def _few_shot_evidence(
    material: Material, prompt: Judged | None, best: Judged | None, n_tried: int
) -> rules.PromptEvidence | None:
    """What it gains over the plain prompt on the same rows. It was picked on these rows, so the interval holds for all numbers of examples (Bonferroni)."""
    if prompt is None or best is None:
        return None
    gate = material.task.gate
    gain = decide_gate(
        best.arm.test, prompt.arm.test, margin=gate.margin, level=1 - (1 - gate.level) / n_tried
    ).difference
    return rules.PromptEvidence(best.arm.name, best.summary.score, gain)


def _against_few_shot(
    material: Material, students: Sequence[Judged], best: Judged | None, start: date
) -> dict[str, rules.Contrast]:
    """Every student's gate and money against the prompt with examples, whose calls are dearer than the plain one's; Holm over the students."""
    if best is None or not students:
        return {}
    gate, name = material.task.gate, best.arm.name
    gates = [
        decide_gate(judged.arm.test, best.arm.test, margin=gate.margin, level=gate.level, labels=material.labels)
        for judged in students
    ]
    money = money_of(material, best, students, None, start)
    found = {}
    for judged, one in zip(students, among(gates, max(len(material.task.ladder), len(gates))), strict=True):
        arm = judged.arm.name
        costs = replace(evidence(money, arm), against=name)
        found[arm] = rules.Contrast(
            name, one.answer, one.sentence, one.difference, one.rows_needed, pays_off(money, arm), costs
        )
    return found


def _student_evidence(
    judged: Judged, money: Money | None, curves: report.LearningCurves | None
) -> rules.StudentEvidence:
    gate, arm = judged.gate, judged.arm
    unknown = Estimate(0.0, judged.summary.score.n)
    return rules.StudentEvidence(
        name=arm.name,
        learns_from=arm.learns_from or "gold",
        score=judged.summary.score,
        gate="cannot tell" if gate is None else gate.answer,
        gate_sentence="" if gate is None else gate.sentence,
        difference=unknown if gate is None else gate.difference,
        margin=0.0 if gate is None else gate.margin,
        rows_needed=None if gate is None else gate.rows_needed,
        n_train=arm.n_train or 0,
        pays_off=pays_off(money, arm.name),
        reach=_reach(arm.name, curves),
        money=evidence(money, arm.name),
    )


def _reach(name: str, curves: report.LearningCurves | None) -> tuple[int, float] | None:
    curve = next((curve for curve in (curves.curves if curves else ()) if curve.name == name), None)
    return None if curve is None or curve.ahead is None else (curve.ahead.n, curve.ahead.high)


def _cascade_evidence(
    material: Material, cascade: CascadeFound | None, prompt: Judged | None
) -> rules.CascadeEvidence | None:
    if cascade is None:
        return None
    outcome, gate = cascade.outcome, material.task.gate
    name = cascade.student.arm.name
    if isinstance(outcome, NoThreshold) or cascade.judged is None or cascade.judged.gate is None:
        refused = outcome if isinstance(outcome, NoThreshold) else None
        return rules.CascadeEvidence(
            "cascade",
            name,
            None,
            None,
            gate.harm,
            gate.level,
            None,
            refused.reason if refused else None,
            refused.rows_missing if refused else None,
        )
    kept, judged = outcome.share_kept, cascade.judged
    assert judged.gate is not None and prompt is not None
    facts = ("cascade", name, kept, judged.summary.score, gate.harm, gate.level, judged.gate.answer)
    seen = harm_on(judged.arm.test, prompt.arm.test)
    return rules.CascadeEvidence(*facts, difference=judged.gate.difference, harm_seen=seen)


# Sections of the report


def _arm(material: Material, judged: Judged) -> report.Arm:
    arm, summary, gate = judged.arm, judged.summary, judged.gate
    return report.Arm(
        name=arm.name,
        kind=arm.kind,
        score=summary.score,
        model=arm.facts.get("spec"),
        learns_from=arm.learns_from,
        n_train=arm.n_train,
        n_shots=arm.facts.get("n_shots"),
        macro_f1=summary.macro_f1,
        n_failed=summary.n_failed,
        latency_p50_s=summary.latency_p50_s,
        latency_p99_s=summary.latency_p99_s,
        size_bytes=arm.size_bytes,
        cost_usd_per_1000=None if judged.usd_per_call is None else 1000 * judged.usd_per_call,
        cost_note=student_cost_note(material, arm) if arm.kind in ("student", "baseline") else None,
        gate=None if gate is None else _gate(gate),
        stand_in=arm.stand_in,
    )


def _gate(gate: GateResult) -> report.Gate:
    return report.Gate(
        gate.answer, PROMPT, gate.difference, gate.lower_bound, gate.margin, gate.level, gate.rows_needed, gate.sentence
    )


def _label_quality(material: Material) -> report.LabelQuality | None:
    teacher = material.teacher
    if teacher is None:
        return None
    splits = material.splits
    asked_rows = (
        row
        for part in (splits.train, splits.validation, splits.calibration, splits.test)
        for row in part
        if row.id in teacher.by_id
    )
    both = [row for row in asked_rows if row.label is not None and row.teacher_label is not None]
    right = sum(material.metric.score(row.teacher_label, row.label or "", row) for row in both)
    accuracy = None
    if both and material.metric.proportion:
        accuracy = Estimate(
            right / len(both), len(both), *clopper_pearson(round(right), len(both)), 0.95, "Clopper-Pearson"
        )
    asked = teacher.report
    return report.LabelQuality(
        teacher=teacher.name if asked is None else asked.teacher,
        n=len(teacher.by_id),
        labelled=sum(answer.output is not None for answer in teacher.by_id.values()),
        accuracy=accuracy,
        rejected={} if asked is None else asked.rejected,
        cost_usd=known_sum([answer.cost_usd for answer in teacher.by_id.values()]),
        stand_in=teacher.stand_in,
    )


def _other_tests(material: Material, arms: Sequence[Judged]) -> tuple[report.OtherTest, ...]:
    return tuple(
        report.OtherTest(name, judged.arm.name, summarise(rows, material.metric).score)
        for name in material.splits.also_test
        for judged in arms
        if (rows := judged.arm.others.get(name))
    )


def _warnings_elsewhere(
    material: Material,
    chosen: str | None,
    prompt: Judged | None,
    students: Sequence[Judged],
    cascade: CascadeFound | None,
) -> list[str]:
    """The verdict looks at the test rows alone; where the arm it recommends is worse than the prompt on another test set, that is said."""
    said = []
    for name in material.splits.also_test if prompt is not None else ():
        theirs = prompt.arm.others[name] if prompt is not None else []
        ours = next((judged.arm.others[name] for judged in students if judged.arm.name == chosen), None)
        if (
            cascade is not None
            and cascade.judged is not None
            and chosen == cascade.judged.arm.name
            and isinstance(cascade.outcome, Threshold)
        ):
            ours = cascade_rows(cascade.student.arm.others[name], theirs, cascade.outcome.threshold)
        if ours is None:
            continue
        gate = decide_gate(ours, theirs, margin=material.task.gate.margin, level=material.task.gate.level)
        if gate.answer != "pass":
            seen = f"on {name}, {chosen} is {gate.difference.value * 100:+.1f} points against the prompt (n = {gate.n}) and does not pass the gate"
            said.append(f"{seen}: the verdict does not cover inputs like those")
    return said


def _cascade_section(material: Material, cascade: CascadeFound | None, prompt: Judged | None) -> report.Cascade | None:
    if cascade is None or prompt is None:
        return None
    outcome = cascade.outcome
    facts = (cascade.student.arm.name, prompt.arm.name, outcome.budget, outcome.level, outcome.n)
    if isinstance(outcome, NoThreshold):
        return report.Cascade(*facts, refused=outcome.reason, rows_missing=outcome.rows_missing)
    return report.Cascade(*facts, threshold=outcome.threshold, share_kept=outcome.share_kept, harm=outcome.harm)


def _with_details(
    found: report.Result, material: Material, shown: Judged, prompt: Judged | None, cascade: CascadeFound | None
) -> report.Result:
    """What is shown of one student alone: confusion, classes, reliability, disagreements, and its cascade's curve."""
    rows = shown.arm.test
    details = replace(found, reliability=reliability(shown.arm.name, rows))
    if material.labels is not None:
        details = replace(
            details,
            confusion=confusion(shown.arm.name, rows, material.labels),
            per_class=class_table(shown, prompt, material.labels),
        )
    if prompt is not None:
        details = replace(details, disagreements=disagreements(material, shown, prompt))
        if cascade is not None:
            details = replace(details, threshold_curve=threshold_curve(cascade.student, prompt))
    return details
