"""An audit's record in a file: nothing that a run is held to is left out of it."""

from pathlib import Path

from nnperm_mlflow.basics.audit_files import file_digest
from nnperm_mlflow.evidence import audit_record, packed_record
from nnperm_mlflow.evidence.audit_folder import FolderFiles
from nnperm_mlflow.evidence.audit_record import ROWS_DIGEST, SERVED_DIGEST, AuditRecord


def test_every_file_whose_digest_a_record_tells_is_packed():
    """A kind of file that is added later would else be in no bundle, and under no signature."""
    digests = {value for name, value in vars(audit_record).items() if name.endswith("_DIGEST")} - {
        ROWS_DIGEST,
        SERVED_DIGEST,
    }
    assert len(digests) > 5
    told = AuditRecord("run", "0", dict.fromkeys(digests, "1" * 64), FolderFiles(Path()), {})
    assert len(packed_record.digests_on_record(told)) == len(digests)
    assert set(packed_record.digests_on_record(told)) <= set(packed_record.EVIDENCE_FILES)


def test_a_packed_record_is_read_back_and_equal_records_are_equal_files(tmp_path):
    params = {"model": "models:/credit/4", "seed": "18446744073709551615", "title": "M\u00fcnchen"}
    record = AuditRecord("run", "7", params, FolderFiles(tmp_path), {"nnperm.verdict": "pass"})
    other = AuditRecord("run", "7", dict(reversed(params.items())), FolderFiles(tmp_path), {})
    digests = []
    for each in (record, other):
        (tmp_path / "record.json").write_bytes(packed_record.pack_record(each))
        digests.append(file_digest(tmp_path / "record.json"))
    assert len(set(digests)) == 1
    read = packed_record.unpack_record(tmp_path)
    assert (read.run_id, read.experiment_id, read.params, read.tags) == ("run", "7", params, {})
    assert read.lacks_table
