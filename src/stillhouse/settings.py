"""The sections of a task file as values: every setting with its default, and what the defaults stand for.

An unknown key is an error: a typo that silently changes nothing is the most expensive kind. `task` reads the file.
"""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from stillhouse.addresses import holds_secrets
from stillhouse.column_map import ColumnMap, map_problem, template_problem

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Section(BaseModel):
    """One section of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataSettings(Section):
    """`[data]`: the files of rows, and how they are split."""

    train: str = "examples.jsonl"
    validation: str | None = None
    calibration: str | None = None
    test: str | None = None
    unlabelled: str | None = None
    # Further test files. Each file has a line of its own in the report; the verdict does not look at it.
    also_test: tuple[str, ...] = ()
    # Shares of `train` that are split off as validation, calibration and test rows where no file is named for them.
    split: tuple[float, float, float] = (0.1, 0.15, 0.2)
    seed: int = 0
    # What rows of one input are. "traffic": draws, each of which weighs. "files": copies, counted once. None: it is not
    # known, so what passes has to pass both ways.
    copies: Literal["traffic", "files"] | None = None
    # Most rows of one group among the rows that measure; of a larger group that many are drawn at random. None: what
    # leaves 95 % of the training rows' groups whole, a row without a group being one (20 where there are few rows).
    group_cap: int | None = Field(default=None, gt=0)
    # Whether rows that a model generated may be calibration and test rows as well. They are learned from either way.
    measure_generated: bool = False
    # The licence of the rows as a Hugging Face identifier such as "cc-by-4.0". It goes into the data card.
    licence: str | None = None
    # Field of a row -> the file's column, or several for `input` and `choices`; "": no column. For files whose names
    # are not ours: {input = "text", label = "category"}.
    map: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    # What stands around each input, where a file holds whole prompts: "Sort this post.\n\n{input}\nGroup:".
    template: str | None = None
    encoding: str | None = None  # of the text files, where their bytes do not tell it, such as "cp1252"
    # What parts the cells of .csv and .tsv files. None: read off their first lines.
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)

    @field_validator("map")
    @classmethod
    def _of_fields(cls, columns: ColumnMap) -> ColumnMap:
        if (problem := map_problem(columns)) is not None:
            raise ValueError(problem)
        return columns

    @field_validator("template")
    @classmethod
    def _with_its_slot(cls, template: str | None) -> str | None:
        if template is not None and (problem := template_problem(template)) is not None:
            raise ValueError(problem)
        return template

    @model_validator(mode="after")
    def _shares(self) -> "DataSettings":
        if any(share < 0 for share in self.split) or sum(self.split) >= 1:
            raise ValueError(
                f"split = {list(self.split)} must be three shares >= 0 (validation, calibration, test) "
                "that leave rows to train on"
            )
        return self


def _no_secret(name: str | None) -> str | None:
    if name is not None and holds_secrets(name):
        raise ValueError("a model's address holds no password and no key; keys are read from STILLHOUSE_API_KEY")
    return name


ModelName = Annotated[str | None, AfterValidator(_no_secret)]


class ModelSettings(Section):
    """How one model is asked, what it costs and how far it may be used, whatever it is asked."""

    model: ModelName = None
    max_usd: float | None = Field(default=None, gt=0)
    # Texts where a reply ends. They are sent along, and a reply is also cut there on arrival: some models run on.
    stop: tuple[str, ...] = ()
    # "default": no temperature is sent, for models that refuse any.
    temperature: Annotated[float, Field(ge=0)] | Literal["default"] = 0.0
    # Most tokens of a reply. A model that reasons first takes its reasoning out of these tokens too.
    max_tokens: int = Field(default=512, gt=0)
    reasoning_effort: Effort | None = None  # None: the model's own default
    # US$ per million input tokens, where the price tables do not know the model.
    price_in: float | None = Field(default=None, ge=0)
    price_out: float | None = Field(default=None, ge=0)
    # Price of input that the provider had in its cache. None: the same as for other input.
    price_cached: float | None = Field(default=None, ge=0)
    price_written: float | None = Field(default=None, ge=0)  # price of input that the provider puts into its cache
    # Of several models, each model's own price: NAME = [in, out], US$ per million tokens. It goes before the others.
    prices: dict[str, tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]] = Field(default_factory=dict)
    # Most calls under way at once. None: 32 at first, and more as long as no answer takes longer for it.
    concurrency: int | None = Field(default=None, gt=0)
    # The endpoint's limits per minute. None: learned from its headers and its refusals.
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)  # input and output together
    input_tokens_per_minute: float | None = Field(default=None, gt=0)
    output_tokens_per_minute: float | None = Field(default=None, gt=0)
    # Tokens that the model reads and writes in one call, for a model that the tables do not know.
    context_tokens: int | None = Field(default=None, gt=0)
    # The model's tokenizer.json, or a folder with it. None: token counts are estimated from the calls made.
    tokenizer: str | None = None
    # The licence of what the model writes, as a Hugging Face identifier such as "apache-2.0".
    licence: str | None = None


class TeacherSettings(ModelSettings):
    """`[teacher]`: the model that labels, and what it is asked for beside the label."""

    rationales: bool = False
    # JSONL of worked examples that go into the prompt: few-shot, and with `rationale` chain of thought.
    examples: str | None = None
    answer_pattern: str | None = None  # regular expression with one group, the answer, for replies with a rationale
    # Most training rows that `advise` puts into the prompt as examples. 0: no rows.
    max_shots: int | None = Field(default=None, ge=0)
    samples: int = Field(default=1, gt=0)  # self-consistency: number of answers asked for, which then vote
    soft_targets: bool = False  # ask for log-probabilities, and keep the labels' probabilities per row
    structured: bool = False  # ask for JSON by schema where the endpoint can, and in words where it cannot

    @model_validator(mode="after")
    def _sampled(self) -> "TeacherSettings":
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"samples = {self.samples} at temperature = 0 asks for one answer {self.samples} times; "
                "set a temperature, such as 0.7"
            )
        return self


class StudentSettings(Section):
    """`[student]`: which students are tried, and how they learn."""

    # Students to train, cheapest first, e.g. ["linear", "encoder:minilm"]. None: chosen from the output.
    ladder: tuple[str, ...] | None = None
    recipe: Literal["sft", "step_by_step"] = "sft"
    bases: dict[str, str] = Field(default_factory=dict)  # short name -> hub id or folder, usable in the ladder
    # Whether students learn the teacher's probabilities of the labels where a row has them, not the label alone.
    soft_targets: bool = False
    # "auto": gold labels, from the rows that have one; the teacher's where no row has. "mixed": gold labels, and the
    # teacher's on the rows without.
    learn_from: Literal["auto", "gold", "teacher", "mixed"] = "auto"
    # The pattern of `prompted:BASE`: text with {mask} where the answer's word stands, and {input}, {instruction} or the
    # input's fields.
    pattern: str | None = None
    # The word of `prompted:BASE` for each label. None: the label itself; "null": words that mean nothing here.
    verbalizer: dict[str, str] | Literal["null"] | None = None
    epochs: float | None = Field(default=None, gt=0)
    learning_rate: float | None = Field(default=None, gt=0)
    min_steps: int | None = Field(default=None, gt=0)  # fewest training steps, however few rows there are
    max_tokens: int | None = Field(default=None, gt=0)
    # Whether a training stops where no validation row was answered right by the half of it. False goes on, from the
    # checkpoint of the training that stopped.
    give_up: bool = True

    def facts(self, *without: str) -> dict[str, Any]:
        """The settings as JSON has them, for what plans and runs are known by; without `give_up` unless it is set."""
        return self.model_dump(mode="json", exclude={*without, *(["give_up"] if self.give_up else [])})


class GateSettings(Section):
    """`[gate]`: what a student must show before it may replace the prompt."""

    margin: float = Field(default=0.02, gt=0, lt=1)  # how much worse than the teacher a student may be
    level: float = Field(default=0.95, gt=0.5, lt=1)  # confidence level of one-sided bounds
    # Which classes of a choice task must pass on their own: all of them, none, or those with enough rows to be shown as
    # good, the others together.
    classes: Literal["all", "pooled", "none"] = "pooled"
    class_margin: float | None = Field(default=None, gt=0, lt=1)  # the margin within a class; None: `margin`
    judge: ModelName = None  # with metric = "win_rate": the model that says which of two answers is better
    # File of what people chose, with metric = "win_rate" (`stillhouse compare` writes it). It outranks the judge.
    judgements: str = "judgements.jsonl"
    # A cascade's budget: share of all rows kept by the student and wrong where the teacher is right.
    harm: float = Field(default=0.02, gt=0, lt=1)


class MoneySettings(Section):
    """`[money]`: what no measurement tells.

    A date or a whole number of machines needs `calls_per_day`. Without it costs are per call, a machine's by the
    second.
    """

    calls_per_day: float | None = Field(default=None, gt=0)  # calls that the app makes in a day
    # Days within which an arm must have paid off, and over whose calls one-off costs are spread.
    horizon_days: int = Field(default=365, gt=0)
    least_saving_usd: float = Field(default=0.0, ge=0)  # a smaller saving over the horizon is no reason to change
    right_answer_usd: float | None = Field(default=None, ge=0)  # what one more correct answer is worth to you
    # Price of the machine that serves a student. None: not known, and so is the student's saving.
    machine_usd_per_hour: float | None = Field(default=None, ge=0)
    utilisation: float = Field(default=0.25, gt=0, le=1)  # share of the paid hours in which that machine answers calls
    # Price of the machine that trains. None: the serving machine trains, too.
    training_usd_per_hour: float | None = Field(default=None, ge=0)
    # What one gold label costs; None: the labels were there already.
    label_usd: float | None = Field(default=None, ge=0)
    tries: int = Field(default=1, gt=0)  # settings that are tried to get one student, each with every seed
    seeds: int = Field(default=1, gt=0)
    retrain_days: int | None = Field(default=None, gt=0)  # how often a student is trained again; None: never
    # Share of the labels that is bought anew for each new training.
    retrain_labels: float = Field(default=1.0, ge=0, le=1)
    # Calls of the prompt that are paid for again, per call: timeouts, answers that cannot be used.
    retries: float = Field(default=0.0, ge=0)
    batch: bool = False  # whether the app's calls can wait for a batch, and so cost the table's price for batches
    # The discount for batches, as a share of the price, where no table knows it.
    batch_discount: float | None = Field(default=None, ge=0, lt=1)
    prompt_retires: date | None = None  # the day on which the prompt's model is switched off
    # Name of a hosted finetune to compare costs with, as the app would call it: "openai:ft:BASE".
    hosted_model: str | None = None
    # Price of training the hosted finetune, in US$ per million tokens.
    hosted_train_usd_per_m: float | None = Field(default=None, ge=0)
    hosted_epochs: int = Field(default=3, gt=0)
    # Price per hour of keeping the hosted finetune. None: nothing, as only tokens are paid for.
    hosted_usd_per_hour: float | None = Field(default=None, ge=0)
    # The day on which the finetune's base is switched off; from then on it has to be trained again.
    hosted_retires: date | None = None
