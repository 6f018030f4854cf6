"""Bundles: a folder, or a zip that is not compressed, with files of known names and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from nnperm_mlflow.attestation.envelopes import MOST_BYTES, Sealed, open_envelope
from nnperm_mlflow.attestation.statements import KINDS
from nnperm_mlflow.basics.audit_files import RECORD_FILE, VERDICT_FILE
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError, name_list
from nnperm_mlflow.evidence.packed_record import EVIDENCE_FILES

SUFFIX = ".dsse.json"
"""Of an envelope's file."""

_STATEMENT = re.compile(rf"({'|'.join(KINDS)})-([0-9a-f]{{16}}){re.escape(SUFFIX)}", re.ASCII)
_FILES = {*EVIDENCE_FILES, RECORD_FILE, VERDICT_FILE}
_MOST_MEMBERS = 1000
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip can tell
_REGULAR = (stat.S_IFREG | 0o644) << 16
_NO_ZIP = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError)
"""What zipfile ends in where a file is none, or not one of those that are taken."""
_AGAIN = "Ask for the bundle as nnperm bundle writes it."


def statement_name(kind: str, sealed: Sealed) -> str:
    """Return what the file of an envelope is called: its type, and how the digest of what was signed begins."""
    return f"{kind}-{sealed.digest[:16]}{SUFFIX}"


def kind_of(name: str) -> str | None:
    """Return the type of statement that a file's name tells; None of another file."""
    match = _STATEMENT.fullmatch(name)
    return match[1] if match else None


def write_bundle(target: Path, files: Mapping[str, Path]) -> None:
    """Write files into a new bundle: a zip where its name ends so, else a folder.

    Parameters
    ----------
    target : Path
    files : mapping of str to Path
        By their names in the bundle.

    Raises
    ------
    ConfigError
        If there is something of that name, or it cannot be written.
    """
    try:
        if target.suffix == ".zip":
            with target.open("xb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
                for name, path in sorted(files.items()):
                    _add(archive, name, path)
        else:
            target.mkdir()
            for name, path in sorted(files.items()):
                shutil.copyfile(path, target / name)
    except FileExistsError as error:
        raise ConfigError(f"'{target}' is there already, and no bundle is written over. Name another.") from error
    except OSError as error:
        raise ConfigError(f"the bundle '{target}' cannot be written: {error.strerror}.") from error


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    """Add a file such that equal files make equal archives."""
    info = zipfile.ZipInfo(name, _EARLIEST)
    info.create_system, info.external_attr, info.file_size = 3, _REGULAR, path.stat().st_size
    with path.open("rb") as source, archive.open(info, "w") as copy:
        shutil.copyfileobj(source, copy)


@contextmanager
def opened_bundle(bundle: Path) -> Iterator[Path]:
    """Give a private folder with copies of a bundle's files, which nobody changes between the looks at them.

    Parameters
    ----------
    bundle : Path
        A folder or a zip.

    Raises
    ------
    ConfigError
        If there is none.
    EvidenceError
        If it holds a name that no bundle has, one twice, a link, a folder, or what is compressed or encrypted.
    """
    with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch) / "bundle"
        folder.mkdir()
        if bundle.is_dir():
            _copy_folder(bundle, folder)
        elif bundle.is_file():
            _copy_zip(bundle, folder)
        else:
            raise ConfigError(f"there is no bundle '{bundle}'. nnperm bundle RUN --output FILE.zip writes one.")
        yield folder


def _refuse_names(names: list[str]) -> None:
    unknown = sorted({name for name in names if name not in _FILES and kind_of(name) is None})
    doubles = sorted(name for name, times in Counter(names).items() if times > 1)
    if unknown or doubles or len(names) > _MOST_MEMBERS:
        what = f"{name_list(unknown)}, which no bundle has" if unknown else f"{name_list(doubles)} more than once"
        more = what if unknown or doubles else f"more than {_MOST_MEMBERS} files"
        raise EvidenceError(f"the bundle holds {more}. {_AGAIN}")


def _copy_folder(source: Path, target: Path) -> None:
    names = sorted(os.listdir(source))  # noqa: PTH208 - bytes that are no text stay what they are
    _refuse_names(names)
    for name in names:
        handle = _open_file(source / name)
        with os.fdopen(handle, "rb") as file:
            _copy(file, target / name)


def _open_file(path: Path) -> int:
    """Open what is a file itself: no link, which another process could put there, folder or pipe."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise EvidenceError(f"{path.name} of the bundle is a link, or cannot be read. {_AGAIN}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode) or path.is_symlink():
        os.close(handle)
        raise EvidenceError(f"{path.name} of the bundle is no file. {_AGAIN}")
    return handle


def _copy_zip(source: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            _refuse_names([member.orig_filename for member in members])
            for member in members:
                _refuse_member(member)
                with archive.open(member) as file:
                    _copy(file, target / member.orig_filename)
    except _NO_ZIP as error:
        raise EvidenceError(f"the bundle '{source}' is no whole zip ({type(error).__name__}). {_AGAIN}") from error


def _refuse_member(member: zipfile.ZipInfo) -> None:
    mode = member.external_attr >> 16
    is_file = stat.S_IFMT(mode) in (0, stat.S_IFREG) and not member.is_dir()
    is_plain = member.compress_type == zipfile.ZIP_STORED and member.file_size == member.compress_size
    if not is_file or not is_plain or member.flag_bits & 0x1:
        raise EvidenceError(f"{member.orig_filename} of the bundle is a link, compressed or encrypted. {_AGAIN}")


def _copy(source: IO[bytes], target: Path) -> None:
    with target.open("xb") as copy:
        shutil.copyfileobj(source, copy)


def sealed_in(folder: Path) -> list[tuple[str, str, Sealed]]:
    """Return the statements of an opened bundle: type, name of the file, envelope.

    Raises
    ------
    EvidenceError
        If one is no envelope, or another one than its name tells.
    """
    found = []
    for path in sorted(folder.iterdir()):
        if kind := kind_of(path.name):
            with path.open("rb") as file:
                sealed = open_envelope(file.read(MOST_BYTES + 1), path.name)
            if statement_name(kind, sealed) != path.name:
                raise EvidenceError(f"{path.name} holds another statement than its name says. {_AGAIN}")
            found.append((kind, path.name, sealed))
    return found
