"""Runs as somebody makes them who may write runs: other files and parameters, with digests that fit."""

import json
import shutil
from pathlib import Path

import mlflow
import pyarrow.parquet as pq

from nnperm_mlflow.analysis.engine.table import METADATA_KEY
from nnperm_mlflow.basics.audit_files import file_digest


def forged(client, run_id, folder, *, summary=None, table=None, experiment="tests", **params):
    """Copy an audit's run as somebody would who may write runs, with other files and parameters that fit them."""
    run = client.get_run(run_id)
    home = client.get_experiment_by_name(experiment)
    copy = client.create_run(home.experiment_id if home else client.create_experiment(experiment))
    files = Path(mlflow.artifacts.download_artifacts(run_id=run_id, dst_path=str(folder / copy.info.run_id)))
    if summary is not None:
        summary.to_csv(files / "summary.csv", index=False)
        params["summary_digest"] = file_digest(files / "summary.csv")
    if table is not None:
        shutil.copy(table, files / "deviations.parquet")
        params["table_digest"] = file_digest(table)
    for file in files.iterdir():
        if file.name not in {"verdict.json", "verdicts"}:
            client.log_artifact(copy.info.run_id, str(file))
    for key, value in {**run.data.params, **params}.items():
        client.log_param(copy.info.run_id, key, value)
    tags = {**run.data.tags, "nnperm.model": params.get("model", run.data.params["model"])}
    for key, value in tags.items():
        client.set_tag(copy.info.run_id, key, value)
    client.set_terminated(copy.info.run_id)
    return copy.info.run_id


def relabelled(table, target, **said):
    """Write a deviation table that tells something else of the audit that made it; return where it lies."""
    read = pq.read_table(table)
    told = json.loads(read.schema.metadata[METADATA_KEY]) | said
    pq.write_table(read.replace_schema_metadata({METADATA_KEY: json.dumps(told)}), target)
    return target
