import pytest

from stillhouse import numbers
from stillhouse.records import Estimate


def plain(text):
    return text.replace("\u202f", " ").replace("\u2212", "-")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unknown"),
        (0, "$0"),
        (2.1e-6, "$0.0000021"),
        (0.5, "$0.50"),
        (4.169, "$4.17"),
        (500, "$500"),
        (2000, "$2,000"),
        (2.5e6, "$2.5 million"),
    ],
)
def test_dollars_keep_two_digits_and_unknown_is_not_zero(value, text):
    assert plain(numbers.usd(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unknown"),
        (2e-6, "2.0 µs"),
        (0.0011, "1.1 ms"),
        (0.25, "250 ms"),
        (1.94, "1.9 s"),
        (1834, "31 min"),
        (9000, "2.5 h"),
        (2e6, "23 days"),
    ],
)
def test_seconds_take_the_unit_that_fits(value, text):
    assert plain(numbers.seconds(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "unknown"), (812, "812 B"), (9_400, "9.4 kB"), (91_200_000, "91 MB"), (1_500_000_000, "1.5 GB")],
)
def test_bytes_are_decimal(value, text):
    assert plain(numbers.size(value)) == text


def test_counts_have_separators_and_then_words():
    assert [plain(numbers.count(value)) for value in (7, 9824, 41_100.4, 25_000_000)] == [
        "7",
        "9,824",
        "41,100",
        "25 million",
    ]


def test_a_number_travels_with_its_interval_and_n():
    assert plain(numbers.described(Estimate(0.79, 9824, 0.782, 0.798))) == "79.0 % [78.2, 79.8], n = 9,824"
    assert plain(numbers.described(Estimate(0.5, 2))) == "50.0 % no interval, n = 2"


def test_differences_carry_their_sign():
    assert [plain(numbers.points(value)) for value in (0.06, -0.101, 0.0)] == ["+6.0", "-10.1", "+0.0"]


def test_a_percent_sign_is_tied_to_its_number():
    assert numbers.tied("right on 79.0 % of rows") == "right on 79.0\u202f% of rows"
