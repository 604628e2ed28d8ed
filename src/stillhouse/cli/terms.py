"""The notice on a provider's terms, shown before labels are bought.

At a terminal it is asked about once; where nobody can answer, the command is refused.
"""

import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from stillhouse.cli.console import err
from stillhouse.cli.phases import Ticker
from stillhouse.errors import TermsError

P = ParamSpec("P")
T = TypeVar("T")


def once_confirmed(work: Callable[P, T], accepted: bool, bar: Ticker) -> Callable[P, T]:
    """The work, begun again once the notice is confirmed where it was refused for want of that.

    Nothing was asked or paid by then. Raises TermsError on a no.
    """

    def confirmed(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return work(*args, **kwargs)
        except TermsError as refused:
            from stillhouse.teacher.terms import accept_terms

            if not accepted:
                if not (sys.stdin.isatty() and err.is_terminal):
                    raise
                if not _asked(refused, bar):
                    raise TermsError(
                        "stopped: the notice was not confirmed; nothing was asked or paid",
                        refused.teacher,
                        refused.folder,
                    ) from None
            accept_terms(refused.teacher, refused.folder)
            return work(*args, **kwargs)

    return confirmed


def _asked(refused: TermsError, bar: Ticker) -> bool:
    """The notice, and the user's answer to it."""
    from stillhouse.teacher.terms import notice_of

    with bar.paused():
        err.print(f"\n{notice_of(refused.teacher)}\n", highlight=False, markup=False)
        return typer.confirm("Go on, and remember this for the tasks of this folder?", err=True)
