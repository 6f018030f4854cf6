"""The record of an audit in a file: what its run tells, so that a folder holds all that there is of the audit."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from nnperm_mlflow.basics.audit_files import (
    CONFIG_FILE,
    DIFFERENCES_FILE,
    INTERACTIONS_FILE,
    OUTCOME_FILE,
    PARTS_FILE,
    RECORD_FILE,
    SCORE_DIFFERENCES_FILE,
    SCORES_FILE,
    SEGMENT_SCORES_FILE,
    SEGMENTS_FILE,
    SUMMARY_FILE,
    TABLE_FILE,
)
from nnperm_mlflow.basics.documents import Strict
from nnperm_mlflow.basics.errors import EvidenceError
from nnperm_mlflow.evidence.audit_folder import FolderFiles
from nnperm_mlflow.evidence.audit_record import (
    CONFIG_DIGEST,
    DIFFERENCES_DIGEST,
    INTERACTIONS_DIGEST,
    OUTCOME_DIGEST,
    SCORE_DIFFERENCES_DIGEST,
    SCORES_DIGEST,
    SEGMENT_SCORES_DIGEST,
    SEGMENTS_DIGEST,
    SUMMARY_DIGEST,
    TABLE_DIGEST,
    AuditRecord,
)

_DIGESTS = {
    TABLE_FILE: TABLE_DIGEST,
    SUMMARY_FILE: SUMMARY_DIGEST,
    CONFIG_FILE: CONFIG_DIGEST,
    SCORES_FILE: SCORES_DIGEST,
    SEGMENTS_FILE: SEGMENTS_DIGEST,
    DIFFERENCES_FILE: DIFFERENCES_DIGEST,
    SEGMENT_SCORES_FILE: SEGMENT_SCORES_DIGEST,
    SCORE_DIFFERENCES_FILE: SCORE_DIFFERENCES_DIGEST,
    INTERACTIONS_FILE: INTERACTIONS_DIGEST,
}

_DIGESTS_ON_CLUSTER = {PARTS_FILE: TABLE_DIGEST, OUTCOME_FILE: OUTCOME_DIGEST}
"""Of an audit whose deviation table lies in parts on a cluster's storage, instead of that of the table."""

EVIDENCE_FILES = (*_DIGESTS, *_DIGESTS_ON_CLUSTER)
"""The files that numbers and verdicts rest on; which of them an audit has, its record tells."""


class _Packed(Strict):
    run_id: str
    experiment_id: str
    params: dict[str, str]


def digests_on_record(record: AuditRecord) -> dict[str, str]:
    """Return the sha256 of each file of an audit that its record tells, by the file's name."""
    told = dict(_DIGESTS)
    if record.is_on_cluster:
        del told[TABLE_FILE]
        told |= _DIGESTS_ON_CLUSTER
    return {name: record.param(digest) for name, digest in told.items() if digest in record.params}


def pack_record(record: AuditRecord) -> bytes:
    """Return what the run of an audit tells of it for good, as a file holds it: its parameters, and no tags."""
    told = {"run_id": record.run_id, "experiment_id": record.experiment_id, "params": dict(record.params)}
    return (json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def unpack_record(folder: Path) -> AuditRecord:
    """Return the audit that a folder holds with all its files.

    Parameters
    ----------
    folder : Path
        With `record.json` and the files that it tells of; the deviation table may be missing.

    Raises
    ------
    EvidenceError
        If there is no such file, or it is not what `pack_record` writes.
    """
    try:
        told = _Packed.model_validate_json((folder / RECORD_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise EvidenceError(
            f"{RECORD_FILE} is not there, or not what is written there. Pack the audit again."
        ) from error
    lacks_table = not (folder / TABLE_FILE).is_file()
    files = FolderFiles(folder)
    return AuditRecord(told.run_id, told.experiment_id, told.params, files, tags={}, lacks_table=lacks_table)
