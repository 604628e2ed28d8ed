"""What one model at one endpoint takes, as its refusals tell.

Models differ in the parameters of one and the same API. Those that reason know `max_tokens` as `max_completion_tokens`,
and take no temperature but their own (OpenAI since o1, Anthropic since Claude Opus 4.7). No list says which model does
what, but a refusal says it. A parameter that has another name is sent under that name. A sampler's setting that the
model does not take is left out. A log line says so once, and each reply's `lacking` repeats it, for the provenance of
rows and the facts of steps.
"""

import logging
import re
from collections.abc import Collection, Mapping
from typing import Any

from stillhouse.json_text import JsonError, read_body

_RENAMED = {"max_tokens": "max_completion_tokens"}
# Parameters to leave out, in this order: where the two cannot go together, the temperature stays.
_LEFT_OUT = ("top_p", "temperature")
# The words by which endpoints refuse a parameter: no API has a code for this that all of them use.
_REFUSES = re.compile(
    r"unsupported|not support|deprecated|not allowed|not permitted|cannot both|unrecogni[sz]ed|unknown parameter",
    re.IGNORECASE,
)
_log = logging.getLogger(__name__)


class ModelDialect:
    """The parameters that a model refused, shared by its single calls and its batches.

    `refused` of the constructor: names that are known to be refused before anything is sent.
    """

    def __init__(self, model: str, refused: Collection[str] = ()) -> None:
        self._model = model
        # Replaced as a whole, never changed, so that a call may keep the set that held when it was sent.
        self.refused = frozenset(refused)

    def body(self, body: dict[str, Any]) -> dict[str, Any]:
        """A request's body as the model takes it."""
        if not self.refused:
            return body
        renamed = {_RENAMED.get(name, name) if name in self.refused else name: value for name, value in body.items()}
        return {name: value for name, value in renamed.items() if name not in _LEFT_OUT or name not in self.refused}

    def lacking(self, parameters: Mapping[str, Any]) -> tuple[str, ...]:
        """Those of a request's parameters that are left out."""
        return tuple(name for name in _LEFT_OUT if name in self.refused and name in parameters) if self.refused else ()

    def refuse(self, name: str) -> None:
        """Send this parameter no more."""
        if name not in self.refused and name in _LEFT_OUT:
            _log.warning("%s takes no %s: it is asked without, so its own default holds", self._model, name)
        self.refused |= {name}


def refused_parameter(raw: bytes) -> str | None:
    """The parameter that an error's body says the model does not take; None where it is about anything else."""
    try:
        error = read_body(raw)["error"]
        words, parameter = f"{error['message']} {error.get('code')}", error.get("param")
    except (JsonError, LookupError, TypeError, AttributeError):
        return None
    if not _REFUSES.search(words):
        return None
    names = (*_LEFT_OUT, *_RENAMED)
    if isinstance(parameter, str) and parameter:
        return parameter if parameter in names else None
    return next((name for name in names if re.search(rf"\b{name}\b", words)), None)
