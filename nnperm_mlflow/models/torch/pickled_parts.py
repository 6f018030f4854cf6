"""What a pickle of torch.save names, found out without opening it: tensors need a handful of names."""

from __future__ import annotations

import io
import pickletools
import re
import zipfile

_OF_TENSORS = re.compile(
    r"torch\._utils (_rebuild_tensor_v2|_rebuild_parameter)|torch \w+Storage|collections OrderedDict"
    r"|torch (float|double|half|bfloat16|int|long|short|bool|uint8|int8|int16|int32|int64|float16|float32|float64)"
)
"""Modules and names by which torch.save stores tensors in tuples and dicts."""

_NAMING = {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}
"""Opcodes that name something in a way that torch.save does not use for tensors."""

_MOST_BYTES = 1 << 31  # of example inputs, 2 GiB


def foreign_names(saved: bytes) -> list[str]:
    """Return what a file of torch.save names besides tensors in tuples and dicts.

    Parameters
    ----------
    saved : bytes

    Returns
    -------
    list of str
        Sorted; empty where there is nothing but tensors.
    """
    if not saved:
        return []
    try:
        with zipfile.ZipFile(io.BytesIO(saved)) as archive:
            infos = archive.infolist()
            names = [info.filename for info in infos]
            pickles = [info for info in infos if info.filename.endswith("data.pkl")]
            if len(set(names)) != len(names) or len(pickles) != 1 or pickles[0].file_size > _MOST_BYTES:
                return ["an archive with several pickles"]
            return _names_in(archive.read(pickles[0]))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
        return [f"what is no file of torch.save ({type(error).__name__})"]


def _names_in(pickled: bytes) -> list[str]:
    found = set()
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in _NAMING:
            found.add(f"the opcode {opcode.name}")
        elif opcode.name == "GLOBAL" and not _OF_TENSORS.fullmatch(str(argument)):
            found.add(str(argument).replace(" ", "."))
    return sorted(found)
