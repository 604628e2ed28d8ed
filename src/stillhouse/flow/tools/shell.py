"""A tool that runs shell commands in a sandbox: bubblewrap (`bwrap`).

The sandbox has no network, a read-only system, and one folder that can be written. Inside there are the system's
programs under /usr, the folder as /workspace, and a /tmp of its own. Nothing else of this machine is there: no home, no
keys, no other process. A command is ended when its time is over. It is bounded in memory, processor time, file size
and, unless Stillhouse runs as root, in the number of processes. The kernel refuses it some system calls
(`shell_seccomp`), and after each command the folder is cleaned (`shell_workspace`).
"""

import asyncio
import contextlib
import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from stillhouse.errors import UserError
from stillhouse.flow.tools.shell_seccomp import seccomp_filter
from stillhouse.flow.tools.shell_workspace import MOST_DEEP, Workspace
from stillhouse.flow.tools.tool import Tool, ToolError, clean, in_thread, tool

MAX_COMMAND_CHARS = 20_000
MAX_PROCESSES = 256
LOOK_S = 0.5  # seconds between two looks at how much a command has written
STRAY_S = 0.2  # seconds to read on, after the command has ended, what a process that it left behind may write
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"),
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
)
_WAIVE = "write shell(workspace=..., unsandboxed=True) if a model may do on this machine whatever you may"


def shell(
    *,
    workspace: Path | str,
    unsandboxed: bool = False,
    timeout_s: float = 60.0,
    max_chars: int = 20_000,
    memory_mb: int = 2_048,
    file_mb: int = 256,
    total_mb: int = 1_024,
    as_root: bool = False,
    name: str = "shell",
) -> Tool:
    """A tool that runs a command with `sh` in the folder `workspace`, and gives what it writes and its exit code.

    With bubblewrap the command sees the folder as /workspace; `memory_mb` bounds each of its processes, `file_mb` each
    file, `total_mb` the whole folder: a command that writes more is ended, and what it made beyond is removed. Of a
    long output the first and the last half of `max_chars` are kept. `unsandboxed` gives up all of these walls; what
    stays is the time limit, and an environment without your keys. As root nothing runs unless `as_root`.
    Raises UserError where there is no such folder, and where there is no sandbox and it was not waived.
    """
    folder = Path(workspace).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder to work in; make it first")
    if folder == Path(folder.anchor) or folder == Path.home().resolve():
        raise UserError(f"{folder} is too much for a model to write in; name a folder of its own")
    if timeout_s <= 0 or max_chars <= 0 or min(memory_mb, file_mb, total_mb) <= 0:
        raise UserError("timeout_s, max_chars, memory_mb, file_mb and total_mb of shell must be above 0")
    if os.geteuid() == 0 and not as_root:
        raise UserError(
            "shell would run a model's commands as root; run Stillhouse as another user, "
            "or write shell(workspace=..., as_root=True)"
        )
    sandbox = None if unsandboxed else _Sandbox(folder, timeout_s, memory_mb, file_mb, total_mb)

    async def run(command: Annotated[str, Field(description="what sh runs")]) -> str:
        if len(command) > MAX_COMMAND_CHARS:
            size = f"the command has {len(command):,} characters; at most {MAX_COMMAND_CHARS:,} are taken"
            raise ToolError(f"{size}: write a script into a file")
        if "\0" in command or clean(command) != command:
            raise ToolError(
                "the command holds a character that no command can (a NUL or half of a surrogate pair); leave it out"
            )
        shell_command = ["/bin/sh", "-c", command]
        if sandbox is None:
            return await _run(shell_command, folder, timeout_s, max_chars)
        return await sandbox.run(shell_command, max_chars)

    where = f"in the folder {folder}"
    if not unsandboxed:
        where = (
            "in a sandbox, in the folder /workspace: no network, "
            "and nothing else can be written but /tmp, which does not last"
        )
    run.__doc__ = (
        f"Run a shell command {where}. At most {timeout_s:g} s. "
        "The answer is what it wrote to stdout and stderr, and its exit code if that is not 0."
    )
    return tool(run, name=name, timeout_s=timeout_s + 10, max_chars=max_chars + 300)


