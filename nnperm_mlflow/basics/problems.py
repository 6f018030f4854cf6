"""All that is wrong at once, so that it can be mended in one go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nnperm_mlflow.basics.errors import AuditError

_MOST_TOLD = 20


class Problems:
    """What was found to be wrong so far."""

    def __init__(self) -> None:
        self._found: list[AuditError] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, problem: AuditError) -> None:
        """Take in what is wrong, and go on."""
        self._found.append(problem)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Take in the error that ends what is done inside, and go on behind it."""
        try:
            yield
        except AuditError as problem:
            self.add(problem)

    def settle(self) -> None:
        """Raise what was found, if anything was.

        Raises
        ------
        AuditError
            The only one as it is; several as one of the first one's kind, with a line for each.
        """
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            told = [f"{number}. {problem}" for number, problem in enumerate(self._found[:_MOST_TOLD], start=1)]
            if len(self._found) > _MOST_TOLD:
                told.append(f"and {len(self._found) - _MOST_TOLD} more")
            lines = (f"{len(self._found)} things are to be mended:", *told)
            error = type(self._found[0])("\n".join(lines))
            error.lines = lines
            raise error from self._found[0]
