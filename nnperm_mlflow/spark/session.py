"""A session of Spark, on a cluster of its own or through Spark Connect: found or begun, and looked at before use."""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnperm_mlflow.basics.errors import AuditError, ConfigError, RoomError
from nnperm_mlflow.basics.locations import without_secrets_in

logger = logging.getLogger(__name__)

_LEAST = (4, 1)
_TO_INSTALL = (
    "an audit on Spark needs pyspark 4.1 or newer, and Java 17 where this machine starts the cluster: "
    "pip install 'nnperm_mlflow[spark]', and docs/spark.md"
)
_WORKER_MIB = 1_088
"""Of a Python worker that audits a shuffle block of some thirty numbers a row by a network of TensorFlow: 1.06 GiB."""

_LEAST_OVERHEAD_MIB, _OVERHEAD_SHARE = 384, 0.1  # what Spark adds to an executor's memory where nothing is said
_MIB = {"k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0**2}
_BOUNDED = ("yarn", "k8s")
"""Managers of clusters that end an executor which takes more memory than it was given."""

_OF_PYTHON = re.compile(r"[A-Za-z_.]+(Error|Exception|Interrupt): ")
_added: set[tuple[str, str]] = set()
_folder: list[Path] = []


@dataclass(frozen=True)
class Session:
    """A session.

    Attributes
    ----------
    spark : SparkSession
        Of pyspark, or of Spark Connect.
    is_own : bool
        Whether it was begun here, and ends with the audit.
    """

    spark: Any
    is_own: bool = False

    @property
    def is_remote(self) -> bool:
        """Whether it is one of Spark Connect."""
        return ".connect." in type(self.spark).__module__ + "."

    @property
    def name(self) -> str:
        """What tells this session from others."""
        return str(self.spark.session_id if self.is_remote else self.spark.sparkContext.applicationId)

    def setting(self, key: str) -> str | None:
        """Return what a setting says; None where it says nothing, or may not be read."""
        with refused():
            found = self.spark.conf.get(key, None)
        return None if found is None else str(found)

    def add_file(self, path: Path) -> None:
        """Let every worker find a file by its name, which must tell what it holds: once in a session."""
        if (self.name, path.name) in _added:
            return
        with refused():
            if self.is_remote:
                self.spark.addArtifacts(str(path), file=True)
            else:
                self.spark.sparkContext.addFile(str(path))
        _added.add((self.name, path.name))

    def close(self) -> None:
        """End the session, if it was begun here."""
        if self.is_own:
            self.spark.stop()


def open_session(master: str | None = None, remote: str | None = None, frame: Any = None) -> Session:  # noqa: ANN401
    """Return the session of a DataFrame, the active one, or a new one.

    Parameters
    ----------
    master : str, optional
        Of a cluster, as `local[4]`, `spark://host:7077` or `yarn`.
    remote : str, optional
        Address of Spark Connect, as `sc://host:15002`.
    frame : DataFrame, optional
        Of Spark.

    Raises
    ------
    ConfigError
        If pyspark is not there, or too old, or two ways are named.
    """
    if master is not None and remote is not None:
        raise ConfigError("two clusters are named, by 'master' and by 'remote': give one.")
    if frame is not None:
        return _looked_at(Session(frame.sparkSession))
    try:
        from pyspark.sql import SparkSession  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(f"{_TO_INSTALL} ({error.name} is not installed).") from error
    if master is None and remote is None:
        active = SparkSession.getActiveSession()
        if active is not None:
            return _looked_at(Session(active))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    with refused():
        builder = SparkSession.builder.appName("nnperm_mlflow")
        if remote is not None:
            return _looked_at(Session(builder.remote(remote).getOrCreate(), is_own=True))
        return _looked_at(Session(builder.master(master or "local[*]").getOrCreate(), is_own=True))


def _looked_at(session: Session) -> Session:
    """Refuse a session of a Spark that is too old, or whose workers have too little memory."""
    told = str(session.spark.version)
    if tuple(int(part) for part in told.split(".")[:2]) < _LEAST:
        raise ConfigError(f"the session is one of Spark {told}. {_TO_INSTALL}.")
    _check_memory(session)
    return session


def _check_memory(session: Session) -> None:
    """Refuse executors that would be ended, or whose workers would fail, for want of memory beside the JVM."""
    limit = session.setting("spark.executor.pyspark.memory")
    if limit is not None and _in_mib(limit) < _WORKER_MIB:
        raise RoomError(
            f"spark.executor.pyspark.memory allows a Python worker {limit}, and one that has loaded a network takes "
            f"about {_WORKER_MIB} MiB. Set it to 2g, or leave it out."
        )
    if not (session.setting("spark.master") or "").startswith(_BOUNDED) or limit is not None:
        return
    cores = int(session.setting("spark.executor.cores") or 1)
    said = session.setting("spark.executor.memoryOverhead")
    heap = _in_mib(session.setting("spark.executor.memory") or "1g")
    overhead = _in_mib(said) if said is not None else max(_LEAST_OVERHEAD_MIB, _OVERHEAD_SHARE * heap)
    if overhead < cores * _WORKER_MIB:
        raise RoomError(
            f"an executor has {overhead:,.0f} MiB beside its JVM, and its {cores} Python workers take about "
            f"{cores * _WORKER_MIB:,} MiB with a network loaded: the cluster would end it. Start the session with "
            f"spark.executor.memoryOverhead={cores * _WORKER_MIB}m or more."
        )


def _in_mib(said: str) -> float:
    """Return an amount of memory as Spark writes it, as `2g`; a number alone counts MiB."""
    text = said.strip().lower().removesuffix("ib").removesuffix("b")
    return float(text[:-1]) * _MIB[text[-1]] if text[-1:] in _MIB else float(text)


@contextmanager
def refused() -> Iterator[None]:
    """Say in a line what Spark refuses or fails in."""
    try:
        yield
    except AuditError:
        raise
    except Exception as error:
        if not type(error).__module__.startswith(("pyspark", "py4j", "grpc")):
            raise
        raise AuditError(f"Spark failed ({type(error).__name__}): {without_secrets_in(_reason(error))}") from error


def _reason(error: Exception) -> str:
    """Return why Spark failed, in its words: of what a worker failed in the last line of Python's traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["it says nothing"]
    of_python = [line for line in lines if _OF_PYTHON.match(line)]
    if not of_python or "PythonException" not in type(error).__name__:
        return lines[0]
    other = of_python[-1].startswith("ModuleNotFoundError")
    hint = ". Workers run another Python than this one: set PYSPARK_PYTHON before the session begins" if other else ""
    return f"{of_python[-1]}{hint}"


def packed_folder(folder: Path) -> tuple[Path, str]:
    """Return an archive of a folder that is called by its sha256, and that sha256; it lives as long as this process.

    The same files give the same archive.
    """
    if not _folder:
        _folder.append(Path(tempfile.mkdtemp(prefix="nnperm-spark-")))
        atexit.register(shutil.rmtree, _folder[0], ignore_errors=True)
    partial = _folder[0] / f"{os.getpid()}.partial"
    with zipfile.ZipFile(partial, "w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.writestr(zipfile.ZipInfo(file.relative_to(folder).as_posix()), file.read_bytes())
    digest = hashlib.sha256(partial.read_bytes()).hexdigest()
    return partial.replace(_folder[0] / f"nnperm-model-{digest}.zip"), digest
