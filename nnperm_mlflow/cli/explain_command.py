"""`nnperm explain`: reasons for the prediction of one observation."""

from __future__ import annotations

import click

import nnperm_mlflow
from nnperm_mlflow.basics.text import in_lines
from nnperm_mlflow.cli.common import WithSwitches, prepared, tracking_options


@click.command("explain", cls=WithSwitches)
@click.argument("run_id", metavar="RUN")
@click.option("--row-id", help="What the observation is called in the data.")
@click.option("--row", type=int, help="Its position in the data instead, from 0.")
@click.option("--among", help="Compare with these of the audit's rows: 'default = 0', 'AGE >= 30 and SEX = 2'.")
@click.option("--windows", is_flag=True, help="Also tell of the audit's windows of series.")
@click.option("--groups", is_flag=True, help="Also tell of the audit's groups of features.")
@click.option("--output", help="Also write letter, numbers and picture into this directory.")
@click.option(
    "--trust-model", type=bool, is_flag=False, flag_value="true", default="false", metavar="",
    help="Let code that came with the model run (pickles, Lambda layers).",
)  # fmt: skip
@click.option(
    "--allow-data",
    multiple=True,
    metavar="PREFIX",
    help="Where data may be read that the run names: a path, or how a URI begins; else files of this machine.",
)
@tracking_options
def explain_command(
    run_id: str,
    row_id: str | None,
    row: int | None,
    among: str | None,
    windows: bool,
    groups: bool,
    output: str | None,
    trust_model: bool,
    allow_data: tuple[str, ...],
    tracking_uri: str | None,
    debug: bool,
) -> None:
    """Tell what the prediction of one observation rests on, in words for a letter.

    RUN holds an audit: its model and data are read again, and must still be those that it audited. Features come in the
    order of the mean of f(x) - f(x') over the reference group, x' being the observation with another one's value of
    the feature. The words hold the observation's name and prediction; they are printed here, and written nowhere but
    to --output.
    """
    with prepared(tracking_uri, debug, trust_model):
        found = nnperm_mlflow.explain(
            run_id,
            row_id or None,
            row=row,
            among=among or None,
            windows=windows,
            groups=groups,
            trust_model=trust_model,
            allow_data=allow_data,
        )
        click.echo(in_lines(found.letter.split("\n")))
        if output:
            click.echo(in_lines([f"written: {', '.join(str(path) for path in found.write(output))}"]))
