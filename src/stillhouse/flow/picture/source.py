"""The picture of a flow as far as its source shows it: its syntax tree says how the calls are joined, the loaded app says what each name is.

Python's own control flow is all there is to read: sequence, `gather`, `TaskGroup`, `as_completed` and `flow.map`, `if` and `match`, `for` and `while`, `try`.
Async functions of the app that are no steps are drawn where they are called. What only a run decides (how often, which arm) is in the picture of the run.
"""

import ast
import asyncio
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from stillhouse.flow.agent import Agent, agent
from stillhouse.flow.decide import decide, until
from stillhouse.flow.engine import Flow, bounded_map
from stillhouse.flow.human import ask_human
from stillhouse.flow.limits import Limits
from stillhouse.flow.picture import Arm, Box, Branch, End, Frame, Lanes, Part, Picture, ends
from stillhouse.flow.tools.tool import Tool

LONGEST = 60  # characters of a condition or an iterable, as written
_EACH = (ast.ListComp, ast.SetComp, ast.GeneratorExp)
_SPREADING = (asyncio.gather, asyncio.as_completed, asyncio.wait)


def source_picture(flow: Flow[Any, Any]) -> Picture:
    """The flow as its source shows it. Where a function has no source (typed at a prompt) nothing of it is drawn."""
    reader = _Reader(flow.function, (flow.function,))
    about = inspect.getdoc(flow.function)
    return Picture(flow.name, _without_returns(reader.body()), (about.splitlines()[0],) if about else ())


