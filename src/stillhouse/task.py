"""The task file `task.toml`: what a step of the app asks, where its data lies, who teaches, which students are tried.

Paths are relative to the task file. `settings` says what each section may hold.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from stillhouse.errors import TaskFileError
from stillhouse.json_text import JsonError, read_json
from stillhouse.labels import labels_problem
from stillhouse.patterns import PatternError, compiled
from stillhouse.schemas import SchemaProblem, check_schema
from stillhouse.settings import (
    DataSettings,
    GateSettings,
    MoneySettings,
    Section,
    StudentSettings,
    TeacherSettings,
)
from stillhouse.text_files import read_text

Output = Literal["choice", "text", "json"]
MetricName = Literal[
    "accuracy", "macro_f1", "exact_match", "equation_value", "sql_execution", "token_f1", "rouge_l", "win_rate"
]

# Metrics that are weak evidence, each with the words that have to stand wherever its numbers are shown.
_SHARED_WORDS = (
    "rewards words shared with one reference, not truth: weak evidence for open text; "
    "`stillhouse compare` has the answers judged"
)
WEAK_METRICS = {"token_f1": f"Token F1 {_SHARED_WORDS}", "rouge_l": f"ROUGE-L {_SHARED_WORDS}"}


class _Task(Section):
    """`[task]`: what is asked, and how answers are scored."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    instruction: str = Field(min_length=1)
    output: Output
    labels: tuple[str, ...] | None = None
    metric: MetricName | None = None
    json_schema: str | None = None  # file with the JSON schema (2020-12) that answers of output = "json" must fit
    database: str | None = None  # SQLite file that `metric = "sql_execution"` runs the queries on, read-only

    @model_validator(mode="after")
    def _consistent(self) -> "_Task":
        if self.labels is not None:
            if self.output != "choice":
                raise ValueError(f'labels go with output = "choice", not with output = "{self.output}"')
            if len(self.labels) < 2:
                raise ValueError("labels needs at least two classes")
            if len(set(self.labels)) != len(self.labels):
                raise ValueError("labels holds the same class twice")
            if problem := labels_problem(self.labels):
                raise ValueError(f"labels: {problem}")
        if self.json_schema is not None and self.output != "json":
            raise ValueError(f'json_schema goes with output = "json", not with output = "{self.output}"')
        if self.metric == "sql_execution" and self.database is None:
            raise ValueError('metric = "sql_execution" needs database = "FILE.db"')
        if self.metric == "win_rate" and self.output != "text":
            raise ValueError(
                f'metric = "win_rate" is for output = "text"; output = "{self.output}" has right and wrong answers, '
                "so score those"
            )
        return self


class _File(Section):
    task: _Task
    data: DataSettings = DataSettings()
    teacher: TeacherSettings = TeacherSettings()
    student: StudentSettings = StudentSettings()
    gate: GateSettings = GateSettings()
    money: MoneySettings = MoneySettings()


@dataclass(frozen=True, slots=True)
class Task:
    """A task file as values. `folder` is where its relative paths start."""

    name: str
    instruction: str
    output: Output
    labels: tuple[str, ...] | None = None
    _: KW_ONLY
    metric: MetricName = "accuracy"
    database: Path | None = None
    schema: Mapping[str, Any] | None = None  # the JSON schema that answers must fit
    data: DataSettings = field(default_factory=DataSettings)
    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    student: StudentSettings = field(default_factory=StudentSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    money: MoneySettings = field(default_factory=MoneySettings)
    folder: Path = Path()
    path: Path | None = None

    def resolve(self, relative: str) -> Path:
        return (self.folder / Path(relative).expanduser()).resolve()

    @property
    def ladder(self) -> tuple[str, ...]:
        """The students to try, cheapest first, with short base names replaced by what `bases` says."""
        names = self.student.ladder
        if names is None:
            names = ("linear",) if self.output == "choice" else ("generative:scratch:small",)
        return tuple(_with_base(name, self.student.bases) for name in names)

    def with_teacher(self, **changes: Any) -> "Task":
        """The task with these keys of [teacher] changed."""
        return replace(self, teacher=self.teacher.model_copy(update=changes))


def _with_base(spec: str, bases: dict[str, str]) -> str:
    family, colon, base = spec.partition(":")
    return f"{family}:{bases[base]}" if colon and base in bases else spec


def load_task(path: str | Path) -> Task:
    """Read `task.toml`, or the `task.toml` in a folder.

    Raises TaskFileError, which names the file, the key and what is allowed.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "task.toml"
    try:
        raw = tomllib.loads(read_text(path, "give a task file as text", TaskFileError))
    except FileNotFoundError:
        raise TaskFileError(f"{path}: no such task file; `stillhouse new NAME` writes one") from None
    except RecursionError:
        raise TaskFileError(f"{path}: not valid TOML (nested too deep); mend that line") from None
    except ValueError as error:  # a number of five thousand digits, too
        raise TaskFileError(f"{path}: not valid TOML ({error}); mend that line") from None
    try:
        parsed = _File.model_validate(raw)
    except ValidationError as error:
        raise TaskFileError(f"{path}: {_first_problem(error)}") from None
    folder = path.parent.resolve()
    task = parsed.task
    if parsed.teacher.answer_pattern is not None:
        try:
            compiled(parsed.teacher.answer_pattern)
        except PatternError as error:
            pattern = parsed.teacher.answer_pattern
            raise TaskFileError(f"{path}: [teacher] answer_pattern = {pattern!r}: {error}; mend it") from None
    return Task(
        name=task.name,
        instruction=task.instruction,
        output=task.output,
        labels=task.labels,
        metric=task.metric or ("accuracy" if task.output == "choice" else "exact_match"),
        database=folder / task.database if task.database else None,
        schema=_schema(folder / task.json_schema) if task.json_schema else None,
        data=parsed.data,
        teacher=parsed.teacher,
        student=parsed.student,
        gate=parsed.gate,
        money=parsed.money,
        folder=folder,
        path=path.resolve(),
    )


def _schema(path: Path) -> dict[str, Any]:
    try:
        schema = read_json(read_text(path, "mend `json_schema` in [task]", TaskFileError))
        if not isinstance(schema, dict):
            raise SchemaProblem("not a JSON schema (it holds no object)")
        check_schema(schema)
    except FileNotFoundError:
        raise TaskFileError(f"{path}: no such file; mend `json_schema` in [task]") from None
    except JsonError as error:
        raise TaskFileError(f"{path}: not a JSON schema ({error}); mend it") from None
    except (PatternError, SchemaProblem) as error:
        raise TaskFileError(f"{path}: {error}; mend it") from None
    return schema


def _first_problem(error: ValidationError) -> str:
    """Pydantic's first complaint as one sentence with the key in TOML's own spelling."""
    problem = error.errors()[0]
    where = [str(part) for part in problem["loc"]]
    section, key = (f"[{where[0]}]" if where else "the file"), ".".join(where[1:])
    if problem["type"] == "extra_forbidden":
        model: Any = _File if len(where) == 1 else _File.model_fields[where[0]].annotation
        allowed = ", ".join(model.model_fields)
        return (
            f"unknown key {key or where[0]!r} in {section}; allowed are {allowed}"
            if key
            else f"unknown section {section}; allowed are {allowed}"
        )
    if problem["type"] == "missing":
        return f"{section} needs the key {key!r}" if key else f"the section {section} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{section} {key} = {problem['input']!r}: {message}" if key else f"{section}: {message}"


def default_store(folder: Path) -> Path:
    """Where a task's paid replies are kept unless another place is named."""
    return folder / "stillhouse.db"
