"""A configuration in the making: what each input receives and why, what is assumed and tried out, what is left open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from nnperm_mlflow.auditor.proposal.yardstick import Yardstick
from nnperm_mlflow.inputs.bound_inputs import Wanted
from nnperm_mlflow.inputs.dataset import Series
from nnperm_mlflow.inputs.specs import InputSpec

Columns = Mapping[str, np.ndarray]
"""The static table."""

Section = Literal["data", "inputs", "analysis"]
"""Of a configuration."""

NUMBERS, TEXT = "iufb", "O"
"""Kinds of dtype."""

KINDS = {"text": TEXT, "codes": "iub", "numbers": NUMBERS}
"""For what an input takes (see `inputs.assignment.kind_of`) the kinds of dtype that columns for it may have."""

NO_INPUT = "no input takes it"
"""Why a column is left out for which there is no other reason."""


@dataclass(frozen=True)
class Reading:
    """Which data each input receives, one way of several that the shapes allow.

    Attributes
    ----------
    inputs : mapping of str to str or list of str
    temporal : mapping of str to Series
    """

    inputs: Wanted
    temporal: Mapping[str, Series]


@dataclass(frozen=True)
class Assumption:
    """Something that neither names nor shapes can tell: in which order columns stand for steps, channels or numbers.

    Attributes
    ----------
    kind : {"steps", "channels", "numbers"}
    of : str
        The temporal data, or the input that receives the numbers.
    told_by : str
        What speaks for it as it is written; "" where nothing does.
    """

    kind: Literal["steps", "channels", "numbers"]
    of: str
    told_by: str = ""


@dataclass(frozen=True)
class Finding:
    """What came of trying out an assumption.

    Attributes
    ----------
    assumption : Assumption
    is_told : bool
        Whether the outcome tells the order that was taken from every other that was tried.
    is_changed : bool
        Whether that is another one than was assumed.
    fit : float
        Of the order that was taken.
    rival : float or None
        Of the best other one; None where none was tried.
    """

    assumption: Assumption
    is_told: bool
    is_changed: bool
    fit: float
    rival: float | None


@dataclass(frozen=True)
class Trial:
    """What came of trying out a draft.

    Attributes
    ----------
    reading : Reading
        The one that fits the outcome best, as far as it tells.
    yardstick : Yardstick
    n_rows : int
    fit : float
        Of that reading.
    tells_nothing : bool
        Whether predictions fit the outcome no better than chance.
    findings : tuple of Finding
    """

    reading: Reading
    yardstick: Yardstick
    n_rows: int
    fit: float
    tells_nothing: bool
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Question:
    """Something that a person has to decide.

    Attributes
    ----------
    what : str
        What is not known.
    lines : tuple of (str, str)
        Lines of the configuration that would decide it, each with the section that it belongs to; several where there
        is a choice, or where one line is not enough.
    """

    what: str
    lines: tuple[tuple[Section, str], ...] = ()


@dataclass
class Draft:
    """What has been found so far.

    Attributes
    ----------
    inputs : dict of str to str or list of str
        For each input that is decided its data.
    reasons : dict of str to str
        For each of these why.
    temporal : dict of str to Series
    files : dict of str to str
        For temporal data that are arrays their location.
    in_table : set of str
        Temporal data that are cells of the static table, and need no word.
    undecided : dict of str to (Series, Series)
        Temporal data of which either may be meant: nothing tells which step is the first.
    row_id, label : str or None
    label_told_by : str
        Why the label is taken for one.
    left_out : dict of str to str
        Columns that no input takes, with why.
    assumptions : list of Assumption
    questions : list of Question
    """

    inputs: dict[str, str | list[str]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    temporal: dict[str, Series] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    in_table: set[str] = field(default_factory=set)
    undecided: dict[str, tuple[Series, Series]] = field(default_factory=dict)
    row_id: str | None = None
    label: str | None = None
    label_told_by: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    assumptions: list[Assumption] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)

    @property
    def reading(self) -> Reading:
        """The data of each input as drafted."""
        return Reading(dict(self.inputs), dict(self.temporal))

    def give(self, name: str, target: str | list[str], reason: str) -> None:
        """Let an input receive data."""
        self.inputs[name] = target
        self.reasons[name] = reason

    def waiting(self, specs: Sequence[InputSpec], *, and_optional: bool = False) -> list[InputSpec]:
        """Return the inputs that nothing has been found for, of those that the model can do without if asked for."""
        return [spec for spec in specs if spec.name not in self.inputs and (and_optional or not spec.is_optional)]

    def left(self, columns: Columns, kinds: str) -> list[str]:
        """Return the columns of some kinds of dtype that have no place yet, in the order of the file."""
        placed = {*self.taken, *self.left_out, self.label}
        return [name for name, values in columns.items() if name not in placed and values.dtype.kind in kinds]

    def free_name(self, name: str, columns: Columns) -> str:
        """Return a name for temporal data that nothing else has."""
        return name if name not in columns and name not in self.temporal else self.free_name(f"{name}_", columns)

    @property
    def described(self) -> dict[str, Series]:
        """Temporal data that a configuration has to describe, and can: decided, and not in the table as they are."""
        known = {*self.undecided, *self.in_table}
        return {name: series for name, series in self.temporal.items() if name not in known}

    @property
    def taken(self) -> set[str]:
        """Columns that inputs receive, as values or as steps."""
        targets = [[target] if isinstance(target, str) else target for target in self.inputs.values()]
        steps = [name for series in self.temporal.values() for names in series.columns.values() for name in names]
        return {*steps, *(name for target in targets for name in target)}
