"""Few-shot arms of `advise`: the prompt with k = 1, 2, 4, ... training rows as worked examples, on the same test rows.

Each k has three draws of examples. k doubles as far as the model's context window, the cap in dollars and `max_shots`
allow, and a sentence says what stopped it. Every reply goes through the store, and every finished arm into a folder of
its own, so a run that is killed pays again for nothing but the calls in flight. The folder's `examples.jsonl` can be
named as `examples` in [teacher].
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stillhouse.consent import Bulk, Quote
from stillhouse.data.splits import Splits
from stillhouse.errors import BudgetError
from stillhouse.evaluation.harness import score_row
from stillhouse.experiment.arms import kept_arm, slug
from stillhouse.experiment.material import Material, TeacherAnswers
from stillhouse.llm.context import TokenCounter, context_window, measured, with_tokenizer
from stillhouse.llm.ledger import BYTES_A_TOKEN, Ledger
from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.models import later_calls, open_model
from stillhouse.llm.pilot import N_PILOT
from stillhouse.llm.prompted import Answered, PromptedPredictor, build_messages
from stillhouse.llm.purse import spent_since
from stillhouse.llm.worked import worked_examples
from stillhouse.numbers import usd_as_given
from stillhouse.records import Estimate, Example, Progress, Source
from stillhouse.results.measured_arm import FewShotArms, MeasuredArm, ShownExamples, write_arm
from stillhouse.runs import write_atomic
from stillhouse.session import Session
from stillhouse.store import open_store
from stillhouse.task import Task

DRAWS = 3
UNASKED = 32  # the most examples that are tried where neither a cap in dollars nor `max_shots` says how far to go
ROUNDS = 3  # how often a call that was not answered is made, before it counts as wrong
# The largest share of an arm's calls that may have no answer. They count as wrong, so they can make the arm look worse
# by this share at most, which is the default margin of the gate, and never better.
MOST_MISSING = 0.02
NOT_ANOTHER_PROMPT = (
    "no prompt with examples was measured: recorded answers were given to one prompt and cannot answer another; "
    "name a live model in [teacher]"
)


@dataclass(frozen=True)
class Limit:
    """How many examples fit, and the sentence that says so. `most` None: nothing is known that bounds them."""

    most: int | None
    sentence: str


def pool_of(material: Material) -> tuple[list[Example], Source]:
    """(the training rows that can be shown as examples, whose labels they carry: gold where any row has it).

    A teacher that is asked for rationales needs them in its examples too. Then only rows with a rationale can be shown,
    and its reasoning must end at the label that is shown.
    """
    rows = material.splits.train
    source: Source = "gold" if any(row.label is not None for row in rows) else "teacher"
    pool = [row for row in rows if row.target(source) is not None]
    if material.task.teacher.rationales:
        pool = [row for row in pool if _has_rationale(row, source)]
    return pool, source


def _has_rationale(row: Example, source: Source) -> bool:
    """A rationale for the label that is shown: it came with the row, or is the teacher's and ends at that label."""
    if isinstance(row.extra.get("rationale"), str):
        return True
    return bool(row.teacher_rationale) and row.teacher_label == row.target(source)


def draw(pool: Sequence[Example], source: Source, seed: int, *, classes: bool) -> list[Example]:
    """The pool in the order in which it enters the prompt.

    k examples are the first k, so that all prompts of one draw begin alike: providers cache that. With classes, these
    take turns (each class in random order), so that few examples show as many of them as they can.
    """
    generator = np.random.default_rng(seed)
    order = [pool[index] for index in generator.permutation(len(pool))]
    if not classes:
        return order
    turns: dict[str | None, int] = defaultdict(int)
    first_seen: dict[str | None, int] = {}
    keyed = []
    for row in order:
        label = row.target(source)
        keyed.append((turns[label], first_seen.setdefault(label, len(first_seen)), row))
        turns[label] += 1
    return [row for _, _, row in sorted(keyed, key=lambda entry: entry[:2])]


