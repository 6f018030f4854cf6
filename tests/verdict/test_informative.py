"""A check that cannot fail is an error, whatever the model does: shown on models that break the policy's intent."""

import re

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.difference.table_comparison import compare_tables
from nnperm_mlflow.analysis.engine.decisions import Decision
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.repeats.score_columns import with_scores
from nnperm_mlflow.analysis.scores.scorers import choose_scorers
from nnperm_mlflow.basics.errors import CheckError
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.verdict.audit_evidence import Baseline, Evidence
from nnperm_mlflow.verdict.judgement import judge
from nnperm_mlflow.verdict.verdict import Subject
from tests.support.plain import PlainPredictor, bound

N = 2_000
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame({"AGE": RNG.normal(size=N), "SEX": (RNG.uniform(size=N) < 0.3) + 1})
MODEL = "models:/credit/4"
DIGESTS = {f"{what}_digest": what for what in ("model", "data", "config", "table", "summary")}


def by_sex(inputs):
    """Decides by SEX, and moves a little with AGE."""
    return 0.05 + 0.9 * (inputs["SEX_input"][:, 0] == 2) + 0.001 * inputs["num_input"][:, 0]


def audited(folder, table=TABLE, function=by_sex, threshold=0.5, name="t", **analysis):
    """Return the summary of an audit of a plain function, and its table."""
    specs, inputs = bound(table, numbers=["AGE"], codes=["SEX"])
    plan = plan_perturbations(inputs, MODEL, AnalysisConfig(**{"rare_below": 0, **analysis}))
    decision = Decision((0,), threshold)
    job = Job(PlainPredictor(specs, function), inputs, plan, choose_measure(None, 1, ()), MODEL, decision=decision)
    path = folder / f"{name}.parquet"
    summary = find(
        job, 1_000, path, lambda *_: None, record={"seed": 0, "within": analysis.get("within", []), "data_digest": "d"}
    ).summary
    return summary.assign(measurable=summary["max"] > 0), path


def verdict(summary, *checks, baselines=None, rows=N, repeats=1):
    subject = Subject(MODEL, "run1", "7", **DIGESTS, rows=rows, repeats=repeats, seed=0)
    return judge(Policy.model_validate({"checks": list(checks)}), Evidence(subject, summary, baselines or {}))


@pytest.mark.parametrize(
    "check",
    [
        {"feature": "SEX", "max": 0.02},
        {"feature": "SEX", "rank_at_least": 2},
        {"any": True, "max": 0.02},
        {"feature": "SEX", "statistic": "q25", "max": 0.02},
    ],
    ids=str,
)
def test_a_quantile_that_is_zero_whatever_the_model_does_is_no_pass(check, tmp_path):
    """A shuffle leaves 58 % of a column with 30 % of twos as it is, so its median is 0 where SEX decides everything."""
    summary, _ = audited(tmp_path)
    assert summary.set_index("perturbation")["median"]["SEX"] == 0
    with pytest.raises(CheckError, match="is 0 whatever the model does with it. Ask for 'statistic: mean'"):
        verdict(summary, check)
    statistic = {"statistic": "mean"}
    assert verdict(summary, {**check, **statistic}).status == "fail"


def test_a_quantile_that_so_few_changed_rows_could_still_move_is_answered(tmp_path):
    """Two in five rows change: the 75 % quantile shows what the median hides."""
    summary, _ = audited(tmp_path)
    assert verdict(summary, {"feature": "SEX", "statistic": "q75", "max": 0.02}).status == "fail"
    assert verdict(summary, {"feature": "AGE", "max": 0.02}).status == "pass"


