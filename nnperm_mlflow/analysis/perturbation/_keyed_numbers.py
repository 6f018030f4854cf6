"""Numbers that depend on a key and nothing else: keys made of names, and positions in a random order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

_ROUNDS = 8  # of the Feistel network; 6 to 8 pass tests of randomness, 2 do not


def key_of(*parts: object) -> int:
    """Return 128 bits that depend on every part and on where one ends and the next begins."""
    text = "\x1f".join(f"{len(str(part))}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def dealt(ranks: np.ndarray, n_cards: int, key: int) -> np.ndarray:
    """Return what a keyed bijection of 0..n_cards-1 puts at `ranks`.

    A Feistel network permutes the numbers of 2h bits; a number that it sends beyond the last one is sent on until it
    falls inside (cycle walking), which keeps the map a bijection (Black and Rogaway, "Ciphers with Arbitrary Finite
    Domains", 2002).

    Parameters
    ----------
    ranks : ndarray of shape (n,), int64
        Some of 0..n_cards-1.
    n_cards : int
    key : int
        128 bits, see `key_of`.

    Returns
    -------
    ndarray of shape (n,), int64
    """
    return _walked(_feistel, ranks, n_cards, key)


def ranks_of(numbers: np.ndarray, n_cards: int, key: int) -> np.ndarray:
    """Return at which ranks `dealt` puts some numbers: the same bijection, the other way.

    Parameters
    ----------
    numbers : ndarray of shape (n,), int64
        Some of 0..n_cards-1.
    n_cards, key : int
        As for `dealt`.

    Returns
    -------
    ndarray of shape (n,), int64
    """
    return _walked(_feistel_back, numbers, n_cards, key)


Rounds = Callable[[np.ndarray, int, np.ndarray], np.ndarray]


def _walked(permute: Rounds, numbers: np.ndarray, n_cards: int, key: int) -> np.ndarray:
    """Permute numbers until each falls inside of 0..n_cards-1."""
    half_bits = -(-max(2, (n_cards - 1).bit_length()) // 2)
    round_keys = np.random.Philox(key=key).random_raw(_ROUNDS)
    found = permute(numbers.astype(np.uint64), half_bits, round_keys)
    outside = np.flatnonzero(found >= n_cards)
    while outside.size:
        found[outside] = permute(found[outside], half_bits, round_keys)
        outside = outside[found[outside] >= n_cards]
    return found.astype(np.int64)


def coins(numbers: np.ndarray, key: int) -> np.ndarray:
    """Return 0 or 1 for each number, as a fair coin that is thrown for it by the key; shape (n,), int64."""
    first, second = np.random.Philox(key=key).random_raw(2)
    words = _mix(_mix(numbers.astype(np.uint64) ^ first) ^ second)
    return (words >> np.uint64(63)).astype(np.int64)


def _feistel(numbers: np.ndarray, half_bits: int, round_keys: np.ndarray) -> np.ndarray:
    """Permute unsigned numbers of `2 * half_bits` bits."""
    shift, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = numbers >> shift, numbers & mask
    for key in round_keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return (left << shift) | right


def _feistel_back(numbers: np.ndarray, half_bits: int, round_keys: np.ndarray) -> np.ndarray:
    """Return what `_feistel` sends to some numbers: its rounds from the last to the first."""
    shift, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = numbers >> shift, numbers & mask
    for key in round_keys[::-1]:
        left, right = right ^ (_mix(left ^ key) & mask), left
    return (left << shift) | right


def _mix(words: np.ndarray) -> np.ndarray:
    """Scramble 64-bit words with the finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
