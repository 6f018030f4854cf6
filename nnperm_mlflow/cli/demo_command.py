"""`nnperm demo`: train, register and audit a small network, to see what there is to see."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnperm_mlflow.basics.text import in_lines, program
from nnperm_mlflow.cli.common import (
    prepared,
    run_option,
    shown,
    tracking_options,
)
from nnperm_mlflow.cli.findings_text import describe_findings, describe_places

if TYPE_CHECKING:
    from nnperm_mlflow.demo.example import Example


@click.command("demo")
@click.argument("example", type=click.Choice(["students", "credit"]), default="students")
@click.option(
    "--framework",
    type=click.Choice(["keras", "torch"]),
    default="keras",
    show_default=True,
    help="For 'students': what the network is made with (pip install 'nnperm_mlflow[torch]').",
)
@click.option("--csv", "csv_file", help="For 'credit': UCI_Credit_Card.csv (the README says where to get it).")
@click.option("--directory", default="nnperm-demo", show_default=True, help="Where data, store and files go.")
@tracking_options
@run_option
def demo_command(
    example: str,
    framework: str,
    csv_file: str | None,
    directory: str,
    tracking_uri: str | None,
    run_id: str | None,
    debug: bool,
) -> None:
    """Train, register and audit a small network: a made-up class of STUDENTS, or real CREDIT card clients."""
    folder = Path(directory)
    store = tracking_uri or f"sqlite:///{folder.resolve() / 'mlflow.db'}"
    if example == "credit" and not csv_file:
        raise click.UsageError(
            "'credit' needs --csv PATH, the raw UCI_Credit_Card.csv (the README says where to get it)."
        )
    if example == "credit" and framework != "keras":
        raise click.UsageError("'credit' is a network of Keras: leave --framework out, or take 'students'.")
    with prepared(store, debug):
        from nnperm_mlflow.auditor.result import Folder  # noqa: PLC0415
        from nnperm_mlflow.demo.example import run_example  # noqa: PLC0415 - TensorFlow takes seconds to import

        Folder.at(folder)

        click.echo(f"training a network on {example} ...")
        made = _make_example(example, framework, csv_file)
        result = run_example(made, folder, run_id or None)
        click.echo(in_lines(describe_findings(result)))
        if example == "students":
            from nnperm_mlflow.demo.words import students_in_words  # noqa: PLC0415

            click.echo(f"\n{students_in_words(result.summary)}")
        run, *files = describe_places(result, store)
        page = f"    then http://127.0.0.1:5000/#/experiments/{result.experiment_id}/runs/{result.run_id}"
        again = (
            f"again: {program('nnperm')} audit {result.model.uri} --config {shlex.quote(str(folder / example))}.yaml "
            f"--tracking-uri {shown(store)}"
        )
        click.echo(in_lines(["", run, *([] if result.address else [page]), *files, again]))


def _make_example(example: str, framework: str, csv_file: str | None) -> Example:
    if example == "credit":
        from nnperm_mlflow.demo.credit import credit_example  # noqa: PLC0415

        return credit_example(Path(str(csv_file)))
    from nnperm_mlflow.demo.students import students_example  # noqa: PLC0415

    if framework == "torch":
        from nnperm_mlflow.demo.torch_students import train_network as train_in_torch  # noqa: PLC0415

        return students_example(train_in_torch)
    from nnperm_mlflow.demo.keras_students import train_network  # noqa: PLC0415

    return students_example(train_network)
