"""Labels that are SQL queries are run once, in their bounded process, before answers are scored against them.

A query that does not run on the task's database says nothing about an answer: its row counts as one without that label,
and how many there are is said. Gold is looked at before anything is paid for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from stillhouse.doubts import Doubt, Warned
from stillhouse.errors import UserError
from stillhouse.evaluation.gold_results import gold_result
from stillhouse.evaluation.sql import ReadOnlyDatabase
from stillhouse.records import Example
from stillhouse.task import Task


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """The rows, without the labels whose query does not run, and a sentence about these."""

    rows: list[Example]
    warnings: tuple[str, ...] = ()
    share: float = 0.0  # of the labels, those whose query does not run

    @property
    def doubts(self) -> list[Warned]:
        return [Warned(Doubt.QUERIES_DO_NOT_RUN, said, self.share) for said in self.warnings]


def with_sound_queries(
    task: Task,
    rows: Sequence[Example],
    what: str = "rows",
    *,
    of: Literal["gold", "teacher"] = "gold",
    needed: bool = True,
) -> CheckedRows:
    """Run the labels of these rows, each once.

    Raises UserError where there is gold, it is `needed`, and none of it runs.
    """
    name = "label" if of == "gold" else "teacher_label"
    labelled = [row for row in rows if getattr(row, name) is not None]
    if task.metric != "sql_execution" or not labelled:
        return CheckedRows(list(rows))
    assert task.database is not None  # the task file demands a database for this metric
    database = ReadOnlyDatabase(task.database)
    refused: dict[str, str] = {}
    for query in dict.fromkeys(getattr(row, name) for row in labelled):
        if (problem := gold_result(database, query).problem) is not None:
            refused[query] = problem
    bad = [row for row in labelled if getattr(row, name) in refused]
    if not bad:
        return CheckedRows(list(rows))
    queries = "gold queries" if of == "gold" else "queries of the teacher"
    first = f"the first: row {bad[0].id}, {refused[getattr(bad[0], name)]}"
    said = f"{len(bad):,} of {len(labelled):,} {queries} of the {what} do not run on the task's database"
    if of == "gold" and needed and len(bad) == len(labelled):
        raise UserError(f"{said} ({first}); mend the rows, or `database` in [task]")
    without = {"gold": lambda row: replace(row, label=None), "teacher": lambda row: replace(row, teacher_label=None)}
    sound = [without[of](row) if getattr(row, name) in refused else row for row in rows]
    return CheckedRows(sound, (f"{said}, and count as rows without a label ({first})",), len(bad) / len(labelled))
