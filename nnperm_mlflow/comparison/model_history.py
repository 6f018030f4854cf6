"""The past of a registered model: all audits, verdicts and promotions of its versions, and how the deviations went."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from nnperm_mlflow.analysis.difference.influences import Statistic
from nnperm_mlflow.analysis.difference.table_comparison import comparable_statistic
from nnperm_mlflow.basics.display import as_html, in_a_line
from nnperm_mlflow.basics.errors import AuditError, ConfigError, EvidenceError, name_list
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.models.model_uri import source_of
from nnperm_mlflow.registry.audits import doubt_of, holds_audit
from nnperm_mlflow.registry.connection import connected
from nnperm_mlflow.registry.events import KINDS, Event, events_as_told, events_of, tells_itself
from nnperm_mlflow.registry.evidence_cache import EvidenceCache
from nnperm_mlflow.registry.model_lookups import aliases_of, not_found, runs_of, versions_of
from nnperm_mlflow.registry.records import RunFiles, record_in
from nnperm_mlflow.registry.tags import RUN_TAG
from nnperm_mlflow.registry.version_tags import read_tags
from nnperm_mlflow.report.feature_labels import FeatureLabels
from nnperm_mlflow.report.timeline import history_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

_NAME = re.compile(r"(?:models:/)?([^/@:]+)/?")
_STATISTICS = [
    "perturbation", "feature", "kind", "way", "median", "median_low", "median_high", "mean", "mean_low", "mean_high",
]  # fmt: skip
_OF_VERSION = ["version", "run_id", "unit", "verdict", "basis", "differs"]
_GROUND = {"data": "data_digest", "unit": "unit", "seed": "seed"}  # parameters that tell of what they are called
_OF_MEDIANS = ("within", "output", "missing", "predict", "donors")
"""Settings on which a median depends, whatever else is audited."""


@dataclass(frozen=True)
class History:
    """What happened to a registered model.

    Attributes
    ----------
    model : str
        `models:/credit`.
    events : tuple of Event
        Oldest first.
    medians : DataFrame
        A row per perturbation of the newest audit of each version, the one that ended last, versions in order:
        `version`, `run_id`, `unit`, `verdict` (the newest on that audit, or nothing), `basis` (0 where medians can be
        compared with those of the newest version; versions of the same number can be compared with each other),
        `differs` (in what a version differs from the newest), and `perturbation`, `feature`, `kind`, `way`, `median`,
        `median_low` and `median_high`, and the same of `mean`, as in the summary.
    aliases : dict of str to str
        For each alias the version that has it now, whoever gave it.
    statistic : "median" or "mean"
        What the picture shows: the one that leads in the newest version.
    copies : dict of str to str
        For each version that is a copy of another one (`copy_model_version`) what is to be known of that, in words:
        MLflow gives a copy the tags of its source, and not its audits.
    labels : FeatureLabels
        What the newest version's audit calls features, behind their names in words and picture.
    """

    model: str
    events: tuple[Event, ...]
    medians: pd.DataFrame
    aliases: dict[str, str]
    statistic: Statistic = "mean"
    copies: dict[str, str] = field(default_factory=dict)
    labels: FeatureLabels = field(default_factory=FeatureLabels)

    @property
    def figure(self) -> Figure:
        """How far predictions moved from version to version, drawn anew.

        Raises
        ------
        EvidenceError
            If no version has a finished audit.
        """
        if self.medians.empty:
            raise EvidenceError(f"no version of {self.model} has a finished audit to draw. Audit one: nnperm audit.")
        shown = self.labels.in_summary(self.medians)
        return history_figure(shown, f"{self.model}, the newest audit of each version", self.statistic)

    def __repr__(self) -> str:
        n_versions = len({event.version for event in self.events})
        what = f"{n_versions} version{'s' * (n_versions != 1)}, {len(self.events)} event{'s' * (len(self.events) != 1)}"
        return in_a_line("History", self.model, what, *self._now)

    def _repr_html_(self) -> str:
        rows = [
            (event.when[:16].replace("T", " "), event.version, event.kind, event.verdict or "", event.in_words)
            for event in self.events
        ]
        return as_html(
            f"{self.model}: {len(self.events)} events",
            header=("when (UTC)", "version", "what", "verdict", "in words"),
            rows=rows,
            notes=self._now,
        )

    @property
    def _now(self) -> list[str]:
        """Which version has which alias, in a sentence, if any has one, and which are copies."""
        told = ", ".join(f"'{alias}' is version {version}" for alias, version in sorted(self.aliases.items()))
        return [*([told] if told else []), *self.copies.values()]


def history(model: str, *, verify: bool = False, trust: str | Path | None = None) -> History:
    """Gather what happened to all versions of a registered model, whatever experiments the runs are in.

    Parameters
    ----------
    model : str
        `models:/credit`, or `credit`.
    verify : bool
        Whether the files of all runs are fetched and read. By default those of the newest audit of each version are, as
        far as they are not kept here already (by their digests), and other runs are told as they tell themselves
        (`Event.as_told`).
    trust : str or Path, optional
        A trust file: each audit that was finished is then told as signed, by whom, or as unsigned.

    Returns
    -------
    History
        With the versions that are no longer in the registry, of which there still are runs, and with audits and
        promotions that failed or were killed after they had begun to write: only these are known to be of the model.
        Deleted runs, and aliases that were moved by other means, leave no trace here.

    Raises
    ------
    ConfigError
        If a version, an alias or something else is named, or the trust file cannot be used.
    ModelNotFoundError
        If there is no such model; the message names what there is.
    """
    name = _name_of(model)
    with connected() as (client, scratch):
        aliases = aliases_of(client, name)
        runs = runs_of(client, name)
        if aliases is None and not runs:
            raise not_found(client, name)
        if aliases is None:
            logger.warning("models:/%s is not in the registry any more, only its runs are there", name)
        versions = versions_of(client, name)
        there = {str(found.version): int(found.creation_timestamp) for found in versions}
        doubts = {str(run.info.run_id): _doubt(run, there.get(version)) for run, version in runs}
        cache = None if verify else EvidenceCache.of_user()
        newest = _newest_runs([(run, version) for run, version in runs if not doubts[run.info.run_id]])
        files = {
            str(run.info.run_id): RunFiles.of(client, run, scratch, cache)
            for run, version in runs
            if verify or newest.get(version) is run or not tells_itself(run)
        }
        told = [_events(run, files.get(str(run.info.run_id)), version, version in there) for run, version in runs]
        told = [_with_doubt(of_run, doubts[run.info.run_id]) for of_run, (run, _) in zip(told, runs, strict=True)]
        signers = {} if trust is None else _signers(client, name, [run for run, _ in runs], Path(trust), scratch)
        events = sorted((_with_signers(event, signers) for events in told for event in events), key=_order)
        audits = _newest_audits(events, newest, files)
        medians = _medians(events, audits)
    statistic = comparable_statistic(audits[-1][1].order_by) if audits else "mean"
    copies = _copies(versions, {event.run_id for event in events})
    labels = _labels_of(audits[-1][1]) if audits else FeatureLabels()
    told_events = tuple(_labelled(event, labels) for event in events)
    return History(f"models:/{name}", told_events, medians, aliases or {}, statistic, copies, labels)


def _labels_of(record: AuditRecord) -> FeatureLabels:
    """Return what an audit calls features; nothing where its configuration cannot be read."""
    try:
        config = record.config
    except AuditError:  # of which a line is logged where its numbers are compared
        return FeatureLabels()
    return FeatureLabels.of(config.labels, config.data.temporal, config.analysis.windows)


def _labelled(event: Event, labels: FeatureLabels) -> Event:
    """Put the label of the feature that leads behind its name in the words of an event."""
    name = event.top_feature
    if event.kind != "audit" or not name or labels.called(name) == name:
        return event
    return replace(event, in_words=event.in_words.replace(f" {name} (", f" {labels.called(name)} (", 1))


def _copies(versions: Sequence[ModelVersion], runs: Collection[str]) -> dict[str, str]:
    """Tell of each version that is a copy of which one it is, and whether its tags are those of that one's audit."""
    told = {}
    for found in sorted(versions, key=lambda version: int(version.version)):
        source = source_of(found)
        if source is not None:
            run_id = read_tags(found.tags).get(RUN_TAG)
            of_source = run_id is not None and run_id not in runs
            bears = f", and bears tags of an audit of that version (run {run_id})" if of_source else ""
            told[str(found.version)] = f"version {found.version} is a copy of {source}{bears}"
    return told


