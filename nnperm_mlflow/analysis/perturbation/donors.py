"""Which row gives its value to which: shuffles that are keyed, not drawn.

The donor of a row depends on the seed, the feature's name, the repeat and the number of rows, and on nothing else. So
the numbers of an audit change neither with the order of the features, nor with the block size, nor with what else is
audited. Up to `SHUFFLE_BLOCK_ROWS` rows a shuffle is an ordinary uniform permutation of all rows. Beyond, a keyed
bijection deals the rows into random shuffle blocks, and each feature is permuted inside them: every column stays
exactly permuted while memory stays that of one block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nnperm_mlflow.analysis.perturbation._keyed_numbers import dealt, key_of, ranks_of

SHUFFLE_BLOCK_ROWS = 65_536
"""Most rows of a shuffle block; a donor's position in it fits 16 bits."""

_DEAL = "the deal of rows into shuffle blocks"
_ORDER = "the order of steps"
_OTHERS = "donors instead of the row itself"
_ORDERED_ROWS = 256  # rows of a shuffle block whose orders of steps have a key of their own


@dataclass(frozen=True)
class ShuffleBlock:
    """Rows that exchange values among themselves.

    Attributes
    ----------
    number : int
        Position among the shuffle blocks of the data, from 0.
    rows : ndarray of shape (n_rows,), int64
        Positions in the data, ascending.
    """

    number: int
    rows: np.ndarray


def shuffle_blocks(n_rows: int, seed: int, block_rows: int | None = None) -> Iterator[ShuffleBlock]:
    """Deal all rows into shuffle blocks of nearly equal size.

    Parameters
    ----------
    n_rows : int
        Rows of the data.
    seed : int
        Seed of the audit.
    block_rows : int, optional
        Most rows of a block, `SHUFFLE_BLOCK_ROWS` if not fewer.

    Yields
    ------
    ShuffleBlock
        A single block of all rows, or, where these are too many, blocks that are random samples without replacement.
        Each row is in exactly one block.
    """
    sizes = shuffle_block_sizes(n_rows, block_rows)
    if len(sizes) == 1:
        yield ShuffleBlock(0, np.arange(n_rows))
        return
    start = 0
    for number, size in enumerate(sizes):
        yield ShuffleBlock(number, np.sort(dealt(np.arange(start, start + size), n_rows, deal_key(seed))))
        start += size


def shuffle_block(number: int, n_rows: int, seed: int) -> ShuffleBlock:
    """Return one of the blocks that `shuffle_blocks` deals, without the others."""
    sizes = shuffle_block_sizes(n_rows)
    if len(sizes) == 1:
        return ShuffleBlock(0, np.arange(n_rows))
    start = sum(sizes[:number])
    return ShuffleBlock(number, np.sort(dealt(np.arange(start, start + sizes[number]), n_rows, deal_key(seed))))


def block_numbers(rows: np.ndarray, n_rows: int, seed: int) -> np.ndarray:
    """Return in which shuffle block some rows lie, each told by itself: the inverse of `shuffle_blocks`.

    Parameters
    ----------
    rows : ndarray of shape (n,), int64
        Positions in the data, in any order.
    n_rows : int
        Rows of the data.
    seed : int
        Seed of the audit.

    Returns
    -------
    ndarray of shape (n,), int32
    """
    ends = np.cumsum(shuffle_block_sizes(n_rows))
    if len(ends) == 1:
        return np.zeros(len(rows), dtype=np.int32)
    return np.searchsorted(ends, ranks_of(rows, n_rows, deal_key(seed)), side="right").astype(np.int32)


