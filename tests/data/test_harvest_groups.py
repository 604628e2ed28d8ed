"""Which harvested rows belong together: conversations, users and documents stay whole, items of a batch stand alone."""

import pytest

from stillhouse.data.harvest import Traced, harvest
from stillhouse.data.harvest_groups import Where, groups_of
from stillhouse.data.splits import split_examples
from stillhouse.errors import UserError


def call(number, input_, output="sql", *, run="r", given=None, outermost=None):
    return Traced(
        run=run,
        key=f"route/hash/{number}",
        input=input_,
        output=output,
        model="m",
        created=float(number),
        version="v1",
        cost_usd=None,
        where=Where(given, outermost),
    )


def together(calls, by=None):
    """The calls that are in one group, by their places, each set once."""
    groups = groups_of(calls, by)
    return sorted([at for at, other in enumerate(groups) if other == group] for group in dict.fromkeys(groups))


def test_a_batch_run_of_many_items_is_split_by_item():
    calls = [call(n, f"question {n}") for n in range(440)]
    rows = harvest(calls).examples
    assert len({row.group for row in rows}) == 440
    parts = split_examples(rows, {"validation": 0.1, "calibration": 0.1, "test": 0.2}, seed=0)
    assert [len(parts[part]) for part in ("train", "validation", "calibration", "test")] == [264, 44, 44, 88]


def test_a_run_that_was_given_a_list_went_through_items_however_few():
    calls = [call(n, f"question {n}", given={"questions": ["a", "b", "c"]}) for n in range(3)]
    assert together(calls) == [[0], [1], [2]]
    assert together([call(n, f"question {n}", given={"questions": ["a"]}) for n in range(3)]) == [[0, 1, 2]]


def test_a_run_of_few_calls_is_one_group_as_one_request_of_one_user_is():
    calls = [call(1, "how many?"), call(2, "who?"), call(3, "why?", run="s")]
    assert groups_of(calls) == ["r", "r", "s"]


def test_an_items_own_calls_stay_together():
    """Twelve items, each a step that asks twice."""
    calls = [call(n, f"question {n}", outermost=f"answer/hash/{n // 2}") for n in range(24)]
    assert together(calls) == [[n, n + 1] for n in range(0, 24, 2)]


TURNS = [f"Turn {n}: where is the parcel that I sent?" for n in range(15)]


@pytest.mark.parametrize(
    "inputs",
    [
        ["\n".join(TURNS[: n + 1]) for n in range(15)],  # all so far, in one text
        [{"messages": [{"role": "user", "content": turn} for turn in TURNS[: n + 1]]} for n in range(15)],
    ],
)
def test_the_turns_of_a_long_conversation_stay_together(inputs):
    assert together([call(n, text) for n, text in enumerate(inputs)]) == [list(range(15))]


def test_a_call_that_was_shown_anothers_answer_belongs_to_it():
    calls = [call(n, f"question {n}", f"the draft of answer {n}, at length") for n in range(12)]
    assert together([*calls, call(20, "Is this good? the draft of answer 3, at length", "yes")])[3] == [3, 12]


@pytest.mark.parametrize("field", ["conversation", "conversation_id", "user", "userId", "document", "doc_id", "Thread"])
def test_rows_that_share_a_conversation_a_user_or_a_document_belong_together(field):
    """Across runs, in the input or in what the run was started with, at the first or at the second level."""
    inside = [call(n, {field: f"v{n % 3}", "text": f"question {n}"}, run=f"r{n}") for n in range(9)]
    assert together(inside) == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    given = [call(n, f"question {n}", run=f"r{n}", given={"mail": {field: n % 3}}) for n in range(9)]
    assert together(given) == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


def test_a_field_that_is_the_same_in_all_rows_parts_nothing():
    calls = [call(n, {"user": "acme", "text": f"question {n}"}) for n in range(12)]
    assert together(calls) == [[n] for n in range(12)]


def test_other_fields_are_no_group():
    calls = [call(n, {"language": "de" if n % 2 else "en", "text": f"question {n}"}) for n in range(12)]
    assert together(calls) == [[n] for n in range(12)]


def test_no_name_of_a_person_stands_in_a_group():
    calls = [call(n, {"user": "Ann" if n % 2 else "Bo", "text": f"question {n}"}) for n in range(4)]
    groups = groups_of(calls)
    assert len(set(groups)) == 2 and all(group.startswith("user ") and "Ann" not in group for group in groups)


def test_what_rows_share_can_be_named():
    calls = [call(n, {"parcel": n % 2, "text": f"question {n}"}, run=f"r{n % 3}") for n in range(6)]
    assert together(calls, "parcel") == [[0, 2, 4], [1, 3, 5]]
    assert together(calls, "run") == [[0, 3], [1, 4], [2, 5]]
    assert groups_of(calls, "call") == [None] * 6
    with pytest.raises(
        UserError, match="--group-by shop: no call has such a field; give one of: parcel, text, run, call"
    ):
        groups_of(calls, "shop")
