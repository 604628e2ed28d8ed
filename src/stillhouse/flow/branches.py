"""Which branch of a run a call is made in: the lineage of its task.

A branch is a task, known by the task that made it, by what it runs, and by its number among the children of that name,
in the order in which they were made. So `gather`, `TaskGroup`, `as_completed`, `create_task` and `wait_for` give a
resumed run the branches that it had, whichever comes first this time. An item of `flow.map` is a branch by its index,
and a flow inside a flow is one by its name. A task that a step's body makes is a branch of that call. `as_completed`
makes the tasks of its coroutines in no fixed order: there the arguments tell them apart.

Tasks are seen where they are made, by a task factory around the loop's own. A task that is made past it is numbered
when it makes its first call. A thread (`asyncio.to_thread`) belongs to the branch that started it.
"""

import asyncio
import contextlib
import hashlib
import sys
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar, Token, copy_context
from types import FrameType
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationError, to_json

if TYPE_CHECKING:
    from stillhouse.flow.frames import Frame

Equal = tuple[str, str]  # a call's name, and the hash of its arguments and of the call in whose body it stands


class LiveBranches(set[tuple[str | None, str]]):
    """The branches that a sitting has made, each as (the call in whose body it is, its id).

    Those with the id "" are left out: a call's body is there whenever something is called in it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._failed: list[asyncio.Task[Any]] = []  # tasks that ended with an exception which nobody may look at

    def note_failed(self, task: "asyncio.Task[Any]") -> None:
        self._failed.append(task)
        if len(self._failed) > _MANY:  # most of them were looked at
            self._failed = [each for each in self._failed if getattr(each, "_log_traceback", True)]

    def let_go(self, *, done: bool) -> None:
        """Called when the run's flow has ended.

        asyncio prints the exceptions that nobody looked at. Where the run waits or failed, how its tasks ended is of
        no interest; of a run that is done they are told.
        """
        for task in () if done else self._failed:
            task.exception()
        self._failed.clear()

    stopped = False  # the run waits for a person or has ended: how its tasks end is of no interest to anyone
    failed_with: Callable[[BaseException], None] | None = None  # told of the exception that a branch's task ended with
    any_closed = False  # a branch is closed


class Branch:
    """One branch, and what was called in it so far.

    `id` is the maker's id, a dot and a hash; it is "" for the flow's own task, and for the task in which a step's body
    began. `body`: the id of the call in whose body the branch is; None: the flow's own. `in_order`: it is a step's call
    and nothing else, so equal branches of one maker begin in the order in which they were made.
    """

    __slots__ = (
        "_children",
        "body",
        "call",
        "calls",
        "closed",
        "counts",
        "frame",
        "id",
        "in_order",
        "last",
        "live",
        "maker",
        "place",
        "provisional",
        "settled",
        "task",
    )

    def __init__(self, live: LiveBranches, body: str | None = None, id_: str = "") -> None:
        self.id, self.body, self.live = id_, body, live
        self.task: weakref.ref[asyncio.Task[Any]] | None = None  # None: the task has not begun
        self.maker: Branch | None = None
        self.call: Any = None  # the running call that `body` names
        self.frame: Frame | None = None  # the innermost flow in the flow that it belongs to
        self.in_order = False
        self.closed = False  # no further call begins in it, nor in those inside it
        self.settled = False  # the journal has a branch that begins as this one does
        self.provisional = False  # its first call is not the one that the journal has of this branch
        self.counts: dict[Equal, int] = {}  # number of equal calls so far
        self.place = 0  # number of calls so far
        self.calls = 0  # number of them that do something: the clock and its like are left out
        self.last: Equal | None = None
        self._children: dict[str, int] = {}
        if id_:
            live.add((body, id_))

    def child(self, name: str) -> "Branch":
        """The next branch of this name that is made here."""
        number = self._children.get(name, 0)
        self._children[name] = number + 1
        lineage = f"{self.id}.{hashlib.sha256(f'{name}#{number}'.encode()).hexdigest()[:16]}"
        if len(lineage) > _LONGEST_ID:
            lineage = "." + hashlib.sha256(lineage.encode()).hexdigest()[:32]
        made = Branch(self.live, self.body, lineage)
        made.maker, made.in_order, made.call, made.frame = self, name.startswith(_A_STEP), self.call, self.frame
        return made

    def close(self) -> None:
        self.closed = self.live.any_closed = True

    def is_inside(self, other: "Branch") -> bool:
        """Whether it is that branch, or one inside it."""
        branch: Branch | None = self
        while branch is not None and branch is not other:
            branch = branch.maker
        return branch is other

    def is_closed(self) -> bool:
        branch: Branch | None = self
        while branch is not None and not branch.closed:
            branch = branch.maker
        return branch is not None

    def marks(self) -> "Marks":
        """How far this branch and those around it have come."""
        marks: list[tuple[Branch, int, int]] = []
        branch: Branch | None = self
        while branch is not None:
            marks.append((branch, branch.calls, sum(branch._children.values())))
            branch = branch.maker
        return tuple(marks)

    def ended(self, task: "asyncio.Task[Any]") -> None:
        """Called when the branch's task is done; an exception that is looked at is not printed."""
        if self.live.stopped and not task.cancelled():
            task.exception()
        # Not `exception()`: asyncio tells of an exception that nobody looked at, and the flow may not have.
        error = getattr(task, "_exception", None)
        if error is not None and not self.live.stopped:
            self.live.note_failed(task)
        if error is not None and self.live.failed_with is not None:
            self.live.failed_with(error)


