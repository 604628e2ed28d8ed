"""Edited code: what counts as an edit of a function, and that none does a finished side effect again unasked.

The version of a function is a hash of its body. Its decorators, docstring and comments are no part of it, nor is the
way in which it is set: none of them changes what was done. A step with a body of its own may have done something
outside (paid, sent, deleted), which nobody can see in its code. So where it finished and was edited since, its answer
is kept and reported, until the user names the step in `rerun`. One that says `pure=True` is run again by itself.
"""

import ast
import hashlib
import inspect
import re
import textwrap
from collections.abc import Callable, Collection, Iterable
from types import CodeType
from typing import Any

from stillhouse.errors import UserError

_OWN_CODE = "code:"  # what the version begins with of a step that may have effects
_PARTS = re.compile(r"(?:code:)?([^+@]*)(.*)", re.DOTALL)  # of a version: the code, and what else makes the answer
# Of a version, what version 0.1.0 called the same functions: a hash of all their source.
_earlier: dict[str, set[str]] = {}


def version_of(function: Callable[..., Any]) -> str:
    """A hash of what the function does.

    Where there is no source (a prompt typed in a shell), its compiled code stands in.
    """
    source = None
    try:
        source = inspect.getsource(function)
        body = _body(source)
    except (OSError, TypeError, SyntaxError):
        body = None
    version = _digest(_compiled(function.__code__, function.__doc__) if body is None else body)
    if source is not None:
        _earlier.setdefault(version, set()).add(_digest(source))
    return version


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _body(source: str) -> str | None:
    """The body of the function that stands there; None where it is no `def`."""
    tree = ast.parse(textwrap.dedent(source)).body[0]
    if not isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    statements = tree.body[1:] if ast.get_docstring(tree, clean=False) is not None else tree.body
    return ast.unparse(ast.Module(statements or [ast.Pass()], []))


def _compiled(code: CodeType, doc: str | None = None) -> str:
    constants = [
        _compiled(part) if isinstance(part, CodeType) else repr(part) for part in code.co_consts if part != doc
    ]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def version_of_step(function: Callable[..., Any], *, pure: bool) -> str:
    """The version of a step with a body of its own."""
    return version_of(function) if pure else _OWN_CODE + version_of(function)


def plain(version: str) -> str:
    """The version without the mark that the step may have effects."""
    return version.removeprefix(_OWN_CODE)


def same_version(stored: str, version: str, *, is_of_0_1_0: bool) -> bool:
    """Whether an answer of the version `stored` is one of this version, too.

    Rows of 0.1.0 know less: what stands before the first mark, and of a step's code a hash of all its source.
    """
    before, after = _PARTS.match(stored), _PARTS.match(version)
    assert before is not None and after is not None
    same_code = before[1] == after[1] or before[1] in _earlier.get(after[1], ())
    return same_code and (before[2] == after[2] or (is_of_0_1_0 and not before[2]))


def is_kept(version: str, calls: Iterable[str], rerun: Collection[str]) -> bool:
    """Whether an answer of another version than this one stands all the same.

    `calls`: the names of the call and of those in whose bodies it is made; `rerun`: what the user wants run again.
    """
    return version.startswith(_OWN_CODE) and not any(name in rerun for name in calls)


def check_rerun(rerun: Collection[str], run: str, ended: Iterable[str]) -> None:
    """Raises UserError for a step of which the run has no call that ended."""
    known = sorted(set(ended))
    for name in rerun:
        if name not in known:
            raise UserError(f"the run {run} has no call of {name!r} to run again; it has {', '.join(known) or 'none'}")
