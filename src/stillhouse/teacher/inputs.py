"""New inputs for a task of one's own: in the style of its rows, or as variants of single rows; per class if asked for.

Variants (harder, rarer, rephrased) go back to Evol-Instruct (Xu et al. 2023, 2304.12244), here without its chains.
Every variant's parent is a real row, so drift stays one step deep.

A class that was asked for is no label: whether the teacher agrees is for `label` to ask.
"""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.errors import UserError
from stillhouse.json_labels import plain_numbers
from stillhouse.json_text import JsonError, read_json
from stillhouse.llm.parsing import fenced_value
from stillhouse.llm.request import Request, is_unicode
from stillhouse.records import Example
from stillhouse.task import Task
from stillhouse.teacher.generation_settings import GenerationSettings, check_context, list_schema, texts_schema
from stillhouse.teacher.instructions import lineage
from stillhouse.teacher.numbered import MARK, Block, template
from stillhouse.teacher.proposals import proposals
from stillhouse.teacher.screen import Candidate
from stillhouse.teacher.self_instruct import ProposalCall

NEW = "new"
_NUMBERS = ("number", "id", "no", "index")  # fields beside the text that number it
VARIANTS = {
    "harder": (
        "harder to answer right than the given one: nearer to the border between two answers, with more conditions, "
        "or with what misleads"
    ),
    "rarer": "rarer: the same kind of wish, about things, words and situations that seldom come up",
    "rephrased": "in other words: the same content, said as another person would say it",
}


