"""Whether an audit rests on what its policy requires, and is one of its trial; what is missing is named."""

from __future__ import annotations

from nnperm_mlflow.basics.errors import CheckError, name_list
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.config.requirements import Requirements
from nnperm_mlflow.config.trial import Trial, trial_seed
from nnperm_mlflow.verdict._estimates import untested_features
from nnperm_mlflow.verdict.audit_evidence import Evidence
from nnperm_mlflow.verdict.training_rows import MOST_OF_TRAINING


def refuse_missing(policy: Policy, evidence: Evidence) -> None:
    """Refuse to judge an audit that does not rest on what a policy requires, or is none of its trial.

    Parameters
    ----------
    policy : Policy
    evidence : Evidence

    Raises
    ------
    CheckError
        With all that is missing, and what to do about each.
    """
    missing = []
    if policy.requires is not None:
        missing += _unmet(policy.requires, evidence)
    if policy.trial is not None:
        missing += _of_another_trial(policy, policy.trial, evidence)
    if missing:
        raise CheckError(f"the policy requires what the audit of {evidence.model} lacks: {'; '.join(missing)}.")


def _unmet(requires: Requirements, evidence: Evidence) -> list[str]:
    missing = [*_too_few(requires, evidence), *_other_data(requires.data, evidence), *_left_out(requires, evidence)]
    if requires.not_training:
        missing += _of_training(evidence)
    if requires.model_code == "none":
        missing += _of_model_code(evidence)
    return missing


def _of_another_trial(policy: Policy, trial: Trial, evidence: Evidence) -> list[str]:
    subject = evidence.subject
    missing = [*_too_few(Requirements(rows=trial.rows), evidence), *_other_data(trial.data_digest, evidence)]
    if trial.config is not None and not evidence.design.startswith(trial.config):
        missing.append(
            f"what its trial does (config {trial.config}), and it did {evidence.design[:12]}...: audit with the "
            "configuration of the trial"
        )
    if trial.all_repeats and subject.repeats not in trial.all_repeats:
        wanted = " or ".join(map(str, trial.all_repeats))
        missing.append(f"{wanted} repeats, and it has {subject.repeats}: leave out 'analysis: repeats'")
    seed = trial_seed(policy.digest(), subject.data_digest) if evidence.seed is None else evidence.seed
    if subject.seed != seed:
        missing.append(f"the seed of its trial, {seed}, and it has {subject.seed}: audit again under this policy")
    return missing


def _too_few(requires: Requirements, evidence: Evidence) -> list[str]:
    subject, missing = evidence.subject, []
    kept = int((evidence.summary["rows"] - evidence.summary["skipped"]).min()) // subject.repeats
    asked = {
        "rows": (requires.rows, min(subject.rows, kept), "audit more rows that the model predicts"),
        "repeats": (requires.repeats, subject.repeats, "set 'analysis: repeats'"),
        "positives": (requires.positives, subject.positives, "name labels of two classes (data: label)"),
        "clusters": (requires.clusters, subject.clusters, "name their column (data: cluster)"),
    }
    for what, (least, found, hint) in asked.items():
        if least is not None and found is None:
            missing.append(f"at least {least:,} {what}, and it tells of none: {hint}")
        elif least is not None and found is not None and found < least:
            missing.append(f"at least {least:,} {what}, and it has {found:,}: {hint}")
    return missing


def _other_data(begins: str | None, evidence: Evidence) -> list[str]:
    digest = evidence.subject.data_digest
    if begins is None or digest.startswith(begins):
        return []
    return [f"data whose sha256 begins with {begins}, and it is of {digest[:12]}...: audit those data"]


def _left_out(requires: Requirements, evidence: Evidence) -> list[str]:
    if requires.features != "all":
        return []
    missing = []
    if evidence.excluded:
        missing.append(f"all features, and {name_list(evidence.excluded)} is left out: take it off 'analysis: exclude'")
    untested = untested_features(evidence.summary)
    if untested:
        missing.append(f"all features, and {name_list(untested)} changed no value: audit rows in which it varies")
    return missing


def _of_training(evidence: Evidence) -> list[str]:
    training = evidence.training
    if training is None:
        return ["rows that the model was not fitted to, and it did not look: audit again under this policy"]
    if training.share is None:
        return [f"rows that the model was not fitted to, and that cannot be told: {training.reason}"]
    if training.share > MOST_OF_TRAINING:
        return [
            f"rows that the model was not fitted to, and {training.share:.1%} of them are in {training.source}: audit "
            "rows that were kept out of the training"
        ]
    return []


_CODE_RAN = {
    "isolated": "its code ran in a process of its own",
    "in process": "its code ran in the process that measured",
}


def _of_model_code(evidence: Evidence) -> list[str]:
    if evidence.model_code == "none":
        return []
    ran = _CODE_RAN.get(evidence.model_code, "the audit does not tell whether such code ran")
    return [
        f"a model that runs no code of its own, and {ran}: log the network so that it needs none (README: models from "
        "strangers), and audit it without --trust-model"
    ]
