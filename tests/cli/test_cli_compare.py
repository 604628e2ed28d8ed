"""`stillhouse compare`: every kind of side, judging in the terminal, a judge model that is paid once, the gate's exit code, bad input."""

import io
import json
import os
import pty
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from compare_samples import SECRETS, write_sides
from stillhouse.comparison.answers import Answers
from stillhouse.comparison.judgements import Judgement, Judgements
from stillhouse.comparison.pairs import digest, pairs_of
from stillhouse.comparison.rating_session import RatingSession, people_on
from stillhouse.records import Example

JUDGES = '''
import json

ASKED = []


def longer(request, example):
    """Takes the longer answer, and the first where they differ by little."""
    shown = json.loads(request.messages[-1]["content"])
    ASKED.append(shown)
    first, second = len(shown["first answer"]), len(shown["second answer"])
    return "second" if second > first + 3 else "first"


def lost(request, example):
    return "I would rather not say"


def fair(request, example):
    shown = json.loads(request.messages[-1]["content"])
    return "first" if shown["first answer"].startswith("short") else "second"


longer.stand_in = fair.stand_in = True
longer.priced_as = fair.priced_as = "gpt-4o"
'''


@pytest.fixture
def sides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "some_judges.py").write_text(JUDGES)
    yield write_sides(tmp_path)
    sys.modules.pop("some_judges", None)


@pytest.fixture
def compare(stillhouse, sides, monkeypatch):
    """`compare(*options, says="left\\nq\\n")` judges in the terminal with these lines; without `says` nobody is asked."""

    def run(*options, says=None, a=sides[0], b=sides[1], data=sides[2]):
        monkeypatch.setattr("sys.stdin", io.StringIO(says or ""))
        return stillhouse("compare", a, b, data, *options, "--people", "none" if says is None else "terminal")

    return run


def test_choices_in_the_terminal_are_kept_and_said(compare):
    found = compare("--json", says="left\nright\nt\nwhat?\nb\nu\nu\nright\nq\n")
    assert found.code == 0, found.err
    facts = found.json["comparison"]
    tally = facts["tally"]
    assert (tally["wins"] + tally["losses"], tally["both_bad"]) in (
        (3, 0),
        (4, 0),
    )  # left, right, right; row 4 may have been passed on the way
    assert "'what?' is no choice" in found.err and "Taken back." in found.err and "Stopped: 3 of 22 judged" in found.err
    choices = [json.loads(line)["choice"] for line in Path("judgements.jsonl").read_text().splitlines()]
    assert choices == ["left", "right", "tie", "both bad", None, None, "right"]
    more = compare(says="")
    assert "Stopped: 3 of 22 judged" in more.err and "3 of 22 pairs are judged, in random order" in more.out
    assert "Win rate by people" in more.out and "Report: runs/rows-compare-2/report.html" in more.out


def test_several_people_judge_the_same_pairs_each_in_a_sitting_of_their_own(compare):
    first = compare("--rater", "Ana", says="left\nright\nt\nb\nleft\nq\n")
    assert (
        "Stopped: 5 of 22 judged" in first.err
        and "1 of 22, judged by Ana" in first.err
        and "Krippendorff" not in first.out
    )
    other = compare("--rater", "Bo", says="t\nq\n")
    assert "1 of 22, judged by Bo" in other.err and "Stopped: 1 of 22 judged" in other.err  # Ana's choices are not his
    assert "Win rate by 2 people" in other.out
    again = compare("--rater", "Bo", "--json", says="u\nt\nt\nt\nq\n")
    assert "Taken back." in again.err and "Stopped: 3 of 22 judged" in again.err  # his last choice, not Ana's
    facts = again.json["comparison"]
    assert (facts["n_raters"], facts["raters_agree"]["n"], facts["heading"]) == (2, 3, "win rate by 2 people")
    assert facts["raters_agree"]["value"] == pytest.approx(1 / 3)  # Ana: left, right, tie; Bo: three ties
    assert [(one["name"], one["rate"]["n"]) for one in facts["raters"]] == [("Ana", 5), ("Bo", 3)] and facts["raters"][
        1
    ]["rate"]["value"] == 0.5
    lines = [json.loads(line) for line in Path("judgements.jsonl").read_text().splitlines()]
    assert [line["rater"] for line in lines] == ["Ana"] * 5 + ["Bo"] * 5
    unnamed = compare(says="left\nq\n")  # as ever, and beside the others
    assert (
        "Stopped: 1 of 22 judged" in unnamed.err
        and "Win rate by 3 people" in unnamed.out
        and "who gave no name alone" in unnamed.out
    )
    assert "rater" not in json.loads(Path("judgements.jsonl").read_text().splitlines()[-1])
    for said in (
        "two people agree",
        "Krippendorff's alpha",
        "3 of 5 rows are judged by more than one person; each counts once, by the mean",
    ):
        assert said in " ".join(unnamed.out.split()), said


