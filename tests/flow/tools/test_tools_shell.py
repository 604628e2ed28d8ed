"""The shell tool: refused without a sandbox, and inside one nothing can be seen or written but the workspace."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stillhouse.errors import UserError
from stillhouse.flow.tools import ToolError, shell
from stillhouse.flow.tools.shell import _run
from stillhouse.flow.tools.shell_seccomp import seccomp_filter
from stillhouse.flow.tools.shell_workspace import MOST_DEEP, Workspace

REMEDY = "install bubblewrap, or write shell(workspace=..., unsandboxed=True) if a model may do on this machine whatever you may"


@pytest.fixture
def sandboxed(tmp_path):
    """A maker of sandboxed shells; skips where bubblewrap cannot run."""

    def make(**options):
        folder = tmp_path / "work"
        folder.mkdir(exist_ok=True)
        try:
            return shell(workspace=folder, as_root=True, **options)
        except UserError as error:
            pytest.skip(str(error))

    return make


def number_in(path):
    """The process's number that a command wrote there, as soon as it has."""
    while not path.exists() or not path.read_text().strip():
        time.sleep(0.01)
    return int(path.read_text())


def ended(path):
    """Whether that process ends; its parent may not have asked after it yet."""
    status = Path(f"/proc/{number_in(path)}/status")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for _ in range(500):
            if "\nState:\tZ" in status.read_text():
                return True
            time.sleep(0.01)
        return False
    return True


def processes():
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


async def run(called, command):
    return await called.call({"command": command})


async def refusal(called, command):
    with pytest.raises(ToolError) as found:
        await called.call({"command": command})
    return str(found.value)


def test_without_bubblewrap_it_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError) as found:
        shell(workspace=tmp_path, as_root=True)
    assert str(found.value) == f"there is no sandbox for shell: bwrap is not installed; {REMEDY}"


def test_where_bubblewrap_cannot_make_a_sandbox_it_is_refused(tmp_path, monkeypatch):
    for name, text in (
        ("bwrap", "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"),
        ("prlimit", '#!/bin/sh\nshift 5\nexec "$@"\n'),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError) as found:
        shell(workspace=tmp_path, as_root=True)
    assert str(found.value) == (
        "there is no sandbox for shell: bwrap cannot make one here (bwrap: No permissions to create new namespace); let it use user namespaces, "
        "or write shell(workspace=..., unsandboxed=True) if a model may do on this machine whatever you may"
    )


def test_a_workspace_has_to_be_a_folder_of_its_own(tmp_path):
    for folder, sentence in [
        (tmp_path / "none", f"{tmp_path / 'none'}: no such folder to work in; make it first"),
        (Path("/"), "/ is too much for a model to write in; name a folder of its own"),
        (Path.home(), f"{Path.home().resolve()} is too much for a model to write in; name a folder of its own"),
    ]:
        with pytest.raises(UserError) as found:
            shell(workspace=folder, unsandboxed=True)
        assert str(found.value) == sentence


async def test_what_was_switched_on_by_name_runs_with_a_cleared_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    called = shell(workspace=tmp_path, unsandboxed=True, as_root=True)
    assert called.description.startswith(f"Run a shell command in the folder {tmp_path}. At most 60 s.")
    assert await run(called, "echo hello > note; cat note; pwd") == f"hello\n{tmp_path}"
    assert "sk-secret" not in await run(called, "env")
    assert await run(called, "true") == "(no output)"
    assert await run(called, "echo to stderr >&2; exit 3") == "to stderr\n[exit code 3]"
    assert await run(called, "kill -9 $$") == "[ended by SIGKILL]"


async def test_a_long_output_keeps_its_two_ends(tmp_path):
    called = shell(workspace=tmp_path, unsandboxed=True, as_root=True, max_chars=20)
    assert await run(called, "printf %s 01234567890123456789") == "01234567890123456789"
    assert (
        await run(called, "seq 100000") == "1\n2\n3\n4\n5\n\n[cut: 588,875 of 588,895 bytes are left out]\n99\n100000"
    )
    assert "[cut: 99,999,980 of 100,000,000 bytes are left out]" in await run(
        called, "head -c 100000000 /dev/zero | tr '\\0' x"
    )


async def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    called = shell(workspace=tmp_path, unsandboxed=True, as_root=True, timeout_s=0.5)
    assert await refusal(called, "echo began; sleep 1000 & echo $! > child; sleep 1000") == (
        "the command took longer than 0.5 s and was ended; it had written 'began'"
    )
    assert ended(tmp_path / "child")


