"""Whether more training rows are worth their labels: the chance that they help, times what the student then saves."""

from dataclasses import dataclass

from stillhouse.advice.reach import NextRows
from stillhouse.numbers import usd_in_sentence
from stillhouse.verdict.evidence import MoneyEvidence


@dataclass(frozen=True)
class RowsMoney:
    """US dollars over the horizon: what the student saves where it gets there, the chance, and what the labels cost."""

    saving_usd: float
    chance: float
    labels_usd: float

    @property
    def pays(self) -> bool:
        return self.chance * self.saving_usd > self.labels_usd


def rows_money(money: MoneyEvidence, label_usd: float | None, rows: NextRows) -> RowsMoney | None:
    """None where labels or savings have no price. Labels of a student that saves nothing need none.

    The saving is the student's over the horizon; what was already spent on it is spent. The labels are those that the
    plan buys on average: all of the half step, and the rest as often as it goes on.
    """
    net = money.net
    if net is None or net.days is None or money.fixed_usd is None:
        return None
    saving = net.saving_usd + money.fixed_usd
    if label_usd is None and saving > 0:
        return None
    return RowsMoney(saving, rows.found, (label_usd or 0.0) * rows.expected_rows)


def in_words(money: RowsMoney) -> str:
    """Both sides of the comparison."""
    if money.saving_usd <= 0:
        return "it would save nothing over the horizon"
    hope = f"{money.chance:.0%} of {usd_in_sentence(money.saving_usd)} saved over the horizon"
    return f"{hope}, for labels of {usd_in_sentence(money.labels_usd)} on average"
