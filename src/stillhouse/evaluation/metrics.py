"""Scores of one answer against one gold answer, 0 to 1. No answer scores 0.

Accuracy, exact match, the value of an equation and the result of a query are right or wrong. Token F1 and ROUGE-L are
for open text, and weak: they reward shared words, not truth.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stillhouse.evaluation.arithmetic import value_of
from stillhouse.evaluation.gold_results import opened, same_result
from stillhouse.json_labels import same_json
from stillhouse.records import Example
from stillhouse.task import MetricName, Task
from stillhouse.words import units

# Metrics that are right or wrong; of JSON they compare values, whose texts may differ.
OF_VALUES = ("accuracy", "macro_f1", "exact_match")
Score = Callable[[str, str, Example], float]


@dataclass(frozen=True)
class Metric:
    """A named score. `proportion`: every row is 0 or 1, so binomial methods hold. `of_none`: what no answer scores."""

    name: str
    of_answer: Score
    proportion: bool = True
    of_none: float = 0.0

    def score(self, output: str | None, gold: str, example: Example) -> float:
        """0..1."""
        return self.of_none if output is None else self.of_answer(output, gold, example)


def metric_for(task: Task) -> Metric:
    """The metric that the task names.

    Macro-F1 is no score of a row: its rows are scored by accuracy, and it is computed over them.
    """
    if task.metric == "sql_execution":
        assert task.database is not None  # the task file demands a database for this metric
        database = opened(task.database)
        return Metric("sql_execution", lambda output, gold, _: float(same_result(database, output, gold)))
    if task.output == "json" and task.metric in OF_VALUES:
        return Metric(task.metric, lambda output, gold, _: float(same_json(output, gold)))
    return _METRICS[task.metric]


def by_name(name: MetricName) -> Metric:
    """A metric that needs nothing of a task."""
    return _METRICS[name]


def _same(output: str, gold: str, _: Example) -> float:
    return float(output == gold)


def _exact(output: str, gold: str, _: Example) -> float:
    return float(output.split() == gold.split())


def _equation(output: str, gold: str, example: Example) -> float:
    """Right where both compute the same number, to a millionth of the larger one; 0 is 0 alone."""
    wanted, value = value_of(gold), value_of(output)
    if wanted is None or value is None:
        return 0.0
    return float(abs(value - wanted) * 1_000_000 <= max(abs(value), abs(wanted)))


def _token_f1(output: str, gold: str, _: Example) -> float:
    words, wanted = units(output), units(gold)
    shared = (Counter(words) & Counter(wanted)).total()
    return 2 * shared / (len(words) + len(wanted)) if shared else float(not words and not wanted)


def _rouge_l(output: str, gold: str, _: Example) -> float:
    from rapidfuzz.distance import LCSseq

    words, wanted = units(output), units(gold)
    shared = LCSseq.similarity(words, wanted)
    return 2 * shared / (len(words) + len(wanted)) if shared else float(not words and not wanted)


_METRICS: dict[MetricName, Metric] = {
    "accuracy": Metric("accuracy", _same),
    "macro_f1": Metric("macro_f1", _same),
    "exact_match": Metric("exact_match", _exact),
    "equation_value": Metric("equation_value", _equation),
    "token_f1": Metric("token_f1", _token_f1, proportion=False),
    "rouge_l": Metric("rouge_l", _rouge_l, proportion=False),
    # The win rate scores every row as a tie, until the pair of answers is judged (comparison.judged_arms).
    "win_rate": Metric("win_rate", lambda *_: 0.5, proportion=False, of_none=0.5),
}


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class's score.

    Precision is None where the class was never predicted, recall where it has no gold rows, F1 where both hold.
    """

    label: str
    n: int
    n_predicted: int
    precision: float | None
    recall: float | None
    f1: float | None


def per_class(gold: Sequence[str], outputs: Sequence[str | None], labels: Sequence[str]) -> list[ClassScore]:
    """Precision, recall and F1 of every class."""
    right = Counter(g for g, o in zip(gold, outputs, strict=True) if g == o)
    wanted, predicted = Counter(gold), Counter(outputs)
    scores = []
    for label in labels:
        n, n_predicted, hits = wanted[label], predicted[label], right[label]
        precision = hits / n_predicted if n_predicted else None
        recall = hits / n if n else None
        f1 = 2 * hits / (n + n_predicted) if n + n_predicted else None
        scores.append(ClassScore(label, n, n_predicted, precision, recall, f1))
    return scores


def macro_f1(gold: Sequence[str], outputs: Sequence[str | None]) -> float | None:
    """Mean F1 over the classes that occur in gold or output; None without rows."""
    labels = sorted({*gold, *(output for output in outputs if output is not None)})
    scores = [score.f1 for score in per_class(gold, outputs, labels) if score.f1 is not None]
    return sum(scores) / len(scores) if scores else None