def calls_to_come(name: str | None, task: Task, splits: Splits) -> Bulk | None:
    """What `measure` will ask at most: every size that there are examples for, each draw, on the test rows."""
    settings, pool = task.teacher, [*splits.train, *splits.unlabelled]
    if name is None or settings.max_shots == 0 or not pool:
        return None
    row_bytes = math.fsum(len(row.text.encode()) for row in (*pool, *splits.test)) / (len(pool) + len(splits.test))
    most = len(pool)
    if settings.max_shots is not None:
        most = min(most, settings.max_shots)
    elif settings.max_usd is None:
        most = min(most, UNASKED)
    window = settings.context_tokens or context_window(name)
    if window is not None:
        most = min(most, round(window * BYTES_A_TOKEN / max(1.0, row_bytes)))
    sizes = [2**power for power in range(most.bit_length())]
    n = len(sizes) * DRAWS * len(splits.test) * settings.samples
    a_prompt, mean_k = len(task.instruction.encode()) + row_bytes, sum(sizes) / max(1, len(sizes))
    return later_calls(name, settings, n, lambda answer: a_prompt + mean_k * (row_bytes + answer))


def check_tokenizer(task: Task) -> None:
    """Read the tokenizer that will count the prompts' tokens, before anything is paid for. Raises as it does."""
    if task.teacher.tokenizer is not None and task.teacher.max_shots != 0:
        with_tokenizer(task.resolve(task.teacher.tokenizer))


async def measure(material: Material, folder: Path, session: Session) -> FewShotArms:
    """Every few-shot arm that the model, the data, the cap and the user allow.

    Raises TeacherError as `prepare` does; what was answered is stored.
    """
    teacher, settings = material.teacher, material.task.teacher
    if teacher is None or settings.max_shots == 0:
        return FewShotArms()
    if teacher.report is None or teacher.name.startswith("recorded:"):
        return FewShotArms(notes=(NOT_ANOTHER_PROMPT,))
    pool, source = pool_of(material)
    if not pool:
        lacking = "label"
        if settings.rationales:
            lacking = "rationale whose answer is the row's label, which the teacher is asked for too"
        return FewShotArms(notes=(f"no prompt with examples was measured: no training row has a {lacking}",))
    ledger = material.purse.ledger
    paying = material.purse.paying_for("prompts with examples", free=teacher.stand_in)
    with open_store(session.store_in(material.task.folder)) as store, paying:
        model = open_model(teacher.name, settings, store, ledger)
        measuring = _Measuring(
            material=material,
            teacher=teacher,
            pool=pool,
            source=source,
            folder=folder,
            model=model,
            ledger=ledger,
            session=session,
        )
        try:
            return await measuring.all()
        finally:
            await model.close()


class _Stop(Exception):
    """Why there is no larger k, as a sentence."""


