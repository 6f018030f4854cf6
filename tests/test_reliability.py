"""What docs/reliability.md says is shown by a test is shown by one that exists."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
NAMED = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", (TESTS.parent / "docs" / "reliability.md").read_text("utf-8"))


def test_faults_are_listed():
    assert len(NAMED) >= 15


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_is_named_exists(file, name):
    (found,) = TESTS.rglob(file)
    content = found.read_text("utf-8")
    assert f"def {name or 'test_'}" in content
