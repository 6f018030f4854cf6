"""Linking an audit and its verdict to the model version: its tags, and a section of its description."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from nnperm_mlflow.analysis.statistics.order import in_words, most_in_words, shuffles
from nnperm_mlflow.basics.text import as_text
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.models.model_uri import registry_behind
from nnperm_mlflow.registry.error_explanation import refused
from nnperm_mlflow.registry.publication import VersionLink
from nnperm_mlflow.registry.tags import RUN_TAG, VERDICT_TAGS, verdict_tag_of, verdicts_by_policy
from nnperm_mlflow.registry.verdicts import verdict_tags
from nnperm_mlflow.registry.version_tags import as_read, read_tags, spellings, version_key
from nnperm_mlflow.verdict.verdict import Status, Verdict, stamp

logger = logging.getLogger(__name__)

_MOST_DESCRIPTION = 5000  # letters that MLflow's databases hold; sqlite alone does not count them
_BEGIN, _END = "<!-- nnperm audit: begin -->", "<!-- nnperm audit: end -->"
_LEAD = "Audit"  # with the verdict the first line: the list of versions shows that line alone, and not as Markdown
_SECTION = re.compile(
    rf"\n*(?:(?:\n|\A){_LEAD}(?:: (?:pass|fail))?\n)?"
    rf"{re.escape(_BEGIN)}(?:(?!{re.escape(_BEGIN)}).)*?{re.escape(_END)}",
    re.DOTALL,
)
_NAMED_FEATURES = 3
_TOP_TAG, _WHEN_TAG = "nnperm.top_feature", "nnperm.audited_at"
_TRIES = 3


def link_of(record: AuditRecord, when: datetime, verdict: Verdict | None = None) -> VersionLink:
    """Return what a version shall tell of an audit.

    Parameters
    ----------
    record : AuditRecord
    when : datetime
        In UTC.
    verdict : Verdict, optional
        Without one the version's tags name none, even if an earlier audit had left one.
    """
    if verdict is None:
        return _link(record, when, {}, None, None)
    return _link(record, when, verdict_tags(verdict), verdict.in_words, verdict.status)


def link_on_record(record: AuditRecord) -> VersionLink:
    """Return what a version shall tell of an audit in a run, and of the verdict there.

    Raises
    ------
    EvidenceError
        If the files of the run have been changed.
    """
    told, when = record.verdict, record.ended_at or datetime.now(timezone.utc)
    if told is None:
        return _link(record, when, {}, None, None)
    by_policy = [verdict_tag_of(name) for name in verdicts_by_policy(record.tags)]
    tags = {key: value for key, value in record.tags.items() if key in (*VERDICT_TAGS, *by_policy)}
    return _link(record, when, tags, told.in_words, told.verdict)


def _link(
    record: AuditRecord, when: datetime, of_verdict: Mapping[str, str], in_words: str | None, status: Status | None
) -> VersionLink:
    tags = {
        **of_verdict,  # first, since MLflow lists tags in the order of their writing
        _TOP_TAG: str(shuffles(record.summary)["perturbation"].iloc[0])[:250],
        _WHEN_TAG: stamp(when),
        RUN_TAG: record.run_id,
    }
    return VersionLink(tags, _section(record, when, in_words), status)


def of_source(link: VersionLink, source: str) -> VersionLink:
    """Return what a copy of a version shall tell of an audit of that version."""
    return replace(link, section=f"{link.section}\n\nThis version is a copy of {as_text(source)}, which was audited.")


def link_version(
    client: MlflowClient, name: str, version: str, link: VersionLink, found: ModelVersion | None = None
) -> list[str]:
    """Tag a model version with its audit and verdict, and put a section into its description.

    What the version tells under the names of other policies stays: of the same audit all of it, of an earlier one each
    fail. While there is one, the version's verdict is a fail, whatever was decided under another policy.

    Where two audits of a version end at once, the tags are those of one of them: whoever wrote the run's id last looks
    whether all the others are its own, and else writes them again.

    Parameters
    ----------
    client : MlflowClient
    name, version : str
    link : VersionLink
    found : ModelVersion, optional
        The version as it is, where it has just been asked for.

    Returns
    -------
    list of str
        What could not be written for want of permission; empty where all was.
    """
    denied, registry = [], registry_behind(client)
    found = client.get_model_version(name, version) if found is None else found
    try:
        for _ in range(_TRIES):
            wanted = _beside_others(link, read_tags(found.tags))
            _write_tags(registry, name, version, found.tags, wanted)
            found = client.get_model_version(name, version)
            now = read_tags(found.tags)
            if _verdict_in(now) == _verdict_in(wanted) or now.get(RUN_TAG) != link.tags[RUN_TAG]:
                break
    except MlflowException as error:
        denied.append(refused(error, f"the tags of models:/{name}/{version}"))
    try:
        others = _others(link, read_tags(found.tags))
        status = "fail" if "fail" in others.values() else link.status
        full = with_section(found.description or "", link.section + _other_lines(others), status)
        if len(full) <= _MOST_DESCRIPTION:
            registry.update_model_version(name, version, full)
        else:
            logger.warning("the description of models:/%s/%s is full: the audit does not show there", name, version)
    except MlflowException as error:
        denied.append(refused(error, f"the description of models:/{name}/{version}"))
    return denied


def _others(link: VersionLink, before: Mapping[str, str]) -> dict[str, str]:
    """Return what a version goes on to tell under the names of other policies."""
    own = verdicts_by_policy(as_read(link.tags))
    is_same = before.get(RUN_TAG) == link.tags[RUN_TAG]
    told = verdicts_by_policy(before).items()
    return {name: status for name, status in told if name not in own and (is_same or status == "fail")}


def _beside_others(link: VersionLink, before: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that a version shall have: those of the audit, and what stays under other policies' names."""
    others = _others(link, before)
    tags = {**link.tags, **{verdict_tag_of(name): status for name, status in others.items()}}
    failed = [name for name, status in others.items() if status == "fail"]
    if failed and link.status != "fail":
        verdict, _, _, policy_name = VERDICT_TAGS
        rest = {key: value for key, value in tags.items() if key not in VERDICT_TAGS}
        tags = {verdict: "fail", policy_name: sorted(failed)[0], **rest}
    return as_read(tags)


