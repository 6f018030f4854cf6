"""Checks applied to a summary of known numbers: what holds, what fails, what cannot be told, and what is an error."""

import json
import math
import re
from datetime import datetime, timezone

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.difference._agreement import Interval
from nnperm_mlflow.analysis.difference.comparison_result import Comparison
from nnperm_mlflow.analysis.perturbation.kinds import SetTo, Shuffle
from nnperm_mlflow.analysis.repeats.stopping_rule import Number
from nnperm_mlflow.basics.errors import CheckError, MissingBaselineError, UnknownFeatureError
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.inputs.slots import Feature
from nnperm_mlflow.report.audit_card import audit_card
from nnperm_mlflow.verdict._estimates import (
    Estimate,
    estimates_of,
    rank_of,
    shares_of,
    single_shuffles,
    unused_features,
)
from nnperm_mlflow.verdict.audit_evidence import Baseline, Evidence
from nnperm_mlflow.verdict.check_targets import rests_on, watch
from nnperm_mlflow.verdict.checks import apply
from nnperm_mlflow.verdict.judgement import judge
from nnperm_mlflow.verdict.verdict import Subject

MODEL = "models:/credit/4"


def row(name, median, low, high, mean, *, feature=None, way="shuffle", kind="number", **more):
    return {
        "perturbation": name, "feature": feature or name, "kind": kind, "way": way, "value": "", "rows": 400,
        "median": median, "median_low": low, "median_high": high, "mean": mean, "mean_low": 0.9 * mean,
        "mean_high": 1.1 * mean, "q95": 2 * mean, "changed_median": median, "flipped_share": 0.1,
        "max": 3 * mean, "measurable": mean > 0, "roc_auc_drop": mean / 2, "roc_auc_drop_error": 0.01,
        "changed_share": 0.95, "skipped": 0, "decisions_vary": True, **more,
    }  # fmt: skip


SUMMARY = pd.DataFrame(
    [
        row("PAY", 0.30, 0.28, 0.32, 0.40, kind="series"),
        row("repayment", 0.29, 0.27, 0.31, 0.45, kind="group"),
        row("PAY recent", 0.20, 0.19, 0.21, 0.30, feature="PAY recent", kind="window"),
        row("SEX=2", 0.09, 0.08, 0.10, 0.08, feature="SEX", way="set", kind="category"),
        row("BILL", 0.06, 0.04, 0.08, 0.05, kind="series"),
        row("AGE", 0.05, 0.03, 0.07, 0.04),
        row("SEX", 0.00, 0.00, 0.00, 0.01, kind="category", changed_median=math.nan),
        row("ID*", 0.00, 0.00, 0.00, 0.00),
        row("colour", 0.00, 0.00, 0.00, 0.00, kind="category"),
    ]
)


def policy(*checks, **more):
    return Policy.model_validate({"checks": list(checks), **more})


def findings(**check):
    return apply(policy(check).checks[0], Evidence(SUBJECT, SUMMARY))


def finding(**check):
    (found,) = findings(**check)
    return found


DIGESTS = {f"{what}_digest": what for what in ("model", "data", "config", "table", "summary")}
SUBJECT = Subject(model=MODEL, run_id="run1", experiment_id="7", **DIGESTS, rows=400, repeats=1, seed=3)


@pytest.mark.parametrize(
    ("limit", "at_most", "state"),
    [
        (0.32, True, "holds"),
        (0.319, True, "undecided"),
        (0.28, True, "undecided"),
        (0.279, True, "fails"),
        (0.28, False, "holds"),
        (0.281, False, "undecided"),
        (0.32, False, "undecided"),
        (0.321, False, "fails"),
    ],
)
def test_a_limit_within_the_interval_is_undecided(limit, at_most, state):
    assert Estimate(0.30, 0.28, 0.32).against(limit, at_most) == state
    assert finding(feature="PAY", **{"max" if at_most else "min": limit}).state == state


