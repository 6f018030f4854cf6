"""A SavedModel as it lies on the disk: which graphs it holds, and how to load one without what training left in it."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

_FILE = "saved_model.pb"
_PLAIN = "_generic_user_object"  # what TensorFlow makes an object without methods of


@dataclass(frozen=True)
class SavedModelFiles:
    """A SavedModel's directory and what its file says.

    Attributes
    ----------
    path : Path
    saved : SavedModel
        The protocol buffer.
    """

    path: Path
    saved: Any

    @classmethod
    def read(cls, path: Path) -> SavedModelFiles:
        """Read what a directory's file says, loading nothing."""
        saved = saved_model_pb2.SavedModel()
        saved.ParseFromString((path / _FILE).read_bytes())
        return cls(path, saved)

    @property
    def tags(self) -> list[tuple[str, ...]]:
        """The tags of each graph that it holds."""
        return [tuple(sorted(meta.meta_info_def.tags)) for meta in self.saved.meta_graphs]

    def load(self, tags: Iterable[str] | None = None) -> Any:  # noqa: ANN401 - TensorFlow's own untyped objects
        """Load a graph; what an optimizer kept beside the weights stays out, as no prediction needs it.

        Of Keras 2, such as optimizers are, TensorFlow would want the classes.

        Parameters
        ----------
        tags : iterable of str, optional
            Those of the graph; the only one there is needs none.
        """
        asked = None if tags is None else sorted(tags)
        if not any(node.slot_variables for node in self._objects):
            return tf.saved_model.load(str(self.path), tags=asked)
        folder = tempfile.TemporaryDirectory()
        loaded = tf.saved_model.load(str(self._without_optimizer(Path(folder.name))), tags=asked)
        weakref.finalize(loaded, folder.cleanup)  # it may read its assets when it is called
        return loaded

    @property
    def _objects(self) -> list[Any]:
        return [node for meta in self.saved.meta_graphs for node in meta.object_graph_def.nodes]

    def _without_optimizer(self, folder: Path) -> Path:
        """Make a SavedModel of the same files whose optimizers are plain objects without variables of their own."""
        changed = saved_model_pb2.SavedModel()
        changed.CopyFrom(self.saved)
        for node in SavedModelFiles(folder, changed)._objects:
            if node.slot_variables:
                node.ClearField("slot_variables")
                node.user_object.identifier = _PLAIN
        (folder / _FILE).write_bytes(changed.SerializeToString())
        for part in self.path.iterdir():
            if part.name != _FILE:
                _link_or_copy(part, folder / part.name)
        return folder


def _link_or_copy(part: Path, into: Path) -> None:
    try:
        into.symlink_to(part.resolve(), target_is_directory=part.is_dir())
    except OSError:  # where the system allows no links
        if part.is_dir():
            shutil.copytree(part, into)
        else:
            shutil.copyfile(part, into)
