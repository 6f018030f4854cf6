"""Which audits of two versions are compared: two on record that are alike, or one that is made now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.basics.errors import EvidenceError
from nnperm_mlflow.config.audit_config import AuditConfig
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.evidence.comparability import Basis
from nnperm_mlflow.inputs.dataset import load_dataset
from nnperm_mlflow.registry.artifacts import Fetcher
from nnperm_mlflow.registry.audits import find_audits
from nnperm_mlflow.registry.records import comparable_audits, is_readable, read_audit

Pair = tuple[AuditRecord, AuditRecord]

AuditNow = Callable[[str, AuditConfig], str]
"""Audits a version by its pinned URI as a configuration says; returns the run's id."""


@dataclass(frozen=True)
class Archive:
    """Reads audits on record.

    Attributes
    ----------
    client : MlflowClient
    folder : Path
        Directory for their files.
    """

    client: MlflowClient
    folder: Path
    _readable: dict[str, bool] = field(default_factory=dict, repr=False)

    def can_read(self, record: AuditRecord) -> bool:
        """Tell whether an audit is whole; one that is damaged, or was made up, is told of in a line, once."""
        if record.run_id not in self._readable:
            self._readable[record.run_id] = is_readable(record)
        return self._readable[record.run_id]

    def read(self, run_id: str) -> AuditRecord:
        """Return the audit that a run holds."""
        return read_audit(self.client, run_id, self.folder / run_id)

    def audits_of(self, uri: str) -> list[AuditRecord]:
        """Return the audits of a pinned model that can be compared, newest first."""
        return comparable_audits(self.client, uri, self.folder)

    def why_none_of(self, uri: str) -> str:
        """Tell why a pinned model has no audit that can be compared."""
        if find_audits(self.client, uri):
            return f"the deviation tables of all audits of {uri} were kept out of the tracking server (--no-table)"
        return f"there is no finished audit of {uri}"


def find_pair(
    archive: Archive,
    uris: tuple[str, str],
    *,
    paired: bool = True,
    config: AuditConfig | None = None,
    audit_now: AuditNow | None = None,
) -> Pair:
    """Return an audit of each of two versions.

    Parameters
    ----------
    archive : Archive
    uris : (str, str)
        Pinned.
    paired : bool
        Whether they must be alike, so that they can be compared row by row; else the newest are taken.
    config : AuditConfig, optional
        How a version is audited now that has no such audit.
    audit_now : callable, optional
        Goes with `config`.

    Raises
    ------
    EvidenceError
        If there are no such audits, and none can be made; the message says what differs.
    """
    audits = (archive.audits_of(uris[0]), archive.audits_of(uris[1]))
    pair = _newest_alike(archive, audits) if paired else _newest(archive, audits)
    if pair is None:
        if config is None or audit_now is None:
            raise EvidenceError(_why_none(archive, uris, audits))
        complete = _alike_by_config if paired else _each_by_config
        pair = complete(archive, uris, audits, config, audit_now)
    first, second = pair
    functions = [record.function or "what MLflow serves" for record in pair]
    if functions[0] != functions[1]:
        raise EvidenceError(
            f"{first} tells deviations of {functions[0]}, {second} those of {functions[1]}, which are not compared. "
            "Audit both versions again, with one 'analysis: predict'; audits by earlier versions of this package do "
            "not say that a model served its probabilities."
        )
    units = first.unit, second.unit
    if units[0] != units[1]:
        raise EvidenceError(
            f"{first} tells deviations in '{units[0]}', {second} deviations in '{units[1]}', which have no difference. "
            "Audit both versions with one unit."
        )
    return pair


def differences(one: AuditRecord, other: AuditRecord) -> list[str]:
    """Return in words what keeps two audits from being compared row by row; nothing where they can be."""
    return one.basis.differences(other.basis)


Audits = tuple[list[AuditRecord], list[AuditRecord]]


def _newest(archive: Archive, audits: Audits) -> Pair | None:
    first, second = (next(filter(archive.can_read, of_one), None) for of_one in audits)
    return None if first is None or second is None else (first, second)


def _newest_alike(archive: Archive, audits: Audits) -> Pair | None:
    """Return the newest audit of the second version that has one of the first like it, and the newest of these."""
    for later, earlier in product(audits[1], audits[0]):
        can_read = earlier.is_on_data_of(later) and archive.can_read(later) and archive.can_read(earlier)
        if can_read and not differences(earlier, later):
            return earlier, later
    return None


def _why_none(archive: Archive, uris: tuple[str, str], audits: Audits) -> str:
    missing = [archive.why_none_of(uri) for uri, of_one in zip(uris, audits, strict=True) if not of_one]
    remedy = "To audit what is missing now, name a configuration: --config FILE."
    if missing:
        return f"{', and '.join(missing)}. {remedy}"
    newest = _newest(archive, audits)
    if newest is None:
        return f"no audit of {uris[0]}, or none of {uris[1]}, can be read: all are damaged. {remedy}"
    first, second = newest
    found = "; ".join(differences(first, second))
    unpaired = " To compare the newest all the same, with wider intervals: --unpaired."
    return (
        f"no audit of {uris[0]} and none of {uris[1]} are on the same rows with the same donors: the newest of "
        f"{uris[1]} ({second}) has {found}, against that of {uris[0]} ({first}). {remedy}"
        f"{unpaired if first.unit == second.unit else ''}"
    )


def _each_by_config(
    archive: Archive, uris: tuple[str, str], audits: Audits, config: AuditConfig, audit_now: AuditNow
) -> Pair:
    """Return the newest audit of each version, made now where there is none."""
    first, second = (
        next(filter(archive.can_read, of_one), None) or archive.read(audit_now(uri, config))
        for uri, of_one in zip(uris, audits, strict=True)
    )
    return first, second


def _alike_by_config(
    archive: Archive, uris: tuple[str, str], audits: Audits, config: AuditConfig, audit_now: AuditNow
) -> Pair:
    """Return an audit of each version by a configuration, at least one of them made now."""
    data_digest = load_dataset(config.data, Fetcher(archive.folder / "data")).digest()
    first, second = (_made_so(filter(archive.can_read, of_one), config, data_digest) for of_one in audits)
    if first is None and second is not None:
        first = archive.read(audit_now(uris[0], _of_the_size_of(second, config)))
    else:
        first = first or archive.read(audit_now(uris[0], config))
        second = archive.read(audit_now(uris[1], _of_the_size_of(first, config)))
    if found := differences(first, second):
        raise EvidenceError(
            f"though audited by one configuration, {uris[1]} has {'; '.join(found)}, against {uris[0]}: they cannot be "
            "compared row by row. To compare them all the same, with wider intervals: --unpaired."
        )
    return first, second


def _of_the_size_of(record: AuditRecord, config: AuditConfig) -> AuditConfig:
    """Return a configuration with the repeats of an audit, and its rows where their number was found out."""
    exactly = config.with_repeats(record.repeats)
    return exactly.with_rows(record.sampled_rows) if config.analysis.rows == "auto" else exactly


def _made_so(audits: Iterable[AuditRecord], config: AuditConfig, data_digest: str) -> AuditRecord | None:
    """Return the newest audit that was made by a configuration; of the unit it need not know."""
    for record in audits:
        repeats = record.repeats if config.analysis.repeats == "auto" else config.analysis.repeats
        disturbance = config.disturbance()
        if record.config.analysis.predict == config.analysis.predict:  # then it calls what the audit called
            disturbance["predict"] = record.function
        if not Basis(data_digest, repeats, record.unit, disturbance).differences(record.basis):
            return record
    return None
