"""An audit says how it drew donors within strata, and one of before is taken for what it was."""

import pytest

from nnperm_mlflow.config.audit_config import AuditConfig, parse_config
from nnperm_mlflow.evidence.comparability import Basis

WITHIN = parse_config({"analysis": {"within": ["town"], "scores": ["roc_auc"]}})
TESTED = parse_config({"analysis": {"within": ["town"], "scores": ["roc_auc"], "p_values": True}})
BEFORE = "permutations with their own values"


def basis(config, donors=None):
    return Basis("digest", 1, "probability", {**config.disturbance(), **({"donors": donors} if donors else {})})


def test_donors_within_strata_are_cycles_and_for_tests_permutations():
    assert (WITHIN.analysis.drawing, TESTED.analysis.drawing, AuditConfig().analysis.drawing) == (
        "cycles", "permutations", None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (basis(WITHIN), []),
        (basis(TESTED), ["'donors: permutations', not 'donors: cycles'"]),
        (basis(WITHIN, BEFORE), [f"'donors: {BEFORE}', not 'donors: cycles'"]),
    ],
)
def test_audits_that_drew_donors_otherwise_are_not_compared_row_by_row(other, found):
    assert basis(WITHIN).differences(other) == [each.replace("'donors: cycles'", "'cycles'") for each in found]


def test_without_strata_tests_change_no_donors():
    plain = parse_config({"analysis": {"scores": ["roc_auc"]}})
    tested = parse_config({"analysis": {"scores": ["roc_auc"], "p_values": True}})
    assert basis(plain).differences(basis(tested)) == []
