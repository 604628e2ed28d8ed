"""The arms that a reader looks at first: their numbers carry the verdict."""

from stillhouse.results.money import BreakEven
from stillhouse.results.result import Arm, Result

PROMPTS = ("prompt", "few-shot")


def key_arms(result: Result) -> list[Arm]:
    """The best prompt, and beside it the recommended arm or, where none is recommended, the best student or cascade."""
    prompt = best_prompt(result)
    others = [arm for arm in result.arms if arm.kind in ("student", "cascade")]
    other = next((arm for arm in others if arm.name == result.chosen), None)
    if other is None and others:
        other = max(others, key=lambda arm: arm.score.value)
    return [arm for arm in (prompt, other) if arm is not None]


def best_prompt(result: Result) -> Arm | None:
    """The prompt, with or without examples, that has the highest score."""
    return max((arm for arm in result.arms if arm.kind in PROMPTS), key=lambda arm: arm.score.value, default=None)


def key_break_evens(result: Result) -> list[BreakEven]:
    """When the key arms pay for themselves, as far as they are trained."""
    names = [arm.name for arm in key_arms(result) if arm.kind not in PROMPTS]
    return [even for even in (result.money.break_even if result.money else ()) if even.arm in names]
