"""A policy of the first format written in the present one: it means what it meant, and reads as it read."""

import pytest
import yaml
from click.testing import CliRunner

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.config.audit_config import load_config
from nnperm_mlflow.config.policy import load_policy
from nnperm_mlflow.config.policy_upgrade import upgrade_policy

OLD = """\
# What a version of the credit network must keep.
checks:
  - {name: no reliance on sex, feature: "SEX*", max: 0.02} # asked for by compliance
  - {feature: PAY, rank_at_most: 3}
  - {any: true, statistic: share, max: 0.6}
  - feature: BILL
    statistic: median_changed
    max: 0.10
  - {unused_at_most: 5}
  - {against: "models:/credit@champion", max_shift: 0.05}
undecided: pass
"""
NEW = """\
# What a version of the credit network must keep.
format: 2
checks:
  - {name: no reliance on sex, feature: "SEX*", max: 0.02, statistic: median} # asked for by compliance
  - {feature: PAY, rank_at_most: 3, statistic: median}
  - {any: true, statistic: share, max: 0.6}
  - feature: BILL
    statistic: median_changed
    max: 0.10
  - {unused_at_most: 5}
  - {against: "models:/credit@champion", max_shift: 0.05, statistic: median}
undecided: pass
"""


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(OLD)
    return path


def test_medians_are_written_down_and_everything_else_stays_as_it_was_written(old, tmp_path):
    upgraded = upgrade_policy(old)
    assert upgraded.text == NEW
    assert upgraded.explicit == (
        "no reliance on sex", "rank of PAY by median is at most 3",
        "against models:/credit@champion, no feature's median has shifted by more than 0.05",
    )  # fmt: skip
    new = tmp_path / "new.yaml"
    new.write_text(upgraded.text)
    before, after = load_policy(old), load_policy(new)
    assert (after.format, after.checks, after.undecided, after.mode) == (2, before.checks, "pass", "enforce")
    assert after == upgraded.policy


def test_a_configuration_keeps_all_that_is_not_its_policy(old, tmp_path):
    path = tmp_path / "credit.yaml"
    path.write_text("model: models:/credit/3\ndata: {static: clients.csv}  # of June\nformat: 1\n" + OLD)
    text = upgrade_policy(path).text
    assert text == "model: models:/credit/3\ndata: {static: clients.csv}  # of June\nformat: 2\n" + NEW.replace(
        "format: 2\n", ""
    )
    before = load_config(path)
    path.write_text(text)
    after = load_config(path)
    assert (after.policy.checks, after.data, after.digest()) == (before.policy.checks, before.data, before.digest())


def test_the_command_writes_the_file_and_says_what_it_wrote_down(old):
    told = CliRunner().invoke(main, ["policy", "upgrade", str(old)])
    assert (told.exit_code, old.read_text()) == (0, NEW)
    assert "statistic: median is written down for 'no reliance on sex'" in told.output
    assert load_policy(old).digest()[:12] in told.output
    assert "such a check cannot fail, and is refused as an error" in told.stderr
    again = CliRunner().invoke(main, ["policy", "upgrade", str(old)])
    assert (again.exit_code, old.read_text()) == (2, NEW)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("format: 2\nchecks: [{any: true, max: 1}]\n", "has format 2 already"),
        ("checks: []\n", "has no checks"),
        ("checks: [{any: true, max: 1, ax: 2}]\n", "ax"),
        ("checks: [\n", "no valid YAML"),
        ("checks: &a [{any: true, max: 1}]\n", None),
    ],
)
def test_what_cannot_be_upgraded_is_told_and_left_alone(content, words, tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(content)
    if words is None:
        assert yaml.safe_load(upgrade_policy(path).text)["checks"] == [{"any": True, "max": 1, "statistic": "median"}]
        return
    with pytest.raises(ConfigError, match=words):
        upgrade_policy(path)
    assert path.read_text() == content
