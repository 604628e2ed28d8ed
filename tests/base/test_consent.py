"""Consent by one callable."""

import pytest

from stillhouse.consent import Bulk, OneConsent, Quote, Shown
from stillhouse.errors import BudgetError
from stillhouse.records import Estimate
from stillhouse.session import Session

PRICED = Quote(100, "openai:x", Estimate(0.5, 20), price_snapshot="a table")


def test_a_callable_is_given_the_estimate_and_its_no_stops_the_bulk():
    seen = []
    asked = Session(consent=lambda quote: seen.append(quote) or quote.cost_usd.value < 1).asks
    asked.before(PRICED)
    assert seen == []  # the price is known, and the pilot comes first
    asked.after(PRICED)
    assert seen == [PRICED]
    with pytest.raises(BudgetError, match=r"^not agreed to: 100 calls of openai:x will cost about \$9\.00"):
        asked.after(Quote(100, "openai:x", Estimate(9.0, 20), price_snapshot="a table"))


def test_without_a_price_it_is_asked_before_the_pilot():
    asked = Session(consent=lambda quote: quote.cost_usd is not None).asks
    with pytest.raises(BudgetError, match="at a cost that cannot be told"):
        asked.before(Quote(100, "openai:x"))


def test_nobody_is_asked_where_no_consent_is_given():
    assert Session().asks is None


class Says:
    def __init__(self):
        self.told = []

    def before(self, quote):
        self.told.append(("before", quote.teacher, quote.n_in_all))

    def after(self, quote):
        self.told.append(("after", quote.teacher, quote.total_usd))


def judge(n=240, usd=0.03, price="a table"):
    return Bulk(n, "openai:judge", price, lambda shown: usd if shown.answer_bytes else None)


SHOWN = Shown(answer_bytes=12.0)
LABELS = Quote(100, "openai:x", Estimate(0.5, 20), price_snapshot="a table", shown=SHOWN)
JUDGED = Quote(240, "openai:judge", Estimate(0.04, 20), price_snapshot="a table")


def test_one_consent_is_to_all_that_a_command_pays_for():
    """What is asked, for each way in which the parts can come; what follows is asked again only where it costs much more."""
    one = [("after", "openai:x", pytest.approx(0.53))]
    dear = Quote(240, "openai:judge", Estimate(0.4, 20), price_snapshot="a table")
    cases = [
        ("later calls within what was told", judge(), [LABELS, JUDGED], one),
        ("much dearer than told", judge(), [LABELS, dear], [*one, ("after", "openai:judge", pytest.approx(0.4))]),
        ("nobody knows what they cost", judge(price=None), [LABELS, dear], [("after", "openai:x", None)]),
        ("the later ones alone", judge(), [JUDGED], [("after", "openai:judge", pytest.approx(0.04))]),
    ]
    for name, bulk, quotes, asked in cases:
        says = Says()
        consent = OneConsent(says, [bulk])
        assert consent.n_later == 240, name
        for quote in quotes:
            if quote.teacher == bulk.teacher:
                consent.begins(bulk)
            consent.after(quote)
        assert (says.told, consent.n_later) == (asked, 0), name


def test_what_follows_is_named_before_the_first_call_and_asked_about_alone_where_nothing_came_before():
    says = Says()
    OneConsent(says, [judge()]).before(LABELS)
    assert says.told == [("before", "openai:x", 340), ("before", "openai:judge", 240)]
    for n, asked in ((20, []), (21, [("before", "openai:judge", 21), ("after", "openai:judge", 0.03)])):
        says = Says()
        consent = OneConsent(says, [judge(n)])
        consent.ask_alone(SHOWN)
        assert (says.told, consent.n_later) == (asked, 0)
    sentence = "up to 21 calls of openai:judge will cost about $0.03; price: a table"
    seen = []
    OneConsent(Session(consent=lambda quote: seen.append(str(quote)) or True).asks, [judge(21)]).ask_alone(SHOWN)
    assert seen == [sentence]


def test_a_quote_says_what_follows_and_the_sum():
    whole = Quote(100, "openai:x", Estimate(0.5, 20), price_snapshot="a table", later=(judge().told(SHOWN),))
    assert str(whole) == (
        "100 calls of openai:x will cost about $0.5; then up to 240 calls of openai:judge for about $0.03 by the "
        "length of the texts; about $0.53 in all; price: a table"
    )
