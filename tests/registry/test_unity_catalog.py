"""The documented rules of Unity Catalog, enforced in front of a real store."""

import re
from types import SimpleNamespace

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact import models_artifact_repo
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking._model_registry import utils

from nnperm_mlflow import audit, compare, history
from nnperm_mlflow.approval.policy_check import check
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.promotion.alias_promotion import promote
from nnperm_mlflow.registry.version_tags import read_tags
from tests.support.empty_stores import empty_store
from tests.support.house import build_house

pytestmark = pytest.mark.slow

NAME = "main.risk.credit"
KEPT = {"format": 2, "name": "credit-risk", "checks": [{"feature": "region", "max": 0.9}]}
MISSED = {"format": 2, "name": "strict", "checks": [{"feature": "age", "max": 1e-6}]}


def refuse_unless(holds, what):
    if not holds:
        raise MlflowException(f"INVALID_PARAMETER_VALUE: {what}")


class StrictStore(SqlAlchemyStore):
    """A registry by Unity Catalog's rules: names of three levels, keys without `.,-=/:`, searches by one condition."""

    def create_registered_model(self, name, *given, **more):
        refuse_unless(name.count(".") == 2, "a name has three levels")
        return super().create_registered_model(name, *given, **more)

    def set_model_version_tag(self, name, version, tag):
        refuse_unless(not re.search(r"[.,\-=/:]", tag.key) and tag.key == tag.key.strip(), "the key of a tag")
        refuse_unless(len(tag.value) <= 1000, "the value of a tag")
        super().set_model_version_tag(name, version, tag)

    def search_model_versions(self, filter_string=None, max_results=100, order_by=None, page_token=None):
        one = re.fullmatch(r"(name|run_id) ?= ?'[^']*'", filter_string or "")
        refuse_unless(one and order_by is None and max_results <= 100, "a search")
        return super().search_model_versions(filter_string, max_results, order_by, page_token)

    def search_registered_models(self, filter_string=None, max_results=100, order_by=None, page_token=None):
        refuse_unless(filter_string is None and order_by is None, "a search")
        return super().search_registered_models(filter_string, max_results, order_by, page_token)


@pytest.fixture(scope="module")
def catalog(store, tmp_path_factory):
    """Two versions of a model in such a registry, the second audited with a pass."""
    folder = tmp_path_factory.mktemp("catalog")
    with pytest.MonkeyPatch.context() as patch:
        registry, uri = utils._get_store_registry(), empty_store(folder / "registry.db")
        patch.setitem(registry._registry, "uc", lambda **_: StrictStore(uri))
        patch.setattr(models_artifact_repo, "is_oss_unity_catalog_uri", lambda uri: False)  # whose files lie elsewhere
        mlflow.set_tracking_uri(store)
        patch.setenv("MLFLOW_REGISTRY_URI", "")  # which MLflow sets, too, and leaves as it is
        mlflow.set_registry_uri(f"uc:{folder}")
        house = build_house(folder, NAME)
        for _ in range(2):
            with mlflow.start_run(experiment_id=mlflow.get_experiment_by_name("tests").experiment_id):
                logged = register_in_catalog(house)
        results = [audit({**house.settings(), **KEPT}, model_uri=f"models:/{NAME}/{version}") for version in (1, 2)]
        yield SimpleNamespace(house=house, results=results, logged=logged)
        mlflow.set_registry_uri(None)


def register_in_catalog(house):
    from mlflow.models import infer_signature

    signature = infer_signature(house.inputs, house.network(house.inputs, training=False).numpy())
    return mlflow.tensorflow.log_model(
        house.network, name="risk", signature=signature, pip_requirements=["keras"], registered_model_name=NAME
    )


def tags_of(version):
    return mlflow.MlflowClient().get_model_version(NAME, version).tags


def test_an_audit_its_verdict_and_its_promotion_stand_on_the_version_under_keys_that_are_taken(catalog):
    assert [result.not_linked for result in catalog.results] == [[], []]
    tags = tags_of("2")
    assert tags["nnperm_verdict"] == tags["nnperm_verdict_credit_risk"] == "pass"
    assert tags["nnperm_run_id"] == catalog.results[1].run_id
    assert not any("." in key for key in tags)
    assert promote(f"models:/{NAME}/2", "champion", policy=Policy.model_validate(KEPT)).verdict == "pass"
    assert "nnperm_promoted_champion" in tags_of("2")
    assert [event.kind for event in history(NAME).events] == ["audit", "verdict"] * 2 + ["promotion"]
    assert history(NAME).aliases == {"champion": "2"}
    assert compare(f"models:/{NAME}/1", f"models:/{NAME}@champion").names == (f"{NAME} 1", f"{NAME} 2")


def test_a_fail_under_another_policy_stays_beside_a_pass_under_this_one(catalog):
    check(f"models:/{NAME}/1", policy=Policy.model_validate(MISSED))
    check(f"models:/{NAME}/1", policy=Policy.model_validate(KEPT))
    tags = read_tags(tags_of("1"))
    assert (tags["nnperm.verdict.strict"], tags["nnperm.verdict.credit_risk"]) == ("fail", "pass")
    assert tags["nnperm.verdict"] == "fail"


def test_tags_that_came_from_another_registry_are_read_and_not_doubled(catalog):
    client = mlflow.MlflowClient()
    plain = SqlAlchemyStore(utils._get_store_registry().get_store(mlflow.get_registry_uri()).db_uri)
    plain.set_model_version_tag(NAME, "1", mlflow.entities.model_registry.ModelVersionTag("nnperm.verdict", "pass"))
    check(f"models:/{NAME}/1", policy=Policy.model_validate(KEPT))
    assert [key for key in client.get_model_version(NAME, "1").tags if key.endswith("verdict")] == ["nnperm_verdict"]


def test_a_logged_model_is_audited_without_a_search_that_the_registry_refuses(catalog):
    assert audit(catalog.house.settings(), model_uri=f"models:/{catalog.logged.model_id}").run_id
