"""The type of an answer that a model is asked for: what it is asked in, and how a reply becomes a value of it.

A model step has it from its return annotation, an agent from `output=`.
"""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from stillhouse.errors import UserError
from stillhouse.flow.answer_schema import is_object, unwrapped
from stillhouse.flow.call import StepError
from stillhouse.flow.choice_types import choices_of
from stillhouse.flow.result_kinds import kind_problem, schema_of
from stillhouse.llm.parsing import parse_reply
from stillhouse.records import Example
from stillhouse.task import Output, Task


def _bare_kind(kind: Any) -> Any:
    """The type without what `Annotated` adds to it, such as bounds."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


class AnswerType:
    """`kind` gives the type when it is needed: it may be defined further down. `what` names whose answer it is."""

    def __init__(self, kind: Callable[[], Any], what: str) -> None:
        self._kind_of, self.what = kind, what

    def check(self) -> None:
        """Raises UserError for a type that no model can be asked for."""
        try:
            self.adapter.json_schema()
        except (NameError, PydanticUndefinedAnnotation):  # a type that is defined further down
            self._forget()
        except PydanticUserError as error:
            if error.code == "class-not-fully-defined":
                self._forget()
                return
            kind = getattr(self._kind, "__name__", str(self._kind))
            raise UserError(
                f"{self.what} returns {kind}, of which no JSON schema can be made; "
                "return JSON types, dataclasses or pydantic models"
            ) from None

    def _forget(self) -> None:
        self.__dict__.pop("adapter", None)

    @functools.cached_property
    def _kind(self) -> Any:
        return self._kind_of()

    @functools.cached_property
    def adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self._kind)

    @functools.cached_property
    def _kinds(self) -> Mapping[str, Any] | None:
        return schema_of(self.adapter)

    @functools.cached_property
    def schema(self) -> dict[str, Any] | None:
        """The JSON schema of the answer; None for a choice or text."""
        return self.adapter.json_schema() if self.output == "json" else None

    @functools.cached_property
    def choices(self) -> Mapping[str, Any] | None:
        """The labels of a choice, each with its value; None: the answer is none."""
        return choices_of(self._kind)

    @property
    def labels(self) -> tuple[str, ...] | None:
        return None if self.choices is None else tuple(self.choices)

    @property
    def output(self) -> Output:
        if self.choices is not None:
            return "choice"
        return "text" if _bare_kind(self._kind) is str else "json"

    def asked(self) -> str:
        """The sentence that asks for JSON of this type; empty for a choice and for text."""
        if self.schema is None:
            return ""
        return f"The JSON must match this schema: {json.dumps(self.schema, ensure_ascii=False)}"

    def read(self, text: str) -> Any:
        """The value in a model's reply. Raises StepError where it holds none."""
        reply = parse_reply(Task("answer", "-", self.output, self.labels), Example("answer", "-"), text)
        if reply.output is None:
            raise StepError(f"{self.what}: the answer cannot be read ({reply.error}): {text[:200]!r}")
        return self.typed(self.bare(reply.output))

    def bare(self, output: str) -> str:
        """The answer without the object that the schema puts around one that is no object."""
        inner = None if self.schema is None or is_object(self.schema) else unwrapped(output)
        if inner is None:
            return output
        try:
            self.typed(output)
        except StepError:
            return inner
        return output

    def typed(self, output: str) -> Any:
        """An answer, read from a reply, as a value. Raises StepError where it does not fit."""
        try:
            if self.output == "json":
                value = self.adapter.validate_json(output)
                if self._kinds is not None and (wrong := kind_problem(self._kinds, output)):
                    raise StepError(f"{self.what}: the reply {output[:200]} does not fit its type ({wrong})")
                return value
            return self.adapter.validate_python(output if self.choices is None else self.choices.get(output, output))
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise StepError(
                f"{self.what}: the reply {output[:200]} does not fit its type "
                f"({where + ': ' if where else ''}{problem['msg']})"
            ) from None
