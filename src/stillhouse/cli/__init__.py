"""The command line. Every command: results to stdout, progress to stderr, `--json` for machines.

Exit code 0: it worked; 1: the work failed or the gate refused; 2: the user's mistake; 129, 130 and 143: stopped by a
closed terminal, Ctrl-C or SIGTERM, and one sentence says what that left (`stopping`). Nothing heavy is imported before
a command runs, so `--help` is instant.
"""

import errno
import logging
import os
import shlex
import shutil
import sys
import textwrap
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stillhouse.addresses import without_secrets
from stillhouse.clean_text import terminal_text
from stillhouse.errors import StillhouseError
from stillhouse.notices import told_to
from stillhouse.stopping import stopping

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # wherever a write was refused
_SIGNALLED = 128  # and the number of the signal: the exit code, as shells have it


class _Commands(TyperGroup):
    """What the command line could not be read for is told without the secrets of what was typed."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        with _secrets_kept():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _secrets_kept():
            return super().invoke(ctx)


@contextmanager
def _secrets_kept() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):  # the parser's, in whichever version
            setattr(error, "message", without_secrets(message))  # noqa: B010
        raise


app = typer.Typer(
    name="stillhouse",
    cls=_Commands,
    help="Keep the prompt, add examples, finetune, or distil? Measured on your own data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _say_version(wanted: bool) -> None:
    if wanted:
        from stillhouse import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="print the version and end")
    ] = False,
) -> None:
    """What holds for all commands."""


class _LogFormatter(logging.Formatter):
    """Log lines and tracebacks on stderr: what they quote is shown but for secrets; the terminal obeys none of it."""

    def format(self, record: logging.LogRecord) -> str:
        return told(super().format(record))


def told(text: str) -> str:
    """A sentence, log line or traceback that may quote an error or an address, for the terminal."""
    return terminal_text(without_secrets(text))


def _show_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    print(told("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, end="")


def main() -> None:
    """Run the command; a mistake of the user or a failure of the work is one sentence, never a traceback."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_LogFormatter())
    sys.excepthook = _show_uncaught
    with stopping.heard(says=True), told_to(_say):
        code = _run()
        if code == 0 or stopping.signal is None:
            sys.exit(code)
        go_on = stopping.go_on or shlex.join(["stillhouse", *sys.argv[1:]])
        _show(f"stillhouse: {stopping.sentence()}; go on with: ", command=go_on)
        code = _SIGNALLED + stopping.signal
        if stopping.n_signals > 1:  # at once: a thread that still works is not waited for
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    # Where a signal came while `exec` ran a text, as dataclasses do when they are made, Python would end itself by
    # SIGINT instead of with this code. The next text that runs to its end undoes that.
    exec("")
    sys.exit(code)


def _say(sentence: str) -> None:
    _show(f"stillhouse: {sentence}")


def _show(sentence: str, command: str = "") -> None:
    """A sentence on stderr, and a command after it. On a terminal it breaks between words, and the command nowhere."""
    text = told(sentence)
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        whole = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
        text = "\n".join(whole) + ("\n" if command else "")
    print(text + told(command), file=sys.stderr, flush=True)


def _run() -> int:
    """Run the command; its exit code."""
    try:
        app()
    except StillhouseError as error:
        _show(f"stillhouse: {error}")
        return error.exit_code
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        place = f"{error.filename}: " if error.filename else ""
        _show(
            f"stillhouse: {place}cannot write ({error.strerror}); free space or choose another place and run this "
            "again: what was stored is kept"
        )
        return 1
    except KeyboardInterrupt:  # outside typer, which makes an exit code of it
        return _SIGNALLED
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            raise
        return ended.code or 0
    return 0


# Commands register themselves on `app`, in the order in which a user needs them.
# isort: off
from stillhouse.cli import demo as demo  # noqa: E402
from stillhouse.cli import new as new  # noqa: E402
from stillhouse.cli import fetch as fetch  # noqa: E402
from stillhouse.cli import generate as generate  # noqa: E402
from stillhouse.cli import label as label  # noqa: E402
from stillhouse.cli import distill as distill  # noqa: E402
from stillhouse.cli import evaluate as evaluate  # noqa: E402
from stillhouse.cli import compare as compare  # noqa: E402
from stillhouse.cli import serve as serve  # noqa: E402
from stillhouse.cli import export as export  # noqa: E402
from stillhouse.cli import report as report  # noqa: E402
from stillhouse.cli import run as run  # noqa: E402
from stillhouse.cli import runs as runs  # noqa: E402
from stillhouse.cli import graph as graph  # noqa: E402
from stillhouse.cli import test as test  # noqa: E402
from stillhouse.cli import gateway as gateway  # noqa: E402
from stillhouse.cli import harvest as harvest  # noqa: E402
from stillhouse.cli import curves as curves  # noqa: E402
