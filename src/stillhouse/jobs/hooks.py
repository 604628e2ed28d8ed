"""`module:function` of the user's own, as some options take it."""

from collections.abc import Callable
from typing import Any

from stillhouse.errors import UserError
from stillhouse.named import object_named


def load_hook(name: str, option: str) -> Callable[..., Any]:
    """The function that `module:function` names. Raises UserError."""
    try:
        found = object_named(name)
    except (ImportError, AttributeError, SyntaxError, ValueError) as error:
        raise UserError(f"{option} {name}: cannot be imported ({error}); name a function as module:function") from None
    if not callable(found):
        raise UserError(f"{option} {name}: is not a function")
    return found  # type: ignore[no-any-return]
