"""Cases of a test that the quick run leaves out."""

import pytest


def slow(*cases):
    """Mark cases, values or tuples of them, that show the same way as the one which the quick run has."""
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow) for case in cases]