def test_a_feature_is_held_to_its_limit_in_every_way_it_was_disturbed():
    found = finding(feature="SEX", max=0.05)
    assert (found.of, found.state, found.number.value) == ("SEX=2", "fails", 0.09)
    assert finding(feature="SEX", max=0.05, way="shuffle").of == "SEX"
    assert finding(feature="SEX=2", max=0.2).of == "SEX=2"


def test_the_worst_perturbation_is_told_and_the_others_that_do_not_hold_with_it():
    found = finding(any=True, max=0.07)
    assert (found.of, found.state) == ("PAY", "fails")
    assert found.also == ("repayment", "PAY recent", "SEX=2", "BILL")
    assert "median of PAY is 0.3 (0.28 to 0.32), and must be at most 0.07" in found.words
    found = finding(any=True, min=0.0)
    assert (found.state, found.also) == ("holds", ())


def test_a_failure_is_told_before_an_undecided_one_that_reaches_further():
    wide = SUMMARY.assign(median_high=SUMMARY["median_high"].where(SUMMARY["perturbation"] != "AGE", 0.9))
    (found,) = apply(policy({"feature": ["AGE", "PAY"], "max": 0.2}).checks[0], Evidence(SUBJECT, wide))
    assert (found.of, found.state, found.also) == ("PAY", "fails", ("AGE",))


def test_names_lists_and_patterns_choose_features():
    assert finding(feature=["AGE", "BILL"], max=0.001).also == ("AGE",)
    assert set(finding(feature="PAY*", max=0.0).also) == {"PAY recent"}
    assert finding(feature="repayment", max=1.0).of == "repayment"


def test_a_name_with_a_star_in_it_means_that_feature():
    found = finding(feature="ID*", max=0.0)
    assert (found.of, found.state) == ("ID*", "holds")


@pytest.mark.parametrize("check", [{"max": 1}, {"rank_at_most": 1}])
def test_a_feature_that_was_not_disturbed_is_an_error_with_the_nearest_name(check):
    with pytest.raises(UnknownFeatureError, match="'AGEE' is no feature.*Did you mean 'AGE'"):
        findings(feature="AGEE", **check)
    with pytest.raises(UnknownFeatureError, match=re.escape("'Q*' is no feature")):
        findings(feature=["AGE", "Q*"], **check)


def test_a_statistic_that_is_not_told_is_an_error():
    with pytest.raises(CheckError, match="'medain' is no statistic.*Did you mean 'median'"):
        findings(feature="AGE", statistic="medain", max=1)
    for text in ("perturbation", "way", "value", "measurable"):
        with pytest.raises(CheckError, match=f"'{text}' is no statistic"):
            findings(feature="AGE", statistic=text, max=1)


def test_an_undefined_number_is_an_error_and_no_pass():
    with pytest.raises(CheckError, match="changed_median is not defined for 'SEX'"):
        findings(feature="SEX", statistic="median_changed", max=1)
    with pytest.raises(CheckError, match="changed_median is not defined for 'SEX'"):
        findings(any=True, statistic="changed_median", max=1)
    assert finding(feature="AGE", statistic="changed_median", max=1).state == "holds"


def test_another_name_of_a_statistic_is_known_in_every_check():
    limit, rank = {"feature": "AGE", "max": 1}, {"feature": "AGE", "rank_at_least": 1}
    for check in (limit, rank):
        assert policy({**check, "statistic": "median_changed"}) == policy({**check, "statistic": "changed_median"})


def test_a_score_has_the_interval_of_its_standard_error():
    number = estimates_of(SUMMARY, "roc_auc_drop")["PAY"]
    assert number.value == pytest.approx(0.2)
    assert (number.low, number.high) == pytest.approx((0.2 - 0.0196, 0.2 + 0.0196), abs=1e-5)


def test_a_number_without_an_interval_is_compared_as_it_is():
    assert finding(feature="PAY", statistic="flipped_share", max=0.1).state == "holds"
    assert finding(feature="PAY", statistic="flipped_share", max=0.0999).state == "fails"


