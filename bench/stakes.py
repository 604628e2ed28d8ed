"""What a verdict costs in dollars where it is not the best one: the regret, by the same stakes in every simulated task.

An app has 1,000 calls a day for a year. A call of the prompt costs $0.001 more than one of a student (where the task says that the student is dearer: $0.001
less); examples make a call of the prompt $0.0002 dearer; a student and a cascade cost $100 once. A right answer is worth a thirtieth of a dollar: who loses the
margin of 3 points loses what a student saves. So

    net benefit = calls x (saving of a call + worth x (score - the prompt's score)) - what is spent once

in truth, not as measured. What the verdict leaves as it is ("keep prompt", "cannot tell", "collect more") brings $0. The regret of a draw is the best net benefit
among doing nothing, the students that are in truth within the margin, the examples, and the cascade of that draw if its promise is true, less that of the verdict.
The gate is a floor: what is beyond the margin is never the best, whatever it saves. Money decides nothing in these tasks (`bench.contradictions` has those).
"""

from dataclasses import dataclass

import numpy as np

from bench.deciding import BROKEN, CASCADE, DISTIL, FINETUNE, HARM, MARGIN, SHOTS, Decision
from bench.untuned import UNSEEN, Untuned
from stillhouse.verdict.rules import LEAST_SHARE

CALLS = 1000 * 365
SAVED, EXAMPLES, ONCE = 0.001, 0.0002, 100.0  # US$ a call, a call, once
WORTH = SAVED / MARGIN
NEAR = 0.02  # a class of an untuned task is taken for lost where it is so much beyond the margin among unseen rows


@dataclass(frozen=True)
class Arm:
    """An arm in truth: its score minus the prompt's, and whether it is within the margin, overall and in each class."""

    difference: float
    allowed: bool
    dearer: bool = False

    @property
    def net(self) -> float:
        return CALLS * ((-SAVED if self.dearer else SAVED) + WORTH * self.difference) - ONCE


@dataclass(frozen=True)
class Truth:
    """The arms of a task in truth. `shots`: the prompt with the number of examples that is best."""

    students: tuple[Arm, ...]
    shots: Arm | None = None
    cascade_dearer: bool = False

    def regret(self, decision: Decision) -> float:
        nets = {"as it is": 0.0}
        nets |= {f"student {number}": arm.net for number, arm in enumerate(self.students) if arm.allowed}
        if self.shots is not None:
            nets[SHOTS] = self._with_examples
        if decision.cascade is not None:
            kept, harmed, _ = decision.cascade
            if kept >= LEAST_SHARE and harmed <= HARM:
                nets[CASCADE] = self._cascade(decision.cascade)
        return max(0.0, max(nets.values()) - self._of(decision))

    def _of(self, decision: Decision) -> float:
        if decision.kind in (FINETUNE, DISTIL) and decision.student is not None:
            return self.students[decision.student].net
        if decision.kind == SHOTS:
            return self._with_examples
        if decision.kind in (CASCADE, BROKEN) and decision.cascade is not None:
            return self._cascade(decision.cascade)
        return 0.0

    @property
    def _with_examples(self) -> float:
        assert self.shots is not None
        return CALLS * (WORTH * self.shots.difference - EXAMPLES)

    def _cascade(self, promise: tuple[float, float, float]) -> float:
        kept, _, difference = promise
        return CALLS * ((-SAVED if self.cascade_dearer else SAVED) * kept + WORTH * difference) - ONCE


def truth_of(task: Untuned) -> Truth:
    """The arms of a task of the second set, on rows that nobody saw."""
    unseen = task.process(np.random.default_rng(5), UNSEEN)
    students = []
    for scores in unseen.students:
        difference = float((scores - unseen.prompt).mean())
        allowed = difference > -MARGIN
        for label in () if unseen.classes is None else np.unique(unseen.classes):
            rows = unseen.classes == label
            allowed &= float((scores - unseen.prompt)[rows].mean()) > -MARGIN - NEAR
        students.append(Arm(difference, bool(allowed), dearer=task.prices[0] is False))
    best = max((float((scores - unseen.prompt).mean()) for scores in unseen.shots.values()), default=None)
    return Truth(tuple(students), None if best is None else Arm(best, True), cascade_dearer=task.prices[1] is False)
