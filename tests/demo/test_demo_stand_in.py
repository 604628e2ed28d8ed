from contextlib import closing
from types import SimpleNamespace

import pytest
from genai_prices import Usage, calc_price

from stillhouse.demo import shop, stand_in, tasks
from stillhouse.demo.grammar import intents, make_rows
from stillhouse.errors import TeacherError
from stillhouse.records import Example

TEACHERS = {"route": stand_in.route_teacher, "to_sql": stand_in.sql_teacher}


def request(*contents):
    return SimpleNamespace(messages=[{"role": "user", "content": content} for content in contents])


@pytest.mark.slow
@pytest.mark.parametrize("task", ["route", "to_sql"])
def test_three_percent_of_the_answers_are_wrong_and_always_the_same_ones(task):
    rows = make_rows(task, 2000, part="test")
    wrong = [row.id for row in rows if TEACHERS[task](request(row.text), row) != row.label]
    assert 40 <= len(wrong) <= 80  # 60 expected; two and a half standard deviations
    assert wrong == [row.id for row in rows if stand_in.errs(task, row.text)]


def test_it_answers_from_the_question_and_not_from_the_rows_label():
    row = next(row for row in make_rows("to_sql", 20) if not stand_in.errs("to_sql", row.text))
    unlabelled = Example("x", row.text)
    assert stand_in.sql_teacher(request(), unlabelled) == row.label


def test_it_finds_the_question_in_the_prompt_when_there_is_no_example():
    row = next(row for row in make_rows("to_sql", 20) if not stand_in.errs("to_sql", row.text))
    for prompt in (row.text, f"Write one SQLite query.\n\nQuestion: {row.text}\nAnswer:", f"Input: {row.text}"):
        assert stand_in.sql_teacher(request("instruction", prompt)) == row.label


def test_it_knows_the_hand_written_questions():
    for task, teacher in TEACHERS.items():
        right = [teacher(request(row.text), row) == row.label for row in tasks.handwritten(task)]
        assert sum(right) >= len(right) - 8


def test_a_question_it_does_not_know_is_refused_in_one_sentence():
    for asked in (request("What is the airspeed of a swallow?"), request()):
        with pytest.raises(TeacherError, match="stand-in teacher does not know"):
            stand_in.sql_teacher(asked)


def test_a_wrong_query_runs_and_gives_another_result():
    questions = {row.extra["intent"]: row for row in make_rows("to_sql", 200, seed=2)}
    assert len(questions) == len(intents("sql"))
    with closing(shop.in_memory()) as connection:
        for row in (*questions.values(), *tasks.handwritten("to_sql")):
            wrong = stand_in.wrong_answer("to_sql", row.label, row.text)
            assert sorted(map(repr, connection.execute(wrong))) != sorted(map(repr, connection.execute(row.label))), (
                wrong
            )


def test_a_wrong_route_is_another_label():
    for row in tasks.handwritten("route"):
        assert stand_in.wrong_answer("route", row.label, row.text) in {"sql", "search", "chat"} - {row.label}


def test_it_is_marked_as_a_stand_in_and_priced_as_a_model_with_a_known_price():
    for teacher in TEACHERS.values():
        assert teacher.stand_in and "stand-in" in teacher.name
        assert (
            calc_price(
                Usage(input_tokens=1_000_000, output_tokens=0), teacher.priced_as, provider_id="openai"
            ).total_price
            > 0
        )
