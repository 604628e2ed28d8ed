"""A PostgreSQL for the tests of tools: Debian's own, in a folder of its own, on loopback."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


def _binaries() -> Path | None:
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def _user() -> str | None:
    """Whom to run it as: PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a fresh server, as its superuser `admin`; tests that need it skip where it cannot be started."""
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="stillhouse-postgres-"))
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    data = folder / "data"
    made = subprocess.run(
        [binaries / "initdb", "-D", data, "-A", "trust", "-U", "admin", "-E", "UTF8", "--locale=C", "--no-sync"],
        user=user, cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"PostgreSQL's initdb fails here: {made.stderr.strip()[-200:]}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "log").open("w")
    server = subprocess.Popen(
        [binaries / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-c", "fsync=off"],
        user=user,
        cwd=folder,
        stderr=log,
        stdout=log,
    )
    url = f"postgresql://admin@127.0.0.1:{port}/postgres"
    try:
        for _ in range(300):
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url, connect_timeout=2):
                break
            assert server.poll() is None, (folder / "log").read_text()[-2000:]
            time.sleep(0.1)
        else:
            raise AssertionError("PostgreSQL did not start within 30 seconds")
        yield url
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=30)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)