def test_nobody_and_no_judge_is_no_rate(compare):
    found = compare("--gate")
    assert found.code == 1
    assert found.out.startswith("No pair is judged yet, so there is no win rate. The gate cannot tell.")
    assert compare("--json").json["comparison"] is None


def test_the_same_answers_everywhere_are_settled_and_nobody_is_named(compare, sides):
    sides[1].write_text(sides[0].read_text().replace("null", '"an answer"'))
    found = compare(says="", b=sides[0])
    assert "There is nothing to judge" in found.err
    assert found.out.startswith("Win rate with every pair settled, nobody asked\n")
    assert (
        "Gate: passes" in compare("--gate", "--margin", "0.15", b=sides[0]).out
    )  # 24 ties: not one difference was seen, and one more group of two could have lost


def test_a_judge_sees_both_orders_once_and_its_heading_says_so(compare):
    found = compare("--judge", "scripted:some_judges:longer")
    asked = sys.modules["some_judges"].ASKED
    assert len(asked) == 44
    assert (
        Counter(json.dumps(sorted([one["first answer"], one["second answer"]])) for one in asked).most_common(1)[0][1]
        == 2
    )
    assert not any(secret in json.dumps(asked) for secret in SECRETS)
    assert found.out.startswith("Win rate by scripted:some_judges:longer (a stand-in), not by people")
    assert "judge keeps its choice" in found.out and "1 of 24 rows have the same answer on both sides" in found.out
    assert "Weak evidence, shared words with the labels: ROUGE-L" in found.out and "token F1" in found.out
    again = compare("--judge", "scripted:some_judges:longer", "--json")
    assert len(asked) == 44 and again.json["cost_usd"] == 0  # all from the store
    swapped = compare(
        "--judge", "scripted:some_judges:longer", "--json", a=SECRETS[1] + ".jsonl", b=SECRETS[0] + ".jsonl"
    )
    assert len(asked) == 44  # and whoever is called A
    assert swapped.json["comparison"]["rate"]["value"] == pytest.approx(1 - again.json["comparison"]["rate"]["value"])


def test_the_cap_is_kept_and_what_was_paid_counts_next_time(compare):
    stopped = compare("--judge", "scripted:some_judges:longer", "--max-usd", "0.02")
    assert stopped.code == 1 and "would pass the cap of $0.02" in stopped.err
    n = len(sys.modules["some_judges"].ASKED)
    assert 0 < n < 44
    assert compare("--judge", "scripted:some_judges:longer").code == 0
    assert len(sys.modules["some_judges"].ASKED) == 44
    assert (
        json.loads(Path("runs/rows-compare-1/manifest.json").read_text())["status"] == "done"
    )  # the same run, taken over


def test_a_judge_that_cannot_be_read_is_counted_and_judges_nothing(compare):
    assert compare("--judge", "scripted:some_judges:lost").out.startswith("No pair is judged yet")
    both = compare("--judge", "scripted:some_judges:lost", says="left\nq\n").out
    assert "22 of 24 rows have no two usable replies of the judge" in both and "Win rate by people" in both


def test_a_judge_over_http_is_asked_once_per_pair_and_order(compare, endpoint):
    for _ in range(2):
        assert compare("--judge", endpoint.url("judge"), "--unpriced").code == 0
    assert sum(endpoint.calls().values()) == 44
    assert not any(secret in text for text in endpoint.calls() for secret in SECRETS)


def test_the_gates_answer_is_the_exit_code(compare):
    passed = compare("--judge", "scripted:some_judges:fair", "--gate", "--margin", "0.1", "--json")
    assert passed.code == 0 and passed.json["comparison"]["decided"]["answer"] == "pass"
    refused = compare("--judge", "scripted:some_judges:longer", "--gate")
    assert refused.code == 1
    assert "Gate: fails:" in refused.out and "not by people" in refused.out and "48.0% has to be shown" in refused.out


