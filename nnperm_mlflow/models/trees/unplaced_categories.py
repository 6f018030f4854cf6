"""Categories of pandas that LightGBM stores in their order only, and of which columns they can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nnperm_mlflow.inputs.specs import InputSpec

Range = tuple[float, float]
"""Least and largest value of a feature in training, as the library took it: of categories their codes."""


@dataclass(frozen=True)
class UnplacedCategories:
    """The categories of all columns that came as categories of pandas, ordered ones included.

    What the file calls categorical features are other columns where an ordered category is among the former, or where
    whole numbers were asked for by name.

    Attributes
    ----------
    known : sequence of sequence
        For each of these columns its categories, in the order of their codes; columns in their order in the table.
    ranges : sequence of (float, float) or None
        Of each feature of the model, None where no tree could use it.
    """

    known: Sequence[Sequence[Any]]
    ranges: Sequence[Range | None]

    def by_column(self, specs: Sequence[InputSpec]) -> dict[str, Sequence[Any]] | None:
        """Return the categories of each column that has some.

        Columns of text must be categories, since the library takes no text; others can be where their values in
        training could have been codes.

        Parameters
        ----------
        specs : sequence of InputSpec
            Of the signature, one for each feature, in their order.

        Returns
        -------
        dict of str to sequence, or None
            None where several columns may be meant, or none fits.
        """
        ways: list[list[tuple[str, ...]]] = [[()], *([] for _ in self.known)]  # of the first so many, by their columns
        for spec, span in zip(specs, self.ranges, strict=True):
            left = ways if spec.dtype.kind != "O" else [[] for _ in ways]
            taken = [
                [(*columns, spec.name) for columns in before] if _can_be(spec, span, known) else []
                for before, known in zip(ways, self.known, strict=False)
            ]
            ways = [[*without, *with_it][:2] for without, with_it in zip(left, [[], *taken], strict=True)]
        return dict(zip(ways[-1][0], self.known, strict=True)) if len(ways[-1]) == 1 else None


def _can_be(spec: InputSpec, span: Range | None, known: Sequence[Any]) -> bool:
    """Tell whether a column can be the one of some categories."""
    if spec.dtype.kind == "b" and not all(isinstance(each, bool) for each in known):
        return False
    return span is None or (span[0] >= 0 and span[1] < len(known) and all(float(end).is_integer() for end in span))