def test_a_version_that_differs_where_medians_are_blind_does_not_pass_by_its_medians(tmp_path):
    summary, table = audited(tmp_path)
    before, before_table = audited(tmp_path, function=lambda inputs: 0.001 * inputs["num_input"][:, 0], name="before")
    for statistic in ("median", "mean"):
        comparison = compare_tables(before_table, table, before, summary, statistic=statistic)
        baselines = {"models:/credit@champion": Baseline("models:/credit/3", "run0", {statistic: comparison})}
        check = {"against": "models:/credit@champion", "max_shift": 0.05, "statistic": statistic}
        if statistic == "median":
            with pytest.raises(CheckError, match="most rows kept their values of 'SEX', so that its median is 0"):
                verdict(summary, check, baselines=baselines)
        else:
            assert verdict(summary, check, baselines=baselines).status == "fail"


@pytest.mark.parametrize(
    "check",
    [
        {"feature": "SEX", "statistic": statistic, "max": 0.02}
        for statistic in ("median", "mean", "q95", "share", "flipped_share")
    ]
    + [{"feature": "SEX", "rank_at_least": 2, "statistic": "mean"}, {"any": True, "statistic": "mean", "max": 0.5}],
    ids=str,
)
def test_what_did_not_vary_was_not_tested(check, tmp_path):
    """Audit data with one SEX only: nothing moves, and that says nothing of the model."""
    summary, _ = audited(tmp_path, TABLE.assign(SEX=1))
    with pytest.raises(CheckError, match=re.escape("'SEX' changed no value in any row, so that it was not tested")):
        verdict(summary, check)


def test_a_column_with_one_value_that_is_set_to_all_of_its_values_was_not_tested(tmp_path):
    summary, _ = audited(tmp_path, TABLE.assign(SEX=1), set={"SEX": "all"})
    with pytest.raises(CheckError, match="'SEX=1' changed no value in any row"):
        verdict(summary, {"feature": "SEX=1", "statistic": "mean", "max": 0.02})


def test_features_that_were_not_tested_are_not_called_unused_nor_used(tmp_path):
    summary, _ = audited(tmp_path, TABLE.assign(SEX=1))
    with pytest.raises(CheckError, match="nobody can tell whether the model uses them"):
        verdict(summary, {"unused_at_most": 0})
    assert verdict(summary, {"unused_at_most": 1}).status == "pass"


def test_a_feature_that_was_not_tested_may_come_before_all_others(tmp_path):
    """SEX decides, and the data have one SEX: that AGE comes first is not known."""
    summary, _ = audited(tmp_path, TABLE.assign(SEX=1))
    with pytest.raises(CheckError, match="'SEX' changed no value in any row, so that nobody can tell whether it moves"):
        verdict(summary, {"feature": "AGE", "rank_at_most": 1, "statistic": "mean"})
    assert verdict(summary, {"feature": "AGE", "rank_at_least": 2, "statistic": "mean"}).status == "fail"


def test_where_no_decision_can_flip_no_flip_is_no_pass(tmp_path):
    """The largest prediction is 0.38 and the threshold 0.5: disturbed or not, every row is decided alike."""
    summary, _ = audited(tmp_path, function=lambda inputs: 0.4 * by_sex(inputs))
    check = {"feature": "AGE", "statistic": "flipped_share", "max": 0.02}
    with pytest.raises(CheckError, match="the model decides alike on all rows, 'AGE' disturbed or not"):
        verdict(summary, check)
    summary, _ = audited(tmp_path, function=lambda inputs: 0.4 * by_sex(inputs), threshold=0.2)
    assert verdict(summary, check).status == "pass"


def test_where_no_decision_can_change_no_drop_of_a_score_of_decisions_is_no_pass(tmp_path):
    """SEX moves predictions from 0.02 to 0.38: accuracy at 0.5 cannot drop, whatever the labels say."""
    summary, _ = audited(tmp_path, function=lambda inputs: 0.4 * by_sex(inputs))
    dropped = summary.assign(accuracy_drop=0.0, accuracy_drop_error=0.0)
    check = {"feature": "SEX", "statistic": "accuracy_drop", "max": 0.001}
    with pytest.raises(CheckError, match="predictions move with 'SEX', but accuracy_drop and its error are 0"):
        verdict(dropped, check)
    assert verdict(dropped.assign(max=0.0), check).status == "pass"
    assert verdict(dropped.assign(accuracy_drop_error=0.01), {**check, "max": 0.1}).status == "pass"


