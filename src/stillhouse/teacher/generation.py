"""What a generation starts from: what is wanted, who plans the calls, and which rows nothing generated may repeat."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from stillhouse.consent import Consent, Quote, Shown
from stillhouse.data.dataset import label_set
from stillhouse.data.generated import is_generated
from stillhouse.data.splits import Splits
from stillhouse.errors import UserError
from stillhouse.llm.context import context_window, listed_window
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.models import endpoint
from stillhouse.llm.pilot import total_cost
from stillhouse.records import Estimate
from stillhouse.settings import TeacherSettings
from stillhouse.task import Task
from stillhouse.teacher.filters import THRESHOLD, RougeFilter
from stillhouse.teacher.generation_settings import GenerationSettings
from stillhouse.teacher.held_out import HeldOut
from stillhouse.teacher.inputs import NEW, TaskInputs
from stillhouse.teacher.instructions import Exercises, load_seeds
from stillhouse.teacher.lsh import LshFilter
from stillhouse.teacher.rules import switched
from stillhouse.teacher.screen import Screen
from stillhouse.teacher.self_instruct import Planner

# Filters that find near copies. For more than a million rows, "minhash" compares only those that MinHash proposes.
NEAR: dict[str, type[RougeFilter | LshFilter]] = {"rouge-l": RougeFilter, "minhash": LshFilter}


@dataclass(frozen=True)
class Wanted:
    """What to generate and what to refuse."""

    n: int = 100
    ways: tuple[str, ...] = (NEW,)  # ways to make a task's inputs: new ones, and kinds of variants
    balance: bool = False  # whether to make as many inputs for each class
    rules_off: tuple[str, ...] = ()  # Alpaca's rules that are switched off
    near: str = "rouge-l"  # a key of NEAR
    # The F of ROUGE-L from which a row counts as a near copy; None: as in Alpaca's script.
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UserError(f"n = {self.n} asks for no row; give 1 or more")
        if self.near not in NEAR:
            raise UserError(f"{self.near!r} is no measure of nearness; give {' or '.join(NEAR)}")


@dataclass(frozen=True)
class Sources:
    """What is shown to the teacher, and what is known before it is asked."""

    planner: Planner
    screen: Screen
    known: list[tuple[str, str]]  # id and text of the rows that nothing generated may repeat
    made_from: str  # "seeds" or "training rows"
    warnings: list[str]


def from_seeds(seeds: Path | str, held_out: HeldOut, model: str, wanted: Wanted, asking: GenerationSettings) -> Sources:
    """New exercises from seed tasks."""
    if wanted.balance or wanted.ways != (NEW,):
        raise UserError("--balance and --evolve make inputs for a task; leave them out with --seeds")
    tasks, left_out = load_seeds(seeds)
    screen = _screen(wanted, held_out)
    screen.rules = switched(wanted.rules_off)
    known = [(seed.id, seed.instruction) for seed in tasks]
    return _known_to(screen, Sources(Exercises(model, tasks, asking), screen, known, "seeds", left_out))


def from_task(
    task: Task, splits: Splits, held_out: HeldOut, model: str, wanted: Wanted, asking: GenerationSettings
) -> Sources:
    """New inputs for a task, in the style of its rows. Only real rows are shown; generated ones are known."""
    if wanted.rules_off:
        raise UserError(
            "Alpaca's rules judge instructions; a task's inputs are not judged by them, so leave --without out"
        )
    pool = [*splits.train, *splits.unlabelled]
    rows = [row for row in pool if not is_generated(row)]
    if not rows:
        raise UserError(
            f"{task.path or task.name}: all training rows were generated, and none is left to show; add real ones"
        )
    labels = label_set(rows, task) if wanted.balance else ()
    if wanted.balance and task.output != "choice":
        raise UserError(f'--balance needs classes, and the output of {task.name} is "{task.output}"; leave it out')
    planner = TaskInputs(model, task, rows, asking, ways=wanted.ways, labels=labels)
    screen, known = _screen(wanted, held_out), [(row.id, row.text) for row in pool]
    return _known_to(screen, Sources(planner, screen, known, "training rows", [*splits.warnings, *splits.notes]))


def _screen(wanted: Wanted, held_out: HeldOut) -> Screen:
    near = NEAR[wanted.near](THRESHOLD if wanted.threshold is None else wanted.threshold)
    return Screen(rules={}, near=near, near_name=wanted.near, held_out=held_out)


def _known_to(screen: Screen, sources: Sources) -> Sources:
    for id_, text in sources.known:
        screen.know(text, id_)
    return sources


async def with_context(asking: GenerationSettings, model: str, settings: TeacherSettings) -> GenerationSettings:
    """How to ask, with the model's context and effort where only others than the user name them.

    The context is that of the first who knows it: the user, the settings, the table of models, the endpoint's own list.
    """
    if asking.reasoning_effort is None:
        asking = replace(asking, reasoning_effort=settings.reasoning_effort)
    asking = replace(asking, structured=asking.structured or settings.structured)
    if asking.context_tokens is not None:
        return asking
    if settings.context_tokens is not None:
        return replace(asking, context_tokens=settings.context_tokens, context_from="context_tokens in [teacher]")
    if (window := context_window(model)) is not None:
        return replace(asking, context_tokens=window, context_from=f"genai-prices {version('genai-prices')}")
    if model.startswith(("http://", "https://")) and (window := await listed_window(*endpoint(model))) is not None:
        return replace(asking, context_tokens=window, context_from="the endpoint's list of models")
    return asking


@dataclass(frozen=True)
class BulkConsent:
    """The user's consent to calls in bulk, of which the first round is the pilot."""

    model: MeteredModel
    consent: Consent

    def before(self, n_calls: int) -> None:
        self.consent.before(Quote(n_calls, self.model.name, price_snapshot=self.model.price_snapshot))

    def after(self, costs: Sequence[float | None], n_calls: int, cost_usd: Estimate | None = None) -> None:
        known = [cost for cost in costs if cost is not None]
        quote = Quote(n_calls, self.model.name)
        if known and len(known) == len(costs):
            quote = replace(
                quote,
                cost_usd=cost_usd or total_cost(known, n_calls),
                paid_usd=sum(known),
                price_snapshot=self.model.price_snapshot,
                shown=Shown(usd_per_call=sum(known) / len(known)),
            )
        self.consent.after(quote)
