"""A digest of all rows that can be added up: whoever reads which of them, and in which order, it comes out the same.

A row's number and cells are hashed to a vector of 1,024 numbers of 16 bits, and vectors are added modulo 2**16
(LtHash). Rows cannot be exchanged for others that add up to the same, as they could be under a plain sum of hashes:
that would be a short solution of a lattice problem, for this size harder than 2**200 steps.

References
----------
Lewi, Kim, Maykov and Weis, "Securing Update Propagation with Homomorphic Hashing", Cryptology ePrint Archive 2019/227.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from nnperm_mlflow.inputs._row_sources import release
from nnperm_mlflow.inputs.dataset import Dataset

_LANES = 1_024
_DOMAIN = b"nnperm row\x1e"
_PIECE_ROWS = 2_048
_PIECE_BYTES = 1 << 22  # of cells written out in one go


class RowsDigest:
    """The sum of the hashes of some rows.

    Attributes
    ----------
    n_rows : int
    lanes : ndarray of shape (1024,), uint16
    header : bytes
        Names and types of the columns; empty as long as there are no rows.
    """

    def __init__(self) -> None:
        self.n_rows = 0
        self.lanes = np.zeros(_LANES, dtype=np.uint16)
        self.header = b""

    def add(self, dataset: Dataset, rows: np.ndarray) -> None:
        """Take in rows.

        Parameters
        ----------
        dataset : Dataset
            These rows and no others.
        rows : ndarray of shape (n_rows,), int64
            Their positions among all.
        """
        header, columns = _header(dataset), _arrays(dataset)
        self._agree(header)
        width = 8 + sum(array[:1].size * 8 for array in columns)
        step = max(1, min(_PIECE_ROWS, _PIECE_BYTES // width))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            hashes = b"".join(hashlib.shake_128(row).digest(2 * _LANES) for row in _spelled(columns, rows, part))
            self.lanes += np.frombuffer(hashes, dtype="<u2").reshape(-1, _LANES).sum(axis=0, dtype=np.uint16)
            for array in columns:
                release(array)
        self.n_rows += len(rows)

    def take_in(self, other: RowsDigest) -> None:
        """Take in the rows of another digest."""
        if other.n_rows:
            self._agree(other.header)
            self.lanes += other.lanes
            self.n_rows += other.n_rows

    def hexdigest(self) -> str:
        """Return 64 hex digits."""
        sha = hashlib.sha256(self.header)
        sha.update(f"\x1e{self.n_rows}\x1e".encode())
        sha.update(self.lanes.astype("<u2").tobytes())
        return sha.hexdigest()

    def _agree(self, header: bytes) -> None:
        if self.n_rows and self.header != header:
            raise RuntimeError("the parts of the data have other columns or types")
        self.header = header


def rows_digest(dataset: Dataset) -> str:
    """Return the digest (64 hex digits) of all rows in their order, as `RowsDigest` adds it up.

    Integers, floats and texts count as the same whatever their width, and columns in whatever order.
    """
    digest = RowsDigest()
    digest.add(dataset, np.arange(dataset.n_rows))
    return digest.hexdigest()


def _header(dataset: Dataset) -> bytes:
    """Return what columns and series there are, and what each holds."""
    told = [(name, _kind(dataset.columns[name]).__name__) for name in sorted(dataset.columns)]
    for name in sorted(dataset.temporal):
        series = dataset.temporal[name]
        shape = () if series.array is None else series.array.shape[1:]
        kind = "" if series.array is None else _kind(series.array).__name__
        told.append((name, repr((series.channels, dict(series.columns), series.channel_axis, shape, kind))))
    return repr(told).encode()


def _arrays(dataset: Dataset) -> list[np.ndarray]:
    columns = [dataset.columns[name] for name in sorted(dataset.columns)]
    series = [dataset.temporal[name].array for name in sorted(dataset.temporal)]
    return [*columns, *(array for array in series if array is not None)]


def _kind(array: np.ndarray) -> type:
    return {"i": np.int64, "u": np.int64, "b": np.int64, "f": np.float64}.get(array.dtype.kind, str)


def _spelled(columns: list[np.ndarray], rows: np.ndarray, part: slice) -> Iterator[bytes]:
    """Yield, for each row, bytes that tell its number and cells from those of any other."""
    numbers = [rows[part].astype("<i8").view(np.uint8).reshape(-1, 8)]
    texts: list[list[bytes]] = []
    for array in columns:
        kind, cells = _kind(array), array[part].reshape(len(numbers[0]), -1)
        if kind is str:
            texts += [[_as_bytes(str(cell)) for cell in column] for column in cells.T]
        else:
            wide = np.ascontiguousarray(cells, dtype=np.dtype(kind).newbyteorder("<"))
            numbers.append(wide.view(np.uint8).reshape(len(cells), -1))
    joined = np.concatenate(numbers, axis=1).tobytes()
    width = len(joined) // len(numbers[0])
    for place in range(len(numbers[0])):
        cells_of = joined[place * width : (place + 1) * width]
        yield b"".join([_DOMAIN, cells_of, *(column[place] for column in texts)])


def _as_bytes(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    return len(encoded).to_bytes(8, "little") + encoded
