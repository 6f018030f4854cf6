"""Giving a version an alias, only after the evidence for it has been read again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow import MlflowClient

from nnperm_mlflow.approval.attempts import attempts_of, refuse_attempts
from nnperm_mlflow.approval.policy_check import find_record
from nnperm_mlflow.basics.errors import AuditError, ConfigError, EvidenceError, RefusedError
from nnperm_mlflow.config.policy import AnyPolicy, Policy
from nnperm_mlflow.evidence.audit_record import ROWS_DIGEST, AuditRecord
from nnperm_mlflow.models.model_uri import ModelReference, pin_model
from nnperm_mlflow.promotion.rereading import confirm, confirm_files
from nnperm_mlflow.promotion.terms import Terms
from nnperm_mlflow.promotion.verdict_confirmation import confirm_verdict, judge_against
from nnperm_mlflow.registry.aliases import Promotion, SignedPromotion, holder_of, is_set_on_record, move_alias
from nnperm_mlflow.registry.audits import only_experiment
from nnperm_mlflow.registry.connection import connected, current_user
from nnperm_mlflow.registry.copies import audits_of
from nnperm_mlflow.registry.records import read_audit
from nnperm_mlflow.registry.sightings import Sightings
from nnperm_mlflow.registry.tags import RUN_TAG
from nnperm_mlflow.registry.version_tags import read_tags
from nnperm_mlflow.verdict.attempt import Attempt
from nnperm_mlflow.verdict.verdict import Verdict, stamp

if TYPE_CHECKING:
    from nnperm_mlflow.promotion.signed_promotion import Promoter

logger = logging.getLogger(__name__)


def promote(
    model_uri: str,
    alias: str,
    *,
    policy: AnyPolicy = None,
    run_id: str | None = None,
    experiment: str | None = None,
    table: str | Path | None = None,
    config: str | Path | None = None,
    reads_data: bool = True,
    recompute: bool = False,
    trust_model: bool = False,
    allow_data: Sequence[str] = (),
    waiver: str | None = None,
    seed_secret: str | Path | None = None,
    trust: str | Path | None = None,
    key: str | Path | None = None,
    password: str | None = None,
    emergency: str | None = None,
    audit_within_hours: float = 72.0,
) -> Promotion:
    """Give a version an alias, if the evidence bears the verdict that it passes.

    Parameters
    ----------
    model_uri : str
        A registered version: `models:/credit/4`, or by another alias.
    alias : str
        The alias it shall have: `champion`.
    policy : Policy, str or Path, optional
        What it must keep; by default the checks of `config`, else the policy of its audit.
    run_id : str, optional
        The run with the audit; by default the newest of the version.
    experiment : str, optional
        Name of the only experiment whose audits count, that of the version as of those it is compared with.
    table : str or Path, optional
        A copy of the deviation table, where that was kept out of the run.
    config : str or Path, optional
        The YAML file that the version should have been audited with, and where the data are now: audits that were made
        otherwise are refused. By default the audit's own is taken on trust.
    reads_data : bool
        Whether the data are read again, and must still be those that were audited.
    recompute : bool
        Whether the audits of the version, and of those that it is compared with, are made again and judged, and what is
        on record must agree: the only way to know that nobody has made the numbers up.
    trust_model : bool
        Allow code that came with the model to run, where `config` or `recompute` load it.
    allow_data : sequence of str
        Paths, or how URIs begin, from which data may be read that a run names; by default files of this machine. What
        `config` names is always read.
    waiver : str, optional
        Why the version is promoted although the trial of its policy allows no such attempt more, or another one has
        failed; it is written down.
    seed_secret : str or Path, optional
        A file with a secret of at least 16 bytes. With `recompute` the audits are made with a seed that follows from
        it, the policy and the data, which nobody else can tell beforehand, and what comes out is judged.
    trust : str or Path, optional
        A trust file: then the promotion carries out what people have signed (`request`, `approve`), of an audit and a
        verdict that were signed, and is signed itself.
    key, password : str or Path, str, optional
        With `trust`, file of the promoter's key and its password.
    emergency : str, optional
        With `trust`: why the version is promoted without any audit. One who may approve signs it; nothing but the
        digest of the files is read, and all other arguments are left aside.
    audit_within_hours : float
        Until when an ordinary promotion has to follow an emergency; `guard` reports from then on.

    Returns
    -------
    Promotion

    Raises
    ------
    RefusedError
        If the evidence does not bear it: no finished audit, another verdict or policy, another configuration, other
        model files or data, changed files, an alias that has moved meanwhile; with `trust` what is unsigned, or not
        approved. The message says which. Nothing is changed then.
    ConfigError
        If a file that is given cannot be read, a key is not one that counts, or there is no such experiment.
    TrackingError
        If somebody else moved the alias at the very same time.
    """
    if emergency is not None:
        return _in_emergency(
            model_uri, alias, emergency, within_hours=audit_within_hours, trust=trust, key=key, password=password
        )
    terms = Terms(
        policy=policy,
        config_file=config,
        recomputes=recompute,
        reads_data=reads_data,
        trust_model=trust_model,
        allowed=(allow_data,) if isinstance(allow_data, str) else tuple(allow_data),
        experiment=experiment,
        table=table,
        waiver=waiver,
        secret_file=seed_secret,
        pins=trust is not None,
    )
    terms.read()
    with connected() as (client, scratch):
        if experiment is not None:
            only_experiment(client, experiment)
        reference = pin_model(client, model_uri)
        if reference.name is None or reference.version is None:
            raise ConfigError(
                f"{model_uri} is no registered version, so that no alias can name it: give models:/name/4."
            )
        promoter = None if trust is None else _promoter(trust, key, password, reference.name, alias=alias)
        holder = holder_of(client, reference.name, alias)
        try:
            record = _find_evidence(client, reference, scratch, run_id=run_id, terms=terms)
            used = terms.policy_of(record)
            used.refuse_expired(datetime.now(timezone.utc).date())
            attempts = _attempts(client, record, scratch, terms=terms, policy=used)
            verdict = _decide(client, record, reference, scratch / "confirmed", terms=terms, policy=used)
            agreed = (
                None
                if promoter is None
                else _agreed(client, record, reference, verdict, promoter=promoter, folder=scratch)
            )
        except AuditError as error:
            raise RefusedError(f"{reference} does not become '{alias}': {error}") from error
        if verdict.blocks and agreed is None:
            raise RefusedError(f"{reference} does not become '{alias}': {verdict.in_words}.", verdict)
        if verdict.status == "fail":
            logger.warning("%s fails its policy, which is a dry run: it is promoted all the same", reference)
        signed, texts = (None, None) if agreed is None else agreed(holder)
        promotion = Promotion(
            model=reference.name,
            version=reference.version,
            alias=alias,
            replaced=holder,
            by=current_user(),
            at=stamp(datetime.now(timezone.utc)),
            run_id=record.run_id,
            newest_run_id=_newest(client, reference) or record.run_id,
            verdict=verdict.status,
            policy_digest=used.digest(),
            policy_is_given=terms.gives_policy,
            data_read_again=terms.reads_data,
            audited_again=terms.recomputes,
            config_is_given=terms.config is not None,
            taken_on_trust=(*terms.taken_on_trust(), *_aliases_on_trust(client, verdict)),
            policy_name=used.name,
            attempts=attempts,
            waiver=waiver,
            seed=terms.own_seed(used, record) or record.seed,
            seed_is_secret=terms.secret is not None,
            model_digest=record.param("model_digest"),
            found_by_name=terms.found_by_name(record),
            signed=signed,
        )
        move_alias(client, promotion, reference, texts)
    return promotion


def _in_emergency(model_uri: str, alias: str, reason: str, **given: Any) -> Promotion:  # noqa: ANN401 - as they are
    """Promote without an audit; only here, and by a trust file, the libraries of signatures are needed."""
    from nnperm_mlflow.promotion.emergency_promotion import promote_in_emergency  # noqa: PLC0415

    return promote_in_emergency(model_uri, alias, reason=reason, **given)


def _promoter(trust: str | Path, key: str | Path | None, password: str | None, name: str, *, alias: str) -> Promoter:
    """Return who promotes by a trust file; only here the libraries of signatures are needed."""
    from nnperm_mlflow.promotion.signed_promotion import promoter_of  # noqa: PLC0415

    return promoter_of(trust, key, password, name, alias)


def _agreed(
    client: MlflowClient,
    record: AuditRecord,
    reference: ModelReference,
    verdict: Verdict,
    *,
    promoter: Promoter,
    folder: Path,
) -> Callable[[str | None], tuple[SignedPromotion, dict[str, str]]]:
    """Return what signs the promotion, given the version that it replaces, if people have agreed to it."""
    from nnperm_mlflow.promotion.signed_promotion import find_agreed, sign_promotion  # noqa: PLC0415

    agreed = find_agreed(client, record, reference, verdict, promoter=promoter, folder=folder / "signed")
    return lambda replaced: sign_promotion(agreed, promoter, replaced)


def _find_evidence(
    client: MlflowClient, reference: ModelReference, folder: Path, *, run_id: str | None, terms: Terms
) -> AuditRecord:
    """Return the audit to rely on: the one named, else the newest; one that the version names must still be there."""
    experiment, table = terms.experiment, terms.table
    if run_id is not None:
        return find_record(client, folder, run_id=run_id, table=table, experiment=experiment)
    tags = read_tags(client.get_model_version(reference.name, reference.version).tags)
    if RUN_TAG in tags:
        read_audit(client, tags[RUN_TAG], folder / tags[RUN_TAG])
    seen = Sightings.of_user()
    return find_record(client, folder, model_uri=reference.uri, table=table, experiment=experiment, sightings=seen)


def _newest(client: MlflowClient, reference: ModelReference) -> str:
    """Return the run of the version's newest audit; "" where there is none whose end can be believed."""
    found = audits_of(client, reference.uri, sightings=Sightings.of_user())
    return str(found[0].info.run_id) if found else ""


