"""A tool that runs shell commands in a sandbox: bubblewrap (`bwrap`).

The sandbox has no network, a read-only system, and one folder that can be written. Inside there are the system's
programs under /usr, the folder as /workspace, and a /tmp of its own. Nothing else of this machine is there: no home, no
keys, no other process. A command is ended when its time is over. It is bounded in memory, processor time, file size
and, unless Stillhouse runs as root, in the number of processes.
"""

import asyncio
import contextlib
import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from stillhouse.errors import UserError
from stillhouse.flow.tools.tool import Tool, ToolError, clean, tool

MAX_COMMAND_CHARS = 20_000
MAX_PROCESSES = 256
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
    name: str = "shell",
) -> Tool:
    """A tool that runs a command with `sh` in the folder `workspace`, and gives what it writes and its exit code.

    With bubblewrap the command sees the folder as /workspace; `memory_mb` bounds each of its processes, `file_mb` each
    file. Of a long output the first and the last half of `max_chars` are kept. `unsandboxed` gives up all of these
    walls; what stays is the time limit, and an environment without your keys. Raises UserError where there is no such
    folder, and where there is no sandbox and it was not waived.
    """
    folder = Path(workspace).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder to work in; make it first")
    if folder == Path(folder.anchor) or folder == Path.home().resolve():
        raise UserError(f"{folder} is too much for a model to write in; name a folder of its own")
    if timeout_s <= 0 or max_chars <= 0 or memory_mb <= 0 or file_mb <= 0:
        raise UserError("timeout_s, max_chars, memory_mb and file_mb of shell must be above 0")
    before = [] if unsandboxed else _sandbox(folder, timeout_s, memory_mb, file_mb)

    async def run(command: Annotated[str, Field(description="what sh runs")]) -> str:
        if len(command) > MAX_COMMAND_CHARS:
            size = f"the command has {len(command):,} characters; at most {MAX_COMMAND_CHARS:,} are taken"
            raise ToolError(f"{size}: write a script into a file")
        if "\0" in command or clean(command) != command:
            raise ToolError(
                "the command holds a character that no command can (a NUL or half of a surrogate pair); leave it out"
            )
        return await _run([*before, "/bin/sh", "-c", command], folder, timeout_s, max_chars)

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


def _sandbox(folder: Path, timeout_s: float, memory_mb: int, file_mb: int) -> list[str]:
    """What stands before a command. Raises UserError where bubblewrap is not there or cannot do its work."""
    bwrap, prlimit = shutil.which("bwrap"), shutil.which("prlimit")
    if bwrap is None or prlimit is None:
        missing = "bwrap" if bwrap is None else "prlimit"
        remedy = f"install bubblewrap, or {_WAIVE}"
        raise UserError(f"there is no sandbox for shell: {missing} is not installed; {remedy}")
    limits = [
        f"--as={memory_mb * 2**20}",
        f"--fsize={file_mb * 2**20}",
        f"--cpu={int(timeout_s) + 1}",
        f"--nproc={MAX_PROCESSES}",
        "--core=0",
    ]
    # The limits are set inside the sandbox, where the processes are counted from 0. Outside, all others of the user
    # would count too (Linux 5.14 and newer).
    sandbox = [bwrap, *_walls(folder, memory_mb), prlimit, *limits]
    if problem := _tried((*sandbox, "/bin/sh", "-c", ":")):
        raise UserError(
            f"there is no sandbox for shell: bwrap cannot make one here ({problem}); "
            f"let it use user namespaces, or {_WAIVE}"
        )
    return sandbox


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


@functools.cache
def _tried(command: Sequence[str]) -> str:
    """Why the sandbox cannot be made; empty where it can."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=10, check=False, stdin=subprocess.DEVNULL
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


async def _run(command: Sequence[str], folder: Path, timeout_s: float, max_chars: int) -> str:
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
    )
    try:
        async with asyncio.timeout(timeout_s):
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
    note = f"[ended by {signal.Signals(-code).name}]" if code < 0 else f"[exit code {code}]" if code else ""
    return "\n".join(part for part in (text, note) if part) or "(no output)"
