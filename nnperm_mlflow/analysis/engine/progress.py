"""How far an audit is: rows done, and rows in all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from nnperm_mlflow.analysis.engine.block_result import BlockResult

Progress = Callable[[int, int], None]
"""Is told the rows done and the rows in all, with none done at the start."""


def nobody(_done: int, _total: int) -> None:
    """Report progress to nobody."""


def reporting(results: Iterable[BlockResult], n_rows: int, progress: Progress) -> Iterator[BlockResult]:
    """Pass results on, and report progress once each has been dealt with."""
    done = 0
    progress(done, n_rows)
    for result in results:
        yield result
        done += len(result.rows)
        progress(done, n_rows)
