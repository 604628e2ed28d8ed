"""Case files: what a flow's steps, its paths and the whole of it are expected to do.

    cases/STEP.jsonl    {"id", "input", "expected"}: one call of the step (or agent, tool, decision), and what it
                        should answer
    cases/paths.jsonl   {"id", "input", "path", "script"}: the flow's input and its path (see `flow.paths`); the script
                        answers for the models
    cases/flow.jsonl    {"id", "input", "expected"}, and where known "path": the flow's input and its result;
                        cases/FLOWNAME.jsonl is the same

`input` is the object of arguments, or the one argument that must be given. In any row `metric` may say how its answer
is scored, and for sql_execution `database` on what.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from stillhouse.addresses import without_secrets
from stillhouse.data.dataset import json_rows
from stillhouse.errors import DatasetError, StillhouseError, UserError
from stillhouse.evaluation.gold_results import gold_result, opened
from stillhouse.evaluation.metrics import OF_VALUES, Metric, metric_for
from stillhouse.flow.call import canonical_json
from stillhouse.flow.paths import ExpectedPath, check_path
from stillhouse.flow.testing import UNKNOWN, Case
from stillhouse.flow_tests.parts import Part
from stillhouse.json_labels import LabelError, canonical_text, json_label, value_spelled
from stillhouse.records import Example
from stillhouse.task import MetricName, Task
from stillhouse.user_code import load_hook

PATHS = "paths"
WHOLE = "flow"


@dataclass(frozen=True)
class Expectation:
    """A case with what it should answer.

    `key` tells it from a case with another input, answer or metric; `call` is its arguments as the journal has them.
    """

    case: Case
    expected: Any
    metric: Metric
    key: str
    call: str
    of_values: bool = False  # True where the answer is JSON, whose texts count to the letter

    def score(self, output: Any) -> float:
        """0..1 of an answer, as JSON has it."""
        texts = isinstance(output, str) and isinstance(self.expected, str)
        if self.metric.name in OF_VALUES and (self.of_values or not texts):
            return float(self._is_value(output))
        return self.metric.score(as_text(output), as_text(self.expected), Example(self.case.id, "-"))

    def _is_value(self, output: Any) -> bool:
        """Whether the answer is the expected value. Where a part answers with a text, that is the value it spells."""
        answer, expected = self._value(output), self._value(self.expected)
        return answer is not None and answer == expected

    def _value(self, answer: Any) -> str | None:
        return value_spelled(answer) if isinstance(answer, str) and not self.of_values else canonical_text(answer)


@dataclass(frozen=True)
class Suite:
    """All cases of a folder."""

    steps: Mapping[str, Sequence[Expectation]]
    paths: Sequence[Case]
    whole: Sequence[Expectation]

    @cached_property
    def known(self) -> dict[tuple[str, str], Expectation]:
        """The step cases by (step, arguments)."""
        return {(step, case.call): case for step, cases in self.steps.items() for case in cases}

    def keys(self, whole: str) -> dict[str, list[str]]:
        """The keys of the cases, by the part that they are of; `whole` is the flow's name."""
        parts = {**self.steps, whole: self.whole}
        return {name: [expectation.key for expectation in expectations] for name, expectations in parts.items()}

    def answer(self, step: str, arguments: str) -> Any:
        """What a step should answer to these arguments, or UNKNOWN."""
        case = self.known.get((step, arguments))
        return UNKNOWN if case is None else case.expected


