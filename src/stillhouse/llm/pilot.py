"""What asking many rows will cost, before it is paid: one call for each of twenty rows, drawn from those still to ask.

What they cost tells what the others will cost. Where a row takes several samples, every sample counts as a call.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from stillhouse.consent import UNASKED, Consent, OneConsent, Quote, Shown
from stillhouse.errors import TeacherError
from stillhouse.llm.prompted import Answered, PromptedPredictor, new_cost_usd
from stillhouse.records import Estimate, Example, Progress


class Examples(Protocol):
    """Rows whose number is known, that may come from a file one by one."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Example]: ...


N_PILOT = UNASKED  # rows in a pilot, of each one sample
LOOKING = "looking for answers in the store"
_LOOKED_UP = 500  # rows looked up in the store at once


def pending(
    teacher: PromptedPredictor, examples: Iterable[Example], on_progress: Callable[[Progress], None] | None, n: int
) -> Iterator[Example]:
    """The rows that the store has no answer to."""
    part: list[Example] = []
    for index, example in enumerate(examples, start=1):
        part.append(example)
        if len(part) == _LOOKED_UP:
            yield from _unknown(teacher, part)
            part = []
            if on_progress is not None:
                on_progress(Progress(index, n, LOOKING, unit="rows"))
    yield from _unknown(teacher, part)
    if on_progress is not None and n:
        on_progress(Progress(n, n, LOOKING, unit="rows"))


def _unknown(teacher: PromptedPredictor, part: Sequence[Example]) -> Iterator[Example]:
    return (example for example, known in zip(part, teacher.stored(part), strict=True) if not known)


def draw(rows: Iterable[Example], n: int = N_PILOT) -> tuple[list[Example], int]:
    """`n` rows, each as likely as any other, and how many there were; in one pass (Vitter 1985, algorithm R)."""
    generator, seen = random.Random(0), 0
    drawn: list[Example] = []
    for row in rows:
        seen += 1
        if len(drawn) < n:
            drawn.append(row)
        elif (place := generator.randrange(seen)) < n:
            drawn[place] = row
    return drawn, seen


async def agree(
    teacher: object,
    examples: Examples,
    consent: Consent | None,
    on_progress: Callable[[Progress], None] | None = None,
    share: float = 1.0,
) -> int:
    """Before a bulk of calls: ask the pilot, and then the user; how many rows the pilot paid for.

    Nobody is asked for a predictor that bills nothing, or for what a pilot would hold anyway. What follows the pilot
    costs this share of the list price. Raises what `consent` raises.
    """
    if consent is None or not isinstance(teacher, PromptedPredictor) or not teacher.model.bills:
        return 0
    drawn, n_rows = draw(pending(teacher, examples, on_progress, len(examples)))
    n = n_rows * teacher.task.teacher.samples
    if not n or n + (consent.n_later if isinstance(consent, OneConsent) else 0) <= N_PILOT:
        return 0
    consent.before(Quote(n, teacher.name, price_snapshot=teacher.model.price_snapshot))
    quote = await ask_pilot(teacher, drawn, n, share, on_progress)
    consent.after(quote)
    return sum(teacher.stored(drawn)) - quote.from_store


async def ask_pilot(
    teacher: PromptedPredictor,
    rows: Sequence[Example],
    n: int,
    share: float = 1.0,
    on_progress: Callable[[Progress], None] | None = None,
) -> Quote:
    """Ask one sample of these rows and say what all `n` calls will cost, the others at this share of the price.

    The answers stay in the store. Raises TeacherError where not one answer is usable: the others would be paid for in
    vain as well.
    """
    once = teacher
    if teacher.task.teacher.samples > 1:
        once = PromptedPredictor(
            teacher.model, teacher.task.with_teacher(samples=1), teacher.shots, rationales=teacher.rationales
        )
    costs: list[float] = []
    # What rows like these will cost after the pilot: their cost times the share. A row that was sent back costs its
    # full price again, because repairs are not asked in batches.
    next_costs: list[float] = []
    unknown, from_store, paid_usd, n_asked = False, 0, 0.0, 0
    rejected: Counter[str] = Counter()
    lengths: list[int] = []

    def take(_: int, __: Example, answered: Answered) -> None:
        nonlocal unknown, from_store, paid_usd, n_asked
        prediction, reply, completion = answered
        n_asked += 1
        from_store += completion.from_store
        paid_usd += new_cost_usd(completion) or 0.0  # it is told where all of it is known
        if completion.text is not None:
            lengths.append(len(completion.text.encode()))
        if prediction.output is None:
            rejected[prediction.error or "no answer"] += 1
        if completion.was_paid and completion.cost_usd is None:
            unknown = True
        elif completion.was_paid and completion.cost_usd is not None:
            costs.append(completion.cost_usd)
            next_costs.append(completion.cost_usd * (1.0 if reply.sent_back else share))
        if on_progress is not None:
            what = f"asking {len(rows)} rows first, to tell what the rest will cost"
            on_progress(Progress(n_asked, len(rows), what, None if unknown else paid_usd, unit="rows"))

    await once.each(rows, take)
    usable = len(rows) - rejected.total()
    if not usable:
        reason, times = rejected.most_common(1)[0]
        raise TeacherError(
            f"{teacher.name}: none of the {len(rows)} rows that were asked first has a usable answer "
            f"({times} times: {reason}), so no more are paid for; mend the task or the endpoint and run this again"
        )
    shown = Shown(math.fsum(lengths) / len(lengths) if lengths else None)
    if unknown or not costs:
        return Quote(n, teacher.name, usable=usable, from_store=from_store, shown=shown)
    shown = replace(shown, usd_per_call=math.fsum(next_costs) / len(next_costs))
    snapshot = teacher.model.price_snapshot
    if share != 1.0:
        snapshot = f"{snapshot}, {share:.0%} of it in a batch"
    total = total_cost(next_costs, n)
    more = math.fsum(costs) - math.fsum(next_costs)  # the pilot's own rows were paid at the full price
    low, high = (None if end is None else end + more for end in (total.low, total.high))
    total = replace(total, value=total.value + more, low=low, high=high)
    return Quote(
        n,
        teacher.name,
        total,
        paid_usd=paid_usd,
        price_snapshot=snapshot,
        usable=usable,
        from_store=from_store,
        shown=shown,
    )


def total_cost(costs: Sequence[float], n: int, level: float = 0.95) -> Estimate:
    """The cost of `n` rows, of which these were drawn at random and paid.

    What was paid is certain. The rest has Student's interval for a mean, with the correction for a finite population
    (Cochran 1977, section 2.8). One row gives no interval; rows that all cost the same give one of zero width.
    """
    k, mean = len(costs), math.fsum(costs) / len(costs)
    if k >= n:
        return Estimate(math.fsum(costs), k, math.fsum(costs), math.fsum(costs), level, "all rows paid")
    if k < 2:
        return Estimate(n * mean, k, None, None, level, "student-t")
    from scipy.special import stdtrit  # imported late, because it is slow to load

    spread = math.sqrt(math.fsum((cost - mean) ** 2 for cost in costs) / (k - 1))
    half = float(stdtrit(k - 1, 0.5 + level / 2)) * n * spread / math.sqrt(k) * math.sqrt(1 - k / n)
    return Estimate(n * mean, k, max(math.fsum(costs), n * mean - half), n * mean + half, level, "student-t")
