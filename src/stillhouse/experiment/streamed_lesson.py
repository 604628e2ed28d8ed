"""Whether the rows that `label` is to pay for can be learned from, told while they stream by: none of them is kept.

It says what `readiness.check_lesson` says of rows that are held. What only a split would tell is left to `distill`, but
for rows of so few groups that no split can have its parts.
"""

from stillhouse.data.splits import shares_to_cut
from stillhouse.errors import UserError
from stillhouse.experiment.readiness import no_choices_to_answer_with, no_reasons_to_learn
from stillhouse.records import Example
from stillhouse.task import Task

_MOST_PARTS = 4


class StreamedLesson:
    """What the rows have, row by row. `whole`: they are all rows of the task, and not one file of them."""

    def __init__(self, task: Task, *, whole: bool) -> None:
        self._task, self._whole = task, whole
        self._n = self._n_gold = self._n_choices = 0
        self._without_choices: str | None = None  # the id of the first row that has none
        self._has_reasons = False
        self._classes: set[str] = set()  # two of them: there are several
        self._groups: set[str] = set()  # as many as parts have to be cut off: there are enough
        self._n_alone = 0  # rows without a group, each of which may go anywhere

    def note(self, row: Example) -> None:
        self._n += 1
        if row.choices:
            self._n_choices += 1
        elif self._without_choices is None:
            self._without_choices = row.id
        if row.label is not None:
            self._n_gold += 1
            if len(self._classes) < 2:
                self._classes.add(row.label)
        if row.group is None:
            self._n_alone += 1
        elif len(self._groups) < _MOST_PARTS:
            self._groups.add(row.group)
        self._has_reasons = self._has_reasons or bool(row.teacher_rationale or row.extra.get("rationale"))

    def check(self) -> None:
        """Raise UserError where the task's ladder cannot learn from these rows."""
        task = self._task
        where, learn_from = task.path or task.name, task.student.learn_from
        may_learn_gold = learn_from == "gold" or (learn_from == "auto" and bool(self._n_gold))
        no_answers = task.output == "choice" and task.labels is None and (self._n_choices or not may_learn_gold)
        if no_answers and self._without_choices is not None:
            raise no_choices_to_answer_with(task, self._without_choices)
        if not self._whole:
            return
        if learn_from == "gold" and not self._n_gold:
            raise UserError(
                f'{where}: learn_from = "gold" in [student], and none of the {self._n:,} rows has a gold label; '
                'add labels, or set learn_from = "teacher"'
            )
        learns_gold = learn_from == "gold" or (learn_from == "auto" and self._n_gold == self._n)
        one_class = learns_gold and task.output == "choice" and not self._n_choices and len(self._classes) == 1
        if one_class and set(task.ladder) != {"majority"}:
            raise UserError(
                f"{where}: all {self._n_gold:,} rows with a gold label have the label {next(iter(self._classes))!r}; "
                "a student needs rows of at least two classes"
            )
        if not self._has_reasons:
            no_reasons_to_learn(task)
        self._check_groups()

    def _check_groups(self) -> None:
        task = self._task
        named = [part for part in ("validation", "calibration", "test") if getattr(task.data, part) is not None]
        parts = {"train", *({"validation", "test"} & shares_to_cut(task, named).keys())}
        n_groups = len(self._groups) + self._n_alone
        if self._groups and n_groups < len(parts) <= self._n:
            groups = "1 group" if n_groups == 1 else f"{n_groups} groups"
            raise UserError(
                f"{task.path or task.name}: the {self._n:,} rows are in {groups} ({min(self._groups)!r:.80}), rows of "
                f"one group never straddle a split, and {len(parts)} parts are needed "
                f"({', '.join(sorted(parts))}); bring rows of more groups, name files of their own in [data], or give "
                "as `group` what rows really share, as a conversation, a user or a document"
            )
