"""docs/statistics.md: no statistic is missing; every test that it names exists where it says and uses what it tests; a mutant shows that they bite."""

import ast
import re
from pathlib import Path

from tests.mutants.run import load

import stillhouse

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "statistics.md"
SRC = Path(stillhouse.__file__).parent
ROOMS = [
    *(SRC / "evaluation").glob("*.py"),
    *(SRC / "advice").glob("*.py"),
    SRC / "student" / "calibration.py",
    *(SRC / "verdict" / f"{name}.py" for name in ("rules", "evidence")),
    *(
        SRC / "verdict" / "money" / f"{name}.py"
        for name in ("answer_worth", "break_even", "machine", "net_benefit", "price_bounds")
    ),
]
NAMES, TEST = re.compile(r"`(\w+\.\w+)`"), re.compile(r"`([\w/]+\.py)::(\w+)`")
MUTANT = re.compile(r"`([a-z0-9-]+)`")


def public(path):
    """(name, how a test may call it): the public functions of a module, and its classes that compute anything, by their own name or a member's."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if getattr(node, "name", "_").startswith("_"):
            continue
        computes = [
            part.name
            for part in getattr(node, "body", [])
            if isinstance(part, ast.FunctionDef) and not part.name.startswith("_")
        ]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or computes:
            yield f"{path.stem}.{node.name}", {node.name, *computes}


def rows():
    """The cells of every table's rows: five for a statistic, two for what is none."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and (NAMES.search(cells[0]) or TEST.search(line)):
            yield cells


def missing(names, page_rows):
    """What is public and not on the page, and what is on the page and not, or not once, public."""
    told = [name for cells in page_rows for name in NAMES.findall(cells[0])]
    return sorted(set(names) - set(told)), sorted({name for name in told if name not in names or told.count(name) > 1})


def unfounded(page_rows, calls, tests=TESTS):
    """Rows that lack one of the three tests, or name one that does not exist, or whose file never uses the statistic."""
    wrong = []
    for first, *cells in page_rows:
        if len(cells) == 1:
            continue
        found = [TEST.findall(cell) for cell in cells[:3]]
        if len(cells) != 4 or not all(found):
            wrong.append(f"{first}: a column is empty")
        for file, test in (one for cell in found for one in cell):
            path = tests / file
            text = path.read_text(encoding="utf-8") if path.is_file() else ""
            if not re.search(rf"^(async )?def {test}\(", text, re.MULTILINE):
                wrong.append(f"{first}: there is no {file}::{test}")
        used = " ".join(
            (tests / file).read_text(encoding="utf-8") for cell in found for file, _ in cell if (tests / file).is_file()
        )
        words = set(re.findall(r"\w+", used))
        wrong += [
            f"{name}: no file of its tests uses it"
            for name in NAMES.findall(first)
            if not words & calls.get(name, set())
        ]
    return wrong


def toothless(page_rows, mutants):
    """Rows that name no mutant, or one that is not on the list, or one that a file of other tests must notice. `mutants`: their test files by name."""
    wrong = []
    for first, *cells in page_rows:
        if len(cells) == 1:
            continue
        names = MUTANT.findall(cells[3]) if len(cells) == 4 else []
        files = {file for cell in cells[:3] for file, _ in TEST.findall(cell)}
        wrong += [] if names else [f"{first}: it names no mutant"]
        wrong += [f"{first}: no mutant is called {name}" for name in names if name not in mutants]
        wrong += [
            f"{first}: {name} is not for its tests" for name in names if mutants.get(name, "") not in {"", *files}
        ]
    return wrong


def known():
    return dict(one for path in ROOMS for one in public(path))


def test_every_statistic_is_on_the_page():
    assert len(known()) > 60
    assert missing(known(), list(rows())) == ([], [])


def test_every_statistic_has_three_tests_that_exist():
    assert unfounded(list(rows()), known()) == []


def test_every_statistic_names_a_mutant_that_its_tests_kill():
    """That they kill it is what `make mutants` sees."""
    mutants = {mutant.name: mutant.test for mutant in load()}
    assert toothless(list(rows()), mutants) == []


def test_a_statistic_without_a_mutant_is_found_out():
    test = "`a/test_a.py::test_one`"
    page = [
        ["`m.good`", test, test, test, "`bites`"],
        ["`m.none`", test, test, test, ""],
        ["`m.short`", test, test, test],
        ["`m.gone`", test, test, test, "`bites`, `was-renamed`"],
        ["`m.other`", test, test, test, "`bites-elsewhere`"],
        ["`m.words`", "is none"],
    ]
    assert toothless(page, {"bites": "a/test_a.py", "bites-elsewhere": "a/test_b.py"}) == [
        "`m.none`: it names no mutant",
        "`m.short`: it names no mutant",
        "`m.gone`: no mutant is called was-renamed",
        "`m.other`: bites-elsewhere is not for its tests",
    ]


def test_what_is_missing_is_found_out(tmp_path):
    """A new function, one that is gone, a test that is gone, a column left empty, a file that never uses the statistic."""
    (tmp_path / "test_a.py").write_text("def test_one():\n    old(1)\n")
    one = "`test_a.py::test_one`"
    page = [["`m.old`", one, "`test_a.py::test_two`", "none", ""], ["`m.gone`", one, one, "`test_b.py::x`", ""]]
    assert missing(["m.old", "m.new"], page) == (["m.new"], ["m.gone"])
    assert unfounded(page, {"m.old": {"old"}, "m.gone": {"gone"}}, tmp_path) == [
        "`m.old`: a column is empty",
        "`m.old`: there is no test_a.py::test_two",
        "`m.gone`: there is no test_b.py::x",
        "m.gone: no file of its tests uses it",
    ]