# Of a branch and of each around it: the calls made in it so far, and the branches.
Marks = tuple[tuple[Branch, int, int], ...]


def went_on(marks: Marks) -> bool:
    """Whether a branch, or one around it, has made a call or a branch since."""
    return any(branch.calls != calls or sum(branch._children.values()) != children for branch, calls, children in marks)


def calls_around(branch: Branch) -> Iterator[str]:
    """The names of the calls in whose bodies a branch is, the innermost first."""
    around: Branch | None = branch
    while around is not None:
        if around.body is not None:
            yield around.body.rsplit("/", 2)[0]
        around = around.maker


_A_STEP = "step "
_MANY = 256
_LONGEST_ID = 400  # characters; the lineage of a task at a greater depth is hashed
_here: ContextVar[Branch | None] = ContextVar("stillhouse_branch", default=None)
_of_task: "weakref.WeakKeyDictionary[asyncio.Task[Any], Branch]" = weakref.WeakKeyDictionary()


def branch_here() -> Branch:
    """The branch that the running task is. Only inside a run."""
    branch = _here.get()
    assert branch is not None, "a call of a run is made where no run began"
    try:
        task = asyncio.current_task()
    except RuntimeError:  # a thread without an event loop
        return branch
    if task is None:
        return branch
    if branch.task is None:
        branch.task = weakref.ref(task)
        return branch
    if branch.task() is task:
        return branch
    # Tasks that share a context see the branch of one of them.
    around = branch.maker
    while around is not None and (around.task is None or around.task() is not task):
        around = around.maker
    own = around or _of_task.get(task)
    if own is None:
        own = _of_task[task] = branch.child("task")
        own.task = weakref.ref(task)
    return own


@contextlib.contextmanager
def within(branch: Branch) -> Iterator[None]:
    """In this block, the running task is this branch."""
    task = asyncio.current_task()
    branch.task = None if task is None else weakref.ref(task)
    token = _here.set(branch)
    try:
        yield
    finally:
        _here.reset(token)


def enter_body(live: LiveBranches, id_: str, around: Branch, call: Any) -> Token[Branch | None]:
    """Begin the body of the call with this id, in the task that makes it; quicker than `within`."""
    branch = Branch(live, id_)
    branch.task, branch.maker, branch.call = around.task, around, call
    return _here.set(branch)


