"""Whether an alias is where its signed promotions have put it, and moving it back where that is asked for."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import platformdirs
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from nnperm_mlflow.approval.signed_evidence import promotions_of
from nnperm_mlflow.attestation.promotion_chain import SignedPromotion, chain_of
from nnperm_mlflow.attestation.statements import moment
from nnperm_mlflow.attestation.trust import Trust, load_trust
from nnperm_mlflow.basics.display import in_a_line
from nnperm_mlflow.basics.errors import AuditError, ConfigError, EvidenceError
from nnperm_mlflow.models.download import download_model
from nnperm_mlflow.models.model_uri import pin_model
from nnperm_mlflow.promotion.guard_memory import GuardMemory
from nnperm_mlflow.registry.aliases import holder_of
from nnperm_mlflow.registry.connection import connected
from nnperm_mlflow.registry.version_tags import version_key

logger = logging.getLogger(__name__)

MOST_MOVES = 3
"""Times in an hour that an alias is moved back: more often, somebody moves it on purpose, and people have to look."""

_HOUR = 3600
_TRIES = 3

State = Literal["kept", "moved", "rolled back", "other files", "promotions missing", "unpromoted", "audit overdue"]


@dataclass(frozen=True)
class GuardReport:
    """Where an alias is, beside where its promotions have put it.

    Attributes
    ----------
    model, alias : str
    state : str
        `kept`; `moved`: to a version that no promotion gave it, or deleted; `rolled back`: to a version that an
        earlier promotion gave it; `other files`: the files are not those that were promoted; `promotions missing`:
        there are fewer than were seen before, or they are no chain; `unpromoted`: there is none that counts; `audit
        overdue`: the last was an emergency, and no ordinary one has followed in time.
    holder, promoted : str or None
        The version that has the alias, and the one that the last promotion gave it.
    number : int
        Of that promotion; 0 without one.
    moved_back : bool
        Whether it was moved back now.
    in_words : str
    """

    model: str
    alias: str
    state: State
    holder: str | None
    promoted: str | None
    number: int
    moved_back: bool
    in_words: str

    @property
    def is_kept(self) -> bool:
        """Whether the alias is, in the end, where its promotions have put it."""
        return self.state == "kept" or self.moved_back

    def __repr__(self) -> str:
        return in_a_line("GuardReport", f"'{self.alias}' of {self.model}: {self.state}", self.in_words)


def guard(
    model: str, alias: str, *, trust: str | Path, move_back: bool = False, state_dir: str | Path | None = None
) -> GuardReport:
    """Compare an alias with the last of its signed promotions; what speaks against it is told in the log and in a tag.

    Parameters
    ----------
    model : str
        `models:/credit`, or `credit`.
    alias : str
    trust : str or Path
        The trust file.
    move_back : bool
        Whether an alias that was moved without a promotion, or deleted, is given back to the version that has it by the
        last one, at most `MOST_MOVES` times in an hour. A move to the version of an earlier promotion is not undone.
    state_dir : str or Path, optional
        Directory of what is remembered, so that promotions that are missing are noticed; by default one of this user.

    Returns
    -------
    GuardReport

    Raises
    ------
    ConfigError
        If the trust file cannot be used, or says nothing of the alias.
    """
    name = model.removeprefix("models:/")
    trusted = load_trust(trust)
    trusted.terms_of(name, alias)
    folder = Path(state_dir) if state_dir else platformdirs.user_state_path("nnperm", appauthor=False) / "guard"
    memory = GuardMemory(folder, f"{trusted.registry}\n{name}\n{alias}")
    with connected() as (client, scratch):
        found = _settled(_Post(client, name, alias, trusted, memory), scratch)
        if move_back and found.state == "moved":
            found = _moved_back(client, found, memory)
        _tell(client, found)
    return found


@dataclass(frozen=True)
class _Post:
    """What is guarded, by what."""

    client: MlflowClient
    name: str
    alias: str
    trust: Trust
    memory: GuardMemory

    def holder(self) -> str | None:
        return holder_of(self.client, self.name, self.alias)


def _settled(post: _Post, folder: Path) -> GuardReport:
    """Look until the alias is, after the look, where it was before: else a promotion came in between."""
    for number in range(_TRIES):
        holder = post.holder()
        found = _look(post, holder, folder / f"look{number}")
        if post.holder() == holder:
            return found
    raise EvidenceError(f"'{post.alias}' of {post.name} moves while it is looked at. Look again: nnperm guard")


def _look(post: _Post, holder: str | None, folder: Path) -> GuardReport:
    """Compare the version that has the alias with the last promotion; the chain is read after the alias was."""
    folder.mkdir(parents=True)
    memory, name = post.memory, post.name
    blank = GuardReport(name, post.alias, "unpromoted", holder, None, 0, False, "")
    try:
        chain = chain_of(promotions_of(post.client, name, post.trust, folder), post.alias)
    except EvidenceError as error:
        return replace(blank, state="promotions missing", in_words=str(error))
    if not memory.continues(chain):
        words = f"{memory.number} promotions were seen, and now there are {len(chain)} or others in their place"
        return replace(blank, state="promotions missing", in_words=words)
    if not chain:
        return replace(blank, in_words="no promotion that the trust file counts gave it to any version")
    memory.remember(chain)
    head = chain[-1].statement.predicate
    seen = replace(blank, promoted=head.version, number=head.number)
    if holder == head.version:
        return _with_files(post.client, seen, chain[-1], folder)
    if holder in {each.statement.predicate.version for each in chain}:
        words = f"version {holder} has it, which an earlier promotion gave it; the last one gave it to {head.version}"
        return replace(seen, state="rolled back", in_words=words)
    where = "it was deleted" if holder is None else f"version {holder} has it, which no promotion gave it"
    return replace(seen, state="moved", in_words=f"{where}; promotion {head.number} gave it to {head.version}")


def _with_files(client: MlflowClient, seen: GuardReport, last: SignedPromotion, folder: Path) -> GuardReport:
    """Tell whether the files of a version are those that were promoted."""
    try:
        files = download_model(pin_model(client, f"models:/{seen.model}/{seen.holder}"), folder / "model")
    except AuditError as error:
        return replace(seen, state="other files", in_words=str(error))
    if files.digest() != last.statement.model_digest:
        return replace(seen, state="other files", in_words="the model's files are not those that were promoted")
    until = last.statement.predicate.audit_until
    if until is not None and datetime.now(timezone.utc) > moment(until):
        return replace(seen, state="audit overdue", in_words=f"promoted in an emergency, to be audited until {until}")
    return replace(seen, state="kept", in_words=f"promotion {seen.number} gave it to version {seen.holder}")


def _moved_back(client: MlflowClient, found: GuardReport, memory: GuardMemory) -> GuardReport:
    """Give an alias back, unless that was done too often, or it has moved since."""
    now = time.time()
    if memory.moves_since(now - _HOUR) >= MOST_MOVES:
        words = f"{found.in_words}; not moved back, which was done {MOST_MOVES} times within an hour"
        return replace(found, in_words=words)
    if holder_of(client, found.model, found.alias) != found.holder:
        return replace(found, in_words=f"{found.in_words}; not moved back, since it moves right now")
    memory.note_move(now)
    try:
        client.set_registered_model_alias(found.model, found.alias, found.promoted)
    except MlflowException as error:
        if error.error_code != "PERMISSION_DENIED":
            raise
        _tell(client, found)
        words = f"'{found.alias}' of {found.model}: {found.in_words}; moving it back needs EDIT on the model."
        raise ConfigError(words) from error
    return replace(found, moved_back=True, in_words=f"{found.in_words}; moved back")


def _tell(client: MlflowClient, found: GuardReport) -> None:
    """Write what was found into the log, and onto the version that has the alias, or should have it."""
    said = f"'{found.alias}' of {found.model}: {found.state}: {found.in_words}"
    if found.state == "kept":
        logger.info("%s", said)
        return
    logger.warning("%s", said)
    version = found.holder or found.promoted
    if version is None:
        return
    told = json.dumps({"state": found.state, "promoted": found.promoted, "at": int(time.time())})
    try:
        client.set_model_version_tag(found.model, version, version_key(f"nnperm.guard.{found.alias}"), told)
    except MlflowException as error:
        logger.warning("the version's tag could not be written (%s)", error.error_code)
