"""What the rules of the verdict look at: a prompt, students, and a cascade, each with its numbers and its money."""

from dataclasses import dataclass
from datetime import date

from stillhouse.advice.reach import Climb
from stillhouse.records import Estimate, Source
from stillhouse.results.gates import GateAnswer
from stillhouse.results.money import NetBenefit


@dataclass(frozen=True, kw_only=True)
class MoneyEvidence:
    """An arm's money against a prompt's, in US dollars; None: not known.

    `worth_usd`: what one more right answer must be worth for the choice to flip.
    """

    usd_per_call: float | None = None
    prompt_usd_per_call: float | None = None
    fixed_usd: float | None = None
    break_even_calls: float | None = None
    break_even_day: date | None = None
    never_breaks_even: bool = False  # it is known that it does not; without this, no `break_even_calls` is not known
    worth_usd: float | None = None
    worth_low: float | None = None  # lower end of the interval of `worth_usd`; None: the interval is open there
    worth_high: float | None = None
    net: NetBenefit | None = None  # what the arm saves and brings over the horizon
    pays_below: str | None = None  # the bound on a price that is not known, as a sentence
    against: str = "the prompt"
    unit: str = "right answer"  # what `worth_usd` is the worth of


@dataclass(frozen=True)
class PromptEvidence:
    """A prompt, or a prompt with examples.

    With examples only: `gain`, its score minus the plain prompt's, and whether the test shows that they `help`.
    """

    name: str
    score: Estimate
    gain: Estimate | None = None
    helps: bool = False
    money: MoneyEvidence = MoneyEvidence()
    retirement: str | None = None  # that its model is switched off, and when
    yardstick: bool = False  # there is no gold, and scores are agreement with its own answers


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """What the gate, and the money, said of a student against one prompt.

    `better`: the test shows that it is. `pays_off` None: not known.
    """

    against: str
    gate: GateAnswer
    gate_sentence: str
    difference: Estimate
    better: bool
    rows_needed: int | None
    pays_off: bool | None = None
    money: MoneyEvidence = MoneyEvidence()
    failing_classes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudentEvidence:
    """A student against the plain prompt. `better`: the test shows that it is. `pays_off` None: not known.

    `climb`: the end of its learning curve; None: it has none. `label_usd`: what one more label of its kind costs; None:
    not known. `against_few_shot`: gate and money against the prompt with examples; None: not compared.
    `failing_classes`: those in which it is shown to be worse.
    """

    name: str
    learns_from: Source
    score: Estimate
    gate: GateAnswer
    gate_sentence: str
    difference: Estimate
    better: bool
    margin: float
    rows_needed: int | None
    n_train: int
    pays_off: bool | None = None
    climb: Climb | None = None
    label_usd: float | None = None
    money: MoneyEvidence = MoneyEvidence()
    against_few_shot: Contrast | None = None
    failing_classes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CascadeEvidence:
    """A cascade of `student` before a prompt, the plain one where `against` is None.

    `refused` says why there is no threshold. `difference`: cascade minus that prompt on the test rows. `harm_seen`: the
    share of test rows kept and wrong where that prompt is right, with a one-sided lower bound.
    """

    name: str
    student: str
    share_kept: Estimate | None
    score: Estimate | None
    budget: float
    level: float
    gate: GateAnswer | None = None
    better: bool = False  # the test shows that it is
    refused: str | None = None
    rows_missing: int | None = None
    difference: Estimate | None = None
    harm_seen: Estimate | None = None
    pays_off: bool | None = None
    money: MoneyEvidence = MoneyEvidence()
    against: str | None = None
    yardstick: bool = False  # there is no gold, and scores are agreement with that prompt
    failing_classes: tuple[str, ...] = ()  # those in which it is shown to be worse

    @property
    def promise_broken(self) -> bool:
        """The test rows show a harm above the budget, and they had no say in the threshold.

        Then they are not like the calibration rows, or the teacher has changed.
        """
        return self.harm_seen is not None and (self.harm_seen.low or 0) > self.budget
