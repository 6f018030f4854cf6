"""What has been computed of each block of rows, kept on disk, so that an audit that was interrupted goes on from there.

A block has a page; a page has a sheet for each time that something was added to it. A sheet is written beside its place
and moved there when it is complete, and opens with the sha256 of its page's name and the rest: one that is damaged, or
of another page, is not used. Two processes may work on one journal: what they write of a block is the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nnperm_mlflow.analysis.engine.block_result import Filling, Kept, Place, pack, places, unpack
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.kinds import Conditional, Perturbation, SetTo

logger = logging.getLogger(__name__)

Key = tuple[str, int]
"""What a perturbation does, and a repeat."""

_SHEET, _PARTIAL = ".sheet", ".partial"
_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
_DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Journal:
    """The pages of an audit.

    Attributes
    ----------
    folder : Path
        Directory of its own for audits with the same model, data, seed, code and versions of packages; made if need be.
    """

    folder: Path

    def page(self, number: int, part: slice) -> Page:
        """Return the page of some rows of a shuffle block; its sheets are checked, and damaged ones removed."""
        page = Page(self.folder, f"{number}-{part.start}-{part.stop}", part.stop - part.start)
        for path in sorted(self.folder.glob(f"{page.name}.*{_SHEET}")):
            page.add(path)
        return page

    @property
    def n_sheets(self) -> int:
        """How many sheets there are."""
        return sum(1 for _ in self.folder.glob(f"*{_SHEET}"))


@dataclass(frozen=True)
class Found:
    """What a page holds, in memory.

    Attributes
    ----------
    all_outputs : ndarray of shape (n_rows, n_outputs)
        Predictions for the rows as they are.
    kept : dict of Key to Kept
    """

    all_outputs: np.ndarray
    kept: dict[Key, Kept]

    def knows(self, job: Job, place: Place) -> bool:
        """Tell whether it is known what comes of a perturbation in some repeats, with predictions if these are kept."""
        kept = self.kept.get(_key(job, place))
        return kept is not None and (kept.predictions is not None or not job.keeps_predictions)

    def of(self, job: Job, place: Place) -> Kept:
        """Return what came of a perturbation in some repeats."""
        return self.kept[_key(job, place)]


@dataclass
class Page:
    """What is known of a block of rows; in memory is only which perturbations that are.

    Attributes
    ----------
    folder : Path
    name : str
    n_rows : int
    """

    folder: Path
    name: str
    n_rows: int
    _sheets: list[Path] = field(default_factory=list)
    _known: dict[Key, bool] = field(default_factory=dict)

    def is_whole(self, job: Job) -> bool:
        """Tell whether all is known that a job asks for, with predictions if it keeps them."""
        keys = [_key(job, place) for place in places(job)]
        return all(key in self._known and (self._known[key] or not job.keeps_predictions) for key in keys)

    def add(self, path: Path) -> None:
        """Take note of a sheet; one that is damaged is removed, and what it held is computed again."""
        try:
            with _opened(path) as sheet:
                keys, has_predictions = _keys_of(sheet), "predictions" in sheet
        except FileNotFoundError:
            return  # another process has finished, and removed it
        except _DAMAGED as error:
            logger.warning("a part of what was computed before is damaged, and is computed again (%s)", error)
            path.unlink(missing_ok=True)
            return
        self._sheets.append(path)
        self._known |= {key: has_predictions or self._known.get(key, False) for key in keys}

    def read(self) -> Found:
        """Return all that is known, without what has vanished since it was noted."""
        all_outputs, kept = np.empty((0, 0)), dict[Key, Kept]()
        for path in self._sheets:
            with suppress(FileNotFoundError), _opened(path) as sheet:
                all_outputs = sheet["all_outputs"]
                for key, one in _entries(sheet, self.n_rows):
                    if one.predictions is not None or key not in kept:
                        kept[key] = one
        return Found(all_outputs, kept)

    def write(self, job: Job, filling: Filling, found: Iterable[Place]) -> None:
        """Add a sheet with what has been found."""
        kept = {_key(job, place): filling.kept(*place) for place in found}
        each = list(kept.values())
        arrays = {
            "keys": np.frombuffer(json.dumps(list(kept)).encode(), dtype=np.uint8),
            "all_outputs": filling.result().all_outputs,
            "deviations": np.stack([one.deviations for one in each]),
            "marks": np.stack([pack(one.moved, one.fell, one.flipped) for one in each]),
        }
        if job.keeps_predictions:
            arrays["predictions"] = np.stack([one.predictions for one in each if one.predictions is not None])
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **arrays)
        _write_whole(self.folder, self.name, content.getvalue())


@contextmanager
def _opened(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """Give a sheet, its checksum compared."""
    content, page = path.read_bytes(), path.name.partition(".")[0]
    if _digest(page, content[_DIGEST_BYTES:]) != content[:_DIGEST_BYTES]:
        raise ValueError("another checksum")
    with np.load(io.BytesIO(content[_DIGEST_BYTES:]), allow_pickle=False) as sheet:
        yield sheet


def _digest(page: str, content: bytes) -> bytes:
    return hashlib.sha256(page.encode() + content).digest()


def _keys_of(sheet: np.lib.npyio.NpzFile) -> list[Key]:
    return [(str(done), int(repeat)) for done, repeat in json.loads(sheet["keys"].tobytes())]


def _entries(sheet: np.lib.npyio.NpzFile, n_rows: int) -> Iterator[tuple[Key, Kept]]:
    keys, deviations, marks = _keys_of(sheet), sheet["deviations"], sheet["marks"]
    predictions = sheet["predictions"] if "predictions" in sheet else [None] * len(keys)
    if not deviations.shape == marks.shape == (len(keys), n_rows):
        raise ValueError("another shape")
    for key, deviation, mark, predicted in zip(keys, deviations, marks, predictions, strict=True):
        yield key, Kept(deviation, *unpack(mark), predicted)


def _key(job: Job, place: Place) -> Key:
    """Return what names a perturbation's numbers in the journal: all that they depend on, within one job."""
    position, repeats = place
    perturbation = job.perturbations[position]
    repeat = 0 if isinstance(perturbation, SetTo) else job.first_repeat + repeats.start
    return _said(perturbation), repeat


def _said(perturbation: Perturbation) -> str:
    slots = [[slot.input, repr(slot.index)] for slot in perturbation.feature.slots]
    alike = [perturbation.subgroups.digest] if isinstance(perturbation, Conditional) else []
    return json.dumps([perturbation.way, perturbation.feature.name, slots, repr(perturbation.value), *alike])


def _write_whole(folder: Path, name: str, content: bytes) -> None:
    """Write a sheet so that it is there whole or not at all."""
    digest = _digest(name, content)
    partial = folder / f"{name}.{uuid.uuid4().hex}{_PARTIAL}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            file.write(digest)
            file.write(content)
        partial.replace(folder / f"{name}.{digest.hex()[:16]}{_SHEET}")
    except FileNotFoundError:
        return  # another process has finished in between, and removed the folder
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(folder)) from error