def test_people_correct_the_judge(compare, sides):
    """More rows than people judged, and enough of theirs: the judge's choices power the mean of theirs."""
    for path, word in zip(sides, ("short", "much longer", None), strict=True):
        key = {"answer": f"{word} answer to"} if word else {"input": "question"}
        [(name, start)] = key.items()
        path.write_text("".join(json.dumps({"id": str(i), name: f"{start} {i}"}) + "\n" for i in range(80)))
    found = compare("--judge", "scripted:some_judges:fair", says="left\nright\nleft\nt\nb\n" * 8 + "q\n")
    assert found.out.startswith("Win rate by people, with the judge's choices corrected by theirs")
    assert "PPI++ listens to the judge with weight" in found.out and "40 of 80 pairs are judged by people" in found.out
    for check in (
        "judge and people agree",
        "kappa",
        "judge takes the first",
        "judge keeps its choice",
        "people take the left",
    ):
        assert check in found.out


@pytest.mark.slow
def test_a_side_may_be_an_arm_of_a_run(compare, tmp_path):
    run = tmp_path / "runs" / "old-distill-1"
    run.mkdir(parents=True)
    rows = [
        {"arm": arm, "id": str(i), "output": f"short {arm} {i}"}
        for arm in ("prompt", "generative on gold labels")
        for i in range(10)
    ]
    (run / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = compare(
        "--judge", "scripted:some_judges:fair", "--json", a=f"{run}#generative on gold labels", b=f"{run}#prompt"
    ).json
    assert (found["comparison"]["n_rows"], found["comparison"]["n_left_out"]) == (10, 14)
    wrong = compare(a=f"{run}#gnerative", b=f"{run}#prompt")
    assert (wrong.code, "has no arm 'gnerative'; it has prompt, generative on gold labels" in wrong.err) == (2, True)
    (run / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]))
    assert "the arm 'prompt' answers the id '0' twice" in compare(a=f"{run}#prompt", b=SECRETS[1] + ".jsonl").err


def test_a_side_may_be_a_model_asked_with_the_tasks_prompt(compare, tmp_path):
    (tmp_path / "task.toml").write_text('[task]\nname = "t"\ninstruction = "Answer."\noutput = "text"\n')
    (tmp_path / "some_models.py").write_text(
        'def says(request, example):\n    return "short " + request.messages[-1]["content"]\n'
    )
    found = compare(
        "--task",
        "task.toml",
        "--judge",
        "scripted:some_judges:fair",
        "--json",
        a="scripted:some_models:says",
        b=SECRETS[1] + ".jsonl",
    )
    assert found.json["comparison"]["tally"]["wins"] == 24
    assert "give --task" in compare("--judge", "scripted:some_judges:fair", a="scripted:some_models:says").err


BAD = [
    ("no such thing", {"a": "nowhere"}, "'nowhere' answers nothing; give a model's name"),
    ("no such file", {"a": "nowhere.jsonl"}, "nowhere.jsonl: no such file of answers"),
    ("a torn line", {"a": '{"id": "1", "answer": "x"}\n{"id'}, "bad.jsonl:2: not valid JSON"),
    ("no answer", {"a": '{"id": "1"}\n'}, "bad.jsonl:1: an answer needs `id`, and `answer` or `output`"),
    ("a number", {"a": '{"id": "1", "answer": 3}\n'}, "bad.jsonl:1: the answer 3 is not a text"),
    ("twice", {"a": '{"id": "1", "answer": "x"}\n' * 2}, "bad.jsonl:2: the file answers the id '1' twice"),
    ("a list", {"a": "[1]\n"}, "bad.jsonl:1: '[1]' is not an object"),
    ("empty", {"a": "\n"}, "bad.jsonl: holds no answer"),
    ("other ids", {"a": '{"id": "x", "answer": "x"}\n'}, "have no row of"),
    ("no data", {"data": "nowhere.jsonl"}, "nowhere.jsonl: no such data file"),
    ("a margin of points", {"options": ("--gate", "--margin", "5")}, "--margin 5: must lie between 0 and 0.5"),
    (
        "a name with a line break",
        {"options": ("--rater", "a\nb"), "people": "terminal"},
        "--rater 'a\\nb': give a name of",
    ),
    ("a name and nobody", {"options": ("--rater", "Ana")}, "--rater Ana: with --people none nobody judges"),
    ("a level of percent", {"options": ("--gate", "--level", "95")}, "--level 95: must lie between 0.5 and 1"),
    ("no judge's name", {"options": ("--judge", "gpt")}, "'gpt' is not a model's name"),
    (
        "an unpriced judge with a cap",
        {"options": ("--judge", "http://127.0.0.1:9/v1#x", "--max-usd", "1")},
        "no price is known",
    ),
]


