"""The tags by which runs and versions tell what they are."""

from __future__ import annotations

from collections.abc import Mapping

AUDIT, COMPARISON, PROMOTION, DECISION = "audit", "comparison", "promotion", "decision"
"""What a run of ours is, as its tag `nnperm.kind` says."""

KIND_TAG, MODEL_TAG, DATA_TAG = "nnperm.kind", "nnperm.model", "nnperm.data_digest"

WHOLE_TAG = "nnperm.whole"
"""Tag of a run that holds all that an audit has to leave there."""

TABLE_TAG = "nnperm.table"
"""Tag of a run whose deviation table is not in it: where it is, or that it was kept out."""
KEPT_OUT = "kept out"

ERROR_TAG = "nnperm.error"
"""Tag of a run with what hindered the audit."""

ALIAS_TAG, REPLACED_TAG = "nnperm.alias", "nnperm.replaced"
"""Tags of a promotion's run: the alias, and the version that had it before."""

ACT_TAG = "nnperm.act"
"""Tag of a decision's run: request, approve or refuse."""

DIGEST_TAG = "nnperm.model_digest"
"""Tag of a promotion's run: sha256 of the model's files that were promoted."""

RUN_TAG = "nnperm.run_id"
"""Tag of a version: the run of its newest audit."""

VERDICT_TAGS = ("nnperm.verdict", "nnperm.policy", "nnperm.mode", "nnperm.policy_name")
"""Tags of a run and of a version: pass or fail, the policy's digest, whether it is enforced, its name if it has one."""

_UNDER = "nnperm.verdict."


def verdict_tag_of(policy: str) -> str:
    """Return the tag of a run and of a version that tells the newest verdict under the policies of a name."""
    return _UNDER + policy


def verdicts_by_policy(tags: Mapping[str, str]) -> dict[str, str]:
    """Return for each name of a policy, of which tags tell a verdict, `pass` or `fail`."""
    return {key.removeprefix(_UNDER): value for key, value in tags.items() if key.startswith(_UNDER)}
