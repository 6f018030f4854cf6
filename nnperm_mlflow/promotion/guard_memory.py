"""What a guard remembers of an alias between its looks: the last promotion seen, and when it moved the alias back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from nnperm_mlflow.attestation.promotion_chain import SignedPromotion
from nnperm_mlflow.basics.documents import Strict
from nnperm_mlflow.basics.errors import ConfigError

_MOST_KEPT = 20  # moments of moves


class _Memory(Strict):
    number: int = 0
    digest: str = ""
    moves: tuple[float, ...] = ()


@dataclass(frozen=True)
class GuardMemory:
    """A file in a guard's state directory, which a server's administrator cannot reach.

    Attributes
    ----------
    folder : Path
        Made where there is none.
    subject : str
        What it is about: registry, model and alias.
    """

    folder: Path
    subject: str

    @property
    def number(self) -> int:
        """How many promotions have been seen."""
        return self._read().number

    def continues(self, chain: Sequence[SignedPromotion]) -> bool:
        """Tell whether a chain goes on from what was seen before."""
        held = self._read()
        return held.number == 0 or (len(chain) >= held.number and chain[held.number - 1].digest == held.digest)

    def remember(self, chain: Sequence[SignedPromotion]) -> None:
        """Keep the last promotion of a chain."""
        held = self._read()
        if (len(chain), chain[-1].digest) != (held.number, held.digest):
            self._write(held.model_copy(update={"number": len(chain), "digest": chain[-1].digest}))

    def moves_since(self, when: float) -> int:
        """Return how often the alias was moved back since a moment (seconds since 1970)."""
        return sum(each >= when for each in self._read().moves)

    def note_move(self, when: float) -> None:
        """Keep that it is moved back, before it is."""
        held = self._read()
        self._write(held.model_copy(update={"moves": (*held.moves, when)[-_MOST_KEPT:]}))

    @property
    def _path(self) -> Path:
        return self.folder / f"{hashlib.sha256(self.subject.encode()).hexdigest()[:32]}.json"

    def _read(self) -> _Memory:
        try:
            return _Memory.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return _Memory()
        except (OSError, ValidationError) as error:
            raise ConfigError(
                f"what the guard remembers cannot be read from '{self._path}'. Find out who has changed it; without it "
                "promotions that are missing are not noticed."
            ) from error

    def _write(self, memory: _Memory) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = self._path.with_suffix(".partial")
            partial.write_text(json.dumps(memory.model_dump(mode="json")), encoding="utf-8")
            partial.replace(self._path)
        except OSError as error:
            raise ConfigError(
                f"what the guard remembers cannot be kept in '{self.folder}': {error.strerror}."
            ) from error
