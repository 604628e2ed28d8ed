import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.data.copies import distinct, group_keys
from stillhouse.data.dataset import write_examples
from stillhouse.data.leakage import check_leakage, near_copies
from stillhouse.data.splits import load_splits, split_examples
from stillhouse.errors import DatasetError, LeakageError
from stillhouse.records import Example
from stillhouse.task import Task, load_task
from stillhouse.words import normalise, units

SHARES = {"validation": 0.1, "calibration": 0.2, "test": 0.2}


def rows(n, classes=2):
    return [Example(f"r{i}", f"question number {i}", f"class {i % classes}") for i in range(n)]


def test_shares_are_met_within_each_class():
    parts = split_examples(rows(1000, classes=4), SHARES, seed=1)
    for part, share in {**SHARES, "train": 0.5}.items():
        assert Counter(row.label for row in parts[part]) == {
            f"class {c}": pytest.approx(250 * share, abs=1) for c in range(4)
        }


def test_open_answers_that_hardly_repeat_do_not_starve_the_small_parts():
    examples = [Example(f"r{i}", f"question number {i}", f"answer {i // 2}", group=f"g{i // 3}") for i in range(1200)]
    parts = split_examples(examples, SHARES, seed=1)
    assert {part: len(parts[part]) for part in SHARES} == {
        part: pytest.approx(1200 * share, abs=6) for part, share in SHARES.items()
    }


def test_the_seed_decides_and_order_is_kept():
    assert split_examples(rows(50), SHARES, seed=1) == split_examples(rows(50), SHARES, seed=1)
    assert split_examples(rows(50), SHARES, seed=1) != split_examples(rows(50), SHARES, seed=2)
    assert [row.id for row in split_examples(rows(50), SHARES, seed=1)["train"]] == sorted(
        (row.id for row in split_examples(rows(50), SHARES, seed=1)["train"]), key=lambda name: int(name[1:])
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 12)), min_size=4, max_size=60), st.integers(0, 5))
def test_groups_and_equal_texts_never_straddle(pairs, seed):
    examples = [Example(f"r{i}", f"text {text}", "x", group=f"g{group}") for i, (group, text) in enumerate(pairs)]
    parts = split_examples(examples, SHARES, seed=seed)
    assert sum(map(len, parts.values())) == len(examples)
    names = list(parts)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            check_leakage(parts[one], parts[other])  # raises where a group or text is on both sides


def test_leaks_by_text_id_and_group_are_named():
    train = [Example("a", "Where is it?", group="g")]
    for leak, says in [
        (Example("b", "where is it"), "same input as training row 'a'"),
        (Example("a", "other"), "the id 'a' is in both"),
        (Example("c", "other", group="g"), "group 'g'"),
    ]:
        with pytest.raises(LeakageError, match=says):
            check_leakage(train, [leak])
    check_leakage(train, [Example("d", "where was it")])


def test_rows_of_punctuation_alone_are_rows_of_their_own():
    """ "!!!" and "???" were one row, and no test rows were left."""
    marks = ["!!!", "???", "...", "!?", "——", "、", ":)", ";-("]
    examples = [Example(str(n), mark, label="x") for n, mark in enumerate(marks)]
    assert len(distinct(examples).rows) == len(set(group_keys(examples))) == len(marks)
    check_leakage(examples[::2], examples[1::2])


def test_near_copies_are_seen_where_words_are_not_spaced():
    train = Example("a", "请问我上周在你们网店买的那双黑色皮鞋什么时候才能寄到北京市海淀区中关村大街我家里来呢谢谢你们")
    assert [copy.test_id for copy in near_copies([train], [replace(train, id="b", input=train.text + "啊")])] == ["b"]
    assert near_copies([train], [Example("c", "今天天气很好")]) == []


def test_signs_matter_when_texts_are_compared():
    assert normalise("3 - 4?") != normalise("3 + 4")
    assert normalise("A  b.") == normalise("a b")


