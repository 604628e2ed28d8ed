"""How generation asks: the settings that all calls share, and the check that a call fits the model's context."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stillhouse.errors import UserError
from stillhouse.llm.request import Request, text_of

CHARACTERS_PER_TOKEN = 4  # length of a token in English text, the usual rule of thumb


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """Settings of a generation; the defaults are those of Stanford Alpaca's script."""

    shots: int = 3  # number of rows shown in a prompt
    per_call: int = 20  # number of new rows asked for in one call
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 3072
    reasoning_effort: str | None = None  # the effort of a model that reasons; None: the model's own default
    seed: int = 0
    structured: bool = False  # whether the reply is asked for by a JSON schema, where the endpoint keeps to one
    # The model's context. Where it is known, prompts that do not fit are refused before they are sent.
    context_tokens: int | None = None
    context_from: str = "given by the user"  # who says how large the context is

    def __post_init__(self) -> None:
        for name, least in (("shots", 1), ("per_call", 1), ("max_tokens", 1)):
            if getattr(self, name) < least:
                raise UserError(
                    f"{name.replace('_', '-')} = {getattr(self, name)} asks for nothing; give {least} or more"
                )

    @property
    def parameters(self) -> Mapping[str, Any]:
        effort = {} if self.reasoning_effort is None else {"reasoning_effort": self.reasoning_effort}
        return {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens, **effort}


def list_schema(name: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a reply that is a list, inside an object as endpoints want it."""
    return _object({name: {"type": "array", "items": dict(item)}})


def texts_schema(names: Sequence[str]) -> dict[str, Any]:
    """The schema of an object of texts."""
    return _object({name: {"type": "string"} for name in names})


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    required = list(properties)
    return {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": False}


def check_context(request: Request, settings: GenerationSettings, longest: str) -> None:
    """Raise UserError where prompt and reply would not fit the context that is known. `longest` names what to shorten.

    Tokens are estimated from characters.
    """
    if settings.context_tokens is None:
        return
    tokens = sum(len(text_of(message)) for message in request.messages) // CHARACTERS_PER_TOKEN
    if tokens + settings.max_tokens > settings.context_tokens:
        raise UserError(
            f"a prompt of about {tokens:,} tokens and {settings.max_tokens:,} for the reply "
            f"pass the context of {settings.context_tokens:,} ({settings.context_from}); "
            f"{longest} is its longest part: shorten it, or lower --shots, --per-call or --max-tokens"
        )
