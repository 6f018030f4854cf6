"""Aliases that a listener guards: looked at when an event tells of them, and every few minutes."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import nnperm_mlflow
from nnperm_mlflow.attestation.trust import load_trust
from nnperm_mlflow.basics.errors import AuditError, ConfigError, name_list
from nnperm_mlflow.listening.alias_reports import AliasReports

logger = logging.getLogger(__name__)

_IDLE_SECONDS = 0.5


@dataclass(frozen=True)
class GuardSettings:
    """What a listener is told of the aliases that it guards.

    Attributes
    ----------
    aliases : tuple of str
        Of all models of which the trust file says what they need for them.
    trust : Path
        The trust file, read anew for each look.
    state : Path
        Directory of what the guard remembers.
    move_back : bool
        Whether an alias that was moved without a promotion is given back.
    """

    aliases: tuple[str, ...]
    trust: Path
    state: Path
    move_back: bool = False


class AliasWatch:
    """Compares aliases with the last of their signed promotions.

    Parameters
    ----------
    settings : GuardSettings
    reports : AliasReports
        Takes what was found.

    Raises
    ------
    ConfigError
        If the trust file cannot be used, or says nothing of one of the aliases.
    """

    def __init__(self, settings: GuardSettings, reports: AliasReports) -> None:
        self._settings = settings
        self._reports = reports
        self._lock = threading.Lock()
        self._told: set[tuple[str, str]] = set()
        self._states: dict[tuple[str, str], bool] = {}
        self._posts = self._read_posts()

    @property
    def guarded(self) -> int:
        """How many aliases are guarded."""
        return len(self._posts)

    @property
    def not_kept(self) -> int:
        """Of how many the last look found that they are not where their promotions put them, or could not look."""
        return sum(not is_kept for is_kept in self._states.copy().values())

    def take(self, model: str, alias: str) -> bool:
        """Have an alias looked at soon, of which an event tells; False where it is not guarded.

        However many events tell of one before it is looked at, there is one look.
        """
        with self._lock:
            if (model, alias) not in self._posts:
                return False
            self._told.add((model, alias))
        return True

    def look_at_all(self) -> None:
        """Look at every guarded alias; what the trust file names by now."""
        try:
            posts = self._read_posts()
        except ConfigError as error:
            self._states = dict.fromkeys(self._posts, False)
            for model, alias in self._posts:
                self._reports.tell_failure(model, alias, error)
            return
        with self._lock:
            self._posts = posts
            self._told -= set(posts)
        self._states = {post: self._states.get(post, True) for post in posts}
        for post in posts:
            self._look_at(*post)

    def look_at_told(self) -> None:
        """Look at the aliases of which events have told since the last time."""
        with self._lock:
            told, self._told = sorted(self._told), set()
        for post in told:
            self._look_at(*post)

    def _look_at(self, model: str, alias: str) -> None:
        told = self._settings
        try:
            found = nnperm_mlflow.guard(model, alias, trust=told.trust, move_back=told.move_back, state_dir=told.state)
        except AuditError as error:
            self._states[model, alias] = False
            self._reports.tell_failure(model, alias, error)
            return
        self._states[model, alias] = found.is_kept
        self._reports.tell(found)

    def _read_posts(self) -> tuple[tuple[str, str], ...]:
        """Return the models and aliases that the trust file knows and that are guarded."""
        trust, wanted = load_trust(self._settings.trust), self._settings.aliases
        posts = tuple(post for post in trust.models_and_aliases() if post[1] in wanted)
        missing = [alias for alias in wanted if alias not in {alias for _, alias in posts}]
        if missing:
            raise ConfigError(
                f"the trust file '{self._settings.trust}' says of no model what it needs for {name_list(missing)}: "
                f"under 'aliases' there are {name_list(trust.aliases) or 'none'}."
            )
        return posts


def keep_watching(watch: AliasWatch, every_seconds: float, stopping: threading.Event) -> None:
    """Look at all aliases at once and then every so often, and at those of which events tell; until `stopping`."""
    due = time.monotonic()
    while not stopping.is_set():
        try:
            if time.monotonic() >= due:
                due = time.monotonic() + every_seconds
                watch.look_at_all()
            else:
                watch.look_at_told()
        except Exception:
            logger.exception("aliases were not looked at")  # a service goes on, whatever it was
        stopping.wait(_IDLE_SECONDS)
