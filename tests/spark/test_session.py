"""A session is looked at before it is used; no Java runs here."""

import zipfile

import pytest

from nnperm_mlflow.basics.errors import AuditError, ConfigError, RoomError
from nnperm_mlflow.basics.own_code import surroundings
from nnperm_mlflow.spark import worker
from nnperm_mlflow.spark.cluster import _refuse_others
from nnperm_mlflow.spark.numbered_rows import quoted
from nnperm_mlflow.spark.session import open_session, packed_folder, refused


class Frame:
    """A DataFrame as far as a session is looked at: its session, with a version and settings."""

    def __init__(self, version="4.3.0", **settings):
        self.sparkSession = self
        self.version = version
        self.conf = {key.replace("_", "."): value for key, value in settings.items()}


def test_a_spark_that_is_too_old_is_refused():
    with pytest.raises(ConfigError, match=r"Spark 4\.0\.2.*pyspark 4\.1 or newer"):
        open_session(frame=Frame("4.0.2"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"spark_master": "yarn"}, r"has 384 MiB beside its JVM.*spark\.executor\.memoryOverhead=1088m"),
        (
            {"spark_master": "k8s://h", "spark_executor_memory": "8g", "spark_executor_cores": "4"},
            r"has 819 MiB.*=4352m",
        ),
        ({"spark_master": "yarn", "spark_executor_memoryOverhead": "512m"}, "has 512 MiB"),
        ({"spark_executor_pyspark_memory": "512m"}, r"pyspark\.memory allows a Python worker 512m.*Set it to 2g"),
    ],
)
def test_executors_that_would_be_ended_for_their_memory_are_refused(settings, told):
    with pytest.raises(RoomError, match=told):
        open_session(frame=Frame(**settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"spark_master": "local[4]"},
        {"spark_master": "yarn", "spark_executor_memoryOverhead": "2g"},
        {"spark_master": "yarn", "spark_executor_memoryOverhead": "1100"},
        {"spark_master": "yarn", "spark_executor_pyspark_memory": "2g"},
        {},
    ],
)
def test_executors_with_room_for_their_workers_are_taken(settings):
    assert not open_session(frame=Frame(**settings)).is_own


def test_a_worker_with_other_versions_or_switches_is_refused():
    own = surroundings()
    _refuse_others(dict(own))
    with pytest.raises(ConfigError, match=r"numpy 1\.0, not.*TF_ENABLE_ONEDNN_OPTS 0, not none.*PYSPARK_PYTHON"):
        _refuse_others({**own, "numpy": "1.0", "TF_ENABLE_ONEDNN_OPTS": "0"})


def test_an_error_in_a_worker_is_raised_as_what_it_was():
    with pytest.raises(RoomError, match="^too little$"):
        worker.raise_told(worker.error_as_bytes(RoomError("too little")))
    worker.raise_told(b"PK counts")


def test_the_same_files_make_the_same_archive_called_by_its_sha256(tmp_path):
    """So a stale model is never taken for a new one of the same name."""
    for folder in ("one", "two"):
        (tmp_path / folder / "data").mkdir(parents=True)
        (tmp_path / folder / "MLmodel").write_text("flavors: {}")
        (tmp_path / folder / "data" / "x").write_bytes(b"\x00weights")
    (one, digest), (two, same) = packed_folder(tmp_path / "one"), packed_folder(tmp_path / "two")
    assert (one, digest) == (two, same)
    assert digest in one.name
    assert sorted(zipfile.ZipFile(one).namelist()) == ["MLmodel", "data/x"]
    (tmp_path / "two" / "data" / "x").write_bytes(b"\x00others")
    assert packed_folder(tmp_path / "two")[1] != digest


def test_what_spark_fails_in_is_told_in_a_line_without_secrets():
    kind = type("AnalysisException", (Exception,), {"__module__": "pyspark.errors"})
    with pytest.raises(AuditError, match=r"^Spark failed \(AnalysisException\): no 's3a://lake/x'$"), refused():
        raise kind("no 's3a://me:secret@lake/x'\n\tat org.apache")
    with pytest.raises(ZeroDivisionError), refused():
        _ = 1 / 0


def test_names_are_quoted_as_spark_wants_them():
    assert quoted("a.b`c") == "`a.b``c`"
