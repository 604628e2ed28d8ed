"""The runner itself, on a tree of one module and two test files; and the list: every text is found, every test file is there."""

import json
import sys

import pytest

from tests.mutants import run as runner
from tests.mutants.run import LIST, Copy, ListError, StaleError, check, load, main, mutated

RULE = """
def allowed(n):
    least = 3
    return (
        n
        >= least
    )


def doubled(n):
    return 2 * n
"""
SHARP = "from stillhouse.rule import allowed\n\ndef test_edge():\n    assert allowed(3) and not allowed(2)\n"
BLUNT = "from stillhouse.rule import allowed\n\ndef test_far():\n    assert allowed(9)\n"
RED = "def test_red():\n    assert 1 == 2\n"
SLOW = "import pytest\n" + SHARP.replace("def test", "@pytest.mark.slow\ndef test") + "\ndef test_quick():\n    pass\n"
# Fails the first time that it is run, as a test may on a busy machine.
FLAKY = (
    SHARP
    + """
import os, pathlib

def test_once():
    first = pathlib.Path(os.environ["FIRST_RUN"])
    was_run = first.exists()
    first.touch()
    assert was_run
"""
)
MUTANTS = {
    "sharp": ("n >= least", "n > least", "test_sharp.py"),
    "blunt": ("n >= least", "n > least", "test_blunt.py"),
    "slow": ("n >= least", "n > least", "test_slow.py"),
    "red": ("n >= least", "n > least", "test_red.py"),
    "flaky": ("n >= least", "n > least", "test_flaky.py"),
    "unreadable": ("n >= least", "n > least", "test_unreadable.py"),
    "gone": ("n >= most", "n > most", "test_sharp.py"),
    "twice": ("return", "assert", "test_sharp.py"),
    "no-file": ("n >= least", "n > least", "test_none.py"),
    "no-python": ("n >= least", "n >=", "test_sharp.py"),
    "broken": ("def allowed", "def refused", "test_sharp.py"),
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """`tree(*names)`: the arguments of `main` for a tree with these mutants on its list."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (tmp_path / "src" / "stillhouse").mkdir(parents=True)
    (tmp_path / "src" / "stillhouse" / "__init__.py").touch()
    (tmp_path / "src" / "stillhouse" / "rule.py").write_text(RULE)
    (tmp_path / "tests").mkdir()
    monkeypatch.setenv("FIRST_RUN", str(tmp_path / "first-run"))
    tests = {"sharp": SHARP, "blunt": BLUNT, "red": RED, "slow": SLOW, "flaky": FLAKY, "unreadable": "import nowhere\n"}
    for name, text in tests.items():
        (tmp_path / "tests" / f"test_{name}.py").write_text(text)
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\nmarkers = ["slow"]\n')

    def write(*names):
        entries = []
        for name in names:
            old, new, test = MUTANTS[name]
            facts = {"name": name, "rule": "Three are enough.", "file": "rule.py", "old": old, "new": new, "test": test}
            entries.append("[[mutant]]\n" + "".join(f"{key} = {json.dumps(fact)}\n" for key, fact in facts.items()))
        (tmp_path / "mutants.toml").write_text("\n".join(entries))
        return {"root": tmp_path, "list_": tmp_path / "mutants.toml"}

    return write


def test_a_mutant_that_a_test_notices_is_killed(tree, tmp_path, capsys):
    assert main([], **tree("sharp")) == 0
    assert capsys.readouterr().out == "mutants: 1 passed, 0 failed\n"
    assert (tmp_path / "src" / "stillhouse" / "rule.py").read_text() == RULE  # a copy was broken, not the tree


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("blunt", "SURVIVED blunt: tests/test_blunt.py does not notice"),
        ("slow", "SURVIVED slow: tests/test_slow.py does not notice"),  # only a slow test would
        ("red", "RED red: without any mutant: tests/test_red.py::test_red"),
        ("gone", "STALE gone: its text is not found: n >= most"),
        ("twice", "STALE twice: its text is found 2 times: return"),
        ("no-file", "STALE no-file: there is no tests/test_none.py"),
        ("no-python", "STALE no-python: with it the file is no Python"),
        ("broken", "BROKEN broken: tests/test_sharp.py cannot be run"),
    ],
)
def test_whatever_is_not_killed_fails(tree, capsys, name, said):
    assert main([], **tree(name)) == 1
    printed = capsys.readouterr().out
    assert printed.startswith(said)
    assert "src/stillhouse/rule.py: Three are enough." in printed
    assert printed.endswith("mutants: 0 passed, 1 failed\n")


@pytest.mark.slow
def test_one_that_fails_fails_the_list_and_the_others_still_run(tree, capsys):
    assert main(["--json"], **tree("gone", "sharp", "blunt")) == 1
    printed = capsys.readouterr()
    facts = json.loads(printed.out)
    assert (facts["passed"], facts["failed"]) == (1, 2)
    outcomes = {mutant["name"]: (mutant["outcome"], mutant["detail"]) for mutant in facts["mutants"]}
    assert list(outcomes) == ["gone", "sharp", "blunt"]
    assert outcomes["sharp"] == ("killed", "tests/test_sharp.py::test_edge")
    assert outcomes["blunt"][0] == "survived" and outcomes["gone"][0] == "stale"
    assert printed.err.endswith("mutants: 1 passed, 2 failed\n")
    assert "s left" in printed.err


@pytest.mark.slow
@pytest.mark.parametrize("red", ["red", "unreadable"])
def test_a_red_file_makes_no_other_file_red(tree, capsys, red):
    """All files are run by one process first; what fails there is looked at by itself."""
    assert main(["--json", "--jobs", "1"], **tree(red, "sharp", "blunt")) == 1
    outcomes = {mutant["name"]: mutant["outcome"] for mutant in json.loads(capsys.readouterr().out)["mutants"]}
    assert outcomes == {red: "red", "sharp": "killed", "blunt": "survived"}


@pytest.mark.slow
def test_a_file_that_passes_at_the_second_try_is_not_red(tree, capsys):
    assert main([], **tree("flaky")) == 0
    assert capsys.readouterr().out == "mutants: 1 passed, 0 failed\n"


def test_check_reads_and_runs_nothing(tree, monkeypatch, capsys):
    monkeypatch.setattr(runner, "_run", None)
    assert main(["--check"], **tree("sharp", "blunt", "red")) == 0
    assert capsys.readouterr().out == "mutants: 3 found, 0 failed\n"
    assert main(["--check"], **tree("sharp", "gone")) == 1


@pytest.mark.slow
def test_only_takes_names_and_an_unknown_name_is_a_mistake(tree, capsys):
    assert main(["--only", "sharp"], **tree("sharp", "blunt")) == 0
    assert "1 passed" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["--only", "shrap"], **tree("sharp"))
    assert stopped.value.code == 2
    assert "no mutant is called shrap" in capsys.readouterr().err


@pytest.mark.slow
def test_a_mutant_is_gone_after_its_run_also_for_pythons_cache(tree, tmp_path):
    """Two mutants of one length in one file, within the same second: Python tells a file by its time and length."""
    root = tree("sharp", "blunt")["root"]
    (tmp_path / "copy").mkdir()
    copy, sharp = Copy(root, tmp_path / "copy"), load(root / "mutants.toml")[0]
    times = set()
    for _ in range(2):
        with copy.with_mutant(sharp):
            assert copy.tests(sharp)[0] == "killed"
            times.add((tmp_path / "copy" / "src" / "stillhouse" / "rule.py").stat().st_mtime)
        assert copy.tests(sharp)[0] == "survived"
    assert len(times) == 2


def test_what_does_not_end_is_stopped(tmp_path):
    assert runner._run([sys.executable, "-c", "import time; time.sleep(600)"], tmp_path, {}, 0.1) == (None, "")


def mutant(old, new="x"):
    return runner.Mutant(name="a", rule="r", file="f.py", old=old, new=new, test="t.py")


def test_line_breaks_do_not_count_and_a_name_is_whole():
    assert mutated(mutant("f(a, b)"), "y = f(\n    a,\n    b,\n)\n") == "y = x\n"
    assert mutated(mutant("a.low > 0"), "if (b.a.low\n    > 0):") == "if (b.x):"
    assert mutated(mutant("not in x", "in x"), "if y not in x:") == "if y in x:"
    for text in ("margins", "my_margin", "notin x"):
        with pytest.raises(StaleError):
            mutated(mutant("not in x" if "x" in text else "margin"), text)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('name = "a"', "a: file, new, old, rule, test is missing"),
        ('name = "a"\nkind = "b"', "a: unknown keys kind"),
        ('name = "a"\nrule = "r"\nfile = "f"\ntest = "t"\nold = "1"\nnew = "1"', "a: old and new are the same"),
    ],
)
def test_a_list_that_cannot_be_read_says_why(tmp_path, entry, said):
    path = tmp_path / "mutants.toml"
    path.write_text(f"[[mutant]]\n{entry}\n")
    with pytest.raises(ListError, match=said):
        load(path)


def test_names_are_given_once(tree):
    with pytest.raises(ListError, match="sharp: this name is there twice"):
        load(tree("sharp", "sharp")["list_"])


def test_every_text_on_the_list_is_found_exactly_once():
    assert [result.sentence for result in check(load(LIST))] == []


def test_the_list_is_long_enough_and_every_rule_is_a_sentence():
    mutants = load(LIST)
    assert len(mutants) >= 40
    assert [mutant.name for mutant in mutants if not mutant.rule.endswith(".")] == []
