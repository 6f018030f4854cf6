"""MLflow's plugin, by which `mlflow.models.evaluate` audits a model; light, since every evaluation loads it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.models.evaluation import ModelEvaluator

if TYPE_CHECKING:
    from mlflow.models.evaluation import EvaluationDataset, EvaluationResult

NAME = "nnperm"
"""Of the evaluator, and of the type of model that asks for nothing else."""

KEYS = ("config", "channels")
"""What may stand under `evaluator_config={"nnperm": ...}`; see `auditor.evaluate_adapter.EvaluatorConfig`."""

_CONFIG_MODULE = "nnperm_mlflow.config.audit_config"  # told by its name: to load it would be heavy
_SUFFIXES = (".yaml", ".yml")
_LIKENESS = 0.8  # of a misspelt key, which is refused with a message instead of being passed over


class NnpermEvaluator(ModelEvaluator):  # type: ignore[misc]  # MLflow is not typed
    """Audits a logged model on the rows given to `mlflow.models.evaluate`."""

    @classmethod
    def can_evaluate(cls, *, model_type: str | None, evaluator_config: Mapping[str, Any] | None, **_: Any) -> bool:  # noqa: ANN401
        """Tell whether an evaluation asks for an audit: by its type of model, or by keys of which all are ours.

        Without `evaluators=` MLflow asks every evaluator that is installed, and hands each a configuration that names
        none of them; with `evaluators=["nnperm"]` it asks the same question. Nothing else tells the two apart.
        """
        return model_type == NAME or _is_meant_for_us(evaluator_config)

    def evaluate(
        self,
        *,
        dataset: EvaluationDataset,
        run_id: str,
        evaluator_config: Mapping[str, Any] | None,
        model: Any = None,  # noqa: ANN401
        model_id: str | None = None,
        predictions: str | None = None,
        **_: Any,  # noqa: ANN401
    ) -> EvaluationResult:
        """Audit a model; see `auditor.evaluate_adapter.audit_evaluation`."""
        from nnperm_mlflow.auditor.evaluate_adapter import audit_evaluation  # noqa: PLC0415 - heavy

        return audit_evaluation(
            model, dataset, run_id=run_id, model_id=model_id, settings=evaluator_config or {}, predictions=predictions
        )


def _is_meant_for_us(settings: Mapping[str, Any] | None) -> bool:
    """Tell whether settings are ours: all of the keys, misspelt or not, with what these can hold."""
    meant = [
        (difflib.get_close_matches(str(key), KEYS, 1, _LIKENESS), value) for key, value in (settings or {}).items()
    ]
    return bool(meant) and all(keys and _fits(keys[0], value) for keys, value in meant)


def _fits(key: str, value: object) -> bool:
    """Tell whether one of our keys holds what it can: others may have a `config` too, in a file of another kind."""
    if key == "channels":
        return isinstance(value, Mapping)
    if isinstance(value, (str, Path)):
        return Path(value).suffix.lower() in _SUFFIXES
    return value is None or isinstance(value, Mapping) or type(value).__module__ == _CONFIG_MODULE
