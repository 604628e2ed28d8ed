"""From the arms of one simulated draw to the verdict: the same gates, threshold, curves and rules as `stillhouse advise`, with nothing trained."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stillhouse.advice.reach import climb
from stillhouse.evaluation.cascade_threshold import NoThreshold, Threshold, choose_threshold
from stillhouse.evaluation.harness import summarise
from stillhouse.evaluation.margin_gate import among, decide_gate
from stillhouse.evaluation.metrics import Metric, metric_for
from stillhouse.evaluation.spending import level_of_look
from stillhouse.records import Source
from stillhouse.results.gates import GateResult
from stillhouse.results.learning_curves import CurvePoint
from stillhouse.results.row_result import RowResult
from stillhouse.results.verdict import HalfStep, Verdict
from stillhouse.task import Task
from stillhouse.verdict.cascade import cascade_rows, harm_on
from stillhouse.verdict.evidence import CascadeEvidence, Contrast, PromptEvidence, StudentEvidence
from stillhouse.verdict.rules import LEAST_SHARE, recommend

MARGIN, HARM, LEVEL = 0.03, 0.02, level_of_look(1)  # the level at which a first look decides
ACCURACY = metric_for(Task("simulated", "", "choice"))
TEST, TRAINING, TELL, BROKEN = (
    "collect more test rows",
    "collect more training rows",
    "cannot tell",
    "cascade that breaks its promise",
)
KEEP, DISTIL, FINETUNE, SHOTS, CASCADE = "keep prompt", "distil", "finetune", "few-shot", "cascade"


@dataclass(frozen=True)
class Student:
    """A student's answers to the test rows, and the points of its learning curve: the last is at the size of the student that is tested."""

    name: str
    learns_from: Source
    rows: list[RowResult]
    points: Sequence[CurvePoint]
    pays_off: bool | None = None
    bought: Sequence[HalfStep] = ()  # the training rows that earlier looks asked for


@dataclass(frozen=True)
class Arms:
    """What one draw measured. `held`: the first student's and the prompt's answers to the calibration rows. `few_shot`: answers by the number of examples.

    `promise`: of a threshold, among rows that nobody saw: the share that the cascade keeps, the share that it harms, and its score minus the prompt's.
    """

    prompt: list[RowResult]
    students: Sequence[Student]
    held: tuple[list[RowResult], list[RowResult]]
    promise: Callable[[float], tuple[float, float, float]]
    labels: Sequence[str] | None
    few_shot: Mapping[int, list[RowResult]] = field(default_factory=dict)
    metric: Metric = ACCURACY
    cascade_pays_off: bool | None = None


@dataclass(frozen=True)
class Decision:
    """What the product says: `kind`, and the number of the student that it takes. `cascade`: what the threshold that it found does, as `Arms.promise` has it."""

    kind: str
    student: int | None = None
    cascade: tuple[float, float, float] | None = None


def verdict_on(arms: Arms) -> str:
    """What the product says; of a cascade, whether its promise is true."""
    return decision_on(arms).kind


def decision_on(arms: Arms) -> Decision:
    """The same with the arm that is taken, and with what the cascade would do."""
    best = max(arms.few_shot.values(), key=lambda rows: sum(row.score for row in rows), default=None)
    gates, others = _gates(arms, arms.prompt), None if best is None else _gates(arms, best)
    evidence = []
    for number, (student, gate) in enumerate(zip(arms.students, gates, strict=True)):
        other = None if others is None else others[number]
        contrast = (
            None
            if other is None
            else Contrast(
                against="few-shot",
                gate=other.answer,
                gate_sentence=other.sentence,
                difference=other.difference,
                better=other.better,
                rows_needed=other.rows_needed,
                pays_off=student.pays_off,
            )
        )
        evidence.append(_evidence(student, gate, contrast, arms.metric))
    shots = None
    if best is not None:  # picked on these rows, so the level holds for every number of examples
        gate = decide_gate(best, arms.prompt, margin=MARGIN, level=1 - (1 - LEVEL) / len(arms.few_shot))
        shots = PromptEvidence("few-shot", summarise(best, arms.metric).score, gate.difference, gate.better)
    found = choose_threshold(*arms.held, budget=HARM, level=LEVEL)
    cascade = _cascade(arms, found)
    advice = recommend(
        PromptEvidence("prompt", summarise(arms.prompt, arms.metric).score), evidence, few_shot=shots, cascade=cascade
    )
    of_cascade = arms.promise(found.threshold) if isinstance(found, Threshold) else None
    if advice.kind == CASCADE and of_cascade is not None:
        kept, harmed, _ = of_cascade
        return Decision(CASCADE if kept >= LEAST_SHARE and harmed <= HARM else BROKEN, None, of_cascade)
    names = [student.name for student in arms.students]
    return Decision(said(advice), names.index(advice.chosen) if advice.chosen in names else None, of_cascade)


def said(advice: Verdict) -> str:
    """The verdict, with what is to be collected."""
    return advice.kind if advice.kind != "collect more" else TEST if "test rows" in advice.buy_next else TRAINING


def points_of(sizes: Sequence[int], scores: np.ndarray) -> list[CurvePoint]:
    """`scores` (sizes, seeds). Bands have no say in the verdict and are left out."""
    return [CurvePoint(n, float(of.mean()), None, None, tuple(of)) for n, of in zip(sizes, scores, strict=True)]


def _gates(arms: Arms, against: list[RowResult]) -> list[GateResult]:
    gates = [
        decide_gate(student.rows, against, margin=MARGIN, level=LEVEL, labels=arms.labels) for student in arms.students
    ]
    return among(gates, len(gates))


def _evidence(student: Student, gate: GateResult, contrast: Contrast | None, metric: Metric) -> StudentEvidence:
    return StudentEvidence(
        name=student.name,
        learns_from=student.learns_from,
        score=summarise(student.rows, metric).score,
        gate=gate.answer,
        gate_sentence=gate.sentence,
        difference=gate.difference,
        better=gate.better,
        margin=MARGIN,
        rows_needed=gate.rows_needed,
        n_train=student.points[-1].n,
        pays_off=student.pays_off,
        climb=climb(student.name, student.points, student.bought),
        against_few_shot=contrast,
    )


def _cascade(arms: Arms, found: Threshold | NoThreshold) -> CascadeEvidence:
    student = arms.students[0]
    if isinstance(found, NoThreshold):
        return CascadeEvidence(
            name="cascade",
            student=student.name,
            share_kept=None,
            score=None,
            budget=HARM,
            level=LEVEL,
            gate=None,
            refused=found.reason,
            rows_missing=found.rows_missing,
        )
    rows = cascade_rows(student.rows, arms.prompt, found.threshold)
    gate = decide_gate(rows, arms.prompt, margin=MARGIN, level=LEVEL, labels=arms.labels)
    return CascadeEvidence(
        name="cascade",
        student=student.name,
        share_kept=found.share_kept,
        score=summarise(rows, arms.metric).score,
        budget=HARM,
        level=LEVEL,
        gate=gate.answer,
        difference=gate.difference,
        pays_off=arms.cascade_pays_off,
        harm_seen=harm_on(rows, arms.prompt),
    )
