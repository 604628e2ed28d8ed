"""`module:function` of the user's own, as some options take it. The module is imported as Python would, from the working folder."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stillhouse.errors import UserError


def load_hook(name: str, option: str) -> Callable[..., Any]:
    """The function that `module:function` names. Raises UserError."""
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute:
        raise UserError(f"{option} {name}: name a function as module:function")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, SyntaxError) as error:
        raise UserError(f"{option} {name}: cannot be imported ({error}); name a function as module:function") from None
    if not callable(found):
        raise UserError(f"{option} {name}: is not a function")
    return found  # type: ignore[no-any-return]