def test_shares_are_of_the_features_own_means_and_sum_to_one():
    shares = shares_of(SUMMARY)
    assert set(shares) == {"PAY", "BILL", "AGE", "SEX", "ID*", "colour"}
    assert sum(share.value for share in shares.values()) == pytest.approx(1)
    assert shares["PAY"].value == pytest.approx(0.40 / 0.50)
    assert shares["PAY"].low < shares["PAY"].value < shares["PAY"].high
    assert shares["colour"] == Estimate(0.0, 0.0, 0.0)
    assert finding(any=True, statistic="share", max=0.6).of == "PAY"
    with pytest.raises(UnknownFeatureError, match="'repayment' is no feature"):
        findings(feature="repayment", statistic="share", max=0.6)


def test_the_interval_of_a_share_holds_what_independent_means_would_give():
    rng = np.random.default_rng(1)
    means, errors = np.array([0.4, 0.05, 0.04, 0.01]), np.array([0.4, 0.05, 0.04, 0.01]) * 0.1 / 1.96
    drawn = rng.normal(means, errors, size=(20_000, 4))
    expected = (drawn / drawn.sum(axis=1, keepdims=True)).std(axis=0)
    shares = shares_of(SUMMARY)
    for name, error in zip(["PAY", "BILL", "AGE", "SEX"], expected, strict=True):
        assert (shares[name].high - shares[name].low) / (2 * 1.96) == pytest.approx(error, rel=0.05)


def test_a_share_of_a_mean_without_an_interval_has_none():
    """Or it would lie between 0 and 1, which is undecided, and passes where undecided checks do."""
    unsure = SUMMARY.assign(mean_high=[math.nan, *SUMMARY["mean_high"][1:]])
    assert not any(share.is_defined for share in shares_of(unsure).values())
    check = {"feature": "AGE", "statistic": "share", "max": 0.6}
    with pytest.raises(CheckError, match="cannot be told"):
        judge(policy(check, undecided="pass"), Evidence(SUBJECT, unsure))


def test_nothing_that_moves_has_no_shares():
    with pytest.raises(CheckError, match="no prediction moved"):
        shares_of(SUMMARY.assign(mean=0.0, mean_low=0.0, mean_high=0.0))


def test_a_rank_counts_the_models_own_features_only():
    assert rank_of(SUMMARY, "median", "PAY") == Estimate(1, 1, 1)
    assert rank_of(SUMMARY, "median", "BILL") == Estimate(2, 2, 3)
    assert rank_of(SUMMARY, "median", "AGE") == Estimate(3, 2, 3)
    assert rank_of(SUMMARY, "median", "SEX") == Estimate(4, 4, 6)
    assert rank_of(SUMMARY, "mean", "SEX").value == 4
    assert rank_of(SUMMARY, "median", "repayment") == Estimate(2, 1, 2)


def test_a_rank_that_intervals_do_not_settle_is_undecided():
    assert finding(feature="BILL", rank_at_most=3).state == "holds"
    assert finding(feature="BILL", rank_at_most=2).state == "undecided"
    assert finding(feature="BILL", rank_at_most=1).state == "fails"
    assert finding(feature="AGE", rank_at_least=2).state == "holds"
    assert finding(feature="PAY", rank_at_least=2).state == "fails"


def test_features_without_measurable_effect_are_counted_once_each():
    assert unused_features(SUMMARY) == ["ID*", "colour"]
    found = finding(unused_at_most=1)
    assert (found.state, found.number.value) == ("fails", 2)
    assert "'ID*', 'colour'" in found.words
    assert finding(unused_at_most=2).state == "holds"


def compared(correlation, shift, *, uri="models:/credit/3", **more):
    comparison = Comparison(
        differences=pd.DataFrame({"perturbation": ["AGE", "PAY"], "difference": [0.01, -0.04]}),
        rank_correlation=Interval(*correlation),
        largest_shift=Interval(*shift),
        paired=True,
        **{"only_a": [], "only_b": [], "undefined": [], **more},
    )
    return {"models:/credit@champion": Baseline(uri, "run0", {"median": comparison})}


