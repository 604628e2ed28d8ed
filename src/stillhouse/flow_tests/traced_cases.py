"""Cases of traced runs: what every step, the path and the whole did, written into case files.

There they can be read, mended and held against later versions of the app. They say what the app did, not what is right.
Files that are there keep their rows; new ones are added below.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from stillhouse.data.dataset import json_rows
from stillhouse.errors import UserError
from stillhouse.flow.call import canonical_json
from stillhouse.flow.paths import answer_of, on_the_path, path_of
from stillhouse.flow_tests.cases import PATHS, WHOLE, as_text
from stillhouse.runs import write_atomic
from stillhouse.store.journal import Journal, RunRow, StepRow, existing_journal, key_id


class Added(NamedTuple):
    """What became of the cases for one file."""

    new: int
    known: int  # cases that the file already had, with an equal answer
    differing: int  # cases that the file had with another answer, which is left as it is


Written = dict[Path, Added]
_AS_STEPS = ("step", "model", "decide", "agent", "tool")
_SCRIPTED = ("model", "decide", "agent", "human")


def cases_of_runs(runs: Sequence[str], *, cases: Path, store: Path | str) -> Written:
    """Write the cases of these runs into the folder.

    Raises UserError for a run that is not there or not done, or runs of several flows.
    """
    with closing(existing_journal(store)) as journal:
        traced = [(_done(journal, run, store), journal.steps(run)) for run in dict.fromkeys(runs)]
        flows = {run.flow for run, _ in traced}
        if len(flows) > 1:
            raise UserError(f"the runs are of several flows ({', '.join(sorted(flows))}); give runs of one")
        rows_by_file: dict[str, list[dict[str, Any]]] = {}
        for run, calls in traced:
            for call in calls:
                if call.kind in _AS_STEPS and call.output is not None:
                    step_rows = rows_by_file.setdefault(call.key[0], [])
                    id_ = f"{run.run}-{len(step_rows) + 1}"
                    step_rows.append({"id": id_, "input": _input(call.arguments), "expected": answer_of(call)})
            whole = {"id": run.run, "input": _input(run.input)}
            rows_by_file.setdefault(PATHS, []).append({**whole, "path": _path(calls), "script": _script(calls)})
            result = json.loads(journal.text(run.result or "null"))
            rows_by_file.setdefault(WHOLE, []).append({**whole, "expected": result})
    return {
        path: _add(path, rows, "path" if name == PATHS else "expected")
        for name, rows in rows_by_file.items()
        for path in (cases / f"{name}.jsonl",)
    }


def _done(journal: Journal, run: str, store: Path | str) -> RunRow:
    row = journal.run(run)
    if row is None:
        raise UserError(f"there is no run {run!r} in {store}; `stillhouse runs` lists them")
    if row.status != "done":
        unknown = f"the run {run} is not done ({row.status}), so what it should come to is not known"
        raise UserError(f"{unknown}; resume it, or give another")
    return row


def _input(arguments: str) -> Any:
    """The arguments as a case's input: of a single text argument the text, else the object."""
    fields = json.loads(arguments)
    only = next(iter(fields.values())) if len(fields) == 1 else None
    return only if isinstance(only, str) else fields


def _path(calls: Sequence[StepRow]) -> Any:
    """The exact list; where calls ran side by side, counts, because which of them began first is chance."""
    path = path_of(calls)
    return {move: path.count(move) for move in dict.fromkeys(path)} if _side_by_side(on_the_path(calls)) else path


def _side_by_side(calls: Sequence[StepRow]) -> bool:
    ends: dict[str, float] = {}  # parent -> when the last of its calls so far ended
    for call in calls:
        within = call.parent or ""
        if call.started < ends.get(within, 0.0):
            return True
        ends[within] = max(ends.get(within, 0.0), call.started + call.seconds)
    return False


def _script(calls: Iterable[StepRow]) -> dict[str, Any]:
    """What models and people answered, by step.

    It is one answer where a step always gave the same, else the answers by input, and for equal inputs in order.
    """
    script: dict[str, Any] = {}
    answers: dict[str, dict[str, list[Any]]] = {}
    agents = {key_id(call.key) for call in calls if call.kind == "agent"}
    for call in calls:
        if call.kind in _SCRIPTED and call.parent not in agents:
            answer = answer_of(call) if call.output is not None else {"raises": call.error}
            answers.setdefault(call.key[0], {}).setdefault(call.arguments, []).append(answer)
    for step, by_input in answers.items():
        every = [answer for equal in by_input.values() for answer in equal]
        if len({as_text(answer) for answer in every}) == 1:
            script[step] = every[0]
        else:
            script[step] = {
                "by_input": [
                    {"input": _input(arguments), "output": _in_order(equal)} for arguments, equal in by_input.items()
                ]
            }
    return script


def _in_order(answers: Sequence[Any]) -> Any:
    return answers[0] if len({as_text(answer) for answer in answers}) == 1 else {"in_order": list(answers)}


def _add(path: Path, rows: Iterable[Mapping[str, Any]], answer: str) -> Added:
    """Append the cases whose input the file has not yet."""
    there = [row for _, row in json_rows(path)] if path.is_file() else []
    by_input: dict[str, Mapping[str, Any]] = {canonical_json(row.get("input")): row for row in there}
    ids = {str(row.get("id", line)) for line, row in enumerate(there, start=1)}
    new: list[Mapping[str, Any]] = []
    known, differing = 0, 0
    for row in rows:
        twin = by_input.get(canonical_json(row["input"]))
        if twin is None:
            new.append({**row, "id": _unused(row["id"], ids)})
            by_input[canonical_json(row["input"])] = new[-1]
        elif as_text(twin.get(answer)) == as_text(row[answer]):
            known += 1
        else:
            differing += 1
    if new:
        before = path.read_text(encoding="utf-8") if there else ""
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in new)
        write_atomic(path, before + ("" if before.endswith("\n") or not before else "\n") + lines)
    return Added(len(new), known, differing)


def _unused(id_: str, ids: set[str]) -> str:
    unused, number = id_, 1
    while unused in ids:
        number += 1
        unused = f"{id_}-{number}"
    ids.add(unused)
    return unused
