"""`nnperm listen`: audit each model version as it is registered, and guard aliases."""

from __future__ import annotations

import os
from pathlib import Path

import click

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.cli.common import log_to_stderr, prepared, tracking_options
from nnperm_mlflow.cli.key_commands import key_password

_PORTS = click.IntRange(0, 65535)
_MINUTES = click.FloatRange(min=0, min_open=True)


@click.command("listen")
@click.option("--port", type=_PORTS, required=True, help="Port to listen at; 0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--secret-env", metavar="NAME", required=True, help="The environment variable that holds the webhook's secret."
)
@click.option("--configs", required=True, help="Directory of configurations, named <model name>.yaml.")
@click.option("--state-dir", help="Directory for the queue; else one of this user.")
@click.option("--since-days", type=click.FloatRange(min=0), help="Also audit older versions, of so many days.")
@click.option("--all", "everything", is_flag=True, help="Also audit older versions, however old.")
@click.option("--every-minutes", type=_MINUTES, default=5, show_default=True, help="How often the registry is asked.")
@click.option("--most-minutes", type=_MINUTES, default=120, show_default=True, help="How long one audit may take.")
@click.option(
    "--most-waiting", type=click.IntRange(min=1), default=1000, show_default=True, help="Length of the queue."
)
@click.option(
    "--pass-env", "passed", multiple=True, metavar="NAME", help="A variable that audits need besides those of stores."
)
@click.option(
    "--guard", "guarded", multiple=True, metavar="ALIAS", help="Guard this alias; as often as there are some."
)
@click.option("--trust", help="The trust file by which aliases are guarded, and audits signed.")
@click.option("--move-back", is_flag=True, help="Undo moves without a promotion, at most three times an hour.")
@click.option("--key", help="File of an auditor's key: what was audited is signed, by a process of its own.")
@click.option("--report-env", metavar="NAME", help="The variable with the address that takes reports on aliases.")
@tracking_options
def listen_command(
    port: int,
    host: str,
    secret_env: str,
    configs: str,
    state_dir: str | None,
    since_days: float | None,
    everything: bool,
    every_minutes: float,
    most_minutes: float,
    most_waiting: int,
    passed: tuple[str, ...],
    guarded: tuple[str, ...],
    trust: str | None,
    move_back: bool,
    report_env: str | None,
    key: str | None,
    tracking_uri: str | None,
    debug: bool,
) -> None:
    """Audit each model version as it is registered: take MLflow's webhooks, and ask the registry now and then.

    With --guard also compare an alias with the last of its signed promotions whenever it moves, and now and then.
    """
    with prepared(tracking_uri, debug):
        if not guarded and (move_back or report_env):
            raise ConfigError("--move-back and --report-env are for aliases that are guarded: --guard ALIAS.")
        secret = _secret(secret_env, "the secret of the webhook", "what the webhook was created with")
        report_to = _secret(report_env, "the address for reports", "that address") if report_env else None
        from nnperm_mlflow.listening.service import listen  # noqa: PLC0415 - MLflow takes seconds
        from nnperm_mlflow.listening.settings import ListenSettings  # noqa: PLC0415

        log_to_stderr("%(asctime)s %(levelname)-7s %(message)s", force=True)
        listen(
            ListenSettings(
                host=host,
                port=port,
                secret=secret,
                secret_env=secret_env,
                configs=Path(configs).expanduser().resolve(),
                state=Path(state_dir).expanduser().resolve() if state_dir else _own_state(),
                everything=everything,
                since_days=since_days,
                every_minutes=every_minutes,
                most_minutes=most_minutes,
                most_waiting=most_waiting,
                passed=passed,
                guarded=guarded,
                trust=Path(trust).expanduser().resolve() if trust else None,
                move_back=move_back,
                report_env=report_env or None,
                report_to=report_to,
                key=Path(key).expanduser().resolve() if key else None,
                key_password=key_password() if key else "",
            )
        )


def _secret(name: str, what: str, then: str) -> str:
    secret = os.environ.get(name, "")
    if not secret:
        raise ConfigError(
            f"the environment variable '{name}' is to hold {what}, and is "
            f"{'empty' if name in os.environ else 'not set'}. Set it to {then}."
        )
    return secret


def _own_state() -> Path:
    import platformdirs  # noqa: PLC0415

    return platformdirs.user_state_path("nnperm", appauthor=False) / "listen"
