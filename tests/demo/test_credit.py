"""The audit of a network trained on 30,000 real clients, against a plain loop written the article's way."""

import shlex

import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from nnperm_mlflow.analysis.perturbation.donors import donor_positions, shuffle_blocks
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.demo.credit import CHANNELS, CODES, NUMBERS, network_inputs

pytestmark = pytest.mark.slow

SEED = 0  # of configs/credit.yaml


@pytest.fixture(scope="module")
def demo(uci_csv, tmp_path_factory):
    """Folder and tracking store of `nnperm demo credit`."""
    folder = tmp_path_factory.mktemp("credit")
    alone = CliRunner(env={"MLFLOW_TRACKING_URI": None})
    result = alone.invoke(main, ["demo", "credit", "--csv", str(uci_csv), "--directory", str(folder)])
    assert result.exit_code == 0, result.output
    return folder, result.output


@pytest.fixture(scope="module")
def deviations(demo):
    return pd.read_parquet(demo[0] / "credit-audit" / "deviations.parquet")


@pytest.fixture(scope="module")
def network(demo):
    mlflow.set_tracking_uri(f"sqlite:///{demo[0]}/mlflow.db")
    return mlflow.tensorflow.load_model("models:/credit/1")


@pytest.fixture(scope="module")
def clients(demo):
    return pd.read_parquet(demo[0] / "credit.parquet")


def shuffled(inputs, feature, clients):
    """The inputs with one feature shuffled, by the same donors as the audit's but by other code."""
    (block,) = shuffle_blocks(len(clients), SEED)
    donors = donor_positions(block, SEED, feature, 0)
    changed = {name: array.copy() for name, array in inputs.items()}
    if feature in CHANNELS:
        channel = list(CHANNELS).index(feature)
        changed["temporal_input"][:, :, channel] = np.take(inputs["temporal_input"][:, :, channel], donors, axis=0)
    elif feature in CODES:
        changed[f"{feature}_input"] = clients[[feature]].to_numpy()[donors]
    else:
        changed["num_input"][:, NUMBERS.index(feature)] = clients[feature].to_numpy()[donors]
    return changed


def test_a_plain_loop_the_article_s_way_gives_the_same_deviations(network, clients, deviations):
    inputs = network_inputs(clients)
    original = network.predict(inputs, batch_size=3000, verbose=0).squeeze()
    for feature in [*NUMBERS, *CODES, *CHANNELS]:
        perturbed = network.predict(shuffled(inputs, feature, clients), batch_size=3000, verbose=0).squeeze()
        expected = np.abs(original - perturbed)
        assert expected.max() > 0.001
        assert np.abs(deviations[feature] - expected).max() < 1e-6, feature


def test_setting_a_value_is_what_it_says(network, clients, deviations):
    inputs = network_inputs(clients)
    original = network.predict(inputs, batch_size=3000, verbose=0).squeeze()
    changed = {**inputs, "SEX_input": np.full_like(inputs["SEX_input"], 2)}
    expected = np.abs(original - network.predict(changed, batch_size=3000, verbose=0).squeeze())
    assert np.abs(deviations["SEX=2"] - expected).max() < 1e-6
    assert (deviations["SEX=2"][clients["SEX"] == 2] == 0).all()


def test_the_repayment_status_counts_most(demo):
    summary = pd.read_csv(demo[0] / "credit-audit" / "summary.csv")
    assert summary["perturbation"][0] == "PAY"
    assert summary["median"][0] > 1.5 * summary["median"][1]


def test_every_client_is_in_the_table_by_name(clients, deviations):
    assert list(deviations["row_id"]) == list(clients["ID"])
    assert len(deviations) == 10_000


def test_rare_codes_are_set_for_everybody(clients, deviations):
    for feature in ("EDUCATION", "MARRIAGE", "SEX"):
        shares = clients[feature].value_counts(normalize=True)
        rare = {f"{feature}={code}" for code, share in shares.items() if share < 0.05}
        asked = {"SEX=1", "SEX=2"} if feature == "SEX" else set()
        assert {name for name in deviations.columns if name.startswith(f"{feature}=")} == rare | asked


def test_the_command_that_the_demo_names_repeats_it(demo, deviations):
    folder, output = demo
    command = next(line for line in output.splitlines() if line.startswith("again: "))
    arguments = shlex.split(command)[2:]
    again = CliRunner().invoke(main, [*arguments, "--output", str(folder / "again")])
    assert again.exit_code == 0, again.output
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "again" / "deviations.parquet"), deviations)


def test_another_file_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("ID,AGE\n1,30\n")
    result = CliRunner().invoke(
        main, ["demo", "credit", "--csv", str(tmp_path / "other.csv"), "--directory", str(tmp_path)]
    )
    assert result.exit_code == 2
    assert "lacks the columns 'LIMIT_BAL'" in result.stderr
