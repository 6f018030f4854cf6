"""What a predictor says of itself, as JSON: what it takes and gives, and what is known of its work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnperm_mlflow.inputs.specs import Domain, Head, InputSpec, OutputSpec
from nnperm_mlflow.models.predictor import Predictor

_STRINGS = "O"


@dataclass(frozen=True)
class Facts:
    """What a predictor says of itself; see `models.predictor.Predictor`."""

    inputs: tuple[InputSpec, ...]
    outputs: OutputSpec
    shares: Mapping[str, float]
    reuses: bool
    row_bytes: int
    kept_bytes: int
    largest_difference: float

    @classmethod
    def of(cls, predictor: Predictor) -> Facts:
        """Ask a predictor."""
        return cls(
            tuple(predictor.inputs),
            predictor.outputs,
            predictor.shares,
            predictor.reuses,
            predictor.row_bytes,
            predictor.kept_bytes,
            predictor.largest_difference,
        )

    def to_json(self) -> dict[str, Any]:
        """Return all of it in JSON's types."""
        return {
            "inputs": [_input_to_json(spec) for spec in self.inputs],
            "outputs": {
                "names": list(self.outputs.names),
                "heads": [
                    [[int(column) for column in head.columns], head.unit, head.exclusive, head.classes]
                    for head in self.outputs.heads
                ],
            },
            "shares": {name: float(share) for name, share in self.shares.items()},
            "reuses": bool(self.reuses),
            "row_bytes": int(self.row_bytes),
            "kept_bytes": int(self.kept_bytes),
            "largest_difference": float(self.largest_difference),
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Facts:
        """Read it back.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is something else.
        """
        heads = (
            Head(tuple(map(int, columns)), None if unit is None else str(unit), bool(exclusive), bool(classes))
            for columns, unit, exclusive, classes in told["outputs"]["heads"]
        )
        return cls(
            inputs=tuple(_input_from_json(spec) for spec in told["inputs"]),
            outputs=OutputSpec(tuple(map(str, told["outputs"]["names"])), tuple(heads)),
            shares={str(name): float(share) for name, share in told["shares"].items()},
            reuses=bool(told["reuses"]),
            row_bytes=int(told["row_bytes"]),
            kept_bytes=int(told["kept_bytes"]),
            largest_difference=float(told["largest_difference"]),
        )


def _input_to_json(spec: InputSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "shape": list(spec.shape),
        "dtype": _STRINGS if spec.dtype.kind == "O" else spec.dtype.str,
        "is_column": spec.is_column,
        "domains": [[domain.layer, _known_to_json(domain), domain.places] for domain in spec.domains],
        "is_optional": spec.is_optional,
    }


def _known_to_json(domain: Domain) -> Any:  # noqa: ANN401 - JSON
    if isinstance(domain.known, range):
        return {"start": domain.known.start, "stop": domain.known.stop, "step": domain.known.step}
    return [value if isinstance(value, str) else int(value) for value in domain.known]


def _input_from_json(told: Mapping[str, Any]) -> InputSpec:
    domains = (
        Domain(str(layer), _known_from_json(known), None if places is None else tuple(map(int, places)))
        for layer, known, places in told["domains"]
    )
    return InputSpec(
        name=str(told["name"]),
        shape=tuple(None if length is None else int(length) for length in told["shape"]),
        dtype=np.dtype(str(told["dtype"])),
        is_column=bool(told["is_column"]),
        domains=tuple(domains),
        is_optional=bool(told["is_optional"]),
    )


def _known_from_json(told: Any) -> frozenset[str] | frozenset[int] | range:  # noqa: ANN401 - JSON
    if isinstance(told, Mapping):
        return range(int(told["start"]), int(told["stop"]), int(told["step"]))
    if all(isinstance(value, str) for value in told):
        return frozenset(map(str, told))
    return frozenset(map(int, told))
