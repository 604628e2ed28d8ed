"""A task as a prompt: the messages that ask it, the rule that reads the reply, and the two as a Predictor.

The instruction and the answer's form go into the system message; the last user message is the input alone (with a row's own choices below it), so that
a student behind the same API finds its input in the app's unchanged prompt. Rationales follow Hsieh et al. 2023 (2305.02301) section 3.1: few-shot chain
of thought, the answer after the reasoning. A reply that cannot be read is a rejection with its reason, never a guess.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stillhouse.errors import TaskFileError
from stillhouse.llm.bulk import Bulk
from stillhouse.llm.request import Completion, Model, Request, is_unicode
from stillhouse.records import Example, Prediction, Progress
from stillhouse.task import Task

CHOICES = "\n\nChoices:\n"
ANSWER = "So the answer is"
_DEFAULT_PATTERN = rf"{ANSWER}:?\s*(.+?)\s*$"


@dataclass(frozen=True, slots=True)
class Reply:
    """What was read from a reply. `how`: the answer stood there as asked for, or was recovered from a near form."""

    output: str | None
    rationale: str | None = None
    how: Literal["strict", "lenient"] | None = None
    error: str | None = None


Answered = tuple[Prediction, Reply, Completion]


def new_cost_usd(completion: Completion) -> float:
    """What this call added to the bill: nothing where the store had the answer, and where no price is known."""
    return 0.0 if completion.from_store else completion.cost_usd or 0.0


def build_messages(task: Task, example: Example, shots: Sequence[Example] = (), *, rationales: bool = False) -> tuple[dict[str, str], ...]:
    """System message, worked examples as turns, and the input as the last user message."""
    return (*beginning(task, shots, rationales=rationales), {"role": "user", "content": _question(example)})


def beginning(task: Task, shots: Sequence[Example] = (), *, rationales: bool = False) -> tuple[dict[str, str], ...]:
    """The part of the prompt that all inputs share."""
    messages = [{"role": "system", "content": f"{task.instruction.strip()}\n\n{_form(task, rationales)}"}]
    for shot in shots:
        answer = shot.label if shot.label is not None else shot.teacher_label
        if answer is None:
            raise TaskFileError(f"worked example {shot.id!r} has no label; add one")
        messages += [{"role": "user", "content": _question(shot)}, {"role": "assistant", "content": _worked(shot, answer, rationales)}]
    return tuple(messages)


def input_of(content: str) -> str:
    """The input in a user message that `build_messages` made: the text above the row's choices."""
    return content.rpartition(CHOICES)[0] or content


def _form(task: Task, rationales: bool) -> str:
    """How the answer is to look."""
    if task.output == "choice":
        form = f"one of: {', '.join(task.labels)}" if task.labels else "one of the choices, word for word"
    else:
        form = "one JSON value" if task.output == "json" else "the answer alone"
    if rationales:
        return f'First give your reasoning in one to three sentences, then end with "{ANSWER} X." where X is {form}.'
    return f"Answer with {form}{', and nothing else' if task.output != 'text' else ''}."


def _question(example: Example) -> str:
    if example.choices is None:
        return example.text
    return example.text + CHOICES + "\n".join(f"- {choice}" for choice in example.choices)


def _worked(shot: Example, answer: str, rationales: bool) -> str:
    reasons = shot.teacher_rationale or shot.extra.get("rationale")
    if not rationales:
        return answer
    if not isinstance(reasons, str) or not reasons.strip():
        raise TaskFileError(f"worked example {shot.id!r} has no `rationale`, and the teacher is asked for rationales; add it, or set rationales = false")
    return f"{reasons.strip()} {ANSWER} {answer}."


def parse_reply(task: Task, example: Example, text: str, *, rationales: bool = False) -> Reply:
    """Read the answer (and the rationale) from a reply. Ambiguous or absent answers give `output` None and the reason."""
    for stop in task.teacher.stop:
        text = text.partition(stop)[0]
    text = text.strip()
    rationale: str | None = None
    if rationales:
        found = _answer_pattern(task).search(text)
        if found is None:
            return Reply(None, error="no answer after the rationale")
        rationale, answer = text[: found.start()].strip() or None, (found.group(1) or "").strip()
    else:
        answer = text
    if task.output == "choice":
        return _choice(answer, rationale, example.choices or task.labels)
    if task.output == "json":
        return _json(answer, rationale)
    if rationales and task.teacher.answer_pattern is None:
        answer = answer.removesuffix(".")  # the full stop is the sentence's, as asked for
    return Reply(answer, rationale, "strict") if answer else Reply(None, rationale, error="empty answer")


def _answer_pattern(task: Task) -> re.Pattern[str]:
    pattern = task.teacher.answer_pattern or _DEFAULT_PATTERN
    try:
        compiled = re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise TaskFileError(f"[teacher] answer_pattern = {pattern!r}: not a regular expression ({error}); mend it") from None
    if compiled.groups != 1:
        raise TaskFileError(f"[teacher] answer_pattern = {pattern!r}: needs one group, the answer, and has {compiled.groups}; mend it")
    return compiled


