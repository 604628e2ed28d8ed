"""Imports point one way, and the base is light: the one test that holds the cut of the packages."""

import ast
import subprocess
import sys
from pathlib import Path

import stillhouse

SRC = Path(stillhouse.__file__).parent
BASE = {
    "errors",
    "records",
    "settings",
    "task",
    "consent",
    "session",
    "event_loop",
    "runs",
    "user_code",
    "numbers",
    "__init__",
}
ENTRIES = {
    SRC / "__main__.py",
    SRC / "__init__.py",
}  # `python -m stillhouse`; `from stillhouse import flow, step`, loaded when asked for
MAY_IMPORT = {  # in the order of the packages in DESIGN: what stands below
    "results": {"evaluation", "flow"},  # until they take their record types from it
    "store": set(),
    "llm": {"store"},
    "data": set(),
    "teacher": {"llm", "store", "data"},
    "student": {"data"},
    "evaluation": {"results", "data"},
    "advice": {"results", "evaluation", "data"},
    "experiment": {"results", "store", "llm", "data", "teacher", "student", "evaluation", "advice"},
    "verdict": {"results", "llm", "evaluation", "advice", "experiment"},
    "flow": {"llm", "store"},
    "flow_tests": {"results", "store", "data", "evaluation", "flow"},
    "serving": {"results", "store", "llm", "student"},
    "comparison": {"results", "store", "llm", "data", "evaluation", "experiment", "serving"},
    "report": {"results", "store", "flow", "evaluation"},
    "demo": {"store", "llm", "data", "evaluation", "flow", "step"},
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
        "serving",
        "comparison",
        "report",
        "demo",
    },
    "interop": {"store", "llm", "flow", "serving", "commands"},
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


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_packages_import_only_what_stands_below_them():
    wrong = []
    for path in SRC.rglob("*.py"):
        if path in ENTRIES:
            continue
        here = path.relative_to(SRC).parts[0].removesuffix(".py")
        for name in imports(path):
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


def test_torch_is_imported_by_the_student_package_alone():
    users = {
        path.relative_to(SRC).parts[0]
        for path in SRC.rglob("*.py")
        for name in imports(path)
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
