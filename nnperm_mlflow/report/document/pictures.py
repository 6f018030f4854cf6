"""The pictures of the document: drawn anew from the numbers that the audit's digests are of."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from nnperm_mlflow.analysis.statistics.order import plain
from nnperm_mlflow.report.document.chapters import Picture
from nnperm_mlflow.report.page.reported_audit import ReportedAudit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_BOXES, MOST_CHANNELS = 20, 20
"""Features of the picture, and channels of that of windows, those that lead."""
WIDTH = 166.0
"""Of a picture, in millimetres: from margin to margin of A4."""
_DPI = 170


def picture_of_features(audit: ReportedAudit) -> Picture | None:
    """Return the boxes of the features that lead; None where nothing was tested."""
    from nnperm_mlflow.report.boxplot import boxplot_figure  # noqa: PLC0415 - loads matplotlib

    leading = plain(audit.summary)
    leading = leading[leading["changed_share"] > 0]
    leading = leading[leading["kind"] != "window"] if "kind" in leading else leading  # of which the heat map tells
    shown = leading.head(MOST_BOXES)
    if shown.empty:
        return None
    figure = boxplot_figure(
        shown, f"{audit.subject.model} on {audit.subject.rows_in_words}", audit.unit, audit.order_by
    )
    first = f"The {len(shown)} features that lead" if len(shown) < len(leading) else "All features that were tested"
    caption = f"{first}: how far the prediction of the same rows moves when the values of one are exchanged among them."
    return Picture(_png(figure), WIDTH, f"Boxes of the deviations of {len(shown)} features", caption)


def picture_of_windows(audit: ReportedAudit) -> Picture | None:
    """Return the heat map of windows, of the channels that lead; None where the audit has none."""
    from nnperm_mlflow.report.heatmap import heatmap_figure  # noqa: PLC0415 - loads matplotlib

    if audit.windows is None:
        return None
    largest = audit.windows.groupby("channel")["mean"].max().nlargest(MOST_CHANNELS).index
    shown = audit.windows[audit.windows["channel"].isin(largest)]
    figure = heatmap_figure(
        shown, f"{audit.subject.model} on {audit.subject.rows_in_words}", audit.unit, audit.order_by
    )
    caption = (
        "Only these steps of a channel were exchanged, the others stayed. Windows need not add up to their channel."
    )
    return Picture(_png(figure), WIDTH, "Mean deviation by channel and window", caption)


def picture_of_associations(audit: ReportedAudit) -> Picture | None:
    """Return the clustered map of features that go together; None where none do."""
    from nnperm_mlflow.report.association_map import associations_figure  # noqa: PLC0415 - loads matplotlib

    if audit.associations is None or audit.associations.empty:
        return None
    figure = associations_figure(audit.associations, f"{audit.subject.model} on {audit.subject.rows_in_words}")
    caption = (
        "What a pair has in common counts with neither of the two: shuffled alone, each looks smaller than both "
        "together. Blank pairs go together less."
    )
    return Picture(_png(figure), WIDTH, "Which features go together, and how closely", caption)


def _png(figure: Figure) -> bytes:
    """Return a figure as a PNG, without what tells when and by which version it was drawn."""
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
    return stream.getvalue()
