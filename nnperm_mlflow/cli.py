"""The command line: `nnperm audit` and `nnperm demo`."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nnperm_mlflow import __version__
from nnperm_mlflow.errors import name_list
from nnperm_mlflow.locations import without_secrets

if TYPE_CHECKING:
    from nnperm_mlflow.demo.example import Example
    from nnperm_mlflow.forecasting import Forecast
    from nnperm_mlflow.result import AuditResult

_EXIT_ERROR, _EXIT_TERMINATED = 2, 143
_SHOWN_COLUMNS = ["perturbation", "way", "median", "median_low", "median_high", "mean", "q95", "changed_share"]
_SHOWN_ROWS = 15
_BOUNDS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""Defaults for this program's own process: a server that dies is given up after seconds, and TensorFlow is quiet."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _tracking_options(command: _Command) -> _Command:
    options = [
        click.option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help="MLflow's tracking store."),
        click.option("--run-id", envvar="MLFLOW_RUN_ID", hidden=True, help="A run to continue (set by 'mlflow run')."),
        click.option("--debug", is_flag=True, help="Show the traceback of an error."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nnperm")
def main() -> None:
    """Audit a model that is registered in MLflow: show what its predictions rest on."""


@main.command("audit")
@click.option("--model-uri", help="models:/name/3, models:/name@alias, models:/m-..., runs:/... or a local path.")
@click.option("--config", "config_file", help="YAML file that names the data; see docs/config.md.")
@click.option("--output", help="Also write the files into this directory.")
@click.option(
    "--trust-model", type=bool, is_flag=False, flag_value="true", default="false", metavar="",
    help="Let code that came with the model run (pickles, Lambda layers).",
)  # fmt: skip
@click.option("--plan", "plan_only", is_flag=True, help="Only tell what the audit will take; nothing is logged.")
@click.option("--experiment", envvar="MLFLOW_EXPERIMENT_NAME", help="Experiment of the run; else the model's own.")
@_tracking_options
def audit_command(
    model_uri: str | None,
    config_file: str | None,
    output: str | None,
    trust_model: bool,
    plan_only: bool,
    experiment: str | None,
    tracking_uri: str | None,
    run_id: str | None,
    debug: bool,
) -> None:
    """Disturb one feature after the other and log how far each prediction moves."""
    with _prepared(tracking_uri, debug):
        from nnperm_mlflow.auditing import audit, plan_audit  # noqa: PLC0415 - MLflow takes seconds to import

        if plan_only:
            planned = plan_audit(config_file or None, model_uri=model_uri or None, trust_model=trust_model)
            click.echo(describe_forecast(planned))
            return
        with _progress_bar() as progress:
            result = audit(
                config_file or None,
                model_uri=model_uri or None,
                output=output or None,
                trust_model=trust_model,
                experiment=experiment or None,
                run_id=run_id or None,
                progress=progress,
            )
        click.echo(describe(result, tracking_uri))


@main.command("demo")
@click.argument("example", type=click.Choice(["students", "credit"]), default="students")
@click.option("--csv", "csv_file", help="For 'credit': UCI_Credit_Card.csv (the README says where to get it).")
@click.option("--directory", default="nnperm-demo", show_default=True, help="Where data, store and files go.")
@_tracking_options
def demo_command(
    example: str, csv_file: str | None, directory: str, tracking_uri: str | None, run_id: str | None, debug: bool
) -> None:
    """Train, register and audit a small network: a made-up class of STUDENTS, or real CREDIT card clients."""
    folder = Path(directory)
    store = tracking_uri or f"sqlite:///{folder.resolve() / 'mlflow.db'}"
    if example == "credit" and not csv_file:
        raise click.UsageError(
            "'credit' needs --csv PATH, the raw UCI_Credit_Card.csv (the README says where to get it)."
        )
    with _prepared(store, debug):
        from nnperm_mlflow.demo.example import run_example  # noqa: PLC0415 - TensorFlow takes seconds to import
        from nnperm_mlflow.result import Folder  # noqa: PLC0415

        Folder.at(folder)

        click.echo(f"training a network on {example} ...")
        made = _make_example(example, csv_file)
        with _progress_bar() as progress:
            result = run_example(made, folder, run_id or None, progress)
        click.echo(describe(result, store))
        if example == "students":
            from nnperm_mlflow.demo.words import students_in_words  # noqa: PLC0415

            click.echo(f"\n{students_in_words(result.summary)}")
        click.echo(
            f"\nThe boxplot: {result.directory / 'boxplot.png'}\n"
            f"In the UI: {_in_the_ui(result, store)}\n"
            f"Again: {_program('nnperm')} audit --tracking-uri {_shown(store)} --model-uri {result.model.uri} "
            f"--config {shlex.quote(str(folder / example))}.yaml"
        )


def _make_example(example: str, csv_file: str | None) -> Example:
    if example == "credit":
        from nnperm_mlflow.demo.credit import credit_example  # noqa: PLC0415

        return credit_example(Path(str(csv_file)))
    from nnperm_mlflow.demo.students import students_example  # noqa: PLC0415

    return students_example()


def describe_forecast(forecast: Forecast) -> str:
    """Return what an audit will take, a line for each thing that one may want to change."""
    plan = forecast.plan
    job = plan.job
    used = "unknown" if forecast.peak_bytes is None else f"{forecast.peak_bytes / 2**20:,.0f} MiB"
    shares: dict[int, list[str]] = {}
    for name, share in job.predictor.shares.items():
        shares.setdefault(round(100 * share), []).append(name)
    for_each = " of each repeat" if plan.precision is not None else ""
    return "\n".join(
        [
            f"{job.model} on {plan.dataset.n_rows:,} rows of {Path(plan.dataset.source).name}",
            f"features       {len(job.inputs.features)}, with {len(job.perturbations)} perturbations",
            f"repeats        {plan.used.analysis.repeats}",
            f"blocks         {forecast.n_blocks:,} of at most {plan.block_rows:,} rows",
            f"model calls    {forecast.block_calls:,} a block, {forecast.block_calls * forecast.n_blocks:,} in all"
            f"{for_each}",
            *[
                f"run again      {share} % of the model when one of these changes: {', '.join(names)}"
                for share, names in sorted(shares.items())
            ],
            f"memory         {used} expected for the process; beyond 65,536 rows deviations take no more",
            f"expected time  {forecast.seconds:,.1f} s, from the first block{for_each}",
        ]
    )


def describe(result: AuditResult, tracking_uri: str | None) -> str:
    """Return what a person wants to know at the end: the features that count, and where the rest is."""
    shown = result.summary.head(_SHOWN_ROWS)
    more_columns = [name for name in shown if name == "flipped_share" or name.endswith("_drop")]
    columns = [*_SHOWN_COLUMNS, *(name for name in more_columns if shown[name].notna().any())]
    table = shown[columns].to_string(index=False, float_format=lambda number: f"{number:.4f}")
    more = len(result.summary) - len(shown)
    silent = result.summary.loc[~result.summary["measurable"], "perturbation"]
    where = result.address or _ui_command(tracking_uri or "sqlite:///mlflow.db")
    lines = [
        "",
        f"{result.subtitle}: deviation of the prediction ({result.unit})",
        "",
        table,
        *([f"... and {more} more in summary.csv"] if more > 0 else []),
        *([f"no measurable effect: {name_list(silent)}"] if len(silent) else []),
        "",
        f"run {result.run_id}, experiment {result.experiment_id}: {where}",
        *[f"not written for want of permission: {what}" for what in result.not_linked],
    ]
    return "\n".join(lines)


def _in_the_ui(result: AuditResult, store: str) -> str:
    page = f"http://127.0.0.1:5000/#/experiments/{result.experiment_id}/runs/{result.run_id}"
    return result.address or f"{_ui_command(store)}\n    then {page}"


def _ui_command(store: str) -> str:
    return f"{_program('mlflow')} ui --backend-store-uri {_shown(store)}"


def _program(name: str) -> str:
    """Return how a program of this environment is called: by its name where the shell finds it, else by its path."""
    return name if shutil.which(name) else shlex.quote(str(Path(sys.executable).with_name(name)))


def _shown(store: str) -> str:
    """Return a store's URI for a command line, without what is secret in it."""
    return shlex.quote(without_secrets(store))


