"""Points out features that go together, and the groups that would join them."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.perturbation.association import Groups, associate, propose_groups
from nnperm_mlflow.basics.errors import name_list
from nnperm_mlflow.inputs.bound_inputs import BoundInputs, probe_rows
from nnperm_mlflow.inputs.slots import Feature, read_slot

logger = logging.getLogger(__name__)

MOST_ROWS = 5_000
"""Rows from all over the data on which associations are measured."""

ASSOCIATION_COLUMNS = ("first", "second", "measure", "value", "group")


@dataclass(frozen=True)
class Companions:
    """Features that go together.

    Attributes
    ----------
    pairs : DataFrame
        A row for each pair of features that are associated, strongest first, with the columns `ASSOCIATION_COLUMNS`;
        `group` names the group that would join them, and is empty where clustering keeps them apart.
    groups : dict of str to list of str
        The proposed groups.
    """

    pairs: pd.DataFrame
    groups: dict[str, list[str]]


def find_companions(inputs: BoundInputs, exclude: list[str], limit: float) -> Companions:
    """Measure how far features go together.

    Parameters
    ----------
    inputs : BoundInputs
    exclude : list of str
        Features that are not audited.
    limit : float
        Association from which two features are pointed out.

    Returns
    -------
    Companions
        Of a series the mean over its steps is compared.
    """
    rows = probe_rows(inputs.n_rows, MOST_ROWS)
    features = {name: feature for name, feature in inputs.features.items() if name not in exclude}
    columns = {name: _column(feature, inputs, rows) for name, feature in features.items()}
    categories = [name for name, feature in features.items() if feature.kind == "category"]
    associations = associate(columns, categories)
    groups = propose_groups(associations, limit)
    group_of = {member: name for name, members in groups.items() for member in members}
    pairs = [
        (pair.first, pair.second, pair.measure, pair.value, _common(group_of, pair.first, pair.second))
        for pair in associations.strong(limit)
    ]
    return Companions(pd.DataFrame(pairs, columns=list(ASSOCIATION_COLUMNS)), groups)


def point_out(companions: Companions, joined: Groups) -> None:
    """Warn of features that share their effect and are not shuffled together.

    Parameters
    ----------
    companions : Companions
    joined : mapping of str to sequence of str
        The groups that are audited.
    """
    together = [set(members) for members in joined.values()]
    for members in companions.groups.values():
        if not any(set(members) <= group for group in together):
            logger.warning(
                "%s go together and share their effect: a shuffle of one alone says little. Join them under "
                "'analysis: groups:', or set 'groups: auto'",
                name_list(members),
            )


def _column(feature: Feature, inputs: BoundInputs, rows: np.ndarray) -> np.ndarray:
    values = read_slot(inputs.sources, feature.slots[0], rows)
    return values.reshape(len(rows), -1).mean(axis=1) if feature.kind == "series" else values.reshape(len(rows))


def _common(group_of: dict[str, str], first: str, second: str) -> str:
    group = group_of.get(first, "")
    return group if group == group_of.get(second) else ""
