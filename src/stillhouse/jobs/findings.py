"""From measured arms to a `Result`: summaries, gates, the cascade, the money, the verdict. Pure: nothing is trained, asked or written here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stillhouse.advice import breakeven, recommend
from stillhouse.evaluation.deferral import NoThreshold, Threshold, choose_threshold
from stillhouse.evaluation.gate import GateResult, decide_gate
from stillhouse.evaluation.harness import ArmSummary, RowResult, summarise
from stillhouse.evaluation.metrics import per_class
from stillhouse.evaluation.proportions import clopper_pearson
from stillhouse.jobs.arms import PROMPT, MeasuredArm
from stillhouse.jobs.material import Material
from stillhouse.records import Estimate
from stillhouse.report import result as report

N_DISAGREEMENTS = 20
N_BINS = 10
N_THRESHOLDS = 60


@dataclass(frozen=True)
class Judged:
    """One arm with its summary, and its gate against the prompt where there is one."""

    arm: MeasuredArm
    summary: ArmSummary
    gate: GateResult | None = None
    usd_per_call: float | None = None
    fixed_usd: float | None = None


@dataclass(frozen=True)
class CascadeFound:
    """The cascade on the test rows (`judged`), with the threshold that the calibration rows chose; or why there is none."""

    student: Judged
    outcome: Threshold | NoThreshold
    judged: Judged | None


def find(
    material: Material,
    arms: Sequence[MeasuredArm],
    provenance: report.Provenance,
    *,
    curves: report.LearningCurves | None = None,
) -> report.Result:
    """The result of a run. `arms`: the prompt first (if any), baselines, then the students, cheapest first; all on the same test rows."""
    prompt = next((_judge(material, arm, None) for arm in arms if arm.kind == "prompt"), None)
    others = [_judge(material, arm, prompt) for arm in arms if arm.kind != "prompt"]
    students = [judged for judged in others if judged.arm.kind == "student"]
    cascade = _cascade(material, prompt, students)
    money = _money(material, prompt, students, cascade)
    advice = recommend.recommend(
        _prompt_evidence(prompt),
        [_student_evidence(judged, money, prompt, curves) for judged in students if judged.gate is not None or prompt is None],
        cascade=_cascade_evidence(material, cascade, prompt),
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
        arms=tuple(_arm(judged) for judged in (prompt, *others, cascade.judged if cascade else None) if judged is not None),
        provenance=provenance,
        curves=curves,
        money=money,
        label_quality=_label_quality(material),
        other_tests=_other_tests(material, [*([prompt] if prompt else []), *students]),
        cascade=_cascade_section(material, cascade, prompt),
        warnings=(*material.warnings, *_warnings_elsewhere(material, advice.chosen, prompt, students, cascade)),
    )
    return found if shown is None else _with_details(found, material, shown, prompt, cascade)


def _judge(material: Material, arm: MeasuredArm, prompt: Judged | None) -> Judged:
    gate_of, money = material.task.gate, material.task.money
    summary = summarise(arm.test, material.metric, latencies_s=arm.latencies_s)
    if arm.kind == "prompt":
        per_call = None if summary.cost_usd_per_1000 is None else summary.cost_usd_per_1000 / 1000
        return Judged(arm, summary, None, per_call, 0.0)
    gate = None
    if prompt is not None and arm.kind == "student":
        gate = decide_gate(arm.test, prompt.arm.test, margin=gate_of.margin, level=gate_of.level, labels=material.labels)
    return Judged(
        arm,
        summary,
        gate,
        breakeven.machine_usd_per_call(money.machine_usd_per_hour, summary.latency_p50_s, money.utilisation),
        _fixed_usd(material, arm),
    )


# The cascade


def _cascade(material: Material, prompt: Judged | None, students: Sequence[Judged]) -> CascadeFound | None:
    """Of the student that was best on its validation rows: the test rows have no say in the choice."""
    able = [judged for judged in students if judged.arm.calibration or any(row.confidence is not None for row in judged.arm.test)]
    if prompt is None or not able:
        return None
    student = max(able, key=lambda judged: judged.arm.facts.get("best_validation", 0.0))
    gate = material.task.gate
    outcome = choose_threshold(student.arm.calibration, prompt.arm.calibration, budget=gate.harm, level=gate.level)
    if isinstance(outcome, NoThreshold):
        return CascadeFound(student, outcome, None)
    rows = cascade_rows(student.arm.test, prompt.arm.test, outcome.threshold, student_latency_s=student.summary.latency_p50_s)
    kept = sum(row.source == "student" for row in rows) / len(rows)
    arm = MeasuredArm("cascade", "cascade", rows, [], learns_from=student.arm.learns_from, n_train=student.arm.n_train, stand_in=prompt.arm.stand_in)
    per_call = None
    if student.usd_per_call is not None and prompt.usd_per_call is not None:
        per_call = student.usd_per_call + (1 - kept) * prompt.usd_per_call
    summary = summarise(rows, material.metric)
    decided = decide_gate(rows, prompt.arm.test, margin=gate.margin, level=gate.level, labels=material.labels)
    return CascadeFound(student, outcome, Judged(replace(arm, size_bytes=student.arm.size_bytes), summary, decided, per_call, student.fixed_usd))


def cascade_rows(
    student: Sequence[RowResult], teacher: Sequence[RowResult], threshold: float, *, student_latency_s: float | None = None
) -> list[RowResult]:
    """What a cascade would have answered: both parts' answers to these rows are known. A row takes the student's time and, where asked, the teacher's."""
    rows = []
    for own, other in zip(student, teacher, strict=True):
        if own.output is not None and own.confidence is not None and own.confidence >= threshold:
            rows.append(replace(own, source="student", latency_s=student_latency_s))
            continue
        both = None if student_latency_s is None or other.latency_s is None else student_latency_s + other.latency_s
        rows.append(replace(other, source="teacher", latency_s=both, confidence=None))
    return rows