class TaskInputs:
    """The planner for a task's inputs. `labels`: the classes to balance; empty: whatever comes."""

    def __init__(
        self,
        model: str,
        task: Task,
        rows: Sequence[Example],
        settings: GenerationSettings,
        *,
        ways: Sequence[str] = (NEW,),
        labels: Sequence[str] = (),
    ) -> None:
        if unknown := [way for way in ways if way != NEW and way not in VARIANTS]:
            raise UserError(f"{unknown[0]!r} is no way to make inputs; give {NEW} or {', '.join(VARIANTS)}")
        self.model, self.task, self.rows, self.settings = model, task, rows, settings
        self.ways, self.labels = tuple(dict.fromkeys(ways)), tuple(labels)
        self._of = {label: [row for row in rows if (row.label or row.teacher_label) == label] for label in labels}
        if empty := [label for label, of in self._of.items() if not of]:
            raise UserError(
                f"no training row has the label {empty[0]!r}, so there is nothing to show for it; "
                "add one, or leave out --balance"
            )
        self._fields = tuple(rows[0].input) if isinstance(rows[0].input, Mapping) else None
        self._fences_belong = any("```" in row.text for row in rows)
        self._choices = rows[0].choices is not None

    @property
    def _schema(self) -> dict[str, Any] | None:
        """The schema of a reply; None: none is asked for, or the rows hold more than texts."""
        if not self.settings.structured:
            return None
        shown = self.rows[0].input
        if self._fields is None:
            item: dict[str, Any] = {"type": "string"}
        elif all(isinstance(value, str) for value in (shown.values() if isinstance(shown, Mapping) else ())):
            item = texts_schema(self._fields)
        else:
            return None
        if self._choices:
            with_choices = texts_schema(("input", "choices"))
            with_choices["properties"] = {"input": item, "choices": {"type": "array", "items": {"type": "string"}}}
            item = with_choices
        return list_schema("inputs", item)

    def calls(self, first: int, n: int, kept: Sequence[Candidate]) -> list[ProposalCall]:
        """The calls number `first` to `first + n - 1`. Each asks for the class of which fewest are kept or asked for.

        The ways come round in another order each time. In a fixed order they could keep step with the classes, and then
        the way would tell the class.
        """
        counts = Counter(candidate.row["lineage"].get("asked_label") for candidate in kept)
        calls = []
        for number in range(first, first + n):
            label = min(self.labels, key=lambda name: counts[name]) if self.labels else None
            counts[label] += self.settings.per_call
            calls.append(self._call(number, label))
        return calls

    def _call(self, number: int, label: str | None) -> ProposalCall:
        turn, place = divmod(number, len(self.ways))
        ways = random.Random(f"{self.settings.seed}:ways:{turn}").sample(self.ways, len(self.ways))
        way, draw = ways[place], random.Random(f"{self.settings.seed}:{number}")
        pool = list(self._of[label]) if label is not None else list(self.rows)
        shown = draw.sample(pool, min(1 if way != NEW else self.settings.shots, len(pool)))
        n = self.settings.per_call
        numbers = {"n": n, "first": len(shown) + 1, "last": len(shown) + n}
        values = {"instruction": self.task.instruction.strip(), "form": self._form(), **numbers}
        if way == NEW:
            of_label = "" if label is None else f' whose right answer is "{label}"'
            system = template("inputs", label=of_label, **values)
        else:
            of_label = "" if label is None else f', and with the right answer "{label}"'
            system = template("variants", how=VARIANTS[way] + of_label, **values)
        blocks = [f"{MARK} {place}\n{self._shown(row)}" for place, row in enumerate(shown, start=1)]
        messages = ({"role": "system", "content": system}, {"role": "user", "content": "\n\n".join(blocks)})
        request = Request(self.model, messages, self.settings.parameters, self._schema, sample_index=number)
        longest = max(shown, key=lambda row: len(row.text))
        check_context(request, self.settings, f"the row {longest.id!r}")
        return ProposalCall(request, numbers["first"], numbers["last"], tuple(row.id for row in shown), way, label)

    def _form(self) -> str:
        if self._choices:
            return 'Write each as one JSON object with "input" and its "choices", of which one is right.'
        if self._fields is not None:
            return f"Write each as one JSON object with the fields {', '.join(self._fields)}."
        return "Write each as it is, without quotes around it."

    def _shown(self, row: Example) -> str:
        if self._choices:
            return json.dumps({"input": row.input, "choices": list(row.choices or ())}, ensure_ascii=False)
        return row.input if isinstance(row.input, str) else json.dumps(row.input, ensure_ascii=False)

    def blocks(self, call: ProposalCall, reply: str, *, cut_off: bool) -> list[Block]:
        return proposals(
            reply, call.first, call.last, cut_off=cut_off, exercises=False, fences_belong=self._fences_belong
        )

    def read(self, call: ProposalCall, block: Block, id_: str) -> Candidate | str:
        """The input of a block, in the form of the task's rows."""
        choices: tuple[str, ...] | None = None
        new_input: Any = block.text if self._fields is not None or self._choices else self._bare(block.text)
        if self._choices or self._fields is not None:
            new_input = _json_object(block.text)
            if new_input is None:
                return "not a JSON object"
        if self._choices:
            if (choices := _two_choices(new_input.get("choices"))) is None:
                return "no two choices"
            new_input = new_input.get("input")
        if self._fields is not None and (not isinstance(new_input, dict) or set(new_input) != set(self._fields)):
            return "other fields than the task's rows"
        if self._fields is None and (not isinstance(new_input, str) or not new_input.strip()):
            return "no text"
        if not is_unicode(json.dumps(new_input, ensure_ascii=False) + "".join(choices or ())):
            return "not valid Unicode"
        row: dict[str, Any] = {"id": id_, "input": new_input, "lineage": lineage(call, block)}
        if choices is not None:
            row["choices"] = list(choices)
        text = Example(id_, new_input, choices=choices).text
        return Candidate(id_, text, judged=text, row=row, whole=text)

    def _bare(self, text: str) -> str:
        """A text without an object of one field around it, in which some models put what is asked for."""
        if not text.startswith("{") or any(row.text.startswith("{") for row in self.rows):
            return text
        value = _json_object(text)
        texts = [] if value is None else [part for name, part in value.items() if name.lower() not in _NUMBERS]
        return texts[0] if len(texts) == 1 and isinstance(texts[0], str) else text


def _two_choices(value: Any) -> tuple[str, ...] | None:
    """The different choices in a list of texts, at least two; None where it is something else."""
    if not isinstance(value, list) or not all(isinstance(choice, str) and choice.strip() for choice in value):
        return None
    choices = tuple(dict.fromkeys(value))
    return choices if len(choices) >= 2 else None


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = read_json(text)
    except JsonError:
        value = plain_numbers(fenced_value(text))
    return value if isinstance(value, dict) else None
