"""Runs as audits leave them, though none was made: made up as a whole, or copied from a real one and changed."""

import hashlib
import json
import tempfile
from pathlib import Path

import mlflow
from mlflow.entities import Param

CONFIG = "model: models:/made/1\ndata: {static: made.csv}\n"
COLUMNS = (
    "perturbation,feature,kind,way,value,rows,skipped,median,median_low,median_high,mean,mean_low,mean_high,q95,max,"
    "changed_share,changed_median,flipped_share,measurable"
)
DIGEST_OF = {
    "config.yaml": "config_file_digest",
    "summary.csv": "summary_digest",
    "deviations.parquet": "table_digest",
}


def summary_of(*, median=0.25):
    ends = "0.1,0.5"
    numbers = [(name, f"{number},{ends}") for name, number in (("age", median), ("dose", median / 2))]
    rows = [f"{name},{name},number,shuffle,,40,0,{sure},{sure},0.8,0.9,0.5,0.3,,True" for name, sure in numbers]
    return "\n".join([COLUMNS, *rows, ""])


def made_audit(
    client, uri, status="FINISHED", *, experiment=None, kind="audit", files=None, params=None, end=None, policy=None,
    verdict="pass", **tags,
):  # fmt: skip
    """Write the run of an audit that nobody made: all of it fits, but for what is given otherwise; return its id.

    A file or parameter that is given as None is left out. With a `policy` (a digest) there is a verdict by it.
    """
    content = {"config.yaml": CONFIG, "summary.csv": summary_of(), "deviations.parquet": "a table", **(files or {})}
    content = {name: text for name, text in content.items() if text is not None}
    told = {
        "model": uri, "model_digest": "1" * 64, "data_digest": "2" * 64, "config_digest": "3" * 64, "seed": "0",
        "rows": "40", "repeats": "1", "repeats_made": "1", "unit": "probability", "order_by": "mean",
        **{digest: hashlib.sha256(content[name].encode()).hexdigest() for name, digest in DIGEST_OF.items()
           if name in content},
        **(params or {}),
    }  # fmt: skip
    told = {name: value for name, value in told.items() if value is not None}
    if policy is not None:
        tags = {"nnperm.verdict": verdict, "nnperm.policy": policy, **tags}
    tags = {
        "nnperm.kind": kind,
        "nnperm.model": uri,
        **({"nnperm.whole": "true"} if status == "FINISHED" else {}),
        **tags,
    }
    experiment = experiment or client.get_experiment_by_name("tests").experiment_id
    run_id = client.create_run(experiment, tags=tags).info.run_id
    if policy is not None:
        text = json.dumps(_verdict(run_id, policy, verdict, told.get("summary_digest")))
        content |= {"verdict.json": text, f"verdicts/20260202T030000.500000Z-{policy[:12]}.json": text}
    client.log_batch(run_id, params=[Param(name, value) for name, value in told.items()])
    _write(client, run_id, content)
    client.set_terminated(run_id, status, end)
    return run_id


def copied_audit(client, run_id, *, files=None, params=None, end=None):
    """Write a run that differs from a real audit's in some files (None leaves one out) and parameters; return its id.

    Digests of summary, table and configuration fit the changed files; earlier verdicts (`verdicts/`) are not copied.
    """
    run = client.get_run(run_id)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(mlflow.artifacts.download_artifacts(run_id=run_id, dst_path=folder))
        content = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    content |= {name: text if text is None else text.encode() for name, text in (files or {}).items()}
    content = {name: held for name, held in content.items() if held is not None and not name.startswith("verdicts/")}
    there = {digest: content[name] for name, digest in DIGEST_OF.items() if name in content}
    digests = {digest: hashlib.sha256(held).hexdigest() for digest, held in there.items()}
    told = {**run.data.params, **digests, **(params or {})}
    copy = client.create_run(run.info.experiment_id, tags={**run.data.tags, "nnperm.whole": "true"}).info.run_id
    client.log_batch(copy, params=[Param(name, value) for name, value in told.items()])
    _write(client, copy, content)
    client.set_terminated(copy, "FINISHED", end)
    return copy


def _verdict(run_id, policy, verdict, summary_digest):
    return {
        "verdict": verdict, "in_words": f"{verdict}: made up", "mode": "enforce", "policy_digest": policy,
        "subject": {"run_id": run_id, "summary_digest": summary_digest}, "baselines": {}, "checks": [],
        "given_at": "2026-02-02T03:00:00Z", "given_by": "nobody",
    }  # fmt: skip


def _write(client, run_id, content):
    with tempfile.TemporaryDirectory() as folder:
        for name, held in content.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(held if isinstance(held, bytes) else held.encode())
        client.log_artifacts(run_id, folder)
