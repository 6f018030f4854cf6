"""The whole approval, from `log_model` to the alias, against a real `mlflow server`: the README's story as a test."""

import json

import keras
import mlflow
import pytest
from click.testing import CliRunner

from nnperm_mlflow.cli.main import main
from tests.support.house import build_house, register
from tests.support.servers import running_server

POLICY = """
checks:
  - {name: region decides little, feature: region, statistic: share, max: 0.4}
  - {name: flag has a say, feature: flag=1, min: 0.001}
"""
AGAINST_CHAMPION = """
  - {name: much like the champion, against: "models:/credit@champion", statistic: mean,
     min_rank_correlation: 0.7, max_shift: 0.1}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("approval")) as address:
        mlflow.set_tracking_uri(address)
        yield address


def nnperm(*arguments):
    """Run the command line; return its exit status and what it printed."""
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.output


def lean_on_the_region(network, factor):
    """Scale what the network makes of the region."""
    (layer,) = (layer for layer in network.layers if isinstance(layer, keras.layers.Embedding))
    layer.set_weights([weight * factor for weight in layer.get_weights()])


@pytest.mark.slow
def test_a_version_becomes_champion_only_on_evidence(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    client = mlflow.MlflowClient()

    def champion():
        return str(client.get_model_version_by_alias("credit", "champion").version)

    # A data scientist registers a network. The risk officer has a policy.
    house = build_house(tmp_path, "credit")
    config, policy = str(house.config), tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    first = register(house, experiment="credit")

    # Version 1 is audited, passes, and becomes champion.
    status, _ = nnperm("audit", "--model-uri", f"models:/credit/{first}", "--config", config, "--policy", str(policy))
    assert status == 0
    assert nnperm("promote", f"models:/credit/{first}", "--alias", "champion", "--policy", str(policy))[0] == 0
    assert champion() == "1"

    # From now on a version must also be much like the champion. Version 2 leans on the region: it fails, and stays out,
    # whatever its tags say.
    policy.write_text(POLICY + AGAINST_CHAMPION)
    lean_on_the_region(house.network, 150)
    second = register(house, experiment="credit")
    status, said = nnperm("audit", "--model-uri", "models:/credit/2", "--config", config, "--policy", str(policy))
    assert status == 1, said
    assert "NOT KEPT  region decides little" in said
    assert "NOT KEPT  much like the champion" in said
    client.set_model_version_tag("credit", second, "nnperm.verdict", "pass")
    status, said = nnperm("promote", "models:/credit/2", "--alias", "champion", "--policy", str(policy))
    assert status == 1, said
    assert "refused: models:/credit/2 does not become 'champion': fail: " in said
    assert champion() == "1"

    # Version 3 is mended, passes, is compared with the champion, and takes its place.
    lean_on_the_region(house.network, 1.05 / 150)
    register(house, experiment="credit")
    status, said = nnperm("audit", "--model-uri", "models:/credit/3", "--config", config, "--policy", str(policy))
    assert status == 0, said
    status, said = nnperm("compare", "models:/credit@champion", "models:/credit/3")
    assert status == 0, said
    status, said = nnperm("promote", "models:/credit/3", "--alias", "champion", "--policy", str(policy))
    assert status == 0, said
    assert champion() == "3"

    # What happened is on record: in tags that anybody can search, and in a history that nothing overwrites.
    passing = client.search_model_versions("name='credit' and tags.`nnperm.verdict`='pass'")
    assert {"1", "3"} <= {str(version.version) for version in passing}
    status, said = nnperm("history", "models:/credit", "--json")
    assert status == 0, said
    told = [(event["kind"], event["version"], event["verdict"]) for event in json.loads(said)]
    assert [event for event in told if event[0] == "verdict"] == [
        ("verdict", "1", "pass"), ("verdict", "2", "fail"), ("verdict", "3", "pass"),
    ]  # fmt: skip
    assert [event[1] for event in told if event[0] == "promotion"] == ["1", "3"]
