"""New exercises (instruction, input, output) from seed tasks, as Stanford Alpaca made its 52,000.

Three seeds are shown, and twenty new exercises are asked for.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from stillhouse.data.generated import OF_SEEDS
from stillhouse.errors import DatasetError
from stillhouse.json_text import read_json
from stillhouse.jsonl import numbered_lines
from stillhouse.llm.request import Request
from stillhouse.records import Example
from stillhouse.teacher.generation_settings import GenerationSettings, check_context, list_schema, texts_schema
from stillhouse.teacher.numbered import MARK, NONE, Block, template
from stillhouse.teacher.proposals import exercise_of, proposals
from stillhouse.teacher.screen import Candidate
from stillhouse.teacher.self_instruct import ProposalCall
from stillhouse.words import normalise

BUILTIN = "builtin"  # the name of the seeds that come with Stillhouse


@dataclass(frozen=True, slots=True)
class SeedTask:
    """One exercise written by a person."""

    id: str
    instruction: str
    input: str
    output: str


def load_seeds(path: Path | str) -> tuple[list[SeedTask], list[str]]:
    """The seeds of a JSONL file (or `builtin`), and a sentence for each that repeats an earlier one and is left out.

    A row is `instruction, input, output`, or self-instruct's own form with `instances`, of which the first counts.
    Raises DatasetError with file and line.
    """
    if str(path) == BUILTIN:
        with as_file(files("stillhouse.teacher").joinpath("seeds", "tasks.jsonl")) as shipped:
            return _read(shipped)
    if not Path(path).is_file():
        raise DatasetError(
            f"{path}: no such file of seed tasks; give JSONL with instruction, input and output, "
            f"or `{BUILTIN}` for those of Stillhouse"
        )
    return _read(Path(path))


def _read(path: Path) -> tuple[list[SeedTask], list[str]]:
    seeds: list[SeedTask] = []
    left_out: list[str] = []
    first: dict[str, str] = {}  # (instruction and input, normalised) -> the id of the first seed with this text
    for line, text in numbered_lines(path):
        try:
            seed = _seed(read_json(text.decode()), line)
        except UnicodeDecodeError as error:
            raise DatasetError(f"{path}: not valid UTF-8 ({error}); write the seeds again") from None
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise DatasetError(
                f"{path}:{line}: a seed task needs the texts `instruction` and `output` ({error}); mend the row"
            ) from None
        key = normalise(f"{seed.instruction}\n{seed.input}")
        if key in first:
            left_out.append(f"{path.name}:{line}: the seed {seed.id!r} is the same as {first[key]!r} and was left out")
            continue
        if any(seed.id == other.id for other in seeds):
            raise DatasetError(
                f"{path}:{line}: the id {seed.id!r} occurs twice; ids name the parents of generated rows, so rename one"
            )
        first[key] = seed.id
        seeds.append(seed)
    if not seeds:
        raise DatasetError(
            f"{path}: holds no seed task; add rows with instruction, input and output, or use `{BUILTIN}`"
        )
    return seeds, left_out


def _seed(row: Any, line: int) -> SeedTask:
    case = row["instances"][0] if "instances" in row else row
    texts = [row["instruction"], case.get("input") or "", case["output"]]
    if not all(isinstance(text, str) for text in texts) or not texts[0].strip() or not texts[2].strip():
        raise ValueError("empty, or no text")
    instruction, input_, output = texts
    return SeedTask(
        id=str(row.get("id", f"seed-{line}")),
        instruction=" ".join(instruction.split()).rstrip(":"),
        input=input_.strip(),
        output=output.strip(),
    )


class Exercises:
    """The planner for exercises. Seeds alone are shown, never what was generated: errors then do not breed."""

    def __init__(self, model: str, seeds: Sequence[SeedTask], settings: GenerationSettings) -> None:
        self.model, self.seeds, self.settings = model, seeds, settings
        shots = min(settings.shots, len(seeds))
        self._first, self._last = shots + 1, shots + settings.per_call
        fields_of_one = texts_schema(("instruction", "input", "output"))
        self._schema = list_schema("exercises", fields_of_one) if settings.structured else None
        self.system = template("instructions", n=settings.per_call, first=self._first, last=self._last)

    def calls(self, first: int, n: int, kept: Sequence[Candidate]) -> list[ProposalCall]:
        """The calls number `first` to `first + n - 1`; `kept` plays no part."""
        return [self._call(number) for number in range(first, first + n)]

    def _call(self, number: int) -> ProposalCall:
        draw = random.Random(f"{self.settings.seed}:{number}")
        shown = draw.sample(list(self.seeds), self._first - 1)
        blocks = [
            f"{MARK} {place}\nInstruction: {seed.instruction}\nInput: {seed.input or NONE}\nOutput: {seed.output}"
            for place, seed in enumerate(shown, start=1)
        ]
        messages = ({"role": "system", "content": self.system}, {"role": "user", "content": "\n\n".join(blocks)})
        request = Request(self.model, messages, self.settings.parameters, self._schema, sample_index=number)
        longest = max(shown, key=lambda seed: len(seed.instruction) + len(seed.input) + len(seed.output))
        check_context(request, self.settings, f"the seed {longest.id!r}")
        return ProposalCall(request, self._first, self._last, tuple(seed.id for seed in shown), "new")

    def blocks(self, call: ProposalCall, reply: str, *, cut_off: bool) -> list[Block]:
        return proposals(reply, call.first, call.last, cut_off=cut_off, exercises=True)

    def read(self, call: ProposalCall, block: Block, id_: str) -> Candidate | str:
        """The exercise of a block; what is compared with others is its instruction, as in Alpaca."""
        parts = exercise_of(block.text)
        if parts is None:
            return "no instruction, input and output"
        instruction = parts["instruction"]
        whole = {"instruction": instruction, "input": parts["input"]} if parts["input"] else instruction
        row: dict[str, Any] = {
            "id": id_,
            "input": whole,
            "teacher_label": parts["output"],
            "lineage": lineage(call, block),
        }
        row["lineage"]["parents_are"] = OF_SEEDS
        return Candidate(
            id_, instruction, judged=instruction, row=row, whole=Example(id_, whole).text, answer=parts["output"]
        )


def lineage(call: ProposalCall, block: Block) -> dict[str, Any]:
    """Where a generated row comes from: the rows that were shown, what was asked for, and where the reply has it.

    The last is the call, by its request's hash, and the block's number.
    """
    origin = {"how": call.how, "parents": list(call.parents), "request": call.request.hash, "number": block.number}
    return origin if call.label is None else origin | {"asked_label": call.label}
