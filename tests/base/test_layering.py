"""Imports point one way, and the base is light: the one test that holds the cut of the packages."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import stillhouse

SRC = Path(stillhouse.__file__).parent
BASE = {
    "errors",
    "doubts",
    "records",
    "settings",
    "task",
    "consent",
    "session",
    "event_loop",
    "stopping",
    "steady_clock",
    "notices",
    "runs",
    "jsonl",
    "json_text",
    "labels",
    "schemas",
    "text_files",
    "user_code",
    "numbers",
    "patterns",
    "openers",
    "clean_text",
    "addresses",
    "words",
    "sqlite_walls",
    "proxies",
    "json_labels",
    "column_map",
    "__init__",
}
ENTRIES = {
    SRC / "__main__.py",
    SRC / "__init__.py",
}  # `python -m stillhouse`; `from stillhouse import flow, step`, loaded when asked for
MAY_IMPORT = {  # in the order of the packages in DESIGN: what stands below
    "results": set(),
    "store": set(),
    "llm": {"store"},
    "data": set(),
    "teacher": {"llm", "store", "data"},
    "student": {"data"},
    "evaluation": {"results", "data"},
    "advice": {"results", "evaluation", "data"},
    "experiment": {"results", "store", "llm", "data", "teacher", "student", "evaluation", "advice"},
    "verdict": {"results", "llm", "evaluation", "advice", "experiment"},
    "flow": {"results", "llm", "store"},
    "flow_tests": {"results", "store", "data", "evaluation", "flow"},
    "serving": {"results", "store", "llm", "student"},
    "gateway": {"store", "llm", "data"},
    "comparison": {"results", "store", "llm", "data", "evaluation", "experiment", "serving"},
    "report": {"results", "store", "flow"},
    "demo": {"results", "store", "llm", "data", "evaluation", "flow", "step"},
    "commands": {
        "results",
        "store",
        "llm",
        "data",
        "teacher",
        "student",
        "evaluation",
        "advice",
        "experiment",
        "verdict",
        "flow",
        "flow_tests",
        "gateway",
        "serving",
        "comparison",
        "report",
        "demo",
    },
    "interop": {"store", "llm", "flow", "serving", "commands"},
    "api": {"commands", "teacher"},
    "cli": {
        "results",
        "flow_tests",
        "store",
        "llm",
        "data",
        "teacher",
        "student",
        "evaluation",
        "advice",
        "experiment",
        "verdict",
        "comparison",
        "serving",
        "report",
        "demo",
        "commands",
    },
}


OURS = {path.name.removesuffix(".py") for path in SRC.iterdir()} - {"__init__"}
DOTTED = re.compile(r"stillhouse\.(\w+)(?:[.:][\w.:]*)?")  # a module by its name, perhaps with an object in it


def imports(source):
    """What the code imports, and what its strings name: `import_module` and its like are given modules as strings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import, which this test does not follow"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            dotted = DOTTED.fullmatch(node.value)
            if dotted is not None and dotted[1] in OURS:  # not `stillhouse.db`, not a span's attribute
                yield node.value.replace(":", ".")


@pytest.mark.parametrize(
    "code",
    [
        "import stillhouse.serving.app",
        "from stillhouse import serving",
        "from stillhouse.serving import app",
        "open = 'stillhouse.serving.predictors:open_predictor'",
        "import_module('stillhouse.serving')",
        "import_module(f'stillhouse.serving.{name}')",
    ],
)
def test_a_module_counts_as_imported_however_it_is_named(code):
    assert [name.split(".")[:2] for name in imports(code)] == [["stillhouse", "serving"]]


def test_strings_that_name_no_module_of_ours_are_no_imports():
    code = "a = 'stillhouse.db', 'stillhouse.calls.ran', 'stillhouse.flow is a package', 'serving', 'stillhouse'"
    assert list(imports(code)) == []


def test_packages_import_only_what_stands_below_them():
    wrong = []
    for path in SRC.rglob("*.py"):
        if path in ENTRIES:
            continue
        here = path.relative_to(SRC).parts[0].removesuffix(".py")
        for name in imports(path.read_text()):
            parts = name.split(".")
            if parts[0] != "stillhouse" or len(parts) < 2:
                continue
            there = parts[1]
            allowed = BASE | {here} | MAY_IMPORT.get(here, set()) | {"__version__"}
            if here in BASE:
                allowed = BASE | {"__version__"}
            if there not in allowed:
                wrong.append(f"{path.relative_to(SRC)} imports {name}")
    assert wrong == []


@pytest.mark.slow
def test_torch_is_imported_by_the_student_package_alone():
    users = {
        path.relative_to(SRC).parts[0]
        for path in SRC.rglob("*.py")
        for name in imports(path.read_text())
        if name.split(".")[0] in ("torch", "transformers", "peft")
    }
    assert users <= {"student"}


def test_import_and_help_load_nothing_heavy():
    heavy = ("torch", "transformers", "sklearn", "scipy", "numpy", "pyarrow", "aiohttp")
    script = f"import stillhouse, stillhouse.cli, sys; print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
        == "[]"
    )
