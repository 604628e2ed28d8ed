"""One purse per command: labels, prompts with examples, a judge: all of it is under one cap and in one total."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from stillhouse.llm.ledger import Ledger
from stillhouse.llm.prompted import added_usd


@dataclass
class Purse:
    """The ledger that every model of a command is opened with, and what each part of the command paid.

    `paid`: what was paid for -> US$ in this sitting; None: a price was unknown.
    """

    ledger: Ledger = field(default_factory=Ledger)
    paid: dict[str, float | None] = field(default_factory=dict)

    @contextlib.contextmanager
    def paying_for(self, what: str, *, free: bool = False) -> Iterator[None]:
        """What is spent meanwhile was for this, also where it fails. Parts of a command come one after the other.

        `free`: a stand-in answers.
        """
        before = self.ledger.spent_usd
        try:
            yield
        finally:
            spent_usd = 0.0 if free else spent_since(before, self.ledger)
            self.paid[what] = added_usd(self.paid.get(what, 0.0), spent_usd)

    def was_free(self, what: str) -> None:
        """A stand-in answered: at a model's price it would have cost something, and nobody was paid."""
        self.paid[what] = 0.0


def spent_since(before: float | None, ledger: Ledger) -> float | None:
    """What was spent since the ledger stood at `before`; None: not known."""
    return None if before is None or ledger.spent_usd is None else ledger.spent_usd - before