@contextmanager
def _prepared(tracking_uri: str | None, debug: bool) -> Iterator[None]:
    """Set up this process, and turn what hinders an audit into one message and exit status 2."""
    from nnperm_mlflow.errors import AuditError  # noqa: PLC0415

    for name, value in _BOUNDS.items():
        os.environ.setdefault(name, value)
    logging.basicConfig(format="%(message)s", stream=sys.stderr, level=logging.WARNING)
    logging.getLogger("nnperm_mlflow").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, _stop)
    try:
        if tracking_uri:
            import mlflow  # noqa: PLC0415

            mlflow.set_tracking_uri(tracking_uri)
        yield
    except AuditError as error:
        if debug:
            raise
        click.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(_EXIT_ERROR)


def _stop(number: int, frame: object) -> None:
    raise SystemExit(_EXIT_TERMINATED)


@contextmanager
def _progress_bar() -> Iterator[Callable[[int, int], None] | None]:
    """Give a listener that draws a bar with the time left; none where nobody looks, so that lines are logged."""
    if not sys.stderr.isatty():
        yield None
        return
    with ExitStack() as stack:
        bar: Any = None

        def show(done: int, total: int) -> None:
            nonlocal bar
            if done == 0:
                stack.close()  # ends the bar of the repeats before
                bar = stack.enter_context(click.progressbar(length=total, label="rows", file=sys.stderr, show_pos=True))
            bar.update(done - bar.pos)

        yield show
