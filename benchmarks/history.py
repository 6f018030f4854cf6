"""Measure `nnperm history` over many versions and runs, by this code and by an earlier one, in turn.

    python -m benchmarks.history --versions 300 --runs 2000 --before ../earlier

The store is built once, with runs as audits leave them (made up, so that no model is run), behind a real server and a
proxy that counts what is asked of it. Each turn is a process of its own: ours with an empty cache, ours once more with
what it kept, and the earlier one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import mlflow

from tests.support.faults import Proxy
from tests.support.recorded import CONFIG, made_audit, summary_of
from tests.support.servers import running_server

NAME = "many"
ASKED = """
import json, time
import nnperm_mlflow
begun = time.monotonic()
told = nnperm_mlflow.history("many")
print(json.dumps({"seconds": time.monotonic() - begun, "events": len(told.events)}))
"""


def build(client: mlflow.MlflowClient, n_versions: int, n_runs: int) -> None:
    """Register versions, and give each its share of runs."""
    mlflow.set_experiment("tests")
    client.create_registered_model(NAME)
    for _ in range(n_versions):
        client.create_model_version(NAME, "s3://nowhere/at-all")
    for number in range(n_runs):
        files = {"summary.csv": summary_of(median=0.25 + number / 10**6), "config.yaml": f"{CONFIG}# {number}"}
        made_audit(client, f"models:/{NAME}/{number % n_versions + 1}", policy="1" * 64, files=files)


def ask(proxy: Proxy, code: Path, cache: Path) -> dict[str, float]:
    """Ask for the history by the code of a checkout; return what it took."""
    proxy.fail()
    environment = {
        **os.environ,
        "PYTHONPATH": str(code),
        "XDG_CACHE_HOME": str(cache),
        "MLFLOW_TRACKING_URI": proxy.address,
    }
    done = subprocess.run(
        [sys.executable, "-c", ASKED], env=environment, cwd=code, capture_output=True, text=True, check=True
    )
    return {**json.loads(done.stdout), "requests": len(proxy.seen)}


def main() -> None:
    """Build, measure in turn, and print a line for each turn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--versions", type=int, default=300)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--before", type=Path, help="a checkout of an earlier commit")
    asked = parser.parse_args()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    ours = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as address, Proxy(address) as proxy:
        mlflow.set_tracking_uri(address)
        build(mlflow.MlflowClient(), asked.versions, asked.runs)
        for pair in range(asked.pairs):
            empty = Path(folder, f"cache{pair}")
            turns = [("ours", ours, empty), ("ours, kept", ours, empty)]
            turns += [("before", asked.before.resolve(), empty)] if asked.before else []
            for name, code, cache in turns:
                print(name, json.dumps(ask(proxy, code, cache)), flush=True)


if __name__ == "__main__":
    main()
