"""Break one rule in a copy of the tree, run the test file that holds the rule, and see it fail; then the next one.

    make mutants                            all of `mutants.toml`, two at a time
    python -m tests.mutants --only NAME     that one; may be given several times
    python -m tests.mutants --check         only whether every text is found exactly once, in a second
    python -m tests.mutants --json          one JSON object on stdout

A mutant is killed where a quick test fails with it. Everything else is a failure, and the exit code is then 1: it survived; its text is not in the file any
more, or is there twice (stale); the tests fail without it (red); they cannot even be run with it, so they prove nothing (broken); they do not end (hung).
"""

import argparse
import contextlib
import itertools
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, TypeVar

ROOT = Path(__file__).parent.parent.parent
LIST = Path(__file__).parent / "mutants.toml"
SOURCE = Path("src") / "stillhouse"
COPIED = ("src", "tests", "docs", "examples", "bench", "pyproject.toml", "README.md", "CHANGELOG.md", "Makefile")
LONGEST_S = 300.0  # of one run of a test file; the slowest takes a few seconds
# Those that the tests need. To load all that are installed takes longer than most files do.
PLUGINS = ("-p", "pytest_asyncio.plugin", "-p", "_hypothesis_pytestplugin")

In, Out = TypeVar("In"), TypeVar("Out")
Outcome = Literal["killed", "survived", "stale", "red", "broken", "hung"]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One way to break one rule. `old` stands in the file exactly once, however its lines are broken."""

    name: str
    rule: str  # what holds, in one sentence
    file: str  # below src/stillhouse
    old: str
    new: str
    test: str  # the test file that must fail, below tests
    select: str = ""  # of its tests only those that pytest's -k takes; empty: all that are not slow


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of a mutant. `detail`: the test that killed it, or what is wrong."""

    mutant: Mutant
    outcome: Outcome
    detail: str
    seconds: float = 0.0

    @property
    def sentence(self) -> str:
        mutant = self.mutant
        return f"{self.outcome.upper()} {mutant.name}: {self.detail}\n  src/stillhouse/{mutant.file}: {mutant.rule}"


class ListError(Exception):
    """`mutants.toml` cannot be read as a list of mutants."""


class StaleError(Exception):
    """The text of a mutant is not in its file, or is there more than once."""


