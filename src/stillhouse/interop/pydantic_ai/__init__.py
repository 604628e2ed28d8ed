"""pydantic-ai on Stillhouse: a student or a cascade as an agent's model, and an agent's calls in the journal of a flow.

    from stillhouse.interop.pydantic_ai import StillhouseDurability, StudentModel, journaled

Needs the extra `pydantic-ai`. Written against pydantic-ai 2.68 and its public interfaces alone: `Model`, and what
`pydantic_ai.durable_exec` has for durable engines.
"""

from stillhouse.errors import MissingExtraError

try:
    import pydantic_ai  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "pydantic_ai":
        raise
    raise MissingExtraError("pydantic-ai is not installed; `pip install 'stillhouse[pydantic-ai]'`") from None

from stillhouse.interop.pydantic_ai.durability import JournaledAgent, StillhouseDurability, journaled
from stillhouse.interop.pydantic_ai.student_model import NoAnswerError, StudentModel

__all__ = ["JournaledAgent", "NoAnswerError", "StillhouseDurability", "StudentModel", "journaled"]
