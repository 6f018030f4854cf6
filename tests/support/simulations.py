"""How much of a long simulation runs: a part of it, or all of it where NNPERM_FULL_SIMULATIONS is 1."""

import os

IN_FULL = os.environ.get("NNPERM_FULL_SIMULATIONS") == "1"


def in_full(whole, few):
    """Return what a simulation takes in full, or the few that are enough for every day."""
    return whole if IN_FULL else few
