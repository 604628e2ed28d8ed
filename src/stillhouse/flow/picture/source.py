"""The picture of a flow as far as its source shows it.

The syntax tree says how the calls are joined; the loaded app says what each name is. Python's own control flow is all
there is to read: sequence, `gather`, `TaskGroup`, `as_completed` and `flow.map`, `if` and `match`, `for` and `while`,
`try`. Async functions of the app that are no steps are drawn where they are called. What only a run decides (how often,
which arm) is in the picture of the run.
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
from stillhouse.flow.picture import Branch, BranchArm, CallBox, Enclosure, End, Lanes, Picture, PicturePart, ends
from stillhouse.flow.tools.tool import Tool

LONGEST = 60  # most characters shown of a condition or an iterable
_EACH = (ast.ListComp, ast.SetComp, ast.GeneratorExp)
_SPREADING = (asyncio.gather, asyncio.as_completed, asyncio.wait)


def source_picture(flow: Flow[Any, Any]) -> Picture:
    """The flow as its source shows it. Where a function has no source (typed at a prompt) nothing of it is drawn."""
    reader = _Reader(flow.function, (flow.function,))
    about = inspect.getdoc(flow.function)
    return Picture(flow.name, _without_returns(reader.body()), (about.splitlines()[0],) if about else ())


@dataclass
class _Reader:
    """Reads one function.

    `around`: the functions that are being read, this one last. One that calls itself is not drawn inside itself again.
    """

    function: Callable[..., Any]
    around: tuple[Callable[..., Any], ...]
    # Things made in the function itself, by their names: agents, task groups.
    local: dict[str, Any] = field(default_factory=dict)

    def body(self) -> tuple[PicturePart, ...]:
        tree = _tree_of(self.function)
        return () if tree is None else self.statements(tree.body)

    # Statements

    def statements(self, nodes: Sequence[ast.stmt]) -> tuple[PicturePart, ...]:
        parts: list[PicturePart] = []
        for place, node in enumerate(nodes):
            drawn = self.statement(node)
            leaves = ends(tuple(drawn))
            last, rest = drawn[-1] if drawn else None, nodes[place + 1 :]
            if rest and not leaves and isinstance(last, Branch) and any(ends(arm.body) for arm in last.arms):
                after = self.statements(rest)  # the statements after an `if` follow each arm that goes on
                return (*parts, *drawn[:-1], _go_on(last, after))
            parts.extend(drawn)
            if leaves:
                break
        return tuple(parts)

    def statement(self, node: ast.stmt) -> list[PicturePart]:
        match node:
            case ast.If():
                arms = [
                    BranchArm(self.written(node.test), self.statements(node.body)),
                    BranchArm("else", self.statements(node.orelse)),
                ]
                return [*self.calls(node.test), *_branch(arms)]
            case ast.Match():
                arms = [
                    BranchArm(f"case {_short(ast.unparse(case.pattern))}", self.statements(case.body))
                    for case in node.cases
                ]
                return [*self.calls(node.subject), *_branch(arms)]
            case ast.For() | ast.AsyncFor():
                return self.loop(node)
            case ast.While():
                body = (*self.calls(node.test), *self.statements(node.body))
                return [Enclosure(f"while {self.written(node.test)}", body)] if body else []
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
        children = (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))
        return [part for child in children for part in self.calls(child)]

    def loop(self, node: ast.For | ast.AsyncFor) -> list[PicturePart]:
        called = self.resolved(node.iter.func) if isinstance(node.iter, ast.Call) else None
        body = self.statements(node.body)
        if called is until:
            assert isinstance(node.iter, ast.Call)
            notes = (_question(node.iter), "→ yes: leave the loop")
            judge = CallBox(_keyword(node.iter, "name") or "until", "decide", notes)
            return [Enclosure(f"until yes, at most {_keyword(node.iter, 'at_most') or '?'}", (*body, judge))]
        before = self.calls(node.iter)
        word = "async for" if isinstance(node, ast.AsyncFor) else "for"
        title = f"{word} {_short(ast.unparse(node.target))} in {self.written(node.iter)}"
        return [*before, *([Enclosure(title, body)] if body else [])]

    def attempt(self, node: ast.Try) -> list[PicturePart]:
        body = self.statements(node.body)
        caught = [
            BranchArm(
                f"on {_short(ast.unparse(handler.type)) if handler.type else 'any error'}",
                self.statements(handler.body),
            )
            for handler in node.handlers
        ]
        if any(arm.body for arm in caught):
            left, fine = (body[-1:], body[:-1]) if body and isinstance(body[-1], End) else ((), body)
            body = (*fine, *_branch([BranchArm("no error", (*left, *self.statements(node.orelse))), *caught]))
        else:
            body = (*body, *self.statements(node.orelse))
        return [*body, *self.statements(node.finalbody)]

    def block(self, node: ast.With | ast.AsyncWith) -> list[PicturePart]:
        before: list[PicturePart] = []
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
        return [*before, *((Enclosure(title, body),) if title is not None and body else body)]

    def note(self, name: str, value: ast.expr) -> None:
        """Remember an agent that the function makes for itself."""
        if isinstance(value, ast.Call) and self.resolved(value.func) is agent:
            self.local[name] = _LocalAgent(_keyword(value, "name") or "agent")

    # Expressions

    def calls(self, node: ast.AST) -> list[PicturePart]:
        """What an expression calls, in the order in which Python does."""
        match node:
            case ast.Call():
                return self.call(node)
            case ast.IfExp():
                arms = [
                    BranchArm(self.written(node.test), tuple(self.calls(node.body))),
                    BranchArm("else", tuple(self.calls(node.orelse))),
                ]
                return [*self.calls(node.test), *_branch(arms)]
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                return self.comprehension(node.generators, self.calls(node.elt))
            case ast.DictComp():
                return self.comprehension(node.generators, [*self.calls(node.key), *self.calls(node.value)])
            case ast.Lambda():
                return []
        return [part for child in ast.iter_child_nodes(node) for part in self.calls(child)]

    def comprehension(self, generators: Sequence[ast.comprehension], body: Sequence[PicturePart]) -> list[PicturePart]:
        first = generators[0]
        each = f"for {_short(ast.unparse(first.target))} in {self.written(first.iter)}"
        return [*self.calls(first.iter), *([Enclosure(each, tuple(body))] if body else [])]

    def call(self, node: ast.Call) -> list[PicturePart]:
        called = self.resolved(node.func)
        if called in _SPREADING:
            return self.spread(node)
        if called is bounded_map:
            return self.mapped(node)
        arguments = (*node.args, *(word.value for word in node.keywords))
        inner = [part for argument in arguments for part in self.calls(argument)]
        if called is _CREATE_TASK and inner:
            return [Lanes((tuple(inner),))]  # neighbouring lanes are joined later, when the whole block is read
        return [*self.calls(node.func), *inner, *self.box(called, node)]

    def spread(self, node: ast.Call) -> list[PicturePart]:
        """gather and its like: each argument is a lane; a starred or single list of calls is a fan-out."""
        lanes: list[tuple[PicturePart, ...]] = []
        for argument in node.args:
            if isinstance(argument, ast.List | ast.Tuple):
                lanes.extend(lane for element in argument.elts if (lane := tuple(self.calls(element))))
                continue
            value = argument.value if isinstance(argument, ast.Starred) else argument
            parts = self.calls(value)
            if parts:
                fan_out = isinstance(getattr(argument, "value", argument), _EACH)
                lanes.append((*parts[:-1], _at_once(parts[-1]) if fan_out else parts[-1]))
        return [Lanes(tuple(lanes))] if len(lanes) > 1 else list(lanes[0]) if lanes else []

    def mapped(self, node: ast.Call) -> list[PicturePart]:
        if len(node.args) < 2:
            return []
        function, items, bound = node.args[0], node.args[1], _keyword(node, "at_once")
        title = f"map over {self.written(items)}, {f'{bound} at once' if bound else 'at once'}"
        body = tuple(self.box(self.resolved(function), node)) or (CallBox(_short(ast.unparse(function)), "step"),)
        return [*self.calls(items), Enclosure(title, body)]

    def box(self, called: Any, node: ast.Call) -> list[PicturePart]:
        """What is called, as a box; nothing where it is not of the flow."""
        if called is decide:
            options = _argument(node, 1, "options")
            notes = (_question(node), *((f"→ {_options(options)}",) if options is not None else ()))
            return [CallBox(_keyword(node, "name") or "decide", "decide", notes)]
        if called is ask_human:
            return [CallBox("ask_human", "human", (_question(node),))]
        if isinstance(called, _LocalAgent):
            return [CallBox(called.name, "agent")]
        if isinstance(called, Agent):
            return [CallBox(called.name, "agent", (f"tools: {', '.join(called.tools) or 'none'}",))]
        if isinstance(called, Tool):
            return [CallBox(called.name, "tool")]
        if isinstance(called, Flow):
            return [CallBox(called.name, "flow", inside=self.inside(called.function))]
        declared = getattr(called, "__dict__", {}).get("stillhouse_step")
        if declared is not None:
            if "task" in called.__dict__:
                return [CallBox(declared.name, "model")]
            return [CallBox(declared.name, "step", inside=self.inside(declared.function))]
        if inspect.iscoroutinefunction(called) and self.is_of_the_app(called):
            return list(self.inside(called))
        return []

    def inside(self, function: Callable[..., Any]) -> tuple[PicturePart, ...]:
        """The body of a function that this one calls; its return is not the flow's."""
        if function in self.around:
            return (CallBox(function.__name__, "step", ("calls itself",)),)
        return _without_returns(_Reader(function, (*self.around, function)).body())

    # Names

    def resolved(self, node: ast.expr) -> Any:
        """What a name stands for: made in this function, of its module, or an attribute of a module or class.

        None where only a run would tell.
        """
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
        here, there = inspect.getsourcefile(self.around[0]), inspect.getsourcefile(function)
        if here is None or there is None:
            return False
        return Path(there).resolve().is_relative_to(Path(here).resolve().parent)

    def written(self, node: ast.expr) -> str:
        """An expression as it is written, its calls of steps by name alone."""
        return _short(ast.unparse(_Named().visit(ast.parse(ast.unparse(node), mode="eval"))))