def test_a_check_against_a_version_has_a_finding_for_each_limit():
    check = policy({"against": "models:/credit@champion", "min_rank_correlation": 0.8, "max_shift": 0.05}).checks[0]
    first, second = apply(check, Evidence(SUBJECT, SUMMARY, compared((0.9, 0.85, 0.95), (0.04, 0.03, 0.06))))
    assert (first.state, second.state) == ("holds", "undecided")
    assert "rank correlation of the medians against models:/credit/3 is 0.9 (0.85 to 0.95)" in first.words
    assert "largest shift of the medians against models:/credit/3, that of PAY, is 0.04 (0.03 to 0.06)" in second.words
    only = policy({"against": "models:/credit@champion", "max_shift": 0.02}).checks[0]
    (found,) = apply(only, Evidence(SUBJECT, SUMMARY, compared((0.9, 0.85, 0.95), (0.04, 0.03, 0.06))))
    assert (found.state, found.at_most) == ("fails", True)


def test_a_missing_baseline_and_an_undefined_correlation_are_errors():
    check = policy({"against": "models:/credit@champion", "min_rank_correlation": 0.8}).checks[0]
    with pytest.raises(MissingBaselineError, match="no audit of models:/credit@champion on the same data"):
        apply(check, Evidence(SUBJECT, SUMMARY))
    with pytest.raises(CheckError, match="is not defined"):
        apply(check, Evidence(SUBJECT, SUMMARY, compared((math.nan,) * 3, (0, 0, 0))))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"undefined": ["AGE"]}, "'AGE' has no deviations in one of the two versions"),
        ({"only_a": ["SEX"]}, "only one of models:/credit/3 and models:/credit/4 has 'SEX', which would go unchecked"),
        ({"only_b": ["INCOME"]}, "has 'INCOME', which would go unchecked"),
    ],
)
def test_a_comparison_that_leaves_something_out_is_an_error(more, message):
    check = {"against": "models:/credit@champion", "max_shift": 0.5}
    baselines = compared((1, 1, 1), (0, 0, 0), **more)
    with pytest.raises(CheckError, match=message):
        apply(policy(check).checks[0], Evidence(SUBJECT, SUMMARY, baselines))
    if "only_a" in more or "only_b" in more:
        lenient = policy(check | {"allow_missing": True}).checks[0]
        assert apply(lenient, Evidence(SUBJECT, SUMMARY, baselines))[0].state == "holds"


def test_features_without_any_deviation_are_not_called_unused():
    with pytest.raises(CheckError, match="there are no deviations of 'colour'"):
        unused_features(SUMMARY.assign(max=SUMMARY["mean"].where(SUMMARY["perturbation"] != "colour")))


def test_features_of_one_rank_are_ordered_by_mean():
    assert rank_of(SUMMARY, "median", "ID*").value == 5


def test_the_upper_end_of_a_share_does_not_suffer_from_a_lower_end_cut_at_zero():
    cut = SUMMARY.assign(mean_low=0.0)
    assert {name: share.high for name, share in shares_of(cut).items()} == {
        name: share.high for name, share in shares_of(SUMMARY).items()
    }


def planned():
    features = {name: Feature(name, (), kind) for name, kind in zip(SUMMARY["feature"], SUMMARY["kind"], strict=True)}
    rows = zip(SUMMARY["feature"], SUMMARY["way"], strict=True)
    return [SetTo(features[name], 2) if way == "set" else Shuffle(features[name]) for name, way in rows]