def as_text(value: Any) -> str:
    """An answer as the metrics read it: text as it is, else canonical JSON in which 45.0 is 45."""
    return value if isinstance(value, str) else canonical_json(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def load_suite(
    folder: Path,
    part_of: Callable[[str, Sequence[Mapping[str, Any]]], Part],
    whole: Part,
    metrics: Mapping[str, str],
    database: Path | None,
) -> Suite:
    """Read every case file of the folder.

    `part_of` finds a step by its name; `metrics` and `database` are for the rows that name none.

    Raises DatasetError naming file and line, UserError where the folder is empty or a file's name is no step's.
    """
    files = {path.stem: path for path in sorted(folder.glob("*.jsonl"))}
    if not files:
        remedy = f"write {folder / 'STEP.jsonl'}, or make them of a traced run with --from-run RUN"
        raise UserError(f"{folder}: holds no cases; {remedy}")
    if WHOLE in files and whole.name in files and whole.name != WHOLE:
        both = f"{files[WHOLE]} and {files[whole.name]}"
        raise UserError(f"{both} both hold cases of the whole flow; keep one of the two")
    steps: dict[str, list[Expectation]] = {}
    paths: list[Case] = []
    wholes: list[Expectation] = []
    for name, path in files.items():
        rows = json_rows(path)
        if name == PATHS:
            paths = [case for case, _ in _cases(path, rows, whole, needs="path")]
            continue
        is_whole = name in (WHOLE, whole.name)
        part = whole if is_whole else part_of(name, [row for _, row in rows])
        defaults = metrics.get(part.name, metrics.get(name)), database
        cases = _cases(path, rows, part, needs="expected")
        expectations = [_expectation(part, case, row, path, defaults) for case, row in cases]
        if is_whole:
            wholes = expectations
        else:
            _refuse_two_answers(path, expectations)
            steps[name] = expectations
    unused = [name for name in metrics if name not in {*steps, whole.name, *(WHOLE for _ in wholes)}]
    if unused:
        raise UserError(
            f"--metric {unused[0]}=...: there are no cases of {unused[0]} in {folder}; it has {', '.join(files)}"
        )
    path_by_call = {whole.call(case.input, case.id): case.path for case in paths}
    return Suite(steps, paths, [_with_path(expectation, path_by_call) for expectation in wholes])


def _with_path(expectation: Expectation, path_by_call: Mapping[str, ExpectedPath | None]) -> Expectation:
    """A case of the whole flow with its own path, else with that of the path case of the same input."""
    if expectation.case.path is not None:
        return expectation
    return replace(expectation, case=replace(expectation.case, path=path_by_call.get(expectation.call)))


def _cases(
    path: Path, rows: Iterable[tuple[int, Mapping[str, Any]]], part: Part, *, needs: str
) -> list[tuple[Case, Mapping[str, Any]]]:
    cases: list[tuple[Case, Mapping[str, Any]]] = []
    seen: dict[str, int] = {}
    for line, row in rows:
        for name in ("input", needs):
            if name not in row:
                raise DatasetError(f"{path}:{line}: a case needs `{name}`; add it")
        script = row.get("script")
        if script is not None and not isinstance(script, dict):
            raise DatasetError(
                f"{path}:{line}: `script` must be an object of answers by step, it is {script!r:.80}; mend it"
            )
        id_ = str(row.get("id", line))
        if id_ in seen:
            raise DatasetError(
                f"{path}:{line}: the id {id_!r} occurs twice (first on line {seen[id_]}); rename one of the cases"
            )
        seen[id_] = line
        expected_path = _path(path, line, row.get("path"))
        cases.append((Case(id_, part.arguments(row["input"], f"{path}:{line}"), script, expected_path), row))
    return cases


def _path(path: Path, line: int, expected: Any) -> ExpectedPath | None:
    try:
        return None if expected is None else check_path(expected)
    except UserError as error:
        raise DatasetError(f"{path}:{line}: {error}") from None


def _expectation(
    part: Part, case: Case, row: Mapping[str, Any], path: Path, defaults: tuple[str | None, Path | None]
) -> Expectation:
    expected, of_values = row["expected"], part.schema is not None
    if of_values and isinstance(expected, str):
        try:
            expected = json.loads(json_label(expected, part.schema))
        except LabelError as error:
            raise DatasetError(
                f"{path}: what the case {case.id} expects {error}; {part.name} answers with JSON, so mend the case"
            ) from None
    name, database = row.get("metric", defaults[0]), path.parent / row["database"] if "database" in row else defaults[1]
    metric = metric_named(name, part, expected, database)
    if metric.name == "sql_execution" and database is not None:
        problem = gold_result(opened(database), as_text(expected)).problem
        if problem is not None:
            raise DatasetError(
                f"{path}: what the case {case.id} expects does not run on {database} ({problem}); mend the case"
            )
    label = expected if isinstance(expected, str) else canonical_text(expected)
    if part.choices is not None:
        expected = part.choices.get(label, expected)
    if metric.name in ("accuracy", "exact_match") and part.labels and label not in part.labels:
        labels = ", ".join(part.labels)
        raise DatasetError(
            f"{path}: the case {case.id} expects {row['expected']!r:.80}, which {part.name} cannot answer; "
            f"it has {labels}"
        )
    call = part.call(case.input, f"{path}: the case {case.id}")
    identity = canonical_json([part.name, json.loads(call), row["expected"], metric.name])
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return Expectation(case, expected, metric, key, call, of_values)


_OF_MANY = ("macro_f1", "win_rate")  # metrics that score many answers together, and cannot score a single one


def metric_named(name: str | None, part: Part, expected: Any, database: Path | None) -> Metric:
    """The metric of that name, or `module:function` of (answer, expected), 0..1.

    None: equal words for text, else equal values. Raises UserError.
    """
    if name is None:
        name = "exact_match" if isinstance(expected, str) and not part.labels else "accuracy"
    if ":" in name:
        judge = load_hook(name, "--metric")
        return Metric(name, lambda output, gold, _: _judged(judge, name, output, gold), proportion=False)
    if name not in get_args(MetricName) or name in _OF_MANY:
        known = ", ".join(metric for metric in get_args(MetricName) if metric not in _OF_MANY)
        raise UserError(
            f"{part.name}: there is no metric {name!r} for one answer; "
            f"use {known}, or module:function of (answer, expected)"
        )
    if name == "sql_execution" and database is None:
        raise UserError(
            f"{part.name}: sql_execution runs the queries; "
            "name the database in the row (`database`), or with --database FILE"
        )
    return metric_for(Task(part.name, "-", "text", metric=name, database=database))  # type: ignore[arg-type]  # checked


def _judged(judge: Callable[..., Any], name: str, output: str, gold: str) -> float:
    try:
        score = judge(output, gold)
    except Exception as error:  # the user's own code may raise anything
        failure = without_secrets(f"{type(error).__name__}: {error}")
        raise StillhouseError(f"the metric {name} failed on the answer {output[:80]!r} ({failure}); mend it") from None
    if not isinstance(score, bool | int | float) or not 0 <= score <= 1:
        raise UserError(f"the metric {name} gave {score!r:.80}; return a number from 0 to 1")
    return float(score)


def _refuse_two_answers(path: Path, cases: Sequence[Expectation]) -> None:
    first: dict[str, Expectation] = {}
    for case in cases:
        other = first.setdefault(case.call, case)
        if as_text(other.expected) != as_text(case.expected):
            raise DatasetError(
                f"{path}: the cases {other.case.id} and {case.case.id} have the same input and expect different "
                "answers; keep one of the two"
            )