@pytest.mark.parametrize("n_rows", [2, 29])
def test_a_handful_of_rows_passes_nothing(n_rows, tmp_path):
    """Two rows with SEX 1 have intervals of width 0, which look as sure as anything."""
    summary, _ = audited(tmp_path, TABLE.head(n_rows))
    assert summary["mean_low"].isna().all()
    with pytest.raises(CheckError, match=f"the audit is of {n_rows} rows: nothing is sure below 30"):
        verdict(summary, {"feature": "AGE", "statistic": "mean", "max": 0.9}, rows=n_rows)
    summary, _ = audited(tmp_path, TABLE.head(30))
    assert verdict(summary, {"feature": "AGE", "statistic": "mean", "max": 0.9}, rows=30).status == "pass"


def with_p_values(repeats, p, q):
    """Return a summary that tells of a drop in score and how likely chance alone is to cause it."""
    names = ["AGE", "SEX"]
    return pd.DataFrame(
        {
            "perturbation": names, "feature": names, "kind": "number", "way": "shuffle", "value": "", "skipped": 0,
            "rows": N * repeats, "changed_share": 1.0, "decisions_vary": True, "roc_auc_drop": [0.2, 0.0],
            "roc_auc_p": p, "roc_auc_q": q,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ({"statistic": "roc_auc_p", "min": 0.05}, r"no p-value is below 0.5, .* Audit with 'analysis: {repeats: 19}'"),
        ({"statistic": "roc_auc_p", "max": 0.01}, r"Audit with 'analysis: {repeats: 99}'"),
        ({"statistic": "roc_auc_q", "max": 0.05}, r"1 repeats cannot bring it to 0.05. .*{repeats: 39}"),
    ],
    ids=str,
)
def test_a_p_value_that_so_few_repeats_cannot_bring_to_the_limit_is_no_evidence(check, words):
    """One shuffle of a feature with a drop of 11 standard errors has p = 0.5: 'at least 0.05' would always hold."""
    summary = with_p_values(1, [0.5, 1.0], [np.nan, np.nan])
    with pytest.raises(CheckError, match=words):
        verdict(summary, {"feature": "AGE", **check})
    enough = with_p_values(99, [0.01, 0.6], [0.02, 0.6])
    assert verdict(enough, {"feature": "AGE", **check}, repeats=99).status == ("fail" if "min" in check else "pass")


@pytest.mark.parametrize("statistic", ["roc_auc_p", "roc_auc_q"])
def test_a_rank_by_p_values_is_refused(statistic):
    """The feature without any effect would be the first."""
    summary = with_p_values(99, [0.01, 0.6], [0.02, 0.6]).assign(mean=[0.2, 0.0])
    with pytest.raises(CheckError, match="would be the first, and says least"):
        verdict(summary, {"feature": "SEX", "statistic": statistic, "rank_at_most": 1}, repeats=99)


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ({"feature": "SEX", "rank_at_most": 2, "statistic": "mean"}, "there are 2 places, so that no feature can miss"),
        ({"feature": "AGE", "rank_at_most": 9, "statistic": "share"}, "there are 2 places"),
        ({"unused_at_most": 2}, "2 features were audited, so that no more than 2 can be unused"),
        ({"unused_at_most": 50}, "2 features were audited"),
    ],
    ids=str,
)
def test_a_place_that_every_feature_has_and_a_number_that_no_model_exceeds_are_no_pass(check, words, tmp_path):
    summary, _ = audited(tmp_path)
    with pytest.raises(CheckError, match=words):
        verdict(summary, check)
    smaller = {key: 1 if key.endswith("at_most") else value for key, value in check.items()}
    assert verdict(summary, smaller).outcomes[0].finding.limit == 1