def _aliases_on_trust(client: MlflowClient, verdict: Verdict) -> list[str]:
    """Return in words which aliases that a verdict compares with no promotion on record has put where they are."""
    told = []
    for asked, uri in verdict.baselines.items():
        model, _, alias = asked.rstrip("/").rpartition("@")
        name, version = uri.removeprefix("models:/").rpartition("/")[::2]
        if model and not is_set_on_record(client, name, alias, version):
            told.append(f"that {asked} is version {version} (no promotion on record made it so)")
    return told


def _attempts(
    client: MlflowClient, record: AuditRecord, folder: Path, *, terms: Terms, policy: Policy
) -> tuple[Attempt, ...]:
    """Return the other attempts to pass the policy, unless they speak against this one and nobody says why not."""
    attempts = attempts_of(
        client,
        policy,
        record.param("model_digest"),
        record.param("data_digest"),
        folder=folder,
        but=record.run_id,
        served=record.served_digest,
        rows=record.params.get(ROWS_DIGEST),
    )
    try:
        refuse_attempts(policy, attempts, terms.waiver)
    except EvidenceError as error:
        if policy.mode == "enforce":
            raise
        logger.warning("the policy is a dry run: %s", error)
    return attempts


def _decide(
    client: MlflowClient, record: AuditRecord, reference: ModelReference, folder: Path, *, terms: Terms, policy: Policy
) -> Verdict:
    """Return the verdict on what was read again, or, where that is asked for, on what was computed again."""
    again = confirm(client, record, reference, folder / "version", terms=terms, policy=policy)
    told = confirm_verdict(client, record, folder / "baselines", terms=terms, policy=policy)
    others, read, of_others = {}, [(record, reference)], terms.of_baseline(record)
    for number, (asked, other) in enumerate(told.others.items()):
        baseline = pin_model(client, told.pinned[asked])
        where = folder / f"baseline{number}"
        others[asked] = confirm(client, other, baseline, where, terms=of_others, policy=policy)
        read.append((other, baseline))
    for number, (audited, model) in enumerate(read):
        confirm_files(audited, model, folder / f"at_last{number}")
    if not terms.recomputes or told.verdict.blocks:  # which another seed does not undo
        return told.verdict
    return judge_against(policy, told.pinned, again, others, terms.own_seed(policy, record))
