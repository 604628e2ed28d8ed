"""The answer of a run, in words. The rules that give it are in `verdict.rules`."""

from typing import Literal

from stillhouse.results.learning_curves import Size
from stillhouse.results.record import record

# What a verdict is called where people read it, where that is not its kind: a TF-IDF model is not finetuned.
_CALLED = {"finetune": "train on your labels"}
VerdictKind = Literal["keep prompt", "few-shot", "finetune", "distil", "cascade", "collect more", "cannot tell"]


def called(kind: str | None) -> str:
    """A verdict as people read it; empty: there is none."""
    return _CALLED.get(kind or "", kind or "")


@record
class HalfStep:
    """More training rows that a verdict asked for: `arm` had `n`, and looks again on its way to `until`, twice as many.

    The next run reads it, and goes on only if what was bought has brought enough.
    """

    arm: str
    n: Size
    until: Size


@record
class Verdict:
    """What to do, and why. `chosen` is the arm that it recommends; None: it recommends none.

    `because` are the facts that carry it: first the contrast that it stands on, then the money. `would_change`: what
    would turn it. `half_step`: training rows that it asks for, in the form that the next run reads.
    """

    kind: VerdictKind
    sentence: str
    because: tuple[str, ...] = ()
    would_change: tuple[str, ...] = ()
    buy_next: str | None = None
    chosen: str | None = None
    half_step: HalfStep | None = None

    @property
    def called(self) -> str:
        """The verdict as people read it."""
        return called(self.kind)

    @property
    def contrast(self) -> str:
        """The difference that the verdict stands on, with its interval and n."""
        return self.because[0]

    @property
    def money(self) -> str:
        """What is known of the money, and what is not."""
        return self.because[1]