def _name_of(model: str) -> str:
    if match := _NAME.fullmatch(model):
        return match[1]
    if match := re.fullmatch(r"(?:models:/)?([^/@:]+)[/@].*", model):
        raise ConfigError(f"a history is of all versions: give models:/{match[1]}, not '{model}'.")
    raise ConfigError(f"'{model}' names no registered model; expected models:/credit, or credit.")


def _newest_runs(runs: Sequence[tuple[Run, str]]) -> dict[str, Run]:
    """Return the run of each version's newest audit; `runs` have the last one finished first."""
    newest: dict[str, Run] = {}
    for run, version in runs:
        if holds_audit(run):
            newest.setdefault(version, run)
    return newest


def _events(run: Run, files: RunFiles | None, version: str, in_registry: bool) -> list[Event]:
    """Return what a run tells: what its files hold, or what it says of itself."""
    return events_as_told(run, version, in_registry) if files is None else events_of(run, files, version, in_registry)


def _doubt(run: Run, created: int | None) -> str:
    """Return the doubt that there is about the end of a finished audit."""
    return doubt_of(run, created, int(time.time() * 1000)) if holds_audit(run) else ""


def _with_doubt(events: list[Event], doubt: str) -> list[Event]:
    """Return what a run tells, a finished audit with the doubt that there is about its end."""
    return [event.doubted(doubt) if doubt and event.kind == "audit" else event for event in events]


