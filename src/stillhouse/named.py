"""`module:object` of the user's own code. The module is imported as `python -m` would: from the working folder, then from wherever Python looks."""

import importlib
import sys
from pathlib import Path
from typing import Any


def object_named(name: str) -> Any:
    """What `module:object` names. Raises ImportError, AttributeError, ValueError (a part of the name is missing) or SyntaxError."""
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError("name it as module:object")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    return getattr(importlib.import_module(module), attribute)