@dataclass
class _Reader:
    """Reads one function. `around`: the functions that are being read, this one last: who calls itself is not drawn again in itself."""

    function: Callable[..., Any]
    around: tuple[Callable[..., Any], ...]
    local: dict[str, Any] = field(default_factory=dict)  # what was made in the function itself: agents, task groups

    def body(self) -> tuple[Part, ...]:
        tree = _tree_of(self.function)
        return () if tree is None else self.statements(tree.body)

    # Statements

    def statements(self, given: Sequence[ast.stmt]) -> tuple[Part, ...]:
        parts: list[Part] = []
        for place, statement in enumerate(given):
            found = self.statement(statement)
            rest = given[place + 1 :]
            if (
                rest
                and found
                and isinstance(last := found[-1], Branch)
                and any(ends(arm.body) for arm in last.arms)
                and not ends(tuple(found))
            ):
                after = self.statements(rest)  # the rest belongs to the arms that go on
                return (*parts, *found[:-1], _go_on(last, after))
            parts.extend(found)
            if ends(tuple(found)):
                break
        return tuple(parts)

    def statement(self, node: ast.stmt) -> list[Part]:
        match node:
            case ast.If():
                arms = [
                    Arm(self.said(node.test), self.statements(node.body)),
                    Arm("else", self.statements(node.orelse)),
                ]
                return [*self.calls(node.test), *_branch(arms)]
            case ast.Match():
                arms = [
                    Arm(f"case {_short(ast.unparse(case.pattern))}", self.statements(case.body)) for case in node.cases
                ]
                return [*self.calls(node.subject), *_branch(arms)]
            case ast.For() | ast.AsyncFor():
                return self.loop(node)
            case ast.While():
                body = (*self.calls(node.test), *self.statements(node.body))
                return [Frame(f"while {self.said(node.test)}", body)] if body else []
            case ast.Try():
                return self.attempt(node)
            case ast.With() | ast.AsyncWith():
                return self.block(node)
            case ast.Return():
                return [*(self.calls(node.value) if node.value is not None else ()), End("return")]
            case ast.Raise():
                return [End("raise")]
            case ast.Break() | ast.Continue():
                return [End(type(node).__name__.lower())]
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return []
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self.note(name, value)
        return [
            part for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr) for part in self.calls(child)
        ]

    def loop(self, node: ast.For | ast.AsyncFor) -> list[Part]:
        called = self.resolved(node.iter.func) if isinstance(node.iter, ast.Call) else None
        body = self.statements(node.body)
        if called is until:
            assert isinstance(node.iter, ast.Call)
            judge = Box(
                _keyword(node.iter, "name") or "until", "decide", (_question(node.iter), "→ yes: leave the loop")
            )
            return [Frame(f"until yes, at most {_keyword(node.iter, 'at_most') or '?'}", (*body, judge))]
        before = self.calls(node.iter)
        title = f"{'async for' if isinstance(node, ast.AsyncFor) else 'for'} {_short(ast.unparse(node.target))} in {self.said(node.iter)}"
        return [*before, *([Frame(title, body)] if body else [])]

    def attempt(self, node: ast.Try) -> list[Part]:
        body = self.statements(node.body)
        caught = [
            Arm(f"on {_short(ast.unparse(one.type)) if one.type else 'any error'}", self.statements(one.body))
            for one in node.handlers
        ]
        if any(arm.body for arm in caught):
            left, fine = (body[-1:], body[:-1]) if body and isinstance(body[-1], End) else ((), body)
            body = (*fine, *_branch([Arm("no error", (*left, *self.statements(node.orelse))), *caught]))
        else:
            body = (*body, *self.statements(node.orelse))
        return [*body, *self.statements(node.finalbody)]

    def block(self, node: ast.With | ast.AsyncWith) -> list[Part]:
        before: list[Part] = []
        title = None
        for item in node.items:
            called = self.resolved(item.context_expr.func) if isinstance(item.context_expr, ast.Call) else None
            if called is asyncio.TaskGroup and isinstance(item.optional_vars, ast.Name):
                self.local[item.optional_vars.id] = _GROUP
            elif called is Limits:
                assert isinstance(item.context_expr, ast.Call)
                title = f"limits: {_short(', '.join(ast.unparse(word) for word in item.context_expr.keywords))}"
            else:
                before.extend(self.calls(item.context_expr))
        body = self.statements(node.body)
        body = _joined(body) if _GROUP in self.local.values() else body
        return [*before, *((Frame(title, body),) if title is not None and body else body)]

    def note(self, name: str, value: ast.expr) -> None:
        """Remember an agent that the function makes for itself."""
        if isinstance(value, ast.Call) and self.resolved(value.func) is agent:
            self.local[name] = _LocalAgent(_keyword(value, "name") or "agent")

    # Expressions

    def calls(self, node: ast.AST) -> list[Part]:
        """What an expression calls, in the order in which Python does."""
        match node:
            case ast.Call():
                return self.call(node)
            case ast.IfExp():
                arms = [
                    Arm(self.said(node.test), tuple(self.calls(node.body))),
                    Arm("else", tuple(self.calls(node.orelse))),
                ]
                return [*self.calls(node.test), *_branch(arms)]
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                return self.comprehension(node.generators, self.calls(node.elt))
            case ast.DictComp():
                return self.comprehension(node.generators, [*self.calls(node.key), *self.calls(node.value)])
            case ast.Lambda():
                return []
        return [part for child in ast.iter_child_nodes(node) for part in self.calls(child)]

    def comprehension(self, generators: Sequence[ast.comprehension], body: Sequence[Part]) -> list[Part]:
        first = generators[0]
        each = f"for {_short(ast.unparse(first.target))} in {self.said(first.iter)}"
        return [*self.calls(first.iter), *([Frame(each, tuple(body))] if body else [])]

    def call(self, node: ast.Call) -> list[Part]:
        called = self.resolved(node.func)
        if called in _SPREADING:
            return self.spread(node)
        if called is bounded_map:
            return self.mapped(node)
        given = [part for one in (*node.args, *(word.value for word in node.keywords)) for part in self.calls(one)]
        if called is _CREATE_TASK and given:
            return [Lanes((tuple(given),))]  # joined with its neighbours when the whole block is read
        return [*self.calls(node.func), *given, *self.box(called, node)]

    def spread(self, node: ast.Call) -> list[Part]:
        """gather and its like: each argument a lane, a starred or single list of calls a fan-out."""
        lanes: list[tuple[Part, ...]] = []
        for one in node.args:
            found = self.calls(one.value if isinstance(one, ast.Starred) else one)
            if isinstance(one, ast.List | ast.Tuple):
                lanes.extend(found_one for each in one.elts if (found_one := tuple(self.calls(each))))
            elif found:
                each = isinstance(getattr(one, "value", one), _EACH)
                lanes.append((*found[:-1], _at_once(found[-1]) if each else found[-1]))
        return [Lanes(tuple(lanes))] if len(lanes) > 1 else list(lanes[0]) if lanes else []

    def mapped(self, node: ast.Call) -> list[Part]:
        if len(node.args) < 2:
            return []
        bound = _keyword(node, "at_once")
        title = f"map over {self.said(node.args[1])}, {f'{bound} at once' if bound else 'at once'}"
        body = tuple(self.box(self.resolved(node.args[0]), node)) or (Box(_short(ast.unparse(node.args[0])), "step"),)
        return [*self.calls(node.args[1]), Frame(title, body)]

    def box(self, called: Any, node: ast.Call) -> list[Part]:
        """What is called, as a box; nothing where it is not of the flow."""
        if called is decide:
            options = (
                node.args[1]
                if len(node.args) > 1
                else next((word.value for word in node.keywords if word.arg == "options"), None)
            )
            notes = (_question(node), *((f"→ {_options(options)}",) if options is not None else ()))
            return [Box(_keyword(node, "name") or "decide", "decide", notes)]
        if called is ask_human:
            return [Box("ask_human", "human", (_question(node),))]
        if isinstance(called, _LocalAgent):
            return [Box(called.name, "agent")]
        if isinstance(called, Agent):
            return [Box(called.name, "agent", (f"tools: {', '.join(called.tools) or 'none'}",))]
        if isinstance(called, Tool):
            return [Box(called.name, "tool")]
        if isinstance(called, Flow):
            return [Box(called.name, "flow", inside=self.inside(called.function))]
        declared = getattr(called, "__dict__", {}).get("stillhouse_step")
        if declared is not None:
            model = "task" in called.__dict__
            return [
                Box(declared.name, "model" if model else "step", inside=() if model else self.inside(declared.function))
            ]
        if inspect.iscoroutinefunction(called) and self.is_of_the_app(called):
            return list(self.inside(called))
        return []

    def inside(self, function: Callable[..., Any]) -> tuple[Part, ...]:
        """The body of a function that this one calls; its return is not the flow's."""
        if function in self.around:
            return (Box(function.__name__, "step", ("calls itself",)),)
        return _without_returns(_Reader(function, (*self.around, function)).body())

    # Names

    def resolved(self, node: ast.expr) -> Any:
        """What a name stands for: made in this function, of its module, or an attribute of a module or class. None where only a run would tell."""
        match node:
            case ast.Name(id=name):
                names = inspect.getclosurevars(self.function)
                places: Iterable[Mapping[str, Any]] = (self.local, names.nonlocals, self.function.__globals__)
                return next((place[name] for place in places if name in place), None)
            case ast.Attribute(value=value, attr=attr):
                owner = self.resolved(value)
                if attr == "create_task" and (owner is _GROUP or owner is asyncio):
                    return _CREATE_TASK
                return inspect.getattr_static(owner, attr, None) if isinstance(owner, ModuleType | type) else None
        return None

    def is_of_the_app(self, function: Callable[..., Any]) -> bool:
        """Whether it stands beside or below the flow's own file."""
        here, there = (inspect.getsourcefile(one) for one in (self.around[0], function))
        return (
            here is not None and there is not None and Path(there).resolve().is_relative_to(Path(here).resolve().parent)
        )

    def said(self, node: ast.expr) -> str:
        """An expression as it is written, its calls of steps by name alone."""
        return _short(ast.unparse(_Named().visit(ast.parse(ast.unparse(node), mode="eval"))))


