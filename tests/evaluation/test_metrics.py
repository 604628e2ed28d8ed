import math
import random
import sqlite3
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics import f1_score, precision_recall_fscore_support
from statsmodels.stats.proportion import proportion_confint

from stillhouse.errors import DatasetError, UserError
from stillhouse.evaluation.arithmetic import value_of
from stillhouse.evaluation.harness import evaluate, summarise
from stillhouse.evaluation.metrics import macro_f1, metric_for, per_class
from stillhouse.evaluation.sql import QueryRefused, ReadOnlyDatabase, ordered
from stillhouse.records import Example, Prediction
from stillhouse.results.row_result import RowResult, read_rows, write_rows
from stillhouse.task import Task

ROW = Example("a", "x", "gold")


def metric(name, **task):
    return metric_for(Task(name="t", instruction="i", output="text", metric=name, **task))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("( ( 18.0 - 10.0 ) * 15.0 )", 120),
        ("((18 - 10) * 15)", 120),
        ("-3 + 4", 1),
        ("1,200 / 2", 600),
        ("1,5", Fraction(3, 2)),
        ("12,50 + 1", Fraction(27, 2)),
        ("0,500", Fraction(1, 2)),
        ("1000,5", Fraction(2001, 2)),
        ("1,500", 1500),
        ("1,234,567.5", Fraction(2469135, 2)),
        ("1\u202f234,5", Fraction(2469, 2)),
        ("1,23,456", None),
        ("1,5,5", None),
        ("1,500 + 0,5", None),  # 1500.5 or 2
        ("1,5 + 1.5", None),
        ("1,500 + 1.5", Fraction(3003, 2)),
        ("1,500.5 + 1,000", Fraction(5001, 2)),
        ("1,5 + 0,25", Fraction(7, 4)),
        ("1\u202f500,5 + 0,5", 1501),
        ("\u200e1,5\u200e", Fraction(3, 2)),
        ("\u2067−3\u2069", -3),
        ("1.500,75", None),
        ("1 200", None),
        ("3 × 4 ÷ 2 − 1", 5),
        ("5 – 3", 2),
        ("（２＋３）⋅4", 20),
        ("inf", None),
        ("NaN", None),
        ("1 / (2 - 2)", None),
        ("x = 7", 7),
        ("2 - -2", 4),
        ("1/3*3", 1),
        ("", None),
        ("1 / 0", None),
        ("(1", None),
        ("1)", None),
        ("2 x", None),
        ("x 2", None),
        ("3 x 4", 12),
        ("(1 + 2)X4", 12),
        ("0x10", None),
        ("10x2", 20),
        ("1'500", 1500),
        ("1’500’000.5", Fraction(3000001, 2)),
        ("1'50", None),
        ("5'", None),
        ("12\u2009500 + 1\u2008000", 13500),
        ("+5", 5),
        ("3 × +4 - (+2)", 10),
        ("6 ∶ 3 ÷ 2", 1),
        ("3 ⁄ 4", Fraction(3, 4)),
        ("2 · 3 ∗ 2 ✖️ 2 ➕ 1 ➖ 2", 23),
        ("2 ** 3", None),
        ("__import__('os')", None),
        ("(" * 5000 + "1", None),
        ("9" * 400, int("9" * 400)),
        ("1 +", None),
    ],
)
def test_equations_are_computed_and_nothing_else_is(text, value):
    assert value_of(text) == value


NEAR = [
    ("0.0000001", "0.0000002", 0),
    ("0.00012345", "0.00012346", 0),
    ("0.333333", "1/3", 1),
    ("1/3", "0.333333", 1),
    ("0.33333", "1/3", 0),
    ("0", "0.0000001", 0),
    ("0.0000001", "0", 0),
    ("0.1 + 0.2 - 0.3", "0", 1),
    ("1000000", "1000001", 1),
    ("100000", "100001", 0),
    ("-5", "5", 0),
    ("1,5", "15", 0),
    ("1,5", "1.5", 1),
    ("1,500", "1500", 1),
]


@pytest.mark.parametrize(("output", "gold", "score"), NEAR)
def test_equations_are_as_near_as_a_millionth_of_their_value(output, gold, score):
    assert metric("equation_value").score(output, gold, ROW) == score


@given(st.text(alphabet="0123456789+-*/(). ,−×\u202f", max_size=60))
def test_any_text_has_a_value_or_none(text):
    value_of(text)