def load(path: Path = LIST) -> list[Mutant]:
    """The list, in its order. Raises ListError naming the mutant and what is wrong with it."""
    known = {field.name for field in fields(Mutant)}
    mutants = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("mutant", []):
        name = entry.get("name", "a mutant without a name")
        if unknown := set(entry) - known:
            raise ListError(f"{name}: unknown keys {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
        if missing := known - set(entry) - {"select"}:
            raise ListError(f"{name}: {', '.join(sorted(missing))} is missing")
        if entry["old"] == entry["new"]:
            raise ListError(f"{name}: old and new are the same")
        mutants.append(Mutant(**entry))
    if twice := [name for name, count in Counter(mutant.name for mutant in mutants).items() if count > 1]:
        raise ListError(f"{', '.join(twice)}: this name is there twice")
    return mutants


def mutated(mutant: Mutant, text: str) -> str:
    """The file's text with the mutant in it. Raises StaleError."""
    places = list(_pattern(mutant.old).finditer(text))
    if not places:
        raise StaleError(f"its text is not found: {mutant.old}")
    if len(places) > 1:
        raise StaleError(f"its text is found {len(places)} times: {mutant.old}")
    return text[: places[0].start()] + mutant.new + text[places[0].end() :]


def _pattern(code: str) -> re.Pattern[str]:
    """That code however a formatter breaks its lines: spaces do not count, nor a comma before a closing bracket."""
    parts, before = [], ""
    for token in re.findall(r"\w+|[^\w\s]", code):
        gap = r"\s+" if before[-1:].isalnum() and token[0].isalnum() else r"\s*" if before else ""
        comma = r"(?:,\s*)?" if token in ")]}" and before not in ("", ",") else ""
        parts.append(gap + comma + re.escape(token))
        before = token
    first, last = (r"\b" if re.match(r"\w", part) else "" for part in (code.strip()[:1], code.strip()[-1:]))
    return re.compile(first + "".join(parts) + last)


# A copy of the tree


class Copy:
    """A copy of the tree, in which one mutant at a time may live."""

    _stamps = itertools.count(
        1_000_000_000, 2
    )  # a time for every written file: Python takes a module for compiled by it

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            if (root / name).is_dir():
                shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif (root / name).is_file():
                shutil.copy2(root / name, folder / name)

    @contextlib.contextmanager
    def with_mutant(self, mutant: Mutant) -> Iterator[None]:
        """Raises StaleError, and SyntaxError for a mutant that is no Python."""
        path = self.folder / SOURCE / mutant.file
        text, times = path.read_text(encoding="utf-8"), path.stat()
        changed = mutated(mutant, text)
        compile(changed, mutant.file, "exec")
        try:
            self._write(path, changed, next(self._stamps))
            yield
        finally:
            self._write(path, text, times.st_mtime)

    def _write(self, path: Path, text: str, stamp: float) -> None:
        path.write_text(text, encoding="utf-8")
        os.utime(path, (stamp, stamp))

    def passing(self, files: Sequence[str]) -> set[str]:
        """Those of these test files that pass, all run by one pytest: to start it takes longer than most files do."""
        code, output = self._pytest([f"tests/{file}" for file in files], longest_s=LONGEST_S * len(files))
        named = set(re.findall(r"^(?:FAILED|ERROR) tests/([^:\s]+)", output, re.MULTILINE))
        return set(files) - named if code == 0 or (code == 1 and named) else set()

    def tests(self, mutant: Mutant) -> tuple[Outcome, str]:
        """How the mutant's tests end: "survived" where all pass, "killed" where one fails, with its name; or why they say nothing."""
        select = ["-k", mutant.select] if mutant.select else []
        code, output = self._pytest([f"tests/{mutant.test}", "-x", *select], longest_s=LONGEST_S)
        if code is None:
            return "hung", f"tests/{mutant.test} did not end within {LONGEST_S:.0f} s"
        if code == 0:
            return "survived", f"tests/{mutant.test} does not notice"
        if code == 1 and (failed := re.search(r"^FAILED (.+?)(?: - .*)?$", output, re.MULTILINE)):
            return "killed", failed[1]
        return "broken", f"tests/{mutant.test} cannot be run (pytest's exit code {code}):\n{_tail(output)}"

    def _pytest(self, which: Sequence[str], longest_s: float) -> tuple[int | None, str]:
        command = [sys.executable, "-m", "pytest", *which, "-q", "-p", "no:cacheprovider", "-m", "not slow", *PLUGINS]
        environment = os.environ | {"PYTHONPATH": str(self.folder / "src"), "OMP_NUM_THREADS": "1"}
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        environment.pop("PYTEST_ADDOPTS", None)
        return _run([*command, "-rfE", "--tb=short"], self.folder, environment, longest_s)


def _run(command: Sequence[str], folder: Path, environment: dict[str, str], longest_s: float) -> tuple[int | None, str]:
    """(exit code or None where it took too long, what it printed). Whatever it started is ended with it."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as printed:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(longest_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        printed.seek(0)
        return code, printed.read()


def _tail(output: str) -> str:
    return "\n".join(f"    {line}" for line in output.splitlines()[-15:])


# All of them


def check(mutants: Sequence[Mutant], root: Path = ROOT) -> list[Result]:
    """The stale ones: what does not take any test to be seen."""
    stale = []
    for mutant in mutants:
        try:
            path = root / SOURCE / mutant.file
            if not path.is_file():
                raise StaleError("there is no such file")
            if not (root / "tests" / mutant.test).is_file():
                raise StaleError(f"there is no tests/{mutant.test}")
            compile(mutated(mutant, path.read_text(encoding="utf-8")), mutant.file, "exec")
        except StaleError as error:
            stale.append(Result(mutant=mutant, outcome="stale", detail=str(error)))
        except SyntaxError as error:
            stale.append(Result(mutant=mutant, outcome="stale", detail=f"with it the file is no Python ({error})"))
    return stale


def run(mutants: Sequence[Mutant], root: Path = ROOT, *, jobs: int = 2, told: Callable[[str], None]) -> list[Result]:
    """Every mutant's result, in the order given. The tests are run without any mutant first: where they are red, a failure says nothing."""
    results = {result.mutant.name: result for result in check(mutants, root)}
    sound = [mutant for mutant in mutants if mutant.name not in results]
    files = list(dict.fromkeys(mutant.test for mutant in sound))
    parts = [files[number::jobs] for number in range(min(jobs, len(files)))]
    progress = _Progress(len(parts) + len(sound), told)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(jobs) as pool:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for number in range(jobs):
            copies.put(Copy(root, Path(folder) / str(number)))

        def passing(part: Sequence[str]) -> set[str]:
            copy = copies.get()
            try:
                return copy.passing(part)
            finally:
                copies.put(copy)

        def unchanged(mutant: Mutant) -> tuple[Outcome, str]:
            copy = copies.get()
            try:
                return copy.tests(mutant)
            finally:
                copies.put(copy)

        def changed(mutant: Mutant) -> Result:
            copy, began = copies.get(), time.monotonic()
            try:
                with copy.with_mutant(mutant):
                    outcome, detail = copy.tests(mutant)
            finally:
                copies.put(copy)
            return Result(mutant=mutant, outcome=outcome, detail=detail, seconds=time.monotonic() - began)

        green: set[str] = set()
        for _, passed in _as_they_end(pool, passing, parts):
            green |= passed
            progress("")
        # One more try for what failed, by itself: a busy machine fails a test now and then.
        doubtful = {(mutant.test, mutant.select): mutant for mutant in sound if mutant.test not in green}
        red: dict[tuple[str, str], str] = {}
        for mutant, (outcome, detail) in _as_they_end(pool, unchanged, list(doubtful.values())):
            again = "passes" if outcome == "survived" else "fails"
            told(f"tests/{mutant.test} failed without any mutant, and {again} by itself")
            if outcome != "survived":
                red[mutant.test, mutant.select] = f"without any mutant: {detail}"
        for mutant in sound:
            if (detail := red.get((mutant.test, mutant.select))) is not None:
                results[mutant.name] = Result(mutant=mutant, outcome="red", detail=detail)
                progress("red")
        for mutant, result in _as_they_end(pool, changed, [one for one in sound if one.name not in results]):
            results[mutant.name] = result
            progress(result.outcome)
    return [results[mutant.name] for mutant in mutants]


def _as_they_end(pool: ThreadPoolExecutor, work: Callable[[In], Out], inputs: Sequence[In]) -> Iterator[tuple[In, Out]]:
    futures = {pool.submit(work, each): each for each in inputs}
    for future in as_completed(futures):
        yield futures[future], future.result()


class _Progress:
    """A line with what is done and the time left, by the speed so far."""

    def __init__(self, total: int, told: Callable[[str], None]) -> None:
        self._total, self._told, self._began, self._counts = total, told, time.monotonic(), Counter[str]()
        self._done = 0

    def __call__(self, outcome: str) -> None:
        self._done += 1
        self._counts[outcome] += bool(outcome)
        left_s = (time.monotonic() - self._began) / self._done * (self._total - self._done)
        counts = ", ".join(f"{count} {what}" for what, count in self._counts.items() if count)
        self._told(f"{self._done} of {self._total} runs{f', {counts}' if counts else ''}; {left_s:.0f} s left")


def _on_stderr() -> Callable[[str], None]:
    """On a terminal a line that moves, else a line every ten seconds."""
    terminal, last = sys.stderr.isatty(), [0.0]

    def told(line: str) -> None:
        if terminal or time.monotonic() - last[0] >= 10:
            last[0] = time.monotonic()
            print(f"\r\033[K{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)

    return told


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT, list_: Path = LIST) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--only", action="append", metavar="NAME", help="only the mutant of this name; again for more")
    parser.add_argument("--check", action="store_true", help="only look whether every text is found exactly once")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default: 2)")
    options = parser.parse_args(arguments)
    try:
        mutants = load(list_)
    except ListError as error:
        parser.error(str(error))
    if options.only:
        if unknown := set(options.only) - {mutant.name for mutant in mutants}:
            parser.error(f"no mutant is called {', '.join(sorted(unknown))}; {list_.name} has their names")
        mutants = [mutant for mutant in mutants if mutant.name in options.only]
    began = time.monotonic()
    if options.check:
        wrong = check(mutants, root)
        results, word = wrong, "found"
    else:
        results = run(mutants, root, jobs=options.jobs, told=_on_stderr())
        if sys.stderr.isatty():
            print(file=sys.stderr)
        wrong, word = [result for result in results if result.outcome != "killed"], "passed"
    last = f"mutants: {len(mutants) - len(wrong)} {word}, {len(wrong)} failed"
    if options.json:
        facts = {"passed": len(mutants) - len(wrong), "failed": len(wrong), "seconds": round(time.monotonic() - began)}
        print(json.dumps(facts | {"mutants": [_facts(result) for result in results]}, ensure_ascii=False))
    for result in wrong:
        print(result.sentence, file=sys.stderr if options.json else sys.stdout)
    print(last, file=sys.stderr if options.json else sys.stdout)
    return 1 if wrong else 0


def _facts(result: Result) -> dict[str, object]:
    mutant = result.mutant
    facts = {"name": mutant.name, "outcome": result.outcome, "detail": result.detail, "rule": mutant.rule}
    return facts | {"file": mutant.file, "test": mutant.test, "seconds": round(result.seconds, 1)}
