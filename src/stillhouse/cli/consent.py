"""Asking before money is spent: on a terminal by a question, elsewhere by what the command line says already."""

import sys

import typer

from stillhouse.cli.console import err
from stillhouse.cli.phases import Ticker
from stillhouse.consent import Quote
from stillhouse.errors import BudgetError, PriceUnknownError, UserError


class CommandLine:
    """`consent` for a bulk of calls. The estimate is printed in every case.

    `--yes`, a cap in dollars and `--unpriced` are consent given beforehand.
    """

    def __init__(self, tick: Ticker, *, yes: bool, max_usd: float | None, unpriced: bool) -> None:
        self._tick, self._given, self._unpriced = tick, yes or unpriced or max_usd is not None, unpriced

    def before(self, quote: Quote) -> None:
        of_calls = f"{quote.n:,} calls" if quote.n else "its calls"
        if quote.price_snapshot is None and not self._unpriced:
            raise PriceUnknownError(
                f"no price is known for {quote.teacher}, so nobody can say what {of_calls} will cost; "
                "give --price-in and --price-out (0 for a machine of your own), or --unpriced to go on without knowing"
            )
        if not self._given and not (sys.stdin.isatty() and err.is_terminal):
            raise UserError(
                f"{quote.n:,} calls of {quote.teacher}{_and_later(quote)} are to be paid for and nobody can be asked "
                "here; "
                "give --yes, or a cap with --max-usd"
            )

    def after(self, quote: Quote) -> None:
        with self._tick.paused():
            err.print(str(quote), highlight=False, soft_wrap=True)
            if not self._given and not typer.confirm("Go on?", err=True):
                raise BudgetError(
                    "stopped before the bulk: nothing more is asked, and what the pilot answered is stored"
                )


def _and_later(quote: Quote) -> str:
    return "".join(f" and up to {part.n:,} of {part.teacher}" for part in quote.later)
