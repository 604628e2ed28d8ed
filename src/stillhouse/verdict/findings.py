"""From measured arms to a `Result`: summaries, gates, the cascade, the money, the verdict.

Pure: nothing is trained, asked or written here.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from stillhouse.advice.reach import Climb, climb
from stillhouse.doubts import Doubt, Warned, in_order
from stillhouse.evaluation.cascade_threshold import NoThreshold, Threshold
from stillhouse.evaluation.harness import summarise
from stillhouse.evaluation.margin_gate import among
from stillhouse.evaluation.proportions import clopper_pearson
from stillhouse.experiment.counted_rows import also_once, as_counted, counted
from stillhouse.experiment.material import Material
from stillhouse.numbers import points_in_sentence
from stillhouse.records import Estimate
from stillhouse.results.arms import ArmResult
from stillhouse.results.cascade import CascadePromise
from stillhouse.results.gates import GateResult
from stillhouse.results.learning_curves import LearningCurves
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.results.money import Money, NetBenefit
from stillhouse.results.provenance import LabelQuality, Provenance
from stillhouse.results.run_result import OtherTest, Result
from stillhouse.results.verdict import HalfStep
from stillhouse.verdict.cascade import MeasuredCascade, cascade_rows, counted_once, find_cascade, harm_in_every_way
from stillhouse.verdict.error_analysis import class_table, confusion, disagreements, reliability, threshold_curve
from stillhouse.verdict.evidence import CascadeEvidence, Contrast, PromptEvidence, StudentEvidence
from stillhouse.verdict.judged_arm import JudgedArm, gate_in_every_way, gate_of, is_yardstick, judge
from stillhouse.verdict.majority import below_majority
from stillhouse.verdict.money.call_costs import student_cost_note
from stillhouse.verdict.money.known_sum import known_sum
from stillhouse.verdict.money.run_money import evidence, money_of, pays_off
from stillhouse.verdict.money.training_costs import next_label_usd
from stillhouse.verdict.rules import recommend, why_no_cascade
from stillhouse.verdict.step_by_step import step_by_step
from stillhouse.verdict.wording import agreeing


def find(
    material: Material,
    arms: Sequence[MeasuredArm],
    provenance: Provenance,
    *,
    curves: LearningCurves | None = None,
    bought: Sequence[HalfStep] = (),
) -> Result:
    """The result of a run.

    `arms`: the prompt first (if any), baselines, then the students, cheapest first; all on the same test rows.
    `bought`: the training rows that earlier runs of the task asked for.
    """
    prompt = next((judge(material, arm, None) for arm in arms if arm.kind == "prompt"), None)
    judged_alone = [judge(material, arm, prompt) for arm in arms if arm.kind != "prompt"]
    others = _one_of_many(material, judged_alone)
    students = [judged for judged in others if judged.arm.kind == "student"]
    cascade = find_cascade(material, prompt, students)
    start = date.fromisoformat(provenance.created[:10])
    rivals = [judged for judged in others if judged.arm.kind in ("few-shot", "student")]
    money = _money_in_every_way(material, prompt, rivals, cascade, start)
    best = _best_few_shot(others, curves)
    against = _against_few_shot(material, students, best, start)
    measured = [
        _student_evidence(material, judged, money, curves, bought, against.get(judged.arm.name))
        for judged in students
        if judged.gate is not None or prompt is None
    ]
    n_few_shot = sum(judged.arm.kind == "few-shot" for judged in others)
    few_shot = _few_shot_evidence(material, prompt, best, n_few_shot, money)
    cascade_evidence = _cascade_evidence(material, cascade, prompt, money)
    verdict = recommend(
        None if prompt is None else _prompt_evidence(material, prompt, money),
        measured,
        few_shot=few_shot,
        cascade=cascade_evidence,
    )
    fallback = cascade.student if cascade else students[-1] if students else None
    shown = next((judged for judged in students if judged.arm.name == verdict.chosen), fallback)
    in_table = (prompt, *others, cascade.judged if cascade else None)
    drawn = as_counted(material)
    result = Result(
        task=material.task.name,
        instruction=material.task.instruction,
        metric=material.metric.name,
        n_train=len(material.splits.train),
        n_validation=len(material.splits.validation),
        n_calibration=len(drawn.splits.calibration),
        n_test=len(drawn.splits.test),
        n_test_generated=drawn.splits.n_test_generated,
        scored_against=material.scored_against,
        verdict=verdict,
        look=None if prompt is None else material.look,
        arms=tuple(_arm(material, judged) for judged in in_table if judged is not None),
        provenance=provenance,
        curves=curves,
        money=money,
        label_quality=_label_quality(material),
        win_rates=tuple(judged.arm.against.win_rates for judged in students if judged.arm.against is not None),
        other_tests=_other_tests(material, [*([prompt] if prompt else []), *students]),
        cascade=_cascade_section(cascade, prompt, cascade_evidence),
        step_by_step=step_by_step(material, [counted(material, arm) for arm in arms]),
        warnings=in_order(
            [
                *below_majority(material, best if few_shot is not None and few_shot.helps else prompt),
                *_warnings_elsewhere(material, verdict.chosen, prompt, students, cascade),
                *material.doubts,
            ]
        ),
        notes=material.notes,
    )
    return result if shown is None else _with_details(result, material, shown, prompt, cascade)


# The verdict's evidence


def _n_students(material: Material, gates: Sequence[GateResult]) -> int:
    """How many students are judged at this look, with those of the ladder that are not measured yet."""
    return max(len(material.task.ladder), material.n_students, len(gates))


def _one_of_many(material: Material, judged: Sequence[JudgedArm]) -> list[JudgedArm]:
    """The arms with Holm over the students' gates; those of the ladder that are not measured yet count as well."""
    gates = [arm.gate for arm in judged if arm.gate is not None]
    corrected = iter(among(gates, _n_students(material, gates), material.next_level))
    return [arm if arm.gate is None else replace(arm, gate=next(corrected)) for arm in judged]


