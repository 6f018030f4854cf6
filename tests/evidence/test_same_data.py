"""Two audits are on the same data where either digest agrees."""

import pytest

from nnperm_mlflow.evidence.comparability import Basis


def basis(data, rows):
    return Basis(data, 1, "probability", {}, rows)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (basis("a", None), basis("a", None), True),
        (basis("a", None), basis("b", None), False),
        (basis("a", "r"), basis("r", "r"), True),
        (basis("a", "r"), basis("b", "s"), False),
        (basis("a", "r"), basis("a", None), True),
        (basis("r", "r"), basis("a", None), False),
        (basis(None, None), basis(None, None), False),
    ],
)
def test_two_audits_are_on_the_same_data_where_either_digest_agrees(one, other, same):
    assert (one.differences(other) == []) is same
    assert (other.differences(one) == []) is same