def shuffle_block_sizes(n_rows: int, block_rows: int | None = None) -> list[int]:
    """Return the sizes of the shuffle blocks: as few and as equal as can be.

    >>> shuffle_block_sizes(65_537)
    [32768, 32769]
    """
    n_blocks = -(-n_rows // (block_rows or SHUFFLE_BLOCK_ROWS))
    edges = [number * n_rows // n_blocks for number in range(n_blocks + 1)]
    return [stop - start for start, stop in pairwise(edges)]


def deal_key(seed: int) -> int:
    """Return the key of the order in which rows are dealt."""
    return key_of(seed, _DEAL)


def donor_positions(
    block: ShuffleBlock, seed: int, feature: str, repeat: int, strata: np.ndarray | None = None
) -> np.ndarray:
    """Return, for each row of a shuffle block, the position in the block of the row whose value it receives.

    Parameters
    ----------
    block : ShuffleBlock
    seed : int
    feature : str
        Name of the feature; each has a permutation of its own.
    repeat : int
        Number of the repeat, from 0.
    strata : ndarray of shape (n_rows,), int, optional
        For each row of the block the number of its stratum, out of which its donor shall come.

    Returns
    -------
    ndarray of shape (n_rows,), uint16
        A permutation of the block's positions, uniform over all of them (the identity included), or over all that
        leave each row in its stratum.
    """
    words = np.random.Philox(key=key_of(seed, feature, repeat, block.number)).random_raw(len(block.rows))
    if strata is None:
        return ascending(words).astype(np.uint16)
    donors = np.empty(len(words), dtype=np.uint16)
    donors[np.argsort(strata, kind="stable")] = np.lexsort((words, strata))
    return donors


def cycle_positions(block: ShuffleBlock, seed: int, feature: str, repeat: int, strata: np.ndarray) -> np.ndarray:
    """Return, for each row of a shuffle block, the position of its donor in a random cycle through its stratum.

    No row is its own donor but one that is alone in its stratum. So deviations are not too small by 1/m in a stratum of
    m rows, as they are where each permutation may come, since there one row in m keeps its value.

    Parameters
    ----------
    block, seed, feature, repeat
        As for `donor_positions`.
    strata : ndarray of shape (n_rows,), int
        For each row of the block the number of its stratum.

    Returns
    -------
    ndarray of shape (n_rows,), uint16
        A permutation of the block's positions, uniform over all that go once round each stratum.
    """
    words = np.random.Philox(key=key_of(seed, feature, repeat, block.number)).random_raw(len(block.rows))
    order = np.lexsort((words, strata))
    donors = np.empty(len(words), dtype=np.uint16)
    if len(words):
        first = np.flatnonzero(np.diff(strata[order], prepend=strata[order[0]] - 1))
        following = np.roll(order, -1)
        following[np.append(first[1:], len(order)) - 1] = order[first]
        donors[order] = following
    return donors


def other_positions(block: ShuffleBlock, seed: int, feature: str, repeat: int, strata: np.ndarray) -> np.ndarray:
    """Return the donors of `donor_positions`, but another row's of its stratum where a row is its own donor.

    So one prediction of each row tells two things: how far predictions move among other rows, and what comes of a
    uniform permutation, in which rows that are their own donors stay as they are.

    Parameters
    ----------
    block, seed, feature, repeat, strata
        As for `cycle_positions`.

    Returns
    -------
    ndarray of shape (n_rows,), uint16
        Any other row of the stratum is the donor with the same probability. No permutation: a row may give its value
        twice or not at all. Rows that are alone in their stratum keep their value.
    """
    donors = donor_positions(block, seed, feature, repeat, strata)
    members = np.argsort(strata, kind="stable")
    _, first, inverse, sizes = np.unique(strata[members], return_index=True, return_inverse=True, return_counts=True)
    size, start, place = (np.empty(len(donors), dtype=np.int64) for _ in range(3))
    size[members], start[members] = sizes[inverse], first[inverse]
    place[members] = np.arange(len(donors)) - first[inverse]
    words = np.random.Philox(key=key_of(seed, feature, repeat, block.number, _OTHERS)).random_raw(len(donors))
    own = np.flatnonzero((donors == np.arange(len(donors))) & (size > 1))
    steps = 1 + (words[own] % (size[own] - 1).astype(np.uint64)).astype(np.int64)
    donors[own] = members[start[own] + (place[own] + steps) % size[own]]
    return donors


def ascending(words: np.ndarray) -> np.ndarray:
    """Return the positions of 64-bit words in ascending order, equal ones in their own, as a stable sort does.

    Two digits of 16 bits are sorted in linear time, and nearly always tell all words apart; where they do not, all bits
    are looked at.
    """
    upper, top = (words >> np.uint64(32)).astype(np.uint32), (words >> np.uint64(48)).astype(np.uint16)
    order = np.argsort(upper.astype(np.uint16), kind="stable")
    order = order[np.argsort(top[order], kind="stable")]
    in_order = upper[order]
    return np.argsort(words, kind="stable") if (in_order[1:] == in_order[:-1]).any() else order


def step_orders(block: ShuffleBlock, part: slice, seed: int, feature: str, repeat: int, *, n_steps: int) -> np.ndarray:
    """Return, for some rows of a shuffle block, an order of steps for each row.

    Parameters
    ----------
    block : ShuffleBlock
    part : slice
        Which rows of it.
    seed : int
    feature : str
        Name of the series.
    repeat : int
    n_steps : int

    Returns
    -------
    ndarray of shape (n_rows, n_steps), int64
        In each row a permutation of the steps, uniform over all of them, independent of the other rows'.
    """
    chunks = []
    for number in range(part.start // _ORDERED_ROWS, -(-part.stop // _ORDERED_ROWS)):
        key = key_of(seed, feature, repeat, block.number, _ORDER, number)
        words = np.random.Philox(key=key).random_raw(_ORDERED_ROWS * n_steps).reshape(_ORDERED_ROWS, n_steps)
        first = number * _ORDERED_ROWS
        chunks.append(words[max(0, part.start - first) : part.stop - first])
    return np.argsort(np.concatenate(chunks), axis=1, kind="stable")