def test_scores_by_hand():
    assert metric("equation_value").score("((18-10)*15)", "( 120.0 )", ROW) == 1
    assert metric("exact_match").score(" a  b ", "a b", ROW) == 1
    assert metric("token_f1").score("the cat sat", "the cat", ROW) == pytest.approx(0.8)
    assert metric("rouge_l").score("b a c", "a b c", ROW) == pytest.approx(2 / 3)
    assert metric("accuracy").score(None, "gold", ROW) == 0


SHARED = [
    ("今天天气很好", "我喜欢吃苹果", 0.0),
    ("今天天气很好", "今天天气很坏", 5 / 6),
    ("да, конечно", "нет, никогда", 0.0),
    ("Он дома", "он не дома", 0.8),
    ("👍", "👎", 0.0),
    ("👍", "👍", 1.0),
    ("!!!", "???", 0.0),
    ("!!!", "!!!", 1.0),
    ("", "", 1.0),
    ("", "!", 0.0),
    ("a", "!", 0.0),
]


@pytest.mark.parametrize("name", ["token_f1", "rouge_l"])
@pytest.mark.parametrize(("output", "gold", "score"), SHARED, ids=[ascii(case)[:40] for case in SHARED])
def test_texts_of_any_script_share_what_they_share(name, output, gold, score):
    assert metric(name).score(output, gold, ROW) == pytest.approx(score)


@pytest.fixture
def shop(tmp_path):
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.executescript("CREATE TABLE t(a INT, b REAL); INSERT INTO t VALUES (1, 0.1), (2, 0.2), (3, 0.3)")
    return tmp_path / "shop.db"


@pytest.mark.parametrize(
    ("query", "gold", "score"),
    [
        ("SELECT a FROM t ORDER BY a DESC", "SELECT a FROM t", 1),
        ("SELECT a FROM t ORDER BY a DESC", "SELECT a FROM t ORDER BY a", 0),
        ("SELECT SUM(b) total FROM t", "SELECT 0.6", 1),
        ("SELECT a FROM t WHERE a > 1", "SELECT a FROM t", 0),
        ("SELECT nope FROM t", "SELECT a FROM t", 0),
        ("DROP TABLE t", "SELECT a FROM t", 0),
        ("SELECT a FROM t; SELECT 1", "SELECT a FROM t", 0),
    ],
)
def test_queries_are_right_where_their_results_are(shop, query, gold, score):
    assert metric("sql_execution", database=shop).score(query, gold, ROW) == score


@pytest.mark.parametrize(
    "attack",
    [
        "DELETE FROM t",
        "PRAGMA query_only=0",
        "ATTACH 'x.db' AS x",
        "SELECT load_extension('x')",
        "SELECT writefile('x', 'y')",
        "SELECT zeroblob(1000000000)",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT COUNT(*) FROM c",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c LIMIT 20000",
    ],
)
def test_attacks_and_bombs_are_refused(shop, attack, monkeypatch):
    monkeypatch.setattr("stillhouse.evaluation.sql.TIME_LIMIT_S", 0.05)
    with pytest.raises(QueryRefused):
        ReadOnlyDatabase(shop).run(attack)
    assert ReadOnlyDatabase(shop).run("SELECT COUNT(*) FROM t") == [(3,)]


def test_a_gold_query_that_does_not_run_is_the_users_to_mend(shop):
    with pytest.raises(UserError, match="gold query"):
        metric("sql_execution", database=shop).score("SELECT 1", "SELECT x FROM nowhere", ROW)


VALUES = [
    ("9007199254740992", "9007199254740993", 0),
    ("9223372036854775807", "9223372036854775806", 0),
    ("9007199254740993", "9007199254740993", 1),
    ("9007199254740993", "9007199254740992.0", 0),
    ("2", "2.0", 1),
    ("0.1 + 0.2", "0.3", 1),
    ("0.300001", "0.300002", 0),
    ("0.0000001", "0.0000002", 0),
    ("0.0000001", "0", 0),
    ("1.5e-9", "1.5000001e-9", 1),
    ("1 / 3.0", "0.333333", 1),
    ("1 / 30.0", "0.0333333", 1),
    ("0.99999999", "1", 1),
    ("-0.0000001", "0.0000001", 0),
    ("-0.0", "0", 1),
    ("1 = 1", "1", 1),
    ("TRUE", "1", 1),
    ("'1'", "1", 0),
    ("NULL", "''", 0),
    ("NULL", "0", 0),
    ("NULL", "NULL", 1),
    ("x'41'", "'A'", 0),
    ("x'00ff'", "x'00ff'", 1),
    ("1e999", "1e999", 1),
    ("1e999", "-1e999", 0),
    ("CAST(x'ff41' AS TEXT)", "CAST(x'ff41' AS TEXT)", 1),
    ("CAST(x'fe41' AS TEXT)", "CAST(x'ff41' AS TEXT)", 0),
    ("CAST(x'ff41' AS TEXT)", "x'ff41'", 0),
    ("'a'", "'A'", 0),
]


