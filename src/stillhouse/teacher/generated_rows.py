"""What a generation leaves: dataset rows with their origin, what was dropped and why, and the report on both."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stillhouse.llm.metered import MeteredModel
from stillhouse.llm.usage import as_counted
from stillhouse.runs import write_atomic, write_json
from stillhouse.store import Store
from stillhouse.teacher.generation import Sources
from stillhouse.teacher.generation_settings import GenerationSettings
from stillhouse.teacher.provenance import licence_class, prompt_hash, provenance
from stillhouse.teacher.screen import Candidate, Passing, Screen
from stillhouse.teacher.self_instruct import Generation

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class GenerateReport:
    """What a generation gave. `cost_usd` is what this command paid; None: a price was unknown."""

    teacher: str
    n: int
    kept: int
    stopped: str
    why: str | None
    calls: int
    from_store: int
    dropped: dict[str, int]  # reason for dropping -> number of proposals
    curve: list[tuple[int, int]]  # for each call: proposals asked for, proposals kept
    held_out: int  # number of held-out rows, which nothing generated may resemble
    known: int  # number of seeds or training rows, which nothing generated may repeat
    filters: list[Passing]  # filters in the order in which they judged: proposals that came to each, and that went on
    # The model's context, which no prompt may exceed. None: not known, so the prompts were not checked.
    context_tokens: int | None = None
    context_from: str | None = None  # who says how large the context is
    cost_usd: float | None = None
    whole_usd: float | None = None  # what all replies cost, over all runs that paid for them; None: not known
    price_snapshot: str | None = None
    stand_in: bool = False
    warnings: list[str] = field(default_factory=list)
    shown: str | None = None  # the beginning of a reply in which nothing could be read, where that ended it


def row_of(candidate: Candidate, store: Store, model: MeteredModel, licence: str | None) -> dict[str, Any]:
    """The dataset row with its origin. `licence`: of what the model writes, where the user stated it.

    The date and the price are those of the paid call, also where it was paid for long ago.
    """
    stored = store.get(candidate.row["lineage"]["request"])
    assert stored is not None  # the row was in the store a moment ago
    without = {"without": stored.response["lacking"]} if "lacking" in stored.response else {}
    origin = provenance(
        model.name,
        date=stored.created,
        prompt_hash=prompt_hash(
            [message for message in stored.request["messages"] if message["role"] == "system"],
            stored.request.get("schema"),
        ),
        parameters={**stored.request["parameters"], **without},
        price_snapshot=stored.price_snapshot,
        licence=licence_class(model.name, stand_in=model.stand_in, stated=licence),
    )
    if stored.usage is not None and (doubt := as_counted(stored.usage).doubt) is not None:
        origin["usage"] = doubt
    return {**candidate.row, "provenance": origin}


def report_of(
    generation: Generation,
    sources: Sources,
    rows: Sequence[Row],
    model: MeteredModel,
    asking: GenerationSettings,
    *,
    n: int,
    cost_usd: float | None,
) -> GenerateReport:
    """The report on `rows`, of which `n` were wanted."""
    screen = sources.screen
    lacking = sorted({name for row in rows for name in row["provenance"]["parameters"].get("without", ())})
    notes = [f"{model.name} takes no {' and no '.join(lacking)}: rows were asked at its own default"] if lacking else []
    notes += [f"{model.name} has no {' and no '.join(generation.without)}: it was asked without"] * bool(
        generation.without
    )
    doubtful = Counter(row["provenance"]["usage"] for row in rows if "usage" in row["provenance"])
    notes += [
        f"{count} rows come of replies with token counts that do not add up, priced by their dearest reading: {doubt}"
        for doubt, count in doubtful.most_common()
    ]
    snapshots = (row["provenance"]["price_snapshot"] for row in rows)
    return GenerateReport(
        teacher=model.name,
        n=n,
        kept=len(screen.kept),
        stopped=generation.stopped,
        why=generation.why,
        calls=len(generation.curve),
        from_store=generation.from_store,
        dropped=screen.reasons,
        curve=[(point.asked, point.kept) for point in generation.curve],
        held_out=len(screen.held_out),
        known=len(sources.known),
        filters=screen.passing,
        context_tokens=asking.context_tokens,
        context_from=asking.context_from if asking.context_tokens is not None else None,
        cost_usd=cost_usd,
        whole_usd=generation.whole_usd,
        price_snapshot=next((snapshot for snapshot in snapshots if snapshot), None),
        stand_in=model.stand_in,
        warnings=[*sources.warnings, *notes],
        shown=generation.shown,
    )


def write_rows(out: Path, rows: Sequence[Row], screen: Screen, *, exercises: bool) -> list[Path]:
    """Write the rows, what was dropped and why, and exercises in Alpaca's JSON as well; the files' paths."""
    dropped = out.with_suffix(".dropped.jsonl")
    write_atomic(out, _lines(rows))
    write_atomic(dropped, _lines([asdict(drop) for drop in screen.dropped]))
    if not exercises:
        return [out, dropped]
    alpaca = out.with_suffix(".alpaca.json")
    write_json(alpaca, [_alpaca(row) for row in rows])
    return [out, dropped, alpaca]


def _alpaca(row: Row) -> dict[str, Any]:
    exercise = row["input"]
    parts = {"instruction": exercise, "input": ""} if isinstance(exercise, str) else dict(exercise)
    # What it is stays with the row: in another task it is the model's answer to a generated input, no gold.
    return {**parts, "output": row["teacher_label"], "id": row["id"], "lineage": row["lineage"]}


def _lines(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
