"""The prompt's calls taken apart: plain, cached and written input, output and reasoning, in tokens and in dollars."""

from stillhouse.experiment.material import Material
from stillhouse.llm.prices import Price
from stillhouse.results.money import CallPart
from stillhouse.verdict.money.call_costs import usages


def call_parts(material: Material) -> tuple[CallPart, ...]:
    """The parts of the prompt's calls in mean tokens per call; empty where the counts are not known."""
    used = usages(material)
    if used is None:
        return ()
    names = ("input_tokens", "output_tokens", "cached_input_tokens", "written_input_tokens", "reasoning_tokens")
    means = (sum(getattr(usage, name) or 0 for usage in used) / len(used) for name in names)
    whole, output, cached, written, reasoning = means
    plain = cache = write = answer = None
    if (price := prompt_price(material)) is not None:
        plain, answer = price.input_usd_per_m, price.output_usd_per_m
        cache = plain if price.cached_usd_per_m is None else price.cached_usd_per_m
        write = plain if price.written_usd_per_m is None else price.written_usd_per_m
    parts = (
        ("input", whole - cached - written, plain),
        ("input from the cache", cached, cache),
        ("input written to the cache", written, write),
        ("output", output - reasoning, answer),
        ("output, reasoning", reasoning, answer),
    )
    return tuple(
        CallPart(what, n, None if rate is None else n * rate / 1000)
        for what, n, rate in parts
        if n or what in ("input", "output")
    )


def prompt_price(material: Material) -> Price | None:
    """The rates of the prompt's model; None where they are not known."""
    teacher = material.teacher
    return teacher.report.price if teacher is not None and teacher.report is not None else None
