"""The task file `task.toml`: what a step of the app asks, where its data lies, who teaches, which students are tried, what the gate demands.

Unknown keys are errors: a typo that silently changes nothing is the most expensive kind. Paths are relative to the task file.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stillhouse.errors import TaskFileError, UserError

Output = Literal["choice", "text", "json"]
MetricName = Literal[
    "accuracy", "macro_f1", "exact_match", "equation_value", "sql_execution", "token_f1", "rouge_l", "win_rate"
]

# Metrics that are weak evidence, and what has to be said wherever one of their numbers is shown.
_SHARED_WORDS = "rewards words shared with one reference, not truth: weak evidence for open text; `stillhouse compare` has the answers judged"
WEAK_METRICS = {"token_f1": f"Token F1 {_SHARED_WORDS}", "rouge_l": f"ROUGE-L {_SHARED_WORDS}"}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Task(_Section):
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
        if self.json_schema is not None and self.output != "json":
            raise ValueError(f'json_schema goes with output = "json", not with output = "{self.output}"')
        if self.metric == "sql_execution" and self.database is None:
            raise ValueError('metric = "sql_execution" needs database = "FILE.db"')
        if self.metric == "win_rate" and self.output != "text":
            raise ValueError(
                f'metric = "win_rate" is for output = "text"; output = "{self.output}" has right and wrong answers, so score those'
            )
        return self


class _Data(_Section):
    train: str = "examples.jsonl"
    validation: str | None = None
    calibration: str | None = None
    test: str | None = None
    unlabelled: str | None = None
    also_test: tuple[
        str, ...
    ] = ()  # further test files, each reported on a line of its own; the verdict does not look at them
    # Shares of validation, calibration and test that are split off `train` where no file is named for them.
    split: tuple[float, float, float] = (0.1, 0.15, 0.2)
    seed: int = 0
    licence: str | None = (
        None  # of the rows, where you know it: a Hugging Face identifier such as "cc-by-4.0"; it goes into the data card
    )

    @model_validator(mode="after")
    def _shares(self) -> "_Data":
        if any(share < 0 for share in self.split) or sum(self.split) >= 1:
            raise ValueError(
                f"split = {list(self.split)} must be three shares >= 0 (validation, calibration, test) that leave rows to train on"
            )
        return self


class _Teacher(_Section):
    model: str | None = None
    rationales: bool = False
    max_usd: float | None = Field(default=None, gt=0)
    examples: str | None = (
        None  # JSONL of worked examples that go into the prompt (few-shot; with `rationale` for chain of thought)
    )
    answer_pattern: str | None = None  # regular expression with one group, the answer, for replies with a rationale
    stop: tuple[
        str, ...
    ] = ()  # where a reply ends; sent along, and cut at on arrival too, for models that run on into a next question
    temperature: Annotated[float, Field(ge=0)] | Literal["default"] = (
        0.0  # "default": none is sent, for models that refuse any
    )
    max_tokens: int = Field(
        default=512, gt=0
    )  # of a reply; a model that reasons first spends its reasoning out of them, too
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None  # None: the model's own default
    )
    price_in: float | None = Field(
        default=None, ge=0
    )  # US$ per million input tokens, where the price tables do not know the model
    price_out: float | None = Field(default=None, ge=0)
    price_cached: float | None = Field(
        default=None, ge=0
    )  # of input that the provider had in its cache; None: what other input costs
    price_written: float | None = Field(default=None, ge=0)  # of input that it puts there
    concurrency: int | None = Field(
        default=None, gt=0
    )  # calls under way at most; None: 32 at first, more while that slows no answer down
    requests_per_minute: float | None = Field(
        default=None, gt=0
    )  # the endpoint's limits; None: learned from its headers and its refusals
    tokens_per_minute: float | None = Field(default=None, gt=0)  # input and output together
    input_tokens_per_minute: float | None = Field(default=None, gt=0)
    output_tokens_per_minute: float | None = Field(default=None, gt=0)
    max_shots: int | None = Field(
        default=None, ge=0
    )  # most training rows that `advise` puts into the prompt as examples; 0: none
    context_tokens: int | None = Field(
        default=None, gt=0
    )  # what the model reads and writes in one call, where the tables do not know it
    tokenizer: str | None = (
        None  # the model's tokenizer.json, or a folder with it; without it tokens are measured on the calls made
    )
    samples: int = Field(default=1, gt=0)  # self-consistency: ask so many times and let the answers vote
    soft_targets: bool = False  # ask for log-probabilities, and keep the labels' probabilities per row
    structured: bool = False  # ask for JSON by schema where the endpoint can, and in words where it cannot
    licence: str | None = (
        None  # of what this teacher writes, where you know it: a Hugging Face identifier such as "apache-2.0"
    )

    @model_validator(mode="after")
    def _sampled(self) -> "_Teacher":
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"samples = {self.samples} at temperature = 0 asks for one answer {self.samples} times; set a temperature, such as 0.7"
            )
        return self


class _Student(_Section):
    ladder: tuple[str, ...] | None = (
        None  # cheapest first, e.g. ["linear", "encoder:minilm"]; None: chosen from the output
    )
    recipe: Literal["sft", "step_by_step"] = "sft"
    bases: dict[str, str] = Field(default_factory=dict)  # short name -> hub id or folder, usable in the ladder
    soft_targets: bool = (
        False  # learn the teacher's probabilities of the labels where a row has them, not its label alone
    )
    learn_from: Literal["auto", "gold", "teacher"] = (
        "auto"  # auto: gold where every training row has it, else the teacher
    )
    pattern: str | None = (
        None  # of `prompted:BASE`: text with {mask} where the answer's word stands, and {input}, {instruction} or the input's fields
    )
    verbalizer: dict[str, str] | Literal["null"] | None = (
        None  # its word for each label; None: the label itself; "null": words that mean nothing here
    )
    epochs: float | None = Field(default=None, gt=0)
    learning_rate: float | None = Field(default=None, gt=0)
    min_steps: int | None = Field(default=None, gt=0)  # train at least so many steps, however few rows there are
    max_tokens: int | None = Field(default=None, gt=0)


class _Gate(_Section):
    margin: float = Field(default=0.02, gt=0, lt=1)  # how much worse than the teacher a student may be
    level: float = Field(default=0.95, gt=0.5, lt=1)  # one-sided confidence
    judge: str | None = None  # with metric = "win_rate": the model that says which of two answers is better
    judgements: str = "judgements.jsonl"  # with metric = "win_rate": what people chose (`stillhouse compare` writes it); outranks the judge
    harm: float = Field(
        default=0.02, gt=0, lt=1
    )  # a cascade's budget: share of all rows kept by the student and wrong where the teacher is right


class _Money(_Section):
    """What no measurement tells. A date or a whole number of machines needs `calls_per_day`; without it costs are per call, a machine's by the second."""

    calls_per_day: float | None = Field(default=None, gt=0)  # that the app makes
    horizon_days: int = Field(
        default=365, gt=0
    )  # what was spent once is spread over the calls of so many days where one answer is weighed against another
    right_answer_usd: float | None = Field(default=None, ge=0)  # what one more correct answer is worth to you
    machine_usd_per_hour: float | None = Field(
        default=None, ge=0
    )  # of the machine that serves a student; None: not known, and so is its saving
    utilisation: float = Field(default=0.25, gt=0, le=1)  # share of the paid hours in which that machine answers calls
    training_usd_per_hour: float | None = Field(
        default=None, ge=0
    )  # of the machine that trains; None: it is the one that serves
    label_usd: float | None = Field(
        default=None, ge=0
    )  # what one gold label costs to make; None: they were there already
    tries: int = Field(default=1, gt=0)  # settings that are tried to get one student, each with every seed
    seeds: int = Field(default=1, gt=0)
    retrain_days: int | None = Field(default=None, gt=0)  # how often a student is trained again; None: never
    retrain_labels: float = Field(default=1.0, ge=0, le=1)  # share of the labels that is bought anew for it
    retries: float = Field(
        default=0.0, ge=0
    )  # calls of the prompt that are paid for again, per call: timeouts, answers that cannot be used
    batch: bool = False  # the app's calls can wait: the table's price for batches
    batch_discount: float | None = Field(
        default=None, ge=0, lt=1
    )  # the share that is taken off for it, where no table knows
    prompt_retires: date | None = None  # the day on which the prompt's model is switched off
    hosted_model: str | None = None  # a hosted finetune to compare costs with, as it will be called: "openai:ft:BASE"
    hosted_train_usd_per_m: float | None = Field(default=None, ge=0)  # US$ per million tokens trained on
    hosted_epochs: int = Field(default=3, gt=0)
    hosted_usd_per_hour: float | None = Field(
        default=None, ge=0
    )  # what keeping it there costs besides; None: nothing, it is paid by the token alone
    hosted_retires: date | None = None  # its base is switched off: from then on it is to be trained again


