"""What a listener is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ListenSettings:
    """What a listener is told.

    Attributes
    ----------
    host, port : str, int
        Where it listens; port 0 takes a free one.
    secret : str
        What the webhook was created with.
    secret_env : str
        The environment variable that holds it; audits do not get to see it.
    configs : Path
        Directory of the configurations.
    state : Path
        Directory of what it remembers; made where there is none.
    everything : bool
        Whether versions are audited however old they are.
    since_days : float or None
        Versions older than this are left alone; None takes those created after the first start.
    most_waiting : int
    most_minutes : float
        How long one audit may take.
    every_minutes : float
        How often the registry is asked.
    passed : tuple of str
        Environment variables that audits get besides those by which stores are reached.
    guarded : tuple of str
        Aliases that are guarded.
    trust : Path or None
        The trust file, by which they are, and which holds the key.
    move_back : bool
        Whether those that were moved without a promotion are moved back.
    report_env : str or None
        The environment variable that holds the address that takes reports on them; audits do not get to see it.
    report_to : str or None
        That address.
    key : Path or None
        File of the key that signs audits; None where they stay unsigned.
    key_password : str
    """

    host: str
    port: int
    secret: str = field(repr=False)
    secret_env: str
    configs: Path
    state: Path
    everything: bool = False
    since_days: float | None = None
    most_waiting: int = 1000
    most_minutes: float = 120.0
    every_minutes: float = 5.0
    passed: tuple[str, ...] = ()
    guarded: tuple[str, ...] = ()
    trust: Path | None = None
    move_back: bool = False
    report_env: str | None = None
    report_to: str | None = field(default=None, repr=False)
    key: Path | None = None
    key_password: str = field(default="", repr=False)

    @property
    def withheld(self) -> tuple[str, ...]:
        """The environment variables that no audit gets."""
        return (self.secret_env, *([self.report_env] if self.report_env else []))
