"""The command line: `nnperm` and its commands."""

from __future__ import annotations

import click

from nnperm_mlflow import __version__
from nnperm_mlflow.commands.audit import audit_command
from nnperm_mlflow.commands.check import check_command
from nnperm_mlflow.commands.compare import compare_command
from nnperm_mlflow.commands.demo import demo_command
from nnperm_mlflow.commands.history import history_command
from nnperm_mlflow.commands.listen import listen_command
from nnperm_mlflow.commands.promote import promote_command
from nnperm_mlflow.commands.publish import publish_command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nnperm")
@click.option("--by-mlflow-run", is_flag=True, hidden=True, help="Started by 'mlflow run', and to end with it.")
@click.pass_context
def main(context: click.Context, by_mlflow_run: bool) -> None:
    """Audit a model that is registered in MLflow: show what its predictions rest on."""
    context.obj = by_mlflow_run  # for `commands.common.prepared`


main.add_command(audit_command)
main.add_command(check_command)
main.add_command(compare_command)
main.add_command(promote_command)
main.add_command(history_command)
main.add_command(demo_command)
main.add_command(listen_command)
main.add_command(publish_command)