def test_a_policy_is_refused_before_the_audit_where_it_cannot_be_answered():
    def watched(check, **more):
        return watch(policy(check, **more), planned(), ["roc_auc"], MODEL)

    assert watched({"feature": "SEX*", "max": 1}) == {Number("SEX", "median"), Number("SEX=2", "median")}
    drop = "roc_auc_drop"
    assert watched({"feature": "SEX", "statistic": drop, "max": 1, "way": "shuffle"}) == {Number("SEX", drop)}
    every = set(SUMMARY["perturbation"])
    assert watched({"any": True, "statistic": "q95", "max": 1}) == {Number(name, "q95") for name in every}
    with pytest.raises(UnknownFeatureError, match="'SAX' is no feature"):
        watched({"feature": "SAX", "max": 1})
    with pytest.raises(UnknownFeatureError, match="'SAX' is no feature"):
        watched({"feature": "SAX", "rank_at_most": 1})
    with pytest.raises(UnknownFeatureError, match="'repayment' is no feature"):
        watched({"feature": "repayment", "statistic": "share", "rank_at_most": 1})
    with pytest.raises(CheckError, match="'way' is no statistic"):
        watched({"feature": "SEX", "statistic": "way", "max": 1})
    with pytest.raises(CheckError, match="'r2_drop' is no statistic"):
        watched({"feature": "SEX", "statistic": "r2_drop", "max": 1})
    with pytest.raises(CheckError, match="nothing of that kind was disturbed"):
        watched({"feature": "SEX", "way": "order", "max": 1})
    assert watched({"feature": "SAX", "max": 1}, mode="off") == set()


def test_a_check_on_segments_rests_on_their_numbers():
    means = policy({"segment": "SEX", "feature": "SEX", "way": "shuffle", "statistic": "shift", "max": 1})
    assert rests_on(means, SUMMARY, MODEL) == {Number("SEX", "shift", "SEX")}
    apart = policy({"segment": "any", "feature": "SEX", "way": "shuffle", "max_difference": 1})
    assert rests_on(apart, SUMMARY, MODEL) == {Number("SEX", "difference", "any")}
    assert rests_on(policy({"segment": "any", "score": "roc_auc", "min": 0.5}), SUMMARY, MODEL) == set()


def test_a_number_without_an_interval_is_told_from_one_that_is_not_there():
    check = {"feature": "PAY", "statistic": "mean", "max": 1}
    unsure = SUMMARY.assign(mean_low=np.nan, mean_high=np.nan)
    with pytest.raises(CheckError, match="how sure mean of 'PAY' is cannot be told from these rows, so it can neither"):
        judge(policy(check), Evidence(SUBJECT, unsure))
    with pytest.raises(CheckError, match="mean is not defined for 'PAY'"):
        judge(policy(check), Evidence(SUBJECT, unsure.assign(mean=np.nan)))


def test_a_limit_on_a_p_value_is_refused_beforehand_only_where_drops_are_not_tested():
    for end in ("p", "q"):
        checks = policy({"feature": "SEX", "statistic": f"roc_auc_{end}", "max": 0.05})
        with pytest.raises(CheckError, match=f"'roc_auc_{end}' is no statistic"):
            watch(checks, planned(), ["roc_auc"], MODEL)
        watch(checks, planned(), ["roc_auc"], MODEL, p_values=True)


def test_a_rank_rests_on_all_that_have_a_place_and_a_share_on_the_means_of_all_parts():
    single = set(single_shuffles(SUMMARY)["perturbation"])
    assert 1 < len(single) < len(SUMMARY)
    rank = policy({"feature": "SEX", "rank_at_most": 3, "statistic": "flipped_share"})
    assert rests_on(rank, SUMMARY, MODEL) == {Number(name, "flipped_share") for name in single}
    share = policy({"feature": "SEX", "statistic": "share", "max": 1})
    assert rests_on(share, SUMMARY, MODEL) == {Number(name, "mean") for name in single}


@pytest.mark.parametrize(
    ("of_policy", "of_check", "status"),
    [("fail", None, "fail"), ("pass", None, "pass"), ("fail", "pass", "pass"), ("pass", "fail", "fail")],
)
def test_an_undecided_check_counts_as_the_check_says_else_as_the_policy_says(of_policy, of_check, status):
    check = {"feature": "PAY", "max": 0.3} | ({"undecided": of_check} if of_check else {})
    verdict = judge(policy(check, undecided=of_policy), Evidence(SUBJECT, SUMMARY))
    assert verdict.outcomes[0].finding.state == "undecided"
    assert verdict.status == status
    assert verdict.outcomes[0].in_words == f"undecided, counts as {'kept' if status == 'pass' else 'not kept'}"
    name = "median of PAY is at most 0.3"
    unsure = f"fail: 1 of 1 checks are not kept: '{name}'; undecided, which counts as not kept: '{name}'"
    assert verdict.in_words == (unsure if status == "fail" else "pass: 1 of 1 checks are kept")


