"""Where a command takes the model's URI: as an argument, or as the option that `mlflow run` fills in."""

import pytest
from click.testing import CliRunner

from nnperm_mlflow.cli.main import main

NOBODY = "models:/nobody/1"


def invoke(store, *command):
    result = CliRunner().invoke(main, [*command, "--tracking-uri", store])
    assert result.exit_code == 2, result.output
    return result.stderr


@pytest.mark.parametrize("command", ["audit", "check"])
@pytest.mark.parametrize(
    "given", [(NOBODY,), ("--model-uri", NOBODY), (NOBODY, "--model-uri", NOBODY), (NOBODY, "--model-uri", "")]
)
def test_the_uri_is_an_argument_or_an_option(store, command, given):
    assert f"{NOBODY} is not in the registry" in invoke(store, command, *given)


@pytest.mark.parametrize("switch", [(), ("true",), ("false",)])
def test_a_switch_before_the_uri_does_not_swallow_it(store, switch):
    assert f"{NOBODY} is not in the registry" in invoke(store, "audit", "--trust-model", *switch, NOBODY)


@pytest.mark.parametrize("command", ["audit", "check"])
def test_two_models_are_refused(store, command):
    said = invoke(store, command, NOBODY, "--model-uri", "models:/other/2")
    assert "two models are named, 'models:/nobody/1' and 'models:/other/2' (--model-uri): give one." in said
