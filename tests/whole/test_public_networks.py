"""Networks that nobody here designed are audited as a plain loop of their own framework says."""

import pytest

from benchmarks.public.audit import agreement, audited, by_hand, features_of
from benchmarks.public.networks import NETWORKS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "package", "is_trusted"),
    [
        ("FT-Transformer", "rtdl_revisiting_models", True),
        ("TabNet", "pytorch_tabnet", True),
        ("iTransformer, pt2", "iTransformer", False),
    ],
)
def test_a_network_of_a_public_package_is_audited_as_it_predicts(tracked, tmp_path, name, package, is_trusted):
    pytest.importorskip(package)
    made = NETWORKS[name](60)
    found = audited(made, tmp_path)
    expected, _ = by_hand(made, features_of(found.table))
    assert found.trusted == is_trusted
    assert len(expected) == sum(array.shape[-1] for array in made.rows.values())
    assert agreement(found.table, expected).largest < 1e-6
