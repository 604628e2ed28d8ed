"""A full result for the report's tests, with numbers like those of a real run, and the smallest one that is allowed."""

import math
from datetime import date

from stillhouse.records import Estimate
from stillhouse.results.arms import ArmResult
from stillhouse.results.cascade import CascadePromise, ThresholdCurve, ThresholdPoint
from stillhouse.results.error_analysis import (
    ClassRow,
    Confusion,
    Disagreement,
    Disagreements,
    PerClass,
    Reliability,
    ReliabilityBin,
)
from stillhouse.results.gates import GateResult
from stillhouse.results.learning_curves import Ahead, Curve, CurvePoint, LearningCurves, LevelLine, PromptCrossing
from stillhouse.results.money import AnswerWorth, BreakEven, CallPart, CostLine, Money, OneOff
from stillhouse.results.provenance import LabelQuality, Provenance
from stillhouse.results.run_result import OtherTest, Result
from stillhouse.results.verdict import Verdict

PROMPT, LINEAR, ENCODER, CASCADE = "PaLM 540B, few-shot", "linear", "encoder:minilm", "cascade of encoder:minilm"


def estimate(value, n=9824):
    half = 1.96 * math.sqrt(value * (1 - value) / n)
    return Estimate(value, n, max(0.0, value - half), min(1.0, value + half), method="clopper-pearson")


def smallest():
    return Result(
        task="route",
        instruction="Where does this question go?",
        metric="accuracy",
        n_train=100,
        n_test=40,
        verdict=Verdict("cannot tell", "40 test rows are too few to tell the student from the prompt."),
        arms=(),
        provenance=Provenance(command="stillhouse distill route", created="2026-03-01T10:00:00Z"),
    )


def full():
    return Result(
        task="esnli",
        instruction="Does the premise entail the hypothesis, contradict it, or neither?",
        metric="accuracy",
        n_train=9842,
        n_test=9824,
        n_validation=200,
        n_calibration=1200,
        verdict=verdict(),
        arms=arms(),
        curves=curves(),
        money=money(),
        confusion=Confusion(
            ENCODER,
            ("contradiction", "entailment", "neutral"),
            ((2610, 201, 426), (180, 2801, 387), (398, 470, 2351)),
            (0, 0, 0),
        ),
        per_class=PerClass(
            ENCODER,
            (
                ClassRow(
                    label="contradiction",
                    n=3237,
                    n_predicted=3188,
                    precision=0.819,
                    recall=0.806,
                    f1=0.812,
                    teacher_recall=0.79,
                    difference=Estimate(0.016, 3237, -0.002, 0.034),
                    gate="pass",
                ),
                ClassRow(
                    label="entailment",
                    n=3368,
                    n_predicted=3472,
                    precision=0.807,
                    recall=0.832,
                    f1=0.819,
                    teacher_recall=0.77,
                    difference=Estimate(0.062, 3368, 0.045, 0.079),
                    gate="pass",
                ),
                ClassRow(
                    label="neutral",
                    n=3219,
                    n_predicted=3164,
                    precision=0.743,
                    recall=0.73,
                    f1=0.737,
                    teacher_recall=0.63,
                    difference=Estimate(0.100, 3219, 0.079, 0.121),
                    gate="pass",
                ),
            ),
        ),
        disagreements=disagreements(),
        reliability=reliability(),
        threshold_curve=threshold_curve(),
        cascade=CascadePromise(
            student=ENCODER,
            teacher=PROMPT,
            budget=0.02,
            level=0.95,
            n=1200,
            threshold=0.62,
            share_kept=estimate(0.87, 1200),
            harm=Estimate(0.0117, 1200, 0.0, 0.0183),
        ),
        label_quality=LabelQuality(
            teacher=PROMPT,
            n=9842,
            labelled=9788,
            accuracy=estimate(0.722, 9788),
            rejected={"no answer in the reply": 41, "label outside the set: 'maybe'": 13},
            cost_usd=83.4,
            labelled_on="2026-03-01",
        ),
        other_tests=(
            OtherTest("hand-written", ENCODER, estimate(0.61, 124), "124 questions that no template can produce"),
        ),
        warnings=("MiniLM's weights were trained on NLI pairs: its curve is flattered.",),
        provenance=Provenance(
            command="stillhouse advise examples/esnli --seeds 5",
            created="2026-03-01T10:00:00Z",
            run="runs/esnli-3",
            wall_s=1834.0,
            seeds=(0, 1, 2, 3, 4),
            fingerprints={
                "train": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "test": "60303ae22b998861bce3b28f33eec1be758a213c",
            },
            versions={"stillhouse": "0.1.0", "python": "3.11.9", "torch": "2.13.0"},
            prices=("PaLM 540B: US$ 20 per million tokens, both ways, as text-davinci-003 of 2023-03-01.",),
        ),
    )


