"""Audits a registered network: how far its predictions move when one input feature is disturbed.

The tour, in the order of a model's life:

`audit` loads a version by its URI, shuffles one feature after the other (or sets it to a rare value), predicts again,
and writes how far each prediction moved into an MLflow run that is linked to the version; an `AuditResult` holds the
same. `plan_audit` checks everything and tells what that will take (a `Forecast`), without a run. What is asked for is
an `AuditConfig`: `load_config` reads one from YAML, and `propose` finds one out from a model and its data (a
`Proposal`, which `write_config` writes as YAML). Rows that are in memory already are given as they are (a DataFrame,
arrays by the names of the model's inputs), or as a `Dataset` of columns and `Series`, which `dataset_from` makes.

A `Policy` (`load_policy`) says what a version must keep; `upgrade_policy` writes a file of before in the present
format (an `UpgradedPolicy`). `audit` and `check` make a `Verdict` of it: `check` applies a
policy to an audit on record, without running the model (a `CheckResult`). `promote` gives a version an alias once the
evidence has been read again and bears it (a `Promotion`), and raises `RefusedError` otherwise.

`explain` tells what the prediction of one observation rests on, beside those of others (an `Explanation`): in words for
a letter, as numbers and as a picture.

`compare` tells what changed between two versions, row by row (a `ComparisonResult`), `history` what happened to all
versions of a model (a `History`), `write_report` writes the page of an audit on record, and `publish` writes results
that a server could not take (a `PublishResult`).

Where more than the server is to be relied on, `sign` puts signatures under an audit and its verdict (a `SignedAudit`),
`bundle` packs both (a `WrittenBundle`), and `verify` reads that without any server (a `VerifiedBundle`). People
`request` an alias for a version, `approve` or `refuse` it (a `Decision`), `promote` carries out what enough of them
have signed, and `guard` tells whether an alias is where its promotions have put it (a `GuardReport`).

Whatever hinders one of them is an `AuditError`, whose message says what was expected, what came and what to do:

    import nnperm_mlflow

    result = nnperm_mlflow.audit("credit.yaml", model_uri="models:/credit/4", policy="policy.yaml")
    if result.verdict.status == "pass":
        nnperm_mlflow.promote("models:/credit/4", "champion", policy="policy.yaml")

Names are loaded when they are first asked for: importing this module loads neither MLflow nor a network library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnperm_mlflow.approval.audit_bundle import WrittenBundle, bundle
    from nnperm_mlflow.approval.decisions import Decision, approve, refuse, request
    from nnperm_mlflow.approval.policy_check import CheckResult, check
    from nnperm_mlflow.approval.report_file import write_report
    from nnperm_mlflow.approval.signed_audit import SignedAudit, sign
    from nnperm_mlflow.attestation.bundle_verification import VerifiedBundle
    from nnperm_mlflow.auditor.audit_procedure import audit, plan_audit
    from nnperm_mlflow.auditor.forecast import Forecast
    from nnperm_mlflow.auditor.outbox import PublishResult, publish
    from nnperm_mlflow.auditor.proposal.config_proposal import propose
    from nnperm_mlflow.auditor.proposal.document import write_config
    from nnperm_mlflow.auditor.proposal.result import Proposal
    from nnperm_mlflow.auditor.result import AuditResult
    from nnperm_mlflow.basics.errors import (
        AuditError,
        CheckError,
        ConfigError,
        DataError,
        EvidenceError,
        MissingBaselineError,
        ModelError,
        ModelNotFoundError,
        NonFinitePredictionError,
        PredictionError,
        RefusedError,
        RoomError,
        ShapeError,
        TrackingError,
        UnknownFeatureError,
        UntrustedModelError,
    )
    from nnperm_mlflow.comparison.model_history import History, history
    from nnperm_mlflow.comparison.version_comparison import ComparisonResult, compare
    from nnperm_mlflow.config.audit_config import AuditConfig, load_config
    from nnperm_mlflow.config.policy import Policy, load_policy
    from nnperm_mlflow.config.policy_upgrade import UpgradedPolicy, upgrade_policy
    from nnperm_mlflow.explanation.explanation_result import Explanation
    from nnperm_mlflow.explanation.observation_explanation import explain
    from nnperm_mlflow.inputs.dataset import Dataset, Series, dataset_from
    from nnperm_mlflow.promotion.alias_guard import GuardReport, guard
    from nnperm_mlflow.promotion.alias_promotion import promote
    from nnperm_mlflow.promotion.bundle_audit import verify
    from nnperm_mlflow.registry.aliases import Promotion
    from nnperm_mlflow.verdict.verdict import Verdict

__version__ = "0.1.0"

_ERRORS = (
    "AuditError", "CheckError", "ConfigError", "DataError", "EvidenceError", "MissingBaselineError", "ModelError",
    "ModelNotFoundError", "NonFinitePredictionError", "PredictionError", "RefusedError", "RoomError", "ShapeError",
    "TrackingError", "UnknownFeatureError", "UntrustedModelError",
)  # fmt: skip
_HOME = {
    **dict.fromkeys(_ERRORS, "basics.errors"),
    **dict.fromkeys(("CheckResult", "check"), "approval.policy_check"),
    **dict.fromkeys(("Decision", "request", "approve", "refuse"), "approval.decisions"),
    **dict.fromkeys(("SignedAudit", "sign"), "approval.signed_audit"),
    **dict.fromkeys(("WrittenBundle", "bundle"), "approval.audit_bundle"),
    "VerifiedBundle": "attestation.bundle_verification",
    "write_report": "approval.report_file",
    **dict.fromkeys(("audit", "plan_audit"), "auditor.audit_procedure"),
    "AuditResult": "auditor.result",
    "Forecast": "auditor.forecast",
    **dict.fromkeys(("PublishResult", "publish"), "auditor.outbox"),
    **dict.fromkeys(("History", "history"), "comparison.model_history"),
    **dict.fromkeys(("ComparisonResult", "compare"), "comparison.version_comparison"),
    **dict.fromkeys(("AuditConfig", "load_config"), "config.audit_config"),
    **dict.fromkeys(("Policy", "load_policy"), "config.policy"),
    **dict.fromkeys(("UpgradedPolicy", "upgrade_policy"), "config.policy_upgrade"),
    **dict.fromkeys(("Dataset", "Series", "dataset_from"), "inputs.dataset"),
    "Explanation": "explanation.explanation_result",
    "explain": "explanation.observation_explanation",
    "Promotion": "registry.aliases",
    "Verdict": "verdict.verdict",
    "promote": "promotion.alias_promotion",
    "verify": "promotion.bundle_audit",
    **dict.fromkeys(("GuardReport", "guard"), "promotion.alias_guard"),
    "Proposal": "auditor.proposal.result",
    "propose": "auditor.proposal.config_proposal",
    "write_config": "auditor.proposal.document",
}
"""For each public name the module that makes it."""

__all__ = [
    "AuditConfig",
    "AuditError",
    "AuditResult",
    "CheckError",
    "CheckResult",
    "ComparisonResult",
    "ConfigError",
    "DataError",
    "Dataset",
    "Decision",
    "EvidenceError",
    "Explanation",
    "Forecast",
    "GuardReport",
    "History",
    "MissingBaselineError",
    "ModelError",
    "ModelNotFoundError",
    "NonFinitePredictionError",
    "Policy",
    "PredictionError",
    "Promotion",
    "Proposal",
    "PublishResult",
    "RefusedError",
    "RoomError",
    "Series",
    "ShapeError",
    "SignedAudit",
    "TrackingError",
    "UnknownFeatureError",
    "UntrustedModelError",
    "UpgradedPolicy",
    "Verdict",
    "VerifiedBundle",
    "WrittenBundle",
    "approve",
    "audit",
    "bundle",
    "check",
    "compare",
    "dataset_from",
    "explain",
    "guard",
    "history",
    "load_config",
    "load_policy",
    "plan_audit",
    "promote",
    "propose",
    "publish",
    "refuse",
    "request",
    "sign",
    "upgrade_policy",
    "verify",
    "write_config",
    "write_report",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