def _money_in_every_way(
    material: Material,
    prompt: JudgedArm | None,
    rivals: Sequence[JudgedArm],
    cascade: MeasuredCascade | None,
    start: date,
) -> Money | None:
    """The money of the rows as drawn. Where each input may count once, an arm's benefit is the lesser of the two."""
    drawn = as_counted(material)
    money = money_of(drawn, prompt, rivals, cascade, start)
    if money is None or prompt is None or not also_once(material):
        return money
    once = {id(judged): judge(material, judged.whole, None, once=True) for judged in (prompt, *rivals)}
    in_once = None
    if cascade is not None:
        student = once.get(id(cascade.student)) or judge(material, cascade.student.whole, None, once=True)
        in_once = counted_once(material, cascade, once[id(prompt)], student)
    others = [once[id(judged)] for judged in rivals]
    other = money_of(as_counted(material, once=True), once[id(prompt)], others, in_once, start)
    if other is None:
        return money
    by_arm = {net.arm: net for net in other.net}
    return replace(money, net=tuple(_lesser(net, by_arm.get(net.arm)) for net in money.net))


def _lesser(net: NetBenefit, other: NetBenefit | None) -> NetBenefit:
    """The one that shows less: no benefit before a benefit, no saving before a saving, then the smaller bound."""
    if other is None:
        return net
    return min(net, other, key=lambda one: (bool(one.brings), one.pays_off, one.net_low or 0.0, one.saving_low))


def _prompt_evidence(material: Material, prompt: JudgedArm, money: Money | None) -> PromptEvidence:
    retires = None if money is None else money.retirement
    yardstick = is_yardstick(material, prompt.arm)
    return PromptEvidence(prompt.arm.name, prompt.summary.score, retirement=retires, yardstick=yardstick)


def _best_few_shot(others: Sequence[JudgedArm], curves: LearningCurves | None) -> JudgedArm | None:
    """The first draw of the number of examples that is best on average over its draws."""
    by_k = {judged.arm.examples.k: judged for judged in others if judged.arm.examples is not None}
    if not by_k or curves is None or curves.few_shot is None:
        return None
    return by_k[max(curves.few_shot.points, key=lambda point: point.mean).n]


def _few_shot_evidence(
    material: Material, prompt: JudgedArm | None, best: JudgedArm | None, n_tried: int, money: Money | None
) -> PromptEvidence | None:
    """What examples gain over the plain prompt on the same rows, and whether the test shows it.

    The number of examples was picked on these rows, so level and interval hold for all that were tried (Bonferroni).
    """
    if prompt is None or best is None:
        return None
    terms, name = material.task.gate, best.arm.name
    level = 1 - (1 - terms.level) / n_tried
    gate = gate_in_every_way(material, "test", best.whole.test, prompt.whole.test, level=level)
    return PromptEvidence(name, best.summary.score, gate.difference, gate.better, evidence(money, name))