def verdict():
    return Verdict(
        "finetune",
        "Finetune encoder:minilm on your gold labels: it is right on 79.0 % of 9,824 test rows where the prompt is right on 73.0 %, "
        "at about a thousandth of the cost per call.",
        (
            "The gate passes: +6.0 points, at least +5.2 with 95 % confidence, on n = 9,824 paired rows.",
            "The student meets the prompt at about 2,000 gold labels (1,700 to 2,400; 5 seeds).",
            "It pays for itself after 41,000 calls.",
        ),
        ("A prompt above 78.2 % would bring the gate to fail.", "Fewer than 41,000 calls: the prompt is cheaper then."),
        "Nothing: the last doubling of labels gained 1.5 points.",
        ENCODER,
    )


def arms():
    passed = GateResult(
        answer="pass",
        against=PROMPT,
        difference=Estimate(0.06, 9824, 0.051, 0.069),
        lower_bound=0.052,
        margin=0.02,
        sentence="The student may replace the prompt.",
    )
    failed = GateResult(
        answer="fail",
        against=PROMPT,
        difference=Estimate(-0.101, 9824, -0.113, -0.089),
        lower_bound=-0.111,
        margin=0.02,
    )
    return (
        ArmResult(
            name=PROMPT,
            kind="few-shot",
            score=estimate(0.73),
            model="recorded:palm.jsonl",
            macro_f1=0.728,
            n_failed=54,
            n_shots=10,
            latency_p50_s=None,
            cost_usd_per_1000=8.4,
            cost_note="priced as text-davinci-003 of 2023-03-01, tokens estimated",
        ),
        ArmResult(
            name="majority class",
            kind="baseline",
            score=estimate(0.343),
            macro_f1=0.17,
            learns_from="gold",
            n_train=9842,
            latency_p50_s=1e-6,
            latency_p99_s=2e-6,
            size_bytes=812,
            cost_usd_per_1000=0.0,
        ),
        ArmResult(
            name=LINEAR,
            kind="student",
            score=estimate(0.629),
            learns_from="gold",
            n_train=9842,
            macro_f1=0.627,
            latency_p50_s=0.0006,
            latency_p99_s=0.0011,
            size_bytes=21_400_000,
            cost_usd_per_1000=0.00004,
            gate=failed,
        ),
        ArmResult(
            name=ENCODER,
            kind="student",
            score=estimate(0.79),
            model="all-MiniLM-L6-v2",
            learns_from="gold",
            n_train=9842,
            macro_f1=0.789,
            latency_p50_s=0.0081,
            latency_p99_s=0.0142,
            size_bytes=91_200_000,
            cost_usd_per_1000=0.0021,
            cost_note="one core at $0.05 an hour",
            gate=passed,
        ),
        ArmResult(
            name=CASCADE,
            kind="cascade",
            score=estimate(0.803),
            macro_f1=0.801,
            learns_from="gold",
            n_train=9842,
            latency_p50_s=0.0083,
            latency_p99_s=1.9,
            cost_usd_per_1000=1.11,
        ),
    )


def curves():
    def curve(name, base, gain, ahead=None):
        points = []
        for step, n in enumerate((512, 1024, 2048, 4096, 9842)):
            mean = base + gain * (1 - 0.62**step)
            spread = 0.014 / (step + 1)
            points.append(
                CurvePoint(
                    n,
                    mean,
                    mean - spread,
                    mean + spread,
                    tuple(mean + part * spread for part in (-0.9, -0.4, 0, 0.5, 0.8)),
                )
            )
        return Curve(name, tuple(points), 9824, "gold", ahead)

    return LearningCurves(
        curves=(curve(ENCODER, 0.56, 0.27, Ahead(19684, 0.79, 0.81)), curve(LINEAR, 0.45, 0.21)),
        lines=(LevelLine(PROMPT, estimate(0.73)), LevelLine("majority class", estimate(0.343))),
        crossovers=(
            PromptCrossing(
                curve=ENCODER,
                prompt=PROMPT,
                n_star=2010.0,
                low=1700.0,
                high=2400.0,
                censored=None,
                level=0.95,
                n_seeds=5,
                n_rows=9824,
            ),
            PromptCrossing(
                curve=LINEAR,
                prompt=PROMPT,
                n_star=None,
                low=None,
                high=None,
                censored=">",
                level=0.95,
                n_seeds=5,
                n_rows=9824,
            ),
        ),
    )


