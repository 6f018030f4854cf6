"""The tags by which runs and versions tell what they are."""

from __future__ import annotations

AUDIT, COMPARISON, PROMOTION = "audit", "comparison", "promotion"
"""What a run of ours is, as its tag `nnperm.kind` says."""

KIND_TAG, MODEL_TAG, DATA_TAG = "nnperm.kind", "nnperm.model", "nnperm.data_digest"

WHOLE_TAG = "nnperm.whole"
"""Tag of a run that holds all that an audit has to leave there."""

TABLE_TAG = "nnperm.table"
"""Tag of a run whose deviation table was kept out of it."""

ERROR_TAG = "nnperm.error"
"""Tag of a run with what hindered the audit."""

RUN_TAG = "nnperm.run_id"
"""Tag of a version: the run of its newest audit."""

VERDICT_TAGS = ("nnperm.verdict", "nnperm.policy", "nnperm.mode")
"""Tags of a run and of a version: pass or fail, the policy's digest, whether it is enforced."""
