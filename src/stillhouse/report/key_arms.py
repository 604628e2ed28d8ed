"""The arms that a reader looks at first: their numbers carry the verdict."""

from stillhouse.results.arms import ArmResult
from stillhouse.results.money import BreakEven
from stillhouse.results.run_result import Result

PROMPTS = ("prompt", "few-shot")


def key_arms(result: Result) -> list[ArmResult]:
    """The best prompt, and beside it the recommended arm or, where none is recommended, the best student or cascade.

    Where the prompt is kept, it is the best student: the verdict's sentence is about that one.
    """
    prompt = best_prompt(result)
    others = [arm for arm in result.arms if arm.kind in ("student", "cascade")]
    other = next((arm for arm in others if arm.name == result.chosen), None)
    if other is None and others:
        kept = result.verdict.kind == "keep prompt"
        other = max(others, key=lambda arm: (kept and arm.kind == "student", arm.score.value))
    return [arm for arm in (prompt, other) if arm is not None]


def best_prompt(result: Result) -> ArmResult | None:
    """The prompt, with or without examples, that has the highest score."""
    return max((arm for arm in result.arms if arm.kind in PROMPTS), key=lambda arm: arm.score.value, default=None)


def key_break_evens(result: Result) -> list[BreakEven]:
    """When the key arms pay for themselves, as far as they are trained."""
    names = [arm.name for arm in key_arms(result) if arm.kind not in PROMPTS]
    return [even for even in (result.money.break_even if result.money else ()) if even.arm in names]
