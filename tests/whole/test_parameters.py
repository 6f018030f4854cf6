"""What `mlflow run -P name=value` is given arrives as it is: no letter of it means anything to a shell."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow.projects import _project_spec

from nnperm_mlflow.basics.text import printable

PROJECT = Path(__file__).parents[2]
NASTY = [
    "", " ", "it's", '"quoted"', "'quoted'", "$(touch {ran})", "`touch {ran}`", "; touch {ran} #", "a && touch {ran}",
    "| touch {ran}", "a\ntouch {ran}\n", "$HOME ${{PATH}} $$", "\\'; touch {ran} '", "*?[a-z]~", "--help", "-", "#",
    "&", "> {ran}", "!!", "a\\", "{{model_uri}}", "{ran}\t\N{SNOWMAN}", '"$(touch {ran})"', "'\"$(touch {ran})\"'",
]  # fmt: skip
"""Values; `{ran}` is a file that must not come to be."""


@pytest.fixture
def received(tmp_path):
    """Give a function that runs an entry point's command as MLflow does, and returns the arguments that arrive.

    The command is that which MLflow makes of MLproject, and `bash -c` what it hands it to; `python` is a stand-in that
    writes down what it was called with.
    """
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    python.chmod(0o700)
    project = _project_spec.load_project(str(PROJECT))

    def run(entry_point, **parameters):
        command = project.get_entry_point(entry_point).compute_command(parameters, None)
        environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", command], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("nasty", NASTY)
def test_every_parameter_of_every_entry_point_arrives_as_it_is(nasty, received, tmp_path):
    nasty = nasty.format(ran=tmp_path / "ran")
    project = _project_spec.load_project(str(PROJECT))
    for name, entry_point in project._entry_points.items():
        values = {parameter: f"{nasty}{number}" for number, parameter in enumerate(entry_point.parameters)}
        arguments = received(name, **values)
        assert sorted(set(values.values()) & set(arguments)) == sorted(values.values())
        others = [argument for argument in arguments if argument not in values.values()]
        assert others == received_words(entry_point)
        alone = received(name, **dict.fromkeys(values, nasty))
        assert alone.count(nasty) == len(values)
    assert not (tmp_path / "ran").exists()


def received_words(entry_point):
    """Return the words of a command that are no parameters."""
    return [word for word in entry_point.command.split()[1:] if not word.startswith("{")]


@pytest.mark.slow
def test_mlflow_run_tells_a_nasty_uri_as_it_was_given_and_runs_nothing_of_it(tracked, store, tmp_path):
    ran = tmp_path / "ran"
    uri = f"""models:/a'b"c/1; touch {ran} #$(touch {ran})`touch {ran}`\ntouch {ran}\n && touch {ran} \\'"""
    experiment = tracked.get_experiment_by_name("tests").experiment_id
    command = [
        sys.executable, "-m", "mlflow", "run", str(PROJECT), "--env-manager", "local", "--experiment-id", experiment,
        "-P", f"model_uri={uri}",
    ]  # fmt: skip
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store, "PATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    message = f"'{uri}' is no model URI; expected models:/name/3"
    assert printable(message) in done.stderr  # in a line
    run = mlflow.search_runs([experiment], max_results=1, output_format="list")[0]
    assert run.data.tags["nnperm.error"].startswith(message)
    assert run.info.status == "FAILED"
    assert not ran.exists()