@dataclass(frozen=True)
class _LocalAgent:
    name: str


_GROUP = object()
_CREATE_TASK = object()


class _Named(ast.NodeTransformer):
    """`await f(x, y)` written as `f`, or as the name that the call is given: `await decide(..., name="urgent")`."""

    def visit_Await(self, node: ast.Await) -> ast.expr:
        if not isinstance(node.value, ast.Call):
            return node.value
        name = next((word.value for word in node.value.keywords if word.arg == "name"), None)
        is_named = isinstance(name, ast.Constant) and isinstance(name.value, str)
        return ast.Name(name.value) if is_named else node.value.func  # type: ignore[union-attr]  # a text, as checked


def _tree_of(function: Callable[..., Any]) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    return tree if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef) else None


def _branch(arms: Sequence[BranchArm]) -> list[PicturePart]:
    """The branch; nothing where no arm holds anything.

    An else that only asks the next question (elif) becomes arms of this one.
    """
    if not any(arm.body for arm in arms):
        return []
    flat: list[BranchArm] = []
    for arm in arms:
        only = arm.body[0] if len(arm.body) == 1 else None
        asks_on = arm.label == "else" and isinstance(only, Branch) and only.arms[-1].label == "else"
        flat.extend(only.arms if asks_on and isinstance(only, Branch) else [arm])
    return [Branch(tuple(flat))]


