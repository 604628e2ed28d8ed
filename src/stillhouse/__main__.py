"""The command `stillhouse`, also as `python -m stillhouse`."""

import sys


def main() -> None:
    try:
        from stillhouse.cli import main as run_command
    except KeyboardInterrupt:  # nothing was begun
        exec("")  # see `stillhouse.cli.main`
        sys.exit(130)
    run_command()


if __name__ == "__main__":
    main()
