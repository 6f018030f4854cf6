"""The loop: rows outside, features inside.

A block of rows is predicted once as it is and then once for each perturbation, so that memory is bounded by the block
and the table is finished where the block is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import numpy as np

from nnperm_mlflow.analysis.engine.block_result import BlockResult, Filling, places
from nnperm_mlflow.analysis.engine.job import Job, begins_together
from nnperm_mlflow.analysis.engine.journal import Journal, Page
from nnperm_mlflow.analysis.engine.missing import count_missing, count_missing_once
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock
from nnperm_mlflow.analysis.perturbation.kinds import Perturbation, disturb
from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.row_cache import HeldRows
from nnperm_mlflow.inputs.slots import Change
from nnperm_mlflow.models.predictor import Block


def count_blocks(job: Job, block_rows: int) -> int:
    """Return how many blocks `run_blocks` makes of the rows."""
    return sum(len(_parts(size, block_rows)) for size in job.deal.sizes)


def run_blocks(job: Job, block_rows: int, journal: Journal | None = None) -> Iterator[BlockResult]:
    """Audit all rows, block by block.

    Parameters
    ----------
    job : Job
    block_rows : int
        Most rows of one block.
    journal : Journal, optional
        Where finished blocks are kept, and those that were finished before are found.

    Yields
    ------
    BlockResult
        Each row once; up to 65,536 rows in the order of the data, beyond that one shuffle block after the other. NaN
        for a perturbation that is not audited on a block, see `Job.stopped`.

    Raises
    ------
    PredictionError
        If the model fails, or predicts NaN; the message names the perturbation and counts the rows.
    """
    for shuffle_block in job.deal.blocks():
        positions = job.going_on(shuffle_block)
        for result in audit_shuffle_block(job.only(positions), shuffle_block, block_rows, journal):
            yield result.among(positions, len(job.perturbations))


def audit_first_block(job: Job, block_rows: int) -> BlockResult:
    """Audit the first rows as if there were no others, to see how long a block takes."""
    part = _parts(job.deal.sizes[0], block_rows)[0]
    return next(audit_shuffle_block(job, ShuffleBlock(0, np.arange(part.stop)), block_rows, None))


def audit_shuffle_block(
    job: Job, shuffle_block: ShuffleBlock, block_rows: int, journal: Journal | None
) -> Iterator[BlockResult]:
    """Audit the rows of one shuffle block, which need no others.

    Parameters
    ----------
    job : Job
        Its inputs need hold no other rows.
    shuffle_block : ShuffleBlock
    block_rows : int
        Most rows of one block.
    journal : Journal or None

    Yields
    ------
    BlockResult
        Each row once, in the order of the shuffle block.
    """
    parts = _parts(len(shuffle_block.rows), block_rows)
    begun: _Begun | None = None
    for number, part in enumerate(parts):
        page = None if journal is None else journal.page(shuffle_block.number, part)
        recalled = None if page is None else recall(job, shuffle_block.rows[part], page)
        if recalled is not None:
            yield recalled
            continue
        begun = begun or _begin(job, shuffle_block, parts)
        yield audit_block(job, shuffle_block, begun.held, part, begun=begun.blocks[number], page=page)


@dataclass(frozen=True)
class _Begun:
    """A shuffle block that is being worked on: its rows, and its parts where they were begun together."""

    held: HeldRows
    blocks: Sequence[Block | None]


def _begin(job: Job, shuffle_block: ShuffleBlock, parts: Sequence[slice]) -> _Begun:
    held = job.inputs.hold(shuffle_block.rows)
    if held.in_memory and begins_together(job, len(held.rows)):
        return _Begun(held, [*job.predictor.begin([held.read(part) for part in parts])])
    return _Begun(held, [None] * len(parts))


def recall(job: Job, rows: np.ndarray, page: Page) -> BlockResult | None:
    """Return what the journal knows of a block of rows; None where that is not all."""
    if not page.is_whole(job):
        return None
    found = page.read()
    if not all(found.knows(job, place) for place in places(job)):
        return None  # another process has finished in between, and removed it
    filling = Filling(job, rows, found.all_outputs, np.ones(len(rows), dtype=bool))
    for place in places(job):
        filling.take(*place, found.of(job, place))
    return filling.result()


def audit_block(
    job: Job,
    shuffle_block: ShuffleBlock,
    held: HeldRows,
    part: slice,
    *,
    begun: Block | None = None,
    page: Page | None = None,
) -> BlockResult:
    """Predict some rows of a shuffle block as they are and under each perturbation.

    Parameters
    ----------
    job : Job
    shuffle_block : ShuffleBlock
    held : HeldRows
        Its rows.
    part : slice
        Which of them.
    begun : Block, optional
        The part, where it was begun together with all others of the shuffle block.
    page : Page, optional
        What the journal knows of the part; only the rest is predicted, and written there.

    Returns
    -------
    BlockResult
    """
    inputs = held.read(part)
    block = begun if begun is not None else job.predictor.begin([inputs])[0]
    missing = count_missing(inputs, job.void_inputs)
    filling = Filling(job, held.rows[part], block.baseline, missing == 0)
    known = None if page is None else page.read()
    wanted = [place for place in places(job) if known is None or not known.knows(job, place)]

    def changes() -> Iterator[Change]:
        for position, repeats in wanted:
            perturbation = job.perturbations[position]
            drawn = job.drawn(shuffle_block, part, perturbation, job.first_repeat + repeats.start)
            change, filling.moved[repeats, position] = disturb(perturbation, held, inputs, drawn)
            complete = ~job.alone(shuffle_block, part, perturbation, drawn)
            if job.void_inputs:
                complete &= count_missing_once(missing, change, inputs, job.void_inputs) == 0
            filling.complete[repeats.start, position] = complete
            yield change if begun is not None else replace(change, donors=None)

    with closing(block.predict(changes())) as predictions:
        for position, repeats in wanted:
            with _named(job, job.perturbations[position]):
                predicted = next(predictions)
            filling.add(position, repeats, predicted)
    if page is not None and known is not None:
        page.write(job, filling, wanted)
        for place in places(job):
            if known.knows(job, place):
                filling.take(*place, known.of(job, place))
    return filling.result()


def _parts(n_rows: int, most: int) -> list[slice]:
    """Cut rows into as few parts of at most so many rows as there can be, equal but for the last."""
    step = -(-n_rows // -(-n_rows // most))
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


@contextmanager
def _named(job: Job, perturbation: Perturbation) -> Iterator[None]:
    """Say under which perturbation the model failed."""
    try:
        yield
    except PredictionError as error:
        raise PredictionError(f"{job.model}, once {perturbation}: {error}") from error
