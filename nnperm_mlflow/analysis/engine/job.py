"""What is done to every row, and how many rows a block has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from nnperm_mlflow.analysis.engine.decisions import Decision
from nnperm_mlflow.analysis.engine.deviation import Measure
from nnperm_mlflow.analysis.perturbation.deal import BATCH_ROWS, Deal, joined
from nnperm_mlflow.analysis.perturbation.donors import SHUFFLE_BLOCK_ROWS, ShuffleBlock, step_orders
from nnperm_mlflow.analysis.perturbation.kinds import (
    Conditional,
    Perturbation,
    Reorder,
    SetTo,
    Shuffle,
    Subgroups,
    ToEdge,
)
from nnperm_mlflow.analysis.perturbation.sample import Sample
from nnperm_mlflow.analysis.perturbation.strata import Strata
from nnperm_mlflow.analysis.perturbation.subgroups.columns import ColumnReader
from nnperm_mlflow.inputs.bound_inputs import BoundInputs
from nnperm_mlflow.inputs.row_cache import row_bytes
from nnperm_mlflow.inputs.slots import count_steps
from nnperm_mlflow.models.predictor import Predictor

_BLOCK_BYTES = 1 << 25  # of inputs in one model call: 32 MiB
_ACTIVATION_BYTES = 1 << 28  # of what the model computes from them: 256 MiB
_RESULT_BYTES = 1 << 28  # of their deviations, under all perturbations and repeats: 256 MiB
_DEVIATION_BYTES = 7  # of a deviation, whether its row had moved, the prediction fell and the decision flipped
_PREDICTION_BYTES = 8
_KEPT_BYTES = 1 << 29  # of what is kept of all blocks of a shuffle block: 512 MiB
_MOST_BLOCK_ROWS = 4_096
_DONOR_BYTES = 1 << 28  # of donors remembered from block to block, and of subgroups in a block: 256 MiB


@dataclass(frozen=True)
class Job:
    """What is done to every block of rows.

    Attributes
    ----------
    predictor : Predictor
    inputs : BoundInputs
    perturbations : sequence of Perturbation
    measure : Measure
    model : str
        For messages.
    seed, repeats : int
    first_repeat : int
        Number of the first repeat; those before have been done already.
    decision : Decision or None
        How the model decides, if it does.
    strata : Strata or None
        Which rows may exchange values; None where all may.
    clusters : ndarray of shape (n_rows,), int64, or None
        Number of each row's cluster, in the order in which they first appear: rows of one are not independent of each
        other. None where each row stands for itself.
    tests : bool
        Whether the shuffles are also those of a permutation test, which within strata takes another draw.
    skips_missing : bool
        Leave rows out whose prediction is NaN, instead of ending.
    void_inputs : frozenset of str
        Inputs of which the model takes no missing values; rows that hold some are left out.
    keeps_predictions : bool
        Give perturbed predictions on, beside the deviations.
    in_batches : bool
        Whether rows exchange values in batches, so that the first of these can be audited without the rest.
    sample : Sample or None
        Where not all rows are audited, which: `inputs`, `strata` and `clusters` are then those of these rows.
    stopped : mapping of int to int
        Perturbations, by their positions, that are sure enough on some of the first blocks, and on how many; of the
        others all blocks are audited.
    """

    predictor: Predictor
    inputs: BoundInputs
    perturbations: Sequence[Perturbation]
    measure: Measure
    model: str
    seed: int = 0
    repeats: int = 1
    first_repeat: int = 0
    decision: Decision | None = None
    strata: Strata | None = None
    clusters: np.ndarray | None = None
    tests: bool = False
    skips_missing: bool = False
    void_inputs: frozenset[str] = frozenset()
    keeps_predictions: bool = False
    in_batches: bool = False
    sample: Sample | None = None
    stopped: Mapping[int, int] = field(default_factory=dict)
    _remembered: dict[tuple[object, ...], np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    _deals: dict[tuple[object, ...], Deal] = field(default_factory=dict, repr=False, compare=False)
    _readers: dict[int, ColumnReader] = field(default_factory=dict, repr=False, compare=False)
    _subgroups: dict[Subgroups, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def deal(self) -> Deal:
        """Which rows exchange values with which; one for all jobs that share rows, seed, strata and clusters."""
        key = (self.inputs.n_rows, self.seed, id(self.strata), id(self.clusters), self.tests)
        if key not in self._deals:
            self._deals[key] = Deal(
                self.inputs.n_rows,
                self.seed,
                self.strata,
                self.clusters,
                self.tests,
                block_rows=BATCH_ROWS if self.in_batches else None,
                chosen=None if self.sample is None else self.sample.blocks,
            )
        return self._deals[key]

    @property
    def exchanging_rows(self) -> int:
        """Most rows that exchange values among themselves, about."""
        return min(self.inputs.n_rows, BATCH_ROWS if self.in_batches else SHUFFLE_BLOCK_ROWS)

    def on_sample(self, sample: Sample, strata: Strata | None, clusters: np.ndarray | None) -> Job:
        """Return the job of a sample of the rows, with their strata and clusters."""
        return replace(
            self,
            inputs=self.inputs.take(sample.rows),
            strata=strata,
            clusters=clusters,
            sample=sample,
            _remembered={},
            _deals={},
            _readers={},
            _subgroups={},
        )

    def rows_of(self, position: int) -> int:
        """Return on how many rows a perturbation is audited: the first ones, block after block."""
        sizes = self.deal.sizes
        return sum(sizes[: self.stopped.get(position, len(sizes))])

    def going_on(self, block: ShuffleBlock) -> list[int]:
        """Return the positions of the perturbations that are audited on a shuffle block."""
        n_blocks = len(self.deal.sizes)
        return [each for each in range(len(self.perturbations)) if block.number < self.stopped.get(each, n_blocks)]

    def only(self, positions: Sequence[int]) -> Job:
        """Return the job of some of the perturbations, by their positions."""
        if len(positions) == len(self.perturbations):
            return self
        return replace(self, perturbations=[self.perturbations[each] for each in positions], stopped={})

    def continued(self, repeats: int) -> Job:
        """Return the job of so many repeats more."""
        return replace(self, first_repeat=self.first_repeat + self.repeats, repeats=repeats)

    def donors(self, block: ShuffleBlock, perturbation: Perturbation, repeat: int) -> np.ndarray | None:
        """Return each row's donor, as a position in the shuffle block, or None where rows receive none's value.

        Donors are remembered as far as memory is set aside.
        """
        if isinstance(perturbation, (Reorder, SetTo, ToEdge)):
            return None
        feature = perturbation.drawn_as
        name = perturbation.name if isinstance(perturbation, Conditional) else feature.name
        key = (self.seed, id(self.strata), block.number, len(block.rows), name, repeat)
        found = self._remembered.pop(key, None)
        if found is None:
            found = self.deal.donors(block, feature, repeat, self.subgroups(block, perturbation))
        self._remembered[key] = found
        while len(self._remembered) > 1 and len(self._remembered) * found.nbytes > _DONOR_BYTES:
            self._remembered.pop(next(iter(self._remembered)))
        return found

    def permutation(self, block: ShuffleBlock, perturbation: Perturbation, repeat: int) -> np.ndarray | None:
        """Return the donors of a permutation test, by which a row may keep its value; see `Deal.permutation`."""
        if isinstance(perturbation, (Reorder, SetTo, ToEdge)) or not self.draws_others(perturbation):
            return self.donors(block, perturbation, repeat)
        return self.deal.permutation(block, perturbation.drawn_as, repeat, self.subgroups(block, perturbation))

    def draws_others(self, perturbation: Perturbation) -> bool:
        """Tell whether a row that keeps its value in a tested permutation receives another one beside it."""
        return self.deal.draws_others(in_subgroups=isinstance(perturbation, Conditional))

    def subgroups(self, block: ShuffleBlock, perturbation: Perturbation) -> np.ndarray | None:
        """Return for each row of a shuffle block the number of its subgroup; None where donors come from no such.

        What describes the rows of the last block is kept, since most features are told apart by the same, and the
        numbers are, since donors, intervals and counts ask for them.
        """
        if not isinstance(perturbation, Conditional):
            return None
        reader = self._readers.get(block.number)
        if reader is None or not np.array_equal(reader.rows, block.rows):
            self._readers.clear()
            self._subgroups.clear()
            reader = self._readers[block.number] = ColumnReader(self.inputs.sources, block.rows)
        found = self._subgroups.get(perturbation.subgroups)
        if found is None:
            positions = block.rows if self.sample is None else self.sample.rows[block.rows]
            found = perturbation.subgroups.of(reader, positions).astype(np.uint16)
            if (len(self._subgroups) + 1) * found.nbytes <= _DONOR_BYTES:
                self._subgroups[perturbation.subgroups] = found
        return found.astype(np.int64)

    def strata_of(self, block: ShuffleBlock, perturbation: Perturbation) -> np.ndarray | None:
        """Return for each row of a shuffle block the number of the part that its donor comes from; None for all rows.

        That is its stratum, its subgroup, or what the two have in common.
        """
        feature = perturbation.drawn_as if isinstance(perturbation, Shuffle) else perturbation.feature
        strata = None if self.strata is None else self.strata.of(feature, block.rows)
        return joined(strata, self.subgroups(block, perturbation))

    def alone(
        self, block: ShuffleBlock, part: slice, perturbation: Perturbation, drawn: np.ndarray | None
    ) -> np.ndarray:
        """Tell which rows have no other row in their stratum, or subgroup, whose values they could receive.

        Parameters
        ----------
        block : ShuffleBlock
        part : slice
            Which rows of it.
        perturbation : Perturbation
        drawn : ndarray or None
            As `drawn` returns it for these rows.

        Returns
        -------
        ndarray of shape (n_rows,), bool
        """
        rows = np.arange(part.start, part.stop)
        if drawn is None or not isinstance(perturbation, Shuffle):
            return np.zeros(len(rows), dtype=bool)
        has_strata = self.strata is not None and self.strata.of(perturbation.drawn_as, block.rows) is not None
        if not has_strata and not isinstance(perturbation, Conditional):
            return np.zeros(len(rows), dtype=bool)
        return np.equal(drawn, rows)  # within strata and subgroups no other row is its own donor

    def drawn(self, block: ShuffleBlock, part: slice, perturbation: Perturbation, repeat: int) -> np.ndarray | None:
        """Return what a perturbation draws for some rows of a shuffle block: donors, orders of steps, or nothing."""
        if isinstance(perturbation, Reorder):
            n_steps = count_steps(self.inputs.sources, perturbation.feature)
            return step_orders(block, part, self.seed, perturbation.feature.name, repeat, n_steps=n_steps)
        donors = self.donors(block, perturbation, repeat)
        return None if donors is None else donors[part]


def count_outputs(predictor: Predictor, inputs: BoundInputs) -> int:
    """Return how many numbers the model predicts a row, by asking it for the first one."""
    return int(predictor.begin([inputs.read(np.arange(1))])[0].baseline.shape[1])


def choose_block_rows(job: Job, asked: int | Literal["auto"]) -> int:
    """Return how many rows a block has: as asked for, or so many that what is computed for them stays in bounds.

    Parameters
    ----------
    job : Job
    asked : int or "auto"

    Returns
    -------
    int
        With "auto" at most 4,096, so many that inputs take 32 MiB, what the model makes of them 256 MiB, and their
        deviations 256 MiB.
    """
    if asked != "auto":
        return asked
    fitting = [
        _BLOCK_BYTES // max(1, row_bytes(job.inputs.sources)),
        _ACTIVATION_BYTES // max(1, job.predictor.row_bytes),
        _RESULT_BYTES // max(1, result_bytes(job) * job.repeats),
    ]
    return max(1, min(_MOST_BLOCK_ROWS, *fitting))


def most_repeats(job: Job, block_rows: int) -> int:
    """Return how many repeats may be made of a block at once, so that their deviations take 256 MiB."""
    return max(1, _RESULT_BYTES // max(1, result_bytes(job) * block_rows))


def result_bytes(job: Job) -> int:
    """Return the memory that the results of one repeat take for a row, about."""
    kept = _PREDICTION_BYTES * max(1, len(job.predictor.outputs.names)) if job.keeps_predictions else 0
    return (_DEVIATION_BYTES + kept) * len(job.perturbations)


def begins_together(job: Job, n_rows: int) -> bool:
    """Tell whether what is kept of so many rows, that exchange values among themselves, fits into memory."""
    return 0 < job.predictor.kept_bytes * n_rows <= _KEPT_BYTES
