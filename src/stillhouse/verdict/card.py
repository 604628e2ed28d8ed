"""A student's card: what it is, what it learned from, how good it was on which rows, and where it must not be trusted."""

from stillhouse.experiment.arms import MeasuredArm
from stillhouse.records import Estimate
from stillhouse.results.result import Arm, Result


def card(result: Result, arm: MeasuredArm) -> str:
    """`card.md` as text."""
    measured = next(row for row in result.arms if row.name == arm.name)
    prompt = next((row for row in result.arms if row.kind == "prompt"), None)
    lines = [f"# {result.task}: {arm.name}", "", result.instruction.strip(), "", "## What it is", ""]
    lines += [
        f"- Student: `{arm.facts.get('spec')}`, {arm.facts.get('n_parameters', 0):,} parameters, {arm.size_bytes or 0:,} bytes."
    ]
    lines += [f"- Learned {arm.n_train or 0:,} rows with {_whose(result, arm)}, seed {arm.facts.get('seed')}."]
    lines += [
        f"- Data (sha256): {', '.join(f'{part} {digest[:16]}' for part, digest in result.provenance.fingerprints.items())}.",
        "",
    ]
    lines += ["## What it was measured to do", "", f"On {result.n_test:,} test rows that it never saw:", ""]
    lines += [f"- {result.heading}: {_estimate(measured.score)}"]
    lines += [f"- the prompt on the same rows: {_estimate(prompt.score)}"] if prompt else []
    lines += [f"- {test.name}: {_estimate(test.score)}" for test in result.other_tests if test.arm == arm.name]
    lines += [f"- gate: {_gate(measured)}", "", "## Limits", ""]
    lines += [
        "- The numbers hold for rows like the test rows; other inputs were not measured.",
        "- Its confidence was calibrated on its validation rows.",
    ]
    lines += [f"- {warning}" for warning in result.warnings]
    lines += [
        "",
        "## Licences",
        "",
        _licence(arm),
        "",
        f"Made by {result.provenance.command}, {result.provenance.created}.",
        "",
    ]
    return "\n".join(lines)


def _whose(result: Result, arm: MeasuredArm) -> str:
    if arm.learns_from == "gold" or result.label_quality is None:
        return "gold labels"
    stand_in = ", a stand-in and no model" if result.label_quality.stand_in else ""
    return f"the labels of {result.label_quality.teacher}{stand_in}"


def _licence(arm: MeasuredArm) -> str:
    base = str(arm.facts.get("spec", "")).partition(":")[2]
    if base == "minilm":
        return "The base all-MiniLM-L6-v2 is under Apache-2.0. The rows are yours; a hosted teacher's terms may restrict what its answers may train."
    if base and not base.startswith("scratch"):
        return f"The base `{base}` has a licence of its own: look it up. A hosted teacher's terms may restrict what its answers may train."
    return "No pretrained weights are inside. The rows are yours; a hosted teacher's terms may restrict what its answers may train."


def _estimate(score: Estimate) -> str:
    interval = (
        "" if score.low is None or score.high is None else f" [{score.low:.1%}, {score.high:.1%}] at {score.level:.0%}"
    )
    return f"{score.value:.1%}{interval} (n = {score.n:,})"


def _gate(measured: Arm) -> str:
    return (
        "not asked: there is no prompt to compare with"
        if measured.gate is None
        else measured.gate.sentence or measured.gate.answer
    )