def _signers(
    client: MlflowClient, name: str, runs: Sequence[Run], trust: Path, folder: Path
) -> dict[str, tuple[str, ...]]:
    """Return who has signed each audit, by its run; it needs what comes with the extra `sign`."""
    from nnperm_mlflow.approval.signed_evidence import promotions_of, signers_of  # noqa: PLC0415
    from nnperm_mlflow.attestation.trust import load_trust  # noqa: PLC0415

    trusted = load_trust(trust)
    promotions = promotions_of(client, name, trusted, folder)
    audits = {
        str(run.info.run_id): record_in(run, RunFiles.of(client, run, folder)) for run in runs if holds_audit(run)
    }
    return {run_id: signers_of(record, trusted, promotions) for run_id, record in audits.items()}


def _with_signers(event: Event, signers: Mapping[str, tuple[str, ...]]) -> Event:
    """Return an audit with who has signed it; anything else as it is."""
    if event.kind != "audit" or event.run_id not in signers:
        return event
    people = signers[event.run_id]
    return replace(event, in_words=f"{event.in_words}; {f'signed by {name_list(people)}' if people else 'unsigned'}")


def _order(event: Event) -> tuple[str, int, int, str]:
    return event.when, KINDS.index(event.kind), int(event.version), event.run_id


def _newest_audits(
    events: Sequence[Event], newest: Mapping[str, Run], files: Mapping[str, RunFiles]
) -> list[tuple[Event, AuditRecord]]:
    """Return each version's newest finished audit, versions in order; one that cannot be read is no evidence."""
    runs = {str(run.info.run_id): run for run in newest.values()}
    found = [event for event in events if event.kind == "audit" and event.run_id in runs and event.is_evidence]
    in_order = sorted(found, key=lambda event: int(event.version))
    return [(audit, record_in(runs[audit.run_id], files[audit.run_id])) for audit in in_order]


def _medians(events: Sequence[Event], audits: Sequence[tuple[Event, AuditRecord]]) -> pd.DataFrame:
    """Return the numbers of audits, one of each version, with what is told of the versions."""
    verdicts = {event.run_id: event.verdict for event in events if event.kind == "verdict" and event.is_evidence}
    grounds = [_ground(record) for _, record in audits]
    known = list({json.dumps(ground): None for ground in reversed(grounds)})
    parts = []
    for (audit, record), ground in zip(audits, grounds, strict=True):
        of_version = {
            "version": audit.version,
            "run_id": audit.run_id,
            "unit": ground["unit"],
            "verdict": verdicts.get(audit.run_id) or "",
            "basis": known.index(json.dumps(ground)),
            "differs": ", ".join(key for key in ground if ground[key] != grounds[-1][key]),
        }
        parts.append(record.summary.reindex(columns=_STATISTICS).assign(**of_version))
    medians = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*_OF_VERSION, *_STATISTICS])
    return medians[[*_OF_VERSION, *_STATISTICS]]


def _ground(record: AuditRecord) -> dict[str, str]:
    """Return what two audits must have in common for their medians to be compared."""
    ground = {name: record.params.get(key, "") for name, key in _GROUND.items()}
    try:
        asked = record.disturbance
    except AuditError as error:
        record.files.ask_server()
        logger.warning("%s is compared with no other: %s", record, error)
        return {**ground, "configuration": record.run_id}
    return {**ground, "configuration": json.dumps({key: asked[key] for key in _OF_MEDIANS})}
