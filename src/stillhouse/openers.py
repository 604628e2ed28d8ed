"""Kinds of models that a package above `flow` opens: `student:DIR` and `cascade:DIR`.

A flow's step may name such a model, but `flow` stands below `serving`, which opens it. So the entry of the package
(`stillhouse/__init__.py`) enters an opener for each kind here, and `flow.models` looks it up by the kind.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from stillhouse.records import Predictor

# A function that is called with the model's whole name and `store=`, the place of the store that keeps paid replies.
Opener: TypeAlias = Callable[..., AbstractAsyncContextManager["Predictor"]]
OPENERS: dict[str, Opener] = {}
