import random
from collections import Counter
from contextlib import closing

import pytest

from stillhouse.data.dataset import load_examples
from stillhouse.data.leakage import check_leakage, near_copies
from stillhouse.data.splits import load_splits
from stillhouse.demo import shop, tasks
from stillhouse.demo.grammar import ROUTE_SHARES, choose, intents, make_rows, parse, part_of
from stillhouse.demo.slots import SLOTS, squash
from stillhouse.errors import ExistsError
from stillhouse.task import load_task
from stillhouse.words import normalise


@pytest.fixture(scope="module")
def database():
    with closing(shop.in_memory()) as connection:
        yield connection


def test_every_choice_is_made_from_the_inside_out():
    drawn = {choose("[a|b [c|d]|] x", random.Random(seed)) for seed in range(60)}
    assert drawn == {"a x", "b c x", "b d x", "x"}


def test_a_movable_clause_stands_in_place_or_in_front():
    intent = next(intent for intent in intents("sql") if intent.name == "orders_month")
    starts = [choose(pattern, random.Random(0)).startswith("{month}, ") for pattern in intent.patterns]
    assert any(starts) and not all(starts)


def test_at_least_sixty_queries_and_each_thing_asked_in_hundreds_of_wordings():
    assert len(intents("sql")) >= 60
    rng = random.Random(0)
    for intent in intents():
        wordings = {squash(choose(rng.choice(intent.patterns), rng)) for _ in range(600)}
        assert len(wordings) >= (200 if intent.label == "sql" else 100), intent.name


def test_a_third_of_the_wordings_is_kept_for_the_test_rows():
    rng = random.Random(0)
    wordings = {choose(rng.choice(intent.patterns), rng) for intent in intents() for _ in range(20)}
    assert sum(part_of(wording) == "test" for wording in wordings) / len(wordings) == pytest.approx(1 / 3, abs=0.04)


@pytest.mark.parametrize("task", ["route", "to_sql"])
def test_train_and_test_rows_share_no_wording_and_both_hold_every_intent(task):
    train, test = make_rows(task, 800, part="train"), make_rows(task, 800, part="test")
    check_leakage(train, test)
    asked = {intent.name for intent in intents("sql" if task == "to_sql" else None)}
    assert {row.extra["intent"] for row in train} == {row.extra["intent"] for row in test} == asked
    assert all(part_of(row.extra["wording"]) == "train" for row in train)


def test_rows_are_as_many_as_asked_different_and_the_same_for_the_same_seed():
    rows = make_rows("to_sql", 500, seed=3)
    assert rows == make_rows("to_sql", 500, seed=3)
    assert len({normalise(row.text) for row in rows}) == len({row.id for row in rows}) == 500
    assert make_rows("to_sql", 500, seed=4) != rows


def test_a_question_keeps_its_id_whatever_the_seed():
    ids = {}
    for seed in range(3):
        for row in make_rows("route", 600, seed):
            assert ids.setdefault(squash(row.text), row.id) == row.id


def test_intents_are_balanced_and_routes_come_in_their_shares():
    per_intent = Counter(row.extra["intent"] for row in make_rows("to_sql", 800))
    assert min(per_intent.values()) >= 8 and max(per_intent.values()) <= 12
    rows = make_rows("route", 2000)
    for label, share in ROUTE_SHARES.items():
        assert sum(row.label == label for row in rows) / 2000 == pytest.approx(share, abs=0.04)


def test_every_gold_query_runs_and_nearly_all_have_something_to_show(database):
    results = [database.execute(row.label).fetchall() for row in make_rows("to_sql", 800)]
    empty = [rows for rows in results if not rows or rows[0][0] in (None, 0)]
    assert len(empty) <= 8


@pytest.mark.slow
@pytest.mark.parametrize("part", ["train", "test"])
def test_parsing_a_question_gives_back_its_query(part):
    for row in make_rows("to_sql", 240, seed=9, part=part):
        meaning = parse(row.text)
        assert meaning is not None and meaning.query == row.label, row.text


def test_no_question_reads_as_two_intents():
    for row in make_rows("route", 240, seed=5):
        values = {slot: SLOTS[slot].draw(random.Random(row.id))[1] for slot in SLOTS}
        bare = squash(row.extra["wording"].format_map(values))
        assert [intent.name for intent in intents() if intent.read(bare) is not None] == [row.extra["intent"]], row.text


def test_a_question_from_outside_the_grammar_is_not_parsed():
    assert parse("Which city do we have the most customers in?") is None
    assert parse("the status of order 99999999") is None
    assert parse("") is None


def test_hand_written_questions_are_many_and_their_queries_have_results(database):
    route, to_sql = tasks.handwritten("route"), tasks.handwritten("to_sql")
    assert len(route) >= 120 and len(to_sql) >= 90
    assert set(Counter(row.label for row in route)) == set(ROUTE_SHARES)
    for row in to_sql:
        rows = database.execute(row.label).fetchall()
        assert rows and rows[0][0] not in (None, 0), row.text


def test_no_template_produces_a_hand_written_question_or_nearly_one():
    route = tasks.handwritten("route")
    assert [row.text for row in route if parse(row.text) is not None] == []
    made = {
        row.id: row
        for part in ("train", "test")
        for task in ("route", "to_sql")
        for row in make_rows(task, 1500, part=part)
    }
    assert near_copies(list(made.values()), list(route), threshold=0.6) == []


def test_the_project_loads_as_a_users_would(tmp_path):
    written = tasks.write_project(tmp_path / "demo", sizes={"route": (200, 60), "to_sql": (200, 60)})
    for name, path in written.items():
        task = load_task(path)
        splits = load_splits(task)
        assert task.name == name and len(splits.test) == 60 and splits.calibration
        hand = load_examples(path.parent / "handwritten.jsonl", task=task).examples
        check_leakage(splits.train, hand)
    assert load_task(written["to_sql"]).database.resolve() == tmp_path / "demo" / "shop.db"
    with pytest.raises(ExistsError, match="not empty"):
        tasks.write_project(tmp_path / "demo")
