"""Small models of trees, each logged once."""

import pytest

from tests.support.trees import MODELS, clients, numbers, saved


@pytest.fixture(scope="session", params=MODELS)
def logged(request, tmp_path_factory):
    """The directory of a model, what it was fitted to, and the model."""
    flavour, make = MODELS[request.param]
    table, model = numbers(clients()[0]), make()
    return saved(flavour, model, tmp_path_factory.mktemp("trees") / "model", table), table, model