async def test_what_stays_behind_does_not_keep_the_answer(tmp_path):
    assert await run(shell(workspace=tmp_path, unsandboxed=True, as_root=True), "sleep 1000 & echo done") == "done"


async def test_cancelling_ends_the_command(tmp_path):
    called = shell(workspace=tmp_path, unsandboxed=True, as_root=True)
    task = asyncio.create_task(run(called, "echo $$ > pid; exec sleep 1000"))
    await asyncio.to_thread(number_in, tmp_path / "pid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended(tmp_path / "pid")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (
            "echo \0",
            "the command holds a character that no command can (a NUL or half of a surrogate pair); leave it out",
        ),
        ("x" * 20_001, "the command has 20,001 characters; at most 20,000 are taken: write a script into a file"),
    ],
)
async def test_commands_that_no_shell_takes_are_refused(tmp_path, command, sentence):
    assert await refusal(shell(workspace=tmp_path, unsandboxed=True, as_root=True), command) == sentence


async def test_output_in_any_encoding_is_shown_as_far_as_it_is_text(tmp_path):
    called = shell(workspace=tmp_path, unsandboxed=True, as_root=True)
    assert await run(called, "printf 'Évora \\377'; echo 日本") == "Évora \ufffd日本"


async def test_the_sandbox_shows_the_workspace_and_the_system_and_nothing_else(sandboxed, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    (tmp_path / "secret").write_text("beside the workspace")
    called = sandboxed()
    assert "in a sandbox, in the folder /workspace: no network" in called.description
    assert await run(called, "echo hello > note; cat note; pwd; ls") == "hello\n/workspace\nnote"
    assert (tmp_path / "work" / "note").read_text() == "hello\n"
    assert "sk-secret" not in await run(called, "env; cat /proc/*/environ 2>/dev/null")
    for path in ("/etc/passwd", "/etc/shadow", "/root", "/home", str(tmp_path / "secret"), str(Path(__file__))):
        assert "No such file or directory" in await run(called, f"ls {path}")
    (tmp_path / "work" / "link").symlink_to(tmp_path / "secret")
    assert "No such file or directory" in await run(called, "cat link")
    assert str(os.getpid()) not in (await run(called, "ls /proc")).split()


async def test_the_sandbox_writes_nowhere_else(sandboxed):
    called = sandboxed()
    for path in ("/usr/x", "/bin/x", "/x", "/etc/x", "/dev/x", "/proc/sys/kernel/hostname"):
        assert "[exit code" in await run(called, f"echo x > {path}")
    assert await run(called, "find /proc/sys /proc/mtrr /proc/pressure -writable | head") == "(no output)"
    assert await run(called, "echo x > /dev/null && echo x > /tmp/x && cat /tmp/x") == "x"
    assert "No such file" in await run(called, "cat /tmp/x")  # what is in /tmp ends with the command


async def test_the_sandbox_has_no_network(sandboxed):
    called = sandboxed()
    devices = await run(called, "cat /proc/net/dev")
    assert [line.partition(":")[0].strip() for line in devices.splitlines() if ":" in line] == ["lo"]
    assert len((await run(called, "cat /proc/net/route")).splitlines()) <= 1  # the heading


@pytest.mark.slow
async def test_the_sandbox_bounds_memory_files_and_time(sandboxed, tmp_path):
    called = sandboxed(memory_mb=100, file_mb=1, timeout_s=1)
    assert "memory exhausted" in await run(called, "dd if=/dev/zero of=/dev/null bs=300M count=1")
    await run(called, "head -c 5000000 /dev/zero > big")
    assert (tmp_path / "work" / "big").stat().st_size == 1_048_576
    assert (
        await refusal(called, "setsid sleep 1000 & while :; do sleep 100; done")
        == "the command took longer than 1 s and was ended"
    )
    assert str(tmp_path / "work") not in processes()


async def test_the_sandbox_gives_no_privileges(sandboxed):
    called = sandboxed()
    assert await run(called, "grep CapEff /proc/self/status") == "CapEff:\t0000000000000000"
    assert "[exit code" in await run(called, "mount -t tmpfs none /workspace")
    assert await run(called, "kill -9 1; echo alive") == "alive"


def test_as_root_nothing_runs_without_a_word_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for options in ({}, {"unsandboxed": True}):
        with pytest.raises(UserError) as found:
            shell(workspace=tmp_path, **options)
        assert str(found.value) == (
            "shell would run a model's commands as root; run Stillhouse as another user, "
            "or write shell(workspace=..., as_root=True)"
        )
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    shell(workspace=tmp_path, unsandboxed=True)


PYTHON = "/usr/bin/python3"
SETS_BITS = [
    "chmod 4755 copied",
    "chmod 2755 copied",
    "chmod u+s copied",
    "install -m 6755 /bin/true made",
    "mkdir -m 2755 made",
    f"{PYTHON} -c \"import os; os.fchmod(os.open('copied', 0), 0o4755)\"",
    f"{PYTHON} -c \"import os; os.open('made', os.O_CREAT | os.O_WRONLY, 0o4755)\"",
    f"{PYTHON} -c \"import os; os.mknod('made', 0o104755)\"",
    f"{PYTHON} -c \"import ctypes; assert not ctypes.CDLL(None).syscall(85, b'made', 0o4755) < 0\"",
    f"{PYTHON} -c \"import ctypes; assert not ctypes.CDLL(None).syscall(452, -100, b'copied', 0o4755, 0) < 0\"",
]


@pytest.mark.parametrize("command", SETS_BITS)
async def test_the_kernel_refuses_setuid_and_setgid_bits(sandboxed, tmp_path, monkeypatch, command):
    """The filter by itself: nobody cleans up."""
    called = sandboxed()
    monkeypatch.setattr(Workspace, "clean", lambda self, before: [])
    assert "[exit code" in await run(called, f"cp /bin/true copied && {command}")
    for path in (tmp_path / "work").iterdir():
        assert not path.stat().st_mode & 0o6000


async def test_files_lose_setuid_bits_and_links_outside_after_every_command(sandboxed, tmp_path, monkeypatch):
    """The cleaning by itself: what the filter lets through, or somebody put there meanwhile."""
    work, outside = tmp_path / "work", tmp_path / "secret"
    work.mkdir()
    outside.write_text("beside the workspace")
    (work / "own").symlink_to(outside)
    called = sandboxed()
    (work / "deep").mkdir()
    for name, mode in (("a", 0o4755), ("deep/b", 0o2711), ("c", 0o6000)):
        (work / name).write_text("x")
        (work / name).chmod(mode)
    commands = "ln -s /etc/passwd out; ln -s ../../secret deep/up; ln -s a in; ln -s deep/../../secret by; ln -s out on"
    assert await run(called, commands) == (
        "(no output)\n[3 setuid or setgid file(s) lost that bit]\n[4 link(s) to outside the folder were removed]"
    )
    assert sorted(path.name for path in work.rglob("*") if path.is_symlink()) == ["in", "own"]
    assert [(work / name).stat().st_mode & 0o7777 for name in ("a", "deep/b", "c")] == [0o755, 0o711, 0]
    assert outside.read_text() == "beside the workspace"
    with pytest.raises(ToolError):
        await run(sandboxed(timeout_s=0.5), "ln -s / out; sleep 100")
    assert not (work / "out").is_symlink()


@pytest.mark.parametrize("family", [40, 38, 17])
async def test_the_sandbox_makes_only_the_usual_sockets(sandboxed, family):
    """40: AF_VSOCK, which reaches the host of a virtual machine; 38: the kernel's ciphers; 17: raw packets."""
    made = f'{PYTHON} -c "import socket; socket.socket({family}, 1 if {family} == 40 else 5 if {family} == 38 else 2)"'
    assert "Address family not supported" in await run(sandboxed(), made)
    usual = f'{PYTHON} -c "import socket; socket.socketpair(); [socket.socket(f) for f in (1, 2, 10)]; print(1)"'
    assert await run(sandboxed(), usual) == "1"


async def test_the_sandbox_makes_no_user_namespaces(sandboxed):
    assert "Operation not permitted" in await run(sandboxed(), "unshare -Ur true")
    assert await run(sandboxed(), f"{PYTHON} -c 'import threading; threading.Thread(target=print).start()'") == (
        "(no output)"
    )


async def test_the_folder_holds_no_more_than_its_quota(sandboxed, tmp_path):
    called, work = sandboxed(total_mb=4, file_mb=2), tmp_path / "work"
    (work / "old").write_bytes(b"x" * 2**20)
    told = await run(called, "for i in 1 2 3 4 5 6; do fallocate -l 1500000 f$i; done; true")
    assert "[more than the folder's 4 MB were written: " in told
    assert (work / "old").exists()
    assert sum(path.stat().st_blocks * 512 for path in work.iterdir()) <= 4 * 2**20
    many = await run(called, "mkdir many; cd many; seq 5000 | xargs touch; cd ..; echo done")
    assert "file(s) were removed]" in many
    assert len(list((work / "many").iterdir())) < 1_024
    assert "written" not in await run(called, "rm -r many f*; echo ok > note; cat note")


async def test_a_command_that_goes_on_writing_is_ended(sandboxed):
    endless = "i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero > f$i; done"
    assert "[ended: it wrote more than the folder may hold]" in await run(sandboxed(total_mb=4), endless)


@pytest.mark.slow
async def test_a_command_that_ends_while_one_looks_how_much_it_wrote_is_no_failure(tmp_path):
    def look():
        time.sleep(0.7)
        return "it wrote too much"

    command = [sys.executable, "-c", "import time; print('done'); time.sleep(0.6)"]
    told = await _run(command, tmp_path, 10, 1_000, why_over=look)
    assert told == "done\n[ended: it wrote too much]"


async def test_what_is_over_the_quota_already_can_only_be_made_less(sandboxed, tmp_path):
    called, work = sandboxed(total_mb=1), tmp_path / "work"
    (work / "old").write_bytes(b"x" * 2**21)
    assert "[the folder is full (2 MB of 1 MB): delete something]" in await run(called, "echo more > new")
    assert await run(called, "rm old") == "(no output)"
    assert await run(called, "echo x > new; cat new") == "x"


async def test_what_lies_too_deep_to_be_walked_is_removed(sandboxed, tmp_path):
    """Nothing is hidden there from the quota and the rest, and no walk ends in an error."""
    called, work = sandboxed(), tmp_path / "work"
    (work / "own").mkdir()
    (work / "own" / "file").write_text("kept")
    deep = "import os\nfor n in range({}): os.mkdir('d'); os.chdir('d')\nos.symlink('/etc/passwd', 'out')"
    told = await run(called, f'{PYTHON} -c "{deep.format(250)}"')
    assert f"[1 folder(s) more than {MOST_DEEP} deep were removed, with what was in them]" in told
    assert (work / "own" / "file").read_text() == "kept"
    assert await run(called, "find . -name out; find . -type d | wc -l") == str(MOST_DEEP + 2)
    told = await run(called, f'rm -r d; {PYTHON} -c "{deep.format(250)}"; sleep 60')
    assert f"[ended: it made folders more than {MOST_DEEP} deep]" in told


async def test_no_pipe_and_no_socket_waits_for_a_reader(sandboxed, tmp_path):
    called, work = sandboxed(), tmp_path / "work"
    os.mkfifo(work / "own")
    bind = 'import socket; socket.socket(socket.AF_UNIX).bind("made")'
    assert "[2 pipe(s) or socket(s) were removed]" in await run(called, f"mkfifo pipe; {PYTHON} -c '{bind}'")
    assert [path.name for path in work.iterdir()] == ["own"]


def as_another_user(folder, work):
    """Whether the work ends well, done by a user who is not root; the folder is made his."""
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                for path in (folder, *folder.rglob("*")):
                    os.chown(path, 65534, 65534)
                for above in folder.parents:
                    with contextlib.suppress(OSError):
                        above.chmod(above.stat().st_mode | 0o011)
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_folder_without_rights_hides_nothing(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()

    def work():
        own = folder / "own"
        own.mkdir(0o500)
        workspace = Workspace(folder, 2**20)
        before = workspace.contents()
        for name, mode in (("closed", 0o000), ("kept", 0o500), ("passed", 0o100)):
            (folder / name).mkdir()
            (folder / name / "out").symlink_to("/etc/passwd")
            (folder / name / "large").write_bytes(b"x" * 2**21)
            (folder / name).chmod(mode)
        assert workspace.contents().total > 6 * 2**20
        told = workspace.clean(before)
        assert told[0] == "3 link(s) to outside the folder were removed", told
        assert "3 file(s) were removed" in told[1], told
        assert own.stat().st_mode & 0o777 == 0o500  # as it was before any command

    assert as_another_user(folder, work)


def test_on_a_processor_whose_calls_are_not_known_there_is_no_sandbox(tmp_path, monkeypatch):
    assert seccomp_filter("vax") is None
    assert seccomp_filter("aarch64")
    monkeypatch.setattr("platform.machine", lambda: "vax")
    with pytest.raises(UserError, match="the system calls of vax are not known here"):
        shell(workspace=tmp_path, as_root=True)
