"""A table for the terminal that never breaks inside a word: where the columns have no room, each row is a few lines."""

from collections.abc import Collection, Iterator, Sequence

import rich.box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

NOTHING = "–"  # what a cell shows that has nothing to say
_INDENT = 2


class FittingTable:
    """Rows of texts under heads. `wrapping`: the columns whose cells may go over several lines; numbers never do.

    The first column names the row. The others stand flush right, but for those in `left`.
    """

    def __init__(
        self,
        heads: Sequence[str],
        rows: Sequence[Sequence[Text]],
        *,
        wrapping: Collection[int] = (0,),
        left: Collection[int] = (),
        ruled: bool = True,
    ) -> None:
        self._heads, self._rows = [Text(head) for head in heads], [list(row) for row in rows]
        self._wrapping, self._left, self._ruled = wrapping, {0, *left}, ruled

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        padding, widths = 2, self._widths(options.max_width, 2)
        if widths is None:
            padding, widths = 1, self._widths(options.max_width, 1)
        if widths is None:
            for row in self._rows:
                yield from self._as_lines(row, options.max_width)
            yield Text()
            return
        table = Table(
            box=rich.box.SIMPLE_HEAD if self._ruled else None,
            pad_edge=False,
            show_edge=False,
            padding=(0, padding - self._ruled, 0, 0),  # a box sets its columns one apart
            header_style="dim",
            show_header=any(head.plain for head in self._heads),
        )
        for place, (head, width) in enumerate(zip(self._heads, widths, strict=True)):
            table.add_column(head, width=width, justify="left" if place in self._left else "right", overflow="fold")
        for row in self._rows:
            table.add_row(*row)
        yield from (Text(), table, Text()) if self._ruled else (table,)

    def _widths(self, room: int, padding: int) -> list[int] | None:
        """The columns' widths; None: the words do not fit."""
        natural, least = [], []
        for place, head in enumerate(self._heads):
            cells = [row[place] for row in self._rows]
            whole = max((cell_len(cell.plain) for cell in cells), default=0)
            words = _longest_word([head])
            natural.append(max(whole, words))
            least.append(max(words, _longest_word(cells) if place in self._wrapping else whole))
        left = room - sum(least) - padding * (len(least) - 1)
        if left < 0:
            return None
        for place in sorted(self._wrapping):
            more = min(left, natural[place] - least[place])
            least[place], left = least[place] + more, left - more
        return least

    def _as_lines(self, row: Sequence[Text], width: int) -> Iterator[Text]:
        """The row's name, and under it what it has, each value with its head."""
        yield row[0]
        line = Text()
        for head, cell in zip(self._heads[1:], row[1:], strict=True):
            if cell.plain == NOTHING:
                continue
            part = Text.assemble((f"{head.plain} ", "dim") if head.plain else "", cell)
            if line and cell_len(line.plain) + 2 + cell_len(part.plain) > width:
                yield line
                line = Text()
            line.append(" " * _INDENT)
            line.append_text(part)
        if line:
            yield line


def _longest_word(cells: Sequence[Text]) -> int:
    return max((cell_len(word) for cell in cells for word in cell.plain.split(" ")), default=0)
