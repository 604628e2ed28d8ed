"""The command line. Every command: results to stdout, progress to stderr, `--json` for machines.

Exit code 0: it worked; 1: the work failed or the gate refused; 2: the user's mistake. Nothing heavy is imported before
a command runs, so `--help` is instant.
"""

import errno
import logging
import sys
from typing import Annotated

import typer

from stillhouse.clean_text import terminal_text
from stillhouse.errors import StillhouseError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # wherever a write was refused
_STOPPED = 130  # 128 and the number of SIGINT, as shells have it

app = typer.Typer(
    name="stillhouse",
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
    """Log lines and tracebacks on stderr: what they quote is shown, and the terminal obeys none of it."""

    def format(self, record: logging.LogRecord) -> str:
        return terminal_text(super().format(record))


def main() -> None:
    """Run the command; a mistake of the user or a failure of the work is one sentence, never a traceback."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_LogFormatter())
    try:
        app()
    except StillhouseError as error:
        print(terminal_text(f"stillhouse: {error}"), file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(
            f"stillhouse: {place}cannot write ({error.strerror}); free space or choose another place and run this "
            "again: what was stored is kept",
            file=sys.stderr,
        )
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == _STOPPED:  # typer raises this exit code on Ctrl-C
            print(
                "stillhouse: stopped; what was paid for or trained is kept, and the same command goes on from there",
                file=sys.stderr,
            )
        raise


# Commands register themselves on `app`, in the order in which a user needs them.
# isort: off
from stillhouse.cli import demo as demo  # noqa: E402
from stillhouse.cli import new as new  # noqa: E402
from stillhouse.cli import generate as generate  # noqa: E402
from stillhouse.cli import label as label  # noqa: E402
from stillhouse.cli import distill as distill  # noqa: E402
from stillhouse.cli import evaluate as evaluate  # noqa: E402
from stillhouse.cli import compare as compare  # noqa: E402
from stillhouse.cli import serve as serve  # noqa: E402
from stillhouse.cli import report as report  # noqa: E402
from stillhouse.cli import run as run  # noqa: E402
from stillhouse.cli import runs as runs  # noqa: E402
from stillhouse.cli import graph as graph  # noqa: E402
from stillhouse.cli import test as test  # noqa: E402
from stillhouse.cli import harvest as harvest  # noqa: E402
from stillhouse.cli import curves as curves  # noqa: E402
