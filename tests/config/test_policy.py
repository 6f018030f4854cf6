"""The policy: what may be asked, what is refused, and what its digest stands for."""

import re
from datetime import date, datetime

import pytest
import yaml

from nnperm_mlflow.basics.errors import CheckError, ConfigError
from nnperm_mlflow.config.audit_config import AuditConfig, parse_config
from nnperm_mlflow.config.checks import AgainstCheck, LimitCheck, RankCheck, UnusedCheck
from nnperm_mlflow.config.policy import Policy, load_policy

CHECKS = """
checks:
  - {name: no reliance on sex, feature: "SEX*", statistic: median_changed, max: 0.02}
  - {feature: PAY, rank_at_most: 3}
  - {any: true, statistic: share, max: 0.6}
  - {unused_at_most: 5}
  - {against: "models:/credit@champion", min_rank_correlation: 0.8, max_shift: 0.05}
"""


def write(folder, text, name="policy.yaml"):
    (folder / name).write_text(text)
    return folder / name


def test_each_kind_of_check_is_told_by_its_keys(tmp_path):
    policy = load_policy(write(tmp_path, CHECKS))
    assert [type(check) for check in policy.checks] == [LimitCheck, RankCheck, LimitCheck, UnusedCheck, AgainstCheck]
    assert policy.checks[0].statistic == "changed_median"
    assert policy.checks[0].title == "no reliance on sex"
    assert policy.checks[1].title == "rank of PAY by median is at most 3"
    assert policy.baselines == ("models:/credit@champion",)
    assert (policy.undecided, policy.mode, policy.applies) == ("fail", "enforce", True)


def test_checks_of_a_configuration_and_of_a_file_are_the_same_policy(tmp_path):
    in_config = parse_config(yaml.safe_load(CHECKS)).policy
    assert in_config == load_policy(write(tmp_path, CHECKS))
    assert parse_config(yaml.safe_load(AuditConfig().with_policy(in_config).to_yaml())).policy == in_config


def test_whole_numbers_are_limits_too(tmp_path):
    (check,) = load_policy(write(tmp_path, "checks: [{feature: age, max: 1}]")).checks
    assert check.limit == 1.0


def test_a_limit_of_zero_is_a_limit(tmp_path):
    lower, upper = load_policy(write(tmp_path, "checks: [{feature: a, min: 0}, {feature: a, max: 0}]")).checks
    assert (lower.limit, lower.statement) == (0.0, "median of a is at least 0")
    assert (upper.limit, upper.statement) == (0.0, "median of a is at most 0")


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("{feature: a, maxx: 1}", "unknown key 'maxx' under 'checks: 0'"),
        ("{feature: a, maxx: 1}", "Did you mean 'max'?"),
        ("{feature: a}", "'checks: 0': give either 'max' or 'min', or a check for each."),
        ("{feature: a, max: 1, min: 0}", "give either 'max' or 'min'"),
        ("{feature: a, any: true, max: 1}", "give either 'feature' or 'any: true'"),
        ("{max: 1}", "give either 'feature' or 'any: true'"),
        (
            "{feature: [], max: 1}",
            "'checks: 0: feature': input should be a valid string or list should have at least 1",
        ),
        ("{feature: a, max: .nan}", "'checks: 0: max': input should be a finite number"),
        ("{feature: a, max: .inf}", "'checks: 0: max': input should be a finite number"),
        ("{feature: a, max: '1'}", "'checks: 0: max': input should be a valid number"),
        ("{feature: a, max: true}", "'checks: 0: max': input should be a valid number"),
        ("{any: true, rank_at_most: 3}", "unknown key 'any' under 'checks: 0'"),
        ("{feature: a, rank_at_most: 0}", "'checks: 0: rank_at_most': input should be greater than or equal to 1"),
        ("{feature: a, rank_at_most: 1, rank_at_least: 1}", "give either 'rank_at_most' or 'rank_at_least'"),
        ("{unused_at_most: -1}", "'checks: 0: unused_at_most': input should be greater than or equal to 0"),
        ("{against: 'models:/a/1'}", "give 'min_rank_correlation', 'max_shift' or both"),
        ("{against: 'models:/a/1', min_rank_correlation: 1.5}", "input should be less than or equal to 1"),
        ("{feature: a, max: 1, undecided: maybe}", "input should be 'fail' or 'pass'"),
        ("{feature: a, max: 1}, {feature: a, max: 1}", "'median of a is at most 1' is the name of two checks"),
        ("7", "'checks: 0': input should be a valid dictionary"),
    ],
)
def test_a_wrong_check_is_refused_with_its_place_and_what_to_do(tmp_path, check, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_policy(write(tmp_path, f"checks: [{check}]"))
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_config(yaml.safe_load(f"checks: [{check}]"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no checks, and would approve everything"),
        ("checks: []", "has no checks, and would approve everything"),
        ("checks: [{feature: a, max: 1}]\nmode: soft", "'mode': input should be 'enforce', 'dry_run' or 'off'"),
        ("- 1", "must be a mapping with the keys 'format', 'checks', 'undecided', 'mode'"),
        ("checks: [{feature: a, max: 1}]\nchecks: []", "the key 'checks' is given twice"),
        ("data: {static: a.csv}", "unknown key 'data'; known are 'format', 'checks', 'undecided', 'mode'"),
    ],
)
def test_a_wrong_policy_file_is_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_policy(write(tmp_path, text))


def test_a_policy_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=re.escape("the policy") + ".*gone.yaml' cannot be read: No such file"):
        load_policy(tmp_path / "gone.yaml")