# The sandbox


class _Sandbox:
    """Walls around each command, and a folder that is cleaned after it.

    Raises UserError where bubblewrap is not there or cannot do its work.
    """

    def __init__(self, folder: Path, timeout_s: float, memory_mb: int, file_mb: int, total_mb: int) -> None:
        bwrap, prlimit = shutil.which("bwrap"), shutil.which("prlimit")
        if bwrap is None or prlimit is None:
            missing = "bwrap" if bwrap is None else "prlimit"
            remedy = f"install bubblewrap, or {_WAIVE}"
            raise UserError(f"there is no sandbox for shell: {missing} is not installed; {remedy}")
        filter_ = seccomp_filter()
        if filter_ is None:
            raise UserError(
                f"there is no sandbox for shell: the system calls of {platform.machine()} are not known here; {_WAIVE}"
            )
        self.filter, self.timeout_s, self.file_bytes = filter_, timeout_s, file_mb * 2**20
        self.workspace = Workspace(folder, total_mb * 2**20)
        # The limits are set inside the sandbox, where the processes are counted from 0. Outside, all others of the
        # user would count too (Linux 5.14 and newer).
        self.bwrap, self.walls = bwrap, _walls(folder, memory_mb)
        self.limits = [
            prlimit,
            f"--as={memory_mb * 2**20}",
            f"--cpu={int(timeout_s) + 1}",
            f"--nproc={MAX_PROCESSES}",
            "--core=0",
        ]
        with self._filtered() as file:
            problem = _tried([*self._before(file, self.file_bytes), "/bin/sh", "-c", ":"], file)
        if problem:
            raise UserError(
                f"there is no sandbox for shell: bwrap cannot make one here ({problem}); "
                f"let it use user namespaces, or {_WAIVE}"
            )

    async def run(self, command: Sequence[str], max_chars: int) -> str:
        before = await in_thread(self.workspace.contents)
        room = max(0, min(self.file_bytes, self.workspace.quota_bytes - before.total))
        try:
            with self._filtered() as file:
                walled = [*self._before(file, room), *command]

                def why_over() -> str:
                    now = self.workspace.contents()
                    if now.total > max(self.workspace.quota_bytes, before.total):
                        return "it wrote more than the folder may hold"
                    return "" if now.too_deep <= before.too_deep else f"it made folders more than {MOST_DEEP} deep"

                answer = await _run(walled, self.workspace.folder, self.timeout_s, max_chars, (file,), why_over)
        finally:
            # Also after a command that was ended; to the end, though the flow may be stopping.
            told = await asyncio.shield(asyncio.ensure_future(in_thread(lambda: self.workspace.clean(before))))
        return "\n".join([answer, *(f"[{sentence}]" for sentence in told)])

    def _before(self, filter_file: int, file_bytes: int) -> list[str]:
        """What stands before a command."""
        return [self.bwrap, "--seccomp", str(filter_file), *self.walls, *self.limits, f"--fsize={file_bytes}"]

    @contextlib.contextmanager
    def _filtered(self) -> Iterator[int]:
        """A descriptor that gives the filter, once."""
        file = os.memfd_create("seccomp")
        try:
            os.write(file, self.filter)
            os.lseek(file, 0, os.SEEK_SET)
            yield file
        finally:
            os.close(file)


def _walls(folder: Path, memory_mb: int) -> list[str]:
    options = (
        "--unshare-all --unshare-user --die-with-parent --new-session --cap-drop ALL --hostname sandbox --clearenv"
    )
    walls = options.split()
    for name, value in _environment(home="/workspace").items():
        walls += ["--setenv", name, value]
    for path in map(Path, _SYSTEM):
        # Some of these folders are links, such as /bin -> usr/bin.
        if path.is_symlink() and not str(path).startswith("/etc"):
            walls += ["--symlink", str(path.readlink()), str(path)]
        elif path.exists():
            walls += ["--ro-bind", str(path), str(path)]
    size = str(memory_mb * 2**20)
    walls += ["--proc", "/proc", "--dev", "/dev"]
    walls += ["--size", size, "--tmpfs", "/dev/shm", "--size", size, "--tmpfs", "/tmp"]
    walls += ["--bind", str(folder), "/workspace"]
    # bwrap leaves /proc/sys writable to root, even without capabilities. Writing kernel/core_pattern would be a way out
    # onto the machine.
    return [*walls, "--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/workspace"]


