"""Against a server that asks who somebody is: an editor moves an alias past `promote`, and who may know of whom."""

import random
from contextlib import contextmanager

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.server.auth.client import AuthServiceClient

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.promotion import alias_guard
from tests.support.guarded_models import ServedModel
from tests.support.servers import guarded, running_server
from tests.support.simulations import in_full

pytestmark = pytest.mark.slow

KEEPER, EDITOR, GUARD, ANNA = "keeper", "editor", "guard", "anna"
MOVES = in_full(100, 20)


def password_of(name):
    return f"a-long-password-of-{name}"


@contextmanager
def acting_as(name):
    """Speak to the server as somebody, within the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_USERNAME", name)
        patch.setenv("MLFLOW_TRACKING_PASSWORD", password_of(name))
        yield


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address of a server where everybody may read, and EDIT of the model is the editor's and the guard's."""
    folder = tmp_path_factory.mktemp("guarded")
    with running_server(folder, **guarded(folder, KEEPER, password_of(KEEPER))) as address:
        mlflow.set_tracking_uri(address)
        with acting_as(KEEPER):
            for name in (EDITOR, GUARD, ANNA):
                AuthServiceClient(address).create_user(name, password_of(name))
        yield address


@pytest.fixture
def model(server, tmp_path, request):
    """A model whose version 1 was promoted."""
    mlflow.set_tracking_uri(server)
    name_of_model = request.node.name
    with acting_as(KEEPER):
        made = ServedModel(mlflow.MlflowClient(), name_of_model, tmp_path)
        for name in (EDITOR, GUARD):
            AuthServiceClient(server).grant_user_permission(name, "registered_model", name_of_model, "EDIT")
        made.promote("1")
    return made


def test_moves_past_promote_are_reported_and_moved_back_where_asked_and_nothing_else_is_undone(model, monkeypatch):
    """Every other time it is only reported; the limit of an hour, for which a clock would have to be set, is lifted."""
    monkeypatch.setattr(alias_guard, "MOST_MOVES", MOVES)
    rng = random.Random(7)
    honest = {MOVES // 4: promotes, MOVES // 2: rolls_back, 3 * MOVES // 4: moves_in_an_emergency}
    champion, held, moved_back = "1", "1", 0
    for number in range(MOVES):
        if number in honest:
            expected = honest[number](model)
            with acting_as(GUARD):
                found = model.look(move_back=True)
            assert (found.state, found.holder, found.moved_back) == (*expected, False)
            champion, held = found.promoted, found.holder
        asks = number % 2 == 0
        elsewhere = rng.choice([each for each in ("3", "4", None) if each != held])
        with acting_as(EDITOR if elsewhere else KEEPER):  # MLflow lets nobody with EDIT alone delete an alias
            model.move(elsewhere)
        with acting_as(GUARD):
            found = model.look(move_back=asks)
            assert (found.state, found.holder, found.moved_back) == ("moved", elsewhere, asks)
            held = model.champion()
        assert held == (champion if asks else elsewhere)
        moved_back += found.moved_back
    assert (moved_back, champion) == (MOVES // 2, "2")


def promotes(model):
    with acting_as(KEEPER):
        model.promote("2")
    return "kept", "2"


def rolls_back(model):
    with acting_as(EDITOR):
        model.move("1")
    return "rolled back", "1"


def moves_in_an_emergency(model):
    with acting_as(KEEPER):
        model.promote("2", by="anna", emergency="version 1 leaks memory")
    return "kept", "2"


def test_a_guard_without_the_right_to_edit_reports_and_says_what_it_needs(server, model, caplog):
    with acting_as(EDITOR):
        model.move("3")
    with acting_as(ANNA):
        with pytest.raises(ConfigError, match="promotion 1 gave it to 1; moving it back needs EDIT on the model"):
            model.look(move_back=True)
        assert model.champion() == "3"
    assert "moved: version 3 has it, which no promotion gave it" in caplog.text


def test_the_server_tells_who_may_write_an_experiment_only_to_those_who_may_write_it_themselves(server):
    """Why no unsigned decision counts: a promoter cannot be told that one person alone may write there."""
    with acting_as(ANNA):
        experiment = mlflow.MlflowClient().create_experiment("anna decides")
    asked = {"resource_type": "experiment", "resource_id": experiment}
    writers = []
    for name in (KEEPER, EDITOR, GUARD, ANNA):
        answers = {
            of: requests.get(
                f"{server}/api/3.0/mlflow/users/permissions/get",
                params={"username": of, **asked},
                auth=(name, password_of(name)),
                timeout=20,
            ).status_code
            for of in (KEEPER, EDITOR, GUARD, ANNA)
        }
        told_of_others = [of for of, status in answers.items() if of != name and status == 200]
        with acting_as(name):
            writers += [name] if may_write(experiment) else []
        assert answers[name] == 200
        assert told_of_others == ([EDITOR, GUARD, ANNA] if name == KEEPER else [])
    assert writers == [KEEPER, ANNA]


def may_write(experiment):
    """Tell whether the server takes a run from whoever acts."""
    try:
        mlflow.MlflowClient().create_run(experiment)
    except MlflowException as error:
        if error.error_code != "PERMISSION_DENIED":
            raise
        return False
    return True
