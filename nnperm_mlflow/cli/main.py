"""The command line: `nnperm` and its commands."""

from __future__ import annotations

import click

from nnperm_mlflow import __version__
from nnperm_mlflow.cli.audit_command import audit_command
from nnperm_mlflow.cli.bundle_commands import bundle_command, verify_command
from nnperm_mlflow.cli.check_command import check_command
from nnperm_mlflow.cli.compare_command import compare_command
from nnperm_mlflow.cli.decision_commands import approve_command, refuse_command, request_command
from nnperm_mlflow.cli.demo_command import demo_command
from nnperm_mlflow.cli.explain_command import explain_command
from nnperm_mlflow.cli.guard_command import guard_command
from nnperm_mlflow.cli.history_command import history_command
from nnperm_mlflow.cli.init_command import init_command
from nnperm_mlflow.cli.key_commands import keys_command, sign_command
from nnperm_mlflow.cli.listen_command import listen_command
from nnperm_mlflow.cli.policy_command import policy_command
from nnperm_mlflow.cli.promote_command import promote_command
from nnperm_mlflow.cli.publish_command import publish_command
from nnperm_mlflow.cli.report_command import report_command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nnperm")
@click.option("--by-mlflow-run", is_flag=True, hidden=True, help="Started by 'mlflow run', and to end with it.")
@click.pass_context
def main(context: click.Context, by_mlflow_run: bool) -> None:
    """Audit a model that is registered in MLflow: show what its predictions rest on."""
    context.obj = by_mlflow_run  # for `cli.common.prepared`


main.add_command(init_command)
main.add_command(audit_command)
main.add_command(check_command)
main.add_command(compare_command)
main.add_command(explain_command)
main.add_command(promote_command)
main.add_command(history_command)
main.add_command(report_command)
main.add_command(policy_command)
main.add_command(demo_command)
main.add_command(listen_command)
main.add_command(publish_command)
main.add_command(keys_command)
main.add_command(sign_command)
main.add_command(request_command)
main.add_command(approve_command)
main.add_command(refuse_command)
main.add_command(guard_command)
main.add_command(bundle_command)
main.add_command(verify_command)
