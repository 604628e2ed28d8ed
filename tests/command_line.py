"""The command line, called in this process as the installed script calls it."""

import json
from dataclasses import dataclass

import pytest

from stillhouse import cli


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def stillhouse(capsys, monkeypatch):
    """`stillhouse("label", folder)` runs the command and returns exit code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["stillhouse", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as exit_:
            code = exit_.code or 0
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
