"""A record says where code that came with the model ran, and one of before is taken for what it tells."""

import pytest

from nnperm_mlflow.evidence.audit_record import AuditRecord


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"model_trusted": "True", "model_code": "isolated"}, "isolated"),
        ({"model_trusted": "True", "model_code": "none"}, "none"),
        ({"model_trusted": "False"}, "none"),  # before it was said, no code ran without trust
        ({"model_trusted": "True"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_where_the_models_code_ran_is_read_from_records_of_any_time(params, said):
    assert AuditRecord("run", "1", params, None, {}).model_code == said