def naive_near(train, test, threshold):
    def shingles(text):
        words = units(text)
        return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}

    return {
        t.id
        for t in test
        if any(
            len(shingles(t.text) & shingles(r.text)) / len(shingles(t.text) | shingles(r.text)) >= threshold
            for r in train
        )
    }


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("abc ", min_size=3, max_size=40), min_size=2, max_size=30), st.sampled_from([0.5, 0.8, 0.9]))
def test_near_copies_are_exactly_those_of_the_naive_comparison(texts, threshold):
    examples = [Example(str(i), text) for i, text in enumerate(texts)]
    train, test = examples[::2], examples[1::2]
    assert {found.test_id for found in near_copies(train, test, threshold)} == naive_near(train, test, threshold)


def task_with(tmp_path, train, test=None):
    write_examples(tmp_path / "examples.jsonl", train)
    data = ""
    if test is not None:
        write_examples(tmp_path / "test.jsonl", test)
        data = '[data]\ntest = "test.jsonl"\n'
    (tmp_path / "task.toml").write_text(f'[task]\nname = "t"\ninstruction = "i"\noutput = "text"\n{data}')
    return load_task(tmp_path)


def test_one_file_is_split_into_four_parts(tmp_path):
    splits = load_splits(task_with(tmp_path, rows(200)))
    assert [len(part) for part in (splits.train, splits.validation, splits.calibration, splits.test)] == [
        110,
        20,
        30,
        40,
    ]
    assert set(splits.fingerprints) == {"train"}


def test_a_train_row_in_the_named_test_file_is_refused(tmp_path):
    with pytest.raises(LeakageError, match="remove such rows") as caught:
        load_splits(task_with(tmp_path, rows(20), test=[Example("new", "Question number 3!", "class 1")]))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("held", ["test", "other"])
def test_held_out_rows_among_the_unlabelled_are_refused_for_they_are_trained_on_too(tmp_path, held):
    task = task_with(tmp_path, rows(20), test=[Example("new", "an evening of its own", "class 1")])
    write_examples(tmp_path / "other.jsonl", [Example("o", "another evening", "class 0")])
    write_examples(
        tmp_path / "more.jsonl", [Example("u", "An evening of its own!" if held == "test" else "another evening")]
    )
    task = replace(task, data=task.data.model_copy(update={"also_test": ("other.jsonl",), "unlabelled": "more.jsonl"}))
    with pytest.raises(
        LeakageError,
        match=rf"`more.jsonl` and `{held}(.jsonl)?` overlap: row '{'new' if held == 'test' else 'o'}' has the same input",
    ):
        load_splits(task)


def test_near_copies_are_a_warning_with_an_example(tmp_path):
    text = " ".join(f"word{i}" for i in range(60))
    splits = load_splits(task_with(tmp_path, [Example("a", text), *rows(30)], test=[Example("b", text + " more")]))
    assert "1 of 1 test rows" in splits.warnings[0] and "b and a" in splits.warnings[0]


def test_too_few_rows_to_split_says_what_to_do(tmp_path):
    with pytest.raises(DatasetError, match="bring more rows"):
        load_splits(task_with(tmp_path, rows(1)))


def test_a_task_object_needs_no_file(tmp_path):
    write_examples(tmp_path / "examples.jsonl", rows(40))
    assert len(load_splits(Task(name="t", instruction="i", output="text", folder=tmp_path)).test) == 8


def test_a_split_that_groups_leave_empty_names_the_largest_group(tmp_path):
    """440 rows of one run were one group, and "no rows are left" did not say why."""
    rows = [{"input": f"question {n}", "label": "yes", "group": "monday" if n < 400 else "tuesday"} for n in range(440)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "task.toml").write_text(
        '[task]\nname = "t"\ninstruction = "?"\noutput = "choice"\nlabels = ["yes", "no"]\n[data]\ntrain = "rows.jsonl"\n',
        encoding="utf-8",
    )
    says = r"the 440 rows are in 2 groups; the largest, 'monday', has 400: bring rows of more groups, .* a conversation"
    with pytest.raises(DatasetError, match=says):
        load_splits(load_task(tmp_path))
