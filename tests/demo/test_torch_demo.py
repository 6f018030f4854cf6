"""`nnperm demo --framework torch`: the same class of students, and a network of PyTorch."""

import mlflow
import pandas as pd
import pytest
from click.testing import CliRunner

from nnperm_mlflow.cli.main import main

pytestmark = pytest.mark.slow


def test_the_students_network_of_pytorch_rests_on_what_counts(tmp_path):
    """Registered as a graph, so that no trust is asked for; the truth about the class is that of the other demo."""
    command = ["demo", "students", "--framework", "torch", "--directory", str(tmp_path / "new")]
    result = CliRunner(env={"MLFLOW_TRACKING_URI": None}).invoke(main, command)
    assert result.exit_code == 0, result.output
    mean = pd.read_csv(tmp_path / "new" / "students-audit" / "summary.csv").set_index("perturbation")["mean"]
    assert mean.idxmax() == "cheater=1"
    assert min(mean["study_time"], mean["ease_in_maths"]) > 10 * mean["hair_colour"]
    assert "Cheaters always pass, but are rare" in result.stdout
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/new/mlflow.db")
    version = mlflow.MlflowClient().get_model_version("students", "1")
    told = mlflow.get_run(version.tags["nnperm.run_id"]).data.params
    assert (told["model_code"], told["model_trusted"]) == ("none", "False")


def test_the_credit_example_is_one_of_keras(tmp_path):
    command = ["demo", "credit", "--framework", "torch", "--csv", "any.csv", "--directory", str(tmp_path)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "'credit' is a network of Keras" in result.output
