"""Whether the prompt is better than always giving the commonest label; if not, passing against it means nothing."""

from collections import Counter
from dataclasses import replace

from stillhouse.evaluation.margin_gate import decide_gate
from stillhouse.experiment.counted_rows import counted
from stillhouse.experiment.material import Material
from stillhouse.results.row_result import RowResult
from stillhouse.verdict.judged_arm import JudgedArm
from stillhouse.verdict.wording import points


def below_majority(material: Material, prompt: JudgedArm | None) -> list[str]:
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
    seen = f"{prompt.arm.name} against always answering {commonest!r:.80}: {points(gate.difference)}"
    if gate.difference.value > 0:
        return [
            f"it is not shown that {prompt.arm.name} is better than the commonest label ({seen}): until more test rows "
            "show it, to pass against it means nothing, for a student and for a cascade"
        ]
    return [
        f"{prompt.arm.name} is not better than the commonest label ({seen}): to pass against it means nothing, for a "
        "student and for a cascade; better the prompt, or check the labels"
    ]


def _commonest(material: Material) -> str | None:
    labels = material.labels or ()
    given = (row.target(material.scored_against) for row in material.splits.train)
    counts = Counter(label for label in given if label in labels)
    return counts.most_common(1)[0][0] if counts else None


def _answering(row: RowResult, label: str) -> RowResult:
    """The row as a system answers it that always says `label`."""
    return replace(row, output=label, score=float(row.gold == label), confidence=None)
