"""What is proposed for a version and its data: the draft, what its trial came to, and what the model predicts."""

from __future__ import annotations

from dataclasses import dataclass

from nnperm_mlflow.auditor.proposal.draft import Draft, Trial
from nnperm_mlflow.basics.display import in_a_line
from nnperm_mlflow.inputs.slots import Kind
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.model_uri import ModelReference


@dataclass(frozen=True)
class Proposal:
    """A configuration proposed for a version and its data.

    Attributes
    ----------
    reference : ModelReference
    specs : tuple of InputSpec
        What the model takes.
    static : str or None
        Location of the table.
    n_rows : int
    draft : Draft
    trial : Trial or None
        What came of trying out what was assumed; None where nothing could be tried.
    output : tuple of (int or str or None, str)
        What `analysis: output:` should say, and why; None where nothing needs to be said, or nobody knows.
    kinds : dict of str to str
        For each feature whether it is a number, a category or a series; empty where something is open.
    predict : str or None
        What `analysis: predict:` should say; None for the function that MLflow serves.
    """

    reference: ModelReference
    specs: tuple[InputSpec, ...]
    static: str | None
    n_rows: int
    draft: Draft
    trial: Trial | None
    output: tuple[int | str | None, str]
    kinds: dict[str, Kind]
    predict: str | None = None

    @property
    def model(self) -> str:
        """The model as asked for, so that an alias stays one; of files their absolute path."""
        return self.reference.asked if self.reference.name or self.reference.model_id else self.reference.uri

    def __repr__(self) -> str:
        found = f"data found for {len(self.draft.inputs)} of {len(self.specs)} inputs"
        where = f"{self.reference.uri} on {self.n_rows:,} rows"
        return in_a_line("Proposal", where, found, f"{len(self.draft.questions)} open")