@dataclass(frozen=True)
class _LocalAgent:
    name: str


_GROUP = object()
_CREATE_TASK = object()


class _Named(ast.NodeTransformer):
    """`await f(x, y)` written as `f`."""

    def visit_Await(self, node: ast.Await) -> ast.expr:
        return node.value.func if isinstance(node.value, ast.Call) else node.value


def _tree_of(function: Callable[..., Any]) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    return tree if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef) else None


def _branch(arms: Sequence[Arm]) -> list[Part]:
    """The branch; nothing where no arm holds anything. An else that only asks the next question (elif) becomes arms of this one."""
    if not any(arm.body for arm in arms):
        return []
    flat: list[Arm] = []
    for arm in arms:
        only = arm.body[0] if len(arm.body) == 1 else None
        asks_on = arm.label == "else" and isinstance(only, Branch) and only.arms[-1].label == "else"
        flat.extend(only.arms if asks_on and isinstance(only, Branch) else [arm])
    return [Branch(tuple(flat))]


def _go_on(branch: Branch, after: tuple[Part, ...]) -> Part:
    """What follows a branch, put into the arm that goes on; where several do, they join first, in one arm."""
    leaving, going = [arm for arm in branch.arms if ends(arm.body)], [arm for arm in branch.arms if not ends(arm.body)]
    on = going[0] if len(going) == 1 else Arm("else", tuple(_branch(going)))
    return _branch([*leaving, replace(on, body=(*on.body, *after))])[0]