def _tried(command: Sequence[str], file: int) -> str:
    """Why the sandbox cannot be made; empty where it can."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
            check=False,
            stdin=subprocess.DEVNULL,
            pass_fds=(file,),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    if not done.returncode:
        return ""
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200]


def _environment(home: str) -> dict[str, str]:
    return {"PATH": _PATH, "HOME": home, "LANG": "C.UTF-8", "TERM": "dumb"}


# The command


class _Output:
    """What a command writes: the first and the last half of `max_bytes`, and how much it was."""

    def __init__(self, max_bytes: int) -> None:
        self._half = max(1, max_bytes // 2)
        self._head, self._tail, self._size = bytearray(), bytearray(), 0

    def add(self, piece: bytes) -> None:
        self._size += len(piece)
        room = self._half - len(self._head)
        self._head += piece[:room]
        self._tail += piece[max(room, 0) :]
        if len(self._tail) > 2 * self._half:
            del self._tail[: -self._half]

    def text(self) -> str:
        tail = self._tail[-self._half :]
        left_out = self._size - len(self._head) - len(tail)
        if not left_out:
            return (self._head + tail).decode("utf-8", "replace")
        head, end = self._head.decode("utf-8", "replace"), tail.decode("utf-8", "replace")
        return f"{head}\n[cut: {left_out:,} of {self._size:,} bytes are left out]\n{end}"


class _Running(asyncio.SubprocessProtocol):
    """A command under way.

    `exited`: it has ended. `silent`: nobody holds its output open any more, such as a process that it left behind.
    """

    def __init__(self, output: _Output) -> None:
        self._output = output
        self.exited, self.silent = asyncio.Event(), asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._output.add(data)

    def pipe_connection_lost(self, fd: int, error: Exception | None) -> None:
        self.silent.set()

    def process_exited(self) -> None:
        self.exited.set()


async def _run(
    command: Sequence[str],
    folder: Path,
    timeout_s: float,
    max_chars: int,
    files: Sequence[int] = (),
    why_over: Callable[[], str] | None = None,
) -> str:
    """What the command wrote and how it ended.

    `files`: descriptors that it gets. `why_over`: why it is to be ended; empty while it is not.
    """
    output = _Output(max_chars)
    transport, running = await asyncio.get_running_loop().subprocess_exec(
        lambda: _Running(output),
        *command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=_environment(home=str(folder)),
        start_new_session=True,
        pass_fds=tuple(files),
    )
    note = ""
    try:
        async with asyncio.timeout(timeout_s):
            while not running.exited.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(running.exited.wait(), None if why_over is None else LOOK_S)
                    break
                if why_over is not None and (why := await in_thread(why_over)):
                    note = f"[ended: {why}]"
                    with contextlib.suppress(ProcessLookupError):  # it ended while one looked
                        os.killpg(transport.get_pid(), signal.SIGKILL)
                    await running.exited.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STRAY_S):
                await running.silent.wait()
    except TimeoutError:
        written = output.text().strip()
        after = f"; it had written {written!r}" if written else ""
        raise ToolError(f"the command took longer than {timeout_s:g} s and was ended{after}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            # With bubblewrap, everything inside the sandbox ends with it.
            os.killpg(transport.get_pid(), signal.SIGKILL)
        transport.close()
    text, code = output.text().rstrip(), transport.get_returncode() or 0
    note = note or (f"[ended by {signal.Signals(-code).name}]" if code < 0 else f"[exit code {code}]" if code else "")
    return "\n".join(part for part in (text, note) if part) or "(no output)"