@pytest.mark.parametrize(("value", "gold", "score"), VALUES)
def test_values_are_compared_by_their_kind(shop, value, gold, score):
    assert metric("sql_execution", database=shop).score(f"SELECT {value} AS v", f"SELECT {gold}", ROW) == score


def test_rows_count_as_often_as_they_come(shop):
    sql = metric("sql_execution", database=shop)
    assert sql.score("SELECT 1 UNION ALL SELECT 1 UNION ALL SELECT 2", "SELECT 1 UNION ALL SELECT 2", ROW) == 0
    assert (
        sql.score("SELECT NULL, 'b' UNION ALL SELECT 1, x'00'", "SELECT 1, x'00' UNION ALL SELECT NULL, 'b'", ROW) == 1
    )


@pytest.mark.parametrize("nothing", ["", " ", "-- SELECT a FROM t", ";"])
def test_what_is_no_query_is_no_empty_result(shop, nothing):
    assert metric("sql_execution", database=shop).score(nothing, "SELECT a FROM t WHERE a > 9", ROW) == 0


TEN_SECONDS = """
    SELECT instr(replace(printf('%900000s', 'x'), ' ', 'a'), replace(printf('%400000s', 'b'), ' ', 'a'))
"""


def test_a_query_that_hangs_in_one_function_is_ended_and_the_next_one_runs(shop, monkeypatch):
    """SQLite looks at its clock between instructions, and a call of one function is one."""
    monkeypatch.setattr("stillhouse.evaluation.sql.TIME_LIMIT_S", 0.1)
    monkeypatch.setattr("stillhouse.evaluation.sql._GRACE_S", 0.1)
    database = ReadOnlyDatabase(shop)
    assert database.run("SELECT 1") == [(1,)]
    with pytest.raises(QueryRefused, match=r"longer than 0\.1 s"):
        database.run(TEN_SECONDS)
    assert database.run("SELECT COUNT(*) FROM t") == [(3,)]
    database._process.kill()
    with pytest.raises(QueryRefused, match="ended without an answer"):
        database.run("SELECT 1")
    assert database.run("SELECT 1") == [(1,)]


def test_a_query_that_ends_too_late_is_refused_though_its_answer_is_there(shop, monkeypatch):
    """The limit that is said is the limit that holds; what comes after it is time for sending rows."""
    monkeypatch.setattr("stillhouse.evaluation.sql._GRACE_S", 30.0)
    database = ReadOnlyDatabase(shop)
    process = (database.run("SELECT 1"), database._process)[1]
    monkeypatch.setattr("stillhouse.evaluation.sql.TIME_LIMIT_S", 0.05)
    with pytest.raises(QueryRefused, match=r"longer than 0\.05 s"):
        database.run(TEN_SECONDS.replace("900000s", "200000s").replace("400000s", "80000s"))
    assert database._process is process  # it had answered


def test_a_file_that_goes_away_or_is_no_database_is_said(shop):
    database = ReadOnlyDatabase(shop)
    shop.write_text("no database at all, but text")
    with pytest.raises(QueryRefused, match="not a database"):
        database.run("SELECT a FROM t")
    shop.unlink()
    with pytest.raises(QueryRefused, match="unable to open"):
        database.run("SELECT a FROM t")


def test_one_process_answers_query_after_query(shop):
    database = ReadOnlyDatabase(shop)
    database.run("SELECT 1")
    process = database._process
    for number in range(20):
        assert database.run(f"SELECT {number}") == [(number,)]
    with pytest.raises(QueryRefused, match="80,000"):
        database.run("SELECT '" + "a" * 90_000 + "'")
    assert database._process is process