@dataclass(kw_only=True)
class _Measuring:
    """One sitting: k after k, draw after draw."""

    material: Material
    teacher: TeacherAnswers
    pool: list[Example]
    source: Source
    folder: Path
    model: MeteredModel
    ledger: Ledger
    session: Session

    def __post_init__(self) -> None:
        task = self.material.task
        self.own = worked_examples(task)
        classes, test = self.material.labels is not None, self.material.splits.test
        self.draws = [draw(self.pool, self.source, seed, classes=classes) for seed in range(DRAWS)]
        prompts = [build_messages(task, row, self.own, rationales=task.teacher.rationales) for row in test]
        usages = [answer.usage for answer in self.teacher.on(test)]
        self.longest = max(prompts, key=lambda messages: sum(len(message["content"]) for message in messages))
        named = task.teacher.tokenizer
        self.counter = with_tokenizer(task.resolve(named)) if named is not None else measured(prompts, usages)
        self.output_tokens = [
            usage.output_tokens for usage in usages if usage is not None and usage.output_tokens is not None
        ]

    async def all(self) -> FewShotArms:
        before = self.ledger.spent_usd
        limit = self.limit()
        sizes, notes = self._sizes(limit)
        arms: list[MeasuredArm] = []
        agreed = False
        for number, k in enumerate(sizes):
            try:
                if not agreed:
                    agreed = self._agree(sizes)
                arms += await self._all_draws(k, number, len(sizes))
            except (_Stop, BudgetError) as stop:
                notes.append(self._stopped(k, stop))
                break
        notes += [_unanswered(arm) for arm in arms if arm.examples is not None and arm.examples.unanswered]
        notes += [said for arm in arms if (said := _doubtful(arm)) is not None]
        if spent := spent_since(before, self.ledger):
            notes.append(self._spent(spent))
        whose = "gold" if self.source == "gold" else "the teacher's own"
        drawn = f"examples are training rows with {whose} labels, drawn {DRAWS} times (seeds 0 to {DRAWS - 1})"
        notes.insert(0, f"{drawn}; the table shows the first draw")
        return FewShotArms(tuple(arms), tuple(notes))

    def _spent(self, usd: float) -> str:
        if self.teacher.stand_in:
            return f"the prompts with examples cost nothing: a stand-in answered; at a model's price ${usd:,.4f}"
        return f"the prompts with examples cost ${usd:,.4f} in this run"

    def limit(self) -> Limit:
        """The most examples that fit with the longest test row and the worst draw, with room left for the answer."""
        settings, n = self.material.task.teacher, len(self.pool)
        window = settings.context_tokens or context_window(self.model.priced_as)
        if window is None:
            unknown = f"how much {self.model.name} reads at once is not known"
            return Limit(None, f"{unknown}; set context_tokens in [teacher] to have examples kept within it")
        if self.counter is None:
            unknown = f"how many examples fit into the {window:,} tokens of {self.model.priced_as} is not known"
            return Limit(None, f"no call told its tokens, so {unknown}; name the model's tokenizer in [teacher]")
        room = window * self.counter.usable - settings.max_tokens - self.counter.of(self.longest)
        most = min(self._fitting(order, self.counter, room) for order in self.draws)
        how_many = f"at most {most:,} of your {n:,} examples fit" if most else "no example fits"
        if most == n:
            how_many = f"all {n:,} of your examples fit"
        return Limit(most, f"{how_many} into the {window:,} tokens of {self.model.priced_as} ({self.counter.how})")

    def _fitting(self, order: Sequence[Example], counter: TokenCounter, room: float) -> int:
        for number, shot in enumerate(order):
            room -= counter.of(self._turns(shot))
            if room < 0:
                return number
        return len(order)

    def _turns(self, shot: Example) -> Sequence[dict[str, str]]:
        """The two messages that an example adds."""
        task = self.material.task
        return build_messages(task, shot, [shot], rationales=task.teacher.rationales)[1:3]

    def _sizes(self, limit: Limit) -> tuple[list[int], list[str]]:
        settings = self.material.task.teacher
        most = min(len(self.pool), limit.most if limit.most is not None else len(self.pool))
        notes = [limit.sentence]
        if settings.max_shots is not None:
            most = min(most, settings.max_shots)
        elif settings.max_usd is None and most > UNASKED:
            notes.append(
                f"more than {UNASKED} examples were not tried: "
                "set max_shots in [teacher], or a cap with max_usd, to go on"
            )
            most = UNASKED
        return [2**power for power in range(most.bit_length())], notes

    async def _all_draws(self, k: int, number: int, n_sizes: int) -> list[MeasuredArm]:
        missing = self._missing(k)
        self._refuse_dear(k, missing)
        for seed in missing:
            await self._measure(k, seed, self._folder(k, seed), number * DRAWS + seed, n_sizes * DRAWS)
        test = self.material.splits.test
        return [kept_arm(self._folder(k, seed), test, (), {}) for seed in range(DRAWS)]

    def _agree(self, sizes: Sequence[int]) -> bool:
        """Ask the user for all of them at once, with what they should cost after the calls made so far.

        Raises what `consent` raises for no.
        """
        consent = self.session.asks
        if consent is None or not self.model.bills:
            return True
        n, cost_usd = 0, 0.0
        for k in sizes:
            for seed in self._missing(k):
                pending, costs = self._unpaid(k, seed)
                n, cost_usd = n + pending, cost_usd + (costs or 0.0)
        if n > N_PILOT:
            quote = Quote(n, f"{self.model.name} with examples in the prompt", price_snapshot=self.model.price_snapshot)
            consent.before(quote)
            told = self.counter is not None and self.output_tokens and quote.price_snapshot is not None
            consent.after(replace(quote, cost_usd=Estimate(cost_usd, len(self.output_tokens))) if told else quote)
        return True

    def _missing(self, k: int) -> list[int]:
        return [seed for seed in range(DRAWS) if not (self._folder(k, seed) / "arm.json").exists()]

    def _folder(self, k: int, seed: int) -> Path:
        return self.folder / "arms" / f"{slug(shots_name(k))}-{seed}"

    def _unpaid(self, k: int, seed: int) -> tuple[int, float | None]:
        """(calls of this draw that the store has no answer to, what they should cost; None: tokens are not known)."""
        predictor = self._predictor(k, seed)
        requests = [request for row in self.material.splits.test for request in predictor.requests(row)]
        pending = [request for request in requests if not self.model.has(request)]
        if self.counter is None or not self.output_tokens:
            return len(pending), None
        replies, cost_usd = sum(self.output_tokens) / len(self.output_tokens), 0.0
        for request in pending:
            n_input = round(self.counter.of(request.messages))
            if (price := self.model.price_of(n_input)) is not None:
                cost_usd += (n_input * price.input_usd_per_m + replies * price.output_usd_per_m) / 1e6
        return len(pending), cost_usd

    def _refuse_dear(self, k: int, seeds: Sequence[int]) -> None:
        """Begin a k only where the cap should hold for all of its draws: half of them would be money for nothing."""
        if self.ledger.max_usd is None:
            return
        cost_usd = sum(self._unpaid(k, seed)[1] or 0.0 for seed in seeds)
        left = max(0.0, self.ledger.max_usd - (self.ledger.spent_usd or 0.0))
        if cost_usd > left:
            cap = f"${left:,.4f} of the cap of {usd_as_given(self.ledger.max_usd)} are left"
            raise _Stop(f"they would cost about ${cost_usd:,.4f}, and {cap}")

    def _predictor(self, k: int, seed: int) -> PromptedPredictor:
        return PromptedPredictor(self.model, self.material.task, [*self.own, *self._shots(k, seed)])

    def _shots(self, k: int, seed: int) -> list[Example]:
        """The first k of the draw, each with the pool's label alone, and no reasoning that ends at another label."""
        chosen = [row if self.source == "gold" else replace(row, label=None) for row in self.draws[seed][:k]]
        return [
            row if row.teacher_label == row.target(self.source) else replace(row, teacher_rationale=None)
            for row in chosen
        ]

    async def _measure(self, k: int, seed: int, out: Path, number: int, n_arms: int) -> None:
        material, test = self.material, self.material.splits.test

        def tick(progress: Progress) -> None:
            done, total = number * len(test) + progress.done, n_arms * len(test)
            note = f"{k} example{'s' if k > 1 else ''}, draw {seed + 1} of {DRAWS}"
            what = "asking with examples in the prompt"
            self.session.report(done, total, what, self.ledger.spent_usd, unit="calls", note=note)

        replies = await self._answers(k, seed, tick)
        missing = self._missing_of(replies)
        if len(missing) > MOST_MISSING * len(test):  # so many wrong answers would be a wrong number
            silent = f"{len(missing)} of {len(test)} calls were not answered"
            raise _Stop(f"{silent}, though the prompt without examples was ({_why(replies[missing[0]])})")
        predictions = [prediction for prediction, _, _ in replies]
        if missing:
            costs = [prediction.cost_usd for index, prediction in enumerate(predictions) if index not in set(missing)]
            dearest = None if None in costs else max(cost for cost in costs if cost is not None)
            for index in missing:
                predictions[index] = replace(predictions[index], cost_usd=dearest)
        answered = zip(test, predictions, strict=True)
        shots = self._shots(k, seed)
        arm = MeasuredArm(
            name=shots_name(k),
            kind="few-shot",
            test=[score_row(row, answer, material.metric, material.scored_against) for row, answer in answered],
            stand_in=self.teacher.stand_in,
            model=self.teacher.name,
            examples=ShownExamples(k, seed, len(self.own) + k, tuple(row.id for row in shots), len(missing)),
        )
        write_atomic(out / "examples.jsonl", _as_worked_examples([*self.own, *shots]))
        write_arm(out, arm)

    async def _answers(self, k: int, seed: int, tick: Callable[[Progress], None]) -> list[Answered]:
        """The replies to all test rows. Calls that were not answered are made again; the others are in the store."""
        test, predictor = self.material.splits.test, self._predictor(k, seed)
        replies = await predictor.replies(test, tick)
        for _ in range(ROUNDS - 1):
            # A refusal by its status is an answer of the endpoint, and stays one.
            again = [index for index in self._missing_of(replies) if replies[index][2].status is None]
            if not again:
                break
            for index, answer in zip(again, await predictor.replies([test[index] for index in again]), strict=True):
                replies[index] = answer
        return replies

    def _missing_of(self, replies: Sequence[Answered]) -> list[int]:
        """The calls that brought nothing, though the prompt without examples was answered."""
        plain = self.teacher.on(self.material.splits.test)
        return [
            index
            for index, ((_, _, completion), before) in enumerate(zip(replies, plain, strict=True))
            if completion.text is None and completion.usage is None and before.output is not None
        ]

    def _stopped(self, k: int, reason: Exception) -> str:
        wanted = "an example" if k == 1 else f"{k:,} or more examples"
        return f"prompts with {wanted} are not in the numbers: {reason}"