leave_body = _here.reset


def inner(name: str) -> contextlib.AbstractContextManager[None]:
    """A branch inside the one that is here, in the same task; outside a run nothing."""
    return contextlib.nullcontext() if _here.get() is None else within(branch_here().child(name))


def name_of_step(name: str) -> str:
    """What a branch is called that is one step's call and nothing else."""
    return _A_STEP + name


# The task factory


def _name_of(coroutine: Any) -> str:
    """What a task runs, as the name of its branch."""
    name = getattr(coroutine, "__qualname__", None) or type(coroutine).__qualname__
    return f"{name} {_arguments(coroutine)}" if _in_as_completed() else str(name)


def _in_as_completed() -> bool:
    """Whether `as_completed` makes the task: it takes coroutines out of a set, so in no order that stays."""
    frame: FrameType | None = sys._getframe(3)
    for _ in range(5):  # from the task factory through create_task and ensure_future
        if frame is None or frame.f_code.co_filename not in _ASYNCIO:
            return False
        if "as_completed" in frame.f_code.co_qualname.lower().replace("ascompleted", "as_completed"):
            return True
        frame = frame.f_back
    return False


_ASYNCIO = (asyncio.tasks.__file__, asyncio.base_events.__file__)


def _arguments(coroutine: Any) -> str:
    """A hash of what tells a coroutine that has not begun from others of its name: its arguments that are data.

    Coroutines that are equal in this can stand in for one another. Fractions are left out: they are mostly times.
    """
    frame = getattr(coroutine, "cr_frame", None)
    given = {} if frame is None else frame.f_locals
    data = {name: text for name, value in given.items() if (text := _as_data(value)) is not None}
    return hashlib.sha256(repr(sorted(data.items())).encode()).hexdigest()[:16]


def _as_data(value: Any) -> str | None:
    """A value's JSON; None where it is a thing and no data, or one of ours."""
    if isinstance(value, float) or type(value).__module__.startswith("stillhouse."):
        return None
    try:
        return to_json(value, inf_nan_mode="strings").decode()
    except (PydanticSerializationError, ValueError, RecursionError):
        return None


class _Factory:
    """Makes a loop's tasks as the factory before it did, and notes of each which branch it is."""

    def __init__(self, before: Any) -> None:
        self.before, self.n_runs = before, 0

    def __call__(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        if _here.get() is None:
            return self._made(loop, coroutine, options)
        branch = branch_here().child(_name_of(coroutine))
        context = options.get("context") or copy_context()
        with contextlib.suppress(RuntimeError):  # the context that is given is the one that is running
            context.run(_here.set, branch)
        task = self._made(loop, coroutine, options | {"context": context})
        if branch.task is None:  # else the task began at once
            branch.task = weakref.ref(task)
        _of_task[task] = branch
        task.add_done_callback(branch.ended)
        return task

    def _made(self, loop: asyncio.AbstractEventLoop, coroutine: Any, options: dict[str, Any]) -> Any:
        if self.before is None:
            return asyncio.Task(coroutine, loop=loop, **options)
        return self.before(loop, coroutine, **options)


@contextlib.contextmanager
def tasks_noted() -> Iterator[None]:
    """In this block, every task of the running loop that is made inside a run is noted with its branch."""
    loop = asyncio.get_running_loop()
    before: Any = loop.get_task_factory()
    factory = before if isinstance(before, _Factory) else _Factory(before)
    if factory is not before:
        loop.set_task_factory(factory)
    factory.n_runs += 1
    try:
        yield
    finally:
        factory.n_runs -= 1
        if not factory.n_runs and loop.get_task_factory() is factory:
            loop.set_task_factory(factory.before)


def named(coroutine: Any, name: str) -> Any:
    """The coroutine, under the name by which its branch is known."""
    coroutine.__qualname__ = name
    return coroutine
