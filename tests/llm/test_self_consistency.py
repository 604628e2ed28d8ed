"""Self-consistency: k samples vote, the agreement is the confidence, a tie elects nobody; and probabilities of labels from log-probabilities."""

import math
from itertools import permutations

import pytest

from stillhouse.llm.parsing import ParsedReply
from stillhouse.llm.self_consistency import vote
from stillhouse.llm.soft_targets import label_scores


def read(*answers):
    return [
        ParsedReply(answer, rationale=f"because {number}", how="strict")
        if answer
        else ParsedReply(None, error="no answer")
        for number, answer in enumerate(answers)
    ]


def test_the_majority_wins_and_the_unreadable_weaken_the_agreement():
    won = vote(read("b", "a", None, "a", "a"))
    assert (won.output, won.rationale, won.agreement) == ("a", "because 1", 0.6)
    assert won.scores == {"a": 0.75, "b": 0.25}  # of those that could be read


@pytest.mark.parametrize("answers", sorted(set(permutations(["a", "a", "b", "b", None])), key=str), ids=str)
def test_a_tie_is_null_with_its_reason_whatever_came_first(answers):
    tied = vote(read(*answers))
    assert (tied.output, tied.how, tied.scores) == (None, None, None)
    assert tied.error == "tie: 2 answers have 2 of 5 votes each"
    assert tied.agreement == 0.4


def test_no_readable_sample_is_no_answer():
    assert vote(read(None, None)).error == "no answer"
    mixed = vote(
        [
            ParsedReply(None, error="empty reply"),
            ParsedReply(None, error="empty reply"),
            ParsedReply(None, error="cut off"),
        ]
    )
    assert mixed.error == "no sample of 3 could be read (most often: empty reply)"


def test_samples_that_fail_alike_are_counted_as_one_that_fails_so():
    misfit = ParsedReply(None, error="the reply does not fit (city: 3)", counted_as="the reply does not fit")
    assert vote([misfit, misfit]).counted_as == "the reply does not fit"
    assert vote([misfit, misfit, ParsedReply(None, error="cut off")]).counted_as is None


def test_spacing_makes_no_second_candidate_and_a_strict_vote_makes_the_answer_strict():
    replies = [
        ParsedReply("( 7 - 4 )", how="lenient"),
        ParsedReply("(7 - 4)", how="strict"),
        ParsedReply("(  7 - 4 )", how="strict"),
    ]
    assert vote(replies).output == "( 7 - 4 )"
    assert (vote(replies).agreement, vote(replies).how) == (pytest.approx(2 / 3), "strict")


def tops(*places):
    return [{token: math.log(p) for token, p in place.items()} for place in places]


def tokens(*pairs):
    return [(token, math.log(p)) for token, p in pairs]


def scores(tokens, tops, labels, at=0):
    found = label_scores(tokens, tops, at, labels)
    return None if found is None else {label: round(p, 6) for label, p in found.items()}


LABELS = ("positive", "negative", "neutral")


def test_a_label_of_one_token_has_the_probability_of_its_token_and_spellings_add_up():
    seen = tops({"positive": 0.6, " Positive": 0.1, "neg": 0.2, "n": 0.05, "banana": 0.05})
    assert scores(tokens(("positive", 0.6)), seen, LABELS) == {
        "positive": 0.7,
        "negative": 0.2,
    }  # "n" may be two labels, "banana" is none


def test_labels_come_likeliest_first_whatever_was_listed_first():
    seen = tops({"neu": 0.1, "neg": 0.3, "positive": 0.6})
    assert list(label_scores(tokens(("positive", 0.6)), seen, 0, LABELS)) == ["positive", "negative", "neutral"]


def test_labels_that_begin_alike_are_told_apart_by_the_next_token():
    written = tokens(("ne", 0.5), ("utral", 0.8))
    seen = tops({"ne": 0.5, "pos": 0.4}, {"utral": 0.8, "gative": 0.15})
    assert scores(written, seen, LABELS) == {"positive": 0.4, "neutral": 0.4, "negative": 0.075}


def test_a_label_that_begins_another_is_decided_by_what_follows_it():
    labels = ("good", "good enough")
    assert scores(
        tokens(("good", 0.9), (".", 0.7)), tops({"good": 0.9, "bad": 0.1}, {".": 0.7, " enough": 0.2}), labels
    ) == {"good": 0.63, "good enough": 0.18}
    assert scores(tokens(("good", 0.9)), tops({"good": 0.9}), labels) == {"good": 0.9}


def test_the_answer_is_read_where_it_stands_behind_the_rationale():
    text = tokens(
        ("positive", 0.9), (" words", 0.9), (". So the answer is", 0.9), (" neg", 0.5), ("ative", 1.0), (".", 1.0)
    )
    seen = tops(
        {"positive": 0.9},
        {" words": 0.9},
        {". So the answer is": 0.9},
        {" neg": 0.5, " positive": 0.4},
        {"ative": 1.0},
        {".": 1.0},
    )
    assert scores(text, seen, LABELS, at=len("positive words. So the answer is ")) == {"negative": 0.5, "positive": 0.4}


def test_case_tells_labels_apart_only_where_nothing_else_does():
    assert scores(tokens(("us", 0.7)), tops({"us": 0.7, "US": 0.3}), ("us", "US")) == {"us": 0.7, "US": 0.3}


YES = tokens(("yes", 0.5))


@pytest.mark.parametrize(
    "case", [([], [], 0), (YES, tops({"yes": 0.5}), 9), (YES, [], 0), (tokens(("?", 1.0)), tops({"?": 1.0}), 0)]
)
def test_what_is_not_told_is_unknown(case):
    written, seen, at = case
    assert label_scores(written, seen, at, ("yes", "no")) is None


def test_a_token_that_goes_on_as_another_name_is_no_label():
    """Of C, "C++" and "C#" are other languages; "1.5" is no 1; an accent may be composed or not."""
    seen = tops({"C": 0.5, "C++": 0.3, "C#": 0.1, "Java": 0.1})
    assert scores(tokens(("C", 0.5)), seen, ("C", "Java")) == {"C": 0.5, "Java": 0.1}
    assert scores(tokens(("1", 0.6)), tops({"1": 0.6, "1.5": 0.3, "2": 0.1}), ("1", "2")) == {"1": 0.6, "2": 0.1}
    assert scores(tokens(("cafe\u0301", 1.0)), tops({"cafe\u0301": 1.0}), ("café", "thé")) == {"café": 1.0}


def test_labels_and_json_that_differ_in_spacing_are_different_answers():
    replies = read('"x y"', '"x  y"', '"x  y"')
    assert (vote(replies, exact=True).output, vote(replies).agreement) == ('"x  y"', 1.0)
    assert vote(replies, exact=True).agreement == pytest.approx(2 / 3)