# The money


def _fixed_usd(material: Material, arm: MeasuredArm) -> float | None:
    """What it took to have this student from here on: the labels it learned and chose by, and the machine's time. Labels that were there are not counted."""
    return _sum([_labels_usd(material, arm), _training_usd(material, arm)])


def _labels_usd(material: Material, arm: MeasuredArm) -> float | None:
    if arm.learns_from == "gold" or material.teacher is None:
        return (material.task.money.label_usd or 0.0) * (arm.n_train or 0)
    rows = [*material.splits.train, *material.splits.validation]
    return _sum([material.teacher.by_id[row.id].cost_usd if row.id in material.teacher.by_id else None for row in rows])


def _training_usd(material: Material, arm: MeasuredArm) -> float | None:
    per_hour = material.task.money.machine_usd_per_hour
    return None if per_hour is None else per_hour * float(arm.facts.get("wall_s", 0.0)) / 3600


def _sum(amounts: Sequence[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None


def _line(judged: Judged) -> breakeven.Line:
    return breakeven.Line(judged.arm.name, judged.fixed_usd, judged.usd_per_call)


def _money(material: Material, prompt: Judged | None, students: Sequence[Judged], cascade: CascadeFound | None) -> report.Money | None:
    if prompt is None:
        return None
    candidates = [*students, *([cascade.judged] if cascade and cascade.judged else [])]
    crossings = [breakeven.break_even(_line(judged), _line(prompt)) for judged in candidates]
    return report.Money(
        one_off=tuple(cost for judged in students for cost in _one_off(material, judged)),
        lines=tuple(report.CostLine(judged.arm.name, judged.fixed_usd, judged.usd_per_call) for judged in (prompt, *candidates)),
        break_even=tuple(report.BreakEven(found.arm, found.against, found.calls, found.sentence) for found in crossings),
        assumptions=_assumptions(material),
    )


def _one_off(material: Material, judged: Judged) -> list[report.OneOff]:
    arm = judged.arm
    whose = f"{arm.learns_from} labels for {arm.name}"
    note = None if arm.learns_from == "teacher" or material.task.money.label_usd is not None else "labels that were there already are not counted"
    training = report.OneOff(f"training {arm.name}", _training_usd(material, arm), f"{arm.facts.get('wall_s', 0.0):.0f} s on this machine")
    return [report.OneOff(whose, _labels_usd(material, arm), note), training]


def _assumptions(material: Material) -> tuple[str, ...]:
    money = material.task.money
    said = []
    if money.machine_usd_per_hour is None:
        said.append("the price of the student's machine is not known; set machine_usd_per_hour in [money]")
    else:
        busy = f"answers calls in {money.utilisation:.0%} of its time, one at a time, at the median latency measured"
        said.append(f"a machine at ${money.machine_usd_per_hour:g} per hour that {busy}")
    if material.teacher is not None and material.teacher.report is not None and (snapshot := material.teacher.report.price_snapshot):
        estimated = ", tokens estimated at four characters each" if material.teacher.stand_in else ""
        said.append(f"the prompt's calls are priced as {snapshot}{estimated}")
    return tuple(said)


# The verdict's evidence


def _prompt_evidence(prompt: Judged | None) -> recommend.PromptEvidence | None:
    return None if prompt is None else recommend.PromptEvidence(prompt.arm.name, prompt.summary.score)


def _student_evidence(judged: Judged, money: report.Money | None, prompt: Judged | None, curves: report.LearningCurves | None) -> recommend.StudentEvidence:
    gate, arm = judged.gate, judged.arm
    unknown = Estimate(0.0, judged.summary.score.n)
    return recommend.StudentEvidence(
        name=arm.name,
        learns_from=arm.learns_from or "gold",
        score=judged.summary.score,
        gate="cannot tell" if gate is None else gate.answer,
        gate_sentence="" if gate is None else gate.sentence,
        difference=unknown if gate is None else gate.difference,
        margin=0.0 if gate is None else gate.margin,
        rows_needed=None if gate is None else gate.rows_needed,
        n_train=arm.n_train or 0,
        pays_off=None if money is None or prompt is None else _pays_off(judged, prompt),
        reach=_reach(arm.name, curves),
    )


def _pays_off(judged: Judged, prompt: Judged) -> bool | None:
    line, against = _line(judged), _line(prompt)
    if None in (line.fixed_usd, line.usd_per_call, against.fixed_usd, against.usd_per_call):
        return None
    return breakeven.break_even(line, against).calls is not None


def _reach(name: str, curves: report.LearningCurves | None) -> tuple[int, float] | None:
    curve = next((curve for curve in (curves.curves if curves else ()) if curve.name == name), None)
    return None if curve is None or curve.ahead is None else (curve.ahead.n, curve.ahead.high)


def _cascade_evidence(material: Material, cascade: CascadeFound | None, prompt: Judged | None) -> recommend.CascadeEvidence | None:
    if cascade is None:
        return None
    outcome, gate = cascade.outcome, material.task.gate
    name = cascade.student.arm.name
    if isinstance(outcome, NoThreshold) or cascade.judged is None or cascade.judged.gate is None:
        refused = outcome if isinstance(outcome, NoThreshold) else None
        return recommend.CascadeEvidence(
            "cascade", name, None, None, gate.harm, gate.level, None, refused.reason if refused else None, refused.rows_missing if refused else None
        )
    kept, judged = outcome.share_kept, cascade.judged
    assert judged.gate is not None
    return recommend.CascadeEvidence("cascade", name, kept, judged.summary.score, gate.harm, gate.level, judged.gate.answer)


# Sections of the report


def _arm(judged: Judged) -> report.Arm:
    arm, summary, gate = judged.arm, judged.summary, judged.gate
    return report.Arm(
        name=arm.name,
        kind=arm.kind,
        score=summary.score,
        model=arm.facts.get("spec"),
        learns_from=arm.learns_from,
        n_train=arm.n_train,
        macro_f1=summary.macro_f1,
        n_failed=summary.n_failed,
        latency_p50_s=summary.latency_p50_s,
        latency_p99_s=summary.latency_p99_s,
        size_bytes=arm.size_bytes,
        cost_usd_per_1000=None if judged.usd_per_call is None else 1000 * judged.usd_per_call,
        gate=None if gate is None else _gate(gate),
        stand_in=arm.stand_in,
    )


def _gate(gate: GateResult) -> report.Gate:
    return report.Gate(gate.answer, PROMPT, gate.difference, gate.lower_bound, gate.margin, gate.level, gate.rows_needed, gate.sentence)


def _label_quality(material: Material) -> report.LabelQuality | None:
    teacher = material.teacher
    if teacher is None:
        return None
    splits = material.splits
    asked_rows = (row for part in (splits.train, splits.validation, splits.calibration, splits.test) for row in part if row.id in teacher.by_id)
    both = [row for row in asked_rows if row.label is not None and row.teacher_label is not None]
    right = sum(material.metric.score(row.teacher_label, row.label or "", row) for row in both)
    accuracy = None
    if both and material.metric.proportion:
        accuracy = Estimate(right / len(both), len(both), *clopper_pearson(round(right), len(both)), 0.95, "Clopper-Pearson")
    asked = teacher.report
    return report.LabelQuality(
        teacher=teacher.name if asked is None else asked.teacher,
        n=len(teacher.by_id),
        labelled=sum(answer.output is not None for answer in teacher.by_id.values()),
        accuracy=accuracy,
        rejected={} if asked is None else asked.rejected,
        cost_usd=_sum([answer.cost_usd for answer in teacher.by_id.values()]),
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
    material: Material, chosen: str | None, prompt: Judged | None, students: Sequence[Judged], cascade: CascadeFound | None
) -> list[str]:
    """The verdict looks at the test rows alone; where the arm it recommends is worse than the prompt on another test set, that is said."""
    said = []
    for name in material.splits.also_test if prompt is not None else ():
        theirs = prompt.arm.others[name] if prompt is not None else []
        ours = next((judged.arm.others[name] for judged in students if judged.arm.name == chosen), None)
        if cascade is not None and cascade.judged is not None and chosen == cascade.judged.arm.name and isinstance(cascade.outcome, Threshold):
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


def _with_details(found: report.Result, material: Material, shown: Judged, prompt: Judged | None, cascade: CascadeFound | None) -> report.Result:
    """What is shown of one student alone: confusion, classes, reliability, disagreements, and its cascade's curve."""
    rows = shown.arm.test
    details = replace(found, reliability=_reliability(shown.arm.name, rows))
    if material.labels is not None:
        details = replace(
            details,
            confusion=_confusion(shown.arm.name, rows, material.labels),
            per_class=_per_class(shown, prompt, material.labels),
        )
    if prompt is not None:
        details = replace(details, disagreements=_disagreements(material, shown, prompt))
        if cascade is not None:
            details = replace(details, threshold_curve=_threshold_curve(cascade.student, prompt))
    return details


def _confusion(name: str, rows: Sequence[RowResult], labels: Sequence[str]) -> report.Confusion:
    at = {label: number for number, label in enumerate(labels)}
    counts = [[0] * len(labels) for _ in labels]
    no_answer = [0] * len(labels)
    for row in rows:
        if row.output in at:
            counts[at[row.gold]][at[row.output]] += 1
        else:
            no_answer[at[row.gold]] += 1
    return report.Confusion(name, tuple(labels), tuple(map(tuple, counts)), tuple(no_answer))


def _per_class(shown: Judged, prompt: Judged | None, labels: Sequence[str]) -> report.PerClass:
    def scores(arm: MeasuredArm) -> dict[str, float | None]:
        return {score.label: score.recall for score in per_class([row.gold for row in arm.test], [row.output for row in arm.test], labels)}

    gates = {gate.label: gate for gate in (shown.gate.per_class if shown.gate else ())}
    teacher = scores(prompt.arm) if prompt else {}
    rows = tuple(
        report.ClassRow(
            score.label,
            score.n,
            score.n_predicted,
            score.precision,
            score.recall,
            score.f1,
            teacher.get(score.label),
            gates[score.label].difference if score.label in gates else None,
            gates[score.label].answer if score.label in gates else None,
        )
        for score in per_class([row.gold for row in shown.arm.test], [row.output for row in shown.arm.test], labels)
    )
    return report.PerClass(shown.arm.name, rows)


def _reliability(name: str, rows: Sequence[RowResult]) -> report.Reliability | None:
    """Ten bins of equal width; for scores that are no proportions there is none."""
    known = [(row.confidence, row.score) for row in rows if row.confidence is not None]
    if not known or any(score not in (0.0, 1.0) for _, score in known):
        return None
    bins, error = [], 0.0
    for number in range(N_BINS):
        inside = [pair for pair in known if number == min(int(pair[0] * N_BINS), N_BINS - 1)]
        if not inside:
            continue
        right = round(sum(score for _, score in inside))
        confidence, accuracy = sum(pair[0] for pair in inside) / len(inside), right / len(inside)
        error += abs(confidence - accuracy) * len(inside) / len(known)
        estimate = Estimate(accuracy, len(inside), *clopper_pearson(right, len(inside)), 0.95, "Clopper-Pearson")
        bins.append(report.ReliabilityBin(number / N_BINS, (number + 1) / N_BINS, confidence, estimate))
    return report.Reliability(name, len(known), tuple(bins), error)


def _disagreements(material: Material, shown: Judged, prompt: Judged) -> report.Disagreements:
    inputs = {row.id: row.text for row in material.splits.test}
    differ = [(own, other) for own, other in zip(shown.arm.test, prompt.arm.test, strict=True) if own.output != other.output]
    surest = sorted(differ, key=lambda pair: -(pair[0].confidence or 0.0))[:N_DISAGREEMENTS]
    return report.Disagreements(
        shown.arm.name,
        prompt.arm.name,
        len(differ),
        len(shown.arm.test),
        tuple(report.Disagreement(own.id, inputs[own.id], own.gold, other.output, own.output, own.confidence) for own, other in surest),
        "the student's confidence, surest first",
    )


def _threshold_curve(student: Judged, prompt: Judged) -> report.ThresholdCurve:
    """Accuracy, share kept and cost on the test rows, at quantiles of the confidence."""
    confidences = sorted({row.confidence for row in student.arm.test if row.confidence is not None})
    stride = max(1, len(confidences) // N_THRESHOLDS)
    n, points = len(student.arm.test), []
    for threshold in sorted({*confidences[::stride], *confidences[-1:]}):
        rows = cascade_rows(student.arm.test, prompt.arm.test, threshold)
        share = sum(row.source == "student" for row in rows) / n
        cost = None
        if student.usd_per_call is not None and prompt.usd_per_call is not None:
            cost = 1000 * (student.usd_per_call + (1 - share) * prompt.usd_per_call)
        points.append(report.ThresholdPoint(threshold, share, sum(row.score for row in rows) / n, cost))
    parts = (student.summary.score.value, prompt.summary.score.value)
    return report.ThresholdCurve(student.arm.name, prompt.arm.name, n, tuple(points), "cascade", *parts)
