"""The project's own files agree with each other."""

import re
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[1]


def requirements_of(section):
    """Requirements in a list of pyproject.toml; Python 3.10 has no reader of TOML."""
    text = (PROJECT / "pyproject.toml").read_text()
    body = re.search(rf"^{section} = \[\n(.*?)^\]$", text, re.DOTALL | re.MULTILINE).group(1)
    return {requirement.replace("'", '"') for requirement in re.findall(r'"(.*?)",?$', body, re.MULTILINE)}


def test_mlflow_run_has_the_requirements_of_the_package():
    (pip,) = [
        part["pip"]
        for part in yaml.safe_load((PROJECT / "conda.yaml").read_text())["dependencies"]
        if isinstance(part, dict)
    ]
    assert set(pip) == requirements_of("dependencies") | requirements_of("cpu")


def test_entry_points_leave_quoting_to_mlflow_and_give_every_path_a_default():
    """A second pair of quotes would undo MLflow's own; a missing `path` leaves a run going for ever."""
    points = yaml.safe_load((PROJECT / "MLproject").read_text())["entry_points"]
    for point in points.values():
        assert not re.search(r"[\"']\{", point["command"])
        assert set(re.findall(r"\{(\w+)\}", point["command"])) == set(point["parameters"])
        assert all(parameter["type"] == "string" for parameter in point["parameters"].values())


def test_the_shipped_configurations_are_read_strictly():
    from nnperm_mlflow.config.audit_config import load_config
    from nnperm_mlflow.config.policy import load_policy

    for path in (PROJECT / "configs").glob("*.yaml"):
        if path.stem.endswith("_policy"):
            assert load_policy(path).applies
        else:
            assert load_config(path).data.static.endswith(f"{path.stem.partition('_')[0]}.parquet")
