import json
import os
import resource
import shutil
import signal
import subprocess
import sys

import pytest

from stillhouse.errors import RunBusyError, StorageError, UserError
from stillhouse.runs import Lock, Run, read_json, write_atomic
from stillhouse.steady_clock import SteadyClock


def test_runs_are_numbered_and_never_overwritten(tmp_path):
    for expected in ("triage-1", "triage-2"):
        with Run.create(tmp_path, "triage", "distill", {"seed": 0}, clock=lambda: 0.0) as run:
            assert run.folder.name == expected
    manifest = json.loads((tmp_path / "triage-1" / "manifest.json").read_text())
    assert (
        manifest["status"] == "done"
        and manifest["created"] == "1970-01-01T00:00:00Z"
        and manifest["versions"]["stillhouse"]
    )


def test_a_failed_run_says_why(tmp_path):
    with pytest.raises(ValueError), Run.create(tmp_path, "x", "distill", {}):
        raise ValueError("broke")
    manifest = json.loads((tmp_path / "x-1" / "manifest.json").read_text())
    assert (manifest["status"], manifest["error"]) == ("failed", "ValueError: broke")


def test_two_commands_on_one_run_are_refused_with_the_owner_named(tmp_path):
    with (
        Run.create(tmp_path, "x", "distill", {}) as run,
        pytest.raises(RunBusyError, match=rf"x-1 is in use by process {os.getpid()}"),
    ):
        Run.reopen(run.folder)
    Run.reopen(tmp_path / "x-1").__exit__(None, None, None)


def test_a_command_goes_on_with_its_newest_unfinished_run_of_the_same_settings_and_no_other(tmp_path):
    def folder(command, settings, stopped=True):
        run = Run.resume_or_create(tmp_path, "x", command, settings)
        run.__exit__(*((KeyboardInterrupt, KeyboardInterrupt(), None) if stopped else (None, None, None)))
        return run.folder.name

    assert folder("distill", {"rows": "abc"}) == "x-1"
    assert folder("distill", {"rows": "xyz"}) == "x-2"  # other rows
    assert folder("advise", {"rows": "abc"}) == "x-3"  # another command
    assert folder("distill", {"rows": "abc"}, stopped=False) == "x-1"
    assert folder("distill", {"rows": "abc"}) == "x-4"  # the first is done


def test_sigkill_frees_the_lock(tmp_path):
    held = f"Lock(Path({str(tmp_path / 'l')!r}), 'it'); print('held', flush=True); time.sleep(60)"
    script = f"import time; from stillhouse.runs import Lock; from pathlib import Path; {held}"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"held\n"
        with pytest.raises(RunBusyError, match=str(child.pid)):
            Lock(tmp_path / "l", "it")
        child.send_signal(signal.SIGKILL)
    Lock(tmp_path / "l", "it").release()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="not a run directory"):
        Run.reopen(tmp_path)


def test_a_full_disk_keeps_the_old_file_and_leaves_no_rubbish(tmp_path):
    """RLIMIT_FSIZE makes the kernel refuse the write, as a full disk does."""
    path = tmp_path / "result.json"
    write_atomic(path, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageError, match=r"result.json: cannot write"):
            write_atomic(path, "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize("content", ["{", "[" * 10_000 + "]" * 10_000, "9" * 5_000, b"\xff", None])
def test_a_damaged_file_of_a_run_is_one_sentence(tmp_path, content):
    path = tmp_path / "result.json"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=r"result\.json: .+; the file was changed or torn"):
        read_json(path)


def test_a_folder_that_was_deleted_meanwhile_is_one_sentence_and_what_was_written_since_goes_on(tmp_path):
    with (
        pytest.raises(
            StorageError, match=r"x-1: the folder was deleted or moved .*goes on with what was trained since"
        ),
        Run.resume_or_create(tmp_path, "x", "distill", {"rows": "abc"}) as run,
    ):
        shutil.rmtree(run.folder)
        write_atomic(run.folder / "arms" / "linear" / "arm.json", "{}")
    with Run.resume_or_create(tmp_path, "x", "distill", {"rows": "abc"}) as again:
        assert again.folder == run.folder and (again.folder / "arms" / "linear" / "arm.json").is_file()


def test_a_folder_that_is_gone_is_the_reason_for_the_error_that_came_of_it(tmp_path):
    with (
        pytest.raises(StorageError, match=r"x-1: the folder was deleted or moved .*the same command begins again"),
        Run.resume_or_create(tmp_path, "x", "distill", {}) as run,
    ):
        shutil.rmtree(run.folder)
        (run.folder / "arm.json").read_text()


def test_a_folder_that_another_command_made_anew_is_not_touched(tmp_path):
    with pytest.raises(StorageError, match="deleted or moved"), Run.create(tmp_path, "x", "distill", {}) as run:
        shutil.rmtree(run.folder)
        with Run.create(tmp_path, "x", "advise", {}) as other:
            assert other.folder == run.folder
    assert read_json(run.folder / "manifest.json")["command"] == "advise"


def test_how_long_a_run_took_does_not_shrink_where_the_clock_is_set_back(tmp_path):
    wall, ticks = [1_000_000.0], [0.0]
    clock = SteadyClock(lambda: wall[0], lambda: ticks[0])
    with Run.create(tmp_path, "x", "distill", {}, clock) as run:
        wall[0] += 10 - 7200
        ticks[0] += 10
    assert read_json(run.folder / "manifest.json")["wall_s"] == 10


def test_the_steady_clock_goes_on_where_the_clock_is_set_back_and_follows_it_forward():
    wall, ticks = [100.0], [0.0]
    clock = SteadyClock(lambda: wall[0], lambda: ticks[0])
    told = []
    for by_wall, by_ticks in ((10, 10), (-7200, 5), (5, 5), (7200, 5), (7200, 5), (0.5, 1)):
        wall[0] += by_wall
        ticks[0] += by_ticks
        told.append(clock())
    assert told == [110, 115, 120, 125, 7315, 7315.5]


def test_a_pipe_or_device_is_never_replaced_by_a_file(tmp_path):
    """`--out /dev/full`, as root, put a file of labels in the place of the device."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "linked").symlink_to(pipe)
    for path in (pipe, tmp_path / "linked"):
        with pytest.raises(UserError, match="is a device or a pipe"):
            write_atomic(path, "x")
    assert pipe.is_fifo() and sorted(each.name for each in tmp_path.iterdir()) == ["linked", "pipe"]
