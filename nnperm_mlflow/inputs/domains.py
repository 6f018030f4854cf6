"""Whether the data hold what a network can tell apart: words of its lookups, codes of its embeddings."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from nnperm_mlflow.inputs.bound_inputs import BoundInputs
from nnperm_mlflow.inputs.slots import Feature
from nnperm_mlflow.inputs.specs import Domain, InputSpec

logger = logging.getLogger(__name__)

_CHUNK_CELLS = 1 << 20


Strangers = Mapping[tuple[str, int], Mapping[str, tuple[int, int]]]
"""For an input and the position of a domain among its own what `count_strangers` tells."""


def find_strangers(
    specs: Sequence[InputSpec],
    inputs: BoundInputs,
    turned: Collection[str] = (),
    counted: Strangers | None = None,
) -> list[str]:
    """Look for values that a network cannot tell apart, and warn of them.

    Parameters
    ----------
    specs : sequence of InputSpec
    inputs : BoundInputs
    turned : collection of str
        Columns of numbers that reach the model as text.
    counted : mapping, optional
        What was counted of all rows, where `inputs` hold but some of them.

    Returns
    -------
    list of str
        What to say where a column or a history holds nothing else: the network predicts for rows it can make nothing
        of. Names and counts are told, values are not.
    """
    lost = []
    for spec in specs:
        for number, domain in enumerate(spec.domains):
            told = count_strangers(spec, domain, inputs) if counted is None else counted[spec.name, number]
            for name, (strange, cells) in told.items():
                if strange == cells > 0:
                    lost.append(_nothing_known(name, spec, domain, name in turned))
                elif strange:
                    logger.warning(
                        "%.2g %% of the values of '%s' (%s of %s) are none that %s, behind the model's input '%s', "
                        "knows: the network takes them for one another, or fails",
                        100 * strange / cells, name, f"{strange:,}", f"{cells:,}", domain.layer, spec.name,
                    )  # fmt: skip
    return lost


def _nothing_known(name: str, spec: InputSpec, domain: Domain, is_turned: bool) -> str:
    """Return what to say where no value is known; those of the data and of the network stay untold."""
    known = f"the codes 0 to {len(domain.known) - 1}" if isinstance(domain.known, range) else "others"
    why = "Its numbers were turned into text, which may not be how the network knows them. " if is_turned else ""
    return (
        f"'{name}' holds not one value that {domain.layer}, behind the model's input '{spec.name}', knows: it is made "
        f"for {known} ({len(domain.known):,} of them). {why}Give the column as the network was trained with it, or "
        f"another one under 'inputs: {spec.name}'."
    )


def count_strangers(spec: InputSpec, domain: Domain, inputs: BoundInputs) -> dict[str, tuple[int, int]]:
    """Return for each column, or for temporal data as one, how many cells are not known, and how many hold anything."""
    wanted = inputs.wanted[spec.name]
    counts: dict[str, tuple[int, int]] = {}
    for cells in _rows_of(spec.name, inputs):
        taken = range(cells.shape[1]) if domain.places is None else domain.places
        parts = {wanted[place]: cells[:, place] for place in taken} if isinstance(wanted, list) else {}
        for name, part in (parts or {str(wanted): cells[:, list(taken)].ravel()}).items():
            strange, known = counts.get(name, (0, 0))
            if _knows_all(domain, part):
                counts[name] = strange, known + part.size
                continue
            held = part[~pd.isna(part)]
            counts[name] = strange + int(np.count_nonzero(~_knows(domain, held))), known + held.size
    return counts


def strange_to(inputs: BoundInputs, feature: Feature, value: object) -> list[str]:
    """Return the layers that do not know a value which a static feature is to be set to.

    Parameters
    ----------
    inputs : BoundInputs
    feature : Feature
    value : bool, int, float or str
        As the feature's inputs hold it.
    """
    found = []
    for slot in feature.slots:
        place = sum(part for part in slot.index if isinstance(part, int))  # (n,), (n, 1) and (1, n) alike
        held = np.array([str(value) if inputs.sources[slot.input].dtype.kind == "O" else value], dtype=object)
        for domain in inputs.domains.get(slot.input, ()):
            if (domain.places is None or place in domain.places) and not _knows(domain, held).all():
                found.append(domain.layer)
    return found


def _rows_of(name: str, inputs: BoundInputs) -> Iterator[np.ndarray]:
    """Yield an input piece by piece, as arrays of shape (n_rows, n_cells)."""
    source = inputs.sources[name]
    step = max(1, _CHUNK_CELLS // max(1, source.take(np.arange(1)).size))
    for start in range(0, inputs.n_rows, step):
        rows = np.arange(start, min(start + step, inputs.n_rows))
        yield source.take(rows).reshape(len(rows), -1)


def _knows_all(domain: Domain, values: np.ndarray) -> bool:
    """Tell at a glance, by the least and the largest, that a network knows all of some numbers, and none is NaN."""
    if not isinstance(domain.known, range) or values.size == 0 or values.dtype.kind not in "iuf":
        return False
    return bool(values.min() >= 0 and values.max() < len(domain.known))  # neither is true of NaN


def _knows(domain: Domain, values: np.ndarray) -> np.ndarray:
    """Tell which values a network knows; it cuts off decimals of codes."""
    if isinstance(domain.known, range):
        codes = np.trunc(values.astype(np.float64))
        return (codes >= 0) & (codes < len(domain.known))
    return pd.Series(values).isin(list(domain.known)).to_numpy()
