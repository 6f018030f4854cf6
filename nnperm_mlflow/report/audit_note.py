"""The description of an audit's run: the first screen of its report in Markdown, short enough for MLflow."""

from __future__ import annotations

from nnperm_mlflow.analysis.statistics.order import in_words
from nnperm_mlflow.basics.audit_files import REPORT_FILE
from nnperm_mlflow.basics.text import as_table, as_text, cut_middle
from nnperm_mlflow.report.page.answers import answers_of, bars_of, headline
from nnperm_mlflow.report.page.reported_audit import ReportedAudit

MOST_LETTERS = 6_000
"""Of the whole, so that there is room for what people write beside it."""

_MOST_ANSWER = 700
_MOST_NAME = 60


def audit_note(audit: ReportedAudit) -> str:
    """Return where the report is, what leads, and the answers to a reader's questions.

    MLflow shows the first lines alone until more is asked for.

    Parameters
    ----------
    audit : ReportedAudit

    Returns
    -------
    str
        Markdown of at most `MOST_LETTERS` letters; answers for which there is no room are left to the report.
    """
    subject, shown = audit.subject, audit.labelled
    link = f"#/experiments/{subject.experiment_id}/runs/{subject.run_id}/artifacts/{REPORT_FILE}"
    rows = [(cut_middle(bar.name, _MOST_NAME), bar.number, bar.ends) for bar in bars_of(shown)]
    parts = [
        f"{_verdict(audit)} The whole report: [{REPORT_FILE}]({link}).",
        f"**{as_text(cut_middle(headline(shown), _MOST_ANSWER))}**",
        "\n".join(as_table(["feature", in_words(audit.order_by), "95 % interval"], rows)) if rows else "",
        f"Boxes, checks and method stand in {REPORT_FILE} among the artifacts, which is made again by "
        f"`nnperm report --run {subject.run_id}`.",
    ]
    told = [part for part in parts if part]
    room = MOST_LETTERS - len("\n\n".join(told))
    for answer in answers_of(shown):
        words = f"**{as_text(answer.question)}** {as_text(cut_middle(' '.join(answer.sentences), _MOST_ANSWER))}"
        if len(words) + 2 <= room:
            told.insert(-1, words)
            room -= len(words) + 2
    return "\n\n".join(told)


def _verdict(audit: ReportedAudit) -> str:
    if audit.verdict is None:
        return "No policy was applied."
    return "Policy kept." if audit.verdict.verdict == "pass" else "Policy not kept."
