"""What a cluster cannot do is refused before one is begun, each with what to do instead."""

import sys

import pytest

import nnperm_mlflow
from nnperm_mlflow.auditor.cluster_terms import refuse_what_no_cluster_does
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.config.audit_config import parse_config
from nnperm_mlflow.config.trial import Trial
from nnperm_mlflow.inputs.dataset import load_dataset

HISTORY = {"file": "h.npy", "channels": ["PAY"]}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"analysis": {"scores": ["roc_auc"]}}, r"scores take the predictions.*sample on one machine"),
        ({"analysis": {"segments": ["SEX"]}}, "segments need.*or give the rows of one segment"),
        ({"analysis": {"profile": ["AGE"]}}, "profile asks for quantiles.*sample"),
        ({"analysis": {"profile": {"kind": "ale", "features": ["AGE"]}}}, "profile asks for quantiles.*sample"),
        ({"analysis": {"interactions": "auto"}}, "interactions share a donor.*sample"),
        ({"analysis": {"donors": "conditional"}}, "donors are told apart by trees.*sample"),
        ({"analysis": {"donors": {"AGE": ["SEX"]}}}, "donors are told apart by trees.*sample"),
        ({"analysis": {"out_of_data": True}}, "out_of_data lets a learner tell.*sample"),
        ({"analysis": {"within": ["SEX"]}}, "within deals strata.*sample"),
        ({"analysis": {"repeats": "auto", "precision": 0.01}}, "say how many repeats"),
        ({"analysis": {"rows": 1000}}, r"leave out the engine \(--engine\), or the key"),
        ({"analysis": {"rows": "auto", "precision": 0.01}}, r"leave out the engine \(--engine\), or the key"),
        ({"analysis": {"random": True}}, "other numbers wherever a task is tried again"),
        ({"data": {"static": "x.parquet", "cluster": "client"}}, "cluster deals whole clusters.*sample"),
        ({"data": {"static": "x.parquet", "text": ["zip"]}}, "write the table as Parquet"),
        ({"data": {"static": "lake/x.CSV"}}, "'x.CSV' is not: write it so"),
        ({"data": {"static": "x.parquet", "temporal": {"h": HISTORY}}}, r"h: \{column: \.\.\., channels"),
        ({"checks": [{"against": "models:/credit@champion", "max_shift": 0.1}]}, "'against'.*in parts: leave them out"),
        ({"format": 2, "requires": {"not_training": True}}, "not_training compares.*leave it out"),
    ],
)
def test_what_no_cluster_does_is_refused_with_what_to_do_instead(asked, told):
    with pytest.raises(ConfigError, match=told):
        refuse_what_no_cluster_does(parse_config(asked))


def test_all_of_it_is_told_at_once():
    asked = parse_config({"analysis": {"scores": ["roc_auc"], "within": ["SEX"]}, "data": {"static": "x.csv"}})
    with pytest.raises(ConfigError, match=r"(?s)scores take.*within deals.*x\.csv.*--trust-model"):
        refuse_what_no_cluster_does(asked, trust_model=True)


def test_a_trial_is_made_on_one_machine():
    config = parse_config({"checks": [{"feature": "a", "max": 1.0}]})
    asked = {"format": 2, "name": "credit", "trial": Trial(repeats=2)}
    config = config.with_policy(config.policy.model_copy(update=asked))
    with pytest.raises(ConfigError, match="make the audit of a trial on one machine"):
        refuse_what_no_cluster_does(config)


def test_what_a_cluster_does_is_not_refused():
    asked = {"windows": 2, "order": True, "set": {"SEX": "all"}, "repeats": 3, "missing": "skip", "groups": "auto"}
    refuse_what_no_cluster_does(parse_config({"analysis": asked, "data": {"static": "s3a://lake/x/"}}))


def spark_frame():
    """Something that says it is a DataFrame of Spark, as far as that can be told without importing it."""
    kind = type("DataFrame", (), {"__module__": "pyspark.sql.classic.dataframe"})
    return kind()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"engine": "spark"}, r"say where \(--table"),
        ({"data": spark_frame()}, r"say where \(--table"),
        ({"table": "/tmp/x"}, "'table' is about an audit on a cluster: ask for one"),
        ({"remote": "sc://host"}, "'remote' is about an audit on a cluster: ask for one"),
        ({"engine": "dask", "table": "/tmp/x"}, "there is no engine 'dask'"),
        ({"engine": "spark", "table": "/tmp/x", "labels": [1]}, "without labels or channels"),
        ({"engine": "spark", "table": "/tmp/x", "master": "local", "remote": "sc://h"}, "two clusters are named"),
    ],
)
def test_what_does_not_go_together_is_refused_before_a_cluster_begins(given, told, tracked, tmp_path):
    with pytest.raises(ConfigError, match=told):
        nnperm_mlflow.audit({"model": "models:/none/1"}, work_dir=tmp_path, **given)


def test_without_pyspark_one_message_says_what_to_install(tracked, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(ConfigError, match=r"pip install 'nnperm_mlflow\[spark\]', and docs/spark.md"):
        nnperm_mlflow.audit({"model": "models:/none/1"}, engine="spark", table=tmp_path / "t", work_dir=tmp_path)


def test_a_table_of_a_catalogue_needs_a_version_and_a_cluster():
    with pytest.raises(ConfigError, match="'table' and 'version' go together"):
        parse_config({"data": {"table": "lake.credit"}})
    with pytest.raises(ConfigError, match=r"read on a cluster alone.*--engine spark"):
        load_dataset(parse_config({"data": {"table": "lake.credit", "version": 3}}).data, None)