class _File(_Section):
    task: _Task
    data: _Data = _Data()
    teacher: _Teacher = _Teacher()
    student: _Student = _Student()
    gate: _Gate = _Gate()
    money: _Money = _Money()


@dataclass(frozen=True, slots=True)
class Task:
    """A task file as values. `folder` is where its relative paths start."""

    name: str
    instruction: str
    output: Output
    labels: tuple[str, ...] | None = None
    metric: MetricName = "accuracy"
    database: Path | None = None
    schema: Mapping[str, Any] | None = None  # that JSON answers must fit
    data: _Data = field(default_factory=_Data)
    teacher: _Teacher = field(default_factory=_Teacher)
    student: _Student = field(default_factory=_Student)
    gate: _Gate = field(default_factory=_Gate)
    money: _Money = field(default_factory=_Money)
    folder: Path = Path()
    path: Path | None = None

    def resolve(self, relative: str) -> Path:
        return (self.folder / Path(relative).expanduser()).resolve()

    @property
    def ladder(self) -> tuple[str, ...]:
        """The students to try, cheapest first, with short base names replaced by what `bases` says."""
        names = self.student.ladder or (("linear",) if self.output == "choice" else ("generative:scratch:small",))
        return tuple(_with_base(name, self.student.bases) for name in names)

    def with_teacher(self, **changes: Any) -> "Task":
        return replace(self, teacher=self.teacher.model_copy(update=changes))


