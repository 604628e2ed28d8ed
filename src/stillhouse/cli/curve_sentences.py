"""What an `advise` run found, for the terminal: how many labels meet the prompt, and what examples in it brought."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stillhouse.commands.verdict_run import VerdictRun
    from stillhouse.results.learning_curves import LearningCurves


def few_shot_lines(done: "VerdictRun") -> list[str]:
    """A sentence each: what examples in the prompt brought, what bounded them, what prompted finetuning is worth."""
    from stillhouse.experiment.arms import slug

    curves = done.result.curves
    if curves is None:
        return []
    lines: list[str] = []
    if (few_shot := curves.few_shot) is not None:
        if few_shot.points:
            scores = ", ".join(f"{point.mean:.1%} with {point.n}" for point in few_shot.points)
            n_draws = len(few_shot.points[0].scores)
            lines.append(f"examples in the prompt: {scores} (means of {n_draws} draws, n = {few_shot.n_rows:,})")
        lines += [f"note: {note}" for note in few_shot.notes]
    if done.result.verdict.kind == "few-shot":
        chosen = next(arm for arm in done.result.arms if arm.name == done.result.chosen)
        file = done.folder / "arms" / f"{slug(chosen.name)}-0" / "examples.jsonl"
        lines.append(f"its {chosen.n_shots} examples are in {file}: name it as `examples` in [teacher]")
    return [*lines, *(worth.sentence for worth in curves.worth)]


def crossover_lines(curves: "LearningCurves | None") -> list[str]:
    """One sentence per learning curve: how many labels it takes to meet the prompt."""
    lines = []
    for crossover in curves.crossovers if curves is not None else ():
        assert curves is not None
        if crossover.note is not None:
            lines.append(f"{crossover.note}, so no number of labels meets the {crossover.prompt} for good")
            continue
        points = next(curve.points for curve in curves.curves if curve.name == crossover.curve)
        meets = f"meets the {crossover.prompt} at an unknown number of labels"
        if crossover.censored == "<=":
            meets = f"meets the {crossover.prompt} at or below {points[0].n:,} labels"
        elif crossover.censored == ">":
            meets = f"does not meet the {crossover.prompt} at any size up to {points[-1].n:,} labels"
        elif crossover.n_star is not None:
            meets = f"meets the {crossover.prompt} at about {crossover.n_star:,.0f} labels"
        low = "below the smallest size" if crossover.low is None else f"{crossover.low:,.0f}"
        high = "beyond the largest" if crossover.high is None else f"{crossover.high:,.0f}"
        measured = f"({crossover.n_seeds} seeds, n = {crossover.n_rows:,})"
        lines.append(f"{crossover.curve} {meets} [{low}, {high}] {measured}")
    return lines
