"""When this user first saw which finished run, since MLflow takes the end of a run from whoever writes it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import platformdirs

logger = logging.getLogger(__name__)

_FILE = "seen.db"
_SECONDS = 10  # that another process may hold the database


@dataclass(frozen=True)
class Sightings:
    """A log of finished runs, each with the moment at which it was first seen.

    Attributes
    ----------
    database : Path
        Sqlite file; made where there is none.
    """

    database: Path

    @classmethod
    def of_user(cls) -> Sightings:
        """Return the log that the listener and the promotions of this user share."""
        return cls(platformdirs.user_state_path("nnperm", appauthor=False) / _FILE)

    def first_seen(self, run_ids: Sequence[str], now: int) -> dict[str, int]:
        """Return when each run was first seen, and note those that are seen now for the first time.

        Parameters
        ----------
        run_ids : sequence of str
        now : int
            Milliseconds since 1970.

        Returns
        -------
        dict of str to int
            Milliseconds since 1970. Where the log cannot be kept, all are seen now, and the log of the program says so.
        """
        try:
            self.database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.database, timeout=_SECONDS)) as log, log:
                log.execute("create table if not exists seen (run_id text primary key, at integer not null)")
                log.executemany("insert or ignore into seen values (?, ?)", [(run_id, now) for run_id in run_ids])
                told = {run_id: log.execute("select at from seen where run_id = ?", (run_id,)) for run_id in run_ids}
                return {run_id: int(rows.fetchone()[0]) for run_id, rows in told.items()}
        except (OSError, sqlite3.Error) as error:
            logger.warning("what was seen before is not known, since '%s' cannot be kept: %s", self.database, error)
            return dict.fromkeys(run_ids, now)
