"""Two configurations held against each other: whatever changes a number that is judged is named."""

import re

import pytest

from nnperm_mlflow.basics.errors import EvidenceError
from nnperm_mlflow.config.audit_config import AnalysisConfig, AuditConfig, parse_config
from nnperm_mlflow.promotion.trusted_config import refuse_other_configuration

OTHER = {
    "repeats": 2, "precision": 0.1, "max_repeats": 7, "seed": 1, "block_rows": 50, "rare_below": 0.01,
    "set": {"age": [1]}, "groups": {"both": ["age", "income"]}, "associated_above": 0.5, "windows": 2, "order": True,
    "within": ["region"], "exclude": ["age"], "kinds": {"age": "category"}, "output": 1, "decision": 0.7,
    "missing": "skip", "profile": ["age"], "interactions": "auto", "scores": ["accuracy"], "p_values": True,
    "segments": ["region"],
    "order_by": "median", "unit": "euro", "exact": False, "random": True, "predict": "predict_proba",
    "rows": 100, "max_rows": 50, "donors": "conditional", "out_of_data": True,
}  # fmt: skip
"""For each key of the analysis a value that is not its default."""

FREE = {"block_rows", "profile", "associated_above", "order_by"}
"""Keys on which nothing depends that is judged; of the last two only where nothing is found out by them."""


def config(**analysis):
    return AuditConfig.model_construct(analysis=AnalysisConfig.model_construct(**analysis))


def test_each_key_of_the_analysis_is_known_here():
    assert set(OTHER) == set(AnalysisConfig.model_fields)


@pytest.mark.parametrize("key", sorted(set(OTHER) - FREE))
def test_a_key_that_changes_what_is_judged_is_named(key):
    for trusted, used in ((config(), config(**{key: OTHER[key]})), (config(**{key: OTHER[key]}), config())):
        with pytest.raises(EvidenceError, match=rf"run 1 was not made as .* says, in 'analysis: {key}' \(expected "):
            refuse_other_configuration(trusted, used, "run 1")


@pytest.mark.parametrize("key", sorted(FREE))
def test_a_key_on_which_nothing_depends_may_differ(key):
    refuse_other_configuration(config(), config(**{key: OTHER[key]}), "run 1")


def test_what_is_found_out_by_a_key_makes_it_count():
    auto = {"repeats": "auto", "precision": 0.1}
    for more, key, value in ((auto, "order_by", "median"), ({"groups": "auto"}, "associated_above", 0.5)):
        with pytest.raises(EvidenceError, match=rf"'analysis: {key}'"):
            refuse_other_configuration(config(**more), config(**more, **{key: value}), "run 1")


def test_inputs_clusters_labels_of_scores_and_axes_count_and_places_of_files_do_not():
    asked = {
        "data": {
            "static": "here.csv",
            "cluster": "client",
            "label": "default",
            "temporal": {"history": {"file": "here.npy", "channels": ["a", "b"], "model_channel_axis": 1}},
        },
        "inputs": {"num_input": ["age", "income"]},
        "analysis": {"scores": ["roc_auc"]},
    }

    def changed(change):
        other = {**asked, "data": {**asked["data"], "temporal": {"history": {**asked["data"]["temporal"]["history"]}}}}
        change(other)
        return parse_config(other)

    def refused(change, key, expected, found):
        message = re.escape(f"'{key}' (expected {expected}, found {found})")
        with pytest.raises(EvidenceError, match=message):
            refuse_other_configuration(parse_config(asked), changed(change), "run 1")

    refused(
        lambda told: told.update(inputs={"num_input": ["income", "age"]}),
        "inputs: num_input", '["age", "income"]', '["income", "age"]',
    )  # fmt: skip
    refused(lambda told: told["data"].pop("cluster"), "data: cluster", '"client"', "nothing")
    refused(lambda told: told["data"].update(label="other"), "data: label", '"default"', '"other"')
    refused(
        lambda told: told["data"]["temporal"]["history"].pop("model_channel_axis"),
        "data: temporal: history: model_channel_axis", "1", "nothing",
    )  # fmt: skip
    moved = changed(lambda told: told["data"].update(static="s3://there/data.csv", row_id="client"))
    refuse_other_configuration(parse_config(asked), moved, "run 1")
    unlabelled = parse_config({**asked, "analysis": {}, "data": {**asked["data"], "label": "other"}})
    refuse_other_configuration(parse_config({**asked, "analysis": {}}), unlabelled, "run 1")


def test_of_many_keys_some_are_named_and_the_others_counted():
    with pytest.raises(EvidenceError, match=r"\) and \d+ more\. What"):
        refuse_other_configuration(config(), config(**OTHER), "run 1")
