"""Whether the prompt is better than always giving the commonest label; if not, passing against it means nothing."""

from collections import Counter
from dataclasses import replace

from stillhouse.doubts import Doubt, Warned
from stillhouse.evaluation.margin_gate import decide_gate
from stillhouse.experiment.counted_rows import counted
from stillhouse.experiment.material import Material
from stillhouse.results.row_result import RowResult
from stillhouse.verdict.judged_arm import JudgedArm, is_yardstick
from stillhouse.verdict.wording import agreeing, points


def below_majority(material: Material, prompt: JudgedArm | None) -> list[Warned]:
    """A warning where the test that decides does not show the prompt to be better, for tasks with labels alone.

    The commonest label is that of the training rows: the test rows have no say in it.
    """
    commonest = _commonest(material)
    if prompt is None or commonest is None:
        return []
    rows, terms = counted(material, prompt.arm).test, material.task.gate
    always = [_answering(row, commonest) for row in rows]
    cap = material.splits.group_cap
    gate = decide_gate(rows, always, margin=terms.margin, level=terms.level, group_cap=cap)
    if gate.better:
        return []
    name = prompt.arm.name
    nothing = "to pass against it means nothing, for a student and for a cascade"
    seen = f"{name} against always answering {commonest!r:.80}: {points(gate.difference)}"
    if is_yardstick(material, prompt.arm):
        other = decide_gate(always, rows, margin=terms.margin, level=terms.level, group_cap=cap)
        agrees = f"always answering {commonest!r:.80} agrees with {name} to {agreeing(other.difference)}"
        sentence = f"{agrees}: {nothing}; bring test rows to which it has other answers"
    elif gate.difference.value > 0:
        shown = f"it is not shown that {name} is better than the commonest label ({seen})"
        sentence = f"{shown}: until more test rows show it, {nothing}"
    else:
        better = f"{name} is not better than the commonest label ({seen})"
        sentence = f"{better}: {nothing}; better the prompt, or check the labels"
    return [Warned(Doubt.PASSING_MEANS_NOTHING, sentence)]


def _commonest(material: Material) -> str | None:
    labels = material.labels or ()
    given = (row.target(material.scored_against) for row in material.splits.train)
    counts = Counter(label for label in given if label in labels)
    return counts.most_common(1)[0][0] if counts else None


def _answering(row: RowResult, label: str) -> RowResult:
    """The row as a system answers it that always says `label`."""
    return replace(row, output=label, score=float(row.gold == label), confidence=None)