@pytest.mark.parametrize(("given", "says"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input_is_one_sentence_and_exit_code_two(compare, tmp_path, given, says):
    sides = {key: value for key, value in given.items() if key in ("a", "data")} | (
        {"says": ""} if "people" in given else {}
    )
    if any(mark in sides.get("a", "") for mark in "\n{"):
        (tmp_path / "bad.jsonl").write_text(sides["a"])
        sides["a"] = "bad.jsonl"
    found = compare(*given.get("options", ()), **sides)
    assert (found.code, found.out) == (2, "")
    assert says in found.err and len(found.err.strip().splitlines()) == 1


def test_a_file_of_choices_that_is_none_is_refused(compare, tmp_path):
    numbered = '{"pair": "x", "left": "y", "choice": "tie", "rater": 3}\n'
    cases = [
        ("{}\n", "jsonl:1: is not a judgement"),
        (numbered, ":1: is not a"),
        ('{"pair": "x", "choice": "A"}\n', ":1: is not a"),
    ]
    cases.append(("nope\n", ":1: not valid JSON"))
    for line, says in cases:
        (tmp_path / "judgements.jsonl").write_text(line)
        found = compare()
        assert (found.code, says in found.err) == (2, True), found.err


@pytest.mark.slow
def test_the_terminal_takes_keys(sides, tmp_path):
    """A real terminal: arrows, a letter in capitals, undo, and q; nothing is echoed, and the terminal is left as it was."""
    lead, follow = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "stillhouse",
        "compare",
        sides[0].name,
        sides[1].name,
        sides[2].name,
        "--people",
        "terminal",
        "--json",
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=follow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        said, ready = [], threading.Event()

        def listen():
            for line in process.stderr:
                said.append(line)
                if "undo" in line:
                    ready.set()

        listener = threading.Thread(target=listen)
        listener.start()
        for key in (b"\x1b[D", b"\x1b[C", b"T", b"u", b"\x03"):
            assert ready.wait(20), said
            ready.clear()
            os.write(lead, key)
        listener.join(20)
        assert process.wait(20) == 0, said
    os.close(lead)
    os.close(follow)
    assert [json.loads(line)["choice"] for line in Path("judgements.jsonl").read_text().splitlines()] == [
        "left",
        "right",
        "tie",
        None,
    ]
    assert "Stopped: 2 of 22 judged" in "".join(said)


# The parts


def answers(*texts):
    return Answers("x", {str(i): text for i, text in enumerate(texts)})


def test_order_and_sides_follow_the_texts_and_not_whose_they_are():
    rows = [Example(str(i), f"question {i}") for i in range(60)]
    a, b = answers(*(f"one {i}" for i in range(60))), answers(*(f"two {i}" for i in range(60)))
    pairs, swapped = pairs_of(rows, a, b), pairs_of(list(reversed(rows)), b, a)
    assert [(one.key, one.left(), one.right()) for one in pairs] == [
        (one.key, one.left(), one.right()) for one in swapped
    ]
    assert [one.example.id for one in pairs] != [str(i) for i in range(60)]
    assert 20 <= sum(one.a_is_left() for one in pairs) <= 40


def test_equal_and_missing_answers_are_settled():
    rows = [Example(str(i), "q") for i in range(4)]
    settled = {
        pair.example.id: pair.settled
        for pair in pairs_of(rows, answers("a  b\n", None, None, "x"), answers("a b", "x", None, None))
    }
    assert settled == {"0": "tie", "1": "B", "2": "both bad", "3": "A"}


def test_rows_that_are_the_same_pair_are_one_choice_and_one_draw(tmp_path):
    rows = [Example(str(i), "the same question") for i in range(3)] + [Example("3", "another")]
    pairs = pairs_of(rows, answers(*["one"] * 4), answers(*["two"] * 4))
    with Judgements(tmp_path / "j.jsonl") as kept:
        sitting = RatingSession(pairs, kept, None)
        while (item := sitting.shown().item) is not None:
            sitting.choose(item, "left")
        seen = people_on(pairs, kept)
    assert len((tmp_path / "j.jsonl").read_text().splitlines()) == 2
    assert [bool(row.people) for row in seen] == [True] * 4 and len({row.cluster for row in seen}) == 2


def test_a_settled_pair_is_passed_where_all_before_it_are_judged(tmp_path):
    rows = [Example(str(i), f"q{i}") for i in range(30)]
    pairs = pairs_of(
        rows,
        answers(*("same" if i % 3 else f"a{i}" for i in range(30))),
        answers(*("same" if i % 3 else f"b{i}" for i in range(30))),
    )
    open_ones = [pair for pair in pairs if pair.settled is None]
    with Judgements(tmp_path / "j.jsonl") as kept:
        for pair in open_ones[:4]:
            kept.add(Judgement(pair.key, "", "tie"), pair.example.id)
        seen = people_on(pairs, kept)
    end = pairs.index(open_ones[4])
    assert [row.by_people is not None for row in seen] == [i < end for i in range(30)]


def test_choices_count_whoever_is_called_a(tmp_path):
    rows = [Example("0", "q")]
    [pair], [swapped] = pairs_of(rows, answers("one"), answers("two")), pairs_of(rows, answers("two"), answers("one"))
    with Judgements(tmp_path / "j.jsonl") as kept:
        kept.add(Judgement(pair.key, digest(pair.left()), "left"), "0")
        [row], [other] = people_on([pair], kept), people_on([swapped], kept)
    assert {row.by_people, other.by_people} == {"A", "B"} and row.by_people == (
        "A" if pair.a_is_left() else "B"
    ) == row.people[0].left


def test_each_person_has_sides_of_their_own_and_files_of_two_machines_are_one_file(tmp_path):
    rows = [Example(str(i), f"question {i}") for i in range(60)]
    pairs = pairs_of(rows, answers(*(f"one {i}" for i in range(60))), answers(*(f"two {i}" for i in range(60))))
    assert 15 <= sum(pair.a_is_left("Ana") != pair.a_is_left("Bo") for pair in pairs) <= 45
    for name, choice in (("Ana", "left"), ("Bo", "tie")):
        with Judgements(tmp_path / f"{name}.jsonl") as kept:
            sitting = RatingSession(pairs, kept, None, rater=name)
            assert sitting.shown().rater == name and sitting.shown().left == pairs[0].left(name)
            for _ in range(10):
                sitting.choose(sitting.shown().item, choice)
    (tmp_path / "both.jsonl").write_text((tmp_path / "Ana.jsonl").read_text() + (tmp_path / "Bo.jsonl").read_text())
    with Judgements(tmp_path / "both.jsonl") as kept:
        seen = people_on(pairs, kept)
    assert [len(row.people) for row in seen] == [2] * 10 + [0] * 50
    ana, bo = seen[0].people
    assert (ana.rater, ana.choice, ana.left) == ("Ana", ana.left, "A" if pairs[0].a_is_left("Ana") else "B") and (
        bo.rater,
        bo.choice,
    ) == ("Bo", "tie")


def test_a_torn_last_line_is_cut_off_and_a_second_owner_refused(tmp_path):
    path = tmp_path / "j.jsonl"
    with Judgements(path) as kept:
        kept.add(Judgement("p", "l", "tie"), "1")
        with pytest.raises(Exception, match="in use by process"):
            Judgements(path)
    whole = path.read_text()
    path.write_text(whole + '{"pair": "q", "cho')
    with Judgements(path) as kept:
        assert list(kept.of()) == ["p"]
        kept.add(Judgement("q", "l", "left"), "2")
    assert len(path.read_text().splitlines()) == 2 and path.read_text().startswith(whole)


def test_a_disk_that_takes_nothing_is_a_sentence(compare, tmp_path):
    (tmp_path / "judgements.jsonl").symlink_to("/dev/full")
    found = compare(says="left\n")
    assert found.code == 1
    assert "judgements.jsonl: cannot write (No space left on device)" in found.err and "Traceback" not in found.err


def test_token_counts_that_do_not_add_up_are_counted_and_said(compare, tmp_path):
    with (tmp_path / "some_judges.py").open("a") as judges:
        judges.write(
            "\n\ndef doubtful(request, example):\n"
            "    from stillhouse.llm.request import Completion\n"
            "    from stillhouse.records import Usage\n"
            '    return Completion("first", finish_reason="stop", usage=Usage(9, 2, 50))\n'
        )
    judge = ("--judge", "scripted:some_judges:doubtful", "--price-in", 1, "--price-out", 2)
    first = compare(*judge)
    assert "44 answers with token counts that do not add up, priced by their dearest reading" in first.out, first.out
    assert list(compare(*judge, "--json").json["usage_doubts"].values()) == [44]
