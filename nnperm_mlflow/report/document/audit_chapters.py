"""The chapters that an approver needs, made from the numbers of an audit; what only people can tell is marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nnperm_mlflow.analysis.statistics.order import in_words, out_of_data
from nnperm_mlflow.report.document.audit_tables import (
    checks_table,
    features_table,
    scores_table,
    segments_tables,
    set_values_table,
)
from nnperm_mlflow.report.document.chapters import (
    Block,
    Chapter,
    Commands,
    Document,
    Gap,
    Heading,
    Picture,
    Table,
    Words,
)
from nnperm_mlflow.report.document.pictures import (
    WIDTH,
    picture_of_associations,
    picture_of_features,
    picture_of_windows,
)
from nnperm_mlflow.report.page.answers import Answer, answers_by_topic, headline
from nnperm_mlflow.report.page.audit_page import provenance_of
from nnperm_mlflow.report.page.decisions import HEADER, SignedWord
from nnperm_mlflow.report.page.numbers import moment, several
from nnperm_mlflow.report.page.observation import PICTURE_TOLD, Observation
from nnperm_mlflow.report.page.reported_audit import ReportedAudit
from nnperm_mlflow.report.page.segment_names import renamed

_Answers = dict[str, Answer]

_PEOPLE = ("Owner of the model", "Independent validator", "Approver")
"""Who signs, each in a line of their own."""

_METHOD = (
    "A feature is disturbed by giving each row the value that another row holds (a shuffle: the column keeps its "
    "values, and rows lose their own), all else being left as it is; of a series the whole course moves. The model "
    "predicts again, and the deviation of a row is the distance between the two predictions.",
    "This needs no outcomes, and is no importance in the sense of a loss that rises; where scores were asked for, "
    "their drop is told beside it, which is permutation importance. Which row gives its value to which depends on the "
    "seed, the name of the feature and the repeat alone, so that another version is asked exactly the same questions.",
)
_INTERVALS = (
    "Intervals are of 95 % and say how far a number may lie from what other rows like these would give. Each is right "
    "by itself; of many at once some will be wrong. A check of a policy is kept where the whole interval keeps its "
    "limit, and not kept where the whole interval that is right of all its numbers at once misses it."
)
_LIMITS = (
    "A deviation does not say whether predictions get better or worse. It says what the model does, nothing about "
    "causes in the world.",
    "A shuffle makes rows that may not exist. Features that go together share their effect. Rare values are hardly "
    "reached by a shuffle: that is why they are set for everybody.",
    "A feature without effect on average may decide single cases.",
)


def document_of(
    audit: ReportedAudit, observation: Observation | None = None, signed: Sequence[SignedWord] | None = None
) -> Document:
    """Return the document; from the same audit it is the same.

    Parameters
    ----------
    audit : ReportedAudit
    observation : Observation, optional
        Reasons for one observation, which get a chapter of their own.
    signed : sequence of SignedWord, optional
        What people have signed about the version, and counts.
    """
    shown, verdict = audit.labelled, audit.verdict
    answers = answers_by_topic(shown)
    date = f"{audit.begun_at:%Y-%m-%d}" if audit.begun_at else ""
    state = "open" if verdict is None else "good" if verdict.verdict == "pass" else "bad"
    called = {"open": "no verdict", "good": "policy kept", "bad": "policy not kept"}[state]
    told: dict[str, tuple[str, list[Block]]] = {
        "summary": ("Summary", [Words(headline(shown), "lead"), *_words(answers["scores"], answers["policy"])]),
        "purpose": ("Purpose", [*_purpose(shown)]),
        "data": ("Data", [*_data(shown, answers["rows"])]),
        "method": ("Method", [*_method(shown)]),
        "results": ("Results", [*_results(audit, shown, answers["rests_on"])]),
        "uncertainty": ("Uncertainty", [*_words(answers["sure"]), Words(_INTERVALS)]),
        "limits": ("Limits", [*_limits(shown, answers["limits"])]),
        "segments": ("Segments", [*_segments(shown)]),
        **({} if observation is None else {"observation": ("One observation", [*_observation(observation)])}),
        "comparison": ("Comparison with the version in use", [*_comparison(answers["change"])]),
        "policy": ("Policy and checks", [*_policy(shown)]),
        "decision": ("Decision", [*_decision(answers["decision"], signed)]),
        "provenance": ("Annex: what this stands on", [*_provenance(audit)]),
    }
    return Document(
        title=f"Audit of {audit.title}",
        subtitle="What its predictions rest on, and how sure that is",
        state=state,
        verdict=called,
        date=date,
        fields=_fields(audit, called, date),
        facts=_facts(audit, called, date),
        chapters=[Chapter(name, title, blocks) for name, (title, blocks) in told.items()],
    )


def _fields(audit: ReportedAudit, called: str, date: str) -> dict[str, str]:
    """Return what a template can name."""
    policy = {} if audit.verdict is None else audit.verdict.policy
    return {
        "title": f"Audit of {audit.title}",
        "model": audit.subject.model,
        "run": audit.subject.run_id,
        "date": date,
        "verdict": called,
        "policy": "" if audit.verdict is None else audit.verdict.policy_name or "",
        "owner": str(policy.get("owner") or ""),
        "rows": audit.subject.rows_in_words,
        "data": audit.data,
    }


def _facts(audit: ReportedAudit, called: str, date: str) -> list[tuple[str, str]]:
    fields = _fields(audit, called, date)
    told = {
        "Model": fields["model"],
        "Data": f"{fields['rows']} of {fields['data']}",
        "Audited on": date,
        "Verdict": called,
        "Policy": ", ".join(filter(None, (fields["policy"], fields["owner"]))),
        "MLflow run": fields["run"],
    }
    return [(name, value) for name, value in told.items() if value]


def _words(*answers: Answer) -> Iterator[Words]:
    for answer in answers:
        yield from map(Words, answer.sentences)


def _purpose(audit: ReportedAudit) -> Iterator[Block]:
    yield Gap("What is the model used for, by whom, and whom do its predictions affect?")
    yield Gap("Why was it audited now: a new version, new data, a complaint, a review that was due?")
    yield Words(
        f"This document tells what the predictions of {audit.subject.model} rest on, measured on "
        f"{audit.subject.rows_in_words}, and what a policy says of that."
    )


def _data(audit: ReportedAudit, rows: Answer) -> Iterator[Block]:
    yield from _words(rows)
    yield Gap("Where do these rows come from, of which time are they, and for whom do they stand?")
    yield Gap("On what ground may they be used, and who was asked?")
    glossary = audit.labels.glossary()
    if glossary:
        yield Table(
            "What the features are",
            ("Feature", "Called", "Description"),
            glossary,
            (2, 2, 5),
        )


def _method(audit: ReportedAudit) -> Iterator[Block]:
    yield from map(Words, _METHOD)
    yield Words(
        f"Here: {several(audit.subject.repeats, 'shuffle')} of each feature, seed {audit.subject.seed}; features are "
        f"ordered by the {in_words(audit.order_by)}."
    )
    for name, members in audit.groups.items():
        yield Words(f"Disturbed together as {name}: {', '.join(members)}.")
    if audit.excluded:
        yield Words(f"Not disturbed, as was asked: {', '.join(audit.excluded)}.")
    if audit.predicted_by:
        yield Words(f"Predictions are those of the model's function {audit.predicted_by}.")


def _results(audit: ReportedAudit, shown: ReportedAudit, rests_on: Answer) -> Iterator[Block]:
    yield from _words(rests_on)
    picture = picture_of_features(shown)
    if picture:
        yield picture
    yield features_table(audit)
    if shown.own_scores:
        yield Heading("How well the model predicts")
        yield scores_table(shown)
    windows = picture_of_windows(shown)
    if windows:
        yield Heading("When in a series it matters")
        yield windows
    apart = set_values_table(audit)
    if apart:
        yield Heading("If everybody had one value")
        yield Words("Another question, and no part of the order above: what if all rows held this value?")
        yield apart


def _limits(audit: ReportedAudit, limits: Answer) -> Iterator[Block]:
    yield from _words(limits)
    yield from map(Words, _LIMITS)
    if len(out_of_data(audit.summary)):
        yield Words("Features marked as rows that cannot occur were asked about cases that the model has never seen.")
    together = picture_of_associations(audit)
    if together:
        yield Heading("Features that go together")
        yield together
    yield Gap("What else is known to limit the use of the model, and what is done about it?")


def _segments(audit: ReportedAudit) -> Iterator[Block]:
    if audit.segments is None:
        yield Words("Parts of the rows were not told apart: the audit was not asked for segments.")
        yield Gap("Is there a group of people for whom the model may do worse, and who has looked?")
        return
    yield from segments_tables(audit)


def _observation(observation: Observation) -> Iterator[Block]:
    yield Words("Of one row, asked apart from the audit of all. Whoever reads this reads its prediction.")
    yield Commands(observation.lines)
    caption = "A bar for each feature: by how much its own value moves the prediction, beside the values of others."
    yield Picture(observation.picture, WIDTH, PICTURE_TOLD, caption)


def _comparison(change: Answer) -> Iterator[Block]:
    yield from _words(change)
    yield Gap("What does the change mean for those who rely on the version in use?")


def _policy(audit: ReportedAudit) -> Iterator[Block]:
    verdict = audit.verdict
    if verdict is None:
        yield Words("No policy was applied to this audit, so nobody has said what would be acceptable.")
        yield Gap("By which limits is the model judged, and who has set them?")
        return
    words = renamed(verdict.in_words, audit.segment_names)
    yield Words(f"{words[:1].upper()}{words[1:]}. Applied by {verdict.given_by}, {moment(verdict.given_at)}.")
    yield checks_table(verdict, audit.segment_names)
    if verdict.attempts:
        yield Table(
            "Other audits of these model files on these data under that policy",
            ("Run", "Model", "Ended", "Verdict"),
            [[str(each.get(key, "")) for key in ("run_id", "model", "when", "result")] for each in verdict.attempts],
            (3, 2, 2, 2),
        )


def _decision(decision: Answer, signed: Sequence[SignedWord] | None) -> Iterator[Block]:
    yield from _words(decision)
    if signed:
        title = "Signed, and counted by the trust file of whoever wrote this"
        yield Table(title, HEADER, [word.cells for word in signed], (2, 1.6, 2, 4, 3, 2.4))
    elif signed is not None:
        yield Words("Nobody has signed anything about it that counts by the trust file of whoever wrote this.")
    yield Gap("Decision, its conditions, and when the model is looked at again")
    yield Table(
        "Signatures",
        ("Role", "Name", "Decision", "Date", "Signature"),
        [[role, "", "", "", ""] for role in _PEOPLE],
        (3, 3, 2, 2, 4),
        is_for_people=True,
    )


def _provenance(audit: ReportedAudit) -> Iterator[Block]:
    run, model = audit.subject.run_id, audit.subject.model
    yield Words("Everything here was made from the files of one MLflow run, but for what people have filled in.")
    facts = [(name, value) for name, value, _ in provenance_of(audit)]
    yield Table("What identifies the audit", ("What", "Is"), facts, (3, 8))
    yield Words("The audit is repeated, to the last bit where the packages are the same, by:")
    yield Commands(
        [
            f"mlflow artifacts download --run-id {run} --artifact-path config.yaml --dst-path .",
            f"nnperm audit {model} --config config.yaml",
        ]
    )
