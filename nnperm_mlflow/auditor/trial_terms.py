"""What the trial of a policy makes of a configuration, and what it refuses, before the model sees a row."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.approval.attempts import attempts_of, next_repeats
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.config.audit_config import AuditConfig
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.config.trial import Trial, trial_seed
from nnperm_mlflow.inputs.dataset import Dataset


def under_trial(
    client: MlflowClient, config: AuditConfig, model_digest: str, dataset: Dataset, folder: Path, *, served: str
) -> AuditConfig:
    """Return a configuration with the seed and the repeats of its policy's trial, where there is one.

    Where the trial has stages, and the configuration does not say the repeats, the next stage is what comes after those
    that were undecided.

    Parameters
    ----------
    client : MlflowClient
    config : AuditConfig
    model_digest : str
        sha256 of the model's files.
    dataset : Dataset
        Its rows.
    folder : Path
        Directory for downloads.
    served : str
        sha256 of those of the model's files that are served.

    Raises
    ------
    ConfigError
        If the configuration says another seed or other repeats, those of a stage that was undecided among them, or
        these are not the data of the trial.
    """
    policy = config.policy
    trial = policy.trial
    if trial is None or not policy.applies:
        return config
    digest = dataset.digest()
    if trial.data_digest is not None and not digest.startswith(trial.data_digest):
        called = f" '{trial.data_name}'" if trial.data_name else ""
        raise ConfigError(
            f"the trial of {policy.label} is on the data{called} whose sha256 begins with {trial.data_digest}, and "
            f"{dataset.source} has {digest[:12]}...: audit those data."
        )
    asked = config.analysis.rows
    n_rows = min(dataset.n_rows, asked) if isinstance(asked, int) else dataset.n_rows
    if trial.rows is not None and n_rows < trial.rows:
        of_these = "" if n_rows == dataset.n_rows else f", of which {n_rows:,} are asked for (analysis: rows)"
        raise ConfigError(
            f"the trial of {policy.label} needs at least {trial.rows:,} rows, and {dataset.source} has "
            f"{dataset.n_rows:,}{of_these}: audit more rows."
        )
    config = with_trial_seed(config, policy, digest)
    if not trial.all_repeats:
        return config
    digests = model_digest, digest
    attempts = attempts_of(client, policy, *digests, folder=folder, served=served) if trial.stages else ()
    due = next_repeats(trial, attempts)
    if not _says(config, "repeats"):
        return config.with_repeats(due)
    _refuse_other_repeats(config, trial, due)
    return config


def with_trial_seed(config: AuditConfig, policy: Policy, data_digest: str) -> AuditConfig:
    """Return a configuration with the seed that a policy's trial fixes on some data, where there is a trial.

    Raises
    ------
    ConfigError
        If the configuration says another one.
    """
    if policy.trial is None:
        return config
    seed = trial_seed(policy.digest(), data_digest)
    if _says(config, "seed") and config.analysis.seed != seed:
        raise ConfigError(
            f"the trial of {policy.label} fixes the seed on these data, {seed}, and the configuration says "
            f"{config.analysis.seed}: leave out 'analysis: seed'."
        )
    return config.with_seed(seed)


def refuse_other_design(config: AuditConfig) -> None:
    """Refuse a configuration, with all that was found out filled in, that does something else than its trial.

    Raises
    ------
    ConfigError
    """
    policy = config.policy
    if policy.trial is None or policy.trial.config is None or not policy.applies:
        return
    design = config.design_digest()
    if not design.startswith(policy.trial.config):
        raise ConfigError(
            f"the trial of {policy.label} is of the configuration {policy.trial.config}, and this one is "
            f"{design[:12]}... (nnperm audit --plan without the policy tells it): audit with that of the trial."
        )


def _refuse_other_repeats(config: AuditConfig, trial: Trial, due: int) -> None:
    """Refuse repeats of no stage, or of one before the stage that is due."""
    said, of_trial = config.analysis.repeats, f"the trial of {config.policy.label}"
    if said == "auto" or said not in trial.all_repeats:
        wanted = " or ".join(map(str, trial.all_repeats))
        raise ConfigError(
            f"{of_trial} is of {wanted} repeats, and the configuration says {said}: leave out 'analysis: repeats'."
        )
    if said < due:
        raise ConfigError(
            f"{of_trial} was undecided with {said} repeats, which would come out again: its next stage makes {due}, "
            f"and the configuration says {said}. Leave out 'analysis: repeats'."
        )


def _says(config: AuditConfig, key: str) -> bool:
    return key in config.analysis.model_fields_set