def _choice(answer: str, rationale: str | None, allowed: Sequence[str] | None) -> Reply:
    if allowed is None:  # no label set is known yet: the reply's own words become the label
        words = _bare(answer)
        return Reply(words, rationale, "strict") if words and len(words) <= 100 else Reply(None, rationale, error="no short label in the reply")
    if answer in allowed or answer.removesuffix(".") in allowed:
        return Reply(answer if answer in allowed else answer.removesuffix("."), rationale, "strict")
    lettered = re.match(r"^\(?([A-Za-z])\)\s*(.*)$", answer, re.DOTALL)
    if lettered and _bare(lettered[2]):
        answer = lettered[2]
    elif lettered and (number := ord(lettered[1].lower()) - ord("a")) < len(allowed):
        return Reply(allowed[number], rationale, "lenient")
    forms = Counter(map(_bare, set(allowed)))
    by_bare = {_bare(label): label for label in allowed if _bare(label) and forms[_bare(label)] == 1}  # "US" and "us" are told apart strictly or not at all
    for candidate in (answer, answer.splitlines()[0] if answer else "", answer.rpartition(":")[2]):
        if (label := by_bare.get(_bare(candidate))) is not None:
            return Reply(label, rationale, "lenient")
    named = [form for form in forms if form and re.search(rf"(?<!\w){re.escape(form)}(?!\w)", answer.casefold())]
    longest = [form for form in named if not any(form != other and form in other for other in named)]
    if len(longest) == 1 and longest[0] in by_bare:
        return Reply(by_bare[longest[0]], rationale, "lenient")
    return Reply(None, rationale, error="ambiguous: the reply names several labels" if longest else "the reply names no label")


def _bare(text: str) -> str:
    """Without case, quotes, emphasis and closing punctuation."""
    return text.strip().strip("\"'`*.!()[] \n").casefold()


def _json(answer: str, rationale: str | None) -> Reply:
    fenced = re.search(r"```(?:json)?\s*(.*?)```", answer, re.DOTALL)
    for candidate, how in ((answer, "strict"), (fenced[1] if fenced else None, "lenient")):
        if candidate is None:
            continue
        try:
            canonical = json.dumps(json.loads(candidate, parse_constant=_no_constant), sort_keys=True, ensure_ascii=False, allow_nan=False)
        except (ValueError, RecursionError):  # 1e999 is a number to the parser and none to the writer; a thousand brackets nest too deep
            continue
        if not is_unicode(canonical):
            continue
        return Reply(canonical, rationale, "strict" if how == "strict" else "lenient")
    return Reply(None, rationale, error="the reply is not valid JSON")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class PromptedPredictor:
    """A model behind a task's prompt, as a Predictor. `shots` go into every prompt as worked examples."""

    def __init__(self, model: Model, task: Task, shots: Sequence[Example] = (), *, rationales: bool | None = None) -> None:
        self.model, self.task, self.shots = model, task, tuple(shots)
        self.rationales = task.teacher.rationales if rationales is None else rationales
        self.name = model.name
        self.stand_in = model.stand_in
        if "" in task.teacher.stop:
            raise TaskFileError("[teacher] stop holds an empty text, at which every reply would end; take it out")
        self._beginning = beginning(task, self.shots, rationales=self.rationales)
        self._parameters: dict[str, Any] = {"temperature": task.teacher.temperature, "max_tokens": task.teacher.max_tokens}
        if task.teacher.stop:
            self._parameters["stop"] = list(task.teacher.stop)
        if self.rationales:
            _answer_pattern(task)  # refused here rather than after the first paid call

    def request(self, example: Example) -> Request:
        """The call that asks this example."""
        return Request(self.model.name, (*self._beginning, {"role": "user", "content": _question(example)}), self._parameters)

    async def predict(self, inputs: Sequence[Example], on_progress: Callable[[Progress], None] | None = None) -> list[Prediction]:
        """One prediction per input, in input order; a failed row is a Prediction with its reason. Raises TeacherError, BudgetError."""
        rows = await self.replies(inputs, on_progress)
        return [prediction for prediction, _, _ in rows]

    async def replies(self, inputs: Sequence[Example], on_progress: Callable[[Progress], None] | None = None) -> list[Answered]:
        """As `predict`, with how each reply was read and the completion behind it."""
        results: list[Answered | None] = [None] * len(inputs)
        done, cost_usd = 0, 0.0

        def take(index: int, _: Example, answered: Answered) -> None:
            nonlocal done, cost_usd
            results[index] = answered
            done, cost_usd = done + 1, cost_usd + new_cost_usd(answered[2])
            if on_progress is not None:
                on_progress(Progress(done, len(inputs), "asking the teacher", cost_usd))

        await self.each(inputs, take)
        return [row for row in results if row is not None]

    async def each(self, inputs: Iterable[Example], take: Callable[[int, Example, Answered], None]) -> None:
        """Ask every input and hand each answer to `take` as it comes, with the input's number; nothing is kept, whatever the number of rows."""
        await Bulk(self.model.in_flight, self._one).run(inputs, take)

    async def _one(self, example: Example) -> Answered:
        completion = await self.model.complete(self.request(example), example)
        if completion.error is not None or completion.text is None:
            reply = Reply(None, error=completion.error or "empty reply")
        else:
            reply = parse_reply(self.task, example, completion.text, rationales=self.rationales)
        prediction = Prediction(
            reply.output,
            usage=completion.usage,
            cost_usd=completion.cost_usd,
            latency_s=completion.latency_s,
            source="teacher",
            rationale=reply.rationale,
            error=reply.error,
        )
        return prediction, reply, completion

    async def close(self) -> None:
        await self.model.close()

