"""An attempt to pass a named policy: an audit of the same model files on the same data, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Result = Literal["pass", "fail", "undecided", "none"]
"""Of an attempt: `undecided` is a verdict in which nothing fails and something is undecided, `none` is none."""


@dataclass(frozen=True)
class Attempt:
    """An audit on record under the policies of a name.

    Attributes
    ----------
    run_id : str
    model : str
        Pinned URI of what was audited, under whatever name and number.
    when : str
        The end of the run, as it tells it; nothing where it tells none.
    seed, repeats : str
        As the run tells them.
    result : {"pass", "fail", "undecided", "none"}
        The worst of its newest verdicts under each policy of the name.
    is_deleted : bool
        Whether the run was deleted.
    """

    run_id: str
    model: str
    when: str
    seed: str
    repeats: str
    result: Result
    is_deleted: bool = False

    @property
    def in_words(self) -> str:
        """The attempt in a line."""
        result = {"none": "no verdict on record"}.get(self.result, self.result)
        deleted = ", deleted" if self.is_deleted else ""
        how = f"{self.when}, seed {self.seed}, repeats {self.repeats}{deleted}"
        return f"run {self.run_id} of {self.model} ({how}): {result}"


def result_of(status: str, states: Sequence[str]) -> Result:
    """Return what came of an attempt.

    Parameters
    ----------
    status : str
        Of the verdict: `pass` or `fail`.
    states : sequence of str
        Of its checks: "holds", "fails" or "undecided".

    Examples
    --------
    >>> result_of("fail", ["holds", "undecided"]), result_of("fail", ["fails", "undecided"])
    ('undecided', 'fail')
    """
    if status == "pass":
        return "pass"
    return "undecided" if states and "fails" not in states else "fail"
