"""How the records of a result are made: frozen, strict when they are read from JSON, every number finite."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, TypeVar, dataclass_transform, overload

from pydantic import BeforeValidator, ConfigDict, Field, with_config

from stillhouse.records import Estimate

T = TypeVar("T")
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@overload
def record(cls: type[T]) -> type[T]: ...


@overload
def record(*, kw_only: bool) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T] | None = None, *, kw_only: bool = False) -> type[T] | Callable[[type[T]], type[T]]:
    """A frozen dataclass that refuses unknown keys, NaN and infinity when it is read from JSON."""

    def made(cls: type[T]) -> type[T]:
        return with_config(STRICT)(dataclass(frozen=True, slots=True, kw_only=kw_only)(cls))

    return made if cls is None else made(cls)


def _checked_estimate(value: Any) -> Any:
    """`Estimate` belongs to the base and checks nothing itself: unknown keys, NaN and infinity are refused here."""
    if isinstance(value, Mapping):
        if unknown := set(value) - {part.name for part in fields(Estimate)}:
            raise ValueError(f"an estimate has no {sorted(unknown)[0]!r}")
        if any(isinstance(number, float) and not math.isfinite(number) for number in value.values()):
            raise ValueError("an estimate holds finite numbers; unknown is null")
    return value


Measured = Annotated[Estimate, BeforeValidator(_checked_estimate)]
Dollars = Annotated[float, Field(ge=0)]
