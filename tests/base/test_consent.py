"""Consent by one callable."""

import pytest

from stillhouse.consent import Quote
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
