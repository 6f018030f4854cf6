"""The verdict on a version: what each check came to, and whether the policy is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from nnperm_mlflow.analysis.uncertainty.skewness import LEVEL
from nnperm_mlflow.basics.display import as_html, in_a_line
from nnperm_mlflow.basics.documents import Tolerant
from nnperm_mlflow.basics.errors import name_list
from nnperm_mlflow.basics.text import rows_in_words
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.verdict._estimates import Estimate, State
from nnperm_mlflow.verdict.attempt import Attempt, Result, result_of

_OF_SAMPLES = ("sampled_from", "look", "looks")
"""What identifies audits of samples alone."""


@dataclass(frozen=True)
class Subject:
    """What a verdict is on: an audit, identified by its run and by digests.

    Attributes
    ----------
    model : str
        Pinned URI of the version.
    run_id, experiment_id : str
        The run that holds the audit.
    model_digest, data_digest, config_digest, table_digest, summary_digest : str
        sha256 of the model's files, of the data, of what was done, of the deviation table, of the summary.
    rows : int
    repeats : int
    seed : int
    positives : int or None
        Rows whose label is the second of two classes; None where it does not tell.
    clusters : int or None
        Clusters of rows; None where rows stand for themselves.
    sampled_from : int or None
        Of how many rows those that were audited are a random sample; None where all were audited.
    look, looks : int or None
        Where more and more rows were audited until checks were decided, at which look the audit stopped, counted from
        1, and how many there might have been; None where the checks did not say when to stop.
    """

    model: str
    run_id: str
    experiment_id: str
    model_digest: str
    data_digest: str
    config_digest: str
    table_digest: str
    summary_digest: str
    rows: int
    repeats: int
    seed: int
    positives: int | None = None
    clusters: int | None = None
    sampled_from: int | None = None
    look: int | None = None
    looks: int | None = None

    @property
    def rows_in_words(self) -> str:
        """How many rows were audited, and of how many."""
        return rows_in_words(self.rows, self.sampled_from, self.seed)

    def as_dict(self) -> dict[str, Any]:
        """Return what identifies the audit, by name; of an audit of all rows as before there were samples."""
        return {name: value for name, value in asdict(self).items() if name not in _OF_SAMPLES or value is not None}


@dataclass(frozen=True)
class Finding:
    """What one limit of a check came to, for the perturbation that comes nearest to missing it or misses it most.

    Attributes
    ----------
    of : str
        The perturbation, or what else was counted or compared.
    number : Estimate
    limit : float
    at_most : bool
        Whether the limit is an upper one.
    state : {"holds", "fails", "undecided"}
    words : str
        All that in a sentence.
    also : tuple of str
        Other perturbations that do not hold.
    judged : int
        Numbers that have to keep the limit. Each is held to its own 95 % interval to hold, and to one that is right of
        all of them at once to fail.
    stages : int
        Among how many looks the level is shared, see `config.trial`.
    """

    of: str
    number: Estimate
    limit: float
    at_most: bool
    state: State
    words: str
    also: tuple[str, ...] = ()
    judged: int = 1
    stages: int = 1

    @property
    def levels(self) -> dict[str, float]:
        """How likely chance alone is to make a number hold, and to make it fail."""
        one_end = (1 - LEVEL) / 2 / self.stages
        return {"holds": round(one_end, 12), "fails": round(one_end / self.judged, 12)}


FORMAT = 1
"""Of `verdict.json`."""

Status = Literal["pass", "fail"]


@dataclass(frozen=True)
class Outcome:
    """What came of one limit.

    Attributes
    ----------
    check : str
        Name of the check.
    asked : str
        What it asks for, in words.
    finding : Finding
    passed : bool
        Whether it counts as kept; an undecided one as the policy says.
    """

    check: str
    asked: str
    finding: Finding
    passed: bool

    @property
    def is_undecided(self) -> bool:
        """Whether the policy, and not the number, says what it counts as."""
        return self.finding.state == "undecided"

    @property
    def in_words(self) -> str:
        """What came of it, in a word or two."""
        counts_as = "kept" if self.passed else "NOT KEPT"
        return f"undecided, counts as {counts_as.lower()}" if self.is_undecided else counts_as


@dataclass(frozen=True)
class Verdict:
    """Whether a version keeps a policy, and why.

    Attributes
    ----------
    subject : Subject
    policy : Policy
    outcomes : tuple of Outcome
        In the order of the policy.
    baselines : mapping of str to str
        For each URI that checks compare with the pinned version it meant.
    attempts : tuple of Attempt
        Other audits of the same model files on the same data under policies of that name.
    """

    subject: Subject
    policy: Policy
    outcomes: tuple[Outcome, ...]
    baselines: Mapping[str, str]
    attempts: tuple[Attempt, ...] = ()

    @property
    def status(self) -> Status:
        """`pass` where all checks are kept, else `fail`."""
        return "pass" if all(outcome.passed for outcome in self.outcomes) else "fail"

    @property
    def result(self) -> Result:
        """What counts of it as an attempt to pass a named policy."""
        return result_of(self.status, [outcome.finding.state for outcome in self.outcomes])

    @property
    def blocks(self) -> bool:
        """Whether somebody who relies on the verdict must stop."""
        return self.status == "fail" and self.policy.mode == "enforce"

    @property
    def not_kept(self) -> list[Outcome]:
        """What speaks against the version."""
        return [outcome for outcome in self.outcomes if not outcome.passed]

    @property
    def in_words(self) -> str:
        """The verdict in a line."""
        n = len(dict.fromkeys(outcome.check for outcome in self.outcomes))
        dry = ", as a dry run" if self.policy.mode == "dry_run" else ""
        under = f" under {self.policy.label}" if self.policy.name else ""
        if self.status == "pass":
            return f"pass{under}: {n} of {n} checks are kept{dry}"
        names = dict.fromkeys(outcome.check for outcome in self.not_kept)
        missed = {outcome.check for outcome in self.not_kept if not outcome.is_undecided}
        told = f"fail{under}: {len(names)} of {n} checks are not kept{dry}: {name_list(names)}"
        unsure = [name for name in names if name not in missed]
        return f"{told}; undecided, which counts as not kept: {name_list(unsure)}" if unsure else told

    @property
    def look_in_words(self) -> str | None:
        """At which look it was given, and by which level; None where the checks did not say when to stop."""
        subject = self.subject
        if subject.look is None or subject.looks is None or not self.outcomes:
            return None
        level = self.outcomes[0].finding.levels["holds"]
        return (
            f"given at look {subject.look} of {subject.looks} that there may be at growing samples, each at a level of "
            f"{level:.2%}: by chance alone a limit holds in {level * subject.looks:.2%} of all audits"
        )

    @property
    def next_stage(self) -> int | None:
        """The repeats of the stage that its trial allows after this one; None where there is no further look."""
        trial = self.policy.trial
        if self.result != "undecided" or trial is None:
            return None
        return next((each for each in trial.all_repeats if each > self.subject.repeats), None)

    def __repr__(self) -> str:
        return in_a_line("Verdict", self.in_words, self.subject.model, f"run {self.subject.run_id}")

    def _repr_html_(self) -> str:
        rows = [(outcome.in_words, outcome.check, outcome.finding.words) for outcome in self.outcomes]
        return as_html(
            f"{self.subject.model}: {self.in_words}",
            header=("", "check", "what it came to"),
            rows=rows,
            notes=[f"run {self.subject.run_id}"],
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as `verdict.json` holds it, without when and by whom it was given."""
        return {
            "format": FORMAT,
            "verdict": self.status,
            "in_words": self.in_words,
            "mode": self.policy.mode,
            "policy_name": self.policy.name,
            "policy_digest": self.policy.digest(),
            "policy": self.policy.as_dict(),
            "subject": self.subject.as_dict(),
            "baselines": dict(self.baselines),
            "attempts": [asdict(attempt) for attempt in self.attempts],
            "checks": [
                {
                    "check": outcome.check,
                    "asked": outcome.asked,
                    "passed": outcome.passed,
                    "state": outcome.finding.state,
                    "of": outcome.finding.of,
                    **asdict(outcome.finding.number),
                    "limit": outcome.finding.limit,
                    "limit_is": "at most" if outcome.finding.at_most else "at least",
                    "also_not_held_by": list(outcome.finding.also),
                    "judged": outcome.finding.judged,
                    "levels": outcome.finding.levels,
                    "in_words": outcome.finding.words,
                }
                for outcome in self.outcomes
            ],
        }


def stamp(when: datetime) -> str:
    """Return a moment as the files and tags of this project write it: UTC, to the second."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


class GivenVerdict(Tolerant):
    """A verdict as a run holds it: see `Verdict.as_dict`, and when and by whom it was given."""

    verdict: Status
    in_words: str
    mode: str
    policy_digest: str
    subject: dict[str, Any]
    baselines: dict[str, str]
    checks: list[dict[str, Any]]
    given_at: str
    given_by: str


class PastVerdict(GivenVerdict):
    """A verdict as history tells it, with the name of its policy, which verdicts of before do not have."""

    policy_name: str | None = None
