"""A PostgreSQL of the tests' own: Debian's server on loopback, in a temporary folder, started once and stopped at the end; a new database for every test."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "s3cret-of-the-tests"


def server_binaries() -> Path | None:
    """The folder with `postgres` and `initdb`: on the PATH, or where Debian puts them, the newest version first."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: -float(folder.parent.name))
    on_path = shutil.which("postgres")
    for folder in [*([Path(on_path).resolve().parent] if on_path else []), *versions]:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    return None


def other_user() -> str | None:
    """The account to run the server as, where we are root: PostgreSQL refuses to."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


@contextmanager
def running() -> Iterator[str]:
    """A server's address, `postgresql://USER:PASSWORD@127.0.0.1:PORT`. Raises OSError or CalledProcessError where it cannot be started."""
    binaries = server_binaries()
    if binaries is None:
        raise FileNotFoundError("no postgres and initdb on the PATH or in /usr/lib/postgresql")
    account = other_user() if os.getuid() == 0 else None
    identity = {} if account is None else {"user": account, "group": pwd.getpwnam(account).pw_gid, "extra_groups": []}
    folder = Path(tempfile.mkdtemp(prefix="stillhouse-postgres-"))
    (folder / "password").write_text(PASSWORD)
    if account is not None:
        for path in (folder, folder / "password"):
            shutil.chown(path, account)
    try:
        made = [
            binaries / "initdb",
            "-D",
            folder / "data",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--username=tester",
        ]
        made += ["--auth-local=trust", "--auth-host=password", f"--pwfile={folder / 'password'}"]
        subprocess.run(made, check=True, capture_output=True, text=True, cwd=folder, **identity)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder}
        settings |= {"fsync": "off", "max_connections": 200, "shared_buffers": "32MB"}
        command = [
            binaries / "postgres",
            "-D",
            folder / "data",
            *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
        ]
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **identity)
        try:
            yield _ready(server, f"postgresql://tester:{PASSWORD}@127.0.0.1:{port}", folder / "log")
        finally:
            server.send_signal(signal.SIGINT)  # "fast": connections that tests left open are closed
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ready(server: subprocess.Popen[bytes], url: str, log: Path) -> str:
    import psycopg

    give_up = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(f"{url}/postgres", connect_timeout=5).close()
            return url
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > give_up:
                raise OSError(f"PostgreSQL did not start: {log.read_text()[-500:]}") from None
            time.sleep(0.02)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server on loopback, for the whole session: `postgresql://USER:PASSWORD@127.0.0.1:PORT`. Skips where there is none to start."""
    pytest.importorskip(
        "psycopg", reason="psycopg is not here: the tests on PostgreSQL skip; pip install 'stillhouse[scale]'"
    )
    with _skipping(), running() as url:
        yield url


@contextmanager
def _skipping() -> Iterator[None]:
    try:
        yield
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or error
        pytest.skip(
            f"PostgreSQL cannot be started here ({said}): the tests on it skip; install Debian's package postgresql"
        )


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The address of a new, empty database."""
    import psycopg

    name = f"test_{time.monotonic_ns()}"
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        yield f"{postgres_server}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]
