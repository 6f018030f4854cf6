"""The checks of a verdict as pages and documents lay them out."""

from __future__ import annotations

from nnperm_mlflow.report.page.checks import checks_of
from tests.support.reported import told_check, verdict_of


def test_what_was_compared_stands_by_itself_without_the_comma_of_its_sentence() -> None:
    of = "largest shift of the means against models:/credit/1, that of PAY,"
    (check,) = checks_of(verdict_of(told_check(of=of)), {})
    assert check.of == "largest shift of the means against models:/credit/1, that of PAY"
