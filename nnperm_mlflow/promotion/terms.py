"""On which terms a version is promoted: what is made again, what is given, what is taken on trust."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from nnperm_mlflow.approval.policy_check import policy_for
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.config.audit_config import AuditConfig, load_config
from nnperm_mlflow.config.policy import AnyPolicy, Policy, load_policy
from nnperm_mlflow.config.trial import read_secret, trial_seed
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.promotion.data_places import refuse_elsewhere
from nnperm_mlflow.registry.connection import command


@dataclass(frozen=True)
class Terms:
    """What a promoter gives, asks for and allows.

    Attributes
    ----------
    policy : Policy, str or Path, optional
        What the version must keep; else the checks of `config`, else the policy of the audit.
    config_file : str or Path, optional
        The configuration that the version should have been audited with.
    recomputes : bool
        Whether the audits of the version, and of those that it is compared with, are made again, and judged.
    reads_data : bool
        Whether the data are read again, and must still be those that were audited.
    trust_model : bool
        Allow code that came with a model to run.
    allowed : tuple of str
        Places from which data may be read that a run names, see `promotion.data_places`.
    experiment : str, optional
        Name of the only experiment whose audits count.
    table : str or Path, optional
        A copy of the deviation table, where that was kept out of the run.
    repeats : int, optional
        How many shuffles of each feature an audit must have made; by default what its configuration says.
    rows : int, optional
        How many rows of a sample it must have audited; by default what its configuration says.
    waiver : str, optional
        Why a version is promoted although the attempts of its trial speak against it.
    secret_file : str or Path, optional
        Holds the secret that the seed of audits follows from, which are made again.
    pins : bool
        Whether a trust file says by their digests which policy, configuration and data count.
    """

    policy: AnyPolicy = None
    config_file: str | Path | None = None
    recomputes: bool = False
    reads_data: bool = True
    trust_model: bool = False
    allowed: tuple[str, ...] = ()
    experiment: str | None = None
    table: str | Path | None = None
    repeats: int | None = None
    rows: int | None = None
    waiver: str | None = None
    secret_file: str | Path | None = None
    pins: bool = False

    def __post_init__(self) -> None:
        if self.binds_again and not self.reads_data:
            raise ConfigError(
                "the configuration (--config) is held against the audit's by what data and model make of both, and "
                "--recompute makes the audit again: both need the data. Leave out --no-data."
            )
        if self.secret_file is not None and not self.recomputes:
            raise ConfigError("a seed of your own (--seed-secret) is that of audits made again: add --recompute.")
        if self.pins and self.trust_model:
            raise ConfigError(
                "code that came with the model (--trust-model) never runs beside a key (--trust, --key), which it "
                "could use. Promote without it: what it computes, the service that audits has signed."
            )
        if self.waiver is not None and not self.waiver.strip():
            raise ConfigError("a waiver (--waive) needs a reason, which is written down.")
        if not all(self.allowed):
            raise ConfigError("an empty place is allowed (--allow-data): name a path, or how a URI begins.")

    def read(self) -> None:
        """Read the files that are given: what is wrong with them says nothing of a version.

        Raises
        ------
        ConfigError
        """
        if isinstance(self.policy, (str, Path)):
            load_policy(self.policy)
        _ = self.config, self.secret

    @property
    def binds_again(self) -> bool:
        """Whether model and data are brought together again, as for an audit."""
        return self.recomputes or self.config_file is not None

    @cached_property
    def config(self) -> AuditConfig | None:
        """The configuration that the version should have been audited with; None where none is given."""
        return None if self.config_file is None else load_config(self.config_file)

    @cached_property
    def secret(self) -> bytes | None:
        """What the seed of the audits follows from that are made again; None for the seed on record."""
        return None if self.secret_file is None else read_secret(self.secret_file)

    def own_seed(self, policy: Policy, record: AuditRecord) -> int | None:
        """Return the seed of an audit that is made again, where it is not that on record."""
        if self.secret is None:
            return None
        return trial_seed(policy.digest(), record.param("data_digest"), self.secret)

    def of_baseline(self, record: AuditRecord) -> Terms:
        """Return the terms for an audit that another one is compared with, of the same data and as many repeats.

        Parameters
        ----------
        record : AuditRecord
            The other one. Where "auto" found out how many repeats, or rows, it takes, a baseline was asked for that
            number.
        """
        rows = record.sampled_rows if record.config.analysis.rows == "auto" else None
        return replace(self, reads_data=self.binds_again, repeats=record.repeats, rows=rows)

    def used_by(self, record: AuditRecord) -> AuditConfig:
        """Return the configuration that an audit used, as its run tells it."""
        return self._of_baseline(record.config, record)

    def asked_of(self, record: AuditRecord) -> AuditConfig:
        """Return what an audit should have been asked to do: as given, else as its run says.

        Raises
        ------
        EvidenceError
            If the run names data where they may not be read.
        """
        if self.config is not None:
            return self._of_baseline(self.config, record)
        refuse_elsewhere(record.config.data, self.allowed, str(record))
        return self.used_by(record)

    def _of_baseline(self, config: AuditConfig, record: AuditRecord) -> AuditConfig:
        """Return a configuration with the repeats and the rows that a baseline was asked for, where it is one."""
        exactly = config if self.repeats is None else config.with_repeats(self.repeats)
        found_out_itself = record.config.analysis.rows == "auto"
        return exactly if found_out_itself else exactly.with_rows(self.rows)

    @property
    def gives_policy(self) -> bool:
        """Whether the policy is the promoter's own, and not the audit's."""
        return self.policy is not None or (self.config is not None and bool(self.config.checks))

    def policy_of(self, record: AuditRecord) -> Policy:
        """Return the policy that a version must keep."""
        own = self.config.policy if self.config is not None and self.config.checks else None
        return policy_for(record, own if self.policy is None else self.policy)

    def taken_on_trust(self) -> tuple[str, ...]:
        """Return in words what nobody has computed, read or given again."""
        said = {
            "the numbers on record (no --recompute)": not self.recomputes,
            "the audit's own configuration (no --config)": self.config_file is None and not self.pins,
            "the policy that the audit's author wrote (no --policy)": not self.gives_policy and not self.pins,
            "that the data are still those audited (--no-data)": not self.reads_data,
            "the code that came with the model (--trust-model)": self.trust_model and self.binds_again,
        }
        return tuple(words for words, applies in said.items() if applies)

    def found_by_name(self, record: AuditRecord) -> dict[str, str | list[str]]:
        """Return what an audit gave to inputs of the model that the trusted configuration does not list beside others.

        Parameters
        ----------
        record : AuditRecord
            That was found to be made as that configuration says.
        """
        listed = {} if self.config is None else self.config.inputs
        return {name: target for name, target in record.config.inputs.items() if listed and name not in listed}

    def next_step(self, record: AuditRecord) -> str:
        """Return how the policy is applied to an audit once more, as a command that leads on."""
        if self.policy is None and self.gives_policy:
            return f"Audit the version with that policy, and promote its newest audit: {self.audit_command(record)}"
        if isinstance(self.policy, Policy):
            return f"Apply the same policy again: nnperm_mlflow.check(run_id='{record.run_id}', policy=...)"
        table = [] if self.table is None else ["--table", str(self.table)]
        return f"Apply the policy again: {command('check', '--run', record.run_id, *table, *self._as_given)}"

    def audit_command(self, record: AuditRecord) -> str:
        """Return the command that audits the same version by the configuration and the policy that were given."""
        return command("audit", record.model, "--config", str(self.config_file), *self._as_given)

    @property
    def _as_given(self) -> list[str]:
        """The options that all commands have in common."""
        policy = ["--policy", str(self.policy)] if isinstance(self.policy, (str, Path)) else []
        return [*policy, *([] if self.experiment is None else ["--experiment", self.experiment])]