def test_one_check_that_is_not_kept_fails_the_version():
    kept, missed = {"feature": "PAY", "max": 0.5}, {"name": "age", "feature": "AGE", "max": 0.01}
    verdict = judge(policy(kept, missed, kept | {"name": "again"}), Evidence(SUBJECT, SUMMARY))
    assert (verdict.status, verdict.blocks) == ("fail", True)
    assert verdict.in_words == "fail: 1 of 3 checks are not kept: 'age'"
    assert judge(policy(kept), Evidence(SUBJECT, SUMMARY)).in_words == "pass: 1 of 1 checks are kept"
    dry = judge(policy(missed, mode="dry_run"), Evidence(SUBJECT, SUMMARY))
    assert (dry.status, dry.blocks) == ("fail", False)
    unsure = {"name": "pay", "feature": "PAY", "max": 0.3}
    mixed = judge(policy(kept, missed, unsure), Evidence(SUBJECT, SUMMARY)).in_words
    told = "fail: 2 of 3 checks are not kept: 'age', 'pay'; undecided, which counts as not kept: 'pay'"
    assert mixed == told


def test_a_verdict_is_json_with_each_number_its_interval_and_its_limit():
    verdict = judge(policy({"name": "age", "feature": "AGE", "max": 0.01}), Evidence(SUBJECT, SUMMARY))
    told = json.loads(json.dumps(verdict.as_dict(), allow_nan=False))
    assert told == verdict.as_dict()
    (check,) = told["checks"]
    assert [check[key] for key in ("check", "of", "value", "low", "high", "limit", "limit_is", "state", "passed")] == [
        "age", "AGE", 0.05, 0.03, 0.07, 0.01, "at most", "fails", False,
    ]  # fmt: skip
    assert told["subject"]["table_digest"] == "table"
    assert told["policy"]["checks"][0]["max"] == 0.01


def test_the_card_tells_the_verdict_the_features_and_what_it_stands_on():
    verdict = judge(policy({"name": "age | <b>", "feature": "AGE", "max": 0.01}), Evidence(SUBJECT, SUMMARY))
    when = datetime(2026, 11, 24, tzinfo=timezone.utc)
    card = audit_card(SUMMARY, SUBJECT, unit="probability", when=when, verdict=verdict, address="http://house/#/run1")
    assert "**Verdict: fail: 1 of 1 checks are not kept" in card
    assert r"| age \| \<b\> | median of AGE is at most 0.01 |" in card
    assert "| PAY | 0.4 \\(0.36 to 0.44\\) | 0.3 \\(0.28 to 0.32\\) |" in card
    assert "[run1](http://house/#/run1)" in card
    assert "No measurable effect: ID\\*, colour." in card
    assert "sha256" in card
    without = audit_card(SUMMARY, SUBJECT, unit="probability", when=when)
    assert "No policy was applied: there is no verdict." in without


@pytest.mark.parametrize(("n_silent", "last", "rest"), [(61, "f60", ""), (1500, "f59", " and 1,440 more")])
def test_a_card_of_very_many_features_stays_a_page(n_silent, last, rest):
    top, silent = SUMMARY.iloc[[0]], SUMMARY.loc[np.full(n_silent, len(SUMMARY) - 1)]
    silent = silent.assign(perturbation=[f"f{number}" for number in range(n_silent)])
    summary = pd.concat([top, silent], ignore_index=True)
    card = audit_card(summary, SUBJECT, unit="probability", when=datetime.now(timezone.utc))
    (line,) = [line for line in card.splitlines() if line.startswith("No measurable effect: ")]
    assert line.endswith(f", {last}{rest}.")