ORDERED = """SELECT a FROM t ORDER  BY a
SELECT [a(b] FROM t ORDER BY a
SELECT "a(" FROM t order by a
SELECT `a(` FROM t ORDER BY a
SELECT '(' FROM t ORDER BY a
SELECT 'it''s (' FROM t ORDER BY a
SELECT "a""(" FROM t ORDER BY a
SELECT row_number() OVER (ORDER BY a) FROM t ORDER BY 1
SELECT 1 UNION SELECT 2 ORDER BY 1
SELECT a FROM t ORDER/**/BY a
SELECT a FROM t /* ( */ ORDER BY a
SELECT a FROM t ORDER BY a -- (
SELECT a FROM t WHERE a = 'x' /* ' */ ORDER BY a
SELECT 2 - -1 FROM t ORDER BY a
WITH x AS (SELECT a FROM t) SELECT a FROM x ORDER BY a""".splitlines()
NOT_ORDERED = """SELECT * FROM (SELECT a FROM t ORDER BY a)
SELECT ' order by '
SELECT a FROM t -- ORDER BY a
SELECT a FROM t /* ORDER BY a */
SELECT a FROM t /* ORDER BY a
SELECT a AS "order by" FROM t
SELECT a AS [order by] FROM t
SELECT a AS `order by` FROM t
SELECT row_number() OVER (ORDER BY a) FROM t
SELECT group_concat(a ORDER BY a) FROM t
SELECT (SELECT a FROM t ORDER BY a LIMIT 1)
WITH x AS (SELECT a FROM t ORDER BY a) SELECT a FROM x
SELECT a/*)*/ FROM (SELECT a FROM t ORDER BY a)
SELECT 'it''s ORDER BY'
SELECT * FROM t AS border bye""".splitlines()


@pytest.mark.parametrize(("query", "orders"), [*((q, True) for q in ORDERED), *((q, False) for q in NOT_ORDERED)])
def test_only_the_outermost_order_counts(query, orders):
    assert ordered(query) == orders


def test_classes_by_hand():
    gold, outputs = ["a", "a", "b", "b"], ["a", "b", "b", None]
    a, b, c = per_class(gold, outputs, ["a", "b", "c"])
    assert (a.precision, a.recall, b.precision, b.recall) == (1, 0.5, 0.5, 0.5)
    assert (c.precision, c.recall, c.f1) == (None, None, None)
    assert macro_f1(gold, outputs) == pytest.approx((2 / 3 + 0.5) / 2)


class Echo:
    name = "echo"

    async def predict(self, inputs):
        return [self.answer(example.text) for example in inputs]

    def answer(self, text):
        return (
            Prediction(None, cost_usd=0.001, error="mute")
            if text == "mute"
            else Prediction(text, confidence=0.5, cost_usd=0.001)
        )


async def test_the_harness_keeps_one_row_per_example_in_order(tmp_path):
    examples = [Example("1", "yes", "yes"), Example("2", "mute", "no"), Example("3", "no", "yes")]
    rows = await evaluate(Echo(), examples, metric("accuracy"), batch_size=2)
    assert [(row.id, row.score) for row in rows] == [("1", 1), ("2", 0), ("3", 0)]
    write_rows(tmp_path / "rows.jsonl", rows, arm="echo", seed=1)
    assert read_rows(tmp_path / "rows.jsonl") == rows
    summary = summarise(rows, metric("accuracy"))
    assert (summary.score.value, summary.score.n, summary.n_failed) == (pytest.approx(1 / 3), 3, 1)
    assert summary.cost_usd_per_1000 == pytest.approx(1.0) and summary.latency_p50_s is None


async def test_rows_without_a_label_and_doubled_rows_are_refused():
    with pytest.raises(DatasetError, match="no gold label"):
        await evaluate(Echo(), [Example("1", "x")], metric("accuracy"))
    with pytest.raises(DatasetError, match="occurs twice"):
        await evaluate(Echo(), [ROW, ROW], metric("accuracy"))


def test_classes_are_scikit_learns():
    generator = random.Random(0)
    gold = [generator.choice("abcd") for _ in range(200)]
    outputs = [one if generator.random() < 0.6 else generator.choice("abcde") for one in gold]
    labels = list("abcde")
    precision, recall, f1, n = precision_recall_fscore_support(gold, outputs, labels=labels, zero_division=0)
    ours = per_class(gold, outputs, labels)
    assert np.array([(one.precision or 0, one.recall or 0, one.f1 or 0) for one in ours]) == pytest.approx(
        np.stack([precision, recall, f1], axis=1)
    )
    assert [one.n for one in ours] == n.tolist()
    assert macro_f1(gold, outputs) == pytest.approx(f1_score(gold, outputs, average="macro"))
    assert macro_f1([], []) is None


