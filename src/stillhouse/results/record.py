"""What the records of a run's result are made with: frozen, strict when read from JSON, every number finite."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import BeforeValidator, ConfigDict, Field, with_config

from stillhouse.records import Estimate

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """A frozen dataclass that, read from JSON, refuses unknown keys, NaN and infinity."""
    return with_config(ConfigDict(extra="forbid", allow_inf_nan=False))(dataclass(frozen=True, slots=True)(cls))


def _checked_estimate(value: Any) -> Any:
    """`Estimate` belongs to the base and has no validation of its own: refuse unknown keys, NaN and infinity here."""
    if isinstance(value, Mapping):
        if unknown := set(value) - {part.name for part in fields(Estimate)}:
            raise ValueError(f"an estimate has no {sorted(unknown)[0]!r}")
        if any(isinstance(number, float) and not math.isfinite(number) for number in value.values()):
            raise ValueError("an estimate holds finite numbers; unknown is null")
    return value


Measured = Annotated[Estimate, BeforeValidator(_checked_estimate)]
Dollars = Annotated[float, Field(ge=0)]