def _against_few_shot(
    material: Material, students: Sequence[JudgedArm], best: JudgedArm | None, start: date
) -> dict[str, Contrast]:
    """Every student's gate and money against the prompt with examples; Holm over the students.

    The calls of that prompt are dearer than the plain one's.
    """
    if best is None or not students:
        return {}
    few_shot = best.whole
    gates = [gate_of(material, judged.whole.test, few_shot) for judged in students]
    money = _money_in_every_way(material, best, students, None, start)
    corrected = among(gates, _n_students(material, gates), material.next_level)
    contrasts = {}
    for judged, gate in zip(students, corrected, strict=True):
        name = judged.arm.name
        contrasts[name] = Contrast(
            against=few_shot.name,
            gate=gate.answer,
            gate_sentence=gate.sentence,
            difference=gate.difference,
            better=gate.better,
            rows_needed=gate.rows_needed,
            pays_off=pays_off(money, name),
            money=replace(evidence(money, name), against=few_shot.name),
            failing_classes=_failing_classes(gate),
        )
    return contrasts


def _student_evidence(
    material: Material,
    judged: JudgedArm,
    money: Money | None,
    curves: LearningCurves | None,
    bought: Sequence[HalfStep],
    against_few_shot: Contrast | None,
) -> StudentEvidence:
    gate, arm = judged.gate, judged.arm
    unknown = Estimate(0.0, judged.summary.score.n)
    return StudentEvidence(
        name=arm.name,
        learns_from=arm.learns_from or "gold",
        score=judged.summary.score,
        gate="cannot tell" if gate is None else gate.answer,
        gate_sentence="" if gate is None else gate.sentence,
        difference=unknown if gate is None else gate.difference,
        better=gate is not None and gate.better,
        margin=0.0 if gate is None else gate.margin,
        rows_needed=None if gate is None else gate.rows_needed,
        n_train=arm.n_train or 0,
        pays_off=pays_off(money, arm.name),
        climb=_climb(arm.name, curves, bought),
        label_usd=next_label_usd(material, arm),
        money=evidence(money, arm.name),
        against_few_shot=against_few_shot,
        failing_classes=_failing_classes(gate),
    )


def _failing_classes(gate: GateResult | None) -> tuple[str, ...]:
    return tuple(part.label for part in gate.per_class if part.answer == "fail") if gate is not None else ()


def _climb(name: str, curves: LearningCurves | None, bought: Sequence[HalfStep]) -> Climb | None:
    curve = next((curve for curve in (curves.curves if curves else ()) if curve.name == name), None)
    return None if curve is None else climb(name, curve.points, bought)


def _cascade_evidence(
    material: Material, cascade: MeasuredCascade | None, prompt: JudgedArm | None, money: Money | None
) -> CascadeEvidence | None:
    if cascade is None or prompt is None:
        return None
    outcome, judged, terms = cascade.outcome, cascade.judged, material.task.gate
    without = CascadeEvidence(
        name="cascade",
        student=cascade.student.arm.name,
        share_kept=None,
        score=None,
        budget=terms.harm,
        level=material.cascade_level or terms.level,
        pays_off=pays_off(money, "cascade"),
        money=evidence(money, "cascade"),
        yardstick=is_yardstick(material, prompt.arm),
    )
    if isinstance(outcome, NoThreshold):
        return replace(without, refused=outcome.reason, rows_missing=outcome.rows_missing)
    if judged is None or judged.gate is None:
        return without
    return replace(
        without,
        share_kept=outcome.share_kept,
        score=judged.summary.score,
        gate=judged.gate.answer,
        better=judged.gate.better,
        difference=judged.gate.difference,
        harm_seen=harm_in_every_way(material, judged, prompt),
        failing_classes=_failing_classes(judged.gate),
    )


# Sections of the report


def _arm(material: Material, judged: JudgedArm) -> ArmResult:
    arm, summary = judged.arm, judged.summary
    return ArmResult(
        name=arm.name,
        kind=arm.kind,
        score=summary.score,
        model=arm.model,
        learns_from=arm.learns_from,
        n_train=arm.n_train,
        n_shots=arm.examples.n_shots if arm.examples else None,
        macro_f1=summary.macro_f1,
        n_failed=summary.n_failed,
        latency_p50_s=summary.latency_p50_s,
        latency_p99_s=summary.latency_p99_s,
        size_bytes=arm.size_bytes,
        cost_usd_per_1000=None if judged.usd_per_call is None else 1000 * judged.usd_per_call,
        cost_note=student_cost_note(material, arm) if arm.kind in ("student", "baseline") else None,
        gate=judged.gate,
        stand_in=arm.stand_in,
    )