def _verdict_in(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that tell of an audit and of verdicts."""
    by_policy = [verdict_tag_of(name) for name in verdicts_by_policy(tags)]
    return {key: tags[key] for key in (*VERDICT_TAGS, *by_policy, _TOP_TAG, _WHEN_TAG, RUN_TAG) if key in tags}


def _write_tags(
    registry: MlflowClient, name: str, version: str, before: Mapping[str, str], wanted: Mapping[str, str]
) -> None:
    """Write what differs; the run's id comes last, by which others see whether all is one audit's."""
    for key in _verdict_in(read_tags(before)):
        for spelled in spellings(key, before):
            if key not in wanted or spelled != version_key(key):
                registry.delete_model_version_tag(name, version, spelled)
    for key, value in wanted.items():
        if before.get(version_key(key)) != value:
            registry.set_model_version_tag(name, version, version_key(key), value)


def _other_lines(others: Mapping[str, str]) -> str:
    """Return what the newest verdicts under other policies are, as the last paragraph of a section."""
    told = ", ".join(f"**{status}** under '{as_text(name)}'" for name, status in sorted(others.items()))
    return f"\n\nUnder other policies: {told}." if told else ""


def _section(record: AuditRecord, when: datetime, verdict: str | None) -> str:
    """Return the few lines of Markdown that tell what an audit found and whether it passed, with a link to its run."""
    top = shuffles(record.summary).head(_NAMED_FEATURES)
    numbers = zip(top["perturbation"], top[record.order_by], strict=True)
    named = ", ".join(f"{as_text(record.called(name))} ({number:.3g})" for name, number in numbers)
    found = (
        f"Audited on {when:%Y-%m-%d} on {record.rows_in_words}: {most_in_words(record.order_by)} with {named} "
        f"({in_words(record.order_by)}). [Audit run](#/experiments/{record.experiment_id}/runs/{record.run_id})"
    )
    return found if verdict is None else f"**{as_text(verdict)}**\n\n{found}"


def with_section(description: str, section: str, status: Status | None = None) -> str:
    """Return a description in which the audit's section is replaced, or added at the end; other text stays.

    The section begins with a line of plain words, since MLflow's list of versions shows a description's first line.

    >>> with_section(with_section("Made by Ada.", "old"), "new").splitlines()[0]
    'Made by Ada.'
    """
    lead = _LEAD if status is None else f"{_LEAD}: {status}"
    framed = f"{lead}\n{_BEGIN}\n{section}\n{_END}"
    before, after = description, ""
    if found := _SECTION.search(description):
        before, after = description[: found.start()], _SECTION.sub("", description[found.end() :])
    return f"{before}\n\n{framed}{after}".lstrip("\n")
