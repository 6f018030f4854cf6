"""Audits of registered PyTorch networks: from the version in the store to the run that tells of it."""

import mlflow
import numpy as np
import pytest

from nnperm_mlflow import audit
from tests.models.torch.test_loading import save_pickle, signature_of
from tests.support.torch_networks import Article, made, predicted, rows

DATA = {name: it for name, it in rows(300).items() if name in ("numbers", "codes", "history")}


def test_a_version_with_several_inputs_is_audited_without_trust(tracked):
    """Baselines and set values are the module's own to the last bit; the run says that no code of it ran."""
    with mlflow.start_run():
        logged = mlflow.pytorch.log_model(
            made(Article),
            name="network",
            input_example=tuple(DATA.values()),
            signature=signature_of(DATA),
            registered_model_name="article",
            pip_requirements=[],
        )
    version = f"models:/article/{logged.registered_model_version}"
    result = audit(version, data=DATA, config={"analysis": {"set": {"codes 2": [3]}}})
    table = result.table
    expected = predicted(made(Article), *DATA.values())[:, 0]
    assert np.array_equal(table["baseline"], expected)
    set_to = DATA["codes"].copy()
    set_to[:, 1] = 3
    moved = predicted(made(Article), DATA["numbers"], set_to, DATA["history"])[:, 0]
    assert np.array_equal(table["codes 2=3"], np.abs(moved - expected))
    assert result.unit == "probability"
    told = mlflow.get_run(result.run_id).data.params
    assert told["model_code"] == "none"
    assert told["torch"] == mlflow.pytorch.get_default_pip_requirements()[0].partition("==")[2]


@pytest.mark.slow
def test_a_trusted_pickle_is_audited_in_a_process_of_its_own(tracked, tmp_path):
    path = save_pickle(tmp_path / "model", made(Article), signature_of(DATA))
    result = audit(str(path), data=DATA, trust_model=True)
    assert np.array_equal(result.table["baseline"], predicted(made(Article), *DATA.values())[:, 0])
    assert mlflow.get_run(result.run_id).data.params["model_code"] == "isolated"