def _label_quality(material: Material) -> LabelQuality | None:
    teacher, splits = material.teacher, material.splits
    if teacher is None:
        return None
    of_splits = (splits.train, splits.validation, splits.calibration, splits.test)
    answered = [row for part in of_splits for row in part if row.id in teacher.by_id]
    both = [row for row in answered if row.label is not None and row.teacher_label is not None]
    right = sum(material.metric.score(row.teacher_label, row.label or "", row) for row in both)
    accuracy = None
    if both and material.metric.proportion:
        interval = clopper_pearson(round(right), len(both))
        accuracy = Estimate(right / len(both), len(both), *interval, 0.95, "Clopper-Pearson")
    report = teacher.report
    return LabelQuality(
        teacher=teacher.name if report is None else report.teacher,
        n=len(teacher.by_id),
        labelled=sum(answer.output is not None for answer in teacher.by_id.values()),
        accuracy=accuracy,
        rejected={} if report is None else report.rejected,
        usage_doubts={} if report is None else report.usage_doubts,
        n_cost_unknown=0 if report is None else report.n_cost_unknown,
        cost_usd=known_sum([answer.cost_usd for answer in teacher.by_id.values()]),
        stand_in=teacher.stand_in,
    )


def _other_tests(material: Material, arms: Sequence[JudgedArm]) -> tuple[OtherTest, ...]:
    return tuple(
        OtherTest(name, judged.arm.name, summarise(rows, material.metric).score)
        for name in material.splits.also_test
        for judged in arms
        if (rows := judged.arm.others.get(name)) and not is_yardstick(material, judged.arm)
    )


def _warnings_elsewhere(
    material: Material,
    chosen: str | None,
    prompt: JudgedArm | None,
    students: Sequence[JudgedArm],
    cascade: MeasuredCascade | None,
) -> list[Warned]:
    """Warnings where the recommended arm is worse than the prompt on a test set of its own.

    The verdict looks at the test rows alone.
    """
    warnings: list[Warned] = []
    for name in material.splits.also_test if prompt is not None else ():
        theirs = prompt.whole.others[name] if prompt is not None else []
        ours = next((judged.whole.others[name] for judged in students if judged.arm.name == chosen), None)
        if cascade is not None and cascade.judged is not None and chosen == cascade.judged.arm.name:
            assert isinstance(cascade.outcome, Threshold)
            ours = cascade_rows(cascade.student.whole.others[name], theirs, cascade.outcome.threshold)
        if ours is None:
            continue
        yardstick = prompt is not None and is_yardstick(material, prompt.arm)
        gate = gate_in_every_way(material, name, ours, theirs, yardstick=yardstick)
        if gate.answer != "pass":
            seen = f"{chosen} is {points_in_sentence(gate.difference.value)} points against the prompt (n = {gate.n})"
            if yardstick:
                seen = f"{chosen} agrees with the prompt to {agreeing(gate.difference)}"
            covers = "and does not pass the gate: the verdict does not cover inputs like those"
            warnings.append(Warned(Doubt.FAILS_ELSEWHERE, f"on {name}, {seen} {covers}", abs(gate.difference.value)))
    return warnings


def _cascade_section(
    cascade: MeasuredCascade | None, prompt: JudgedArm | None, evidence: CascadeEvidence | None
) -> CascadePromise | None:
    if cascade is None or prompt is None or evidence is None:
        return None
    outcome = cascade.outcome
    promise = CascadePromise(
        student=cascade.student.arm.name,
        teacher=prompt.arm.name,
        budget=outcome.budget,
        level=outcome.level,
        n=outcome.n,
    )
    if isinstance(outcome, NoThreshold):
        return replace(promise, refused=outcome.reason, rows_missing=outcome.rows_missing)
    found = replace(promise, threshold=outcome.threshold, share_kept=outcome.share_kept, harm=outcome.harm)
    return replace(found, not_served=why_no_cascade(evidence))


def _with_details(
    result: Result,
    material: Material,
    shown: JudgedArm,
    prompt: JudgedArm | None,
    cascade: MeasuredCascade | None,
) -> Result:
    """What is shown of one student alone: confusion, classes, reliability, disagreements, and its cascade's curve."""
    rows = shown.arm.test
    details = replace(result, reliability=reliability(shown.arm.name, rows))
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
