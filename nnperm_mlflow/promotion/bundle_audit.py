"""Verifying a bundle, and making its audit again where model and data are at hand: without any server or run."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NoReturn, cast

from nnperm_mlflow.attestation.bundle_recomputation import Words
from nnperm_mlflow.attestation.bundle_verification import VerifiedBundle, verify_bundle
from nnperm_mlflow.attestation.trust import Trust
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError
from nnperm_mlflow.basics.paths import local_path
from nnperm_mlflow.config.audit_config import load_config
from nnperm_mlflow.evidence.audit_record import AuditRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DIGESTS = ("model_digest", "data_digest")


def verify(
    bundle: str | Path,
    *,
    trust: str | Path | Trust,
    alias: str | None = None,
    model: str | Path | None = None,
    config: str | Path | None = None,
    recompute: bool = False,
    trust_model: bool = False,
) -> VerifiedBundle:
    """Verify a bundle without any server: who has signed what, that its files are these, and that its numbers fit.

    Parameters
    ----------
    bundle : str or Path
        As `nnperm bundle` writes it: a folder or a zip.
    trust : str, Path or Trust
        The trust file of whoever verifies.
    alias : str, optional
        Whose terms it is held against; may be left out where the trust file names one of the model.
    model : str or Path, optional
        A folder with the model's files, which are then held against the digest that was signed.
    config : str or Path, optional
        A configuration that says where the data are, which are then read and held against theirs.
    recompute : bool
        Whether the audit is made again with both, as the signed configuration says, and its summary, scores and
        segments are held against those that were signed. It takes as long as the audit did.
    trust_model : bool
        Allow code that came with the model to run, where `recompute` loads it.

    Returns
    -------
    VerifiedBundle

    Raises
    ------
    EvidenceError
        If anything is not what somebody has signed whom the trust file names for it, or comes out otherwise. The
        message says what.
    ConfigError
        If the bundle is not there, the trust file cannot be used, or `recompute` lacks model or data.
    AuditError
        If the audit cannot be made again here: a library is missing, or the model's code is not trusted.
    """
    if recompute and (model is None or config is None):
        raise ConfigError(
            "to make the audit again (--recompute) the model and the data are needed: give a folder with the model's "
            "files (--model DIR), and a configuration that says where the data are (--config FILE)."
        )
    if trust_model and not recompute:
        raise ConfigError(
            "code that came with the model (--trust-model) runs only where the audit is made again: add --recompute."
        )

    def again(record: AuditRecord) -> Words:
        return _audited_again(record, local_path(str(model), "the model"), str(config), trust_model)

    return verify_bundle(
        bundle, trust=trust, alias=alias, model=model, config=config, again=again if recompute else None
    )


def _audited_again(record: AuditRecord, model: Path, config: str, trust_model: bool) -> Words:
    """Make an audit again, and return in words what that shows, and what it does not.

    It is made as the signed configuration says; the other one tells where the data are, and no more.
    """
    from nnperm_mlflow.models.model_uri import ModelReference  # noqa: PLC0415 - MLflow takes seconds
    from nnperm_mlflow.promotion.second_audit import as_watched, audit_again, bind_again  # noqa: PLC0415
    from nnperm_mlflow.promotion.trusted_config import refuse_other_configuration  # noqa: PLC0415

    signed = record.config
    asked = signed.model_copy(update={"data": load_config(config).data})
    policy = as_watched(signed.policy, record, asked, None).model_copy(update={"valid_until": None})
    place = str(model.resolve())
    with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch) / "again"
        reference = ModelReference(place, place)
        nobody = cast("MlflowClient", _NoServer())
        plan = bind_again(nobody, reference, asked, policy=policy, trust_model=trust_model, folder=folder)
        with closing(plan):
            for name in _DIGESTS:
                if str(plan.record[name]) != record.param(name):
                    raise EvidenceError(f"{name} has changed while the bundle was verified. Verify it again.")
            refuse_other_configuration(plan.used, signed, str(record), "say of the data what the signed one says")
            audit_again(plan, record, folder)
    shown = ("the whole audit by model and data at hand (summary, scores, segments and pairs)",)
    return shown, _on_trust(record, trust_model)


def _on_trust(record: AuditRecord, trust_model: bool) -> tuple[str, ...]:
    """Return in words what an audit made again leaves open."""
    said = {
        "the code that came with the model (--trust-model)": trust_model,
        "which rows the model was fitted to": record.training is not None,
    }
    return tuple(words for words, applies in said.items() if applies)


class _NoServer:
    """Stands where an audit has MLflow's client, and refuses whatever would ask a server."""

    def __getattr__(self, name: str) -> NoReturn:
        raise EvidenceError(
            f"to make the audit again a server is needed ('{name}'), and a bundle is verified without one. Leave out "
            "--recompute, or promote with it."
        )
