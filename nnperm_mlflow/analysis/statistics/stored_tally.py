"""Tallies as bytes, which travel from where a part of the rows was audited to where all are added up."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import fields

import numpy as np

from nnperm_mlflow.analysis.statistics.tally import Tally
from nnperm_mlflow.basics.errors import EvidenceError

_DAMAGED = (OSError, ValueError, LookupError, TypeError, EOFError, zipfile.BadZipFile, NotImplementedError)
_SPARSE = ("bins", "sums", "fallen")
_DENSE = ("skipped", "largest", "moved", "flipped", "unmoved_largest")


def merged(tallies: Iterable[Tally]) -> Tally:
    """Return the tally of all deviations that some tallies have seen, each of other rows or repeats.

    Counts and sums of whole numbers are added, so that the order does not matter.

    Parameters
    ----------
    tallies : iterable of Tally
        At least one, all of the same perturbations. Not modified but for deviations that are now counted.
    """
    total: Tally | None = None
    for tally in tallies:
        tally.count_all()
        if total is None:
            total = Tally.empty(len(tally.sums), tally.signed)
            total.count_all()
        total.take_in(tally)
    if total is None:
        raise RuntimeError("there is no tally to merge")
    return total


def dump(tally: Tally) -> bytes:
    """Return a tally as bytes: of bins and sums only what is not 0."""
    tally.count_all()
    arrays = {name: getattr(tally, name) for name in _DENSE}
    for name in _SPARSE:
        values = getattr(tally, name).ravel()
        places = np.flatnonzero(values)
        arrays |= {f"{name}_places": places, name: values[places]}
    about = {"n_rows": tally.n_rows, "signed": tally.signed, "decided": sorted(tally.decided)}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def load(stored: bytes) -> Tally:
    """Return the tally that `dump` made bytes of.

    Raises
    ------
    EvidenceError
        If they are none.
    """
    try:
        with np.load(io.BytesIO(stored), allow_pickle=False) as held:
            about = json.loads(held["about"].tobytes())
            tally = Tally.empty(len(held["skipped"]), bool(about["signed"]))
            tally.count_all()
            tally.n_rows, tally.decided = int(about["n_rows"]), set(map(int, about["decided"]))
            for name in _DENSE:
                getattr(tally, name)[:] = held[name]
            for name in _SPARSE:
                getattr(tally, name).reshape(-1)[held[f"{name}_places"]] = held[name]
            return tally
    except _DAMAGED as error:
        raise EvidenceError(
            f"what was counted of a part of the rows is damaged ({type(error).__name__}). Audit again."
        ) from error


def same_counts(one: Tally, other: Tally) -> bool:
    """Tell whether two tallies have counted the same."""
    one.count_all()
    other.count_all()
    names = [each.name for each in fields(Tally) if each.name != "few"]
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)
