"""The money of a run's arms: what was spent once, what a call costs, and from how many calls and which day on an arm is the cheaper one."""

from collections.abc import Sequence
from datetime import date

from stillhouse.advice import breakeven
from stillhouse.experiment.arms import MeasuredArm
from stillhouse.experiment.material import Material
from stillhouse.llm.prices import Price, known_price
from stillhouse.results import money as report
from stillhouse.verdict import costs
from stillhouse.verdict.answer_value import whole_score, worth_of
from stillhouse.verdict.assumptions import assumptions
from stillhouse.verdict.gated import CascadeFound, Judged
from stillhouse.verdict.rules import MoneyEvidence


def money_of(
    material: Material, prompt: Judged | None, rivals: Sequence[Judged], cascade: CascadeFound | None, start: date
) -> report.Money | None:
    """The report's section on the prompt and its rivals, students and prompts with examples; None where there is no prompt to save anything on.

    `start`: the day from which calls are counted.
    """
    if prompt is None:
        return None
    students = [judged for judged in rivals if judged.arm.kind == "student"]
    candidates = [*rivals, *([cascade.judged] if cascade and cascade.judged else [])]
    lines = [line_of(material, judged) for judged in candidates]
    if (hosted := _hosted(material)) is not None:
        lines.append(hosted)
    against, per_day = line_of(material, prompt), material.task.money.calls_per_day
    crossings = [breakeven.break_even(line, against, calls_per_day=per_day, start=start) for line in lines]
    return report.Money(
        one_off=tuple(cost for judged in students for cost in _one_off(material, judged)),
        lines=tuple(_cost_line(material, line) for line in (against, *lines)),
        break_even=tuple(
            report.BreakEven(found.arm, found.against, found.calls, found.sentence, _iso(found.day), found.pays_off)
            for found in crossings
        ),
        assumptions=assumptions(material, prompt, students),
        call_parts=_call_parts(material),
        rates=None if (price := _price(material)) is None else price.snapshot,
        n_calls=len(material.splits.test),
        calls_per_day=per_day,
        unit=whole_score(material),
        worth=tuple(
            found
            for judged, line in zip(candidates, lines, strict=False)
            if (found := worth_of(material, judged, line, prompt)) is not None
        ),
    )


def pays_off(money: report.Money | None, arm: str) -> bool | None:
    """Whether the arm is the cheaper one at some time; None: not known."""
    return next((even.pays_off for even in (money.break_even if money else ()) if even.arm == arm), None)


def evidence(money: report.Money | None, arm: str) -> MoneyEvidence:
    """What the verdict says of an arm's money."""
    if money is None:
        return MoneyEvidence()
    line = next((line for line in money.lines if line.name == arm), None)
    even = next((even for even in money.break_even if even.arm == arm), None)
    flip = next((each for each in money.worth if each.arm == arm), None)
    return MoneyEvidence(
        usd_per_call=line.usd_per_call if line else None,
        prompt_usd_per_call=money.lines[0].usd_per_call,
        fixed_usd=line.fixed_usd if line else None,
        break_even_calls=even.calls if even else None,
        break_even_day=date.fromisoformat(even.day) if even and even.day else None,
        worth_usd=flip.flips_at if flip else None,
        worth_low=flip.low if flip else None,
        worth_high=flip.high if flip else None,
    )


def line_of(material: Material, judged: Judged) -> breakeven.Line:
    """An arm's money, to be crossed with another arm's. A cascade goes when its prompt's model goes."""
    money, arm = material.task.money, judged.arm
    ends = money.prompt_retires if arm.kind in ("prompt", "few-shot", "cascade") else None
    if arm.kind in ("prompt", "few-shot") or money.retrain_days is None:
        return breakeven.Line(arm.name, judged.fixed_usd, judged.usd_per_call, ends=ends)
    return breakeven.Line(
        arm.name, judged.fixed_usd, judged.usd_per_call, costs.renewal_usd(material, arm), money.retrain_days, ends
    )


