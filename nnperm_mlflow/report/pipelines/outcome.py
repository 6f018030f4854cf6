"""What a command of a pipeline came to, as every format tells it: steps that were kept, missed, or not answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nnperm_mlflow.verdict.verdict import Outcome, Verdict

Level = Literal["kept", "note", "warning", "fail", "error"]
"""Of a step: kept; undecided but counted as kept; not kept under a policy that is a dry run; not kept; not answered."""


@dataclass(frozen=True)
class Step:
    """One thing that a pipeline shows by itself: a check of the policy, or the command as a whole.

    Attributes
    ----------
    name : str
    level : {"kept", "note", "warning", "fail", "error"}
    words : str
        What it came to.
    asked : str
        What it asks for; empty where nothing else than its name.
    """

    name: str
    level: Level
    words: str
    asked: str = ""


@dataclass(frozen=True)
class CommandOutcome:
    """What a command came to.

    Attributes
    ----------
    command : str
        `audit`, `check` or `promote`.
    subject : str
        The version, or the run, that it was about.
    exit_status : {0, 1, 2}
        0 where what was asked for holds, 1 where it does not, 2 where that cannot be told.
    in_words : str
        All in a sentence.
    steps : tuple of Step
        The checks in the order of the policy, and what else was asked for.
    facts : mapping of str to object
        What JSON tells beside: the run, the verdict, the promotion.
    """

    command: str
    subject: str
    exit_status: int
    in_words: str
    steps: tuple[Step, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The command and what it was about."""
        return f"nnperm {self.command} {self.subject}"

    @property
    def status(self) -> str:
        """`pass`, `fail` or `error`."""
        return ("pass", "fail", "error")[self.exit_status]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "command": self.command,
            "subject": self.subject,
            "status": self.status,
            "exit_status": self.exit_status,
            "in_words": self.in_words,
            **self.facts,
        }


def steps_of(verdict: Verdict) -> tuple[Step, ...]:
    """Return a step for each check of a verdict; what several limits of one check came to is told together."""
    by_check: dict[str, list[Outcome]] = {}
    for outcome in verdict.outcomes:
        by_check.setdefault(outcome.check, []).append(outcome)
    return tuple(_step(name, outcomes, verdict) for name, outcomes in by_check.items())


def _step(name: str, outcomes: Sequence[Outcome], verdict: Verdict) -> Step:
    words = "\n".join(outcome.finding.words for outcome in outcomes)
    asked = "" if outcomes[0].asked == name else outcomes[0].asked
    if not all(outcome.passed for outcome in outcomes):
        return Step(name, "fail" if verdict.policy.mode == "enforce" else "warning", words, asked)
    is_sure = all(outcome.finding.state == "holds" for outcome in outcomes)
    return Step(name, "kept" if is_sure else "note", words, asked)
