"""Limits that no model can miss: refused where they are read, and told of in policies of the first format."""

import logging
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import get_scorer, get_scorer_names

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.config.audit_config import parse_config
from nnperm_mlflow.config.number_ranges import score_range
from nnperm_mlflow.config.policy import load_policy
from nnperm_mlflow.config.policy_upgrade import upgrade_policy
from nnperm_mlflow.verdict.audit_evidence import Evidence
from nnperm_mlflow.verdict.judgement import judge
from nnperm_mlflow.verdict.verdict import Subject

VACUOUS = [
    ("{any: true, statistic: share, max: 1}", "{any: true, statistic: share, max: 0.99}",
     "'share' lies between 0 and 1"),
    ("{any: true, statistic: flipped_share, max: 1}", "{any: true, statistic: flipped_share, max: 0.9}",
     "'flipped_share' lies between 0 and 1"),
    ("{any: true, min: 0}", "{any: true, min: 0.001}", "'mean' is never below 0"),
    ("{any: true, statistic: changed_median, min: -1}", "{any: true, statistic: changed_median, max: 0}",
     "never below 0"),
    ("{any: true, statistic: roc_auc_p, min: 0}", "{any: true, statistic: roc_auc_p, min: 0.05}", "between 0 and 1"),
    ("{any: true, statistic: accuracy_drop, max: 1}", "{any: true, statistic: accuracy_drop, max: 0.5}", "-1 and 1"),
    ("{any: true, statistic: r2_drop, max: .inf}", "{any: true, statistic: r2_drop, max: 99}", "finite"),
    ("{feature: a, rank_at_least: 1}", "{feature: a, rank_at_least: 2}", "every place is at least 1"),
    ("{against: 'models:/a/1', min_rank_correlation: -1}", "{against: 'models:/a/1', min_rank_correlation: -0.9}",
     "rank"),
    ("{score: roc_auc, min: 0}", "{score: roc_auc, min: 0.5}", "'roc_auc' lies between 0 and 1"),
    ("{score: r2, max: 1}", "{score: r2, min: -3}", "'r2' is never above 1"),
    ("{score: neg_log_loss, max: 0}", "{score: neg_log_loss, min: 0}", "'neg_log_loss' is never above 0"),
    ("{score: roc_auc, against: 'models:/a/1', max_drop: 1}", "{score: r2, against: 'models:/a/1', max_drop: 1}",
     "a drop"),
    ("{segment: any, any: true, min: 0}", "{segment: any, any: true, statistic: shift, min: 0}",
     "'mean' is never below 0"),
    ("{segment: any, score: roc_auc, max: 1}", "{segment: any, score: roc_auc, min: 0.5}", "'roc_auc' lies between"),
    ("{segment: SEX, score: accuracy, max_difference: 1}", "{segment: SEX, score: accuracy, max_difference: 0.1}",
     "a difference of accuracy lies between -1 and 1"),
]  # fmt: skip


def written(folder, check, more="format: 2\n"):
    path = folder / "policy.yaml"
    path.write_text(f"{more}checks: [{check}]\n")
    return path


@pytest.mark.parametrize(("vacuous", "other", "words"), VACUOUS, ids=[vacuous for vacuous, *_ in VACUOUS])
def test_a_limit_that_no_model_can_miss_is_refused_and_one_beside_it_is_read(vacuous, other, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        load_policy(written(tmp_path, vacuous))
    assert len(load_policy(written(tmp_path, other)).checks) == 1


def test_a_configuration_is_refused_likewise_and_the_message_names_each_check():
    checks = [{"any": True, "statistic": "share", "max": 1}, {"name": "worst", "feature": "a", "rank_at_least": 1}]
    with pytest.raises(ConfigError, match=r"'share of any feature is at most 1' cannot fail, since .*; 'worst' cannot"):
        parse_config({"format": 2, "checks": checks})
    assert len(parse_config({"checks": checks}).policy.checks) == 2


def test_a_policy_of_the_first_format_keeps_its_meaning_and_is_told_of(tmp_path, caplog):
    policy = load_policy(written(tmp_path, "{feature: a, statistic: mean, min: 0}", more=""))
    row = {"perturbation": "a", "feature": "a", "kind": "number", "way": "shuffle", "rows": 400, "skipped": 0}
    summary = pd.DataFrame([{**row, "mean": 0.1, "mean_low": 0.05, "mean_high": 0.2, "changed_share": 1.0}])
    digests = {f"{what}_digest": what for what in ("model", "data", "config", "table", "summary")}
    subject = Subject("models:/credit/4", "run1", "7", **digests, rows=400, repeats=1, seed=0)
    with caplog.at_level(logging.WARNING):
        assert judge(policy, Evidence(subject, summary)).status == "pass"
    assert "check 'mean of a is at least 0' cannot fail, since 'mean' is never below 0" in caplog.text


def test_a_check_that_cannot_fail_is_not_written_in_the_present_format(tmp_path):
    path = written(tmp_path, "{any: true, statistic: share, max: 1}", more="")
    with pytest.raises(ConfigError, match="'share of any feature is at most 1' cannot fail"):
        upgrade_policy(path)


@pytest.mark.parametrize("name", [name for name in get_scorer_names() if not name.endswith("_samples")])
def test_what_a_score_can_be_is_what_scikit_learn_gives(name):
    """For right predictions, for those of the contrary, and by chance. Scores of samples take several labels a row."""
    low, high = score_range(name)
    assert (low, high) != (-np.inf, np.inf)
    rng, found = np.random.default_rng(0), []
    inputs = np.linspace(-1, 1, 60)[:, None]
    is_number = name.startswith(("neg_", "r2", "explained", "d2_"))
    for truth in (inputs[:, 0], -inputs[:, 0], rng.normal(size=60)):
        for model in (
            LinearRegression().fit(inputs, inputs[:, 0] + 2),
            LogisticRegression().fit(inputs, inputs[:, 0] > 0),
        ):
            target = truth + 2 if is_number and isinstance(model, LinearRegression) else (truth > 0).astype(int)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    found.append(float(get_scorer(name)(model, inputs, target)))
                except (ValueError, AttributeError, TypeError):
                    continue
    assert found, name
    defined = [value for value in found if np.isfinite(value)]
    assert low - 1e-9 <= min(defined) <= max(defined) <= high + 1e-9


def test_what_depends_on_the_audit_is_left_to_it():
    config = parse_config({"format": 2, "checks": [{"feature": "a", "rank_at_most": 50}, {"unused_at_most": 50}]})
    assert [check.why_vacuous for check in config.checks] == [None, None]
