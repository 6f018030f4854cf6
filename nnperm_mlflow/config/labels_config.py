"""What people call features and steps, beside the names that numbers, keys and checks go by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from nnperm_mlflow.basics.documents import Strict
from nnperm_mlflow.basics.errors import name_list

STEPS = " steps"
"""What stands behind the name of a channel, or of temporal data, where a list calls the steps."""


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("a label says something: leave the key out where there is nothing to say")
    return text


Label = Annotated[str, Field(max_length=300), AfterValidator(_said)]
Step = Label | int


class FeatureLabel(Strict):
    """What a feature is called, and what there is to know of it.

    Attributes
    ----------
    label : str
    description : str
        In a sentence or two, for the report.
    """

    label: Label
    description: Annotated[str, Field(max_length=2_000)] = ""


_AnyLabel = Label | FeatureLabel | Annotated[list[Step], Field(min_length=1)]


def _checked(labels: dict[str, _AnyLabel]) -> dict[str, _AnyLabel]:
    for name, given in labels.items():
        if not isinstance(given, list):
            continue
        if not name.removesuffix(STEPS) or not name.endswith(STEPS):
            raise ValueError(f"a list calls the steps of a series: write it under '{name}{STEPS}'")
        told = [str(step) for step in given]
        if twice := sorted({step for step in told if told.count(step) > 1}):
            raise ValueError(f"'{name}' calls several steps {name_list(twice)}: give each a label of its own")
    return labels


Labels = Annotated[dict[str, _AnyLabel], AfterValidator(_checked)]
"""For each feature, window, group or column what it is called, and for `<series> steps` a label for each step."""


def labels_of(labels: Mapping[str, _AnyLabel]) -> dict[str, FeatureLabel]:
    """Return what features are called, without what steps are.

    >>> labels_of({"PAY": "payment status", "PAY steps": ["Apr", "May"]})
    {'PAY': FeatureLabel(label='payment status', description='')}
    """
    return {
        name: given if isinstance(given, FeatureLabel) else FeatureLabel(label=given)
        for name, given in labels.items()
        if not isinstance(given, list)
    }


def steps_of(labels: Mapping[str, _AnyLabel]) -> dict[str, list[str]]:
    """Return what the steps of a series are called, by the name of its channel or temporal data.

    >>> steps_of({"PAY": "payment status", "PAY steps": ["Apr", 5]})
    {'PAY': ['Apr', '5']}
    """
    return {
        name.removesuffix(STEPS): [str(step) for step in given]
        for name, given in labels.items()
        if isinstance(given, list)
    }
