"""The trial of a policy: what may be planned, what is refused, and which seed follows."""

import hashlib
import hmac
import re

import pytest

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.config.audit_config import AuditConfig, parse_config
from nnperm_mlflow.config.trial import Trial, read_secret, trial_seed

CHECKS = [{"feature": "a", "max": 1}]


def policy(**trial):
    return parse_config({"format": 2, "name": "limits", "checks": CHECKS, "trial": trial}).policy


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"format": 2, "checks": CHECKS, "trial": {}}, "'trial' needs a 'name': attempts are counted by the name"),
        ({"checks": CHECKS, "name": "limits", "trial": {}}, "'name', 'trial' needs 'format: 2'"),
        ({"data": "8a1f"}, "string should have at least 8 characters"),
        ({"data": {}}, "'trial: data': "),
        ({"data": {"holdout": "8a1f0c22", "other": "8a1f0c23"}}, "at most 1 item"),
        ({"attempts": 0}, "'trial: attempts': input should be greater than or equal to 1"),
        ({"stages": [5]}, "'trial: stages': list should have at least 2 items"),
        ({"stages": [5, 1]}, "each of the 'stages' needs more repeats than the one before"),
        ({"stages": [5, 5]}, "each of the 'stages' needs more repeats than the one before"),
        ({"stages": [1, 5], "repeats": 5}, "'stages' say the repeats of each stage: leave out 'repeats'"),
        ({"seed": 7}, "unknown key 'seed' under 'trial'; known are 'data', 'config', 'rows', 'repeats', 'attempts'"),
    ],
)
def test_a_plan_that_is_none_is_refused(document, message):
    if "checks" not in document:
        document = {"format": 2, "name": "limits", "checks": CHECKS, "trial": document}
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_config(document)


def test_a_trial_is_part_of_the_digest():
    digests = {policy(**trial).digest() for trial in ({}, {"attempts": 2}, {"repeats": 5}, {"stages": [1, 5]})}
    assert len(digests) == 4


def test_data_may_have_a_name():
    named, plain = Trial(data={"holdout 2026": "8a1f0c22"}), Trial(data="8a1f0c22")
    assert (named.data_digest, named.data_name) == ("8a1f0c22", "holdout 2026")
    assert (plain.data_digest, plain.data_name) == ("8a1f0c22", "")


def test_the_seed_is_the_beginning_of_a_hash_of_policy_and_data():
    """The number is told by hashlib alone, as docs/approval.md describes it."""
    told = hashlib.sha256(f"seed of a trial\n{'a' * 64}\n{'b' * 64}\n".encode()).hexdigest()
    assert trial_seed("a" * 64, "b" * 64) == int(f"{int(told[:16], 16):064b}"[:63], 2)
    assert trial_seed("a" * 64, "c" * 64) != trial_seed("a" * 64, "b" * 64) != trial_seed("c" * 64, "b" * 64)
    assert AuditConfig().with_seed(trial_seed("a" * 64, "b" * 64)).analysis.seed < 2**63


def test_a_secret_makes_a_seed_that_nobody_else_can_tell(tmp_path):
    """The number is told by hmac alone."""
    (tmp_path / "secret").write_bytes(b"0123456789abcdef\n")
    secret = read_secret(tmp_path / "secret")
    told = hmac.new(b"0123456789abcdef", f"seed of a trial\n{'a' * 64}\n{'b' * 64}\n".encode(), "sha256").hexdigest()
    assert trial_seed("a" * 64, "b" * 64, secret) == int(f"{int(told[:16], 16):064b}"[:63], 2)


@pytest.mark.parametrize(("content", "message"), [(b"short \n", "has 5 bytes"), (None, "cannot be read: No such file")])
def test_a_secret_that_could_be_guessed_is_none(tmp_path, content, message):
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_secret(tmp_path / "secret")


def test_the_digest_of_a_design_leaves_to_the_trial_what_it_fixes_and_nothing_else():
    def design(**analysis):
        return parse_config({"analysis": analysis}).design_digest()

    first = design()
    assert first == design(seed=5, repeats=7, block_rows=100, order_by="median")
    assert first == design(repeats="auto", precision=0.1, max_repeats=9)
    for other in ({"within": ["a"]}, {"exclude": ["a"]}, {"rare_below": 0}, {"output": 1}, {"missing": "skip"}):
        assert design(**other) != first
    assert parse_config({"inputs": {"num_input": ["a"]}}).design_digest() != first
    assert parse_config({"data": {"cluster": "a"}}).design_digest() != first
