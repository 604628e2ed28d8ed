"""An arm's answers as they count: of traffic every row, of a file each input once (see `data.copies`). Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stillhouse.data.copies import ONCE, UNSEEN, Reading
from stillhouse.experiment.material import Material
from stillhouse.records import Example
from stillhouse.results.measured_arm import MeasuredArm
from stillhouse.results.row_result import RowResult


def rows_in(reading: Reading, rows: Sequence[RowResult]) -> list[RowResult]:
    """The rows that count in this way, in the groups that they count in."""
    return [replace(row, group=reading.groups[row.id]) for row in rows if row.id in reading.groups]


def ways(material: Material, part: str, rows: Sequence[RowResult]) -> Mapping[str, list[RowResult]]:
    """The rows of a part in each way in which they count; one way without a name where they are as they are."""
    of_part = material.splits.readings.get(part, ())
    return {reading.name: rows_in(reading, rows) for reading in of_part} or {"": list(rows)}


def whole_ways(material: Material, part: str, rows: Sequence[RowResult]) -> Mapping[str, list[RowResult]]:
    """Those of the ways that hold all that the app is asked, and not only what is new to the student."""
    return {name: own for name, own in ways(material, part, rows).items() if name != UNSEEN}


def counted(material: Material, arm: MeasuredArm, *, once: bool = False) -> MeasuredArm:
    """The arm with the rows that numbers are about; `once`: with each input counted once."""

    def of(part: str, rows: list[RowResult]) -> list[RowResult]:
        in_ways = ways(material, part, rows)
        return in_ways.get(ONCE if once else "", next(iter(in_ways.values())))

    if not material.splits.readings:
        return arm
    others = {name: of(name, rows) for name, rows in arm.others.items()}
    return replace(arm, test=of("test", arm.test), calibration=of("calibration", arm.calibration), others=others)


def as_counted(material: Material, *, once: bool = False) -> Material:
    """The material with the test and calibration rows that numbers are about, or with each input counted once."""
    splits = material.splits

    def of(part: str, rows: list[Example]) -> list[Example]:
        readings = splits.readings.get(part, ())
        own = next((reading for reading in readings if once and reading.name == ONCE), None)
        reading = own or (readings[0] if readings else None)
        return rows if reading is None else [row for row in rows if row.id in reading.groups]

    test, calibration = of("test", splits.test), of("calibration", splits.calibration)
    return replace(material, splits=replace(splits, test=test, calibration=calibration))


def also_once(material: Material) -> bool:
    """Whether the test rows count in a second way, each input once."""
    return any(reading.name == ONCE and reading.groups for reading in material.splits.readings.get("test", ()))
