"""What a proposal rests on, in sentences that stand in the file and on the terminal alike."""

from __future__ import annotations

from collections.abc import Iterator

from nnperm_mlflow.auditor.proposal.draft import Assumption, Draft, Finding, Trial


def is_told(assumption: Assumption, trial: Trial | None) -> bool:
    """Tell whether the outcome bears what is assumed: any other order that was tried fits it worse."""
    return any(finding.is_told for finding in _findings(assumption, trial))


def basis_of(assumption: Assumption, draft: Draft, trial: Trial | None) -> str:
    """Return what is assumed, and what speaks for it.

    Parameters
    ----------
    assumption : Assumption
    draft : Draft
    trial : Trial or None
    """
    what = f"{assumption.kind} of {assumption.of}: {_order(assumption, draft, trial)}"
    finding = next(_findings(assumption, trial), None)
    if trial is None or finding is None or finding.rival is None:
        return f"{what}; that the model takes them so is assumed."
    other = "the other way round" if assumption.kind == "steps" else "in another order"
    if finding.is_told:
        most = "" if assumption.kind == "steps" else " at most"
        return f"{what}. {other.capitalize()} {trial.yardstick.name} is {finding.rival:.3f}{most}."
    return (
        f"{what}; that the model takes them so is assumed. {other.capitalize()} {trial.yardstick.name} is "
        f"{finding.rival:.3f}, too close to tell."
    )


def fit_of(draft: Draft, trial: Trial) -> str:
    """Return how well predictions fit the outcome, with what was decided."""
    name, chance = trial.yardstick.name, trial.yardstick.worst
    told = f"{name} {trial.fit:.3f} on {trial.n_rows:,} rows, where {chance:.3g} is chance"
    if not trial.tells_nothing:
        return f"predictions fit the outcome '{draft.label}': {told}."
    return (
        f"predictions do NOT fit the outcome '{draft.label}' better than chance might: {told}. Does the model take its "
        "inputs in these units, and in this order?"
    )


def _findings(assumption: Assumption, trial: Trial | None) -> Iterator[Finding]:
    return (finding for finding in (trial.findings if trial else ()) if finding.assumption == assumption)


def _order(assumption: Assumption, draft: Draft, trial: Trial | None) -> str:
    is_changed = any(finding.is_changed for finding in _findings(assumption, trial))
    if assumption.kind != "steps":
        return "not in the order of the file" if is_changed else "in the order of the file"
    series = draft.temporal[assumption.of]
    steps = series.columns[series.channels[0]]
    ends = f"{steps[0]} first, {steps[-1]} last"
    if not assumption.told_by:
        return ends
    return f"{ends}, {'against' if is_changed else 'in'} the order of time by {assumption.told_by}"
