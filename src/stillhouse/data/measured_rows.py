"""The rows of a part that measures: which of its rows are kept, and in which ways they count."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from stillhouse.data.copies import ALL_ROWS, UNSEEN, CopyRule, Reading, distinct, readings, repeats_in_words
from stillhouse.data.group_cap import Capped, capped
from stillhouse.records import Example


@dataclass(frozen=True)
class MeasuredRows:
    """The rows in the order of their file. `readings`: the ways in which they count; empty: as they are, one by one."""

    rows: list[Example]
    readings: tuple[Reading, ...] = ()
    notes: tuple[str, ...] = ()  # sentences about what was done with the rows

    @property
    def as_drawn(self) -> list[Example]:
        """The rows that numbers are about: draws of traffic where copies may be that, else all."""
        return [row for row in self.rows if not self.readings or row.id in self.readings[0].groups]


def measured_rows(
    part: str,
    draws: Sequence[Example],
    inputs: Sequence[Example],
    copies: CopyRule,
    *,
    trained_texts: Collection[str],
    cap: int | None = None,
    seed: int = 0,
) -> MeasuredRows:
    """The rows of one part, with at most `cap` of a group (None: all of them).

    `draws`: the rows that a split by row gives the part. `inputs`: those that a split by input gives it. They are the
    same rows unless the split had to serve both. `trained_texts`: normalised, of rows that are trained on.
    """
    if copies == "files":
        own = distinct(inputs)
        kept = _cut(own.rows, cap, seed)
        return MeasuredRows(kept.rows, (), (*own.said_of(part), *kept.said_of(part)))
    drawn = _cut(draws, cap, seed)
    if copies == "traffic":
        ways = readings(drawn.rows, trained_texts, None)
        return MeasuredRows(drawn.rows, ways, (*drawn.said_of(part), *_said_of_traffic(part, drawn.rows, ways)))
    own = distinct(inputs)
    once = _cut(own.rows, cap, seed)
    ways = readings(drawn.rows, trained_texts, once.rows)
    counting = {row.id for row in (*drawn.rows, *once.rows)}
    every = {row.id: row for row in (*draws, *inputs)}  # in the order of the file where they are the same rows
    rows = [row for row in every.values() if row.id in counting]
    said = [*drawn.said_of(part)]
    if ways:
        said.append(
            f"{repeats_in_words(drawn.rows, once.rows, part)}, and `copies` in [data] does not say whether that is "
            "traffic or a mistake of the file: what passes has to pass with all rows counted "
            f"(n = {len(drawn.rows)}) and with each input counted once (n = {len(once.rows)})"
        )
        if own.n_linked:
            said.append(f"{own.n_linked} of {len(inputs)} {part} rows have the input of another and a different label")
    return MeasuredRows(rows, ways, tuple(said))


def _cut(rows: Sequence[Example], cap: int | None, seed: int) -> Capped:
    return Capped(list(rows), 0, 0, 0) if cap is None else capped(rows, cap, seed)


def _said_of_traffic(part: str, rows: Sequence[Example], ways: Sequence[Reading]) -> list[str]:
    unseen = next((reading.groups for reading in ways if reading.name == UNSEEN), None)
    if unseen is None:
        return []
    seen = f"{len(rows) - len(unseen)} of {len(rows)} {part} rows have an input that is in training, as repeats do"
    if part == "calibration":
        return [f"{seen}: the cascade's promise is for {ALL_ROWS}"]
    both = f"on {ALL_ROWS} (n = {len(rows)}) and on {UNSEEN} (n = {len(unseen)})"
    return [f"{seen}: what passes has to pass {both}"]