def money():
    return Money(
        one_off=(
            OneOff("labels for linear", None, "they were there already", counted=False),
            OneOff("9,842 gold labels", 295.26, "$0.03 each"),
            OneOff("training", 0.84, "5 seeds, 17 hours at $0.05"),
            OneOff("your own time", None),
        ),
        lines=(
            CostLine(PROMPT, 0.0, 0.0084),
            CostLine(
                ENCODER,
                345.0,
                0.0000021,
                "one core at $0.05 an hour, 60 % used; trained again every 90 days",
                40.0,
                180_000.0,
            ),
            CostLine(CASCADE, 345.0, 0.00111),
            CostLine("hosted finetune", None, None, "no price known"),
        ),
        break_even=(
            BreakEven(
                ENCODER,
                PROMPT,
                41_100.0,
                "encoder:minilm is cheaper than PaLM 540B, few-shot from 41,100 calls on.",
                date.fromisoformat("2026-03-22"),
                True,
            ),
            BreakEven(
                CASCADE,
                PROMPT,
                47_300.0,
                "The cascade is cheaper than PaLM 540B, few-shot from 47,300 calls on.",
                date.fromisoformat("2026-03-25"),
                True,
            ),
            BreakEven(
                "hosted finetune",
                PROMPT,
                None,
                "whether hosted finetune pays off is unknown: no price is known for hosted finetune",
            ),
        ),
        assumptions=("Tokens of recorded calls are estimated at four characters each.", "2,000 calls a day"),
        call_parts=(
            CallPart("input", 180.2, 3.604),
            CallPart("input from the cache", 210.0, 0.42),
            CallPart("input written to the cache", 12.5, 0.3125),
            CallPart("output", 3.1, 0.062),
            CallPart("output, reasoning", 200.0, 4.0),
        ),
        rates="text-davinci-003, list price of 2022-11-28",
        n_calls=9824,
        calls_per_day=2000.0,
        worth=worths(),
    )


def disagreements():
    rows = [
        Disagreement(
            "t-17",
            "premise: A man stands on a ladder.\nhypothesis: A man is painting his house.",
            "neutral",
            "entailment",
            "neutral",
            0.83,
        ),
        Disagreement(
            "t-42",
            "premise: Two dogs run over wet sand.\nhypothesis: The dogs are asleep.",
            "contradiction",
            "contradiction",
            "neutral",
            0.47,
        ),
        Disagreement(
            "t-77",
            "premise: A choir sings.\nhypothesis: <script>alert('x')</script>",
            "entailment",
            None,
            "entailment",
            0.91,
        ),
    ]
    return Disagreements(ENCODER, PROMPT, 2301, 9824, tuple(rows), "drawn with seed 0")


def reliability():
    bins = []
    for index in range(3, 10):
        low = index / 10
        n = 60 * (index - 2) ** 2
        bins.append(ReliabilityBin(low, low + 0.1, low + 0.055, estimate(low + 0.02, n)))
    before = [
        ReliabilityBin(each.low, each.high, each.confidence, estimate(each.accuracy.value - 0.08, each.accuracy.n))
        for each in bins
    ]
    return Reliability(ENCODER, sum(each.accuracy.n for each in bins), tuple(bins), 0.034, tuple(before), 0.091)


def threshold_curve():
    points = []
    for step in range(41):
        t = step / 40
        kept = 1 - t**3
        points.append(ThresholdPoint(t, kept, 0.79 + 0.06 * t * (1.3 - t**2.2) - 0.078 * t**9, 8.4 * (1 - kept)))
    return ThresholdCurve(
        student=ENCODER,
        teacher=PROMPT,
        n=9824,
        points=tuple(points),
        arm=CASCADE,
        student_accuracy=0.79,
        teacher_accuracy=0.73,
    )


def worths():
    """The encoder is cheaper and better; the linear student cheaper and worse, so that a worth makes the choice flip."""
    values = tuple(10 ** (-3 + step / 15) for step in range(61))
    sure = AnswerWorth(
        arm=ENCODER,
        against=PROMPT,
        usd_difference=-0.0084,
        score_difference=0.06,
        n=9824,
        flips_at=None,
        low=None,
        high=None,
        level=0.95,
        values=values,
        shares=(1.0,) * 61,
        sentence="encoder:minilm costs $8.40 less per 1,000 calls than PaLM 540B, few-shot and is 6.0 points better (n = 9,824): "
        "encoder:minilm is the better buy at any worth of an answer",
        yours=0.5,
        at_yours=1.0,
        n_draws=2000,
    )
    shares = tuple(1 / (1 + (value / 0.083) ** 9) for value in values)
    flips = AnswerWorth(
        arm=LINEAR,
        against=PROMPT,
        usd_difference=-0.0084,
        score_difference=-0.101,
        n=9824,
        flips_at=0.083,
        low=0.075,
        high=0.094,
        level=0.95,
        values=values,
        shares=shares,
        sentence="linear costs $8.40 less per 1,000 calls than PaLM 540B, few-shot and is 10.1 points worse (n = 9,824): linear is the better buy while "
        "one more correct answer is worth less than $0.083 (95% interval $0.075 to $0.094)",
        yours=0.5,
        at_yours=0.0,
        n_draws=2000,
    )
    return sure, flips
