"""Who answered rows that bring the teacher's answers along: the model that `harvest` and `label` wrote into them.

It is named where all answers come from one model, asked in one way, that can be asked again. Then a cascade has
somebody to defer to. Else nobody is named, and never guessed.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from stillhouse.records import Example

_CAN_BE_ASKED = ("openai:", "anthropic:", "http://", "https://", "scripted:")


def model_in_rows(rows: Iterable[Example]) -> str | None:
    """The model that gave the rows' answers; None where it is not known, or there are several, or several prompts."""
    origins = {_origin(row.extra.get("provenance")) for row in rows if row.teacher_label is not None}
    if len(origins) != 1:
        return None
    model, _ = origins.pop()
    return model if model is not None and model.startswith(_CAN_BE_ASKED) else None


def _origin(provenance: Any) -> tuple[str | None, str | None]:
    """(model, hash of how it was asked): a step's version, where `harvest` wrote it, or the hash of the prompt."""
    if not isinstance(provenance, Mapping):
        return None, None
    model = provenance.get("model") or provenance.get("teacher")
    asked = provenance.get("version") or provenance.get("prompt_hash")
    return (model if isinstance(model, str) else None), (asked if isinstance(asked, str) else None)