def _hosted(material: Material) -> breakeven.Line | None:
    """A hosted finetune at its own prices: not measured, so its cost alone. Its calls and its training rows are taken to be as long as the prompt's calls."""
    money, used = material.task.money, costs.usages(material)
    if money.hosted_model is None:
        return None
    price, name = known_price(money.hosted_model), f"hosted {money.hosted_model}"
    if price is None or used is None:
        return breakeven.Line(name, None, None, ends=money.hosted_retires, begins_again=True)
    per_call: list[float | None] = [sum(cost for one in used if (cost := price.cost_usd(one)) is not None) / len(used)]
    if money.hosted_usd_per_hour is not None:
        per_call.append(None if money.calls_per_day is None else 24 * money.hosted_usd_per_hour / money.calls_per_day)
    n_train = len(material.splits.train)
    tokens = (
        sum((one.input_tokens or 0) + (one.output_tokens or 0) for one in used)
        / len(used)
        * n_train
        * money.hosted_epochs
    )
    training = None if money.hosted_train_usd_per_m is None else tokens * money.hosted_train_usd_per_m / 1e6
    facts = {"rows": material.own_lesson.rows}  # it would learn what the others learned
    arm = MeasuredArm(name, "student", [], learns_from=material.learn_from, n_train=n_train, facts=facts)
    labels = 0.0 if costs.were_there(material, arm) else costs.labels_usd(material, arm)
    fixed = costs.known_sum([None if training is None else training * money.tries, labels])
    return breakeven.Line(name, fixed, costs.known_sum(per_call), ends=money.hosted_retires, begins_again=True)


def _cost_line(material: Material, line: breakeven.Line) -> report.CostLine:
    per_day, notes = material.task.money.calls_per_day, []
    renewal_calls = None if line.renew_days is None or per_day is None else line.renew_days * per_day
    if line.renew_days is not None:
        notes.append(f"trained again every {line.renew_days} days")
    if line.begins_again:
        notes.append("not measured: its cost alone")
    if line.ends is not None:
        notes.append(f"its {'base' if line.begins_again else 'model'} is switched off on {line.ends}")
    renewal = line.renewal_usd if line.renew_days is not None else None
    return report.CostLine(
        line.name, line.fixed_usd, line.usd_per_call, "; ".join(notes) or None, renewal, renewal_calls
    )


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _one_off(material: Material, judged: Judged) -> list[report.OneOff]:
    arm, money = judged.arm, material.task.money
    whose, there = f"{arm.learns_from} labels for {arm.name}", costs.were_there(material, arm)
    note = "they were there already; set label_usd in [money] to count them" if there else None
    seconds, several = (
        float(arm.facts.get("wall_s", 0.0)),
        "" if money.tries * money.seeds == 1 else f", {money.tries} x {money.seeds} times (tries x seeds)",
    )
    took = f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.2g}"
    training = report.OneOff(
        f"training {arm.name}", costs.training_usd(material, arm), f"{took} s on this machine{several}"
    )
    return [report.OneOff(whose, costs.labels_usd(material, arm), note, counted=not there), training]


def _call_parts(material: Material) -> tuple[report.CallPart, ...]:
    """The prompt's calls taken apart, in mean tokens; empty where the counts are not known."""
    used = costs.usages(material)
    if used is None:
        return ()
    names = ("input_tokens", "output_tokens", "cached_input_tokens", "written_input_tokens", "reasoning_tokens")
    whole, output, cached, written, reasoning = (
        sum(getattr(one, name) or 0 for one in used) / len(used) for name in names
    )
    price = _price(material)
    plain = cache = write = answer = None
    if price is not None:
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
        report.CallPart(what, n, None if rate is None else n * rate / 1000)
        for what, n, rate in parts
        if n or what in ("input", "output")
    )


def _price(material: Material) -> Price | None:
    return (
        material.teacher.report.price if material.teacher is not None and material.teacher.report is not None else None
    )
