"""What Ctrl-C and SIGTERM do inside the process; `cli/test_cli_stopping.py` stops commands that are processes of their own."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from stillhouse.event_loop import result_of
from stillhouse.stopping import GRACE_S, PaidCall, Sending, signals_to, stopping, unsent
from virtual_time import run_virtually


def told(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


async def call(log, name, answered, before=None):
    """A paid call: `before` it waits for its turn, then it is sent, then it is answered and stored."""
    with PaidCall() as paid:
        await paid.begins()
        if before is not None:
            async with unsent():
                await before.wait()
        log.append(f"{name} sent")
        await answered.wait()
        paid.answered()
        await asyncio.sleep(0)
        log.append(f"{name} stored")


def stopped(work):
    """The sentence with which `work` ended."""
    with stopping.heard():
        with pytest.raises(KeyboardInterrupt):
            result_of(work)
        return stopping.sentence()


def test_a_call_that_waits_for_its_turn_is_not_sent_any_more_and_not_waited_for():
    log = []

    async def work():
        first, turn = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(call(log, "first", first))
            group.create_task(call(log, "second", asyncio.Event(), before=turn))
            await asyncio.sleep(0)
            told()
            turn.set()
            await asyncio.sleep(0)
            first.set()

    assert stopped(work()) == "stopped by SIGTERM: 1 call was in flight, it came back and is kept"
    assert log == ["first sent", "first stored"]


def test_a_call_that_begins_after_the_signal_is_not_sent():
    log = []

    async def work():
        answered = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(call(log, "first", answered))
            await asyncio.sleep(0)
            told(signal.SIGINT)
            group.create_task(call(log, "second", answered))
            await asyncio.sleep(0)
            answered.set()

    assert stopped(work()) == "stopped by Ctrl-C: 1 call was in flight, it came back and is kept"
    assert log == ["first sent", "first stored"]


def test_a_batch_that_is_being_sent_is_waited_for_and_is_no_call():
    log = []

    async def work():
        made = asyncio.Event()

        async def send():
            with PaidCall(sends_batch=True) as call:
                await call.begins()
                await made.wait()
                log.append("sent")

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            await asyncio.sleep(0)
            told()
            await asyncio.sleep(0)
            made.set()
        await asyncio.Event().wait()

    assert stopped(work()) == "stopped by SIGTERM: no call was in flight, so nothing is paid for twice"
    assert log == ["sent"]


def test_where_nothing_is_in_flight_it_leaves_at_once():
    async def work():
        told()
        await asyncio.Event().wait()

    assert stopped(work()) == "stopped by SIGTERM: no call was in flight, so nothing is paid for twice"


def test_after_the_grace_it_leaves_what_did_not_come_and_counts_it():
    log, ended_at = [], []

    async def work():
        now, loop = asyncio.Event(), asyncio.get_running_loop()
        with stopping.work():
            try:
                async with asyncio.TaskGroup() as group:
                    for name, answered in (("a", now), ("b", asyncio.Event()), ("c", asyncio.Event())):
                        group.create_task(call(log, name, answered))
                    await asyncio.sleep(0)
                    told()
                    now.set()
            finally:
                ended_at.append(loop.time())

    with stopping.heard():
        with pytest.raises(asyncio.CancelledError):
            run_virtually(work)
        sentence = stopping.sentence()
    assert sentence == (
        "stopped by SIGTERM: 3 calls were in flight, 1 came back, 2 were left and may be paid for again"
    )
    assert ended_at == [GRACE_S] and log == ["a sent", "b sent", "c sent", "a stored"]


def test_a_try_that_is_refused_came_back_and_is_not_sent_again():
    tries = []

    async def refused():
        with PaidCall() as paid:
            await paid.begins()
            while True:
                tries.append(1)
                told()
                await asyncio.sleep(0)
                async with unsent():
                    await asyncio.sleep(0)

    assert stopped(refused()) == "stopped by SIGTERM: 1 call was in flight, it came back and is kept"
    assert len(tries) == 1


def test_a_program_that_calls_the_library_is_stopped_in_the_same_way():
    """Python's own Ctrl-C would throw the answer away that is on its way."""
    log = []

    async def work():
        answered = asyncio.Event()
        task = asyncio.create_task(call(log, "first", answered))
        await asyncio.sleep(0)
        told(signal.SIGINT)
        await asyncio.sleep(0)
        answered.set()
        await task
        await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt, match="1 call was in flight, it came back and is kept"):
        result_of(work())
    assert log == ["first sent", "first stored"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler and not stopping.asked


async def test_in_a_notebook_too():
    async def work():
        told(signal.SIGINT)
        await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        result_of(work())


def ended_by(folder, code):
    (folder / "begins.py").write_text(code)
    command = [sys.executable, "-m", "begins"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_the_exit_code_is_the_signals_also_where_it_came_amid_the_making_of_a_class(number, code, tmp_path):
    """Python would end itself by SIGINT, as it does where nobody took the KeyboardInterrupt."""
    done = ended_by(
        tmp_path,
        f"""
from stillhouse import cli
def run():
    try:
        exec("import os, signal; os.kill(os.getpid(), signal.{number})")
    except KeyboardInterrupt:
        return 1
cli._run = run
cli.main()
""",
    )
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert f"stopped by {'Ctrl-C' if number == 'SIGINT' else number}" in done.stderr


def test_ctrl_c_before_the_command_has_begun_is_no_traceback(tmp_path):
    done = ended_by(
        tmp_path,
        """
import sys
class Interrupts:
    def find_spec(self, name, *_):
        if name == "stillhouse.cli":
            exec("raise KeyboardInterrupt")
sys.meta_path.insert(0, Interrupts())
from stillhouse.__main__ import main
main()
""",
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_a_closed_terminal_is_no_second_signal():
    """The kernel and the shell both send one."""
    log = []

    async def work():
        first = asyncio.Event()
        task = asyncio.create_task(call(log, "first", first))
        await asyncio.sleep(0)
        told(signal.SIGHUP)
        told(signal.SIGHUP)
        await asyncio.sleep(0)
        first.set()
        await task
        await asyncio.Event().wait()

    wanted = "stopped by SIGHUP (the terminal was closed): 1 call was in flight, it came back and is kept"
    assert stopped(work()) == wanted
    assert log == ["first sent", "first stored"]


@pytest.fixture
def ignored():
    """As `nohup` and a script's `&` start a command."""
    numbers = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


async def test_what_was_ignored_at_the_start_stays_ignored_and_sigterm_is_heard(ignored):
    with stopping.heard():
        assert [signal.getsignal(number) for number in ignored[:2]] == [signal.SIG_IGN] * 2
        heard = asyncio.Event()
        with signals_to(heard.set):
            told(signal.SIGHUP)
            told(signal.SIGINT)
            await asyncio.sleep(0.01)
            assert not heard.is_set()
            told(signal.SIGTERM)
            await asyncio.wait_for(heard.wait(), 30)
        assert signal.getsignal(signal.SIGTERM) == stopping._hear
    assert [signal.getsignal(number) for number in ignored] == [signal.SIG_IGN] * 3


async def test_a_server_that_was_told_of_a_closed_terminal_is_not_told_again_while_it_stops():
    heard = asyncio.Event()
    with stopping.heard():
        with signals_to(heard.set):
            told(signal.SIGHUP)
            await asyncio.wait_for(heard.wait(), 30)
        told(signal.SIGHUP)
        assert not stopping.asked
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


async def test_a_server_that_hears_signals_itself_gives_them_back():
    heard = asyncio.Event()
    with stopping.heard():
        before = signal.getsignal(signal.SIGTERM)
        with signals_to(heard.set):
            told()
            await asyncio.wait_for(heard.wait(), 30)
        assert signal.getsignal(signal.SIGTERM) == before and not stopping.asked


async def test_a_call_that_nobody_waits_for_any_more_is_in_flight_until_it_waits_for_another_try():
    with Sending() as sending, PaidCall() as paid:
        assert not sending.in_flight
        await paid.begins()
        assert sending.stop()
        paid.waits()
        assert not sending.stop()
        with pytest.raises(asyncio.CancelledError):
            await paid.begins()
    assert not stopping.in_flight