def _go_on(branch: Branch, after: tuple[PicturePart, ...]) -> PicturePart:
    """What follows a branch, put into the arm that goes on. Where several arms go on, they join first, in one arm."""
    leaving, going = [arm for arm in branch.arms if ends(arm.body)], [arm for arm in branch.arms if not ends(arm.body)]
    on = going[0] if len(going) == 1 else BranchArm("else", tuple(_branch(going)))
    return _branch([*leaving, replace(on, body=(*on.body, *after))])[0]


def _at_once(part: PicturePart) -> PicturePart:
    return replace(part, title=f"{part.title}, at once") if isinstance(part, Enclosure) else part


def _joined(parts: tuple[PicturePart, ...]) -> tuple[PicturePart, ...]:
    """Tasks that are created one after the other in a group run side by side."""
    joined: list[PicturePart] = []
    for part in parts:
        if (
            isinstance(part, Enclosure)
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


def _without_returns(parts: tuple[PicturePart, ...]) -> tuple[PicturePart, ...]:
    """The parts without returns, which say nothing where the function ends anyway.

    `statements` has left no other return but those in loops, which leave the loop and stay.
    """
    return tuple(_returning(part) for part in parts if part != End("return"))


def _returning(part: PicturePart) -> PicturePart:
    if isinstance(part, Branch):
        return Branch(tuple(replace(arm, body=_without_returns(arm.body)) for arm in part.arms))
    return part


def _argument(node: ast.Call, place: int, name: str) -> ast.expr | None:
    """An argument of a call, given by its place or by its name."""
    if len(node.args) > place:
        return node.args[place]
    return next((word.value for word in node.keywords if word.arg == name), None)


def _keyword(node: ast.Call, name: str) -> str | None:
    """A keyword argument as text: a string's own, else as it is written."""
    value = next((word.value for word in node.keywords if word.arg == name), None)
    if value is None:
        return None
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return value.value
    return _short(ast.unparse(value))


def _question(node: ast.Call) -> str:
    """The question, where it is written in the call."""
    question = _argument(node, 0, "question")
    if question is None:
        return "?"
    if isinstance(question, ast.Constant) and isinstance(question.value, str):
        return _short(question.value)
    if isinstance(question, ast.JoinedStr):
        return _short("".join(_pieces(question)))
    return _short(ast.unparse(question))


def _pieces(text: ast.JoinedStr) -> Iterator[str]:
    for piece in text.values:
        if isinstance(piece, ast.Constant):
            yield str(piece.value)
        elif isinstance(piece, ast.FormattedValue):
            yield f"{{{ast.unparse(piece.value)}}}"


def _options(node: ast.expr) -> str:
    if isinstance(node, ast.List | ast.Tuple) and all(isinstance(option, ast.Constant) for option in node.elts):
        return " | ".join(str(option.value) for option in node.elts if isinstance(option, ast.Constant))
    return _short(ast.unparse(node))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
