"""Moving an alias, and writing down who moved it, from which version to which, on what evidence."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from mlflow import MlflowClient
from mlflow.entities import LoggedModelInput
from mlflow.exceptions import MlflowException

from nnperm_mlflow.basics.audit_files import PROMOTION_FILE
from nnperm_mlflow.basics.display import as_html, in_a_line
from nnperm_mlflow.basics.errors import RefusedError, TrackingError, name_list, says_missing
from nnperm_mlflow.basics.text import named
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.registry.audits import find_runs
from nnperm_mlflow.registry.run_session import RunSession
from nnperm_mlflow.registry.tags import (
    ALIAS_TAG,
    DIGEST_TAG,
    KIND_TAG,
    MODEL_TAG,
    PROMOTION,
    REPLACED_TAG,
    VERDICT_TAGS,
)
from nnperm_mlflow.registry.verdicts import log_texts
from nnperm_mlflow.registry.version_tags import version_key
from nnperm_mlflow.verdict.attempt import Attempt

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SignedPromotion:
    """Whose signatures a promotion rests on, as the trust file of who promoted has it.

    Attributes
    ----------
    by : str
        Who signed the promotion.
    number : int
        Of the alias; rises by one.
    statement : str
        sha256 of what was signed.
    audited_by : tuple of str
    requested_by : str
    reason : str
        Of the request.
    approved_by, refused_by : tuple of str
    conditions : tuple of str
        Under which it was approved.
    open_findings : tuple of str
        Checks that are not kept, and that the approvals have waived by name.
    """

    by: str
    number: int
    statement: str
    audited_by: tuple[str, ...]
    requested_by: str
    reason: str
    approved_by: tuple[str, ...]
    refused_by: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    open_findings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Promotion:
    """An alias given to a version.

    Attributes
    ----------
    model, version : str
        Registered name and version number.
    alias : str
    replaced : str or None
        The version that had the alias before.
    by : str
        Who moved it.
    at : str
        When, in UTC.
    run_id, newest_run_id : str
        The audit it stands on, and the version's newest.
    verdict : {"pass", "fail"}
        A fail only under a policy that is a dry run.
    policy_digest : str
    policy_is_given : bool
        Whether the policy was given by who promoted; else it is the audit's own.
    data_read_again, audited_again : bool
        Whether the data were read again and found to be those that were audited, and the whole audit made again.
    config_is_given : bool
        Whether the configuration was given by who promoted, and the audit's own found to be the same.
    taken_on_trust : tuple of str
        What was neither computed, read nor given again, in words.
    policy_name : str or None
        Of the policy.
    attempts : tuple of Attempt
        Other audits of the same model files on the same data under policies of that name.
    waiver : str or None
        Why the version was promoted although these speak against it.
    seed : int
        Of the audit that was judged.
    seed_is_secret : bool
        Whether that follows from a secret of who promoted.
    model_digest : str
        sha256 of the names and contents of the model's files that were promoted.
    found_by_name : mapping of str to str or list of str
        What inputs of the model receive that the given configuration does not list, though it lists others.
    signed : SignedPromotion or None
        Who has signed and decided, where it was carried out by a trust file.
    """

    model: str
    version: str
    alias: str
    replaced: str | None
    by: str
    at: str
    run_id: str
    newest_run_id: str
    verdict: str
    policy_digest: str
    policy_is_given: bool
    data_read_again: bool
    audited_again: bool
    config_is_given: bool = False
    taken_on_trust: tuple[str, ...] = ()
    policy_name: str | None = None
    attempts: tuple[Attempt, ...] = ()
    waiver: str | None = None
    seed: int = 0
    seed_is_secret: bool = False
    model_digest: str = ""
    found_by_name: Mapping[str, str | list[str]] = field(default_factory=dict)
    signed: SignedPromotion | None = None

    def __repr__(self) -> str:
        before = f" instead of version {self.replaced}" if self.replaced else ""
        what = f"version {self.version} of {self.model} is '{self.alias}'{before}"
        return in_a_line("Promotion", what, f"verdict {self.verdict}", f"evidence: run {self.run_id}")

    def _repr_html_(self) -> str:
        facts = {
            "alias": self.alias,
            "before": "no version" if self.replaced is None else f"version {self.replaced}",
            "by": self.by,
            "at": self.at,
            "verdict": self.verdict,
            "evidence": f"run {self.run_id}",
            "sha256 of the model's files": self.model_digest,
            "data read again": "yes" if self.data_read_again else "no",
            "audited again": "yes" if self.audited_again else "no",
            "taken on trust": ", ".join(self.taken_on_trust) or "nothing",
            **({"found by name": name_list(self.found_by_name)} if self.found_by_name else {}),
            **({} if self.waiver is None else {"waived": self.waiver}),
            **({} if self.signed is None else {"approved by": name_list(self.signed.approved_by)}),
        }
        return as_html(f"version {self.version} of {self.model} is '{self.alias}'", facts=facts.items())


def holder_of(client: MlflowClient, name: str, alias: str) -> str | None:
    """Return the version that has an alias; None where none has."""
    try:
        return str(client.get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        if says_missing(error):
            return None
        raise


def is_set_on_record(client: MlflowClient, name: str, alias: str, version: str) -> bool:
    """Tell whether the last promotion on record that moved an alias of a model gave it to a version."""
    condition = f"tags.`{KIND_TAG}` = '{PROMOTION}' and {named(f'tags.`{ALIAS_TAG}`', alias)}"
    versions = (run.data.tags.get(MODEL_TAG, "").rpartition("/") for run in find_runs(client, condition))
    return next((number for of, _, number in versions if of == f"models:/{name}"), None) == version


def move_alias(
    client: MlflowClient, promotion: Promotion, reference: ModelReference, texts: Mapping[str, str] | None = None
) -> str:
    """Give a version an alias; return the run that records it, which is begun before the alias moves.

    Parameters
    ----------
    client : MlflowClient
    promotion : Promotion
    reference : ModelReference
        The version.
    texts : mapping of str to str, optional
        What else the run shall hold, by the paths of the files: the signed statement.

    Raises
    ------
    RefusedError
        If another than the version that was to be replaced holds the alias by now; unless it is the version of a signed
        promotion itself, to which a guard gave it once it had read what was signed.
    TrackingError
        If another version holds it once it has been set: somebody else moved it at the same time.
    """
    name, alias = promotion.model, promotion.alias
    with RunSession(client) as session:
        run_name = f"promotion of {name} {promotion.version} to {alias}"
        session.start(reference, None, run_name=run_name, tags=_tags(promotion, reference))
        run_id = session.run_id
        client.log_text(run_id, json.dumps(asdict(promotion), indent=2) + "\n", PROMOTION_FILE)
        if texts:
            log_texts(client, client.get_run(run_id), texts)
        if reference.model_id:
            client.log_inputs(run_id, models=[LoggedModelInput(reference.model_id)])
        _refuse_moved(client, promotion)
        client.set_registered_model_alias(name, alias, promotion.version)
        _confirm_held(client, promotion)
        told = _in_short(promotion)
        try:
            client.set_model_version_tag(name, promotion.version, version_key(f"nnperm.promoted.{alias}"), told)
        except MlflowException as error:  # the alias has moved, and the run says so
            logger.warning("the version's tag could not be written (%s); the promotion stands", error.error_code)
    return run_id


def _tags(promotion: Promotion, reference: ModelReference) -> dict[str, str]:
    """Return what a search for promotions tells of one."""
    verdict, policy, *_ = VERDICT_TAGS
    told = {KIND_TAG: PROMOTION, MODEL_TAG: reference.uri, ALIAS_TAG: promotion.alias, verdict: promotion.verdict}
    replaced = {} if promotion.replaced is None else {REPLACED_TAG: promotion.replaced}
    return {**told, **replaced, policy: promotion.policy_digest, DIGEST_TAG: promotion.model_digest}


def _refuse_moved(client: MlflowClient, promotion: Promotion) -> None:
    """Refuse an alias that moved meanwhile, but to where a signed promotion puts it: a guard may read it first."""
    name, alias = promotion.model, promotion.alias
    holder = holder_of(client, name, alias)
    if holder == promotion.replaced:
        return
    if promotion.signed is not None and holder == promotion.version:
        logger.info("'%s' of %s has been given to version %s already, as was signed", alias, name, holder)
        return
    raise RefusedError(
        f"'{alias}' of {name} has moved meanwhile, from version {promotion.replaced} to {holder}. Look at who "
        "moved it (nnperm history), and promote again."
    )


def _confirm_held(client: MlflowClient, promotion: Promotion) -> None:
    """Read an alias once more after it was set: no server sets it for one caller at a time."""
    holder = holder_of(client, promotion.model, promotion.alias)
    if holder != promotion.version:
        there = "nothing" if holder is None else f"version {holder}"
        raise TrackingError(
            f"'{promotion.alias}' of {promotion.model} was given to version {promotion.version}, and is {there} now: "
            "somebody else moved it at the same time. Look at who did (nnperm history), and promote again the version "
            "that shall have it."
        )


def _in_short(promotion: Promotion) -> str:
    replaced = f", replacing version {promotion.replaced}" if promotion.replaced else ""
    return f"{promotion.at} by {promotion.by}{replaced}"
