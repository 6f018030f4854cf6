"""A real PostgreSQL cluster on loopback, made for a test and gone with it."""

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import free_port, wait_until

ROLE, PASSWORD = "storekeeper", "a-long-password-of-the-store"
_FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: float(file.parts[-3]))
PROGRAMS = _FOUND[-1].parent if _FOUND else None
"""Where Debian puts the programs of the newest PostgreSQL; None where it is not installed."""

_OWNER = "postgres"  # the user that the package makes: as root, PostgreSQL refuses to run
_AS_OWNER = {"user": _OWNER, "group": _OWNER, "extra_groups": []} if os.geteuid() == 0 else {}


@contextmanager
def running_postgres():
    """Run a cluster that asks for a password; give the URI of an empty database in it, as MLflow takes it."""
    folder = Path(tempfile.mkdtemp(prefix="nnperm-postgres-"))  # pytest's own folders are closed to other users
    try:
        make_cluster(folder)
        port = free_port()
        # neither settings of this machine nor what is due for a disk that may fail
        settings = ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
        command = [PROGRAMS / "postgres", "-D", folder / "data", "-p", str(port), *settings]
        with (
            (folder / "log").open("w") as log,
            subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, **_AS_OWNER) as process,
        ):
            try:
                wait_until(lambda: accepts(port), lambda: f"no database:\n{(folder / 'log').read_text()}")
                yield f"postgresql+psycopg://{ROLE}:{PASSWORD}@127.0.0.1:{port}/postgres"
            finally:
                process.send_signal(signal.SIGINT)  # "fast": does not wait for clients
    finally:
        shutil.rmtree(folder)


def make_cluster(folder):
    password = folder / "password"
    password.write_text(PASSWORD)
    if _AS_OWNER:
        for path in (folder, password):
            shutil.chown(path, _OWNER, _OWNER)
    subprocess.run(
        [
            PROGRAMS / "initdb", "--pgdata", folder / "data", "--username", ROLE, "--pwfile", password,
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync",
        ],
        check=True, cwd=folder, capture_output=True, **_AS_OWNER,
    )  # fmt: skip


def accepts(port):
    return (
        subprocess.run([PROGRAMS / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode == 0
    )
