"""The page of an audit on record, written into a file once more."""

from __future__ import annotations

from pathlib import Path

from nnperm_mlflow.approval.audit_contents import reported_of, too_wide_of
from nnperm_mlflow.approval.policy_check import find_record
from nnperm_mlflow.basics.audit_files import REPORT_FILE, VERDICT_FILE
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.basics.paths import local_path
from nnperm_mlflow.registry.connection import connected
from nnperm_mlflow.report.page.audit_page import audit_page
from nnperm_mlflow.report.page.reported_audit import ReportedVerdict


def write_report(
    model_uri: str | None = None,
    *,
    run_id: str | None = None,
    output: str | Path | None = None,
    with_values: bool = False,
    experiment: str | None = None,
) -> Path:
    """Write the page of an audit on record: from the same run the same page, byte by byte.

    Parameters
    ----------
    model_uri : str, optional
        The version, whose newest audit is meant; or
    run_id : str, optional
        the run that holds the audit.
    output : str or Path, optional
        The file, or a directory that is there; by default `report.html` in the current one.
    with_values : bool
        Show values of the data: those of profiles, and by which segments are named.
    experiment : str, optional
        Name of the only experiment whose audits count.

    Returns
    -------
    Path
        Where it lies.

    Raises
    ------
    ConfigError
        If neither a version nor a run is named, or both are, or the file cannot be written.
    EvidenceError
        If there is no such audit, or its files have been changed.
    """
    path = local_path(output or REPORT_FILE, "the file of the report")
    path = path / REPORT_FILE if path.is_dir() else path
    with connected() as (client, scratch):
        record = find_record(client, scratch, run_id=run_id, model_uri=model_uri, experiment=experiment)
        record.refuse_damaged()
        verdict = record.read(VERDICT_FILE, ReportedVerdict) if record.holds(VERDICT_FILE) else None
        page = audit_page(reported_of(record, verdict, too_wide_of(record), shows_values=with_values))
    try:
        path.write_text(page, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ConfigError(f"the report '{path}' cannot be written: {error.strerror}.") from error
    return path