def _why(answered: Answered) -> str:
    return answered[2].error or "no reply"


def _unanswered(arm: MeasuredArm) -> str:
    assert arm.examples is not None
    why = next((row.error for row in arm.test if row.output is None and row.error), "no reply")
    gap = f"{arm.examples.unanswered} of {len(arm.test)} calls had no answer in {ROUNDS} rounds ({why})"
    return (
        f"{arm.name}, draw {arm.examples.seed + 1}: {gap}; they count as wrong, "
        "each at the price of the arm's dearest call"
    )


def _doubtful(arm: MeasuredArm) -> str | None:
    """What to say of an arm with answers whose token counts do not add up; None: they all do."""
    counts = Counter(row.usage_doubt for row in arm.test if row.usage_doubt is not None)
    if not counts:
        return None
    draw = "" if arm.examples is None else f", draw {arm.examples.seed + 1}"
    return (
        f"{arm.name}{draw}: {counts.total()} of {len(arm.test)} answers have token counts that do not add up, "
        f"priced by their dearest reading ({counts.most_common(1)[0][0]})"
    )


def shots_name(k: int) -> str:
    return f"prompt + {k} example{'s' if k > 1 else ''}"


def _as_worked_examples(shots: Sequence[Example]) -> str:
    """Training rows as `[teacher] examples` would read them."""
    lines = []
    for shot in shots:
        label = shot.label if shot.label is not None else shot.teacher_label
        reasons = shot.teacher_rationale or shot.extra.get("rationale")
        row = {
            "input": shot.input,
            "label": label,
            "rationale": reasons,
            "choices": list(shot.choices) if shot.choices else None,
        }
        lines.append(json.dumps({name: value for name, value in row.items() if value is not None}, ensure_ascii=False))
    return "\n".join(lines) + "\n"
