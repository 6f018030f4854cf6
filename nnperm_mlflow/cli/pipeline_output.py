"""`--format`: what a command prints for a pipeline in place of the words for people."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

import nnperm_mlflow
from nnperm_mlflow.basics.errors import AuditError, ConfigError, RefusedError
from nnperm_mlflow.basics.locations import without_secrets
from nnperm_mlflow.cli.common import EXIT_ERROR, EXIT_FAIL
from nnperm_mlflow.report.pipelines.formats import FORMATS, as_job_summary
from nnperm_mlflow.report.pipelines.outcome import CommandOutcome, Step, steps_of
from nnperm_mlflow.report.pipelines.policy_lines import PolicyFile

_JOB_SUMMARY = "GITHUB_STEP_SUMMARY"

_Command = TypeVar("_Command", bound=Callable[..., Any])


def format_option(command: _Command) -> _Command:
    """Add the option for the format of what goes to standard output."""
    return click.option(
        "--format", "form", type=click.Choice(["text", *FORMATS]), default="text", show_default=True,
        help="What is printed: text for people, or what a pipeline reads.",
    )(command)  # fmt: skip


@dataclass(frozen=True)
class PipelineOutput:
    """Prints what a command came to, also where it came to nothing.

    Attributes
    ----------
    form : str
        "text", which is the command's own business, or one of `FORMATS`.
    command : str
    subject : str
        The version or the run, as it was named.
    policy : str or None
        File of the policy, where one was named.
    """

    form: str
    command: str
    subject: str
    policy: str | None = None

    @property
    def is_text(self) -> bool:
        """Whether the command prints words for people."""
        return self.form == "text"

    @contextmanager
    def tells_errors(self) -> Iterator[None]:
        """Print what hinders the command within the block, in the format, before it is told as always."""
        try:
            yield
        except (click.ClickException, SystemExit):
            raise
        except Exception as error:
            if isinstance(error, RefusedError):
                self._tell_refusal(error)
            else:
                known = isinstance(error, AuditError)
                self._tell(EXIT_ERROR, str(error) if known else f"unexpected {type(error).__name__}", ())
            raise

    def tell_verdict(self, verdict: nnperm_mlflow.Verdict | None, facts: Mapping[str, Any]) -> None:
        """Print what came of an audit or a check; nothing where the command prints words.

        Parameters
        ----------
        verdict : Verdict or None
            None where no policy was applied.
        facts : mapping of str to object
            What JSON tells beside the verdict.
        """
        if verdict is None:
            self._tell(0, "audited; no policy was applied", (Step(self.command, "kept", "audited"),), facts)
        else:
            status = EXIT_FAIL if verdict.blocks else 0
            self._tell(status, verdict.in_words, steps_of(verdict), {**facts, "verdict": verdict.as_dict()})

    def tell_promotion(self, alias: str, words: str, facts: Mapping[str, Any]) -> None:
        """Print that a version has an alias now; nothing where the command prints words."""
        self._tell(0, words, (Step(f"promotion to {alias}", "kept", words),), facts)

    def _tell_refusal(self, error: RefusedError) -> None:
        verdict = error.verdict if isinstance(error.verdict, nnperm_mlflow.Verdict) else None
        steps = (*(steps_of(verdict) if verdict else ()), Step("promotion", "fail", str(error)))
        self._tell(EXIT_FAIL, f"refused: {error}", steps, {"verdict": verdict.as_dict()} if verdict else {})

    def _tell(self, status: int, words: str, steps: tuple[Step, ...], facts: Mapping[str, Any] | None = None) -> None:
        if self.is_text:
            return
        shown = steps or (Step(self.command, "error", words),)
        outcome = CommandOutcome(self.command, without_secrets(self.subject), status, words, shown, facts or {})
        click.echo(FORMATS[self.form](outcome, self._policy_file(), nnperm_mlflow.__version__))
        if self.form == "github" and os.environ.get(_JOB_SUMMARY):
            with Path(os.environ[_JOB_SUMMARY]).open("a", encoding="utf-8") as summary:
                summary.write(as_job_summary(outcome))

    def _policy_file(self) -> PolicyFile | None:
        if not self.policy:
            return None
        try:
            return PolicyFile.read(self.policy, nnperm_mlflow.load_policy(self.policy))
        except ConfigError:  # which has been told
            return None