def _with_base(spec: str, bases: dict[str, str]) -> str:
    family, colon, base = spec.partition(":")
    return f"{family}:{bases[base]}" if colon and base in bases else spec


def load_task(path: str | Path) -> Task:
    """Read `task.toml`, or the `task.toml` in a folder. Raises TaskFileError naming the file, the key and what is allowed."""
    path = Path(path)
    if path.is_dir():
        path = path / "task.toml"
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TaskFileError(f"{path}: no such task file; `stillhouse new NAME` writes one") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TaskFileError(f"{path}: not valid TOML ({error}); mend that line") from None
    try:
        parsed = _File.model_validate(raw)
    except ValidationError as error:
        raise TaskFileError(f"{path}: {_first_problem(error)}") from None
    folder = path.parent.resolve()
    task = parsed.task
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
    import jsonschema  # a tenth of a second to load: only tasks with a schema pay for it

    try:
        schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
    except FileNotFoundError:
        raise TaskFileError(f"{path}: no such file; mend `json_schema` in [task]") from None
    except (ValueError, jsonschema.SchemaError) as error:
        raise TaskFileError(f"{path}: not a JSON schema ({str(error).splitlines()[0]}); mend it") from None
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


def teacher_name(task: Task, given: str | None) -> str:
    """The teacher asked for on the command line, else the task's. Raises UserError where neither names one."""
    name = given or task.teacher.model
    if name is None:
        raise UserError(f"{task.path or task.name}: no teacher is named; set `model` in [teacher], or give --teacher")
    return name


def default_store(task: Task) -> Path:
    return task.folder / "stillhouse.db"
