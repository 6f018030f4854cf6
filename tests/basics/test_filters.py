"""Conditions for names in MLflow's filters, by what a real store finds with them."""

import pytest
from mlflow import MlflowClient

from nnperm_mlflow.basics.text import beginning_with, named
from nnperm_mlflow.registry.audits import find_runs

KEY = "tags.`what`"
NAMES = [
    "credit", "it's", "'", "''", 'a "b"', "both '\"", "back\\slash", "ends in \\", "%", "a_b", "line\nbreak", "-- x",
    "x' OR tags.`what` = 'credit", "ü ✓", "models:/a b/1", "`", "(1)", "/* */", ";"
]  # fmt: skip


@pytest.fixture(scope="module")
def experiment(store):
    """The name of an experiment with a run for each name, of which the run's tag is the name."""
    client = MlflowClient(store)
    made = client.create_experiment("runs with odd tags")
    for name in [*NAMES, "credits", "Credit"]:
        client.create_run(made, tags={"what": name})
    return "runs with odd tags"


def found(client, condition, experiment):
    return {run.data.tags["what"] for run in find_runs(client, condition, experiment, finished=False)}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_found_whatever_its_letters_and_wherever_it_stands(tracked, experiment, name):
    other = f"{named(KEY, name)} and {named('tags.`mlflow.user`', 'nobody')}"
    assert name in found(tracked, named(KEY, name), experiment)
    assert found(tracked, other, experiment) == set()
    assert name in found(tracked, f"{named(KEY, name)} and {beginning_with(KEY, name[:1])}", experiment)


@pytest.mark.parametrize("name", ["credit", "it's", "ends in \\", "-- x", "models:/a b/1"])
def test_no_name_opens_the_filter_to_all_others(tracked, experiment, name):
    assert found(tracked, named(KEY, name), experiment) == {name}


def test_what_begins_alike_is_found(tracked, experiment):
    assert found(tracked, beginning_with(KEY, "credit"), experiment) == {"credit", "credits"}
    assert found(tracked, beginning_with(KEY, "x' OR"), experiment) == {"x' OR tags.`what` = 'credit"}
