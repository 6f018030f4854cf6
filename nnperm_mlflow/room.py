"""Whether this machine has the memory and the disk for an audit: found out before it begins."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import psutil

from nnperm_mlflow.analysis.needs import disk_bytes, memory_bytes
from nnperm_mlflow.errors import RoomError
from nnperm_mlflow.planning import Plan

_FEW = 10  # MiB, of which fractions are told
_MIB = 1 << 20
_CONTAINER = Path("/sys/fs/cgroup")


def check_room(plan: Plan, table: Path, work: Path) -> None:
    """Refuse an audit that would not fit.

    Parameters
    ----------
    plan : Plan
    table, work : Path
        Directories for the deviation table, and for what is kept until it is finished.

    Raises
    ------
    RoomError
        The message says what takes most, how much there is, and what to change.
    """
    check_memory(memory_bytes(plan.job, plan.block_rows, plan.used.analysis.profile), available_memory())
    most_repeats = None if plan.precision is None else plan.precision.most
    of_table, of_work = disk_bytes(plan.job, plan.block_rows, most_repeats, plan.used.analysis.profile)
    check_disk([(table, of_table), (work, of_work)])


def check_memory(needed: dict[str, int], available: int) -> None:
    """Refuse what takes more memory than there is; `needed` tells the bytes by what takes them."""
    total = sum(needed.values())
    if total > available:
        most = max(needed, key=lambda part: needed[part])
        raise RoomError(
            f"the audit would take about {_in_mib(total)} of memory, and {_in_mib(available)} are free. Most, "
            f"{_in_mib(needed[most])}, is for {most}: ask for less of it."
        )


def check_disk(needed: Iterable[tuple[Path, int]]) -> None:
    """Refuse what takes more disk than there is: bytes by directory, of which several may lie on one disk."""
    by_disk: dict[int, tuple[Path, int]] = {}
    for path, n_bytes in needed:
        disk = path.stat().st_dev
        by_disk[disk] = (path, by_disk.get(disk, (path, 0))[1] + n_bytes)
    for path, n_bytes in by_disk.values():
        free = shutil.disk_usage(path).free
        if n_bytes > free:
            raise RoomError(
                f"the audit would write about {_in_mib(n_bytes)} to '{path}', where {_in_mib(free)} are free. Make "
                "room, name another directory (--work-dir, --output), or ask for fewer repeats or profiles (analysis)."
            )


def available_memory() -> int:
    """Return the bytes of memory that are free: of the machine, or of the container where that allows less."""
    free = int(psutil.virtual_memory().available)
    try:
        most = (_CONTAINER / "memory.max").read_text(encoding="ascii").strip()
        used = int((_CONTAINER / "memory.current").read_text(encoding="ascii"))
        told = (_CONTAINER / "memory.stat").read_text(encoding="ascii").splitlines()
        given_back = int(dict(line.split() for line in told)["inactive_file"])  # pages of files that are but kept
        return free if most == "max" else min(free, max(0, int(most) - used + given_back))
    except (OSError, ValueError, KeyError):
        return free


def _in_mib(n_bytes: int) -> str:
    mib = n_bytes / _MIB
    return f"{mib:,.0f} MiB" if mib >= _FEW else f"{mib:,.2f} MiB"