def test_the_digest_changes_with_whatever_decides_and_with_nothing_else(tmp_path):
    def digest(text):
        return load_policy(write(tmp_path, text)).digest()

    first = digest("checks: [{feature: a, max: 1}]")
    assert first == digest("# a remark\nmode: dry_run\nchecks:\n- max: 1.0\n  feature: a\n  statistic: median\n")
    assert first != digest("checks: [{feature: a, max: 1.0001}]")
    assert first != digest("checks: [{feature: a, min: 1}]")
    assert first != digest("checks: [{feature: a, max: 1, undecided: pass}]")
    assert first != digest("undecided: pass\nchecks: [{feature: a, max: 1}]")
    assert first != digest("checks: [{feature: a, max: 1, name: a}]")


def test_a_policy_that_is_off_or_empty_applies_to_nothing():
    check = LimitCheck(feature="a", max=1.0)
    assert not Policy().applies
    assert not Policy(checks=[check], mode="off").applies
    assert Policy(checks=[check], mode="dry_run").applies


WITHOUT_STATISTICS = [{"feature": "SEX", "max": 0.02}, {"feature": "PAY", "rank_at_most": 3},
                      {"against": "models:/credit/1", "max_shift": 0.1}, {"unused_at_most": 2}]  # fmt: skip


@pytest.mark.parametrize(("more", "statistic"), [({}, "median"), ({"format": 1}, "median"), ({"format": 2}, "mean")])
def test_what_a_check_means_that_names_no_statistic_is_told_by_the_format(more, statistic):
    policy = Policy.model_validate({**more, "checks": WITHOUT_STATISTICS})
    assert [check.statistic for check in policy.checks[:3]] == [statistic] * 3
    named = Policy.model_validate({**more, "checks": [{"feature": "SEX", "statistic": "q95", "max": 0.02}]})
    assert named.checks[0].statistic == "q95"


def test_the_digest_of_a_policy_of_the_first_format_is_what_it_was():
    """Taken with the code before there were formats; verdicts on record bear it."""
    policy = Policy.model_validate({"checks": [{"feature": "a", "max": 1}]})
    assert policy.digest().startswith("a862c13df803")
    assert (
        policy.digest() == Policy.model_validate({"checks": [{"feature": "a", "max": 1}], "mode": "dry_run"}).digest()
    )


def test_all_that_a_policy_of_the_second_format_says_is_in_its_digest():
    policy = {"format": 2, "checks": [{"feature": "a", "max": 1}]}
    digests = {
        Policy.model_validate({**policy, **more}).digest() for more in ({}, {"mode": "dry_run"}, {"undecided": "pass"})
    }
    assert len(digests) == 3


NAMED = {"format": 2, "name": "credit limits", "version": 3, "owner": "Risk Office", "valid_until": date(2027, 1, 31),
         "checks": [{"feature": "a", "max": 1}]}  # fmt: skip


def test_a_policy_tells_its_name_its_owner_and_its_last_day(tmp_path):
    text = "format: 2\nname: credit limits\nversion: 3\nowner: Risk Office\nvalid_until: 2027-01-31\n"
    policy = load_policy(write(tmp_path, text + "checks: [{feature: a, max: 1}]"))
    assert policy == Policy.model_validate(NAMED)
    assert (policy.label, policy.about) == ("'credit limits', version 3", "of Risk Office, valid until 2027-01-31")


@pytest.mark.parametrize(
    ("key", "value"),
    [("name", "other limits"), ("version", 4), ("owner", "Audit"), ("valid_until", date(2027, 2, 1)), ("name", None)],
)
def test_name_version_owner_and_last_day_are_part_of_the_digest(key, value):
    assert Policy.model_validate({**NAMED, key: value}).digest() != Policy.model_validate(NAMED).digest()


def test_what_is_not_said_changes_no_digest():
    """Taken with the code before there were names."""
    policy = Policy.model_validate({"format": 2, "checks": [{"feature": "a", "max": 1}]})
    assert policy.digest().startswith("82c14d48005c")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"format": 1}, "'name', 'owner', 'valid_until', 'version' needs 'format: 2'"),
        ({"name": ""}, "'name': string should have at least 1 character"),
        ({"name": "limits' or 1=1"}, "'name': string should match pattern"),
        ({"name": "limits/2"}, "'name': string should match pattern"),
        ({"version": 1.1}, "'version': input should be a valid integer or input should be a valid string"),
        ({"valid_until": "soon"}, "'valid_until': expected a date: 2027-01-31"),
        ({"valid_until": datetime(2027, 1, 31, 12)}, "'valid_until': expected a date without a time of day"),
    ],
)
def test_a_name_or_a_day_that_is_none_is_refused(tmp_path, more, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_config({**NAMED, **more})


def test_the_last_day_is_a_whole_one():
    policy = Policy.model_validate(NAMED)
    policy.refuse_expired(date(2027, 1, 31))
    with pytest.raises(CheckError, match=r"'credit limits', version 3 was valid until 2027-01-31.*Ask Risk Office"):
        policy.refuse_expired(date(2027, 2, 1))


def test_a_policy_that_is_written_into_a_configuration_is_read_back_as_it_was():
    for more in ({"format": 1}, {"format": 2}, NAMED):
        config = parse_config({"checks": WITHOUT_STATISTICS, **more})
        assert parse_config(yaml.safe_load(config.to_yaml())).policy == config.policy
