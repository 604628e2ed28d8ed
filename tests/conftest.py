"""What every test shares: no outside network, and the folder of real data where it is present."""

import gc
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from command_line import stillhouse  # noqa: F401  # a fixture for all tests
from fake_endpoint import Endpoint, running
from postgres import postgres_server, postgres_url  # noqa: F401  # fixtures for all tests

ROOT = Path(__file__).parent.parent


def pytest_configure(config):
    """A shell, or `nohup`, that starts the tests has them ignore Ctrl-C or SIGHUP, and so all that they start."""
    for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, default)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The two processes that share the tests must collect the same names: a set has another order in each, and an object another address."""
    for item in items:
        if " at 0x" in item.name:
            raise pytest.UsageError(f"{item.nodeid}: its name holds an address in memory; give the case an id")
        for value in getattr(getattr(item, "callspec", None), "params", {}).values():
            if isinstance(value, set | frozenset) and len(value) > 1 and str(value) in item.name:
                raise pytest.UsageError(f"{item.nodeid}: its name holds a set, which has no order; give the case an id")


@pytest.fixture(autouse=True, scope="session")
def apps_of_tests_are_compiled_anew() -> None:
    """A test that edits its app within a second, to the same length, would else run what was compiled before."""
    sys.dont_write_bytecode = True


@pytest.fixture(autouse=True, scope="module")
def modules_out_of_the_collectors_sight() -> None:
    """What was imported stays. A full collection need not walk through it again: with PyTorch loaded that takes half a second."""
    gc.freeze()


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection that leaves this machine fails the test that tried it. Keys of the developer's own shell are taken away."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and str(address[0]) not in (
            "127.0.0.1",
            "::1",
            "localhost",
            "0.0.0.0",
        ):  # type: ignore[index]
            raise AssertionError(f"a test tried to connect to {address}")
        return real(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)
    for name in list(os.environ):
        if (
            name.lower().endswith("_proxy")
            or name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
            or name.endswith("_API_KEY")
            or name in ("OPENAI_BASE_URL", "STILLHOUSE_SERVE_KEY")
            or name.startswith("PG")
        ):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the public teacher outputs (see examples/*/README.md); tests that need it skip where it is absent."""
    folder = Path(os.environ.get("STILLHOUSE_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "stepbystep").is_dir():
        pytest.skip(f"the real data is not here ({folder}); set STILLHOUSE_DATA to the folder that holds stepbystep/")
    return folder


@pytest.fixture
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A fake provider in a process of its own, with counts of its own."""
    with running(tmp_path_factory.mktemp("endpoint")) as fake:
        yield fake
