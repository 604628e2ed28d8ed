"""A student's card: what it is, what it learned from, how good it was on which rows, and where not to trust it."""

from stillhouse.numbers import confidence
from stillhouse.records import Estimate
from stillhouse.results.arms import ArmResult
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.results.run_result import Result

TEACHERS_TERMS = "a hosted teacher's terms may restrict what its answers may train."


def card(result: Result, arm: MeasuredArm) -> str:
    """`card.md` as text."""
    measured = next(row for row in result.arms if row.name == arm.name)
    prompt = next((row for row in result.arms if row.kind == "prompt"), None)
    n_parameters = _count(arm.training.n_parameters if arm.training else None, "parameters")
    data = ", ".join(f"{part} {digest[:16]}" for part, digest in result.provenance.fingerprints.items())
    lines = [
        f"# {result.task}: {arm.name}",
        "",
        result.instruction.strip(),
        "",
        "## What it is",
        "",
        f"- Student: `{arm.model}`, {n_parameters}, {_count(arm.size_bytes, 'bytes')}.",
        f"- Learned {_count(arm.n_train, 'rows')} with {_whose(result, arm)}{_seed(arm)}.",
        f"- Data (sha256): {data}.",
        "",
        "## What it was measured to do",
        "",
        f"On {result.n_test:,} test rows that it never saw:",
        "",
        f"- {result.heading}: {_estimate(measured.score)}",
    ]
    if prompt is not None:
        yardstick = "the prompt on the same rows: the yardstick, as there is no gold"
        seen = yardstick if result.is_yardstick(prompt) else f"the prompt on the same rows: {_estimate(prompt.score)}"
        lines.append(f"- {seen}")
    lines += [f"- {test.name}: {_estimate(test.score)}" for test in result.other_tests if test.arm == arm.name]
    lines += [
        f"- gate: {_gate(measured)}",
        *([f"- look: {result.look.sentence}."] if result.look else []),
        "",
        "## Limits",
        "",
        "- The numbers hold for rows like the test rows; other inputs were not measured.",
        "- Its confidence was calibrated on its validation rows.",
        *(f"- {warning}" for warning in (*result.warnings, *result.notes)),
        "",
        "## Licences",
        "",
        _licence(arm),
        "",
        f"Made by {result.provenance.command}, {result.provenance.created}.",
        "",
    ]
    return "\n".join(lines)


def _count(n: int | None, what: str) -> str:
    return f"{n:,} {what}" if n is not None else f"an unknown number of {what}"


def _seed(arm: MeasuredArm) -> str:
    return "" if arm.seed is None else f", seed {arm.seed}"


def _whose(result: Result, arm: MeasuredArm) -> str:
    if arm.learns_from == "gold" or result.label_quality is None:
        return "gold labels"
    stand_in = ", a stand-in and no model" if result.label_quality.stand_in else ""
    return f"the labels of {result.label_quality.teacher}{stand_in}"


def _licence(arm: MeasuredArm) -> str:
    base = (arm.model or "").partition(":")[2].removesuffix("+tfidf")
    if base == "minilm":
        return f"The base all-MiniLM-L6-v2 is under Apache-2.0. The rows are yours; {TEACHERS_TERMS}"
    if base == "smollm2":
        return f"The base SmolLM2-135M-Instruct is under Apache-2.0. The rows are yours; {TEACHERS_TERMS}"
    if base == "wordllama":
        return f"The word vectors of WordLlama are under MIT. The rows are yours; {TEACHERS_TERMS}"
    if base and not base.startswith("scratch"):
        terms = TEACHERS_TERMS[0].upper() + TEACHERS_TERMS[1:]
        return f"The base `{base}` has a licence of its own: look it up. {terms}"
    return f"No pretrained weights are inside. The rows are yours; {TEACHERS_TERMS}"


def _estimate(score: Estimate) -> str:
    interval = ""
    if score.low is not None and score.high is not None:
        interval = f" [{score.low:.1%}, {score.high:.1%}] at {confidence(score.level)}"
    return f"{score.value:.1%}{interval} (n = {score.n:,})"


def _gate(measured: ArmResult) -> str:
    if measured.gate is None:
        return "not asked: there is no prompt to compare with"
    return measured.gate.sentence or measured.gate.answer