def test_in_many_rows_f1_is_that_of_the_chances():
    """Gold a in 70 %, answered rightly in 80 %; b in 30 %, answered rightly in 60 %. Precision of a is 0.56 / 0.68; 40,000 rows leave a hundredth."""
    generator = random.Random(1)
    gold = [generator.choices("ab", [0.7, 0.3])[0] for _ in range(40_000)]
    outputs = [one if generator.random() < {"a": 0.8, "b": 0.6}[one] else {"a": "b", "b": "a"}[one] for one in gold]
    assert macro_f1(gold, outputs) == pytest.approx((2 * 0.56 / (0.7 + 0.68) + 2 * 0.18 / (0.3 + 0.32)) / 2, abs=0.01)


def test_rouge_l_is_its_authors_and_token_f1_counts_shared_words():
    theirs, generator = RougeScorer(["rougeL"]), random.Random(2)
    for _ in range(200):
        output, gold = (
            " ".join(generator.choices(["the", "cat", "sat", "on", "a", "mat"], k=generator.randint(1, 9)))
            for _ in range(2)
        )
        assert metric("rouge_l").score(output, gold, ROW) == pytest.approx(
            theirs.score(gold, output)["rougeL"].fmeasure
        )
        shared = sum(min(output.split().count(word), gold.split().count(word)) for word in set(gold.split()))
        p, r = shared / len(output.split()), shared / len(gold.split())
        assert metric("token_f1").score(output, gold, ROW) == pytest.approx(2 * p * r / (p + r) if shared else 0.0)


# An arm in numbers


def result(number, score, latency_s=None, group=None):
    return RowResult(id=str(number), group=group, gold="x", output="x", score=score, latency_s=latency_s)


def test_an_arms_score_has_statsmodels_interval_and_its_latencies_are_numpys():
    times = [float(t) for t in np.random.default_rng(3).exponential(1.0, 157)]
    found = summarise([result(n, float(n % 3 > 0), t) for n, t in enumerate(times)], metric("accuracy"))
    assert (found.score.low, found.score.high) == pytest.approx(proportion_confint(104, 157, method="beta"))
    assert found.latency_p50_s == pytest.approx(np.median(times))
    assert found.latency_p99_s == np.quantile(times, 0.99, method="higher")  # of few calls the slowest


@pytest.mark.parametrize("score", [math.nan, math.inf, -0.01, 1.01, 100.0])
def test_a_score_that_is_no_number_from_0_to_1_is_refused(score):
    with pytest.raises(DatasetError, match="a score is a number from 0 to 1"):
        result(1, score)


def test_an_arms_rows_of_one_group_are_one_draw():
    """10 groups of 10 rows, half of the groups right: 100 rows that stand alone would tell three times as much."""
    alone = summarise([result(n, n % 20 < 10) for n in range(100)], metric("exact_match")).score
    grouped = summarise([result(n, n % 20 < 10, group=f"g{n // 10}") for n in range(100)], metric("exact_match")).score
    assert (alone.value, grouped.value, alone.n, grouped.n) == (0.5, 0.5, 100, 100)
    assert (alone.method, grouped.method) == ("Clopper-Pearson", "BCa bootstrap over groups")
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_an_arms_cost_is_known_where_every_rows_is():
    rows = [replace(result(n, 1), cost_usd=0.002) for n in range(4)]
    assert summarise(rows, metric("exact_match")).cost_usd_per_1000 == pytest.approx(2.0)
    assert summarise([*rows, result(4, 1)], metric("exact_match")).cost_usd_per_1000 is None


@pytest.mark.slow
def test_an_arms_interval_covers_where_rows_come_in_groups():
    """300 arms, 40 groups of three rows that share their luck, nominal 0.95: at least 0.91, three standard errors below."""
    generator, covered = np.random.default_rng(4), 0
    for _ in range(300):
        luck = np.repeat(generator.beta(3, 2, 40), 3)
        found = summarise(
            [result(n, float(right), group=str(n // 3)) for n, right in enumerate(generator.random(120) < luck)],
            metric("accuracy"),
        ).score
        covered += found.low <= 0.6 <= found.high
    assert 0.91 <= covered / 300 <= 0.99
