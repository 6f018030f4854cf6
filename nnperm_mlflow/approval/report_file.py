"""The page of an audit on record, written into a file once more."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.approval.audit_contents import reported_of, too_wide_of
from nnperm_mlflow.approval.policy_check import find_record
from nnperm_mlflow.basics.audit_files import DOCUMENT, REASONS_LETTER, REASONS_PICTURE, REPORT_FILE, VERDICT_FILE
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError
from nnperm_mlflow.basics.paths import local_path
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.registry.connection import connected
from nnperm_mlflow.report.document.audit_chapters import document_of
from nnperm_mlflow.report.document.files import document_file, format_of
from nnperm_mlflow.report.page.audit_page import Part, audit_page
from nnperm_mlflow.report.page.decisions import SignedWord, decisions_html
from nnperm_mlflow.report.page.observation import Observation
from nnperm_mlflow.report.page.reported_audit import ReportedVerdict

_PNG = b"\x89PNG\r\n\x1a\n"


def write_report(
    model_uri: str | None = None,
    *,
    run_id: str | None = None,
    output: str | Path | None = None,
    with_values: bool = False,
    experiment: str | None = None,
    to: str | None = None,
    template: str | Path | None = None,
    reasons: str | Path | None = None,
    alias: str | None = None,
    trust: str | Path | None = None,
) -> Path:
    """Write the page of an audit on record, or its document: from the same run the same file, byte by byte.

    Parameters
    ----------
    model_uri : str, optional
        The version, whose newest audit is meant; or
    run_id : str, optional
        the run that holds the audit.
    output : str or Path, optional
        The file, or a directory that is there; by default `report.html` in the current one, `document.docx` and so on
        of a document.
    with_values : bool
        Show values of the data: those of profiles, and by which segments are named.
    experiment : str, optional
        Name of the only experiment whose audits count.
    to : {"docx", "pdf", "html"}, optional
        Write the document that people file, with chapters and what they have to fill in, instead of the page.
    template : str or Path, optional
        Of the document: a .docx, or one of Jinja2 for HTML; says which of the two is written where `to` does not.
    reasons : str or Path, optional
        The directory into which `nnperm explain --output` wrote reasons for one observation of this audit: they get a
        part of their own, with its prediction.
    alias : str, optional
        Tell what people have signed about this version and alias, and counts by the trust file.
    trust : str or Path, optional
        The trust file, which goes with the alias.

    Returns
    -------
    Path
        Where it lies.

    Raises
    ------
    ConfigError
        If neither a version nor a run is named, or both are, the format or the template is none, what writes the
        format is not installed (the extra `report`), or the file cannot be written.
    EvidenceError
        If there is no such audit, or its files have been changed.
    """
    layout = None if template is None else local_path(template, "the template")
    wanted = None if to is None and layout is None else format_of(to, layout)
    name = REPORT_FILE if wanted is None else f"{DOCUMENT}.{wanted}"
    path = local_path(output or name, "the file of the report")
    path = path / name if path.is_dir() else path
    with connected() as (client, scratch):
        record = find_record(client, scratch, run_id=run_id, model_uri=model_uri, experiment=experiment)
        record.refuse_damaged()
        verdict = record.read(VERDICT_FILE, ReportedVerdict) if record.holds(VERDICT_FILE) else None
        audit = reported_of(record, verdict, too_wide_of(record), shows_values=with_values)
        signed = _decisions_on(client, record, alias, trust, scratch)
        told = None if reasons is None else _observation_in(local_path(reasons, "the reasons"), record.run_id)
    if wanted is not None:
        content = document_file(document_of(audit, told, signed), wanted, layout)
    else:
        more = [] if told is None else [Part("observation", "One observation", told.title, told.html)]
        if signed is not None and alias is not None:
            more.append(Part("decisions", "Decisions", "Who has decided", decisions_html(signed, alias)))
        content = audit_page(audit, more).encode()
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"the report '{path}' cannot be written: {error.strerror}.") from error
    return path


def _decisions_on(
    client: MlflowClient, record: AuditRecord, alias: str | None, trust: str | Path | None, folder: Path
) -> list[SignedWord] | None:
    """Return what was signed and counts; None where that was not asked for."""
    if (alias is None) != (trust is None):
        raise ConfigError("what was signed counts for an alias by a trust file: name both (--alias, --trust), or none.")
    if alias is None or trust is None:
        return None
    from nnperm_mlflow.approval.told_decisions import told_decisions  # noqa: PLC0415 - needs the extra `sign`

    return told_decisions(client, record, alias, trust, folder)


def _observation_in(folder: Path, run_id: str) -> Observation:
    """Return what `nnperm explain` wrote into a directory, if it is of that audit.

    Raises
    ------
    ConfigError
        If it cannot be read, or is not what was written there.
    EvidenceError
        If it is of another audit.
    """
    try:
        letter = (folder / REASONS_LETTER).read_text(encoding="utf-8")
        picture = (folder / REASONS_PICTURE).read_bytes()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"no reasons in '{folder}': expected {REASONS_LETTER} and {REASONS_PICTURE}, as "
            f"'nnperm explain RUN --output {folder}' writes them."
        ) from error
    if f"run {run_id}" not in letter:
        raise EvidenceError(f"the reasons in '{folder}' are not of run {run_id}. Name its run to 'nnperm explain'.")
    if not picture.startswith(_PNG):
        raise ConfigError(f"{REASONS_PICTURE} in '{folder}' is no picture. Write it again: nnperm explain.")
    return Observation(letter, picture)
