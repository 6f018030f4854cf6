"""What an audit under a named policy has to be, fixed before anybody sees a number, and how often there may be one."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from nnperm_mlflow.basics.documents import AtLeast, Digest, Strict
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.basics.paths import local_path

_SEED_BITS = 63
_LEAST_SECRET, _MOST_SECRET = 16, 4096  # bytes
Text = Annotated[str, Field(min_length=1, max_length=200)]


class Trial(Strict):
    """A plan for the audits under a policy; what is not said is left to whoever audits.

    Attributes
    ----------
    data : str or dict
        The sha256 of the data, or how it begins; or under a name that verdicts tell.
    config : str
        Digest of what is done to them (`AuditConfig.design_digest`), or how it begins.
    rows : int
        At least so many rows.
    repeats : int
        Exactly so many shuffles of each feature.
    attempts : int
        Audits of the same model files on the same data under policies of this name that may be made.
    stages : list of int
        Instead of `repeats`: so many shuffles in the first audit, and after an undecided one so many in the next. Each
        stage is judged at a share of the level.
    """

    data: Digest | Annotated[dict[Text, Digest], Field(min_length=1, max_length=1)] | None = None
    config: Digest | None = None
    rows: AtLeast | None = None
    repeats: AtLeast | None = None
    attempts: AtLeast = 1
    stages: Annotated[list[AtLeast], Field(min_length=2, max_length=10)] | None = None

    @model_validator(mode="after")
    def _what_goes_together(self) -> Trial:
        if self.repeats is not None and self.stages is not None:
            raise ValueError("'stages' say the repeats of each stage: leave out 'repeats'")
        if self.stages is not None and sorted(set(self.stages)) != self.stages:
            raise ValueError("each of the 'stages' needs more repeats than the one before")
        return self

    @property
    def data_digest(self) -> str | None:
        """The sha256 of the data, or how it begins."""
        return next(iter(self.data.values())) if isinstance(self.data, dict) else self.data

    @property
    def data_name(self) -> str:
        """What the data are called; nothing where they have no name."""
        return next(iter(self.data)) if isinstance(self.data, dict) else ""

    @property
    def all_repeats(self) -> tuple[int, ...]:
        """The repeats that an audit may have, those of the first stage first; empty where nothing is said."""
        if self.stages is not None:
            return tuple(self.stages)
        return () if self.repeats is None else (self.repeats,)

    @property
    def n_stages(self) -> int:
        """Into how many stages the level is shared."""
        return 1 if self.stages is None else len(self.stages)


def trial_seed(policy_digest: str, data_digest: str, secret: bytes | None = None) -> int:
    """Return the seed of the audits of a trial: it follows from policy and data, and from no version or model.

    Parameters
    ----------
    policy_digest, data_digest : str
        sha256 (64 hex digits).
    secret : bytes, optional
        Of who promotes: nobody else can tell this seed beforehand.

    Returns
    -------
    int
        At least 0, below 2**63: the first 63 bits of a sha256, or of an HMAC-SHA256 where there is a secret.
    """
    told = f"seed of a trial\n{policy_digest}\n{data_digest}\n".encode()
    found = hashlib.sha256(told).digest() if secret is None else hmac.digest(secret, told, "sha256")
    return int.from_bytes(found[:8], "big") >> (64 - _SEED_BITS)


def read_secret(path: str | Path) -> bytes:
    """Return the secret that a file holds, white space at its ends left out.

    Raises
    ------
    ConfigError
        If it cannot be read, or is so short that somebody could guess it.
    """
    file = local_path(path, "the secret of the seed")
    try:
        with file.open("rb") as stream:
            secret = stream.read(_MOST_SECRET).strip()
    except OSError as error:
        raise ConfigError(f"the secret of the seed '{path}' cannot be read: {error.strerror}.") from error
    if len(secret) < _LEAST_SECRET:
        raise ConfigError(
            f"the secret of the seed '{path}' has {len(secret)} bytes, and somebody could guess it: write at least "
            f"{_LEAST_SECRET} random ones there (openssl rand -hex 32)."
        )
    return secret