def test_a_group_of_which_a_member_did_not_vary_does_not_pass_on_the_others(tmp_path):
    """SEX decides, and the data have one SEX: AGE and SEX together move what AGE alone moves."""
    groups = {"person": ["AGE", "SEX"]}
    limit = {"feature": "person", "statistic": "mean", "max": 0.02}
    one_sex, _ = audited(tmp_path, TABLE.assign(SEX=1), groups=groups)
    both, _ = audited(tmp_path, groups=groups)
    assert one_sex.set_index("perturbation")["mean"]["person"] < 0.02
    subject = Subject(MODEL, "run1", "7", **DIGESTS, rows=N, repeats=1, seed=0)
    for check in (limit, {"feature": "person", "statistic": "mean", "rank_at_least": 2}):
        policy = Policy.model_validate({"checks": [check]})
        with pytest.raises(CheckError, match="'SEX' of the group 'person' changed no value in any row"):
            judge(policy, Evidence(subject, one_sex, groups=groups))
        assert judge(policy, Evidence(subject, both, groups=groups)).status == "fail"
    alone = {**limit, "feature": "AGE"}
    assert judge(Policy.model_validate({"checks": [alone]}), Evidence(subject, one_sex, groups=groups)).status == "pass"


@pytest.mark.parametrize("statistic", ["rows", "skipped", "held", "changed_share", "median_spread", "mean_high"])
def test_what_tells_of_the_rows_alone_is_no_statistic_of_deviations(statistic, tmp_path):
    summary, _ = audited(tmp_path)
    with pytest.raises(CheckError, match=f"'{statistic}' is no statistic of this audit") as told:
        verdict(summary, {"feature": "AGE", "statistic": statistic, "max": 1e9})
    assert f"'{statistic}'" not in str(told.value).partition("which has")[2]


def test_a_drop_of_which_no_flip_was_seen_is_as_unsure_as_the_flips(tmp_path):
    """AGE decides, and SEX moves a prediction of 0.05 or 0.95 by 0.01: none of 2,000 decisions flips."""
    specs, inputs = bound(TABLE, numbers=["AGE"], codes=["SEX"])
    plan = plan_perturbations(inputs, MODEL, AnalysisConfig(rare_below=0))

    def by_age(given):
        return 0.05 + 0.9 * (given["num_input"][:, 0] > 1) + 0.01 * (given["SEX_input"][:, 0] == 2)

    job = Job(
        PlainPredictor(specs, by_age), inputs, plan, choose_measure(None, 1, ()), MODEL,
        decision=Decision((0,), 0.5), keeps_predictions=True,
    )  # fmt: skip
    labels = (TABLE["AGE"].to_numpy() > 1) ^ (np.arange(N) % 10 == 0)
    names = ["accuracy", "balanced_accuracy", "f1", "roc_auc"]
    scores = choose_scorers(names, labels.astype(int), 1, are_probabilities=True, decision=job.decision)
    found = with_scores(find(job, 1_000, tmp_path / "t", lambda *_: None), job, scores, p_values=False).summary
    found = found.assign(measurable=True)
    row = found.set_index("perturbation").loc["SEX"]
    assert (row["flipped_share"], row["accuracy_drop"], row["balanced_accuracy_drop"]) == (0, 0, 0)
    assert 1.96 * row["accuracy_drop_error"] == pytest.approx(row["flipped_share_high"], rel=1e-4)
    rarest = min(labels.mean(), 1 - labels.mean())
    assert row["balanced_accuracy_drop_error"] == pytest.approx(row["accuracy_drop_error"] / (2 * rarest))
    assert row["f1_drop_error"] > row["accuracy_drop_error"]
    limit = {"feature": "SEX", "statistic": "accuracy_drop"}
    assert verdict(found, {**limit, "max": 0.001}).outcomes[0].finding.state == "undecided"
    assert verdict(found, {**limit, "max": 0.01}).outcomes[0].finding.state == "holds"
    of_age = found.set_index("perturbation").loc["AGE"]
    assert of_age["accuracy_drop_error"] < of_age["flipped_share_high"] - of_age["flipped_share"]  # by leaving rows out
