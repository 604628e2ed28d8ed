"""The tiles at the head of the page: what is known of the arms that carry the verdict, and why a tile is left out.

No tile says "unknown". Where a call's price is not known, its tile shows what is: the prompt's tokens, or how long an
answer takes. What cannot be shown is named with its reason below the tiles.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from stillhouse import numbers
from stillhouse.report.key_arms import key_arms, key_break_evens
from stillhouse.results.arms import ArmResult
from stillhouse.results.money import BreakEven
from stillhouse.results.run_result import Result

NO_PRICE = "no price is known"


@dataclass(frozen=True)
class Tile:
    label: str
    figure: str
    note: str
    is_chosen: bool = False


def key_tiles(result: Result) -> list[Tile]:
    """Scores first, then costs, then when an arm pays for itself."""
    arms = key_arms(result)
    costs = [_cost(result, arm) for arm in arms]
    evens = [_break_even(result, even) for even in key_break_evens(result)]
    return [*(_score(result, arm) for arm in arms), *(tile for tile in (*costs, *evens) if tile is not None)]


def left_out(result: Result) -> list[str]:
    """A sentence for each tile that is missing: what is not known, and from where on it would matter."""
    return list(dict.fromkeys(_reasons(result)))


def _reasons(result: Result) -> Iterator[str]:
    for arm in key_arms(result):
        if arm.cost_usd_per_1000 is None and _cost(result, arm) is None:
            yield f"{NO_PRICE[0].upper()}{NO_PRICE[1:]} for a call of {arm.name}."
    bounds = {bound.arm: bound.sentence for bound in result.money.bounds} if result.money else {}
    for even in key_break_evens(result):
        if _break_even(result, even) is None:
            sentence, bound = even.sentence.rstrip("."), bounds.get(even.arm, "")
            if bound not in sentence:  # the sentence of a run that an earlier version made
                sentence = f"{sentence}; {bound}"
            yield f"{sentence[0].upper()}{sentence[1:]}."


def _score(result: Result, arm: ArmResult) -> Tile:
    label = f"{arm.name}{' (a stand-in)' if arm.stand_in else ''}, {result.heading}"
    if result.is_yardstick(arm):
        return Tile(label, "–", "the others are held against its answers", arm.name == result.chosen)
    note = f"{numbers.interval(arm.score)}, n = {numbers.count(arm.score.n)}"
    return Tile(label, numbers.percent(arm.score.value), note, arm.name == result.chosen)


def _cost(result: Result, arm: ArmResult) -> Tile | None:
    is_chosen, n = arm.name == result.chosen, numbers.count(arm.score.n)
    if arm.cost_usd_per_1000 is not None:
        note = arm.cost_note or f"mean over n = {n}"
        return Tile(f"{arm.name}, cost per 1,000 calls", numbers.usd(arm.cost_usd_per_1000), note, is_chosen)
    parts = result.money.call_parts if result.money and arm.kind == "prompt" else ()
    if parts and result.money:
        tokens = numbers.count(round(sum(part.tokens for part in parts)))
        note = f"mean over n = {numbers.count(result.money.n_calls)}; {NO_PRICE}"
        return Tile(f"{arm.name}, tokens per call", tokens, note, is_chosen)
    if arm.latency_p50_s is not None:
        note = f"half of n = {n} took less; of its cost, {NO_PRICE}"
        return Tile(f"{arm.name}, time per call", numbers.seconds(arm.latency_p50_s), note, is_chosen)
    return None


def _break_even(result: Result, even: BreakEven) -> Tile | None:
    if even.calls is None and even.pays_off is not False:
        return None
    figure = "never" if even.calls is None else "at once" if even.calls == 0 else numbers.count(even.calls)
    reached = f", reached on {numbers.day(even.day)}" if even.day else ""
    note = f"calls{reached}, against {even.against}" if even.calls else f"against {even.against}"
    return Tile(f"{even.arm} pays for itself after", figure, note, even.arm == result.chosen)