def _at_once(part: Part) -> Part:
    return replace(part, title=f"{part.title}, at once") if isinstance(part, Frame) else part


def _joined(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Tasks that are created one after the other in a group run side by side."""
    joined: list[Part] = []
    for part in parts:
        if (
            isinstance(part, Frame)
            and len(part.body) == 1
            and isinstance(only := part.body[0], Lanes)
            and len(only.lanes) == 1
        ):
            part = _at_once(replace(part, body=only.lanes[0]))
            part = Lanes(((part,),))
        if isinstance(part, Lanes) and joined and isinstance(before := joined[-1], Lanes):
            joined[-1] = Lanes((*before.lanes, *part.lanes))
        else:
            joined.append(part)
    return tuple(
        inner
        for part in joined
        for inner in (part.lanes[0] if isinstance(part, Lanes) and len(part.lanes) == 1 else (part,))
    )


def _without_returns(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """A return where the function ends anyway says nothing, and after `statements` no other is left but those in loops, which leave the loop."""
    return tuple(_returning(part) for part in parts if part != End("return"))


def _returning(part: Part) -> Part:
    if isinstance(part, Branch):
        return Branch(tuple(replace(arm, body=_without_returns(arm.body)) for arm in part.arms))
    return part


def _keyword(node: ast.Call, name: str) -> str | None:
    """A keyword argument as text: a string's own, else as it is written."""
    value = next((word.value for word in node.keywords if word.arg == name), None)
    if value is None:
        return None
    return (
        value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else _short(ast.unparse(value))
    )


def _question(node: ast.Call) -> str:
    """The question, where it is written in the call."""
    asked = node.args[0] if node.args else next((word.value for word in node.keywords if word.arg == "question"), None)
    if asked is None:
        return "?"
    if isinstance(asked, ast.Constant) and isinstance(asked.value, str):
        return _short(asked.value)
    if isinstance(asked, ast.JoinedStr):
        return _short("".join(_pieces(asked)))
    return _short(ast.unparse(asked))


def _pieces(text: ast.JoinedStr) -> Iterator[str]:
    for piece in text.values:
        yield (
            str(piece.value)
            if isinstance(piece, ast.Constant)
            else f"{{{ast.unparse(piece.value)}}}"
            if isinstance(piece, ast.FormattedValue)
            else ""
        )


def _options(node: ast.expr) -> str:
    if isinstance(node, ast.List | ast.Tuple) and all(isinstance(one, ast.Constant) for one in node.elts):
        return " | ".join(str(one.value) for one in node.elts if isinstance(one, ast.Constant))
    return _short(ast.unparse(node))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
